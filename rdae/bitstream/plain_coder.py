"""The range coder of FORMAT.md, sections 6.2 and 6.5, in plain Python.

Without a kernel it does what constriction cannot: that one does not say how many words it has read,
so of a cut stream it does not tell which symbols are certain, and it knows no symbols with limits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.tables import PRECISION_BITS, TOTAL, TableFamily

_WORD, _STATE = (1 << 32) - 1, (1 << 64) - 1


class PlainDecoder:
    """Decodes a stream, or the beginning of one as far as its words go."""

    def __init__(self, words: list[int], *, is_cut: bool = False) -> None:
        """Begin to decode words."""
        self._words, self._position, self._is_cut = words, 0, is_cut
        self._range = _STATE
        self._above = self._next_word() << 32  # of section 6.2 `point` minus `lower`
        self._above |= self._next_word()

    def decode(
        self,
        tables: TableFamily,
        counts: NDArray[np.integer[Any]],
        limits: NDArray[np.int16] | None = None,
    ) -> NDArray[np.int32]:
        """The next entries, so many of each table, those of the last table first.

        Args:
            tables: the family.
            counts: `(tables,)`.
            limits: `(n, 2)` the least and the greatest value of each entry, if there are any.

        Returns:
            All of them; of a cut stream those that are certain: that need no word behind the end.

        Raises:
            ValueError: no encoder makes this stream.
        """
        entries: list[int] = []
        which = np.flatnonzero(counts)[::-1]
        many = counts[which]
        possible = _possible(tables, which, many, limits)
        range_, above = self._range, self._above
        for table, count in zip(which.tolist(), many.tolist(), strict=True):
            cdf = tables.cdf(table)
            escape = len(cdf) - 2
            escape_low = cdf[escape]
            for least, most in islice(possible, count):
                scale = range_ >> PRECISION_BITS
                quantile = above // scale
                is_over = self._is_cut and self._position > len(self._words)
                if is_over or quantile >= TOTAL:
                    if not self._is_cut:
                        raise ValueError("the stream is damaged")
                    self._range, self._above = range_, above
                    return np.array(entries, np.int32)
                if quantile < escape_low:
                    entry = bisect_right(cdf, quantile, least + 1, most + 1) - 1
                    low = 0 if entry == least else cdf[entry]
                    high = escape_low if entry == most else cdf[entry + 1]
                else:
                    entry, low, high = escape, escape_low, TOTAL
                above -= scale * low
                range_ = scale * (high - low)
                if range_ <= _WORD:
                    range_, above = range_ << 32, above << 32 | self._next_word()
                entries.append(entry)
        self._range, self._above = range_, above
        return np.array(entries, np.int32)

    def is_at_its_end(self) -> bool:
        """Whether all words were read, and the state is one that an encoder ends in."""
        return self._position >= len(self._words) and self._above < (1 << 33) - 1

    def _next_word(self) -> int:
        self._position += 1
        return self._words[self._position - 1] if self._position <= len(self._words) else 0


class PlainEncoder:
    """Encodes a stream."""

    def __init__(self) -> None:
        """Begin to encode."""
        self._words: list[int] = []
        self._lower, self._range = 0, _STATE

    def encode(
        self,
        tables: TableFamily,
        which: NDArray[np.integer[Any]],
        counts: NDArray[np.integer[Any]],
        entries: NDArray[np.int32],
        limits: NDArray[np.int16] | None = None,
    ) -> None:
        """Encode entries.

        Args:
            tables: the family.
            which: `(runs,)` the table of each run of entries.
            counts: `(runs,)` how many entries it has.
            entries: of all runs.
            limits: as of `PlainDecoder.decode`.

        Raises:
            ValueError: an entry is beyond the limits of its symbol.
        """
        given = zip(entries.tolist(), _possible(tables, which, counts, limits), strict=True)
        lower, range_ = self._lower, self._range
        for table, count in zip(which.tolist(), counts.tolist(), strict=True):
            cdf = tables.cdf(table)
            escape = len(cdf) - 2
            for entry, (least, most) in islice(given, count):
                if entry == escape:
                    low, high = cdf[escape], TOTAL
                elif least <= entry <= most:
                    low = 0 if entry == least else cdf[entry]
                    high = cdf[escape if entry == most else entry + 1]
                else:
                    raise ValueError("a symbol is beyond its limits")
                scale = range_ >> PRECISION_BITS
                lower += scale * low
                if lower > _STATE:
                    lower &= _STATE
                    self._carry()
                range_ = scale * (high - low)
                if range_ <= _WORD:
                    self._words.append(lower >> 32)
                    lower, range_ = (lower & _WORD) << 32, range_ << 32
        self._lower, self._range = lower, range_

    def finish(self) -> NDArray[np.uint32]:
        """All words; there may be zeros at the end."""
        last = -(-self._lower >> 32)  # the smallest number of a word that is not below it
        if last > _WORD:
            self._carry()
        return np.array([*self._words, last & _WORD], np.uint32)

    def _carry(self) -> None:
        """One more in the last digit of what is written."""
        at = len(self._words) - 1
        while at >= 0 and self._words[at] == _WORD:
            self._words[at] = 0
            at -= 1
        if at >= 0:
            self._words[at] += 1


def _possible(
    tables: TableFamily,
    which: NDArray[np.integer[Any]],
    counts: NDArray[np.integer[Any]],
    limits: NDArray[np.int16] | None,
) -> Iterator[tuple[int, int]]:
    """The first and the last entry, but for the escape, that each symbol can have."""
    last = np.repeat(tables.sizes[which] - 2, counts)
    if limits is None:
        return zip(repeat(0), last.tolist(), strict=False)
    least, most = limits.astype(np.int32).T - np.repeat(tables.lows[which], counts)
    least = np.clip(least, 0, last)
    return zip(least.tolist(), np.clip(most, least, last).tolist(), strict=True)

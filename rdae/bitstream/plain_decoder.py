"""The range decoder of FORMAT.md, section 6.2, in plain Python: for cut streams without a kernel.

constriction does not say how many words it has read, so it cannot say which symbols are certain.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.tables import PRECISION_BITS, TableFamily

_WORD, _STATE = (1 << 32) - 1, (1 << 64) - 1


class PlainDecoder:
    """Decodes the beginning of a stream, as far as its words go."""

    def __init__(self, words: list[int]) -> None:
        """Begin to decode words."""
        self._words, self._position = words, 0
        self._lower, self._range = 0, _STATE
        self._point = self._next_word() << 32
        self._point |= self._next_word()

    def decode(self, tables: TableFamily, counts: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """The next entries, so many of each table, those of the last table first.

        Returns:
            Those that are certain: that need no word behind the end.
        """
        entries: list[int] = []
        for table in np.flatnonzero(counts)[::-1].tolist():
            start = int(tables.starts[table])
            freqs = tables.freqs[start : start + int(tables.sizes[table])].tolist()
            cdf = [0, *accumulate(freqs)]
            for _ in range(int(counts[table])):
                scale = self._range >> PRECISION_BITS
                quantile = ((self._point - self._lower) & _STATE) // scale
                if self._position > len(self._words) or quantile >= cdf[-1]:
                    return np.array(entries, np.int32)
                entry = bisect_right(cdf, quantile) - 1
                self._lower = (self._lower + scale * cdf[entry]) & _STATE
                self._range = scale * freqs[entry]
                if self._range <= _WORD:
                    self._lower, self._range = self._lower << 32 & _STATE, self._range << 32
                    self._point = (self._point << 32 | self._next_word()) & _STATE
                entries.append(entry)
        return np.array(entries, np.int32)

    def _next_word(self) -> int:
        self._position += 1
        return self._words[self._position - 1] if self._position <= len(self._words) else 0

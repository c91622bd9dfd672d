"""The compiled range coder, and the order of its symbols (FORMAT.md, sections 6.2 and 6.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.exact.kernel import check, library

PARTS = 4  # of symbols that are put in order
_ADDRESSES = ("cdf", "first", "starts", "sizes", "lows")
FAMILY = np.dtype([*((name, "u8") for name in _ADDRESSES), ("tables", "i4"), ("unused", "i4")])


def grouped(
    indexes: NDArray[np.uint16], tables: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The order of symbols by table, the last first, else as they are; how many each table has.

    Args:
        indexes: `(n,)`, the table of each symbol.
        tables: how many there are.

    Raises:
        ValueError: there is no such table.
    """
    given = np.ascontiguousarray(indexes)
    check(given, (indexes.size,), np.uint16)
    (counts, following), order = _counters(tables), np.empty(indexes.size, np.int32)
    if not library.group(
        *(given.ctypes.data, given.size, tables, counts.ctypes.data, following.ctypes.data),
        order.ctypes.data,
    ):
        raise ValueError(f"a table index is outside of 0 to {tables - 1}")
    return order, counts


def _counters(tables: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Room for how many symbols each table has, and for where the next of each goes."""
    return np.empty(tables, np.int64), np.empty((PARTS, tables), np.int32)


def _checked(limits: NDArray[np.int16] | None, count: int) -> NDArray[np.int16] | None:
    """The limits of so many symbols as the kernel reads them."""
    if limits is not None:
        limits = np.ascontiguousarray(limits)
        check(limits, (count, 2), np.int16)
    return limits


class TableSet:
    """Tables as the range coder reads them.

    Args:
        freqs: all tables one after the other, each of integers >= 1 that sum to 2^24.
        sizes: entries of each.
        lows: symbol of the first entry of each.
    """

    def __init__(
        self, freqs: NDArray[np.int64], sizes: NDArray[np.int32], lows: NDArray[np.int32]
    ) -> None:
        count = len(sizes)
        self.sizes = np.ascontiguousarray(sizes, np.int32)
        self.lows = np.ascontiguousarray(lows, np.int32)
        self.starts = np.cumsum([0, *(sizes[:-1].astype(np.int64) + 1)], dtype=np.int64)
        self.cdf = np.zeros(int(sizes.sum()) + count, np.uint32)
        self.first = np.zeros((count, 257), np.uint32)
        tops = np.arange(257) << 16
        ends = np.cumsum(sizes.astype(np.int64))
        for t in range(count):
            cdf = np.concatenate([[0], np.cumsum(freqs[ends[t] - sizes[t] : ends[t]])])
            self.cdf[self.starts[t] : self.starts[t] + len(cdf)] = cdf
            found = np.searchsorted(cdf, tops, side="right") - 1
            self.first[t] = np.minimum(found, sizes[t] - 1)
        arrays = self.cdf, self.first, self.starts, self.sizes, self.lows
        self.family = np.array([(*(array.ctypes.data for array in arrays), count, 0)], FAMILY)


class RangeDecoder:
    """The range decoder of FORMAT.md, section 6.2, for one stream."""

    def __init__(self, words: NDArray[np.uint32]) -> None:
        """Begin to decode words."""
        self._words = np.ascontiguousarray(words, np.uint32)
        self._state = np.zeros(5, np.uint64)  # range, ahead; address, count, position
        library.begin(self._state.ctypes.data, self._words.ctypes.data, self._words.size)

    def decode(self, tables: TableSet, counts: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """The next entries of a stream that was cut off, so many of each table, the last one first.

        Returns:
            Those that are certain: that need no word behind the end.

        Raises:
            ValueError: these are not numbers of entries of these tables.
        """
        given = np.ascontiguousarray(counts, np.int64)
        check(given, tables.sizes.shape, np.int64)
        if (given < 0).any():
            raise ValueError("there is no such number of entries")
        entries = np.empty(int(given.sum()), np.int32)
        decoded = library.decode(
            *(self._state.ctypes.data, tables.family.ctypes.data),
            *(given.ctypes.data, entries.ctypes.data),
        )
        return entries[:decoded]

    def group(
        self,
        tables: TableSet,
        indexes: NDArray[np.uint16],
        limits: NDArray[np.int16] | None = None,
    ) -> NDArray[np.int32]:
        """The next symbols `(n,)`, each of the table of its index.

        Args:
            tables: the family.
            indexes: `(n,)`.
            limits: `(n, 2)` the least and the greatest value of each symbol, if there are any.

        Raises:
            IndexError: there is no such table.
            ValueError: no encoder makes this stream.
        """
        given = np.ascontiguousarray(indexes)
        check(given, (indexes.size,), np.uint16)
        limits = _checked(limits, indexes.size)
        symbols, order = np.empty(indexes.size, np.int32), np.empty(indexes.size, np.int32)
        counts, following = _counters(tables.sizes.size)
        outcome = library.decode_group(
            *(self._state.ctypes.data, tables.family.ctypes.data, given.ctypes.data),
            *(0 if limits is None else limits.ctypes.data, given.size),
            *(counts.ctypes.data, following.ctypes.data, order.ctypes.data, symbols.ctypes.data),
        )
        if not outcome:
            raise IndexError(f"a table index is outside of 0 to {tables.sizes.size - 1}")
        if outcome < 0:
            raise ValueError(
                "is damaged" if outcome == -1 else "escapes a value that its table holds"
            )
        return symbols

    def is_at_its_end(self) -> bool:
        """Whether all words were read, and the state is one that an encoder ends in."""
        _, ahead, _, count, position = map(int, self._state)
        return position >= count and ahead < (1 << 33) - 1


class RangeEncoder:
    """The range encoder of FORMAT.md, section 6.5, for one stream."""

    def __init__(self) -> None:
        """Begin to encode."""
        self._words = np.empty(1 << 10, np.uint32)
        self._state = np.zeros(4, np.uint64)  # lower, range; address, count
        library.begin_writing(self._state.ctypes.data)

    def encode(
        self,
        tables: TableSet,
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
            limits: `(entries, 2)` the least and the greatest value of each, if there are any.

        Raises:
            ValueError: a table or an entry is not there, or counts are not those of the entries, or
                an entry is beyond its limits.
        """
        which = np.ascontiguousarray(which, np.int32)
        counts = np.ascontiguousarray(counts, np.int64)
        entries = np.ascontiguousarray(entries, np.int32)
        check(counts, which.shape, np.int64)
        if which.size and not 0 <= int(which.min()) <= int(which.max()) < tables.sizes.size:
            raise ValueError("there is no such table")
        if (counts < 0).any() or int(counts.sum()) != entries.size:
            raise ValueError(f"there are {entries.size} entries, not {int(counts.sum())}")
        limits = _checked(limits, entries.size)
        self._make_room(entries.size)
        is_sound = library.encode(
            *(self._state.ctypes.data, tables.family.ctypes.data, which.size),
            *(which.ctypes.data, counts.ctypes.data, entries.ctypes.data),
            0 if limits is None else limits.ctypes.data,
        )
        if not is_sound:
            raise ValueError("an entry is not in its table, or beyond its limits")

    def finish(self) -> NDArray[np.uint32]:
        """All words; there may be zeros at the end."""
        self._make_room(1)
        library.end_writing(self._state.ctypes.data)
        return self._words[: int(self._state[3])]

    def _make_room(self, words: int) -> None:
        """Have room for so many more words; an entry takes one at most."""
        wanted = int(self._state[3]) + words
        if wanted > self._words.size:
            larger = np.empty(max(wanted, 2 * self._words.size), np.uint32)
            larger[: self._words.size] = self._words
            self._words = larger
        self._state[2] = self._words.ctypes.data

"""The compiled range coder, and the order of its symbols (FORMAT.md, sections 6.2 and 6.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.exact.kernel import check, library


def order(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """What `np.argsort(keys, kind="stable")` gives for `(n,)` bytes, five times as fast."""
    given = np.ascontiguousarray(keys)
    if keys.size:  # strides of no bytes may be anything
        check(given, (keys.size,), np.uint8)
    places = np.empty(keys.size, np.int64)
    library.order(given.ctypes.data, given.size, places.ctypes.data)
    return places


def grouped(
    indexes: NDArray[np.uint16], tables: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order of symbols by table, the last first, else as they are; how many each table has.

    Args:
        indexes: `(n,)`, the table of each symbol.
        tables: how many there are.

    Raises:
        ValueError: there is no such table.
    """
    given = np.ascontiguousarray(indexes)
    check(given, (indexes.size,), np.uint16)
    counts, order = np.empty(tables, np.int64), np.empty(indexes.size, np.int64)
    if not library.group(
        given.ctypes.data, given.size, tables, counts.ctypes.data, order.ctypes.data
    ):
        raise ValueError(f"a table index is outside of 0 to {tables - 1}")
    return order, counts


def placed(
    entries: NDArray[np.int32],
    order: NDArray[np.int64],
    counts: NDArray[np.int64],
    lows: NDArray[np.int32],
    sizes: NDArray[np.int32],
) -> NDArray[np.int32] | None:
    """The symbols of entries in the order of `grouped`; None if there are escapes among them.

    Args:
        entries: `(n,)`.
        order: likewise, as of `grouped`.
        counts: `(tables,)`, likewise.
        lows: `(tables,)` of the tables.
        sizes: likewise.
    """
    for array, size, dtype in (
        *((entries, order.size, np.int32), (order, order.size, np.int64)),
        *((counts, counts.size, np.int64), (lows, counts.size, np.int32)),
        (sizes, counts.size, np.int32),
    ):
        check(array, (size,), dtype)
    if int(counts.sum()) != order.size:
        raise ValueError(f"there are {order.size} entries, not {int(counts.sum())}")
    symbols = np.empty(order.size, np.int32)
    escapes = library.place(
        *(entries.ctypes.data, order.ctypes.data, counts.ctypes.data, counts.size),
        *(lows.ctypes.data, sizes.ctypes.data, symbols.ctypes.data),
    )
    if escapes < 0:
        raise ValueError("an order leads beyond the symbols")
    return None if escapes else symbols


class TableSet:
    """Tables as the range coder reads them.

    Args:
        freqs: all tables one after the other, each of integers >= 1 that sum to 2^24.
        sizes: entries of each.
    """

    def __init__(self, freqs: NDArray[np.int64], sizes: NDArray[np.int32]) -> None:
        count = len(sizes)
        self.sizes = np.ascontiguousarray(sizes, np.int32)
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


class RangeDecoder:
    """The range decoder of FORMAT.md, section 6.2, for one stream."""

    def __init__(self, words: NDArray[np.uint32], *, is_cut: bool = False) -> None:
        """Begin to decode words; those of a stream that was cut off end where they are used up."""
        self._is_cut = is_cut
        self._words = np.ascontiguousarray(words, np.uint32)
        self._state = np.zeros(6, np.uint64)  # lower, range, point; address, count, position
        library.begin(self._state.ctypes.data, self._words.ctypes.data, self._words.size)

    def decode(self, tables: TableSet, counts: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """The next entries, so many of each table, those of the last table first.

        Returns:
            All of them; of a stream that was cut off, those that are certain.

        Raises:
            ValueError: no encoder makes this stream.
        """
        given = np.ascontiguousarray(counts, np.int64)
        check(given, tables.sizes.shape, np.int64)
        entries = np.empty(int(given.sum()), np.int32)
        decoded = library.decode(
            *(self._state.ctypes.data, tables.cdf.ctypes.data, tables.starts.ctypes.data),
            *(tables.sizes.ctypes.data, tables.first.ctypes.data, given.size),
            *(given.ctypes.data, self._is_cut, entries.ctypes.data),
        )
        if decoded < 0:
            raise ValueError("the stream is damaged")
        return entries[:decoded]

    def is_at_its_end(self) -> bool:
        """Whether all words were read, and the state is one that an encoder ends in."""
        lower, _, point, _, count, position = map(int, self._state)
        return position >= count and (point - lower) % (1 << 64) < (1 << 33) - 1


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
    ) -> None:
        """Encode entries.

        Args:
            tables: the family.
            which: `(runs,)` the table of each run of entries.
            counts: `(runs,)` how many entries it has.
            entries: of all runs.

        Raises:
            ValueError: a table or an entry is not there, or counts are not those of the entries.
        """
        which = np.ascontiguousarray(which, np.int32)
        counts = np.ascontiguousarray(counts, np.int64)
        entries = np.ascontiguousarray(entries, np.int32)
        check(counts, which.shape, np.int64)
        if which.size and not 0 <= int(which.min()) <= int(which.max()) < tables.sizes.size:
            raise ValueError("there is no such table")
        if (counts < 0).any() or int(counts.sum()) != entries.size:
            raise ValueError(f"there are {entries.size} entries, not {int(counts.sum())}")
        self._make_room(entries.size)
        is_sound = library.encode(
            *(self._state.ctypes.data, tables.cdf.ctypes.data, tables.starts.ctypes.data),
            *(tables.sizes.ctypes.data, which.size, which.ctypes.data, counts.ctypes.data),
            entries.ctypes.data,
        )
        if not is_sound:
            raise ValueError("an entry is not in its table")

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

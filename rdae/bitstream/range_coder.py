"""Symbols to bytes and back: table-driven range coding (FORMAT.md, Entropy coding).

The coder is the kernel's, or constriction's range coder, or one in plain Python for what that one
does not do; all write and read the same: 32-bit words, 64-bit state, 24-bit probabilities.

Symbols are grouped by table, the last table first: the widest distributions, so that a stream that
is cut off has lost what says the least. The kernel takes a group in one call, constriction what is
of one table; only the plain coder works in Python for each symbol.
"""

from __future__ import annotations

from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.plain_coder import PlainDecoder, PlainEncoder
from rdae.bitstream.tables import SYMBOL_MAX, SYMBOL_MIN, TOTAL, TableFamily
from rdae.errors import CorruptError, grouped
from rdae.exact import kernel
from rdae.exact.kernel import coder

__all__ = ["SymbolDecoder", "SymbolEncoder"]

_WORD_BYTES = 4

# The byte table: one for each value, and no escape behind them.
_BYTES = TableFamily([np.full(256, TOTAL // 256)], np.zeros(1, np.int32))


def _group(
    indexes: NDArray[np.integer[Any]], tables: TableFamily
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the order in the stream, and the number of symbols of each table.

    The order is by table descending; among symbols of one table it stays as it is.
    """
    keys: NDArray[Any] = _narrow(indexes, tables)
    if kernel.selected() != "numpy":
        order, counts = coder.grouped(keys, len(tables))
        return order.astype(np.intp), counts.astype(np.intp, copy=False)
    # NumPy sorts keys of 8 and 16 bits by radix, ten times faster than wider ones.
    keys = keys.astype(np.uint8) if len(tables) <= 256 else keys
    return np.argsort(~keys, kind="stable"), np.bincount(keys, minlength=len(tables))


def _narrow(indexes: NDArray[np.integer[Any]], tables: TableFamily) -> NDArray[np.uint16]:
    """The indexes as numbers of 16 bits, which all tables have."""
    if indexes.ndim != 1:
        raise ValueError(f"indexes have {indexes.ndim} dimensions, not 1")
    if indexes.size and not 0 <= int(indexes.min()) <= int(indexes.max()) < len(tables):
        raise ValueError(f"a table index is outside of 0 to {len(tables) - 1}")
    return indexes.astype(np.uint16, copy=False)


def _in_order(of_tables: NDArray[np.int32], counts: NDArray[np.intp]) -> NDArray[np.int32]:
    """A value of each table, for each symbol in the order of the stream."""
    return np.repeat(of_tables[::-1], counts[::-1])


def _check_limits(limits: NDArray[np.int16] | None, count: int) -> None:
    if limits is not None and (limits.shape != (count, 2) or limits.dtype != np.int16):
        raise ValueError(f"limits of {count} symbols are {limits.dtype} {limits.shape}")


class SymbolEncoder:
    """Codes symbols into one stream; `put` as often as needed, then `finish` once."""

    def __init__(self, *, has_limits: bool = False) -> None:
        """Begin to encode; `has_limits` says that some symbols will have limits."""
        self._is_compiled = kernel.selected() != "numpy"
        self._is_plain = has_limits and not self._is_compiled
        self._coder: Any
        if self._is_compiled:
            self._coder = coder.RangeEncoder()
        elif self._is_plain:
            self._coder = PlainEncoder()
        else:
            self._coder = constriction.stream.queue.RangeEncoder()

    def put(
        self,
        symbols: NDArray[np.integer[Any]],
        indexes: NDArray[np.integer[Any]],
        tables: TableFamily,
        limits: NDArray[np.int16] | None = None,
    ) -> None:
        """Code `(n,)` symbols, each under the table of its index.

        Args:
            symbols: integers, -32768 to 32767, in raster order.
            indexes: integers, 0 to len(tables) - 1.
            tables: the family.
            limits: `(n, 2)` the least and the greatest value that each symbol can have, if they
                are known; what its table gives to values beyond belongs to these two.

        Raises:
            ValueError: shapes differ, or a value is out of range.
        """
        if symbols.shape != indexes.shape:
            raise ValueError(f"there are {symbols.shape} symbols for {indexes.shape} indexes")
        _check_limits(limits, symbols.size)
        order, counts = _group(indexes, tables)
        if not order.size:
            return
        if not SYMBOL_MIN <= int(symbols.min()) <= int(symbols.max()) <= SYMBOL_MAX:
            raise ValueError("a symbol is outside of -32768 to 32767")
        values = symbols.astype(np.int32, copy=False)[order]
        entries = values - _in_order(tables.lows, counts)
        escapes = _in_order(tables.sizes - 1, counts)
        # Seen as unsigned, a negative entry is a huge one: one comparison for both ends.
        escaped = entries.view(np.uint32) >= escapes.view(np.uint32)
        np.copyto(entries, escapes, where=escaped)
        used = np.flatnonzero(counts)[::-1]
        self._put(entries, tables, used, counts[used], None if limits is None else limits[order])
        if escaped.any():
            raw = values[escaped] - SYMBOL_MIN
            bytes_ = np.concatenate([raw >> 8, raw & 0xFF])
            self._put(bytes_, _BYTES, np.zeros(1, np.intp), np.array([bytes_.size]))

    def finish(self) -> bytes:
        """Return the stream: little-endian 32-bit words, the last one not zero; may be empty."""
        is_ours = self._is_compiled or self._is_plain
        words = self._coder.finish() if is_ours else self._coder.get_compressed()
        # A decoder reads zeros past the end, so zero words at the end say nothing.
        used = np.flatnonzero(words)
        return bytes(words[: used[-1] + 1 if used.size else 0].astype("<u4").tobytes())

    def _put(
        self,
        entries: NDArray[np.int32],
        tables: TableFamily,
        which: NDArray[np.intp],
        counts: NDArray[np.intp],
        limits: NDArray[np.int16] | None = None,
    ) -> None:
        """Code entries in runs, so many of one table each."""
        if self._is_compiled or self._is_plain:
            family = tables.compiled if self._is_compiled else tables
            self._coder.encode(family, which, counts, entries, limits)
            return
        assert limits is None, "constriction knows no limits"
        position = 0
        for table, count in zip(which.tolist(), counts.tolist(), strict=True):
            self._coder.encode(entries[position : position + count], tables.model(table))
            position += count


class SymbolDecoder:
    """Decodes a stream that `SymbolEncoder` made, with the same tables in the same order."""

    def __init__(self, data: bytes, *, has_limits: bool = False, is_cut: bool = False) -> None:
        """Begin to decode `data`.

        Args:
            data: the stream.
            has_limits: some of its symbols have limits.
            is_cut: it is only the beginning of one, of any length; `get_known` says how far it
                goes, and nothing is an error.

        Raises:
            CorruptError: not a whole number of words, or the last one is zero.
        """
        if is_cut:
            data = data[: len(data) // _WORD_BYTES * _WORD_BYTES]
        if len(data) % _WORD_BYTES:
            raise CorruptError(
                f"a coded stream has {grouped(len(data))} bytes, not a multiple of {_WORD_BYTES}"
            )
        words = np.frombuffer(data, "<u4")
        if words.size and not words[-1] and not is_cut:
            raise CorruptError("a coded stream ends in a zero word")
        self._num_words = words.size
        self._num_symbols = 0
        self._coder: Any
        self._is_cut = is_cut
        self._is_compiled = kernel.selected() != "numpy"
        self._is_plain = (has_limits or is_cut) and not self._is_compiled
        if self._is_compiled:
            self._coder = coder.RangeDecoder(words.astype(np.uint32))
        elif self._is_plain:
            self._coder = PlainDecoder(words.tolist(), is_cut=is_cut)
        else:
            self._coder = constriction.stream.queue.RangeDecoder(words.astype(np.uint32))

    def get(
        self,
        indexes: NDArray[np.integer[Any]],
        tables: TableFamily,
        limits: NDArray[np.int16] | None = None,
    ) -> NDArray[np.int32]:
        """Decode the next `(n,)` symbols, each under the table of its index.

        Args:
            indexes: integers, 0 to len(tables) - 1, in raster order.
            tables: the family.
            limits: as of `SymbolEncoder.put`.

        Returns:
            `(n,)` int32 symbols, -32768 to 32767, in the order of `indexes`; only one that was
            escaped can be beyond its limits.

        Raises:
            CorruptError: no encoder makes this stream. Most damage is not noticed here: it yields
                wrong symbols, which the tile's checksum finds.
            ValueError: an index is out of range, or limits are not those of so many symbols.
        """
        _check_limits(limits, indexes.size)
        if not self._is_compiled or self._is_cut:
            return self._known(indexes, tables, limits)[0]
        narrow = _narrow(indexes, tables)
        try:
            symbols: NDArray[np.int32] = self._coder.group(tables.compiled, narrow, limits)
        except ValueError as error:
            raise CorruptError(f"a coded stream {error}") from error
        self._num_symbols += symbols.size
        return symbols

    def get_known(
        self, indexes: NDArray[np.integer[Any]], tables: TableFamily
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Do as `get` does, and say which symbols are there.

        Returns:
            `(n,)` int32 symbols, 0 for those that a cut stream has no more; `(n,)` which it has.
        """
        return self._known(indexes, tables, None)

    def _known(
        self,
        indexes: NDArray[np.integer[Any]],
        tables: TableFamily,
        limits: NDArray[np.int16] | None,
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        order, counts = _group(indexes, tables)
        entries = self._entries(tables, counts, None if limits is None else limits[order])
        last, lows = _in_order(tables.sizes - 1, counts), _in_order(tables.lows, counts)
        escaped = np.flatnonzero(entries == last[: entries.size])
        values = np.zeros(order.size, np.int32)
        values[: entries.size] = entries + lows[: entries.size]
        is_there = np.arange(order.size) < entries.size
        if escaped.size:
            count = np.array([escaped.size])
            high, low = self._entries(_BYTES, count), self._entries(_BYTES, count)
            values[escaped], is_there[escaped] = 0, False
            escaped = escaped[: low.size]
            raw = (high[: low.size] << 8 | low) + SYMBOL_MIN
            inside = raw - lows[escaped]
            if ((inside >= 0) & (inside < last[escaped])).any() and not self._is_cut:
                raise CorruptError("a coded stream escapes a value that its table holds")
            values[escaped], is_there[escaped] = raw, True
        self._num_symbols += order.size
        symbols, known = np.empty_like(values), np.empty_like(is_there)
        symbols[order], known[order] = values, is_there
        return symbols, known

    def finish(self) -> None:
        """Check that the stream ends where the symbols end, as far as the coder can tell.

        Found are all words that were not read (so a stream is never longer than its symbols can
        need), and a final state that no encoder ends in, which is where most damage leads to: the
        number still to decode is no longer within 2^33 of the interval's lower end. Not found are
        one word too many, since the decoder reads one word ahead, and damage that happens to end
        well: the tile's checksum finds what changes a symbol.

        Raises:
            CorruptError: the stream goes on after its last symbol, or ends as none does.
        """
        # constriction calls any two words exhausted before the first symbol: they are in its state.
        is_ours = self._is_compiled or self._is_plain
        is_at_its_end = self._coder.is_at_its_end() if is_ours else self._coder.maybe_exhausted()
        if (self._num_words or self._num_symbols) and not (is_at_its_end and self._num_symbols):
            raise CorruptError("a coded stream does not end with its last symbol")

    def _entries(
        self,
        tables: TableFamily,
        counts: NDArray[np.intp],
        limits: NDArray[np.int16] | None = None,
    ) -> NDArray[np.int32]:
        """The next entries, so many of each table, the last table first; all that are there."""
        decoded: NDArray[np.int32]
        if self._is_plain:
            try:
                decoded = self._coder.decode(tables, counts, limits)
            except ValueError as error:
                raise CorruptError("a coded stream is damaged") from error
            return decoded
        assert limits is None, "neither constriction nor a cut stream has limits"
        if self._is_compiled:
            decoded = self._coder.decode(tables.compiled, counts)
            return decoded
        entries = np.empty(int(counts.sum()), np.int32)
        position = 0
        for table in np.flatnonzero(counts)[::-1].tolist():
            end = position + int(counts[table])
            entries[position:end] = self._decode(tables.model(table), end - position)
            position = end
        return entries

    def _decode(self, model: Any, count: int) -> NDArray[np.int32]:
        try:
            decoded: NDArray[np.int32] = self._coder.decode(model, count)
        except (AssertionError, ValueError) as error:
            raise CorruptError("a coded stream is damaged") from error
        except BaseException as error:
            # constriction's panics derive from BaseException and their class cannot be imported.
            if type(error).__name__ != "PanicException":
                raise
            raise CorruptError("a coded stream is damaged") from error
        return decoded

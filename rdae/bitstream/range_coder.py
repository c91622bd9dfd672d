"""Symbols to bytes and back: table-driven range coding (FORMAT.md, Entropy coding).

The coder is constriction's range coder: 32-bit words, 64-bit state, 24-bit probabilities. Its
models are built so that no floating-point rounding can take part: of integer frequencies f that sum
to 2^24 it is given f - 1, to which it adds 1 itself, with a scale of exactly 1, so its cumulative
counts are exactly those of f on every machine.

Symbols are grouped by table (stable), so a call costs one sort and one coder call for each table
that is in use, never work in Python for each symbol.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from rdae.errors import CorruptError, grouped
from rdae.exact import kernel

__all__ = ["PRECISION_BITS", "SymbolDecoder", "SymbolEncoder", "TableFamily"]

PRECISION_BITS = 24  # the frequencies of a table sum to 2^24
ESCAPE_BITS = 16
_TOTAL = 1 << PRECISION_BITS
_SYMBOL_MIN, _SYMBOL_MAX = -(1 << 15), (1 << 15) - 1
_WORD_BYTES = 4

_model = constriction.stream.model


class TableFamily:
    """A family of integer frequency tables, chosen from by index.

    Table t codes the values low[t] to low[t] + size[t] - 2; its last entry is the escape, which
    stands for every other value.

    Attributes:
        freqs: all tables one after the other, `(sum of sizes,)` int64.
        sizes: entries of each table, escape included, `(tables,)` int32, each >= 2.
        starts: position of each table in `freqs`, `(tables,)` int64.
        lows: smallest value that each table codes, `(tables,)` int32.
    """

    def __init__(self, freqs: Sequence[NDArray[np.int64]], lows: NDArray[np.int32]) -> None:
        """Check the tables and keep them; the coder's models are built when first used.

        Args:
            freqs: for each table `(size,)` integers >= 1 that sum to 2^24.
            lows: `(tables,)`; low to low + size - 2 must lie in -32768 to 32767.

        Raises:
            ValueError: a table breaks these rules.
        """
        tables = [np.asarray(table) for table in freqs]
        if not 1 <= len(tables) <= 1 << 16:
            raise ValueError(f"a family has 1 to 65536 tables, not {len(tables)}")
        for index, table in enumerate(tables):
            if table.ndim != 1 or table.size < 2 or table.dtype.kind not in "iu":
                raise ValueError(f"table {index} is not a list of at least 2 integers")
        self.freqs: NDArray[np.int64] = np.concatenate(tables).astype(np.int64)
        self.sizes: NDArray[np.int32] = np.array([table.size for table in tables], np.int32)
        self.starts: NDArray[np.int64] = np.cumsum(self.sizes, dtype=np.int64) - self.sizes
        least_values = np.asarray(lows).astype(np.int64)
        if least_values.shape != self.sizes.shape:
            raise ValueError(f"there are {least_values.size} lows for {self.sizes.size} tables")
        least = np.minimum.reduceat(self.freqs, self.starts)
        most = np.maximum.reduceat(self.freqs, self.starts)
        # The bound on each entry comes first: it keeps the sums from overflowing.
        in_range = (least >= 1) & (most < _TOTAL)
        sums = np.add.reduceat(np.clip(self.freqs, 0, _TOTAL), self.starts)
        wide = (least_values < _SYMBOL_MIN) | (least_values + self.sizes - 2 > _SYMBOL_MAX)
        for bad, text in (
            (~in_range, "has a frequency below 1 or above 2^24-1"),
            (sums != _TOTAL, "has frequencies that do not sum to 2^24"),
            (wide, "codes values outside of -32768 to 32767"),
        ):
            if bad.any():
                raise ValueError(f"table {int(np.argmax(bad))} {text}")
        self.lows: NDArray[np.int32] = least_values.astype(np.int32)
        self._models: list[Any] = [None] * len(tables)

    def __len__(self) -> int:
        return len(self._models)

    def model(self, index: int) -> Any:
        """Return constriction's model of table `index`."""
        model = self._models[index]
        if model is None:
            start = int(self.starts[index])
            freqs = self.freqs[start : start + int(self.sizes[index])]
            model = _model.Categorical((freqs - 1).astype(np.float64), perfect=False, lazy=False)
            self._models[index] = model
        return model

    @cached_property
    def compiled(self) -> kernel.TableSet:
        """The tables as the compiled decoder reads them."""
        return kernel.TableSet(self.freqs, self.sizes)

    @cached_property
    def _costs(self) -> NDArray[np.float64]:
        """Bits of each entry of each table, an escape's two bytes included."""
        costs = np.asarray(PRECISION_BITS - np.log2(self.freqs), np.float64)
        costs[self.starts + self.sizes - 1] += ESCAPE_BITS
        return costs

    def symbol_bits(
        self, symbols: NDArray[np.integer[Any]], indexes: NDArray[np.integer[Any]]
    ) -> NDArray[np.float64]:
        """Return the ideal cost of each symbol under its table, in bits, escapes included.

        Args:
            symbols: `(n,)` integers, -32768 to 32767.
            indexes: `(n,)` integers, the table of each symbol.
        """
        escapes = self.sizes[indexes] - 1
        entries = symbols - self.lows[indexes]
        entries = np.where((entries < 0) | (entries > escapes), escapes, entries)
        costs: NDArray[np.float64] = self._costs[self.starts[indexes] + entries]
        return costs

    def bits(self, symbols: NDArray[np.integer[Any]], indexes: NDArray[np.integer[Any]]) -> float:
        """Return the ideal cost of all symbols, in bits: what a perfect coder would write."""
        return float(self.symbol_bits(symbols, indexes).sum())


# The byte table: one for each value, and no escape behind them.
_BYTES = TableFamily([np.full(256, _TOTAL // 256)], np.zeros(1, np.int32))


def _group(
    indexes: NDArray[np.integer[Any]], tables: TableFamily
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the stable order by table, and the number of symbols of each table."""
    if indexes.ndim != 1:
        raise ValueError(f"indexes have {indexes.ndim} dimensions, not 1")
    if indexes.size and not 0 <= int(indexes.min()) <= int(indexes.max()) < len(tables):
        raise ValueError(f"a table index is outside of 0 to {len(tables) - 1}")
    # NumPy sorts keys of 8 and 16 bits by radix, ten times faster than wider ones.
    keys = indexes.astype(np.uint8 if len(tables) <= 256 else np.uint16, copy=False)
    return _order(keys), np.bincount(keys, minlength=len(tables))


def _order(keys: NDArray[Any]) -> NDArray[np.intp]:
    """The stable order of keys."""
    if keys.dtype == np.uint8 and kernel.selected() != "numpy":
        return kernel.order(keys).astype(np.intp, copy=False)
    return np.argsort(keys, kind="stable")


class SymbolEncoder:
    """Codes symbols into one stream; `put` as often as needed, then `finish` once."""

    def __init__(self) -> None:
        self._is_compiled = kernel.selected() != "numpy"
        self._coder: Any
        if self._is_compiled:
            self._coder = kernel.RangeEncoder()
        else:
            self._coder = constriction.stream.queue.RangeEncoder()

    def put(
        self,
        symbols: NDArray[np.integer[Any]],
        indexes: NDArray[np.integer[Any]],
        tables: TableFamily,
    ) -> None:
        """Code `(n,)` symbols, each under the table of its index.

        Args:
            symbols: integers, -32768 to 32767, in raster order.
            indexes: integers, 0 to len(tables) - 1.
            tables: the family.

        Raises:
            ValueError: shapes differ, or a value is out of range.
        """
        if symbols.shape != indexes.shape:
            raise ValueError(f"there are {symbols.shape} symbols for {indexes.shape} indexes")
        order, counts = _group(indexes, tables)
        if not order.size:
            return
        if not _SYMBOL_MIN <= int(symbols.min()) <= int(symbols.max()) <= _SYMBOL_MAX:
            raise ValueError("a symbol is outside of -32768 to 32767")
        values = symbols.astype(np.int32, copy=False)[order]
        entries = values - np.repeat(tables.lows, counts)
        escapes = np.repeat(tables.sizes - 1, counts)
        # Seen as unsigned, a negative entry is a huge one: one comparison for both ends.
        escaped = entries.view(np.uint32) >= escapes.view(np.uint32)
        np.copyto(entries, escapes, where=escaped)
        used = np.flatnonzero(counts)
        self._put(entries, tables, used, counts[used])
        if escaped.any():
            raw = values[escaped] - _SYMBOL_MIN
            bytes_ = np.concatenate([raw >> 8, raw & 0xFF])
            self._put(bytes_, _BYTES, np.zeros(1, np.intp), np.array([bytes_.size]))

    def finish(self) -> bytes:
        """Return the stream: little-endian 32-bit words, the last one not zero; may be empty."""
        words = self._coder.finish() if self._is_compiled else self._coder.get_compressed()
        # A decoder reads zeros past the end, so zero words at the end say nothing.
        used = np.flatnonzero(words)
        return bytes(words[: used[-1] + 1 if used.size else 0].astype("<u4").tobytes())

    def _put(
        self,
        entries: NDArray[np.int32],
        tables: TableFamily,
        which: NDArray[np.intp],
        counts: NDArray[np.intp],
    ) -> None:
        """Code entries in runs, so many of one table each."""
        if self._is_compiled:
            self._coder.encode(tables.compiled, which, counts, entries)
            return
        position = 0
        for table, count in zip(which.tolist(), counts.tolist(), strict=True):
            self._coder.encode(entries[position : position + count], tables.model(table))
            position += count


class SymbolDecoder:
    """Decodes a stream that `SymbolEncoder` made, with the same tables in the same order."""

    def __init__(self, data: bytes) -> None:
        """Begin to decode `data`.

        Raises:
            CorruptError: not a whole number of words, or the last one is zero.
        """
        if len(data) % _WORD_BYTES:
            raise CorruptError(
                f"a coded stream has {grouped(len(data))} bytes, not a multiple of {_WORD_BYTES}"
            )
        words = np.frombuffer(data, "<u4")
        if words.size and not words[-1]:
            raise CorruptError("a coded stream ends in a zero word")
        self._num_words = words.size
        self._num_symbols = 0
        self._coder: Any
        self._is_compiled = kernel.selected() != "numpy"
        if self._is_compiled:
            self._coder = kernel.RangeDecoder(words.astype(np.uint32))
        else:
            self._coder = constriction.stream.queue.RangeDecoder(words.astype(np.uint32))

    def get(self, indexes: NDArray[np.integer[Any]], tables: TableFamily) -> NDArray[np.int32]:
        """Decode the next `(n,)` symbols, each under the table of its index.

        Args:
            indexes: integers, 0 to len(tables) - 1, in raster order.
            tables: the family.

        Returns:
            `(n,)` int32 symbols, -32768 to 32767, in the order of `indexes`.

        Raises:
            CorruptError: no encoder makes this stream. Most damage is not noticed here: it yields
                wrong symbols, which the tile's checksum finds.
            ValueError: an index is out of range.
        """
        order, counts = _group(indexes, tables)
        entries = self._entries(tables, counts)
        escaped = np.flatnonzero(entries == np.repeat(tables.sizes - 1, counts))
        values = entries + np.repeat(tables.lows, counts)
        if escaped.size:
            count = np.array([escaped.size])
            high = self._entries(_BYTES, count)
            raw = (high << 8 | self._entries(_BYTES, count)) + _SYMBOL_MIN
            table_of = np.searchsorted(np.cumsum(counts), escaped, side="right")
            inside = raw - tables.lows[table_of]
            if ((inside >= 0) & (inside < tables.sizes[table_of] - 1)).any():
                raise CorruptError("a coded stream escapes a value that its table holds")
            values[escaped] = raw
        self._num_symbols += order.size
        symbols = np.empty_like(values)
        symbols[order] = values
        return symbols

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
        is_at_its_end = (
            self._coder.is_at_its_end() if self._is_compiled else self._coder.maybe_exhausted()
        )
        if (self._num_words or self._num_symbols) and not (is_at_its_end and self._num_symbols):
            raise CorruptError("a coded stream does not end with its last symbol")

    def _entries(self, tables: TableFamily, counts: NDArray[np.intp]) -> NDArray[np.int32]:
        """The next entries, so many of each table, sorted by table."""
        if self._is_compiled:
            try:
                decoded: NDArray[np.int32] = self._coder.decode(tables.compiled, counts)
            except ValueError as error:
                raise CorruptError("a coded stream is damaged") from error
            return decoded
        entries = np.empty(int(counts.sum()), np.int32)
        position = 0
        for table in np.flatnonzero(counts).tolist():
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

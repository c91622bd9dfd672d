"""Families of integer frequency tables, under which symbols are coded (FORMAT.md, Tables).

constriction's models of them are built so that no floating-point rounding can take part: of integer
frequencies f that sum to 2^24 it is given f - 1, to which it adds 1 itself, with a scale of exactly
1, so its cumulative counts are exactly those of f on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from rdae.exact.kernel import coder

__all__ = ["PRECISION_BITS", "SYMBOL_MAX", "SYMBOL_MIN", "TOTAL", "TableFamily"]

PRECISION_BITS = 24  # the frequencies of a table sum to 2^24
ESCAPE_BITS = 16
TOTAL = 1 << PRECISION_BITS
SYMBOL_MIN, SYMBOL_MAX = -(1 << 15), (1 << 15) - 1
COST_BITS = 24  # behind the point of a cost: integers, so that all machines choose by the same sums
_STEP_BITS = 14  # of the logarithms between which others are interpolated

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
        in_range = (least >= 1) & (most < TOTAL)
        sums = np.add.reduceat(np.clip(self.freqs, 0, TOTAL), self.starts)
        wide = (least_values < SYMBOL_MIN) | (least_values + self.sizes - 2 > SYMBOL_MAX)
        for bad, text in (
            (~in_range, "has a frequency below 1 or above 2^24-1"),
            (sums != TOTAL, "has frequencies that do not sum to 2^24"),
            (wide, "codes values outside of -32768 to 32767"),
        ):
            if bad.any():
                raise ValueError(f"table {int(np.argmax(bad))} {text}")
        self.lows: NDArray[np.int32] = least_values.astype(np.int32)
        self._models: list[Any] = [None] * len(tables)
        self._cdfs: dict[int, list[int]] = {}

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

    def cdf(self, index: int) -> list[int]:
        """Return the cumulative frequencies of table `index`, from 0 to 2^24."""
        if index not in self._cdfs:
            start = int(self.starts[index])
            freqs = self.freqs[start : start + int(self.sizes[index])]
            self._cdfs[index] = [0, *np.cumsum(freqs).tolist()]
        return self._cdfs[index]

    @cached_property
    def compiled(self) -> coder.TableSet:
        """The tables as the compiled coder reads them."""
        return coder.TableSet(self.freqs, self.sizes, self.lows)

    @cached_property
    def powers(self) -> NDArray[np.float64]:
        """The mean square of what each table codes, `(tables,)`, escapes counted at its end."""
        positions = np.arange(self.freqs.size) - np.repeat(self.starts, self.sizes)
        values = positions + np.repeat(self.lows, self.sizes)
        sums = np.add.reduceat(self.freqs * values.astype(np.float64) ** 2, self.starts)
        return np.asarray(sums / TOTAL, np.float64)

    @cached_property
    def _costs(self) -> NDArray[np.int64]:
        """Cost of each entry of each table in 2^-24 bits, an escape's two bytes included."""
        costs = _costs_of(self.freqs)
        costs[self.starts + self.sizes - 1] += ESCAPE_BITS << COST_BITS
        return costs

    @cached_property
    def _limited_costs(self) -> NDArray[np.int64]:
        """The same of symbols that are neither, one, the other, or both of their limits.

        `(4 * entries of all tables,)`, those that are the least at 1, the greatest at 2.
        """
        ends = self.starts + self.sizes - 1  # the escapes
        cdf = np.concatenate([[0], np.cumsum(self.freqs)])
        begins = cdf[:-1] - np.repeat(cdf[self.starts], self.sizes)  # from 0 in each table
        all_but_escapes = np.repeat(begins[ends], self.sizes)
        costs = np.empty((4, self.freqs.size), np.int64)
        costs[0] = self._costs
        costs[1] = _costs_of(begins + self.freqs)
        costs[2] = _costs_of(np.maximum(all_but_escapes - begins, 1))
        costs[3] = np.repeat(_costs_of(begins[ends]), self.sizes)
        costs[:, ends] = self._costs[ends]
        return costs.ravel()

    def _symbol_costs(
        self,
        symbols: NDArray[np.integer[Any]],
        indexes: NDArray[np.integer[Any]],
        edges: NDArray[np.integer[Any]] | None,
    ) -> NDArray[np.int64]:
        """`symbol_bits` in 2^-24."""
        escapes = self.sizes[indexes] - 1
        entries = symbols - self.lows[indexes]
        entries = np.where((entries < 0) | (entries > escapes), escapes, entries)
        costs: NDArray[np.int64]
        if edges is None:
            costs = self._costs[self.starts[indexes] + entries]
        else:
            costs = self._limited_costs[edges * self.freqs.size + self.starts[indexes] + entries]
        return costs

    def symbol_bits(
        self,
        symbols: NDArray[np.integer[Any]],
        indexes: NDArray[np.integer[Any]],
        edges: NDArray[np.integer[Any]] | None = None,
    ) -> NDArray[np.float64]:
        """Return the ideal cost of each symbol under its table, in bits, escapes included.

        Args:
            symbols: `(n,)` integers, -32768 to 32767.
            indexes: `(n,)` integers, the table of each symbol.
            edges: `(n,)` integers, for symbols with limits: 1 for the least that is possible, 2 for
                the greatest, 3 for the only one, otherwise 0.
        """
        return self._symbol_costs(symbols, indexes, edges) / (1 << COST_BITS)

    def bits(
        self,
        symbols: NDArray[np.integer[Any]],
        indexes: NDArray[np.integer[Any]],
        edges: NDArray[np.integer[Any]] | None = None,
    ) -> float:
        """Return the ideal cost of all symbols, in bits: what a perfect coder would write.

        The same on every machine.
        """
        return int(self._symbol_costs(symbols, indexes, edges).sum()) / (1 << COST_BITS)


def _costs_of(freqs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Costs of entries in 2^-24 bits, from frequencies of 1 to 2^24; computed with integers."""
    _, digits = np.frexp(freqs)  # binary ones, exactly
    fractions = (freqs << (PRECISION_BITS + 1 - digits)) - TOTAL  # what is beyond a power of two
    between_bits = PRECISION_BITS - _STEP_BITS
    steps, between = fractions >> between_bits, fractions & ((1 << between_bits) - 1)
    logarithms = _logarithms()
    low, high = logarithms[steps], logarithms[steps + 1]
    part = low + ((high - low) * between >> between_bits)
    costs: NDArray[np.int64] = ((PRECISION_BITS + 1 - digits.astype(np.int64)) << COST_BITS) - part
    return costs


@cache
def _logarithms() -> NDArray[np.int64]:
    """Binary logarithms of 1 to 2 in steps of 2^-14, in 2^-24: a bit at each squaring."""
    point = 31  # bits behind it; a square fills 64
    count = 1 << _STEP_BITS
    values = np.arange(count, 2 * count, dtype=np.uint64) << np.uint64(point - _STEP_BITS)
    found = np.zeros(count + 1, np.int64)
    found[count] = 1 << COST_BITS
    for bit in reversed(range(COST_BITS)):
        values = values * values >> np.uint64(point)
        is_beyond = values >> np.uint64(point + 1)  # two or more
        found[:count] += is_beyond.astype(np.int64) << bit
        values >>= is_beyond
    return found

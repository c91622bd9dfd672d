"""Symbols between limits: what a table gives to values beyond them belongs to the nearest ones."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rdae.bitstream.range_coder import SymbolDecoder, SymbolEncoder
from rdae.bitstream.tables import ESCAPE_BITS, TableFamily
from rdae.errors import CorruptError
from rdae.exact.kernel import coder as compiled
from tests.reference_range_coder import TOTAL, ReferenceEncoder
from tests.table_samples import families

Drawn = tuple[NDArray[np.int32], NDArray[np.uint16], NDArray[np.int16]]


pytestmark = pytest.mark.usefixtures("carrier")


def cdf_of(tables: TableFamily, index: int) -> list[int]:
    start, size = int(tables.starts[index]), int(tables.sizes[index])
    return [0, *accumulate(tables.freqs[start : start + size].tolist())]


def drawn(data: st.DataObject, tables: TableFamily, *, escapes: bool = True) -> Drawn:
    """Symbols between limits of which at least one value is in the table."""
    indexes = data.draw(st.lists(st.integers(0, len(tables) - 1), max_size=30))
    symbols, limits = [], []
    for t in indexes:
        low, high = int(tables.lows[t]), int(tables.lows[t] + tables.sizes[t] - 2)
        inside = data.draw(st.integers(low, high))
        least = data.draw(st.integers(max(low - 3, -32768), inside))
        most = data.draw(st.integers(inside, min(high + 3, 32767)))
        limits.append((least, most))
        legal = (least, most) if escapes else (max(least, low), min(most, high))
        symbols.append(data.draw(st.integers(*legal)))
    pairs = np.array(limits, np.int16).reshape(-1, 2)
    return np.array(symbols, np.int32), np.array(indexes, np.uint16), pairs


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.data())
def test_symbols_come_back_beside_others_without_limits(data: st.DataObject) -> None:
    tables = data.draw(families())
    parts = [drawn(data, tables) for _ in range(data.draw(st.integers(0, 4)))]
    which = [limits if data.draw(st.booleans()) else None for _, _, limits in parts]
    encoder = SymbolEncoder(has_limits=True)
    for (symbols, indexes, _), limits in zip(parts, which, strict=True):
        encoder.put(symbols, indexes, tables, limits)
    decoder = SymbolDecoder(encoder.finish(), has_limits=True)
    for (symbols, indexes, _), limits in zip(parts, which, strict=True):
        got = decoder.get(indexes, tables, limits)
        assert got.dtype == np.int32 and (got == symbols).all()
    decoder.finish()


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.data())
def test_the_words_are_those_of_the_formats_intervals(data: st.DataObject) -> None:
    tables = data.draw(families())
    symbols, indexes, limits = drawn(data, tables, escapes=False)
    encoder, reference = SymbolEncoder(has_limits=True), ReferenceEncoder()
    encoder.put(symbols, indexes, tables, limits)
    for i in np.argsort(-indexes.astype(int), kind="stable"):
        cdf, low = cdf_of(tables, indexes[i]), int(tables.lows[indexes[i]])
        escape = len(cdf) - 2
        cdf[max(int(limits[i, 0]) - low, 0)] = 0
        cdf[min(int(limits[i, 1]) - low, escape - 1) + 1] = cdf[escape]
        reference.encode(cdf, int(symbols[i]) - low)
    assert encoder.finish() == reference.finish()


def test_limits_that_leave_all_change_no_word() -> None:
    rng = np.random.default_rng(1)
    tables = TableFamily([np.full(16, 1 << 20)] * 40, rng.integers(-9, 0, 40).astype(np.int32))
    indexes = rng.integers(0, 40, 3000).astype(np.uint16)
    symbols = rng.integers(-12, 12, 3000).astype(np.int32)  # some escape
    streams = []
    for limits in (None, np.tile(np.array([-300, 300], np.int16), (3000, 1))):
        for has_limits in (True, False)[: 2 if limits is None else 1]:
            encoder = SymbolEncoder(has_limits=has_limits)
            encoder.put(symbols, indexes, tables, limits)
            streams.append(encoder.finish())
    assert len(set(streams)) == 1


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.data())
def test_probabilities_sum_to_one_and_are_what_is_written(data: st.DataObject) -> None:
    tables = data.draw(families())
    t = data.draw(st.integers(0, len(tables) - 1))
    low, entries = int(tables.lows[t]), int(tables.sizes[t]) - 1
    least = data.draw(st.integers(low, low + entries - 1))
    most = data.draw(st.integers(least, low + entries - 1))
    symbols = np.arange(least, most + 1)
    edges = (symbols == least) + 2 * (symbols == most)
    indexes = np.full(symbols.size, t, np.uint16)
    bits = tables.symbol_bits(symbols, indexes, edges)
    escape = cdf_of(tables, t)[-2]
    assert np.exp2(-bits).sum() == pytest.approx(escape / TOTAL, rel=1e-6)
    assert tables.bits(symbols, indexes, edges) == pytest.approx(bits.sum())
    many = np.repeat(symbols, 200)
    encoder = SymbolEncoder(has_limits=True)
    limits = np.tile(np.array([least, most], np.int16), (many.size, 1))
    encoder.put(many, np.full(many.size, t, np.uint16), tables, limits)
    behind = TableFamily([np.full(256, 1 << 16)], np.zeros(1, int))  # or zeros would be left out
    encoder.put(np.array([200]), np.zeros(1, int), behind)
    size = 8 * len(encoder.finish())
    assert size == pytest.approx(200 * bits.sum(), rel=1e-3, abs=64)


def test_an_escape_costs_the_same_between_limits() -> None:
    tables = TableFamily([np.array([1 << 23, 1 << 22, 1 << 22])], np.array([10]))
    far, zero = np.array([9, 12]), np.zeros(2, int)
    for edge in range(4):
        costs = tables.symbol_bits(far, zero, np.full(2, edge))
        assert costs.tolist() == [2 + ESCAPE_BITS] * 2


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.data(), st.binary(max_size=40))
def test_any_bytes_are_symbols_between_limits_or_corrupt(
    data: st.DataObject, stream: bytes
) -> None:
    tables = data.draw(families())
    _, indexes, limits = drawn(data, tables)
    try:
        found = SymbolDecoder(stream, has_limits=True).get(indexes, tables, limits)
    except CorruptError:
        return
    entries = found - tables.lows[indexes]
    escaped = (entries < 0) | (entries >= tables.sizes[indexes] - 1)
    within = (limits[:, 0] <= found) & (found <= limits[:, 1])
    assert (within | escaped).all()


@pytest.mark.parametrize("symbol", [-2, 2])
def test_a_symbol_beyond_its_limits_is_refused(symbol: int) -> None:
    tables = TableFamily([np.full(8, 1 << 21)], np.array([-3]))
    with pytest.raises(ValueError, match="beyond its limits"):
        SymbolEncoder(has_limits=True).put(
            np.array([symbol]), np.zeros(1, int), tables, np.array([[-1, 1]], np.int16)
        )


@pytest.mark.parametrize(
    "limits", [np.zeros((2, 2), np.int16), np.zeros((1, 2), np.int32), np.zeros(2, np.int16)]
)
def test_limits_of_other_symbols_are_refused(limits: NDArray[Any]) -> None:
    tables, one = TableFamily([np.full(8, 1 << 21)], np.array([-3])), np.zeros(1, np.int32)
    with pytest.raises(ValueError, match="limits of 1 symbols are"):
        SymbolEncoder(has_limits=True).put(one, one, tables, limits)
    with pytest.raises(ValueError, match="limits of 1 symbols are"):
        SymbolDecoder(b"", has_limits=True).get(one, tables, limits)


def test_the_kernel_looks_at_the_shape_of_limits(carrier: str) -> None:
    if carrier == "no":
        pytest.skip("addresses are the kernel's")
    family = TableFamily([np.full(8, 1 << 21)], np.array([-3])).compiled
    one, limits = np.ones(1, np.int64), np.zeros((1, 1), np.int16)
    with pytest.raises(ValueError, match="an array is int16"):
        compiled.RangeDecoder(np.zeros(0, np.uint32)).group(family, np.zeros(1, np.uint16), limits)
    with pytest.raises(ValueError, match="an array is int16"):
        compiled.RangeEncoder().encode(family, one - 1, one, np.full(1, 3, np.int32), limits)

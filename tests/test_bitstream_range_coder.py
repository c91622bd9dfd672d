"""Range coder: exact words, every symbol comes back, and the format's own decoder agrees."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rdae.bitstream.range_coder import SymbolDecoder, SymbolEncoder
from rdae.bitstream.tables import PRECISION_BITS, TableFamily
from rdae.errors import CorruptError
from rdae.exact import kernel
from rdae.limits import max_stream_bytes
from tests.reference_range_coder import TOTAL, ReferenceDecoder, ReferenceEncoder
from tests.table_samples import draw_symbols, families, gaussian_table

pytestmark = pytest.mark.usefixtures("carrier")


SIGMAS = np.exp(np.linspace(np.log(0.11), np.log(256), 128))


@pytest.fixture(scope="module")
def gaussians() -> TableFamily:
    freqs, lows = zip(*map(gaussian_table, SIGMAS), strict=True)
    return TableFamily(freqs, np.array(lows, np.int32))


def encode(tables: TableFamily, *parts: tuple[NDArray[Any], NDArray[Any]]) -> bytes:
    encoder = SymbolEncoder()
    for symbols, indexes in parts:
        encoder.put(symbols, indexes, tables)
    return encoder.finish()


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.data())
def test_any_symbols_survive_any_tables(data: st.DataObject) -> None:
    tables = data.draw(families())
    parts = [draw_symbols(data, tables) for _ in range(data.draw(st.integers(0, 4)))]
    decoder = SymbolDecoder(encode(tables, *parts))
    for symbols, indexes in parts:
        got = decoder.get(indexes, tables)
        assert got.dtype == np.int32
        assert (got == symbols).all()
    decoder.finish()


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.data())
def test_the_reference_decoder_reads_the_same_symbols(data: st.DataObject) -> None:
    tables = data.draw(families())
    parts = [draw_symbols(data, tables) for _ in range(2)]
    decoder = ReferenceDecoder(encode(tables, *parts))
    for symbols, indexes in parts:
        assert decoder.get(indexes.tolist(), tables) == symbols.tolist()
    assert decoder.ends_well() or not sum(indexes.size for _, indexes in parts)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.data())
def test_the_reference_encoder_writes_the_same_words(data: st.DataObject) -> None:
    tables = data.draw(families())
    indexes = data.draw(st.lists(st.integers(0, len(tables) - 1), max_size=60))
    indexes.sort(reverse=True)
    reference, symbols = ReferenceEncoder(), []
    for t in indexes:
        freqs = tables.freqs[tables.starts[t] : tables.starts[t] + tables.sizes[t]].tolist()
        k = data.draw(st.integers(0, len(freqs) - 2))
        reference.encode([0, *accumulate(freqs)], k)
        symbols.append(k + int(tables.lows[t]))
    stream = encode(tables, (np.array(symbols, np.int32), np.array(indexes, np.uint8)))
    assert stream == reference.finish()


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.data(), st.binary(max_size=40))
def test_any_bytes_decode_as_the_reference_does_or_are_corrupt(
    data: st.DataObject, stream: bytes
) -> None:
    tables = data.draw(families())
    _, indexes = draw_symbols(data, tables)
    try:
        decoder = SymbolDecoder(stream)
        got = decoder.get(indexes, tables)
    except CorruptError:
        return
    reference = ReferenceDecoder(stream)
    assert reference.get(indexes.tolist(), tables) == got.tolist()
    try:
        decoder.finish()
    except CorruptError:
        assert not reference.ends_well() or not indexes.size
    else:
        assert reference.ends_well() or not indexes.size


@pytest.mark.parametrize("count", [1, 2, 3, 8, 50, 2000])
def test_a_carry_goes_through_all_words_before_it(count: int) -> None:
    """Entries that hold the middle of all numbers as long as they can; the last one is above it."""
    freqs = [1 << 16] * 255 + [(1 << 16) - 1, 1]
    cdf = [0, *accumulate(freqs)]
    reference, middle, symbols = ReferenceEncoder(), 1 << 63, []
    for left in reversed(range(count)):
        below = (middle - 1 - reference.lower) // (reference.range >> 24)
        symbols.append(bisect_right(cdf, below) - (1 if left else 0))
        words = reference.num_words
        reference.encode(cdf, symbols[-1])
        middle <<= 32 * (reference.num_words - words)
    assert reference.lower >= middle
    stream = encode(
        TableFamily([np.array(freqs)], np.array([0])), (np.array(symbols), np.zeros(count, int))
    )
    assert stream == reference.finish()
    assert int.from_bytes(stream[:4], "little") >> 31 == 1


def test_the_words_are_pinned() -> None:
    tables = TableFamily(
        [np.array([1 << 22, 1 << 23, 3 << 20, 1 << 20]), np.array([TOTAL - 1, 1])],
        np.array([-1, 0]),
    )
    symbols, indexes = [0, 1, -1, 0, 0, 300, -5], [0, 0, 0, 1, 1, 1, 0]
    stream = encode(tables, (np.array(symbols), np.array(indexes)))
    assert stream.hex() == "a5fdffffec9899cd00005050"
    assert ReferenceDecoder(stream).get(indexes, tables) == symbols


def test_costs_are_near_logarithms_and_have_one_sum_in_any_order() -> None:
    freqs = np.array([1, 2, 3, 5, 12_345, 1 << 20, (1 << 22) + 1, 0])
    freqs[-1] = TOTAL - freqs.sum()
    tables = TableFamily([freqs], np.array([0]))
    symbols = np.random.default_rng(0).integers(0, len(freqs) - 1, 5000)
    indexes = np.zeros(symbols.size, int)
    costs = tables.symbol_bits(symbols, indexes)
    assert np.abs(costs - (PRECISION_BITS - np.log2(freqs[symbols]))).max() < 2e-7
    sums = {
        tables.bits(symbols, indexes),
        tables.bits(np.sort(symbols), indexes),
        float(np.cumsum(costs)[-1]),
    }
    assert len(sums) == 1


def test_a_real_family_costs_what_its_bits_say(gaussians: TableFamily) -> None:
    rng = np.random.default_rng(5)
    indexes = rng.integers(0, 128, 20_000).astype(np.uint8)
    symbols = np.rint(rng.normal(size=20_000) * SIGMAS[indexes]).astype(np.int32)
    stream = encode(gaussians, (symbols, indexes))
    bits = gaussians.bits(symbols, indexes)
    assert bits <= 8 * len(stream) <= bits * 1.0002 + 64


def test_bits_of_an_escape_are_those_of_its_entry_and_sixteen() -> None:
    tables = TableFamily([np.array([1 << 23, 1 << 22, 1 << 22])], np.array([10]))
    symbols, indexes = np.array([10, 11, 12, 9]), np.zeros(4, int)
    assert tables.symbol_bits(symbols, indexes).tolist() == [1, 2, 18, 18]
    assert tables.bits(symbols, indexes) == 39


def test_symbols_are_grouped_by_table_and_stable() -> None:
    tables = TableFamily([np.full(16, 1 << 20)] * 2, np.array([0, 0]))
    mixed = encode(tables, (np.array([1, 2, 3, 4]), np.array([1, 0, 1, 0])))
    sorted_ = encode(tables, (np.array([1, 3, 2, 4]), np.array([1, 1, 0, 0])))
    assert mixed == sorted_


def test_more_than_256_tables_keep_their_order() -> None:
    tables = TableFamily([np.array([TOTAL - 5, 2, 2, 1])] * 300, np.full(300, -1))
    indexes = np.arange(299, -1, -1)
    symbols = (indexes % 3 - 1).astype(np.int32)
    assert (SymbolDecoder(encode(tables, (symbols, indexes))).get(indexes, tables) == symbols).all()


def test_no_symbols_make_an_empty_stream(gaussians: TableFamily) -> None:
    nothing = np.empty(0, np.int32)
    assert encode(gaussians, (nothing, nothing)) == b""
    decoder = SymbolDecoder(b"")
    assert decoder.get(nothing, gaussians).size == 0
    decoder.finish()


def test_a_stream_never_ends_in_a_zero_word() -> None:
    tables = TableFamily([np.array([TOTAL - 1, 1])], np.array([0]))
    symbols = np.zeros(1000, np.int32)
    assert encode(tables, (symbols, symbols)) == b""
    decoder = SymbolDecoder(b"")
    assert not decoder.get(symbols, tables).any()
    decoder.finish()


@pytest.mark.parametrize("stream", [b"\1\0\0", b"\1\0\0\0\0\0\0\0", bytes(4)])
def test_a_stream_of_illegal_form_is_corrupt(stream: bytes) -> None:
    with pytest.raises(CorruptError, match="a coded stream"):
        SymbolDecoder(stream)


@pytest.mark.parametrize("words", [2, 3, 1000])
def test_unread_words_are_corrupt(gaussians: TableFamily, words: int) -> None:
    indexes = np.full(50, 90, np.uint8)
    stream = encode(gaussians, (np.arange(50, dtype=np.int32), indexes))
    decoder = SymbolDecoder(stream + b"\1\2\3\4" * words)
    decoder.get(indexes, gaussians)
    with pytest.raises(CorruptError, match="does not end with its last symbol"):
        decoder.finish()


@pytest.mark.parametrize("words", [1, 2, 3])
def test_words_without_symbols_are_corrupt(words: int) -> None:
    with pytest.raises(CorruptError, match="does not end with its last symbol"):
        SymbolDecoder(b"\1\2\3\4" * words).finish()


def test_an_escape_of_a_value_that_the_table_holds_is_corrupt() -> None:
    tables = TableFamily([np.array([1 << 23, 1 << 22, 1 << 22])], np.array([0]))
    zero = np.zeros(1, int)
    # Tables that differ in their lows only: 1 is an escape for one and an entry for the other.
    shifted = TableFamily([tables.freqs], np.array([-9]))
    stream = encode(shifted, (np.array([1]), zero))
    with pytest.raises(CorruptError, match="escapes a value that its table holds"):
        SymbolDecoder(stream).get(zero, tables)


def test_a_quantile_outside_of_the_range_is_corrupt(gaussians: TableFamily) -> None:
    with pytest.raises(CorruptError, match="is damaged"):
        SymbolDecoder(b"\xff" * 8).get(np.zeros(1, np.uint8), gaussians)


def test_a_panic_of_the_coder_is_corrupt_and_an_interrupt_passes(
    gaussians: TableFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PanicException(BaseException):
        pass

    class Coder:
        error: BaseException = PanicException("assertion failed")

        def decode(self, model: object, count: int) -> None:
            raise self.error

    decoder = SymbolDecoder(b"")
    monkeypatch.setattr(decoder, "_coder", Coder())
    monkeypatch.setattr(decoder, "_is_compiled", False)
    with pytest.raises(CorruptError, match="a coded stream is damaged"):
        decoder.get(np.zeros(1, np.uint8), gaussians)
    Coder.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        decoder.get(np.zeros(1, np.uint8), gaussians)


@pytest.mark.parametrize(
    ("freqs", "lows", "message"),
    [
        ([], [], "1 to 65536 tables"),
        ([[TOTAL]], [0], "at least 2 integers"),
        ([[[1, TOTAL - 1]]], [0], "at least 2 integers"),
        ([[0.5, TOTAL - 0.5]], [0], "at least 2 integers"),
        ([[0, TOTAL]], [0], "below 1"),
        ([[-1, TOTAL + 1]], [0], "below 1"),
        ([[1, 1]], [0], "do not sum"),
        ([[2**62, 2**62, 2**62, 2**62]], [0], "above 2\\^24-1"),
        ([[1, TOTAL - 1]], [0, 0], "2 lows for 1 tables"),
        ([[1, TOTAL - 1]], [-32769], "outside of -32768"),
        ([[1, 1, TOTAL - 2]], [32767], "outside of -32768"),
        ([[1, TOTAL - 1]], [1 << 32], "outside of -32768"),
        ([[1, TOTAL - 1], [1, TOTAL]], [0, 0], "table 1 has"),
    ],
)
def test_an_illegal_family_is_refused(
    freqs: list[list[int]], lows: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TableFamily([np.array(table) for table in freqs], np.array(lows))


@pytest.mark.parametrize(
    ("symbols", "indexes", "message"),
    [
        ([1, 2], [0], "symbols for"),
        ([0], [128], "index is outside"),
        ([0], [-1], "index is outside"),
        ([32768], [0], "symbol is outside"),
        ([-32769], [0], "symbol is outside"),
        ([[0]], [[0]], "dimensions"),
    ],
)
def test_the_encoder_refuses_what_it_cannot_code(
    gaussians: TableFamily, symbols: list[int], indexes: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SymbolEncoder().put(np.array(symbols), np.array(indexes), gaussians)


def test_the_decoder_refuses_an_index_without_table(gaussians: TableFamily) -> None:
    with pytest.raises(ValueError, match="index is outside"):
        SymbolDecoder(b"").get(np.array([128]), gaussians)


def test_the_dearest_symbols_stay_within_the_bound_on_streams() -> None:
    # An escape of frequency 1 costs 24 bits and 16 more for its bytes.
    tables = TableFamily([np.array([TOTAL - 1, 1])], np.array([0]))
    symbols, indexes = np.full(999, 12345), np.zeros(999, int)
    stream = encode(tables, (symbols, indexes))
    assert 0.99 * max_stream_bytes(999) * 40 / 41 < len(stream) <= max_stream_bytes(999)


def test_models_are_built_once_and_only_when_used(carrier: str) -> None:
    tables = TableFamily([np.array([1, TOTAL - 1])] * 3, np.zeros(3, np.int32))
    encode(tables, (np.array([0, 0]), np.array([1, 1])))
    assert [model is not None for model in tables._models] == [False, carrier == "no", False]
    assert tables.model(1) is tables.model(1)


@settings(derandomize=True, deadline=None, max_examples=80)
@given(st.data())
def test_of_a_cut_stream_all_certain_symbols_are_right_and_no_others_are_told(
    data: st.DataObject,
) -> None:
    tables = data.draw(families())
    parts = [draw_symbols(data, tables) for _ in range(3)]
    stream = encode(tables, *parts)
    before = 0
    for length in sorted({*range(0, len(stream) + 1, 8), len(stream)}):
        decoder = SymbolDecoder(stream[:length] + b"\xff" * (length % 3), is_cut=True)
        found = [decoder.get_known(indexes, tables) for _, indexes in parts]
        for (symbols, _), (told, known) in zip(parts, found, strict=True):
            assert (told[known] == symbols[known]).all() and not told[~known].any()
        count = sum(int(known.sum()) for _, known in found)
        assert count >= before
        before = count
        carriers = {"no", kernel.instruction_sets()[-1] if kernel.instruction_sets() else "no"}
        for carrier in carriers:
            with carried_by(carrier):
                decoder = SymbolDecoder(stream[:length], is_cut=True)
                for (_, indexes), (told, known) in zip(parts, found, strict=True):
                    again = decoder.get_known(indexes, tables)
                    assert (again[0] == told).all() and (again[1] == known).all()


@contextmanager
def carried_by(carrier: str) -> Iterator[None]:
    before = kernel.selected()
    kernel.select(carrier)
    yield
    kernel.select("no" if before == "numpy" else before)


def test_the_widest_tables_come_first_in_a_cut_stream(gaussians: TableFamily) -> None:
    indexes = np.arange(len(gaussians)).repeat(40)
    symbols = np.random.default_rng(1).integers(-9, 10, indexes.size)
    lows, sizes = gaussians.lows[indexes], gaussians.sizes[indexes]
    symbols = symbols.clip(lows, lows + sizes - 2)  # no escapes
    stream = encode(gaussians, (symbols, indexes))
    told, known = SymbolDecoder(stream[: len(stream) // 2], is_cut=True).get_known(
        indexes, gaussians
    )
    assert 0 < known.sum() < known.size
    first = int(indexes[known].min())
    assert known[indexes > first].all() and (told[known] == symbols[known]).all()


def test_any_bytes_are_a_cut_stream(gaussians: TableFamily) -> None:
    rng = np.random.default_rng(2)
    indexes = rng.integers(0, len(gaussians), 500)
    for data in (b"", b"abc", bytes(40), b"\xff" * 40, *(rng.bytes(n) for n in range(0, 200, 7))):
        told, known = SymbolDecoder(data, is_cut=True).get_known(indexes, gaussians)
        assert not told[~known].any()

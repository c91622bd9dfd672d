"""What the kernel does for lossless files besides networks, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rdae.bitstream.range_coder import SymbolDecoder, SymbolEncoder
from rdae.bitstream.tables import TableFamily
from rdae.exact import kernel
from rdae.exact.kernel import coder
from rdae.exact.kernel import lossless as compiled
from rdae.exact.layers import Linear
from rdae.exact.taps import Run, Source, filtered, tap_values
from rdae.lossless.colour import Seen, predict, restore, settle
from rdae.lossless.parameters import Parameters
from tests.exact_definition import random_input

pytestmark = pytest.mark.skipif(not kernel.instruction_sets(), reason="no kernel was built")
SETS = ["no", *kernel.instruction_sets()]


def by_every_carrier(outcome: Callable[[], list[Any]]) -> None:
    """Check that they all give the same."""
    before = kernel.selected()
    try:
        found = []
        for wish in SETS:
            kernel.select(wish)
            found.append(outcome())
    finally:
        kernel.select("no" if before == "numpy" else before)
    for wish, other in zip(SETS, found, strict=True):
        for a, b in zip(found[0], other, strict=True):
            same_type = not isinstance(a, np.ndarray) or a.dtype == b.dtype
            assert same_type and np.array_equal(a, b), wish


def some_parameters(rng: np.random.Generator) -> Parameters:
    parameters = Parameters()
    for name, most in (("factors", 2047), ("gain", 2047), ("slope", 127), ("row", 127)):
        setattr(parameters, name, rng.integers(-most, most + 1, 3).astype(np.int32))
    parameters.shape = rng.integers(-128, 128, 3).astype(np.int32)
    return parameters


@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 40),
    k=st.integers(0, 2),
    lost=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    max_error=st.sampled_from([0, 1, 4]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_a_colour_is_predicted_and_settled_as_by_numpy(rows, columns, k, lost, max_error, seed):
    rng = np.random.default_rng(seed)
    wild = bool(rng.integers(2))
    parameters, has_own = some_parameters(rng), bool(rng.integers(2))
    inverse = rng.integers(1, 32768, 48).astype(np.int32)
    there = max(rows - lost[0], 0), max(columns - lost[1], 0)
    head = random_input(seed, rows, columns, 16, wild=wild)[..., : 3 + k]
    own = random_input(seed + 1, rows, columns, 3, wild=wild) if has_own else None
    linear, added = (
        random_input(seed + i, rows, columns, n, wild=wild) for i, n in ((2, 3), (3, 9))
    )
    reference = rng.integers(0, 32641, (rows, columns, 3)).astype(np.int16)
    same = rng.integers(-32768, 32768, 3).astype(np.int32)
    picture = rng.integers(0, 256, (2 * rows, 2 * columns, 3)).astype(np.uint8)
    bins = rng.integers(-300, 300, there[0] * there[1]).astype(np.int32)

    def outcome() -> list[Any]:
        seen = Seen(reference, linear, same, added.copy())
        features = np.zeros((rows, columns, 15), np.int16)
        prediction = predict(k, head, seen, own, parameters)
        pixels = picture.copy()[1::2, ::2, 1][: there[0], : there[1]]
        settle(k, pixels, prediction, inverse, seen, features[..., 3:7])
        is_sound = restore(bins, prediction, max_error, pixels)
        found = [prediction.mean, prediction.scales, prediction.tables]
        return [*found, seen.added, features, is_sound, pixels]

    by_every_carrier(outcome)


@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 60),
    border=st.integers(0, 3),
    threads=st.integers(1, 3),
    outputs=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=25, deadline=None)
def test_a_filter_on_taps_is_the_layer_on_their_values(
    rows, columns, border, threads, outputs, seed
):
    rng = np.random.default_rng(seed)
    channels = [3, 27, 6]
    arrays = [
        rng.integers(0, 32641, (rows + 2 * border, columns + 2 * border, n)).astype(np.int16)
        for n in channels
    ]
    sources = [Source(array, border) for array in arrays]
    runs = []
    for _ in range(int(rng.integers(1, 7))):
        first = int(rng.integers(-border, border + 1))
        cells = int(rng.integers(1, border - first + 2))
        row = int(rng.integers(-border, border + 1))
        runs.append(Run(int(rng.integers(3)), row, first, cells, bool(rng.integers(2))))
    mean = rng.integers(0, 32641, (rows, columns, 3)).astype(np.int16)
    values = []
    for run in runs:
        y, x = border + run.row, border + run.column
        for cell in range(run.cells):
            seen = arrays[run.source][y : y + rows, x + cell : x + cell + columns]
            repeated = np.tile(mean, seen.shape[2] // 3)
            values.append(seen - repeated if run.is_centred else seen)
    wanted = np.concatenate(values, axis=2)
    assert np.array_equal(tap_values(sources, runs, mean), wanted)
    some = np.arange(0, rows, 2)
    assert np.array_equal(tap_values(sources, runs, mean, some), wanted[some])
    mantissa = rng.integers(-200, 200, (wanted.shape[2], outputs)).astype(np.int16)
    layer = Linear(mantissa, rng.integers(-9999, 9999, outputs).astype(np.int32), 9, 0)

    def outcome() -> list[Any]:
        among = np.full((rows, columns, outputs + 2), 7, np.int16)  # others are left as they are
        filtered(sources, runs, mean, layer, threads, among[..., 1:-1])
        return [filtered(sources, runs, mean, layer, threads), among]

    by_every_carrier(outcome)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_filter_may_leave_32_bits_on_the_way_if_not_in_the_end(sign):
    values = np.full((1, 3, 6), 32640, np.int16)
    mantissa = np.full((66, 1), 32767, np.int16)  # together many times 2^31
    mantissa[33:], mantissa[40] = -32767, -32750
    layer = Linear(sign * mantissa, np.array([5], np.int32), 3, 0)
    runs = [Run(0, 0, 0, 1, True)] * 11
    mean = np.full((1, 3, 3), 32000, np.int16)
    by_every_carrier(lambda: [filtered([Source(values, 0)], runs, mean, layer, 1)])


@pytest.mark.parametrize(
    "run",
    [Run(0, row, first, cells, False) for row, first, cells in ((2, 0, 1), (0, -2, 1), (1, 1, 2))],
)
def test_taps_beyond_a_border_are_refused(run):
    source, mean = Source(np.zeros((6, 7, 3), np.int16), 1), np.zeros((4, 5, 3), np.int16)
    layer = Linear(np.zeros((3, 3), np.int16), np.zeros(3, np.int32), 9, 0)
    with pytest.raises(ValueError, match="beyond a border of 1"):
        filtered([source], [run], mean, layer, 1)
    with pytest.raises(ValueError, match=r"a source has \(4, 5\) cells"):
        tap_values([source], [Run(0, 0, 0, 1, True)], mean[1:])
    for number in (-1, 1):
        with pytest.raises(IndexError):
            filtered([source], [Run(number, 0, 0, 1, False)], mean, layer, 1)


def test_arrays_that_do_not_belong_together_are_refused():
    cells, nine = np.zeros((4, 5, 3), np.int16), np.zeros((4, 5, 9), np.int16)
    colour = np.zeros(1, compiled.COLOUR)
    with pytest.raises(ValueError, match=r"wanted <class 'numpy.int16'> \(4, 5, 9\)"):
        compiled.predict(colour, cells, cells, cells, cells, None)
    mean, scales = np.zeros((4, 5), np.int16), np.zeros((4, 5), np.uint8)
    inverse, features = np.zeros(48, np.int32), np.zeros((4, 5, 4), np.int16)
    with pytest.raises(ValueError, match="pixels in"):
        pixels = np.zeros((5, 5), np.uint8)
        compiled.settle(colour, pixels, mean, scales, inverse, cells, nine, features)
    with pytest.raises(ValueError, match="no scale 48"):
        compiled.settle(colour, scales, mean, scales + np.uint8(48), inverse, cells, nine, features)
    with pytest.raises(ValueError, match="bins of 1 levels"):
        compiled.restore(np.zeros(19, np.int32), mean, 1, 0, scales)
    colour["before"] = 3
    with pytest.raises(ValueError, match="no such colour"):
        compiled.predict(colour, cells, cells, cells, nine, None)


@given(
    count=st.integers(0, 400),
    tables=st.integers(1, 500),
    freqs=st.sampled_from(
        [
            [1 << 22] * 4,
            [3, (1 << 24) - 9, 5, 1],
            [(1 << 23) + 1, (1 << 23) - 2, 1],
            [1, (1 << 24) - 1],
        ]
    ),
    far=st.sampled_from([2, 40]),
    has_limits=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=80, deadline=None)
def test_symbols_of_many_tables_come_back_and_are_grouped_as_by_numpy(
    count, tables, freqs, far, has_limits, seed
):
    rng = np.random.default_rng(seed)
    lows = rng.integers(-9, 3, tables).astype(np.int32)
    family = TableFamily([np.array(freqs)] * tables, lows)
    indexes = rng.integers(0, tables, count).astype(np.uint16)
    symbols: NDArray[np.int32] = rng.integers(-far, far, count).astype(np.int32)  # many escape
    limits = None
    if has_limits:
        room = rng.integers(0, 4, (count, 2)) * (-1, 1)
        limits = (symbols[:, None] + room).astype(np.int16)

    def outcome() -> list[Any]:
        encoder = SymbolEncoder(has_limits=has_limits)
        encoder.put(symbols, indexes, family, limits)
        stream = encoder.finish()
        decoder = SymbolDecoder(stream, has_limits=has_limits)
        found = decoder.get(indexes, family, limits)
        decoder.finish()
        assert np.array_equal(found, symbols)
        return [stream, found]

    by_every_carrier(outcome)
    order, counts = coder.grouped(indexes, tables)
    assert np.array_equal(order, np.argsort(~indexes, kind="stable"))
    assert np.array_equal(counts, np.bincount(indexes, minlength=tables))


def test_a_table_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="outside of 0 to 4"):
        coder.grouped(np.array([0, 5], np.uint16), 5)

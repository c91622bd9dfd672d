"""What ordinary numbers do not reach: products beyond 32 bits, quantiles beyond a table."""

from __future__ import annotations

import numpy as np
import pytest

from rdae.bitstream.range_coder import SymbolDecoder
from rdae.bitstream.tables import TableFamily
from rdae.errors import CorruptError
from rdae.exact import kernel
from rdae.exact.kernel import coder
from rdae.exact.network import ExactNetwork, exact_steps
from rdae.exact.program import Program
from rdae.geometry import Rectangle
from rdae.model.quarters import for_quarter, take
from tests.exact_definition import random_input, random_tensors, run

pytestmark = pytest.mark.skipif(not kernel.instruction_sets(), reason="no kernel was built")


@pytest.mark.parametrize("shift,mean_bits", [(1, 4), (8, 4), (28, 1)])
def test_dequantised_products_have_64_bits(shift, mean_bits):
    rng = np.random.default_rng(shift)
    means = rng.integers(-32768, 32768, (5, 7, 6)).astype(np.int16)
    symbols = rng.integers(-32768, 32768, (5, 7, 6)).astype(np.int32)
    step = rng.integers(1, 2**31 - 1, (4, 6)).astype(np.int32)
    row, column = np.mgrid[:5, :7]
    product = symbols * step[2 * (row % 2) + column % 2].astype(np.int64)
    mean = (means.astype(np.int64) + (1 << (mean_bits - 1))) >> mean_bits
    wanted = mean + ((product + (1 << (shift - 1))) >> shift)
    got = kernel.quarter_dequantise(means, symbols, step, shift, mean_bits)
    assert np.array_equal(got, np.clip(wanted, -32768, 32767))


def test_a_quantile_beyond_the_table_is_damage():
    tables = TableFamily([np.array([1, 5, (1 << 24) - 7, 1])], np.array([-1]))
    before = kernel.selected()
    try:
        for wish in ("yes", "no"):
            kernel.select(wish)
            with pytest.raises(CorruptError, match="damaged"):
                SymbolDecoder(b"\xff" * 8).get(np.zeros(1, np.uint8), tables)
    finally:
        kernel.select("no" if before == "numpy" else before)


@pytest.mark.parametrize("left", [0, 1, 3])
@pytest.mark.parametrize("top", [0, 1])
def test_a_pass_of_an_area_at_an_odd_corner(top, left):
    spec = [["linear", 8, 16, 3], ["linear", 16, 16]]
    tensors = random_tensors(spec, 1)
    x = random_input(1, 6, 9, 8)
    whole = run(spec, "net", tensors, x.astype(np.int64), 3)
    wanted = np.concatenate([take(1, half) for half in np.split(whole, 2, axis=2)], axis=2)
    area = Rectangle(top, 6, left, 9)
    before = kernel.selected()
    try:
        for wish in kernel.instruction_sets():
            kernel.select(wish)
            got = ExactNetwork(for_quarter(1, exact_steps(spec, "net", tensors), 8))(
                [x], 3, 2, area
            )
            assert np.array_equal(got[area.slices()], wanted[area.slices()]), wish
    finally:
        kernel.select("no" if before == "numpy" else before)


@pytest.mark.parametrize("area", [(-1, 3, 0, 5), (0, 5, 0, 5), (0, 4, -1, 5), (2, 4, 3, 6)])
def test_cells_that_are_not_there_cannot_be_wanted(area):
    spec = [["linear", 8, 8, 2]]
    program = Program(exact_steps(spec, "net", random_tensors(spec, 1)), (8,))
    with pytest.raises(ValueError, match="is not in 4 rows and 5 columns"):
        program([random_input(1, 4, 5, 8)], 0, 1, Rectangle(*area))


@pytest.mark.parametrize("counts", [[5, -5], [-1, 0], [1], [1, 1, 1]])
def test_numbers_of_entries_are_checked_before_they_are_written(counts):
    tables = TableFamily([np.array([1, (1 << 24) - 1])] * 2, np.array([0, 0]))
    decoder = coder.RangeDecoder(np.arange(9, dtype=np.uint32))
    with pytest.raises(ValueError):
        decoder.decode(tables.compiled, np.array(counts))

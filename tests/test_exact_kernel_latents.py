"""What the kernel does between networks and range coder, against NumPy; what an encoder writes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdae.codec import encode
from rdae.exact import kernel
from rdae.images.picture import Picture
from rdae.rounding import MAX_SYMBOL, REACH, dead_zones, round_to_symbols

pytestmark = pytest.mark.skipif(not kernel.instruction_sets(), reason="no kernel was built")


@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.3, 3.0, 40.0, 1e5, 1e9]))
@settings(max_examples=40, deadline=None)
def test_symbols_are_rounded_as_numpy_does(seed, scale):
    rng = np.random.default_rng(seed)
    shape = (rows, columns, group) = tuple(rng.integers(1, 8, 3))
    y = rng.normal(0, scale, shape).astype(np.float32)
    y[rng.random(shape) < 0.3] = rng.integers(-9, 10) / 2  # halves
    means = rng.integers(-32768, 32768, (rows, columns, 2 * group)).astype(np.int16)[..., :group]
    means[rng.random(shape) < 0.5] = 0
    unit = np.ldexp(np.float32(1), rng.integers(-14, -4, (4, group)))
    gain = rng.choice(np.array([1, 0.37, 1.9], np.float32), (4, group))
    indexes = rng.integers(0, 5, shape).astype(np.uint8)
    zones = dead_zones(rng.normal(3, 2, (5, REACH + 1)).cumsum(axis=1))
    row, column = np.mgrid[:rows, :columns]
    phase = 2 * (row % 2) + column % 2
    v = (y - means * unit[phase]) * gain[phase]
    for tables, wanted in ((indexes, round_to_symbols(v, indexes, zones)), (None, v)):
        wanted = np.clip(np.rint(wanted), -MAX_SYMBOL, MAX_SYMBOL).astype(np.int32)
        assert np.array_equal(kernel.quarter_quantise(y, means, unit, gain, tables, zones), wanted)


def test_a_table_without_zones_is_refused():
    y, means = np.zeros((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.int16)
    ones, zones = np.ones((4, 1), np.float32), np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="no table 2"):
        kernel.quarter_quantise(y, means, ones, ones, np.full((1, 1, 1), 2, np.uint8), zones)


@pytest.mark.parametrize("effort", [1, 2])
def test_every_carrier_writes_the_same_file(crop, effort):
    noise = np.random.default_rng(0).integers(0, 2, (37, 50, 3)).astype(np.uint8) * 255
    before = kernel.selected()
    try:
        for rgb, quality in ((crop[:100, :120], 55), (noise, 100)):
            picture = Picture(np.ascontiguousarray(rgb), alpha=None, is_grey=False)
            files = set()
            for wish in [*kernel.instruction_sets(), "no"]:
                kernel.select(wish)
                files.add(encode(picture, quality=quality, effort=effort, threads=2).data)
            assert len(files) == 1
    finally:
        kernel.select("no" if before == "numpy" else before)

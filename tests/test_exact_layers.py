"""Exact layers against plain integer arithmetic, and windows against the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdae.errors import WeightsMismatchError
from rdae.exact.layers import Shuffle, Unshuffle
from rdae.exact.network import LIMIT, build_exact
from rdae.exact.windows import cut, run_in_windows
from rdae.presets import block, light_block
from rdae.spec import halo, resolution, walk


def random_tensors(layers, seed, largest=32767):
    """Random integer tensors for every layer of a spec."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for path, layer in walk(layers, "net"):
        if layer[0] == "gain":
            tensors[f"{path}.table"] = rng.integers(1, 1 << 14, (256, layer[1])).astype(np.int32)
            tensors[f"{path}.shift"] = np.array([13], np.int8)
            continue
        shape = layer[1:3] if layer[0] == "linear" else (layer[2], layer[2], layer[1])
        mantissa = rng.integers(-largest, largest + 1, shape)
        tensors[f"{path}.mantissa"] = mantissa.astype(np.int16)
        tensors[f"{path}.bias"] = rng.integers(-(1 << 30), 1 << 30, shape[-1])
        tensors[f"{path}.shift"] = rng.integers(14, 19, shape[-1]).astype(np.int8)
    return tensors


def round_half_even(numerator: int, shift: int) -> int:
    """numerator / 2^shift, rounded half to even, in Python integers."""
    low = numerator >> shift
    rest = numerator - (low << shift)
    half = (1 << shift) // 2 if shift else 1
    return low + (rest > half or (rest == half and shift > 0 and low & 1))


def clip(value: int) -> int:
    return max(-LIMIT, min(LIMIT, value))


@given(seed=st.integers(0, 2**32 - 1), leak=st.sampled_from([None, 3]))
@settings(max_examples=30, deadline=None)
def test_linear_equals_integer_arithmetic(seed, leak):
    spec = [["linear", 7, 5] if leak is None else ["linear", 7, 5, leak]]
    tensors = random_tensors(spec, seed)
    x = np.random.default_rng(seed).integers(-LIMIT, LIMIT + 1, (2, 3, 7))
    got = build_exact(spec, "net", tensors)(x.astype(np.float64), 0)
    m, b, e = (tensors[f"net.0.{part}"] for part in ("mantissa", "bias", "shift"))
    for row in range(2):
        for column in range(3):
            for o in range(5):
                acc = sum(int(x[row, column, i]) * int(m[i, o]) for i in range(7)) + int(b[o])
                if leak is not None and acc < 0:
                    wanted = round_half_even(acc, int(e[o]) + leak)
                else:
                    wanted = round_half_even(acc, int(e[o]))
                assert got[row, column, o] == clip(wanted)


@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([3, 5]))
@settings(max_examples=20, deadline=None)
def test_depthwise_equals_integer_arithmetic_with_zeros_around(seed, size):
    spec = [["depthwise", 2, size]]
    tensors = random_tensors(spec, seed)
    x = np.random.default_rng(seed).integers(-LIMIT, LIMIT + 1, (3, 4, 2))
    got = build_exact(spec, "net", tensors)(x.astype(np.float64), 0)
    m, b, e = (tensors[f"net.0.{part}"] for part in ("mantissa", "bias", "shift"))
    r = size // 2
    for row in range(3):
        for column in range(4):
            for c in range(2):
                acc = int(b[c])
                for i in range(size):
                    for j in range(size):
                        y, z = row + i - r, column + j - r
                        if 0 <= y < 3 and 0 <= z < 4:
                            acc += int(x[y, z, c]) * int(m[i, j, c])
                assert got[row, column, c] == clip(round_half_even(acc, int(e[c])))


def test_a_linear_layer_does_not_depend_on_the_order_of_summation():
    spec = [["linear", 512, 64, 3]]
    tensors = random_tensors(spec, 5)
    x = np.random.default_rng(6).integers(-LIMIT, LIMIT + 1, (8, 8, 512)).astype(np.float64)
    straight = build_exact(spec, "net", tensors)(x, 0)
    order = np.random.default_rng(7).permutation(512)
    tensors["net.0.mantissa"] = tensors["net.0.mantissa"][order]
    assert np.array_equal(build_exact(spec, "net", tensors)(x[..., order], 0), straight)


def test_a_layer_that_could_leave_the_exact_range_is_refused():
    spec = [["linear", 512, 4]]
    tensors = random_tensors(spec, 1)
    tensors["net.0.bias"] = np.array([0, 0, 1 << 53, 0])
    with pytest.raises(WeightsMismatchError, match=r"net\.0 may sum up to"):
        build_exact(spec, "net", tensors)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("net.0.mantissa", np.zeros((4, 4), np.float32), "is float32"),
        ("net.0.mantissa", np.zeros((4, 3), np.int16), r"\[4, 3\]"),
        ("net.0.shift", np.full(4, 31, np.int8), "outside 0..30"),
        ("net.0.bias", None, "is missing"),
    ],
)
def test_a_malformed_tensor_is_named(name, value, message):
    spec = [["linear", 4, 4]]
    tensors = random_tensors(spec, 1)
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    with pytest.raises(WeightsMismatchError, match=message):
        build_exact(spec, "net", tensors)


@given(r=st.integers(1, 4), c=st.integers(1, 3), h=st.integers(1, 4), w=st.integers(1, 4))
def test_unshuffle_undoes_shuffle(r, c, h, w):
    x = np.arange(h * w * r * r * c).reshape(h, w, r * r * c)
    assert np.array_equal(Unshuffle(r)(Shuffle(r)(x, 0), 0), x)


def test_shuffle_puts_channels_where_the_format_says():
    x = np.arange(2 * 3 * 8).reshape(2, 3, 8)
    out = Shuffle(2)(x, 0)
    for y in range(2):
        for column in range(3):
            for i in range(2):
                for j in range(2):
                    for k in range(2):
                        wanted = x[y, column, (i * 2 + j) * 2 + k]
                        assert out[2 * y + i, 2 * column + j, k] == wanted


@given(rows=st.integers(1, 3000), columns=st.integers(1, 300000), threads=st.integers(1, 64))
@settings(max_examples=60, deadline=None)
def test_windows_cover_every_cell_once_and_stay_small(rows, columns, threads):
    windows = cut(rows, columns, threads)
    areas = [(w.bottom - w.top) * (w.right - w.left) for w in windows]
    assert sum(areas) == rows * columns
    assert min(areas) >= 1 and max(areas) <= max(1024, 8192 // threads)
    assert len({(w.top, w.left) for w in windows}) == len(windows)


def test_a_small_picture_gives_every_thread_a_window():
    assert len(cut(32, 48, 2)) == 2
    assert min(w.bottom - w.top for w in cut(32, 48, 64)) == 8  # lower would be mostly halo


WINDOW_SPECS = {
    "flat": block(8) * 2,
    "growing": [
        [
            "sum",
            [*block(8), ["gain", 8], ["linear", 8, 64], ["shuffle", 4], *light_block(4) * 2],
            [["linear", 8, 64], ["shuffle", 4]],
        ]
    ],
    "wide filter": [["depthwise", 8, 5], ["linear", 8, 8, 3], ["depthwise", 8, 3]],
    "empty branch": [["sum", [], [["depthwise", 8, 3]]], ["depthwise", 8, 3]],
}


def windows_and_whole(name, rows, columns, threads, reach, cells):
    """Results of one run in windows, and of one over everything."""
    spec = WINDOW_SPECS[name]
    network = build_exact(spec, "net", random_tensors(spec, 3))
    rng = np.random.default_rng(rows)
    x = rng.integers(-LIMIT, LIMIT + 1, (rows, columns, 8)).astype(np.float64)
    before = x.copy()
    whole = network(x, 9)
    assert np.array_equal(x, before)  # a layer never writes to its input
    scale = round(1 / resolution(spec))
    out = np.full_like(whole, np.nan)

    def write(window, part):
        out[window.slices(scale)] = part

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rdae.exact.windows.MIN_WINDOW_CELLS", cells)
        patch.setattr("rdae.exact.windows.CELLS_IN_WORK", cells)
        patch.setattr("rdae.exact.windows.MIN_ROWS", 1)
        run_in_windows(
            lambda part: network(part, 9),
            lambda window: x[window.slices()],
            write,
            rows=rows,
            columns=columns,
            halo=math.ceil(halo(spec)) + reach,
            scale=scale,
            threads=threads,
        )
    return out, whole


@pytest.mark.parametrize("cells", [9, 30, 200])
@pytest.mark.parametrize("name", WINDOW_SPECS)
@given(rows=st.integers(1, 30), columns=st.integers(1, 30), threads=st.integers(1, 3))
@settings(max_examples=12, deadline=None)
def test_windows_equal_the_whole(cells, name, rows, columns, threads):
    out, whole = windows_and_whole(name, rows, columns, threads, reach=0, cells=cells)
    assert np.array_equal(out, whole)


@pytest.mark.parametrize("cells", [9, 30, 200])
def test_windows_with_too_small_a_halo_differ(cells):
    # guards the test above: the halo is needed, and no cell of it is for nothing
    out, whole = windows_and_whole("flat", 30, 30, 1, reach=-1, cells=cells)
    assert not np.array_equal(out, whole)

"""Exact layers against plain integer arithmetic, and windows against the whole."""

from __future__ import annotations

import math
import os
import signal
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdae import threads as parallel
from rdae.errors import WeightsMismatchError
from rdae.exact.layers import Levels, Shuffle, Unshuffle
from rdae.exact.layers import clip as clip_in_place
from rdae.exact.network import LIMIT, build_exact
from rdae.exact.stages import Grid, Network, parts
from rdae.exact.windows import WINDOW_CELLS, cut, run_in_windows
from rdae.geometry import Rectangle
from rdae.model.passes import for_quarter, put, take
from rdae.model.presets import block, light_block
from rdae.network_spec import halo, resolution, walk
from rdae.threads import parallel_map


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


@given(rows=st.integers(1, 3000), columns=st.integers(1, 300000))
@settings(max_examples=60, deadline=None)
def test_windows_cover_every_cell_once_and_stay_small(rows, columns):
    windows = cut(Rectangle(0, rows, 0, columns))
    areas = [(w.bottom - w.top) * (w.right - w.left) for w in windows]
    assert sum(areas) == rows * columns
    assert min(areas) >= 1 and max(areas) <= WINDOW_CELLS
    assert len({(w.top, w.left) for w in windows}) == len(windows)


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


def poisoned(shape, dtype, border, new=Grid.new):
    """A grid where to read what nobody has set gives no number."""
    grid = new(shape, dtype, border)
    grid.inside[:] = np.nan
    return grid


def windows_and_whole(name, rows, columns, reach, cells):
    """Results of one run in windows, and of one over everything."""
    spec = WINDOW_SPECS[name]
    network = build_exact(spec, "net", random_tensors(spec, 3))
    rng = np.random.default_rng(rows)
    x = rng.integers(-LIMIT, LIMIT + 1, (rows, columns, 8)).astype(np.float64)
    whole = network(x, 9)
    scale = round(1 / resolution(spec))
    out = np.full_like(whole, np.nan)

    def write(window, part):
        out[window.slices(scale)] = part

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rdae.exact.windows.WINDOW_CELLS", cells)
        patch.setattr("rdae.exact.stages.Grid.new", poisoned)
        run_in_windows(
            lambda part, wanted: network(part, 9, 1, wanted),
            lambda window: x[window.slices()],
            write,
            rows=rows,
            columns=columns,
            halo=math.ceil(halo(spec)) + reach,
            scale=scale,
        )
    return out, whole


@pytest.mark.parametrize("cells", [9, 30, 200])
@pytest.mark.parametrize("name", WINDOW_SPECS)
@given(rows=st.integers(1, 30), columns=st.integers(1, 30))
@settings(max_examples=12, deadline=None)
def test_windows_equal_the_whole(cells, name, rows, columns):
    out, whole = windows_and_whole(name, rows, columns, reach=0, cells=cells)
    assert np.array_equal(out, whole)


@pytest.mark.parametrize("cells", [9, 30, 200])
def test_windows_with_too_small_a_halo_differ(cells):
    # guards the test above: the halo is needed, and no cell of it is for nothing
    out, whole = windows_and_whole("flat", 30, 30, reach=-1, cells=cells)
    assert not np.array_equal(out, whole)


def layer_by_layer(spec, path, tensors, x, point):
    """A network the plain way: the tree of its layers, each over the whole grid."""
    for i, layer in enumerate(spec):
        here = f"{path}.{i}"
        if layer[0] == "residual":
            x = np.clip(x + layer_by_layer(layer[1], here, tensors, x, point), -LIMIT, LIMIT)
        elif layer[0] == "sum":
            first = layer_by_layer(layer[1], f"{here}.0", tensors, x, point)
            second = layer_by_layer(layer[2], f"{here}.1", tensors, x, point)
            x = np.clip(first + second, -LIMIT, LIMIT)
        else:
            own = {
                name.replace(here, "net.0"): tensor
                for name, tensor in tensors.items()
                if name.rpartition(".")[0] == here
            }
            (step,) = build_exact([layer], "net", own).steps
            x = step(x, point)
    return x


STAGE_SPECS = {
    **WINDOW_SPECS,
    "nested": [
        ["residual", [["residual", [["depthwise", 8, 3]]], ["gain", 8]]],
        ["sum", [["depthwise", 8, 3]], [["residual", []], ["depthwise", 8, 5]]],
    ],
    "down and up": [
        ["shuffle", 2],
        ["depthwise", 2, 3],
        ["sum", [["unshuffle", 2], ["linear", 8, 8]], [["unshuffle", 2], ["depthwise", 8, 3]]],
    ],
    "nothing": [],
    "only moves": [["unshuffle", 1], ["shuffle", 2]],
}


@pytest.mark.parametrize("name", STAGE_SPECS)
@given(
    rows=st.integers(1, 20),
    columns=st.integers(1, 20),
    threads=st.integers(0, 3),
    values=st.sampled_from([1, 500, 1 << 17]),
    seed=st.integers(0, 99),
)
@settings(max_examples=20, deadline=None)
def test_a_network_in_parts_equals_its_layers_one_by_one(
    name, rows, columns, threads, values, seed
):
    spec = STAGE_SPECS[name]
    tensors = random_tensors(spec, seed)
    x = np.random.default_rng(seed).integers(-LIMIT, LIMIT + 1, (rows, columns, 8))
    x = x.astype(np.float64)
    before = x.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rdae.exact.stages.BLOCK_VALUES", values)
        patch.setattr("rdae.exact.stages.WIDE_BLOCK_VALUES", values)
        patch.setattr("rdae.exact.stages.WIDE", 12)
        got = build_exact(spec, "net", tensors)(x, 9, threads)
    assert np.array_equal(got, layer_by_layer(spec, "net", tensors, x, 9))
    assert np.array_equal(x, before)  # the input is never written to


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_parts_cover_the_grid_once_and_are_shared_evenly(threads):
    for rows, columns, cells in [(32, 48, 100), (1, 5000, 64), (3, 7, 1), (64, 64, 0), (9, 5, 999)]:
        hit = np.zeros((rows, columns), int)
        areas = []
        for part in parts(Rectangle(0, rows, 0, columns), cells, threads):
            hit[part.slices()] += 1
            areas.append((part.bottom - part.top) * (part.right - part.left))
        assert (hit == 1).all()
        assert max(areas) <= max(1, cells)
        assert len(areas) >= min(threads, rows)


def test_clipping_is_exact_at_the_limit():
    x = np.array([0, LIMIT, -LIMIT, LIMIT + 1, -LIMIT - 1, 2.0**52, -(2.0**52)])
    for first, last in [(0, 3), (0, 4), (2, 5), (0, 7)]:
        wanted = np.clip(x[first:last], -LIMIT, LIMIT)
        assert np.array_equal(clip_in_place(x[first:last].copy(), LIMIT), wanted)


def test_levels_round_half_to_even_and_stay_bytes():
    sixteenths = np.array([-LIMIT, -9, 7, 8, 9, 24, 40, 255 * 16 + 7, 255 * 16 + 8, LIMIT])
    levels = Levels(4)(sixteenths[:, None, None].astype(np.float64), 0)
    assert levels.dtype == np.uint8
    assert levels.ravel().tolist() == [0, 0, 0, 0, 1, 2, 2, 255, 255, 255]


@pytest.mark.parametrize("end", [[["linear", 8, 24, 3]], [["linear", 8, 24], ["gain", 24]]])
@pytest.mark.parametrize("k", range(4))
def test_a_pass_computes_the_quarter_that_it_codes(k, end):
    # whatever the last layer is: means and heads (12 channels each) of the pass's own latents
    spec = [["depthwise", 8, 3], *end]
    steps = build_exact(spec, "net", random_tensors(spec, k)).steps
    x = np.random.default_rng(k).integers(-LIMIT, LIMIT + 1, (6, 10, 8)).astype(np.float64)
    mean, head = np.split(Network(steps)(x, 9), 2, axis=2)
    got = Network(for_quarter(k, steps, 12))(x, 9, 2)
    assert np.array_equal(got[..., :3], take(k, mean))
    assert np.array_equal(got[..., 3:], take(k, head))


def test_quarters_put_together_are_the_latents():
    latents = np.arange(6 * 4 * 8).reshape(6, 4, 8)
    again = np.full_like(latents, -1)
    for k in range(4):
        put(k, take(k, latents), again)
    assert np.array_equal(again, latents)


def test_parallel_map_raises_what_the_first_item_raised_and_ends_all_calls():
    running = []

    def work(i):
        running.append(i)
        try:
            if i in (3, 5):
                raise KeyError(i)
            return parallel_map(lambda j: i * j, range(4), 3)
        finally:
            running.remove(i)

    assert parallel_map(work, range(3), 2) == [[0, 0, 0, 0], [0, 1, 2, 3], [0, 2, 4, 6]]
    for _ in range(20):
        with pytest.raises(KeyError, match="3"):
            parallel_map(work, range(50), 4)
        assert not running


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_another_thread_works_can_work_too():
    begun, end = threading.Event(), threading.Event()

    def hold(i):
        begun.set()
        end.wait()

    worker = threading.Thread(target=parallel_map, args=(hold, [1], 1))
    worker.start()
    begun.wait()
    with parallel._lock:  # in the middle of a change of the number of threads, too
        child = os.fork()
    if child == 0:
        signal.alarm(20)  # ends a child that waits for ever
        code = 1
        try:
            code = 0 if parallel_map(abs, [-1, 2], 2) == [1, 2] else 1
        finally:
            os._exit(code)
    end.set()
    worker.join()
    assert os.waitpid(child, 0)[1] == 0

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
from rdae.exact.network import ExactNetwork, exact_steps
from rdae.exact.stages import Grid, Network, parts
from rdae.exact.windows import WINDOW_CELLS, cut, run_in_windows
from rdae.geometry import Rectangle
from rdae.model.presets import block, light_block
from rdae.model.quarters import for_quarter, put, take
from rdae.network_spec import Layers, halo, resolution
from rdae.threads import parallel_map
from tests.exact_definition import random_input, random_tensors, run


def network(spec, tensors) -> ExactNetwork:
    return ExactNetwork(exact_steps(spec, "net", tensors))


def as_defined(spec, tensors, x, point=0):
    return run(spec, "net", tensors, x.astype(np.int64), point)


LAYERS = [
    [["linear", 7, 5]],
    [["linear", 7, 5, 3]],
    [["linear", 7, 40, 1]],
    [["depthwise", 7, 3]],
    [["depthwise", 7, 5]],
    [["gain", 7]],
    [["residual", [["linear", 7, 7, 3]]]],
    [["sum", [["linear", 7, 8]], [["linear", 7, 8, 2]]], ["shuffle", 2]],
]


@pytest.mark.parametrize("spec", LAYERS, ids=lambda spec: str(spec[0][0]))
@given(seed=st.integers(0, 2**32 - 1), wild=st.booleans(), point=st.integers(0, 255))
@settings(max_examples=20, deadline=None)
def test_a_layer_is_as_defined(spec, seed, wild, point):
    tensors = random_tensors(spec, seed, wild=wild)
    x = random_input(seed, 3, 4, 7, wild=wild)
    got = network(spec, tensors)(x, point)
    assert got.dtype == np.int16
    assert np.array_equal(got, as_defined(spec, tensors, x, point))


def test_halves_go_up_on_both_sides_of_a_leak():
    spec = [["linear", 1, 1, 1]]
    tensors = {
        "net.0.mantissa": np.array([[1]], np.int16),
        "net.0.bias": np.array([2], np.int32),  # the half of 4
        "net.0.shift": np.array([2], np.int8),
    }
    x = np.arange(-20, 21, dtype=np.int16)[None, :, None]
    positive, negative = np.floor(x / 4 + 0.5), np.floor(x / 8 + 0.5)
    assert np.array_equal(network(spec, tensors)(x, 0), np.where(x >= 0, positive, negative))


def test_a_linear_layer_does_not_depend_on_the_order_of_summation():
    spec = [["linear", 512, 64, 3]]
    tensors = random_tensors(spec, 5)
    x = random_input(6, 8, 8, 512, wild=True)
    straight = network(spec, tensors)(x, 0)
    order = np.random.default_rng(7).permutation(512)
    tensors["net.0.mantissa"] = tensors["net.0.mantissa"][order]
    assert np.array_equal(network(spec, tensors)(x[..., order], 0), straight)


@pytest.mark.parametrize(
    ("mantissa", "bias", "shift", "leak", "is_fine"),
    [
        (32767, 0, 4, 0, True),  # 2 * 32767 * 2^15 is just below 2^31
        (32767, 1 << 17, 4, 0, False),
        (32767, (1 << 16) - 1, 4, 0, True),
        (1, -(1 << 31) + (1 << 17), 4, 0, True),
        (1, -(1 << 31), 4, 0, False),
        (1, 0, 28, 3, True),  # 2^30 for the rounding of the larger shift
        (16384, 0, 28, 3, False),
    ],
)
def test_what_could_leave_32_bits_is_refused(mantissa, bias, shift, leak, is_fine):
    spec = [["linear", 2, 1, leak] if leak else ["linear", 2, 1]]
    tensors = {
        "net.0.mantissa": np.full((2, 1), mantissa, np.int16),
        "net.0.bias": np.array([bias], np.int32),
        "net.0.shift": np.array([shift], np.int8),
    }
    if not is_fine:
        with pytest.raises(WeightsMismatchError, match=r"net\.0 may sum up to"):
            network(spec, tensors)
        return
    for value in (-32768, 32767):
        x = np.full((1, 1, 2), value, np.int16)
        assert np.array_equal(network(spec, tensors)(x, 0), as_defined(spec, tensors, x))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("net.0.mantissa", np.zeros((4, 4), np.float32), "is float32"),
        ("net.0.mantissa", np.zeros((4, 3), np.int16), r"\[4, 3\]"),
        ("net.0.shift", np.full(1, 29, np.int8), "outside 1..28"),
        ("net.0.shift", np.full(1, 0, np.int8), "outside 1..28"),
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
        network(spec, tensors)


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


WINDOW_SPECS: dict[str, Layers] = {
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
    # in floats, since "not set" is no integer
    steps = exact_steps(spec, "net", random_tensors(spec, 3))
    network = Network(steps)
    x = random_input(rows, rows, columns, 8).astype(np.float64)
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


STAGE_SPECS: dict[str, Layers] = {
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
    "only moves": [["shuffle", 2], ["unshuffle", 2]],
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
    tensors = random_tensors(spec, seed, wild=seed % 2 == 1)
    x = random_input(seed, rows, columns, 8, wild=seed % 2 == 1)
    before = x.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rdae.exact.stages.BLOCK_VALUES", values)
        patch.setattr("rdae.exact.stages.WIDE_BLOCK_VALUES", values)
        patch.setattr("rdae.exact.stages.WIDE", 12)
        got = network(spec, tensors)(x, 9, threads)
    assert np.array_equal(got, as_defined(spec, tensors, x, 9))
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


def test_levels_round_halves_up_and_stay_bytes():
    parts = np.array([-32768, -33, 31, 32, 33, 96, 160, 255 * 64 + 31, 255 * 64 + 32, 32767])
    levels = Levels(6)(parts[:, None, None].astype(np.float64), 0)
    assert levels.dtype == np.uint8
    assert levels.ravel().tolist() == [0, 0, 0, 1, 1, 2, 3, 255, 255, 255]


@pytest.mark.parametrize("end", [[["linear", 8, 24, 3]], [["linear", 8, 24], ["gain", 24]]])
@pytest.mark.parametrize("k", range(4))
def test_a_pass_computes_the_quarter_that_it_codes(k, end):
    # whatever the last layer is: means and heads (12 channels each) of the pass's own latents
    spec = [["depthwise", 8, 3], *end]
    steps = exact_steps(spec, "net", random_tensors(spec, k))
    x = random_input(k, 6, 10, 8).astype(np.float64)
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

"""The compiled kernel on every instruction set of this machine, against int64 and NumPy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rdae.bitstream.range_coder import SymbolDecoder, SymbolEncoder
from rdae.bitstream.tables import TableFamily
from rdae.cli.versions import kernel_line
from rdae.errors import CorruptError, RdaeError
from rdae.exact import kernel
from rdae.exact.arithmetic import PIXEL_LARGEST
from rdae.exact.layers import Around, Centre
from rdae.exact.network import ExactNetwork, exact_steps
from rdae.exact.program import Program
from rdae.exact.stages import Concatenate
from rdae.geometry import Rectangle
from rdae.model.presets import block, filter_block, light_block
from rdae.model.quarters import for_quarter, take
from rdae.network_spec import Layers
from tests.exact_definition import random_input, random_tensors, run
from tests.golden.make import digests

pytestmark = pytest.mark.skipif(not kernel.instruction_sets(), reason="no kernel was built")
GOLDEN = Path(__file__).parent / "golden"
SETS = [*kernel.instruction_sets(), "no"]


@pytest.fixture(params=SETS)
def carrier(request: pytest.FixtureRequest) -> Iterator[str]:
    before = kernel.selected()
    yield kernel.select(request.param)
    kernel.select("no" if before == "numpy" else before)


NETWORKS: dict[str, Layers] = {
    "linear": [["linear", 8, 5]],
    "leaky": [["linear", 8, 40, 3]],
    "many panels": [["linear", 8, 200, 1], ["linear", 200, 8]],
    "odd": [["linear", 8, 1], ["linear", 1, 33, 2], ["linear", 33, 8]],
    "depthwise": [["depthwise", 8, 3]],
    "wide filter": [["depthwise", 8, 5], ["linear", 8, 48], ["depthwise", 48, 3]],
    "many filters": [["linear", 8, 112], ["depthwise", 112, 5], ["depthwise", 112, 3]],
    "gain": [["gain", 8], ["linear", 8, 17], ["gain", 17]],
    "blocks": block(8) * 2,
    "shuffles": [
        ["linear", 8, 96],
        ["shuffle", 4],
        ["gain", 6],
        *light_block(6),
        ["linear", 6, 8],
        ["shuffle", 2],
    ],
    "sum": [
        [
            "sum",
            [*block(8), ["gain", 8], ["linear", 8, 768], ["shuffle", 4], *light_block(48) * 2],
            [["linear", 8, 768], ["shuffle", 4]],
        ],
        *filter_block(48),
        ["linear", 48, 48],
        ["shuffle", 4],
    ],
    "nested": [
        ["residual", [["residual", [["depthwise", 8, 3]]], ["gain", 8]]],
        ["sum", [["depthwise", 8, 3]], [["residual", []], ["depthwise", 8, 5]]],
        ["sum", [["linear", 8, 8]], []],
        ["sum", [], [["linear", 8, 8, 2]]],
    ],
    "down": [["linear", 8, 4], ["unshuffle", 2], *block(16), ["unshuffle", 3], ["linear", 144, 9]],
    "down at once": [["unshuffle", 6], ["sum", [["linear", 288, 20]], [["linear", 288, 20, 2]]]],
    "down and up": [
        ["shuffle", 2],
        ["depthwise", 2, 3],
        ["sum", [["unshuffle", 4], ["linear", 32, 8]], [["unshuffle", 4], ["linear", 32, 8]]],
        ["depthwise", 8, 3],
        ["shuffle", 2],
        ["depthwise", 2, 5],
    ],
    "nothing": [],
}
CELLS = {"down": 6, "down at once": 6, "down and up": 2}  # rows and columns are multiples of


@pytest.mark.parametrize("name", NETWORKS)
@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 70),
    threads=st.integers(1, 3),
    seed=st.integers(0, 999),
    wild=st.booleans(),
)
@settings(max_examples=5, deadline=None)
def test_every_carrier_gives_the_integers_of_the_definition(
    name, rows, columns, threads, seed, wild
):
    spec, cells = NETWORKS[name], CELLS.get(name, 1)
    tensors = random_tensors(spec, seed, wild=wild)
    x = random_input(seed, rows * cells, columns * cells, 8, wild=wild)
    before = x.copy()
    wanted = run(spec, "net", tensors, x.astype(np.int64), seed % 256)
    selected = kernel.selected()
    try:
        for wish in SETS:
            kernel.select(wish)
            network = ExactNetwork(exact_steps(spec, "net", tensors))
            got = network(x, seed % 256, threads)
            assert got.dtype == np.int16 and np.array_equal(got, wanted), wish
    finally:
        kernel.select("no" if selected == "numpy" else selected)
    assert np.array_equal(x, before)


BYTES: dict[str, Layers] = {
    "unshuffled": [
        ["unshuffle", 16],
        ["sum", [["linear", 768, 24], *block(24)], [["linear", 768, 24]]],
    ],
    "as they are": [["depthwise", 3, 3], ["linear", 3, 16, 2], ["unshuffle", 2], ["linear", 64, 8]],
    "added": [["residual", [["linear", 3, 3]]], ["gain", 3]],
}


@pytest.mark.parametrize("name", BYTES)
@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 52),
    seed=st.integers(0, 99),
    inset=st.integers(0, 2),
    threads=st.integers(1, 3),
)
@settings(max_examples=5, deadline=None)
def test_every_carrier_reads_bytes_as_an_analysis_does(name, rows, columns, seed, inset, threads):
    spec, cells = BYTES[name], 16 if name == "unshuffled" else 2
    tensors = random_tensors(spec, seed, largest=PIXEL_LARGEST)
    shape = (rows * cells + 2 * inset, columns * cells + 2 * inset, 3)
    picture = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    x = picture[inset : inset + rows * cells, inset : inset + columns * cells]  # not contiguous
    wanted = run(spec, "net", tensors, 2 * x.astype(np.int64) - 255, seed)
    before = kernel.selected()
    try:
        for wish in SETS:
            kernel.select(wish)
            steps = [Centre(), *exact_steps(spec, "net", tensors, largest=PIXEL_LARGEST)]
            assert np.array_equal(ExactNetwork(steps)(x, seed, threads), wanted), wish
    finally:
        kernel.select("no" if before == "numpy" else before)


@given(
    rows=st.integers(1, 9).map(lambda n: 2 * n),
    columns=st.integers(1, 40).map(lambda n: 2 * n),
    k=st.integers(0, 3),
    latent=st.sampled_from([8, 64, 72]),
    features=st.sampled_from([5, 16, 32]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_a_pass_gives_its_quarter_of_two_inputs(rows, columns, k, latent, features, seed):
    spec = [["linear", features + latent, 16, 3], *block(16), ["linear", 16, 2 * latent]]
    tensors = random_tensors(spec, seed)
    inputs = [random_input(seed + i, rows, columns, n) for i, n in enumerate((features, latent))]
    whole = run(spec, "net", tensors, np.concatenate(inputs, axis=2).astype(np.int64), 3)
    wanted = np.concatenate([take(k, half) for half in np.split(whole, 2, axis=2)], axis=2)
    steps = for_quarter(k, [Concatenate(), *exact_steps(spec, "net", tensors)], latent)
    before = kernel.selected()
    try:
        for wish in SETS:
            kernel.select(wish)
            assert np.array_equal(ExactNetwork(steps)(inputs, 3, 2), wanted), wish
    finally:
        kernel.select("no" if before == "numpy" else before)


@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 60),
    channels=st.sampled_from([1, 9, 16, 18]),
    radius=st.integers(1, 2),
    seed=st.integers(0, 99),
)
@settings(max_examples=20, deadline=None)
def test_cells_around_each_are_seen_by_every_carrier(rows, columns, channels, radius, seed):
    size = 2 * radius + 1
    spec = [["linear", 20 + size**2 * channels, 7, 3], *block(7)]
    tensors = random_tensors(spec, seed)
    h, x = random_input(seed, rows, columns, 20), random_input(seed, rows, columns, channels)
    padded = np.pad(x, ((radius, radius), (radius, radius), (0, 0)))
    parts = [padded[i : i + rows, j : j + columns] for i in range(size) for j in range(size)]
    seen = np.concatenate([h, *parts], axis=2).astype(np.int64)
    wanted = run(spec, "net", tensors, seen, 0)
    around = exact_steps(
        [["linear", size**2 * 7, 5]], "net", random_tensors([["linear", size**2 * 7, 5]], seed)
    )
    later = [*exact_steps(spec, "net", tensors), Around(radius), *around]
    before = kernel.selected()
    ends = []
    try:
        for wish in SETS:
            kernel.select(wish)
            steps = [Around(radius), Concatenate(), *exact_steps(spec, "net", tensors)]
            assert np.array_equal(ExactNetwork(steps)([h, x], 0, 2), wanted), wish
            ends.append(ExactNetwork(later)(seen.astype(np.int16), 0, 2))
    finally:
        kernel.select("no" if before == "numpy" else before)
    assert all(np.array_equal(ends[0], end) for end in ends)


def test_an_input_that_is_a_part_of_wider_cells_is_read_where_it_lies():
    spec = [["linear", 5, 8, 2]]
    steps = exact_steps(spec, "net", random_tensors(spec, 1))
    wide = random_input(2, 3, 50, 16)
    inputs = [wide[..., :5], wide[..., 11:], wide[:, ::2, 3:8], wide[::-1, ..., 9:14]]
    for x in inputs:
        assert np.array_equal(
            Program(steps, (5,))([x], 0, 1), Program(steps, (5,))([x.copy()], 0, 1)
        )


@given(
    rows=st.integers(1, 30),
    columns=st.integers(1, 60),
    name=st.sampled_from(["blocks", "sum", "wide filter", "down", "down at once", "down and up"]),
    data=st.data(),
)
@settings(max_examples=30, deadline=None)
def test_wanted_cells_are_those_of_the_whole(rows, columns, name, data):
    spec, cells = NETWORKS[name], CELLS.get(name, 1)
    rows, columns = (max(1, side // cells) * cells for side in (rows, columns))
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    area = Rectangle(
        top,
        data.draw(st.integers(top + 1, rows)),
        left,
        data.draw(st.integers(left + 1, columns)),
    )
    tensors = random_tensors(spec, rows)
    x = random_input(columns, rows, columns, 8)
    program = Program(exact_steps(spec, "net", tensors), (8,))
    whole = program([x], 9, 1)
    results = area.scaled(whole.shape[0], rows).slices()
    spare: list[NDArray[np.uint8]] = []
    for _ in range(2):  # the second time in memory of the first
        part = program([x], 9, 2, area, spare)
        assert np.array_equal(whole[results], part[results])


@pytest.mark.parametrize("threads", [1, 2])
def test_golden_files_decode_to_the_same_pixels_on_every_carrier(carrier, threads):
    for name, wanted in json.loads((GOLDEN / "expected.json").read_text()).items():
        if carrier == "plain" and (name.startswith("photo") or threads == 1):
            continue  # seconds each, and no other code than that of the rest
        got = digests((GOLDEN / f"{name}.rd").read_bytes(), threads)
        assert {part: wanted[part] for part in got} == got, name


@pytest.mark.parametrize("name", NETWORKS)
def test_the_kernel_has_operations_for_all_of_these(name):
    spec = NETWORKS[name]
    Program(exact_steps(spec, "net", random_tensors(spec, 0)), (8,))


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 300),
    damage=st.lists(st.tuples(st.integers(0, 999), st.integers(0, 255)), max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_both_range_decoders_say_the_same_of_any_stream(seed, count, damage):
    rng = np.random.default_rng(seed)
    freqs = [
        np.array([1, 5, (1 << 24) - 7, 1]),
        np.full(1024, 1 << 14),
        np.array([1, (1 << 24) - 1]),
    ]
    tables = TableFamily(freqs, np.array([-1, -500, 3]))
    indexes = rng.integers(0, 3, count).astype(np.uint8)
    symbols = rng.integers(-3, 4, count) * rng.choice([1, 1, 1, 5000], count)
    encoder = SymbolEncoder()
    encoder.put(symbols, indexes, tables)
    data = bytearray(encoder.finish())
    for at, value in damage:
        if data:
            data[at % len(data)] = value

    def outcome(wish):
        before = kernel.selected()
        kernel.select(wish)
        try:
            decoder = SymbolDecoder(bytes(data))
            got = decoder.get(indexes, tables)
            decoder.finish()
            return got.tolist()
        except CorruptError as error:
            return str(error)
        finally:
            kernel.select("no" if before == "numpy" else before)

    assert outcome("yes") == outcome("no")
    if not damage:
        assert outcome("yes") == symbols.tolist()


def test_a_name_that_is_not_there_is_refused():
    with pytest.raises(RdaeError, match="no kernel 'abacus' here"):
        kernel.select("abacus")


def test_a_kernel_that_was_not_built_or_cannot_be_loaded_is_told_apart(monkeypatch):
    before = kernel.selected()
    monkeypatch.setattr(kernel, "library", None)
    for why in ("none was built", "the one that was built cannot be loaded: a wrong system"):
        monkeypatch.setattr(kernel, "absence", why)
        with pytest.raises(RdaeError, match=f"RDAE_KERNEL: {why}, there is only numpy"):
            kernel.select("yes")
        assert why in kernel_line()
    assert kernel.selected() == before

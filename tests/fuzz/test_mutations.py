"""Planned damage, in seconds: what the fuzzers do for hours, here always with the same seeds."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import mutator
import numpy as np
import oracle
import pixel_tiles
import pytest
from anatomy import assemble, dissect
from PIL import Image

from rdae.bitstream.container import read_container
from rdae.codec import decode
from rdae.errors import RdaeError
from rdae.exact import kernel
from rdae.model.installed import load_lossless, load_model
from tests import independent_reader as reader
from tests.independent_levels import Model as LosslessModel
from tests.independent_lossless import Reader
from tests.independent_networks import Networks

HERE = Path(__file__).parent
CORPUS = {path.stem: path.read_bytes() for path in sorted(HERE.glob("corpus/*.rd"))}
SEEDS = [data for name, data in CORPUS.items() if "grey-q40" not in name]  # that one is large
CRASHERS = {path.stem: path.read_bytes() for path in sorted(HERE.glob("crashers/*.rd"))}


def mutated(count: int) -> list[bytes]:
    """Files damaged once, twice and so on: half are made of seeds, half of files before."""
    files: list[bytes] = []
    for seed in range(count):
        rng = random.Random(seed)
        data = rng.choice(files[-20:] if seed % 2 else SEEDS)
        files.append(mutator.mutate(data, rng))
    return files


@pytest.mark.parametrize("name", CORPUS)
def test_every_seed_is_a_picture_of_a_model_of_today(name: str) -> None:
    assert isinstance(oracle.examine(CORPUS[name]), Image.Image), "run tests/fuzz/make_corpus.py"
    file = read_container(CORPUS[name])
    model = load_lossless() if file.header.is_lossless else load_model()
    assert file.header.fingerprint == model.fingerprint
    assert file.rest is None or file.rest.fingerprint == load_lossless().fingerprint


@pytest.mark.parametrize("name", CRASHERS)
def test_what_was_once_found_stays_mended(name: str) -> None:
    oracle.examine(CRASHERS[name])


def test_a_file_taken_apart_is_put_together_as_it_was() -> None:
    files = [*SEEDS, *mutated(200)]
    anatomies = [dissect(data) for data in files]
    assert anatomies.count(None) < 30  # their headers cannot be told
    for data, anatomy in zip(files, anatomies, strict=True):
        assert anatomy is None or assemble(anatomy) == data


def test_the_same_seed_makes_the_same_file() -> None:
    assert mutated(60) == mutated(60)


def test_any_mutation_gives_a_picture_or_one_clear_error() -> None:
    outcomes: Counter[str] = Counter()
    for data in mutated(220):
        result = oracle.examine(data)
        outcomes[result.code if isinstance(result, RdaeError) else "picture"] += 1
    assert outcomes["picture"] > 5
    assert set(outcomes) >= {"truncated", "corrupt", "too-large", "unsupported-feature"}


def test_any_symbols_give_one_picture() -> None:
    for seed in range(15):
        result = oracle.examine(mutator.wild_file(random.Random(seed)))
        assert isinstance(result, Image.Image), f"seed {seed}: {result!r}"


def test_any_pixels_and_parameters_give_one_picture() -> None:
    for seed in range(8):
        data = mutator.wild_lossless_file(random.Random(seed), longest=30)
        result = oracle.examine(data)
        assert isinstance(result, Image.Image), f"seed {seed}: {result!r}"


def test_any_pixels_given_any_lossy_picture_are_one_picture() -> None:
    for seed in range(5):
        result = oracle.examine(mutator.wild_base_file(random.Random(seed), longest=30))
        assert isinstance(result, Image.Image), f"seed {seed}: {result!r}"


def test_lossless_files_with_true_checksums_still_give_one_picture_or_one_error() -> None:
    """Streams of a tile are damaged, and what is left of them decides about the checksum."""
    outcomes: Counter[str] = Counter()
    names = [name for name in CORPUS if name.startswith("lossless") and "-1x1" not in name]
    for seed in range(36):
        rng = random.Random(seed)
        anatomy = dissect(CORPUS[rng.choice(names)])
        assert anatomy is not None
        piece = anatomy.chunks[-1]
        piece.payload = pixel_tiles.changed_payload(piece.payload, rng)
        pixel_tiles.with_true_checks(anatomy)
        result = oracle.examine(assemble(anatomy))
        outcomes[result.code if isinstance(result, RdaeError) else "picture"] += 1
    assert outcomes["picture"] > 1 and outcomes["corrupt"] > 12
    assert set(outcomes) == {"picture", "corrupt"}


def test_both_readers_judge_mutated_files_alike() -> None:
    codes: Counter[str] = Counter()
    for data in mutated(300):
        try:
            read_container(data)
            code = ""
        except RdaeError as error:
            code = error.code
        try:
            reader.Container(data)
            other = ""
        except reader.FormatError as error:
            other = error.code
        assert code == other, data[:200].hex()
        codes[code] += 1
    assert codes[""] > 30 and codes["corrupt"] > 30


def test_wild_symbols_give_the_pixels_of_the_reader_written_from_the_format_alone() -> None:
    path = load_model().path
    assert path is not None
    data = mutator.wild_file(random.Random(1), longest=20)
    networks = Networks(reader.Model(path.read_bytes()), reader.Container(data))
    assert networks.pixels() == decode(data).rgb.tolist()


def test_wild_pixels_and_parameters_are_the_same_for_every_carrier_and_reader() -> None:
    path = HERE.parent.parent / "weights" / "lossless.safetensors"
    model, before = LosslessModel(path.read_bytes()), kernel.selected()
    for seed in range(10):
        data = mutator.wild_lossless_file(random.Random(seed), longest=9)
        picture, theirs = decode(data), np.array(Reader(model, reader.Container(data)).pixels())
        pixels = picture.rgb
        assert np.array_equal(theirs[..., :3], pixels), f"seed {seed}"
        if theirs.shape[2] == 4:
            assert picture.alpha is not None and np.array_equal(theirs[..., 3], picture.alpha)
        kernel.select("no")
        try:
            assert np.array_equal(decode(data).rgb, pixels), f"seed {seed}"
        finally:
            kernel.select("no" if before == "numpy" else before)

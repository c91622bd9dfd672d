"""Planned damage, in seconds: what the fuzzers do for hours, here always with the same seeds."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import mutator
import oracle
import pytest
from anatomy import assemble, dissect
from PIL import Image

from rdae.bitstream.container import read_container
from rdae.codec import decode
from rdae.errors import RdaeError
from rdae.model.installed import load_model
from tests import independent_reader as reader
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
def test_every_seed_is_a_picture_of_the_default_model(name: str) -> None:
    assert isinstance(oracle.examine(CORPUS[name]), Image.Image), "run tests/fuzz/make_corpus.py"
    assert read_container(CORPUS[name]).header.fingerprint == load_model().fingerprint


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

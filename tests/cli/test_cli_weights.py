"""Models that do not ship with rdae: named by their file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from rdae.model.installed import load_model
from rdae.model.weights_file import read_weights, write_weights
from tests.cli.cli_runner import Run


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The default model's tensors as a model of another number."""
    path = load_model().path
    assert path is not None
    description, tensors = read_weights(path)
    own = tmp_path / "own" / "mine.safetensors"
    own.parent.mkdir()
    write_weights(own, dataclasses.replace(description, model_id=200, name="mine"), tensors)
    return own


def test_a_file_of_another_model_needs_its_weights(run: Run, photo: Path, weights: Path) -> None:
    made = run("compress", "photo.png", "-m", weights, "--psnr")
    assert made.code == 0, made.err
    assert "PSNR" in made.err
    refused = run("decompress", "photo.rd", "-o", "out.png")
    assert refused.code == 1
    assert "photo.rd: unknown-model: written with model 200" in refused.err
    assert "--weights FILE" in refused.err
    assert run("decompress", "photo.rd", "-o", "out.png", "--weights", weights).code == 0
    assert run("verify", "photo.rd", "--weights", weights).code == 0


def test_a_lossy_picture_first_may_be_of_another_model(
    run: Run, photo: Path, weights: Path
) -> None:
    options = ("-m", weights, "--lossless", "--base", "50", "--psnr")
    made = run("compress", "photo.png", *options, "--json", "-v")
    assert made.code == 0, made.err
    assert (made.records[0]["model"], made.records[0]["model_id"]) == ("mine", 200)
    assert run("decompress", "photo.rd", "-o", "out.png", "--weights", weights).code == 0


def test_models_of_the_users_folder_are_found(run: Run, photo: Path, weights: Path) -> None:
    folder = {"RDAE_WEIGHTS_DIR": str(weights.parent)}
    assert "mine" in run("models", **folder).out.decode()
    shown = run("models", "show", "mine", **folder).out.decode()
    assert "not in the manifest" not in shown
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in shown
    assert run("compress", "photo.png", "-m", "mine", **folder).code == 0
    assert run("info", "photo.rd", "--json").records[0]["fingerprint"] in shown
    assert run("decompress", "photo.rd", "-o", "out.png", **folder).code == 0


def test_damaged_weights_beside_the_wanted_ones_hide_nothing(
    run: Run, photo: Path, weights: Path
) -> None:
    assert run("compress", "photo.png", "-m", weights).code == 0
    broken = bytearray(weights.read_bytes())
    start = 8 + int.from_bytes(broken[:8], "little")
    at = start + json.loads(broken[8:start])["y.freqs"]["data_offsets"][0]
    broken[at : at + 4] = bytes(4)  # a frequency of 0
    other = weights.with_name("first.safetensors")  # of the same number
    other.write_bytes(broken)
    folder = {"RDAE_WEIGHTS_DIR": str(weights.parent)}
    found = run("decompress", "photo.rd", "-o", "out.png", **folder)
    assert found.code == 0, found.err
    weights.unlink()
    alone = run("decompress", "photo.rd", "-o", "other.png", **folder)
    assert alone.code == 1 and "weights-mismatch" in alone.err and "first" in alone.err


def test_a_name_is_the_weights_that_it_names_now(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    description, tensors = read_weights(weights)
    other = tmp_path / "other" / weights.name
    other.parent.mkdir()
    write_weights(other, dataclasses.replace(description, model_id=201), tensors)
    found = []
    for folder in (weights.parent, other.parent):
        monkeypatch.chdir(folder)
        found.append(load_model(weights.name))
    assert [model.description.model_id for model in found] == [200, 201]
    assert load_model(weights.name) is found[1]
    write_weights(other, dataclasses.replace(description, model_id=202), tensors)
    assert load_model(weights.name).description.model_id == 202


def test_weights_that_are_damaged_are_named(run: Run, photo: Path, weights: Path) -> None:
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    result = run("compress", "photo.png", "-m", weights)
    assert result.code == 1
    assert "mine.safetensors" in result.err and "hint:" in result.err
    assert not (photo.parent / "photo.rd").exists()

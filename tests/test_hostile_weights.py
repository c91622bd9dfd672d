"""Weights files from anyone: refused in one line, before they take memory or time."""

from __future__ import annotations

import json
import math
import random
import shutil
import struct
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdae import limits
from rdae.errors import WeightsMismatchError
from rdae.lossless.model import LosslessModel, is_lossless
from rdae.model.cards import lossless_card
from rdae.model.model import Model
from rdae.model.presets import tiny
from rdae.model.weights_file import FORMAT, read_description, read_weights
from rdae.tensor_file import read_tensors, write_tensors

SPEC = json.loads(tiny().to_json())
INFO = {"format": FORMAT, "id": 200, "name": "mine", "spec": SPEC, "provenance": {}}
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats()
    | st.sampled_from(["", "linear", "sum", "I16", "\ud800", "\0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


def write(path: Path, info: Any, tensors: dict[str, Any] | None = None, data: bytes = b"") -> Path:
    """Write a file in which nothing is checked."""
    text = info if isinstance(info, str) else json.dumps(info)
    header = json.dumps({"__metadata__": {"rdae": text}, **(tensors or {})}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def refuse(path: Path, match: str | None = None) -> None:
    """Every loader refuses the file, and takes little memory for it."""
    tracemalloc.start()
    try:
        for load in (Model.load, LosslessModel.load):
            with pytest.raises(WeightsMismatchError) as caught:
                load(path)
            assert len(str(caught.value)) < 400
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30 * path.stat().st_size + (1 << 20)
    assert is_lossless(path) in (False, True)  # and raises nothing
    with pytest.raises(WeightsMismatchError, match=match):
        Model.load(path)


def tensor(shape: list[Any], begin: Any, end: Any, dtype: Any = "I16") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("length", [0, 1, 1 << 20, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_header_longer_than_the_file_is_refused(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / "a.safetensors", INFO)
    path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
    refuse(path, "header")


@pytest.mark.parametrize("end", range(40))
def test_a_cut_file_is_refused(tmp_path: Path, end: int) -> None:
    path = write(tmp_path / "a.safetensors", INFO)
    path.write_bytes(path.read_bytes()[:end])
    refuse(path)


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": tensor([1 << 40], 0, 1 << 41)},
        {"a": tensor([1 << 31, 1 << 31, 1 << 31], 0, 0)},
        {"a": tensor([0, 1 << 60], 0, 0)},
        {"a": tensor([-1], 0, 0)},
        {"a": tensor([1.0], 0, 2)},
        {"a": tensor([1] * 64, 0, 2)},
        {"a": tensor([4], 1, 9)},
        {"a": tensor([4], 0, 8), "b": tensor([4], 0, 8)},  # the same bytes twice
        {"a": tensor([3], 0, 8)},
        {"a": tensor([4], 0, 8, "F64")},
        {"a": tensor([4], 0, 8, ["I16"])},
        {"a": tensor([1 << 20], 0, 1 << 21)},
        {"a": 3},
        {},
    ],
)
def test_tensors_that_do_not_fill_the_file_are_refused(tmp_path: Path, tensors: Any) -> None:
    path = write(tmp_path / "a.safetensors", INFO, tensors, bytes(8))
    with pytest.raises(ValueError):
        read_tensors(path, only_metadata=False)
    refuse(path)


def test_more_tensors_than_any_model_has_are_refused(tmp_path: Path) -> None:
    many = {f"a{i}": tensor([0], 0, 0) for i in range(limits.MAX_TENSORS + 1)}
    refuse(write(tmp_path / "a.safetensors", INFO, many), "tensors, the limit is")


def test_a_file_of_many_bytes_on_no_disk_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", INFO)
    with path.open("r+b") as file:
        file.truncate(limits.MAX_WEIGHTS_BYTES + 1)
    with pytest.raises(WeightsMismatchError, match="the limit is"):
        read_description(path)


def layers(text: str) -> str:
    """A model's description with other layers in `shared`."""
    return json.dumps({**INFO, "spec": {**SPEC, "shared": "@"}}).replace('"@"', text)


@pytest.mark.parametrize(
    ("info", "match"),
    [
        (layers("[" + ",".join(['["gain",32]'] * (limits.MAX_LAYERS + 1)) + "]"), "at most"),
        (layers('[["residual",' * 40 + "[]" + "]]" * 40), "nested deeper"),
        (layers('[["sum",' * 40 + "[]" + ",[]]]" * 40), "nested deeper"),
        (layers('[["unshuffle",1' + 300 * "0" + "]]"), "unknown layer"),
        ("[" * 100_000, "nested too deeply"),
        (json.dumps({**INFO, "provenance": {"steps": float("nan")}}), "NaN"),
        (json.dumps(INFO).replace("200", "1e999"), "too large a number"),
        (json.dumps(INFO).replace("200", "9" * 4000), "it must be 1 to 255"),
        ({**INFO, "id": True}, "it must be 1 to 255"),
        ({**INFO, "name": "x" * 65}, "a model's name"),
        ({**INFO, "name": "two\nlines"}, "a model's name"),
        ({**INFO, "provenance": {"lambda_range": [1, 0]}}, "lambda_range"),
        ({**INFO, "provenance": {"lambda_range": "ab"}}, "lambda_range"),
        ({**INFO, "provenance": {"rd_points": [{"quality": "x"}]}}, "rd_points"),
        ({**INFO, "provenance": {"photo_sha256": [[]]}}, "photo_sha256"),
    ],
)
def test_what_a_file_says_of_itself_is_checked(tmp_path: Path, info: Any, match: str) -> None:
    path = write(tmp_path / "a.safetensors", info)
    refuse(path, match)
    with pytest.raises(WeightsMismatchError, match=match):
        read_description(path)


@given(
    key=st.sampled_from([*INFO, *(f"spec.{key}" for key in SPEC), "channels", "hidden"]),
    value=ANYTHING,
    lossless=st.booleans(),
)
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_value_of_any_key_does_more_than_be_refused(
    tmp_path: Path, key: str, value: Any, lossless: bool
) -> None:
    info = {**INFO, "spec": dict(SPEC), "channels": 8, "hidden": 8}
    if lossless:
        info["format"] = "lossless 2"
    outer, _, inner = key.partition(".")
    if inner:
        info["spec"][inner] = value
    else:
        info[outer] = value
    refuse(write(tmp_path / "a.safetensors", info))


@given(data=st.data())
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_change_of_a_byte_does_more_than_be_refused(tmp_path: Path, data: st.DataObject) -> None:
    whole = write(tmp_path / "a.safetensors", INFO, {"a": tensor([4], 0, 8)}, bytes(8))
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    whole.write_bytes(content)
    refuse(whole)


def test_arrays_come_back_whatever_the_header_is_aligned_to(tmp_path: Path) -> None:
    values = np.arange(6, dtype="<i4").reshape(2, 3)
    for spaces in range(8):
        entry = {" " * spaces: tensor([2, 3], 0, 24, "I32"), "empty": tensor([0, 5], 24, 24)}
        path = write(tmp_path / "a.safetensors", INFO, entry, values.tobytes())
        _, arrays = read_tensors(path, only_metadata=False)
        assert arrays[" " * spaces].flags.aligned and np.array_equal(arrays[" " * spaces], values)
        assert arrays["empty"].shape == (0, 5)


def test_what_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"what was there")
    one = {"a": np.zeros(1, np.int8)}
    for content in ({"number": math.nan}, {"text": "x" * limits.MAX_WEIGHTS_HEADER_BYTES}):
        with pytest.raises(ValueError):
            write_tensors(path, content, one)
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
        assert path.read_bytes() == b"what was there"


def test_the_shipped_files_are_within_the_limits(model: Model) -> None:
    assert model.path is not None
    _, tensors = read_weights(model.path)
    assert len(tensors) * 10 < limits.MAX_TENSORS
    assert model.path.stat().st_size * 5 < limits.MAX_WEIGHTS_BYTES


def altered(rng: random.Random, value: Any) -> Any:
    """The value with something in it replaced."""
    if isinstance(value, (list, dict)) and value and rng.random() < 0.9:
        copy: Any = value.copy()
        key = rng.choice(list(copy) if isinstance(copy, dict) else range(len(copy)))
        copy[key] = altered(rng, copy[key])
        return copy
    strange: list[Any] = [
        None,
        True,
        -1,
        0,
        1 << 53,
        0.5,
        "",
        "sum",
        [],
        {},
        [[]],
        [["residual", [[]]]],
    ]
    return rng.choice(strange)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_browsers_loader_refuses_as_well(model: Model, tmp_path: Path) -> None:
    assert model.path is not None
    whole = model.path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    metadata = header.pop("__metadata__")
    info, data = json.loads(metadata["rdae"]), whole[8 + length :]
    decoder_only = {k: v for k, v in info["spec"].items() if "analysis" not in k and k != "roles"}
    info["spec"] = decoder_only
    rng, paths = random.Random(5), []
    for number in range(24):
        path = tmp_path / f"{number}.safetensors"
        if number % 3:
            write(path, {**info, "spec": altered(rng, decoder_only)}, header, data)
        else:
            write(path, info, {k: altered(rng, v) for k, v in header.items()}, data)
        paths.append(path)
    deep = json.dumps(info).replace('"shared": [', '"shared": [["residual",' * 9 + "[")
    paths.append(write(tmp_path / "deep.safetensors", deep, header, data))
    script = str(Path(__file__).parent / "web" / "weights.mjs")
    names = "".join(f"{path}\n" for path in paths)
    done = subprocess.run(
        ["node", script], input=names, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found == [{"error": "weights-mismatch"}] * len(paths)


def test_a_lossless_model_has_no_tensor_that_nothing_uses() -> None:
    card = lossless_card()
    content, tensors = read_tensors(card.file, only_metadata=False)
    assert LosslessModel(content, tensors).fingerprint.hex() == card.fingerprint
    for name in ("zeros", "level.9.same", "a" * 5000):
        with pytest.raises(WeightsMismatchError, match="is no part of a lossless model") as caught:
            LosslessModel(content, {**tensors, name: np.zeros(1, np.int16)})
        assert len(str(caught.value)) < 100
    del tensors["level.0.same"]
    with pytest.raises(WeightsMismatchError, match=r"level\.0\.same is missing"):
        LosslessModel(content, tensors)

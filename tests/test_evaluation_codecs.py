"""Every codec of `rdae eval` makes real files and reads them back; specs mean what they say."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rdae.errors import MissingDependencyError, WeightsNotFoundError
from rdae.evaluation.codecs import CODEC_NAMES, parse_spec
from rdae.evaluation.metrics import psnr
from rdae.evaluation.pillow_codecs import FORMATS
from rdae.evaluation.protocol import Codec, SpecError
from rdae.images.picture import Picture

Rgb = NDArray[np.uint8]


def codec_or_skip(spec: str) -> Codec:
    try:
        codec = parse_spec(spec)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    codec.load()
    return codec


@pytest.fixture(scope="module")
def detail(photo: Picture) -> Rgb:
    """A 90x131 detail, with sides that are multiples of nothing."""
    return np.ascontiguousarray(photo.rgb[170:260, 260:391])


@pytest.mark.parametrize("name", CODEC_NAMES)
def test_files_come_back(name: str, detail: Rgb) -> None:
    codec = codec_or_skip(name)
    low, high = codec.qualities[0], codec.qualities[-1]
    files = [codec.encode(detail, quality) for quality in (low, high)]
    pictures = [codec.decode(data) for data in files]
    for picture in pictures:
        assert (picture.shape, picture.dtype) == (detail.shape, np.dtype(np.uint8))
    if codec.lossless:
        assert low == high
        np.testing.assert_array_equal(pictures[0], detail)
    else:
        assert len(codec.qualities) >= 8
        assert len(files[0]) < len(files[1])
        low_db, high_db = (psnr(detail, picture) for picture in pictures)
        assert 16 < low_db < low_db + 5 < high_db < 50
    assert codec.settings


@pytest.mark.parametrize("name", ["jpeg", "avif", "heic"])
def test_subsampling_is_what_the_spec_says(name: str) -> None:
    """Colours that change from pixel to pixel survive 4:4:4 only."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = (200, 60, 60), (60, 60, 200)
    full = codec_or_skip(f"{name}:quality=95")
    half = codec_or_skip(f"{name}:subsampling=420:quality=95")
    loss = [psnr(stripes, c.decode(c.encode(stripes, 95))) for c in (full, half)]
    assert loss[0] > loss[1] + 6
    assert "4:4:4" in full.settings and "4:2:0" in half.settings
    assert half.label.endswith("4:2:0") and half.name == f"{name}:subsampling=420"


def test_the_quality_of_jpeg_2000_is_its_psnr(photo: Picture) -> None:
    codec = codec_or_skip("jpeg2000")
    rgb = photo.rgb[:256, :256]
    assert psnr(rgb, codec.decode(codec.encode(rgb, 34))) == pytest.approx(34, abs=0.5)


def test_a_cold_command_writes_the_picture(tmp_path: Path, detail: Rgb) -> None:
    for name in ("rdae", "webp"):
        codec = codec_or_skip(name)
        data = codec.encode(detail, 50)
        source, output = tmp_path / "file.rd", tmp_path / f"{name}.png"
        source.write_bytes(data)
        command = codec.cold_command(source, output)
        assert command is not None
        subprocess.run(command, check=True, timeout=60)
        np.testing.assert_array_equal(np.asarray(Image.open(output)), codec.decode(data))


def test_bits_of_rdae_add_up(detail: Rgb) -> None:
    codec = parse_spec("rdae")
    data = codec.encode(detail, 60)
    bits = codec.bits(data)
    assert bits is not None and set(bits) == {"y", "z", "header"}
    assert sum(bits.values()) == 8 * len(data)
    assert min(bits.values()) > 0


def test_a_model_may_be_a_weights_file(detail: Rgb) -> None:
    installed: Any = parse_spec("rdae:quality=40")
    path = installed._model.path
    own = parse_spec(f"rdae:model={path}:quality=40")
    assert own.encode(detail, 40) == installed.encode(detail, 40)
    assert own.settings == installed.settings and own.name == f"rdae:model={path}"


def test_the_path_of_a_weights_file_may_have_colons(tmp_path: Path) -> None:
    path = tmp_path / "a:b" / "own.safetensors"
    codec: Any = parse_spec(f"rdae:model={path}:quality=40")
    assert codec.name == f"rdae:model={path}" and codec.qualities == (40,)
    with pytest.raises(WeightsNotFoundError, match="own"):
        codec.load()
    for cut in ("", "effort"):
        with pytest.raises(SpecError, match=f"{cut or 'nothing'} is not key=value"):
            parse_spec(f"rdae:model={path}:{cut}")


def test_names_are_canonical() -> None:
    assert parse_spec("jpeg:subsampling=444").name == "jpeg"
    assert parse_spec("rdae:effort=2").name == "rdae"
    assert parse_spec("webp:quality=20/60/40").qualities == (20, 40, 60)
    assert parse_spec("webp:quality=20/60/40").name == "webp"
    both = [parse_spec(f"jpeg:{a}:{b}") for a, b in (_PAIR, _PAIR[::-1])]
    assert both[0].name == both[1].name == "jpeg:optimize=0:subsampling=420"


_PAIR = ("optimize=0", "subsampling=420")


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("", "no codec"),
        ("tiff", "no codec 'tiff'"),
        ("jpeg:speed=4", "no setting speed"),
        ("jpeg:subsampling=411", "cannot be 411"),
        ("webp:method=7", "cannot be 7"),
        ("webp:method", "not key=value"),
        ("webp:method=", "not key=value"),
        ("webp:method=1:method=2", "twice"),
        ("webp:quality=low", "takes numbers"),
        ("webp:quality=101", "from 0 to 100"),
        ("webp:quality=nan", "from 0 to 100"),
        ("webp:quality=30.5", "whole"),
        ("rdae:quality=-1", "from 0 to 100"),
        ("png:quality=50", "lossless"),
    ],
)
def test_a_wrong_spec_says_what_is_wrong(spec: str, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        parse_spec(spec)


def test_the_settings_of_a_codec_are_named() -> None:
    for spec, hint in (
        ("jpeg:speed=4", "settings: subsampling, optimize, quality"),
        ("rdae-lossless:max_error=2", "settings: base"),
        ("png:method=4", ""),
    ):
        with pytest.raises(SpecError, match="there is no setting") as caught:
            parse_spec(spec)
        assert caught.value.hint == hint


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdae.evaluation.pillow_codecs.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="JPEG XL needs pillow-jxl-plugin"):
        parse_spec("jxl")


def test_default_qualities_are_possible() -> None:
    for name, format in FORMATS.items():
        low, high = format.limits
        assert all(low <= quality <= high for quality in format.qualities), name
        assert list(format.qualities) == sorted(set(format.qualities))


@pytest.mark.filterwarnings("ignore")  # of torch, on deprecations
def test_a_model_of_the_zoo_makes_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detail: Rgb
) -> None:
    torch = pytest.importorskip("torch")
    zoo = pytest.importorskip("compressai.zoo.image")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsNotFoundError, match="not on this machine") as caught:
        parse_spec("compressai:bmshj2018-hyperprior")
    name = "bmshj2018-hyperprior-1-7eb97409.pth.tar"
    assert name in caught.value.hint and str(tmp_path) in caught.value.hint

    torch.manual_seed(1)
    network = zoo.bmshj2018_hyperprior(1)
    network.update()
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(network.state_dict(), tmp_path / "hub" / "checkpoints" / name)
    codec = parse_spec("compressai:bmshj2018-hyperprior")
    codec.load()
    assert (codec.qualities, codec.name) == ((1.0,), "compressai:bmshj2018-hyperprior")
    data = codec.encode(detail, 1)
    decoded = codec.decode(data)
    assert decoded.shape == detail.shape and decoded.dtype == np.uint8
    with pytest.raises(ValueError, match="left over"):
        codec.decode(data + b"x")
    with pytest.raises(SpecError, match="qualities 1, not 5"):
        parse_spec("compressai:bmshj2018-hyperprior:quality=5")
    with pytest.raises(SpecError, match="zoo has no elic"):
        parse_spec("compressai:elic")

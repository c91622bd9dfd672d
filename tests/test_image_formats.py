"""One table of formats: the reader, folders, help and documents say the same."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rdae.errors import UnsupportedImageError
from rdae.images.formats import INPUT_FORMATS, INPUT_SUFFIXES, format_of, input_names
from rdae.images.pillow import read_picture

DOCS = Path(__file__).parent.parent / "docs"
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)


def test_every_suffix_belongs_to_one_format():
    suffixes = [suffix for format in INPUT_FORMATS for suffix in format.suffixes]
    assert len(suffixes) == len(set(suffixes)) == len(INPUT_SUFFIXES)
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in suffixes)


@pytest.mark.parametrize("format", INPUT_FORMATS, ids=lambda format: format.name)
def test_a_file_is_known_by_its_beginning_alone(format, tmp_path):
    for offset, mark in format.signatures:
        assert format_of(bytes(offset) + mark + bytes(40)) is format
    if format.package:
        pytest.importorskip({"HEIC": "pillow_heif", "JPEG XL": "pillow_jxl"}[format.name])
        if format.name == "HEIC":
            import pillow_heif

            pillow_heif.register_heif_opener()
    file = tmp_path / "name says nothing"
    name = {"JPEG XL": "JXL"}.get(format.name, format.pillow_name)
    Image.fromarray(PIXELS).save(file, name)
    picture = read_picture(file)
    assert picture.rgb.shape == PIXELS.shape
    assert np.abs(picture.rgb.astype(int) - PIXELS).mean() < 60  # some are lossy, of noise


def test_mif1_is_the_format_that_its_brands_say():
    def beginning(*brands: bytes) -> bytes:
        body = b"ftypmif1\0\0\0\0" + b"".join(brands)
        return (len(body) + 4).to_bytes(4, "big") + body

    def name_of(start: bytes) -> str:
        found = format_of(start)
        assert found is not None
        return found.name

    assert name_of(beginning(b"mif1", b"avif")) == "AVIF"
    assert name_of(beginning(b"mif1", b"heic")) == "HEIC"
    assert name_of(beginning()[:14]) == "HEIC"  # cut


def test_heic_of_10_bits_is_refused_until_it_is_allowed():
    pillow_heif = pytest.importorskip("pillow_heif")
    deep = PIXELS.astype(np.uint16) * 257
    file = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (40, 24), deep.tobytes()).save(file, quality=100, chroma=444)
    with pytest.raises(UnsupportedImageError, match="more than 8 bits"):
        read_picture(file)
    picture = read_picture(file, to_8bit=True)
    assert np.abs(picture.rgb.astype(int) - PIXELS).mean() < 3


def test_heic_without_its_plugin_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif.HeifImagePlugin", None)
    with pytest.raises(UnsupportedImageError, match="HEIC") as caught:
        read_picture(io.BytesIO(b"\0\0\0\x18ftypheic" + bytes(40)))
    assert caught.value.hint == "pip install pillow-heif"


@pytest.mark.skipif(not DOCS.is_dir(), reason="the tests stand apart from the sources")
def test_the_documents_list_the_formats_of_the_table():
    rows = {
        f"| {format.name} | {' '.join(format.suffixes)} | "
        + (f"`pip install {format.package}` |" if format.package else "|")
        for format in INPUT_FORMATS
    }
    assert rows <= set((DOCS / "inputs.md").read_text().splitlines())
    readme = " ".join((DOCS.parent / "README.md").read_text().split())
    assert input_names() in readme


@pytest.mark.parametrize(
    ("brands", "name"),
    [
        ([b"mif2", b"heic"], "HEIC"),
        ([b"heis"], "HEIC"),
        ([b"hevm"], "HEIC"),
        ([b"hevs", b"mif1"], "HEIC"),
        ([b"MiHB", b"mif1", b"heix"], "HEIC"),
        ([b"mif2", b"tmap", b"avif"], "AVIF"),
        ([b"msf1", b"avis"], "AVIF"),
        ([b"heic", b"avif"], "HEIC"),
        ([b"isom", b"mp42"], None),
    ],
)
def test_the_first_known_brand_of_a_file_type_box_counts(brands, name):
    body = b"ftyp" + brands[0] + bytes(4) + b"".join(brands)
    found = format_of((len(body) + 4).to_bytes(4, "big") + body + b"....avif")
    assert (None if found is None else found.name) == name

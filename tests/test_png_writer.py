"""PNG files in parts: one deflate stream, the same bytes on any number of threads."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rdae.images import png_writer
from rdae.images.picture import Picture
from rdae.images.png_file import check_png
from rdae.images.png_writer import png_file


def a_picture(
    height: int, width: int, *, is_grey: bool, has_alpha: bool, contrast: int = 255
) -> Picture:
    """Random walks along the rows, with flat places."""
    rng = np.random.default_rng(height * width)
    steps = rng.integers(-contrast, contrast + 1, (height, width, 1 if is_grey else 3))
    steps[rng.random(steps.shape) < 0.5] = 0
    rgb = np.cumsum(steps, axis=1).astype(np.uint8) * np.ones(3, np.uint8)
    alpha = rng.integers(0, 256, (height, width)).astype(np.uint8) if has_alpha else None
    return Picture(rgb, alpha, is_grey)


def chunks(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and contents, behind the signature."""
    at = 8
    while at < len(file):
        size = int.from_bytes(file[at : at + 4], "big")
        yield file[at + 4 : at + 8], file[at + 8 : at + 8 + size]
        at += 12 + size


def check(picture: Picture, file: bytes) -> None:
    """Assert that a file holds a picture, and that its checksums are right."""
    check_png(io.BytesIO(file), 1 << 24)  # CRCs
    packed = b"".join(content for kind, content in chunks(file) if kind == b"IDAT")
    assert len(zlib.decompress(packed)) == packed_bytes(picture)  # Adler-32
    image = Image.open(io.BytesIO(file))
    assert image.mode == ("L" if picture.is_grey else "RGB") + "A" * (picture.alpha is not None)
    *colours, last = image.split()
    if picture.alpha is None:
        colours.append(last)
    else:
        assert np.array_equal(np.asarray(last), picture.alpha)
    for i, plane in enumerate(colours):
        assert np.array_equal(np.asarray(plane), picture.rgb[..., i])


def packed_bytes(picture: Picture) -> int:
    """Of all rows, each with the number of its filter."""
    channels = (1 if picture.is_grey else 3) + (picture.alpha is not None)
    return picture.height * (1 + picture.width * channels)


@pytest.mark.parametrize("level", [None, 0, 1, 6, 9])
@pytest.mark.parametrize("is_grey", [False, True])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_pictures_of_several_parts_read_back_the_same(
    monkeypatch: pytest.MonkeyPatch, level: int | None, is_grey: bool, has_alpha: bool
) -> None:
    monkeypatch.setattr(png_writer, "_PART_BYTES", 1 << 14)
    monkeypatch.setattr(png_writer, "_BLOCK_BYTES", 1 << 11)
    picture = a_picture(229, 173, is_grey=is_grey, has_alpha=has_alpha, contrast=9)
    files = [png_file(picture, icc=b"", level=level, threads=threads) for threads in (1, 3)]
    assert files[0] == files[1]
    assert sum(kind == b"IDAT" for kind, _ in chunks(files[0])) > 2
    check(picture, files[0])


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    is_grey=st.booleans(),
    has_alpha=st.booleans(),
    part=st.integers(1, 2000),
    level=st.sampled_from([None, 4]),
)
def test_any_size_and_parts_of_any_size(
    height: int, width: int, is_grey: bool, has_alpha: bool, part: int, level: int | None
) -> None:
    picture = a_picture(height, width, is_grey=is_grey, has_alpha=has_alpha)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png_writer, "_PART_BYTES", part)
        patch.setattr(png_writer, "_BLOCK_BYTES", part)
        check(picture, png_file(picture, icc=b"", level=level, threads=1))


def test_parts_take_what_was_before_them_as_their_dictionary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = a_picture(1, 300, is_grey=True, has_alpha=False)
    picture = Picture(np.tile(row.rgb, (60, 1, 1)), None, True)
    sizes = []
    for part in (1 << 20, 301 * 4):
        monkeypatch.setattr(png_writer, "_PART_BYTES", part)
        sizes.append(len(png_file(picture, icc=b"", level=9, threads=1)))
    assert sizes[1] < sizes[0] + 15 * 60  # a chunk and the end of a piece, not the row again


def test_decoded_photographs_take_no_more_than_at_level_3() -> None:
    noise = np.random.default_rng(1).normal(size=(200, 300, 3))
    smooth = noise.cumsum(axis=0).cumsum(axis=1)
    pixels = np.clip(128 + 100 * smooth / np.abs(smooth).max(), 0, 255).astype(np.uint8)
    picture = Picture(pixels, None, False)
    fast, third = (len(png_file(picture, icc=b"", level=level, threads=1)) for level in (None, 3))
    assert fast <= third


def test_drawings_take_no_more_than_at_level_6() -> None:
    glyphs = a_picture(20, 20, is_grey=True, has_alpha=False).rgb
    pixels = np.full((240, 600, 3), 250, np.uint8)
    for top in range(10, 200, 50):
        for left in range(10, 500, 45):  # the same sign, over and over
            pixels[top : top + 20, left : left + 20] = glyphs
    picture = Picture(pixels, None, False)
    fast, sixth = (len(png_file(picture, icc=b"", level=level, threads=1)) for level in (None, 6))
    assert fast <= sixth + 15 * 2  # parts do without what stands before them

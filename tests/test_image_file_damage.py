"""Opening damaged files and other files: one clear refusal, and the system's errors as they are."""

from __future__ import annotations

import errno
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from rdae.errors import ImageError
from rdae.picture import read_picture

RNG = np.random.default_rng(2)
RGB = RNG.integers(0, 256, (16, 24, 3), np.uint8)
IMAGE = Image.fromarray(RGB)


def file_of(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            png_chunk(b"IHDR", header),
            png_chunk(b"IDAT", zlib.compress(pixels)),
            png_chunk(b"IEND", b""),
        ]
    )


def refusal(data: bytes, **options: int) -> ImageError:
    with pytest.raises(ImageError) as caught:
        read_picture(io.BytesIO(data), **options)
    error = caught.value
    assert str(error)
    assert error.hint
    assert "\n" not in str(error) + error.hint
    assert not error.hint.endswith(".")
    return error


# -------------------------------------------------------------------------------- damaged, no image


def test_an_empty_file_is_refused_as_empty() -> None:
    assert "empty" in str(refusal(b""))


@pytest.mark.parametrize("data", [b"\n", b"hello, world", bytes(100), b"P", b"\x89PNG"])
def test_what_is_no_image_is_refused_with_the_formats_that_are_read(data: bytes) -> None:
    error = refusal(data)
    assert "not an image" in str(error)
    assert "JPEG" in error.hint


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\x00\x00\x00\x18ftypheic", "HEIC"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"%PDF-1.7", "PDF"),
        (b"8BPS", "Photoshop"),
        (b"<?xml version='1.0'?><svg/>", "SVG"),
    ],
)
def test_formats_that_are_not_read_are_named(start: bytes, name: str) -> None:
    error = refusal(start + bytes(40))
    assert name in str(error)
    assert "output.png" in error.hint


def test_an_rd_file_is_named_and_the_hint_is_to_decompress_it() -> None:
    error = refusal(b"\x93RDA" + bytes(40))
    assert ".rd" in str(error)
    assert "decompress" in error.hint


def test_a_png_cut_anywhere_is_refused() -> None:
    data = file_of(IMAGE, "PNG")
    for length in [*range(80), *range(80, len(data), 41), *range(len(data) - 40, len(data))]:
        refusal(data[:length])


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF", "BMP", "PPM", "GIF", "TIFF"])
def test_a_file_cut_within_its_pixels_is_refused(format: str) -> None:
    data = file_of(IMAGE, format)
    for share in (0.3, 0.6, 0.9):
        refusal(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT", b"IEND"])
def test_a_png_with_a_wrong_checksum_in_a_critical_chunk_is_refused(kind: bytes) -> None:
    data = bytearray(file_of(IMAGE, "PNG"))
    start = data.index(kind)
    (length,) = struct.unpack(">I", data[start - 4 : start])
    data[start + 4 + length] ^= 1
    assert f"checksum in chunk {kind.decode()}" in str(refusal(bytes(data)))


def test_a_palette_png_without_a_palette_is_refused() -> None:
    assert "palette" in str(refusal(png(2, 1, 8, 3, bytes(3))))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
# A damaged header makes Pillow warn before it fails; here that is no error, below it is.
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_bytes_give_a_picture_or_an_image_error(format: str, data: st.DataObject) -> None:
    file = bytearray(file_of(IMAGE, format))
    for _ in range(data.draw(st.integers(1, 8))):
        file[data.draw(st.integers(0, min(len(file) - 1, 400)))] = data.draw(st.integers(0, 255))
    try:
        read_picture(io.BytesIO(file), max_pixels=10**6)
    except ImageError as error:
        assert str(error)


@pytest.mark.parametrize(
    "raised",
    [
        *(OSError("broken"), SyntaxError("broken"), ValueError("broken"), EOFError(), KeyError(1)),
        *(struct.error("broken"), zlib.error("broken"), TypeError("x"), AssertionError()),
        *(IndexError("x"), OverflowError("broken"), RecursionError("broken"), MemoryError()),
        *(ZeroDivisionError("broken"), UserWarning("broken"), OSError(errno.EINVAL, "seek")),
    ],
    ids=repr,
)
def test_whatever_pillow_raises_on_bad_bytes_becomes_an_image_error(
    raised: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    error = refusal(file_of(IMAGE, "PNG"))
    assert error.__cause__ is raised


# --------------------------------------------------------------------------- the system's errors


def test_a_missing_file_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "none.png")


def test_a_directory_is_no_damaged_image(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        read_picture(tmp_path)
    assert not isinstance(caught.value, ImageError)


def read_error_after(reads: int) -> Callable[[], io.BytesIO]:
    class Failing(io.BytesIO):
        left = reads

        def read(self, size: int | None = -1, /) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    return lambda: Failing(file_of(IMAGE, "JPEG"))


@pytest.mark.parametrize("reads", [0, 1, 5])
def test_a_disk_that_fails_while_the_file_is_read_is_no_damaged_image(reads: int) -> None:
    with pytest.raises(OSError, match="Input/output") as caught:
        read_picture(read_error_after(reads)())
    assert caught.value.errno == errno.EIO

"""Opening damaged files and other files: one clear refusal, and the system's errors as they are."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import io
import os
import signal
import struct
import threading
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, TiffImagePlugin

from rdae.errors import ImageError
from rdae.images.pillow import read_picture
from rdae.images.tiff_directory import first_directory, value_bytes

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


def refusal(data: bytes, **options: Any) -> ImageError:
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


def test_heic_is_named_with_or_without_the_package_that_reads_it() -> None:
    error = refusal(b"\x00\x00\x00\x18ftypheic" + bytes(40))
    assert "HEIC" in str(error)
    installed = importlib.util.find_spec("pillow_heif") is not None
    assert ("output.png" if installed else "pip install pillow-heif") in error.hint


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


# ------------------------------------------------------------------------------------------- bombs


def text_chunks(kind: bytes, size: int, count: int) -> bytes:
    packed = zlib.compress(bytes(size))
    data = {
        b"zTXt": b"key\0\0" + packed,
        b"iTXt": b"XML:com.adobe.xmp\0\1\0\0\0" + packed,
        b"iCCP": b"profile\0\0" + packed,
    }[kind]
    return count * png_chunk(kind, data)


@pytest.mark.parametrize(
    ("kind", "size", "count"),
    [(b"zTXt", 1 << 26, 1), (b"iTXt", 1 << 26, 1), (b"iCCP", 1 << 26, 1), (b"zTXt", 1 << 20, 70)],
)
def test_metadata_that_unpack_to_too_much_are_refused_with_little_memory(
    kind: bytes, size: int, count: int
) -> None:
    plain = file_of(IMAGE, "PNG")
    data = plain[:33] + text_chunks(kind, size, count) + plain[33:]
    tracemalloc.start()
    try:
        error = refusal(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "metadata would unpack to more than" in str(error)
    assert "-strip" in error.hint
    assert peak < 50_000_000


def test_pixels_that_unpack_to_more_than_the_picture_has_do_no_harm() -> None:
    data = png(2, 1, 8, 0, bytes(1 << 26))
    assert len(data) < 1 << 20
    tracemalloc.start()
    try:
        assert read_picture(io.BytesIO(data)).width == 2
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


# ------------------------------------------------------------------------- what libraries print


def fax() -> bytearray:
    y, x = np.mgrid[:64, :64]
    page = Image.fromarray(((x // 5 + y // 7) % 2 * 255).astype(np.uint8)).convert("1")
    return bytearray(file_of(page, "TIFF", compression="group4"))


def damaged_fax() -> bytes:
    data = fax()
    with Image.open(io.BytesIO(data)) as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        start = image.tag_v2[273][0] + 5
    data[start : start + 2] = bytes(2)  # no code at all
    return bytes(data)


def test_a_fax_whose_lines_cannot_be_decoded_is_refused_and_nothing_is_printed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert read_picture(io.BytesIO(fax())).is_grey
    assert "Fax" in str(refusal(damaged_fax()))
    assert capfd.readouterr() == ("", "")


def test_what_user_code_reads_with_libtiff_reports_as_ever(
    capfd: pytest.CaptureFixture[str],
) -> None:
    read_picture(io.BytesIO(fax()))
    image = Image.open(io.BytesIO(damaged_fax()))
    with contextlib.suppress(OSError):
        image.load()
    assert "Fax" in capfd.readouterr().err


def test_warnings_of_pillow_go_to_the_log_and_not_to_the_user(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exif = Image.Exif()
    exif[271] = "Maker" * 20
    data = bytearray(file_of(IMAGE, "TIFF", exif=exif))
    position = data.index(struct.pack("<HHI", 271, 2, 101)) + 4
    data[position : position + 4] = struct.pack("<I", 1 << 30)  # more than there is
    with caplog.at_level("INFO", logger="rdae"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert read_picture(io.BytesIO(data)).width == 24
    assert caught == []
    assert "271" in caplog.text


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


def tiff_with_short_strip(image: Image.Image, compression: str, end: bytes | None) -> bytes:
    """A TIFF of several strips, the second of which ends in its middle, with `end` or without."""
    data = bytearray(file_of(image, "TIFF", compression=compression, tiffinfo={278: 16}))
    tags = Image.open(io.BytesIO(data)).tag_v2  # type: ignore[attr-defined]
    start, count = tags[273][1], tags[279][1]
    half = start + count // 2
    if end is None:
        directory = first_directory(data)
        entry = directory and directory.entry(279)
        assert directory and entry
        place = value_bytes(data, directory.order, entry).start + (4 if entry.type == 4 else 2)
        struct.pack_into("<I" if entry.type == 4 else "<H", data, place, count // 2)
        return bytes(data)
    data[half : start + count] = end.ljust(start + count - half, b"\0")
    return bytes(data)


@pytest.mark.parametrize("end", [b"\xff\xd9", b"", None])
def test_a_jpeg_strip_of_a_tiff_that_ends_early_is_refused(end: bytes | None) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (48, 40, 3), np.uint8))
    assert "incomplete TIFF file" in str(refusal(tiff_with_short_strip(image, "jpeg", end)))


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4"])
@pytest.mark.parametrize("end", [b"\x00\x10\x01", b"", None])
def test_a_fax_strip_that_ends_early_is_refused(compression: str, end: bytes | None) -> None:
    image = Image.fromarray(RNG.integers(0, 2, (48, 40), np.uint8) * 255).convert("1")
    refusal(tiff_with_short_strip(image, compression, end))


@pytest.mark.parametrize("compression", ["jpeg", "group3", "group4", "tiff_ccitt"])
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    rows=st.sampled_from([8, 16, 64]),
    fill=st.sampled_from([1, 2]),
)
def test_whole_strips_of_any_size_are_taken(
    compression: str, height: int, width: int, rows: int, fill: int
) -> None:
    image = Image.fromarray(
        np.random.default_rng(height).integers(0, 256, (height, width), np.uint8)
    )
    if compression != "jpeg":
        image = image.convert("1")
    tags = {278: rows, 266: 1 if compression == "jpeg" else fill}
    file = io.BytesIO(file_of(image, "TIFF", compression=compression, tiffinfo=tags))
    # libtiff misses the last code of a few whole strips, which are refused, not guessed
    assume(compression == "jpeg" or np.array_equal(np.asarray(Image.open(file)), np.asarray(image)))
    picture = read_picture(file)
    assert (picture.height, picture.width) == (height, width)


@pytest.mark.parametrize("rows", [4096, 4097, 9000])
def test_a_tiff_of_thousands_of_strips_is_taken(rows: int) -> None:
    image = Image.fromarray(RNG.integers(0, 2, (rows, 40), np.uint8) * 255).convert("1")
    data = file_of(image, "TIFF", compression="group4", tiffinfo={278: 1})
    picture = read_picture(io.BytesIO(data))
    assert np.array_equal(picture.rgb[..., 0], np.asarray(image.convert("L")))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_the_child_of_a_fork_reads_though_the_parent_was_reading() -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            begun.set()
            go_on.wait(60)
            return super().read(size)

    data = file_of(Image.new("RGB", (8, 8)), "PNG")
    thread = threading.Thread(target=read_picture, args=(Slow(data),))
    thread.start()
    try:
        assert begun.wait(60)
        child = os.fork()
        if not child:
            signal.alarm(60)
            try:
                is_read = read_picture(io.BytesIO(data)).width == 8
            finally:
                os._exit(not is_read)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        go_on.set()
        thread.join()

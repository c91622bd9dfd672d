"""The Python interface: what it takes and refuses, threads, types, and the examples of the page."""

from __future__ import annotations

import io
import os
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rdae
from rdae.bitstream.header import read_header
from rdae.bitstream.varint import ByteReader
from rdae.codec import check_padding
from rdae.errors import (
    CorruptError,
    DamageWarning,
    NotRdaeError,
    RdaeError,
    TooLargeError,
    TruncatedError,
    UnsupportedImageError,
    WeightsNotFoundError,
)
from rdae.scales import point_to_quality, quality_to_point

RNG = np.random.default_rng(5)


def psnr(a, b) -> float:
    return float(
        10 * np.log10(255**2 / np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2))
    )


@pytest.fixture
def png(crop, tmp_path) -> Path:
    path = tmp_path / "crop.png"
    Image.fromarray(crop).save(path)
    return path


# ------------------------------------------------------------------------------ what compress takes


def test_a_path_bytes_an_image_and_an_array_give_the_same_file(png, crop):
    wanted = rdae.compress(crop, quality=50)
    image = Image.open(png)
    content = png.read_bytes()
    for source in (png, str(png), content, bytearray(content), memoryview(content), image):
        assert rdae.compress(source, quality=50) == wanted


def test_the_number_of_channels_decides_the_mode(crop):
    grey, alpha = crop[..., 1], np.full(crop.shape[:2], 90, np.uint8)
    alpha[:40] = 7
    sources = {
        "L": [grey, grey[..., None]],
        "LA": [np.dstack([grey, alpha])],
        "RGB": [crop],
        "RGBA": [np.dstack([crop, alpha])],
    }
    for mode, arrays in sources.items():
        for array in arrays:
            image = rdae.decompress(rdae.compress(array, quality=80))
            assert (image.mode, image.size) == (mode, (240, 160))
            assert (
                psnr(image.convert("RGB"), array[..., :3] if "RGB" in mode else crop[..., [1] * 3])
                > 30
            )
            if mode.endswith("A"):
                assert np.array_equal(np.asarray(image)[..., -1], alpha)


def test_an_array_may_be_a_view_and_is_not_changed(crop):
    source = np.zeros((320, 480, 4), np.uint8)
    source[::2, ::2, 3:0:-1] = crop
    view = source[::2, ::2, 3:0:-1]
    view.flags.writeable = False
    before = source.copy()
    assert rdae.compress(view) == rdae.compress(np.ascontiguousarray(view)) == rdae.compress(crop)
    assert np.array_equal(source, before)


@pytest.mark.parametrize(
    ("array", "message", "hint"),
    [
        (np.zeros((4, 4, 3)), "an array of float64, wanted uint8", "to_8bit"),
        (np.zeros((4, 4, 3), np.float32), "float32", "to_8bit"),
        (np.zeros((4, 4), np.uint16), "uint16", "to_8bit"),
        (np.zeros((4, 4), bool), "bool", ""),
        (np.array(["a"]), "wanted uint8", ""),
        (np.zeros((3, 40, 50), np.uint8), "shape 3 x 40 x 50", "transpose"),
        (np.zeros((4, 4, 5), np.uint8), "shape 4 x 4 x 5", ""),
        (np.zeros((1, 4, 4, 3), np.uint8), "shape 1 x 4 x 4 x 3", ""),
        (np.zeros(16, np.uint8), "shape 16", ""),
        (np.zeros((), np.uint8), "shape", ""),
        (np.zeros((0, 4, 3), np.uint8), "no pixels", ""),
        (np.zeros((4, 0), np.uint8), "no pixels", ""),
    ],
)
def test_another_array_is_refused_with_the_reason(array, message, hint):
    with pytest.raises(UnsupportedImageError, match=re.escape(message)) as caught:
        rdae.compress(array)
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)


def test_an_image_without_pixels_is_refused_as_an_array_is() -> None:
    with pytest.raises(UnsupportedImageError, match="a picture of 0 x 5 has no pixels"):
        rdae.compress(Image.new("RGB", (0, 5)))


@pytest.mark.parametrize("source", [None, 5, [[1, 2], [3, 4]], object()])
def test_an_object_of_another_kind_is_refused_by_its_type(source):
    with pytest.raises(UnsupportedImageError, match=type(source).__name__) as caught:
        rdae.compress(source)
    assert "NumPy array" in caught.value.hint


def test_bytes_that_are_no_image_and_missing_files_are_named(crop, tmp_path):
    with pytest.raises(UnsupportedImageError, match="empty"):
        rdae.compress(b"")
    with pytest.raises(UnsupportedImageError, match=r"\.rd file already"):
        rdae.compress(rdae.compress(crop))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        rdae.compress(tmp_path / "nowhere.png")
    for exact in ({}, {"lossless": True}, {"lossless": "auto"}, {"max_error": 2}):
        with pytest.raises(WeightsNotFoundError, match="no-such-model"):
            rdae.compress(crop, model="no-such-model", **exact)
    for quality in (-1, 101, float("nan")):
        with pytest.raises(ValueError, match="from 0 to 100"):
            rdae.compress(crop, quality=quality)


def test_the_pixel_limit_counts_for_every_kind_of_source(png, crop):
    for source in (png, png.read_bytes(), Image.fromarray(crop), crop, crop[..., 0]):
        with pytest.raises(TooLargeError, match="38 400"):
            rdae.compress(source, max_pixels=38_399)
        assert rdae.compress(source, max_pixels=38_400)


def test_hints_name_options_for_python_and_for_the_command_line(crop):
    data = rdae.compress(crop)
    header = read_header(ByteReader(data))
    front = len(header.pack_with_check())
    foreign = replace(header, model_id=99).pack_with_check() + data[front:]
    rgba = rdae.compress(np.dstack([crop, crop[..., 0]]))
    cmyk = Image.fromarray(crop).convert("CMYK")
    for call, options in (
        (lambda: rdae.compress(crop, max_pixels=9), "--max-pixels 38400 (max_pixels=38400"),
        (lambda: rdae.decompress(data, max_pixels=9), "--max-pixels 38400 (max_pixels=38400"),
        (
            lambda: rdae.decompress(rgba, region=(0, 9, 1, 1), max_pixels=9),
            "--max-pixels 2400 (max_pixels=2400",
        ),
        (lambda: rdae.decompress(foreign), "--weights FILE (weights=FILE"),
        (lambda: rdae.compress(cmyk), "--to-srgb (to_srgb=True"),
    ):
        with pytest.raises(RdaeError) as caught:
            call()
        assert f"{options} in Python)" in caught.value.hint


def test_what_is_refused_is_converted_when_asked_for(crop, tmp_path):
    deep = tmp_path / "deep.png"
    Image.fromarray(RNG.integers(0, 1 << 16, (20, 30), np.uint16)).save(deep)
    cmyk = Image.fromarray(crop).convert("CMYK")
    moving = tmp_path / "moving.gif"
    frames = [Image.new("L", (20, 30), level) for level in (200, 50)]
    frames[0].save(moving, save_all=True, append_images=frames[1:])
    sources: list[tuple[Any, str]] = [
        (deep, "to_8bit"),
        (cmyk, "to_srgb"),
        (moving, "first_frame"),
    ]
    for source, option in sources:
        with pytest.raises(UnsupportedImageError):
            rdae.compress(source)
        image = rdae.decompress(rdae.compress(source, **dict[str, Any]({option: True})))
        assert image.size == (
            (240, 160) if source is cmyk else (30, 20) if source is deep else (20, 30)
        )
    assert abs(np.asarray(image.convert("L"), int) - 200).max() < 10


# ------------------------------------------------------------------------------------ the way back


def test_deep_arrays_are_scaled_when_asked_for(crop):
    wanted = rdae.compress(crop)
    sixteen = crop.astype(np.uint16) * 257
    for source in (sixteen, crop / 255, (crop / 255).astype(np.float32), 257 * crop.astype(">u2")):
        assert rdae.compress(source, to_8bit=True) == wanted
    beyond = np.where(crop > 127, np.inf, -3.0)
    assert rdae.compress(beyond, to_8bit=True) == rdae.compress(255 * (crop > 127).astype(np.uint8))
    for kind in (np.int16, np.uint32, np.int64, bool, complex):
        with pytest.raises(UnsupportedImageError, match="wanted uint8"):
            rdae.compress(crop.astype(kind), to_8bit=True)


def test_the_picture_comes_back_with_its_metadata(crop):
    image = Image.fromarray(crop)
    exif = Image.Exif()
    exif[0x10F] = "Maker"
    image.info.update(icc_profile=b"profile" * 9, exif=exif.tobytes(), xmp=b"<x:xmpmeta/>")
    back = rdae.decompress(rdae.compress(image, quality=90))
    assert psnr(back, crop) > 30
    assert back.getexif()[0x10F] == "Maker"
    assert {name: back.info[name] for name in image.info} == image.info


def test_a_file_is_read_from_bytes_and_from_a_path(crop, tmp_path):
    data = rdae.compress(crop, quality=60)
    path = tmp_path / "crop.rd"
    path.write_bytes(data)
    assert rdae.read_info(path) == rdae.read_info(str(path)) == rdae.read_info(data)
    wanted = rdae.decompress(data).tobytes()
    for source in (path, str(path)):
        assert rdae.decompress(source).tobytes() == wanted
    path.write_bytes(data[:-5])
    with pytest.warns(DamageWarning):
        rdae.decompress(path, best_effort=True)
    for function in (rdae.read_info, rdae.decompress):
        with pytest.raises(TruncatedError):
            function(path)
        with pytest.raises(FileNotFoundError, match="nowhere"):
            function(tmp_path / "nowhere.rd")
    info = rdae.read_info(data)
    assert (info.width, info.height, info.file_bytes) == (240, 160, len(data))
    with pytest.raises(NotRdaeError):
        rdae.read_info(b"GIF89a")
    with pytest.raises(TruncatedError):
        rdae.read_info(data[:-5])


def test_file_objects_are_read_from_where_they_stand(png, crop, tmp_path):
    picture, wanted = png.read_bytes(), rdae.compress(crop)
    path, archive = tmp_path / "crop.rd", tmp_path / "crop.zip"
    path.write_bytes(wanted)
    with zipfile.ZipFile(archive, "w") as new:
        new.writestr("crop.png", picture)
        new.writestr("crop.rd", wanted)
    buffer = io.BytesIO(b"before" + picture)
    buffer.seek(6)
    assert rdae.compress(buffer) == wanted
    assert not buffer.closed and buffer.read() == b""
    pixels = rdae.decompress(wanted).tobytes()
    with path.open("rb") as file, path.open("rb") as raw, zipfile.ZipFile(archive) as members:
        assert rdae.decompress(file).tobytes() == pixels
        assert rdae.read_info(raw) == rdae.read_info(wanted)
        assert rdae.compress(members.open("crop.png")) == wanted
        assert rdae.decompress(members.open("crop.rd")).tobytes() == pixels
        file.seek(0)
        assert rdae.verify(file) == rdae.read_info(wanted)


def test_a_pipe_is_a_file_object(png, crop):
    out, into = os.pipe()
    with open(out, "rb") as read, open(into, "wb") as write, ThreadPoolExecutor(1) as pool:
        data = pool.submit(rdae.compress, read)
        write.write(png.read_bytes())
        write.close()
        assert data.result() == rdae.compress(crop)


def test_what_is_no_binary_file_is_refused_with_the_reason(png, crop):
    for function in (rdae.compress, rdae.decompress, rdae.read_info, rdae.verify):
        with png.open(encoding="latin-1") as text, pytest.raises(TypeError, match="binary"):
            function(text)
        used = io.BytesIO(b"all of it has been read")
        used.read()
        with pytest.raises(TruncatedError, match="nothing is left") as caught:
            function(used)
        assert "seek(0)" in caught.value.hint
    for function in (rdae.decompress, rdae.read_info, rdae.verify):
        sources: list[Any] = [None, 5, [1], crop]
        for source in sources:
            with pytest.raises(TypeError, match=f"not an object of type {type(source).__name__}"):
                function(source)


def test_a_picture_is_saved_to_memory_and_read_again(crop):
    rdae.register_pillow()
    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, "RDAE", quality=70)
    assert buffer.getvalue() == rdae.compress(crop, quality=70)
    buffer.seek(0)
    assert Image.open(buffer).tobytes() == rdae.decompress(buffer.getvalue()).tobytes()
    buffer.seek(0)
    rdae.decompress(buffer, thumbnail=60).save(small := io.BytesIO(), "PNG")
    assert Image.open(small).size == (60, 40)


def test_verify_returns_what_is_in_a_whole_file_and_names_what_is_damaged(crop, tmp_path):
    data = rdae.compress(np.dstack([crop, crop[..., 0]]))
    path = tmp_path / "crop.rd"
    path.write_bytes(data)
    for source in (data, path, str(path), io.BytesIO(data)):
        assert rdae.verify(source) == rdae.read_info(data)
    alpha = next(field.offset for field in rdae.read_info(data).fields if field.name == "chunk A")
    broken = bytearray(data)
    broken[alpha + 30] ^= 1
    with pytest.raises(CorruptError, match=r"^the alpha plane is damaged$") as caught:
        rdae.verify(broken)
    assert "best_effort=True" in caught.value.hint
    broken[-20] ^= 1
    with pytest.raises(CorruptError, match=r"^tile 0 .* damaged; the alpha plane is damaged$"):
        rdae.verify(broken)
    with pytest.raises(TruncatedError) as cut:
        rdae.verify(data[:-4])
    assert "saves what is left" in cut.value.hint
    with pytest.raises(NotRdaeError):
        rdae.verify(b"GIF89a")
    with pytest.raises(TooLargeError):
        rdae.verify(data, max_pixels=99)
    with pytest.raises(FileNotFoundError):
        rdae.verify(tmp_path / "nowhere.rd")


def test_reading_an_image_from_memory_leaves_the_buffer_alone(png):
    buffer = io.BytesIO(png.read_bytes())
    with Image.open(buffer) as image:
        rdae.compress(image)
    assert not buffer.closed


def test_a_quality_comes_back_as_it_was_given() -> None:
    data = rdae.compress(np.eye(16, dtype=np.uint8), quality=60)
    assert rdae.read_info(data).quality == 60.0
    for quality in range(0, 101, 20):
        assert point_to_quality(quality_to_point(quality)) == quality
    assert all(quality_to_point(point_to_quality(point)) == point for point in range(256))


def test_a_picture_that_is_padding_above_all_is_refused() -> None:
    check_padding(15999, 16001, 256_000_000)  # a little padding is no reason
    check_padding(1, 1, 1)
    check_padding(20_000, 1, 20_000)
    with pytest.raises(TooLargeError, match="16777215x1 is worked on as one of 16777216x64") as c:
        check_padding((1 << 24) - 1, 1, 256_000_000)
    assert "--max-pixels 1073741824" in c.value.hint
    check_padding((1 << 24) - 1, 1, 1 << 30)
    with pytest.raises(TooLargeError, match="worked on"):
        rdae.compress(np.zeros((1, 5_000_000, 3), np.uint8))

"""Opening image files: what is refused, with which reason, and that nothing else is raised."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from rdae.errors import ImageError, TooLargeError, UnsupportedImageError
from rdae.images.pillow import from_pillow, read_picture

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


def tiff(bits: list[int], photometric: int, pixels: bytes, **tags: object) -> bytes:
    """An uncompressed 2x2 TIFF, with further tags as `tag_NUMBER=value`."""
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[256] = directory[257] = directory[278] = 2
    directory[258] = tuple(bits)
    directory[259] = 1
    directory[262] = photometric
    directory[273], directory[279] = 0, len(pixels)
    directory[277] = len(bits)
    for name, value in tags.items():
        directory[int(name.removeprefix("tag_"))] = value
    file = io.BytesIO()
    directory.save(file)
    return file.getvalue() + pixels


def refusal(data: bytes, **options: Any) -> ImageError:
    with pytest.raises(ImageError) as caught:
        read_picture(io.BytesIO(data), **options)
    error = caught.value
    assert str(error)
    assert error.hint
    assert "\n" not in str(error) + error.hint
    assert not error.hint.endswith(".")
    return error


# -------------------------------------------------------------------------------------------- depth


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png(2, 1, 16, 0, bytes(5)), id="PNG, grey"),
        pytest.param(png(2, 1, 16, 2, bytes(13)), id="PNG, RGB"),
        pytest.param(png(2, 1, 16, 4, bytes(9)), id="PNG, grey and alpha"),
        pytest.param(png(2, 1, 16, 6, bytes(17)), id="PNG, RGBA"),
        pytest.param(file_of(Image.new("I;16", (2, 2)), "PNG"), id="PNG of Pillow"),
        pytest.param(file_of(Image.new("I;16", (2, 2)), "TIFF"), id="TIFF, 16 bits"),
        pytest.param(file_of(Image.new("I", (2, 2)), "TIFF"), id="TIFF, 32 bits"),
        pytest.param(file_of(Image.new("F", (2, 2)), "TIFF"), id="TIFF, float"),
        pytest.param(tiff([16] * 3, 2, bytes(24)), id="TIFF, RGB of 16 bits"),
        pytest.param(tiff([8], 1, bytes(4), tag_339=2), id="TIFF, signed"),
        pytest.param(b"P5 2 1 65535\n" + bytes(4), id="PGM, 16 bits"),
        pytest.param(b"P5 2 1 1023\n" + bytes(4), id="PGM, 10 bits"),
        pytest.param(b"P6 2 1 65535\n" + bytes(12), id="PPM, 16 bits"),
        pytest.param(b"P6 2 1 256\n" + bytes(12), id="PPM, 9 bits"),
        pytest.param(b"P2 2 1 65535\n0 9", id="PGM in text, 16 bits"),
        pytest.param(b"P3 2 1 65535\n0 9 9 9 9 9", id="PPM in text, 16 bits"),
        pytest.param(b"Pf 2 1 -1.0\n" + bytes(8), id="PFM"),
    ],
)
def test_more_than_8_bits_are_refused_with_a_way_to_8_bits(data: bytes) -> None:
    error = refusal(data)
    assert "8 bits" in str(error)
    assert "--to-8bit (to_8bit=True in Python)" in error.hint


def test_avif_of_10_bits_is_refused() -> None:
    data = bytearray(file_of(IMAGE, "AVIF"))
    data[data.index(b"av1C") + 6] |= 0x40  # high_bitdepth
    depths = data.index(b"pixi") + 9
    data[depths : depths + 3] = bytes([10] * 3)
    assert "8 bits" in str(refusal(bytes(data)))


def test_images_of_user_code_with_deep_samples_are_refused() -> None:
    for mode in ("I", "F", "I;16"):
        with pytest.raises(UnsupportedImageError, match="8 bits"):
            from_pillow(Image.new(mode, (2, 2)))


def test_a_16_bit_png_that_user_code_has_opened_but_not_loaded_is_refused() -> None:
    image = Image.open(io.BytesIO(png(2, 1, 16, 2, bytes(13))))
    with pytest.raises(UnsupportedImageError, match="8 bits"):
        from_pillow(image)


def test_levels_of_fewer_than_8_bits_are_spread_over_the_whole_range() -> None:
    picture = read_picture(io.BytesIO(b"P5 3 1 2\n\0\1\2"))
    assert picture.rgb[0, :, 0].tolist() == [0, 128, 255]
    assert picture.is_grey


# ------------------------------------------------------------------------ colours, frames, channels


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_is_refused_with_a_way_to_rgb(format: str) -> None:
    error = refusal(file_of(IMAGE.convert("CMYK"), format))
    assert "CMYK" in str(error)
    assert "--to-srgb (to_srgb=True in Python)" in error.hint


def test_lab_colours_in_a_tiff_are_refused() -> None:
    assert "Lab colours" in str(refusal(file_of(Image.new("LAB", (2, 2)), "TIFF")))


@pytest.mark.parametrize("mode", ["CMYK", "HSV", "LAB", "YCbCr"])
def test_other_colour_spaces_of_user_code_are_refused(mode: str) -> None:
    with pytest.raises(UnsupportedImageError, match="colours"):
        from_pillow(Image.new(mode, (2, 2)))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_several_pictures_in_one_file_are_refused_with_a_way_to_one(format: str) -> None:
    frames = [Image.fromarray(255 - RGB)]
    error = refusal(file_of(IMAGE, format, save_all=True, append_images=frames))
    assert "several pictures" in str(error)
    assert "--first-frame (first_frame=True in Python)" in error.hint


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF"])
def test_a_file_that_could_hold_several_pictures_and_holds_one_is_read(format: str) -> None:
    assert read_picture(io.BytesIO(file_of(IMAGE, format, save_all=True))).width == 24


def test_a_frame_of_an_animation_that_user_code_has_copied_is_taken() -> None:
    frames = [Image.fromarray(255 - RGB)]
    image = Image.open(io.BytesIO(file_of(IMAGE, "PNG", save_all=True, append_images=frames)))
    with pytest.raises(UnsupportedImageError, match="several pictures"):
        from_pillow(image)
    image.seek(1)
    np.testing.assert_array_equal(from_pillow(image.copy()).rgb, 255 - RGB)


def test_of_the_several_pictures_in_a_phones_jpeg_the_first_is_taken() -> None:
    data = file_of(IMAGE, "MPO", save_all=True, append_images=[Image.new("RGB", (4, 4))])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    second = Image.open(io.BytesIO(data))
    second.seek(1)
    assert from_pillow(second).width == 4
    picture = read_picture(io.BytesIO(data))
    assert (picture.width, picture.height) == (24, 16)


def test_a_tiff_with_a_channel_of_unknown_meaning_is_refused() -> None:
    assert "unknown meaning" in str(refusal(tiff([8] * 4, 2, bytes(16), tag_338=0)))
    assert read_picture(io.BytesIO(tiff([8] * 4, 2, bytes(16), tag_338=2))).alpha is not None


@pytest.mark.parametrize("tags", [{"tag_254": 1}, {"tag_50706": b"\1\4\0\0"}])
def test_a_camera_raw_file_is_refused_rather_than_reduced_to_its_preview(
    tags: dict[str, object],
) -> None:
    assert "preview" in str(refusal(tiff([8] * 3, 2, bytes(12), **tags)))


# -------------------------------------------------------------------------------------- large files


def test_a_header_that_claims_too_many_pixels_is_refused_before_decoding() -> None:
    error = refusal(png(30_000, 30_000, 8, 2, b""))
    assert isinstance(error, TooLargeError)
    assert "30000 x 30000 = 900 000 000 pixels, the limit is 256 000 000" in str(error)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF"])
def test_the_pixel_limit_is_exact_in_every_format(format: str) -> None:
    data = file_of(IMAGE, format)
    assert isinstance(refusal(data, max_pixels=16 * 24 - 1), TooLargeError)
    assert read_picture(io.BytesIO(data), max_pixels=16 * 24).width == 24


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "PPM", "AVIF"])
def test_pillows_own_limit_neither_warns_nor_refuses(
    format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = file_of(IMAGE, format)
    for limit in (100, 300):  # Pillow: an error over twice the limit, a warning over it
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert read_picture(io.BytesIO(data)).width == 24


@pytest.mark.parametrize("turn", [1, 6])
@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_a_tiff_over_pillows_limit_has_the_same_pixels(
    mode: str, turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = IMAGE.convert(mode)
    for compression in ("raw", "tiff_lzw"):
        data = file_of(image, "TIFF", compression=compression, tiffinfo={274: turn})
        wanted = read_picture(io.BytesIO(data))
        with monkeypatch.context() as patch:
            patch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
            picture = read_picture(io.BytesIO(data))
        np.testing.assert_array_equal(picture.rgb, wanted.rgb)


def test_a_webp_that_pillow_refuses_for_its_size_is_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = file_of(IMAGE, "WEBP")

    def refuse(*_: object) -> None:
        raise Image.DecompressionBombError("could be decompression bomb DOS attack")

    monkeypatch.setitem(Image.OPEN, "WEBP", (refuse, None))
    error = refusal(data)
    assert isinstance(error, TooLargeError)
    assert "MAX_IMAGE_PIXELS" in str(error)


@pytest.mark.parametrize(("depth", "key"), [(1, 1), (2, 2), (4, 11), (8, 180)])
def test_an_image_stays_as_it_is_and_gives_the_same_picture_again(depth: int, key: int) -> None:
    rows = b"".join(b"\0" + bytes([0b10110100] * depth) for _ in range(8))
    data = png(8, 8, depth, 0, rows)
    data = data[:33] + png_chunk(b"tRNS", struct.pack(">H", key)) + data[33:]
    image = Image.open(io.BytesIO(data))
    before = dict(image.info)
    first, second = from_pillow(image), from_pillow(image)
    fresh = read_picture(io.BytesIO(data))
    assert image.info == before
    assert fresh.alpha is not None and 0 < (fresh.alpha == 0).mean() < 1 + (depth == 8)
    for picture in (first, second):
        assert picture.alpha is not None and np.array_equal(picture.alpha, fresh.alpha)


def test_an_image_with_colours_by_number_stays_as_it_is() -> None:
    data = file_of(IMAGE, "PNG")
    data = data[:33] + png_chunk(b"cICP", bytes([12, 13, 0, 1])) + data[33:]
    image = Image.open(io.BytesIO(data))
    first, second = from_pillow(image), from_pillow(image)
    assert first.icc and first.icc == second.icc
    assert "icc_profile" not in image.info

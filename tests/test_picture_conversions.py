"""What to_8bit, first_frame and to_srgb make of pictures, most of which are refused without."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rdae.errors import UnsupportedImageError
from rdae.images.bit_depth import levels_of_floats
from rdae.images.inputs import from_array
from rdae.images.picture import Picture
from rdae.images.pillow import from_pillow, read_picture
from tests.image_samples import (
    exif_of_maker,
    file_of,
    png_16,
    png_chunk,
    read_png_16,
    tiff,
)

RNG = np.random.default_rng(3)
DEEP = RNG.integers(0, 1 << 16, (11, 13, 4), np.uint16)
RGB = RNG.integers(0, 256, (16, 24, 3), np.uint8)
IMAGE = Image.fromarray(RGB)


def read(data: bytes, **options: bool) -> Picture:
    return read_picture(io.BytesIO(data), **options)


def rounded(samples: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return np.rint(samples / 257).astype(np.uint8)


def assert_levels(picture: Picture, wanted: NDArray[Any]) -> None:
    """That a picture has the levels `(H, W, 1 to 4)`, and alpha if their number is even."""
    channels = wanted.shape[2]
    np.testing.assert_array_equal(
        picture.rgb, wanted[..., :3] if channels > 2 else wanted[..., [0] * 3]
    )
    assert picture.is_grey == (channels < 3)
    assert (picture.alpha is None) == (channels % 2 == 1)
    if picture.alpha is not None:
        np.testing.assert_array_equal(picture.alpha, wanted[..., -1])


# ------------------------------------------------------------------------------------------ to_8bit


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_of_16_bits_is_rounded_to_the_nearest_level(channels: int, interlaced: bool) -> None:
    samples = DEEP[..., :channels]
    assert_levels(read(png_16(samples, interlaced=interlaced), to_8bit=True), rounded(samples))


def test_the_rounding_is_not_that_of_the_high_byte() -> None:
    samples = np.array([[[0, 128, 129], [255, 65407, 65535]]], np.uint16)
    assert read(png_16(samples), to_8bit=True).rgb.tolist() == [[[0, 0, 1], [1, 255, 255]]]


@pytest.mark.parametrize("dtype", ["u2", "f4", "f8"])
def test_arrays_of_either_byte_order_are_the_same_picture(dtype: str) -> None:
    samples = DEEP[..., :3].astype(dtype)
    if dtype != "u2":
        samples /= 65535
    little = from_array(samples.astype("<" + dtype), to_8bit=True)
    big = from_array(samples.astype(">" + dtype), to_8bit=True)
    assert np.array_equal(little.rgb, big.rgb)
    assert np.abs(big.rgb.astype(int) - rounded(DEEP[..., :3])).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_colour_of_16_bits_is_looked_for_in_full_depth(channels: int) -> None:
    near = np.full((1, 2, channels), 0x1234, np.uint16)
    near[0, 1, -1] += 1  # the same, rounded to 8 bits
    key = near[0, 0].astype(">u2").tobytes()
    picture = read(png_16(near, tRNS=key), to_8bit=True)
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[0, 255]]
    assert (picture.rgb == 0x12).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_metadata_behind_the_pixels_of_a_png_of_16_bits_are_found(channels: int) -> None:
    data, exif = png_16(DEEP[..., :channels]), exif_of_maker().tobytes()[6:]
    picture = read(data[:-12] + png_chunk(b"eXIf", exif) + data[-12:], to_8bit=True)
    assert picture.exif == exif


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_png_of_16_bits_that_user_code_has_opened_is_read_in_full_depth(channels: int) -> None:
    samples = DEEP[..., :channels]
    image = Image.open(io.BytesIO(png_16(samples)))
    assert_levels(from_pillow(image, to_8bit=True), rounded(samples))
    assert image.copy().size == (13, 11)  # and is as usable as before


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_tiff_of_16_bits_is_rounded_to_the_nearest_level(
    channels: int, order: Literal["<", ">"], deflated: bool
) -> None:
    extra = {"tag_338": 2} if channels == 4 else {}
    data = tiff(
        DEEP[..., :channels], 2 if channels > 2 else 1, order=order, deflated=deflated, **extra
    )
    assert_levels(read(data, to_8bit=True), rounded(DEEP[..., :channels]))


def test_an_orientation_is_applied_to_a_tiff_of_16_bits() -> None:
    data = tiff(DEEP[..., :3], 2, tag_274=6)
    np.testing.assert_array_equal(
        read(data, to_8bit=True).rgb, np.rot90(rounded(DEEP[..., :3]), -1)
    )


def test_premultiplied_alpha_of_16_bits_is_divided_out() -> None:
    samples = np.array([[[5000, 10000, 20000, 20000], [0, 0, 0, 0]]], np.uint16)
    picture = read(tiff(samples, 2, tag_338=1), to_8bit=True)
    assert picture.rgb.tolist() == [[[64, 128, 255], [0, 0, 0]]]
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[78, 0]]


@pytest.mark.parametrize("deflated", [False, True])
def test_a_deep_tiff_that_counts_from_white_is_turned_around(deflated: bool) -> None:
    data = tiff(DEEP[..., :1], 0, deflated=deflated)
    assert_levels(read(data, to_8bit=True), 255 - rounded(DEEP[..., :1]))


def test_cmyk_of_16_bits_needs_two_options() -> None:
    data = tiff(DEEP, 5)
    with pytest.raises(UnsupportedImageError, match="CMYK"):
        read(data, to_8bit=True)
    with pytest.raises(UnsupportedImageError, match="8 bits"):
        read(data, to_srgb=True)
    ink = Image.frombytes("CMYK", (13, 11), rounded(DEEP).tobytes())
    assert_levels(read(data, to_8bit=True, to_srgb=True), np.asarray(ink.convert("RGB")))


@pytest.mark.parametrize("deflated", [False, True])
def test_a_tiff_of_16_bits_with_its_planes_apart_is_refused_with_another_way(
    deflated: bool,
) -> None:
    with pytest.raises(UnsupportedImageError, match="stand apart") as caught:
        read(tiff(DEEP[..., :3], 2, deflated=deflated, tag_284=2), to_8bit=True)
    assert "magick" in caught.value.hint


@pytest.mark.parametrize("white", [256, 1023, 65535])
def test_a_pgm_or_ppm_of_two_bytes_a_sample_is_scaled_by_its_white(white: int) -> None:
    samples = (DEEP[..., :3].astype(int) % (white + 1)).astype(np.uint16)
    wanted = np.rint(255.0 * samples / white)
    head = f"13 11 {white}\n".encode()
    colour = read(b"P6 " + head + samples.astype(">u2").tobytes(), to_8bit=True)
    assert_levels(colour, wanted)
    grey = read(b"P5 " + head + samples[..., :1].astype(">u2").tobytes(), to_8bit=True)
    assert_levels(grey, wanted[..., :1])


def test_a_cut_ppm_of_16_bits_is_refused() -> None:
    for kind in (b"P5", b"P6"):
        for white in (b"1023", b"65535"):
            with pytest.raises(UnsupportedImageError, match=r"truncated|not enough"):
                read(kind + b" 9 9 " + white + b"\n" + bytes(90), to_8bit=True)


def test_floats_are_taken_as_0_to_1_and_clipped() -> None:
    values = np.array([[-1, 0, 0.5, 1, 2, np.nan, np.inf, -np.inf]], np.float32)
    wanted = [0, 0, 128, 255, 255, 0, 255, 0]
    assert from_pillow(Image.fromarray(values), to_8bit=True).rgb[0, :, 0].tolist() == wanted
    picture = read(tiff(values[..., None], 1, tag_339=3), to_8bit=True)
    assert picture.rgb[0, :, 0].tolist() == wanted
    assert picture.is_grey
    assert read(b"Pf 2 1 -1.0\n" + values[0, 2:4].tobytes(), to_8bit=True).rgb[0, 0, 0] == 128


def test_half_floats_are_rounded_as_others_are() -> None:
    values = np.linspace(0, 1, 2001, dtype=np.float16)
    assert np.array_equal(levels_of_floats(values), levels_of_floats(values.astype(np.float32)))


def test_signed_samples_of_8_bits_are_clipped_at_0() -> None:
    samples = np.array([[0, 127, -128, -1]], np.int8)
    data = tiff(samples[..., None], 1, tag_339=2)
    with pytest.raises(UnsupportedImageError):
        read(data)
    assert read(data, to_8bit=True).rgb[0, :, 0].tolist() == [0, 127, 0, 0]


def test_32_bit_integers_are_taken_as_16_bits_but_unsigned_ones_of_a_tiff_in_full() -> None:
    values = np.array([[-5, 0, 257, 65535, 1 << 30]], np.int32)
    picture = from_pillow(Image.fromarray(values), to_8bit=True)
    assert picture.rgb[0, :, 0].tolist() == [0, 0, 1, 255, 255]
    signed = read(tiff(values[..., None], 1, tag_339=2), to_8bit=True)
    assert signed.rgb[0, :, 0].tolist() == [0, 0, 1, 255, 255]
    full = np.array([[0, 1 << 31, (1 << 32) - 1]], np.uint32)
    assert read(tiff(full[..., None], 1), to_8bit=True).rgb[0, :, 0].tolist() == [0, 128, 255]


def test_pictures_of_8_bits_are_the_same_with_every_option() -> None:
    for image in (IMAGE, IMAGE.convert("LA"), IMAGE.convert("P"), IMAGE.convert("1")):
        data = file_of(image, "PNG")
        plain, all_of_it = read(data), read(data, to_8bit=True, first_frame=True, to_srgb=True)
        np.testing.assert_array_equal(all_of_it.rgb, plain.rgb)
        assert all_of_it.is_grey == plain.is_grey


def test_the_reader_of_these_tests_agrees_with_their_writer() -> None:
    np.testing.assert_array_equal(read_png_16(png_16(DEEP)), DEEP)


# -------------------------------------------------------------------------------------- first_frame


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_first_of_several_pictures_is_taken(format: str) -> None:
    first, second = Image.linear_gradient("L").quantize(8), Image.new("RGB", (256, 256), "red")
    options = {"lossless": True} if format == "WEBP" else {"quality": 100}
    first = first if format == "GIF" else first.convert("RGB")
    data = file_of(first, format, save_all=True, append_images=[second], **options)
    picture = read(data, first_frame=True)
    wanted = np.asarray(first.convert("RGB")).astype(int)
    assert np.abs(picture.rgb - wanted).max() <= (4 if format == "AVIF" else 0)


def test_the_first_frame_is_taken_whichever_is_the_present_one_and_that_stays() -> None:
    second = Image.fromarray(255 - RGB)
    data = file_of(IMAGE, "PNG", save_all=True, append_images=[second])
    image = Image.open(io.BytesIO(data))
    image.seek(1)
    np.testing.assert_array_equal(from_pillow(image, first_frame=True).rgb, RGB)
    assert image.tell() == 1
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), 255 - RGB)


def test_an_animation_of_16_bits_needs_two_options() -> None:
    frames = [Image.new("I;16", (4, 4), value) for value in (514, 1000)]
    data = file_of(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedImageError, match="8 bits"):
        read(data, first_frame=True)
    assert (read(data, first_frame=True, to_8bit=True).rgb == 2).all()

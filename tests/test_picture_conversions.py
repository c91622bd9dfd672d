"""What to_8bit, first_frame and to_srgb make of pictures, most of which are refused without."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from rdae.errors import UnsupportedImageError
from rdae.images.inputs import from_array
from rdae.images.picture import Picture, from_pillow, read_picture
from tests.image_samples import (
    ADOBE_RGB,
    DISPLAY_P3,
    SRGB,
    cmyk_profile,
    file_of,
    grey_profile,
    png_16,
    png_chunk,
    read_png_16,
    rgb_profile,
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


# ------------------------------------------------------------------------------------------ to_srgb

MATRICES = {"sRGB": (SRGB, 2.2), "Display P3": (DISPLAY_P3, 2.2), "Adobe RGB": (ADOBE_RGB, 2.2)}


def srgb_of(rgb: NDArray[np.uint8], name: str) -> NDArray[np.float64]:
    """The levels in sRGB of colours in another space, computed by the formulas."""
    primaries, gamma = MATRICES[name]
    to_xyz, from_xyz = np.array(primaries).T, np.linalg.inv(np.array(SRGB).T)
    linear = ((rgb / 255.0) ** gamma @ to_xyz.T @ from_xyz.T).clip(0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(255 * curved, np.float64)


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
def test_an_rgb_profile_is_kept_unless_srgb_is_asked_for(name: str, format: str) -> None:
    profile = rgb_profile(*MATRICES[name])
    smooth = np.stack(np.meshgrid(np.arange(60, 220, 10), np.arange(60, 220, 10)), 2)
    image = Image.fromarray(np.dstack([smooth, smooth[..., :1] // 2 + 60]).astype(np.uint8))
    data = file_of(image, format, icc_profile=profile, exif=exif_of_maker())
    kept, converted = read(data), read(data, to_srgb=True)
    assert kept.icc == profile
    assert converted.icc == b""
    assert b"Maker" in converted.exif
    assert np.abs(converted.rgb - srgb_of(kept.rgb, name)).max() < 2.5


def exif_of_maker() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    return exif


def test_alpha_stays_as_it_is_when_colours_are_converted() -> None:
    profile = rgb_profile(DISPLAY_P3, 2.2)
    image = IMAGE.copy()
    image.putalpha(Image.fromarray(RGB[..., 0]))
    picture = read(file_of(image, "PNG", icc_profile=profile), to_srgb=True)
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, RGB[..., 0])
    assert np.abs(picture.rgb - srgb_of(RGB, "Display P3")).max() < 2.5


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_grey_profile_is_kept_or_converted_and_the_picture_stays_grey(mode: str) -> None:
    profile = grey_profile(1.0)
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert(mode)
    data = file_of(image, "PNG", icc_profile=profile)
    assert read(data).icc == profile
    picture = read(data, to_srgb=True)
    assert picture.icc == b""
    assert picture.is_grey
    assert (picture.alpha is not None) == (mode == "LA")
    assert abs(int(picture.rgb[8, 0, 0]) - 188) <= 1  # half the light
    assert (picture.rgb == picture.rgb[..., :1]).all()


def test_a_grey_picture_with_an_rgb_profile_is_converted_with_it() -> None:
    data = file_of(Image.new("L", (2, 2), 128), "PNG", icc_profile=rgb_profile(SRGB, 1.0))
    picture = read(data, to_srgb=True)
    assert picture.is_grey
    assert abs(int(picture.rgb[0, 0, 0]) - 188) <= 1


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_is_converted_as_pillow_does_it(format: str) -> None:
    data = file_of(IMAGE.convert("CMYK"), format)
    wanted = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(read(data, to_srgb=True).rgb, wanted)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_with_a_profile_is_converted_with_it(format: str) -> None:
    lab = (138, 150, 180)
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))  # Pillow alone would make it cyan
    data = file_of(image, format, icc_profile=cmyk_profile(lab))
    picture = read(data, to_srgb=True)
    assert picture.icc == b""
    colour = picture.rgb[8, 8].astype(int)
    assert colour[0] > colour[1] > colour[2]  # orange
    wanted = lab_to_srgb(lab)
    assert np.abs(colour - wanted).max() <= 3


def lab_to_srgb(lab: tuple[int, int, int]) -> NDArray[np.float64]:
    """The level in sRGB of a Lab colour of 8 bits, with white D50, computed by the formulas."""
    lightness, a, b = lab[0] / 2.55, lab[1] - 128, lab[2] - 128
    y = (lightness + 16) / 116
    steps = np.array([y + a / 500, y, y - b / 200])
    xyz = np.where(steps > 6 / 29, steps**3, 3 * (6 / 29) ** 2 * (steps - 4 / 29))
    linear = (np.linalg.inv(np.array(SRGB).T) @ (xyz * (0.9642, 1.0, 0.8249))).clip(0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(255 * curved, np.float64)


def test_lab_is_converted() -> None:
    for lab in ((255, 128, 128), (0, 128, 128), (138, 150, 180), (150, 140, 110)):
        picture = read(file_of(Image.new("LAB", (2, 2), lab), "TIFF"), to_srgb=True)
        assert np.abs(picture.rgb[0, 0] - lab_to_srgb(lab)).max() <= 2


@pytest.mark.parametrize("mode", ["YCbCr", "HSV"])
def test_ycbcr_and_hsv_images_of_user_code_are_converted(mode: str) -> None:
    image = IMAGE.convert(mode)
    picture = from_pillow(image, to_srgb=True)
    np.testing.assert_array_equal(picture.rgb, np.asarray(image.convert("RGB")))
    image.info["icc_profile"] = rgb_profile(DISPLAY_P3, 2.2)
    picture = from_pillow(image, to_srgb=True)
    assert np.abs(picture.rgb - srgb_of(np.asarray(image.convert("RGB")), "Display P3")).max() < 2.5


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("RGB", b"not a profile"),
        ("RGB", rgb_profile(SRGB, 2.2)[:200]),
        ("RGB", grey_profile(2.2)),
        ("RGB", cmyk_profile((1, 2, 3))),
        ("L", cmyk_profile((1, 2, 3))),
        ("CMYK", rgb_profile(SRGB, 2.2)),
        ("CMYK", b"not a profile"),
    ],
)
def test_a_profile_that_cannot_be_used_is_refused_and_not_ignored(
    mode: str, profile: bytes
) -> None:
    data = file_of(Image.new(mode, (4, 4)), "JPEG", icc_profile=profile)
    with pytest.raises(UnsupportedImageError, match="ICC profile") as caught:
        read(data, to_srgb=True)
    assert "\n" not in str(caught.value)
    assert ("editor" if mode == "CMYK" else "without --to-srgb") in caught.value.hint


def test_a_profile_of_littlecms_is_the_identity_for_srgb() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = read(file_of(IMAGE, "PNG", icc_profile=profile), to_srgb=True)
    assert np.abs(picture.rgb.astype(int) - RGB).max() <= 1

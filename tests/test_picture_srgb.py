"""Colours that are converted to sRGB when asked for, and profiles that are kept otherwise."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from rdae.errors import UnsupportedImageError
from rdae.images.picture import Picture
from rdae.images.pillow import from_pillow, read_picture
from tests.image_samples import (
    ADOBE_RGB,
    DISPLAY_P3,
    SRGB,
    cmyk_profile,
    exif_of_maker,
    file_of,
    grey_profile,
    rgb_profile,
)

RNG = np.random.default_rng(3)
RGB = RNG.integers(0, 256, (16, 24, 3), np.uint8)
IMAGE = Image.fromarray(RGB)


def read(data: bytes, **options: bool) -> Picture:
    return read_picture(io.BytesIO(data), **options)


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

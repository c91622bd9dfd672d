"""Colours of other kinds, converted to sRGB: what `--to-srgb` does.

With an ICC profile the conversion is littleCMS's (Pillow's ImageCms), perceptual intent, 8 bits
per channel; where the profile is damaged or meant for other colours, the picture is refused. Of
what has no profile, CMYK, HSV and YCbCr are converted by Pillow's own formulas, and Lab is taken
to be that of ICC, with white D50. Grey and RGB without a profile are sRGB already.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image

from rdae.errors import UnsupportedImageError, option

if TYPE_CHECKING:
    from PIL import ImageCms

COLOUR_MODES = {"CMYK": "CMYK", "LAB": "Lab", "HSV": "HSV", "YCbCr": "YCbCr"}

_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}  # of profiles, by mode
_KEEP = f"without {option('to_srgb')} the picture is taken as it is, with its profile"
_CONVERT = "convert it to sRGB in an image editor first"


def to_srgb(image: Image.Image, icc: bytes) -> Image.Image:
    """Convert an image without alpha to sRGB.

    Args:
        image: of mode L, RGB, CMYK, LAB, HSV or YCbCr.
        icc: its ICC profile; empty if there is none.

    Returns:
        An RGB image.

    Raises:
        UnsupportedImageError: the profile cannot be used for this image.
    """
    hint = _CONVERT if image.mode in COLOUR_MODES else _KEEP
    if image.mode in ("HSV", "YCbCr"):  # their profiles are those of the RGB that they stand for
        image = image.convert("RGB")
    if not icc and image.mode != "LAB":
        return image.convert("RGB")
    from PIL import ImageCms

    try:
        source = _profile(image, icc)
        if source is None:
            raise UnsupportedImageError("its ICC profile is not for colours of its kind", hint=hint)
        if image.mode == "L" and _space(source) == "RGB":
            image = image.convert("RGB")
        converted = ImageCms.profileToProfile(
            image,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.PERCEPTUAL,
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        if isinstance(error, UnsupportedImageError):
            raise
        raise UnsupportedImageError(
            f"its ICC profile cannot be used: {' '.join(str(error).split())}", hint=hint
        ) from error
    assert converted is not None
    return converted


def _profile(image: Image.Image, icc: bytes) -> ImageCms.ImageCmsProfile | None:
    """Return the profile of an image's colours, or None if `icc` is one of other colours."""
    from PIL import ImageCms

    if not icc:  # Lab
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    space = _space(profile)
    is_grey_in_rgb = image.mode == "L" and space == "RGB"  # against the rules, and often seen
    return profile if space == _SPACES[image.mode] or is_grey_in_rgb else None


def _space(profile: ImageCms.ImageCmsProfile) -> str:
    return profile.profile.xcolor_space.strip()

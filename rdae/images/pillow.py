"""The ways in and out of a `Picture` through Pillow.

What comes in is turned upright, so a viewer that ignores EXIF is right too. What cannot be held
whole is refused (`rdae.images.reader`), unless the user says what may be done to it: to_8bit
(`rdae.images.bit_depth`), first_frame, to_srgb (`rdae.images.colour`). What is accepted otherwise
comes through whole: a fully opaque alpha plane stays, and so do the colours under transparent
pixels (which a lossy encoder then leaves out: `rdae.images.transparency`).

Greyscale follows the image's mode: 1, L and LA are grey, and come back as L or LA. A palette is
colour even where its entries are grey, as an RGB image is.

Not kept, since they are no part of the picture or have no place in it: text and comments, IPTC,
the resolution where it is not in the EXIF data, PNG's gAMA and cHRM, an EXIF thumbnail in TIFF.
"""

from __future__ import annotations

import io
import os
from typing import BinaryIO

from PIL import Image

from rdae.files import read_stream
from rdae.images import exif as exif_data
from rdae.images import xmp as xmp_packet
from rdae.images.bit_depth import to_8_bits
from rdae.images.channels import planes, srgb_planes, turned
from rdae.images.colour import COLOUR_MODES
from rdae.images.metadata import metadata_of, orientation
from rdae.images.picture import Picture
from rdae.images.reader import (
    Allowed,
    check_kind,
    check_size,
    foreign_errors,
    has_more_than_8_bits,
    load,
    open_image,
)
from rdae.limits import MAX_PIXELS

_ORIENTATION = 274  # tag of a TIFF


def read_picture(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    max_pixels: int = MAX_PIXELS,
    to_8bit: bool = False,
    first_frame: bool = False,
    to_srgb: bool = False,
) -> Picture:
    """Read a picture from an image file of one of the `rdae.images.formats.INPUT_FORMATS`.

    Args:
        source: path, or binary file, which is read from its beginning (a pipe: to its end) and
            stays open.
        max_pixels: limit on width times height, checked before anything is decoded.
        to_8bit: reduce more than 8 bits per channel. Integers are scaled and rounded (16 bits:
            v / 257); floats are taken as 0 to 1 and clipped (details in `rdae.images.bit_depth`).
        first_frame: take the first picture of an animation or of a file of several pages.
        to_srgb: convert CMYK, Lab, HSV and YCbCr colours, and everything that has an ICC profile,
            to sRGB, with perceptual intent; the picture then has no profile.

    Raises:
        TooLargeError: more pixels than `max_pixels`, or a pipe without end.
        UnsupportedImageError: not an image, a damaged one, or of a kind that cannot be held:
            more than 8 bits per channel, several pictures, CMYK, Lab, unless the options above
            allow it; unknown extra channels; JPEG XL without pillow-jxl-plugin.
        OSError: the file is not there or cannot be read.
    """
    allowed = Allowed(to_8bit=to_8bit, first_frame=first_frame, to_srgb=to_srgb)
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            return read_picture(
                file,
                max_pixels=max_pixels,
                to_8bit=to_8bit,
                first_frame=first_frame,
                to_srgb=to_srgb,
            )
    if not source.seekable():
        source = io.BytesIO(read_stream(source))
    return _from_checked(open_image(source, max_pixels=max_pixels, allowed=allowed), allowed)


def from_pillow(
    image: Image.Image,
    *,
    max_pixels: int = MAX_PIXELS,
    to_8bit: bool = False,
    first_frame: bool = False,
    to_srgb: bool = False,
) -> Picture:
    """Make a picture of a Pillow image, under the same rules as `read_picture`.

    The orientation in `image.info["exif"]` is applied, as `ImageOps.exif_transpose` would. Of an
    image of several frames pass `image.copy()` to have the present one. Pillow reduces files of
    16 bits per channel to 8 on loading; after that it cannot be seen, and is not refused.

    Args:
        image: stays as it is, but is loaded.
        max_pixels: limit on width times height.
        to_8bit: as for `read_picture`.
        first_frame: take the first frame, whichever is the present one.
        to_srgb: as for `read_picture`.

    Raises:
        ImageError: as `read_picture`.
    """
    allowed = Allowed(to_8bit=to_8bit, first_frame=first_frame, to_srgb=to_srgb)
    with foreign_errors("cannot read this image"):
        frame = image.tell() if first_frame and getattr(image, "is_animated", False) else 0
        if frame:
            image.seek(0)
        try:
            check_size(image.size, max_pixels)
            check_kind(image, allowed)
            return _from_checked(image, allowed)
        finally:
            if frame:
                image.seek(frame)


def to_pillow(picture: Picture) -> Image.Image:
    """Return a Pillow image of mode L, LA, RGB or RGBA, its metadata in `info`."""
    image = Image.fromarray(picture.rgb[..., 0] if picture.is_grey else picture.rgb)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    if picture.icc:
        image.info["icc_profile"] = picture.icc
    if picture.exif:
        image.info["exif"] = exif_data.PREFIX + picture.exif
    if picture.xmp:
        image.info["xmp"] = picture.xmp
    return image


def _from_checked(image: Image.Image, allowed: Allowed) -> Picture:
    """Load an image that has been checked, and make a picture of it."""
    tag = getattr(image, "tag_v2", {}).get(_ORIENTATION, 1)  # which Pillow drops when it turns
    with foreign_errors(f"cannot read this {image.format or 'image'} file"):
        if has_more_than_8_bits(image):
            pixels = to_8_bits(image, load)
        else:
            load(image)
            pixels = image
        icc, exif, xmp = metadata_of(image)
        if allowed.to_srgb and (icc or pixels.mode in COLOUR_MODES):
            rgb, alpha, is_grey = srgb_planes(pixels, icc)
            icc = b""
        else:
            rgb, alpha, is_grey = planes(pixels)
    turn = _turn_to_apply(image, exif, xmp)
    is_turned = tag != 1 or turn != 1 or orientation(exif, xmp) != 1  # here, or by who decoded it
    exif, xmp = exif_data.upright(exif), xmp_packet.upright(xmp)
    picture = Picture(rgb, alpha, is_grey, icc, exif, xmp)
    if not is_turned:
        return picture
    return picture.with_pixels(turned(rgb, turn), None if alpha is None else turned(alpha, turn))


def _turn_to_apply(image: Image.Image, exif: bytes, xmp: bytes) -> int:
    """Return the orientation, 1 to 8, in which a loaded image's pixels still are."""
    if image.format == "TIFF":  # Pillow's TIFF plugin has turned the pixels already
        return 1
    if image.format == "JXL" and not getattr(image, "jpeg", False):  # and so has libjxl
        return 1
    if image.format == "AVIF":
        # AVIF is turned by properties of its own (irot, imir), which Pillow reports in the EXIF
        # data; what XMP says does not count in this format.
        return orientation(exif, b"")
    return orientation(exif, xmp)

"""What `rdae.compress` takes, and how it becomes a Picture: files, Pillow images, arrays.

A file or a Pillow image goes through the rules of `rdae.images.reader`. An array is pixels and no
more: no orientation, no profile, nothing to lose, so only its shape and type are judged. Nothing
is scaled or reordered by guess: values of another type or channels in another place are refused.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rdae.errors import UnsupportedImageError
from rdae.images.bit_depth import levels_of, levels_of_floats
from rdae.images.picture import Picture
from rdae.images.pillow import from_pillow, read_picture
from rdae.images.reader import check_size
from rdae.limits import MAX_PIXELS

if TYPE_CHECKING:
    Source: TypeAlias = (
        str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | NDArray[Any]
    )

_SHAPES = "(H, W), or (H, W, C) with C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA"


def picture_of(
    source: Source,
    *,
    max_pixels: int = MAX_PIXELS,
    to_8bit: bool = False,
    first_frame: bool = False,
    to_srgb: bool = False,
) -> Picture:
    """Make a picture of whatever a user has.

    Args:
        source: path of an image file, the bytes of one, a Pillow image, or an array of pixels as
            `from_array` takes it.
        max_pixels: limit on width times height.
        to_8bit: reduce more than 8 bits per channel instead of refusing them.
        first_frame: take the first of several pictures instead of refusing them.
        to_srgb: convert other colours, as CMYK, to sRGB instead of refusing them.

    Raises:
        ImageError: the source cannot be used; the message says why.
        OSError: the file is not there or cannot be read.
    """
    options = {"to_8bit": to_8bit, "first_frame": first_frame, "to_srgb": to_srgb}
    if isinstance(source, (bytes, bytearray, memoryview)):
        return read_picture(io.BytesIO(source), max_pixels=max_pixels, **options)
    if isinstance(source, (str, os.PathLike)):
        return read_picture(source, max_pixels=max_pixels, **options)
    if isinstance(source, Image.Image):
        return from_pillow(source, max_pixels=max_pixels, **options)
    if isinstance(source, np.ndarray):
        return from_array(source, max_pixels=max_pixels, to_8bit=to_8bit)
    raise UnsupportedImageError(
        f"cannot compress an object of type {type(source).__name__}",
        hint="pass a path, the bytes of an image file, a Pillow image or a NumPy array",
    )


def from_array(
    pixels: NDArray[Any], *, max_pixels: int = MAX_PIXELS, to_8bit: bool = False
) -> Picture:
    """Make a picture of an array of pixels, upright and without metadata.

    Args:
        pixels: `(H, W)` or `(H, W, 1)` grey, `(H, W, 2)` grey and alpha, `(H, W, 3)` RGB or
            `(H, W, 4)` RGBA, uint8; alpha is not premultiplied.
        max_pixels: limit on H times W.
        to_8bit: take uint16 in 0 to 65535 and floats in 0 to 1 as well; floats are clipped.

    Raises:
        UnsupportedImageError: another shape or type, or no pixels.
        TooLargeError: more pixels than `max_pixels`.
    """
    shape = " x ".join(map(str, pixels.shape)) or "()"
    native = pixels.dtype.newbyteorder("=")
    is_deep = native == np.uint16 or native.kind == "f"
    if pixels.dtype != np.uint8 and not (to_8bit and is_deep):
        hint = "to_8bit=True takes uint16 in 0 to 65535 and floats in 0 to 1" if is_deep else ""
        raise UnsupportedImageError(f"an array of {pixels.dtype}, wanted uint8", hint=hint)
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and not 1 <= pixels.shape[2] <= 4):
        planes_first = pixels.ndim == 3 and 1 <= pixels.shape[0] <= 4
        raise UnsupportedImageError(
            f"an array of shape {shape}, wanted {_SHAPES}",
            hint="for channels first: x.transpose(1, 2, 0)" if planes_first else "",
        )
    if 0 in pixels.shape:
        raise UnsupportedImageError(f"an array of shape {shape} has no pixels")
    height, width = pixels.shape[:2]
    check_size((width, height), max_pixels)
    if is_deep:
        pixels = pixels.astype(native, copy=False)
        pixels = levels_of(pixels) if native == np.uint16 else levels_of_floats(pixels)
    samples = pixels.reshape(height, width, -1)
    channels = samples.shape[2]
    is_grey = channels < 3
    colours = samples[..., :1] if is_grey else samples[..., :3]
    rgb = np.repeat(colours, 3, axis=2) if is_grey else colours
    return Picture(rgb, samples[..., -1] if channels in (2, 4) else None, is_grey)

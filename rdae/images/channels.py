"""The pixels of a Pillow image as arrays: RGB, alpha, and whether it is grey."""

from __future__ import annotations

import numpy as np
from PIL import Image

from rdae.images.colour import COLOUR_MODES, to_srgb
from rdae.images.picture import Plane

# Attribute of an image: by what Pillow has multiplied its levels, but not its transparent level.
LEVEL_SCALE = "rdae_level_scale"


def srgb_planes(image: Image.Image, icc: bytes) -> tuple[Plane, Plane | None, bool]:
    """Return what `planes` does, the colours converted to sRGB."""
    if image.mode in COLOUR_MODES:
        return np.asarray(to_srgb(image, icc)), None, False
    rgb, alpha, is_grey = planes(image)
    converted = np.asarray(to_srgb(Image.fromarray(rgb[..., 0] if is_grey else rgb), icc))
    if is_grey:  # and stays so, which rounding could prevent
        converted = _rgb(converted[..., 1:2])
    return converted, alpha, is_grey


def planes(image: Image.Image) -> tuple[Plane, Plane | None, bool]:
    """Return the RGB pixels, the alpha plane or None, and whether the image is grey."""
    mode = image.mode
    is_grey = mode in ("1", "L", "LA", "La")
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or (mode == "P" and image.has_transparency_data):
        samples = _samples(image, "LA" if is_grey else "RGBA")
        return _rgb(samples[..., :-1]), samples[..., -1], is_grey
    samples = _samples(image, "L" if is_grey else "RGB")
    alpha = None
    key = image.info.get("transparency")
    if isinstance(key, int) and is_grey:
        key *= getattr(image, LEVEL_SCALE, 1)
    if isinstance(key, int) if is_grey else isinstance(key, tuple):  # else a relict of a palette
        colour = np.array(key) & 255  # PNG: of a 16-bit key the low bits count
        alpha = np.where((samples == colour).all(axis=2), np.uint8(0), np.uint8(255))
    return _rgb(samples), alpha, is_grey


def _samples(image: Image.Image, mode: str) -> Plane:
    """Return an image's samples, `(H, W, C)`, in a mode that holds them."""
    if image.mode != mode:  # a conversion to the same mode would be a copy
        image = image.convert(mode)
    return np.asarray(image).reshape(image.height, image.width, -1)


def _rgb(samples: Plane) -> Plane:
    """Return `(H, W, 1 or 3)` samples as `(H, W, 3)`."""
    return np.repeat(samples, 3, axis=2) if samples.shape[2] == 1 else samples


def turned(plane: Plane, turn: int) -> Plane:
    """Apply an EXIF orientation in 1..8 to `(H, W)` or `(H, W, C)` samples."""
    if turn >= 5:
        plane = plane.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        plane = plane[::-1]
    if turn in (2, 3, 6, 7):
        plane = plane[:, ::-1]
    return plane

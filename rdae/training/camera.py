"""Crops as cameras and programs make them, for pixels that are to be coded exactly.

Photographs to train on are JPEG files, whose blocks and lost frequencies a lossless codec would
learn. Shrinking takes these away; noise, sharpening and chroma of half the resolution, each on a
share of the crops, bring back what pictures have of their own.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from rdae.training.data import PhotoCache, Pixels

SHRINK = 0.5, 0.9  # smallest and largest factor
SHARPENED, NOISY, HALF_CHROMA = 0.2, 0.35, 0.4  # shares of the crops
NOISE = 0.5, 5.0  # standard deviation in levels
_FILTERS = (
    Image.Resampling.LANCZOS,
    Image.Resampling.BICUBIC,
    Image.Resampling.BOX,
    Image.Resampling.HAMMING,
)
_DOWN = Image.Resampling.BOX, Image.Resampling.BILINEAR
_UP = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.NEAREST


def developed_crops(photos: PhotoCache, rng: np.random.Generator, count: int, size: int) -> Pixels:
    """Random crops of photos, shrunk and changed: `(count, size, size, 3)`."""
    out = np.empty((count, size, size, 3), np.uint8)
    for k in range(count):
        side = round(size / rng.uniform(*SHRINK))
        (square,) = photos.crops(rng, 1, side)
        out[k] = developed(square, size, rng)
    return out


def developed(square: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """A square `(side, side, 3)` as a crop of `size`."""
    image = Image.fromarray(square).resize((size, size), _FILTERS[rng.integers(len(_FILTERS))])
    if rng.random() < SHARPENED:
        radius, percent = rng.uniform(0.5, 1.5), int(rng.uniform(30, 120))
        image = image.filter(ImageFilter.UnsharpMask(radius, percent, 0))
    if rng.random() < NOISY:
        image = _with_noise(image, rng)
    if rng.random() < HALF_CHROMA:
        image = _with_half_chroma(image, rng)
    return np.asarray(image)


def _with_noise(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """With noise that is partly the same in all colours."""
    x = np.asarray(image, np.float32)
    shared = rng.normal(size=(*x.shape[:2], 1)) * rng.uniform(0.3, 1)
    noise = (shared + rng.normal(size=x.shape) * rng.uniform(0, 0.6)) * rng.uniform(*NOISE)
    return Image.fromarray(np.clip(np.rint(x + noise), 0, 255).astype(np.uint8))


def _with_half_chroma(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """With chroma of half the resolution, at any of the usual places between the pixels."""
    width, height = image.size
    luma, *chroma = image.convert("YCbCr").split()
    down, up = _DOWN[rng.integers(len(_DOWN))], _UP[rng.integers(len(_UP))]
    x, y = rng.choice([0.0, 0.5, 1.0], 2)
    planes = [luma]
    for plane in chroma:
        small = plane.resize((width // 2, height // 2), down)
        moved = (0.5, 0, x - 0.5, 0, 0.5, y - 0.5)
        planes.append(small.transform((width, height), Image.Transform.AFFINE, moved, up))
    return Image.merge("YCbCr", planes).convert("RGB")

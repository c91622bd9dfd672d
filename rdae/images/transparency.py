"""Pictures with transparency: what they are, on what they are looked at, and what nobody sees.

Their pixels are `(H, W, 4)` with straight alpha; those of all other pictures are `(H, W, 3)`. They
are judged on black and on white, and the worse of the two values counts, as the reference of
SSIMULACRA2 does with a dark and a bright ground: what is invisible costs nothing, and an error of
the alpha shows on one ground at least.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rdae.images.picture import Picture

Pixels = NDArray[np.uint8]
Sums = NDArray[np.float32]

BLACK, WHITE = 0, 255
GROUNDS = (BLACK, WHITE)
SMOOTHINGS = 2  # of the edges between cells; without them a cut-out takes 7 % more bits


def pixels_of(picture: Picture) -> Pixels:
    """The pixels of a picture: `(H, W, 4)` if any of them is transparent, else `(H, W, 3)`."""
    if is_transparent(picture):
        assert picture.alpha is not None
        return np.dstack([picture.rgb, picture.alpha])
    return picture.rgb


def alike(a: Picture, b: Picture) -> tuple[Pixels, Pixels]:
    """The pixels of two pictures in one form: `(H, W, 4)` of both if either is transparent."""
    found = [pixels_of(picture) for picture in (a, b)]
    if any(pixels.shape[2] == 4 for pixels in found):
        found = [
            np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
            if pixels.shape[2] == 3
            else pixels
            for pixels in found
        ]
    return found[0], found[1]


def is_transparent(picture: Picture) -> bool:
    """Whether any pixel is not opaque."""
    return picture.alpha is not None and bool((picture.alpha != 255).any())


def with_hidden_smoothed(picture: Picture) -> Picture:
    """The picture with other colours where alpha is 0: those that go on smoothly from the others.

    Each hidden pixel becomes the mean of what is seen around it, of the nearest that there is: a
    pyramid of means goes up until all cells have one, and down again (push and pull: Gortler et
    al. 1996, section 3.4). Without anything to be seen, all is black.
    """
    if picture.alpha is None or picture.alpha.all():
        return picture
    seen = picture.alpha > 0
    mean = _filled(picture.rgb.astype(np.float32) * seen[..., None], seen.astype(np.float32))
    rgb = np.where(seen[..., None], picture.rgb, np.rint(mean).astype(np.uint8))
    return replace(picture, rgb=rgb)


def _filled(total: Sums, count: Sums) -> Sums:
    """Means `(H, W, 3)` of cells, where they have none from those around them.

    Args:
        total: sum of the colours in a cell, `(H, W, 3)`.
        count: how many they are, `(H, W)`.
    """
    mean: Sums = (total / np.maximum(count, 1)[..., None]).astype(np.float32)
    is_empty = count == 0
    if not is_empty.any() or count.size == 1:
        return mean
    above = _filled(_halved(total), _halved(count))
    rows, columns = (np.arange(side) // 2 for side in count.shape)
    mean[is_empty] = above[rows][:, columns][is_empty]
    for _ in range(SMOOTHINGS):
        around = np.pad(mean, ((1, 1), (1, 1), (0, 0)), "edge")
        beside = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
        mean[is_empty] = (beside / 8 + mean / 2)[is_empty]
    return mean


def _halved(cells: Sums) -> Sums:
    """Sums of 2x2 cells."""
    rows, columns = (side % 2 for side in cells.shape[:2])
    even = np.pad(cells, ((0, rows), (0, columns), *[(0, 0)] * (cells.ndim - 2)))
    sums: Sums = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return sums


def picture_of(pixels: Pixels) -> Picture:
    """A picture without metadata of `(H, W, 3)` or `(H, W, 4)` pixels."""
    alpha = pixels[..., 3] if pixels.shape[2] == 4 else None
    return Picture(pixels[..., :3], alpha=alpha, is_grey=False)


def on(pixels: Pixels, ground: int) -> Pixels:
    """Lay pixels on a ground of one level, 0 to 255; `(H, W, 3)`, rounded."""
    if pixels.shape[2] == 3:
        return pixels
    colour, alpha = pixels[..., :3].astype(np.uint32), pixels[..., 3:].astype(np.uint32)
    laid: Pixels = ((alpha * colour + (255 - alpha) * ground + 127) // 255).astype(np.uint8)
    return laid


def look_equal(a: Pixels, b: Pixels) -> bool:
    """Whether two pictures look the same on every ground that they are judged on."""
    return a.shape == b.shape and all(np.array_equal(on(a, g), on(b, g)) for g in GROUNDS)

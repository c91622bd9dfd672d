"""Pictures with transparency in an evaluation: what they are, and on what they are looked at.

Their pixels are `(H, W, 4)` with straight alpha; those of all other pictures are `(H, W, 3)`. They
are judged on black and on white, and the worse of the two values counts, as the reference of
SSIMULACRA2 does with a dark and a bright ground: what is invisible costs nothing, and an error of
the alpha shows on one ground at least.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rdae.images.picture import Picture

Pixels = NDArray[np.uint8]

BLACK, WHITE = 0, 255
GROUNDS = (BLACK, WHITE)


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

"""Whether a picture could take few bytes losslessly, told by WebP alone, without the networks.

The networks take seconds a megapixel, and a photograph needs ten times the bits of a lossy file.
So most pictures are decided by a few strips, coded in haste until they exceed what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.graphics import encode_graphics, hasty_bytes
from rdae.bitstream.tiles import TILE_CELLS
from rdae.geometry import PATCH
from rdae.images.picture import Picture
from rdae.lossless.coding import FEW_COLOURS

TILE = TILE_CELLS * PATCH  # pixels of a side
STRIP = 128  # rows
HASTE = 3.0  # strips in haste took up to so many times the bytes of whole tiles, photographs 1.1
NETWORK_GAIN = 1.35  # WebP took up to so many times the bytes of the networks, photographs 1.1
SAMPLE = 4096  # pixels whose colours are counted
SAMPLED_ROWS, EVERY_ROWS = 16, 256  # of which copies are looked for
COPIED = 0.9  # of the bytes of tiles apart; photographs without copies have 0.98 and more


def looks_drawn(pixels: NDArray[np.uint8]) -> bool:
    """Whether a picture, `(rows, columns, 3)`, has few colours in a sample of its pixels."""
    flat = pixels.reshape(-1, 3)
    sample = flat[:: max(1, len(flat) // SAMPLE)]
    return len(np.unique(sample, axis=0)) <= FEW_COLOURS


def has_copies(pixels: NDArray[np.uint8]) -> bool:
    """Whether tiles have what others beside them have, as where pictures are compared.

    In one piece such a photograph takes fewer bytes as WebP than tile by tile by the networks.
    WebP finds no copies far above or below.

    Args:
        pixels: `(rows, columns, 3)`.
    """
    if pixels.shape[1] <= TILE:
        return False
    rows = [pixels[top : top + SAMPLED_ROWS] for top in range(0, len(pixels), EVERY_ROWS)]
    apart = sum(hasty_bytes(part) for strip in rows for part in _parts(strip, None, STRIP))
    return sum(map(hasty_bytes, rows)) < COPIED * apart


def drawn_bytes(picture: Picture, alpha_bytes: int, most: float) -> int | None:
    """The bytes of a picture as lossless WebP: alpha apart, or with the colours, as it is smaller.

    Args:
        picture: the picture.
        alpha_bytes: what its alpha takes in a chunk of its own.
        most: bytes, as of `graphics_bytes`.
    """
    apart = graphics_bytes(picture.rgb, most - alpha_bytes)
    found = [] if apart is None else [apart + alpha_bytes]
    if picture.alpha is not None:
        together = graphics_bytes(picture.rgb, most, picture.alpha)
        found += [] if together is None else [together]
    return min(found, default=None)


def graphics_bytes(
    pixels: NDArray[np.uint8], most: float, alpha: NDArray[np.uint8] | None = None
) -> int | None:
    """The bytes of a picture as lossless WebP, tile by tile.

    Args:
        pixels: `(rows, columns, 3)`.
        most: bytes; beyond them the work is given up, with a photograph after a small part of it.
        alpha: `(rows, columns)`, if it is to be coded with them.

    Returns:
        The bytes, None if they are more than that.
    """
    if _exceeds(pixels, alpha, HASTE * most):
        return None
    total = 0
    for tile in _parts(pixels, alpha, TILE):
        total += len(encode_graphics(tile))
        if total > most:
            return None
    return total


def _exceeds(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, most: float) -> bool:
    total = 0
    for strip in _parts(pixels, alpha, STRIP):
        total += hasty_bytes(strip)
        if total > most:
            return True
    return False


def _parts(
    pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, rows: int
) -> Iterator[NDArray[np.uint8]]:
    """Cut a picture into parts of so many rows and at most a tile's columns."""
    height, width = pixels.shape[:2]
    for top in range(0, height, rows):
        for left in range(0, width, TILE):
            place = slice(top, top + rows), slice(left, left + TILE)
            if alpha is None:
                yield np.ascontiguousarray(pixels[place])
            else:
                yield np.dstack([pixels[place], alpha[place]])

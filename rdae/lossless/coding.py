"""Pixels to the payload of a chunk R: of a tile by whichever method takes fewer bytes.

The first byte names the method (FORMAT.md, section 14).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.graphics import decode_graphics, encode_graphics
from rdae.errors import CorruptError
from rdae.lossless.model import LosslessModel
from rdae.lossless.stream import decode_pixels, encode_pixels

NETWORK, GRAPHICS = range(2)
FEW_COLOURS = 256  # a tile of so few is drawn, and the network is not asked
FEW_GREYS = 16  # the same without colours, of which a photograph has 256 at most
FEW_BITS = 1 / 3  # of WebP for each coded sample: the network, slow as it is, would seldom win
FEW_PIXELS = 1024  # with which it takes no time worth sparing
THOROUGH_GAIN = 1.1  # the most that a thorough attempt of WebP gains


def encode_tile(
    model: LosslessModel,
    pixels: NDArray[np.uint8],
    *,
    is_grey: bool = False,
    max_error: int = 0,
    threads: int = 1,
    base: NDArray[np.uint8] | None = None,
) -> tuple[bytes, NDArray[np.uint8]]:
    """Code the pixels of a tile; arguments as of `encode_pixels`.

    Returns:
        The payload, and the pixels that a decoder makes of it.
    """
    graphics = encode_graphics(pixels)
    if max_error or not _is_drawn(pixels, len(graphics), is_grey=is_grey):
        stream, decoded = encode_pixels(
            model, pixels, is_grey=is_grey, max_error=max_error, threads=threads, base=base
        )
        if len(stream) <= len(graphics):
            return bytes([NETWORK]) + stream, decoded
    thorough = encode_graphics(pixels, thorough=True)
    return bytes([GRAPHICS]) + min(graphics, thorough, key=len), pixels


def decode_tile(
    model: LosslessModel,
    payload: bytes,
    rows: int,
    columns: int,
    *,
    is_grey: bool = False,
    max_error: int = 0,
    threads: int = 1,
    base: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Decode the pixels of a tile, `(rows, columns, 3)`; `base` is that of `encode_tile`.

    Raises:
        CorruptError: no encoder writes this payload.
    """
    method, stream = payload[:1], payload[1:]
    if method == bytes([NETWORK]):
        return decode_pixels(
            model,
            stream,
            rows,
            columns,
            is_grey=is_grey,
            max_error=max_error,
            threads=threads,
            base=base,
        )
    if method == bytes([GRAPHICS]):
        return decode_graphics(stream, rows, columns, is_grey=is_grey)
    raise CorruptError(f"a tile is coded by method {method.hex() or 'none'}, it must be 00 or 01")


def encode_undivided(pixels: NDArray[np.uint8], most: float = math.inf) -> bytes:
    """The payload of all of a picture.

    Args:
        pixels: `(rows, columns, 3)`, or 4 with alpha.
        most: bytes; a payload that will surely take more is not made as small as it could be.
    """
    graphics = encode_graphics(pixels)
    if len(graphics) <= THOROUGH_GAIN * most:
        graphics = min(graphics, encode_graphics(pixels, thorough=True), key=len)
    return bytes([GRAPHICS]) + graphics


def decode_undivided(
    payload: bytes, rows: int, columns: int, *, is_grey: bool = False, has_alpha: bool = False
) -> NDArray[np.uint8]:
    """Decode what `encode_undivided` returns; arguments as of `decode_graphics`.

    Raises:
        CorruptError: it never returns this payload.
    """
    method, stream = payload[:1], payload[1:]
    if method != bytes([GRAPHICS]):
        found = method.hex() or "none"
        raise CorruptError(f"an undivided picture is coded by method {found}, it must be 01")
    return decode_graphics(stream, rows, columns, is_grey=is_grey, has_alpha=has_alpha)


def _is_drawn(pixels: NDArray[np.uint8], graphics_bytes: int, *, is_grey: bool) -> bool:
    """Whether WebP suits a tile so well that the network need not be asked."""
    count = pixels.shape[0] * pixels.shape[1]
    if count <= FEW_PIXELS:
        return False
    coded = count if is_grey else pixels.size
    few = FEW_GREYS if is_grey else FEW_COLOURS
    return 8 * graphics_bytes < FEW_BITS * coded or _has_at_most(few, pixels)


def _has_at_most(few: int, pixels: NDArray[np.uint8]) -> bool:
    """Whether a tile has so many colours, or fewer."""
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    sample = packed.ravel()[:: max(1, packed.size // 4096)]
    return len(np.unique(sample)) <= few and len(np.unique(packed)) <= few

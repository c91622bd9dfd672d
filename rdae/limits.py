"""Upper bounds that protect a decoder from hostile files, all checked before memory is allocated.

The bounds on coded bytes follow from what an entropy coder can spend, so no honest file meets them:

* A symbol's smallest frequency is 1 in 2^24, which is 24 bits; an escape adds two bytes under a
  uniform model, 16 bits. The coder's own rounding costs less than 0.006 bits for each of these
  three steps (its range is at least 2^32 when it is divided by 2^24, so the division loses at most
  one part in 256). Hence less than 41 bits a symbol, and at most two words to end the stream.
* Deflate stores what it cannot compress, at 5 bytes for a block of at most 65535 bytes and 6 bytes
  for the zlib frame; common encoders use smaller blocks, so the bound here is wider.
"""

from __future__ import annotations

import numbers
from typing import Any

__all__ = [
    "MAX_ANCILLARY_CHUNKS",
    "MAX_CHANNELS",
    "MAX_DIMENSION",
    "MAX_INFO_PIXELS",
    "MAX_LAYERS",
    "MAX_LISTED_TILES",
    "MAX_METADATA_BYTES",
    "MAX_NESTED_LAYERS",
    "MAX_PARAMETERS",
    "MAX_PIXELS",
    "MAX_SEARCHED_CHUNKS",
    "MAX_TENSORS",
    "MAX_UNDIVIDED_PIXELS",
    "MAX_WEIGHTS_BYTES",
    "MAX_WEIGHTS_HEADER_BYTES",
    "given_max_pixels",
    "max_deflated_bytes",
    "max_pixel_bytes",
    "max_stream_bytes",
]

MAX_PIXELS = 256_000_000  # default of --max-pixels; a 16000x16000 picture
MAX_INFO_PIXELS = 1 << 36  # read by parse_info; at 10 us a tile, its walk takes a second at most
MAX_UNDIVIDED_PIXELS = 1 << 25  # of a picture in one piece, all of which is decoded for any region
MAX_METADATA_BYTES = 8 << 20  # each of ICC, EXIF and XMP, inflated
MAX_DIMENSION = (1 << 24) - 1  # width and height, in pixels
MAX_LAYERS = 4096  # of all networks of a model
MAX_NESTED_LAYERS = 32  # residuals and sums, one inside of the other
MAX_TENSORS = 1 << 14  # in a weights file
MAX_WEIGHTS_BYTES = 128 << 20  # nine times the shipped model; building takes some times as much
MAX_WEIGHTS_HEADER_BYTES = 8 << 20  # JSON takes up to 20 times as much memory as text
MAX_CHANNELS = 4096  # of a latent or hyper-latent; the container does not know the model's number
MAX_ANCILLARY_CHUNKS = 64  # lower-case chunks in a file, so that a reader's lists stay short
MAX_PARAMETERS = 1 << 15  # that a tile's pixels may carry: ten levels of three passes
MAX_LISTED_TILES = 1024  # tiles that Info.fields lists one by one
MAX_SEARCHED_CHUNKS = 1 << 20  # pairs looked at to find the tiles of a damaged file: some seconds


def given_max_pixels(max_pixels: object) -> Any:
    """Return the limit on pixels that a caller gives, or the default if it is None.

    Raises:
        TypeError: it is no number.
    """
    if max_pixels is None:
        return MAX_PIXELS
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, numbers.Real):
        raise TypeError(f"max_pixels must be a number, got {max_pixels!r}")
    return max_pixels


def max_stream_bytes(symbols: int) -> int:
    """Return a bound on the bytes of a range-coder stream of `symbols` symbols."""
    return 4 * (41 * symbols // 32 + 2) if symbols else 0


def max_pixel_bytes(pixels: int) -> int:
    """Return a bound on the bytes that the exact pixels of a tile take, by any method.

    They are three samples each under tables with escapes, and the parameters of all levels; WebP
    stores what it cannot compress in far fewer bits.
    """
    return max_stream_bytes(3 * pixels + MAX_PARAMETERS)


def max_deflated_bytes(size: int) -> int:
    """Return a bound on the bytes of a zlib stream that holds `size` bytes."""
    return size + size // 256 + 1024

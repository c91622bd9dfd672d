"""The pixels of a tile as lossless WebP: for palettes, screenshots and line art.

Only the bitstream inside of a WebP file is kept ("VP8L", RFC 9649, section 3); the frame around it
says nothing more.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rdae.errors import CorruptError

SIGNATURE = 0x2F  # the first byte of the bitstream
_HEADER_BYTES = 20  # RIFF, size, WEBP, VP8L, size
_SIZE_BITS = 14  # of a side less one, behind the signature


def encode_graphics(pixels: NDArray[np.uint8]) -> bytes:
    """Code `(rows, columns, 3)` pixels exactly; no side above 16384."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, quality=75, method=4, exact=True)
    data = file.getvalue()
    size = int.from_bytes(data[16:20], "little")
    assert data[12:16] == b"VP8L", "what Pillow wrote is no lossless WebP"
    return data[_HEADER_BYTES : _HEADER_BYTES + size]


def decode_graphics(stream: bytes, rows: int, columns: int) -> NDArray[np.uint8]:
    """Decode the pixels of a tile, `(rows, columns, 3)`.

    Raises:
        CorruptError: these are no such pixels.
    """
    sides = int.from_bytes(stream[1:5], "little")
    mask = (1 << _SIZE_BITS) - 1
    shape = ((sides >> _SIZE_BITS & mask) + 1, (sides & mask) + 1)
    if stream[:1] != bytes([SIGNATURE]) or shape != (rows, columns):
        raise CorruptError("the WebP bitstream of a tile is not that of its size")
    size = len(stream).to_bytes(4, "little")
    padded = stream + b"\0" * (len(stream) % 2)
    whole = (len(padded) + _HEADER_BYTES - 8).to_bytes(4, "little")
    file = io.BytesIO(b"RIFF" + whole + b"WEBP" + b"VP8L" + size + padded)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, on the sizes of pictures
            with Image.open(file, formats=["WEBP"]) as image:
                pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise CorruptError(f"the WebP bitstream of a tile is damaged ({error})") from error
    if pixels.shape != (rows, columns, 3):
        raise CorruptError("the WebP bitstream of a tile is not that of its size")
    return pixels

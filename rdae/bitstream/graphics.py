"""Pixels as lossless WebP: palettes, screenshots, line art and alpha, a tile or a whole picture.

Only the bitstream inside of a WebP file is kept ("VP8L", RFC 9649, section 3); the frame around it
says nothing more. Pillow is imported where it is called, since most lossy files need none of it.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from rdae.errors import CorruptError

SIGNATURE = 0x2F  # the first byte of the bitstream
MOST_SIDE = (1 << 14) - 1  # pixels that libwebp encodes; it decodes one more, as the fields say
_WORKING_BYTES = 12  # that libwebp has for each pixel; where there are none it says no more
_HEADER_BYTES = 20  # RIFF, size, WEBP, VP8L, size
_SIZE_BITS = 14  # of a side less one, behind the signature
_ALPHA_BIT, _VERSION_BITS = 1 << 28, 7 << 29  # behind both sides, in the same four bytes


def encode_graphics(pixels: NDArray[np.uint8], *, thorough: bool = False) -> bytes:
    """Code pixels exactly: `(rows, columns, 3)`, or 4 with alpha; no side above `MOST_SIDE`.

    Args:
        pixels: what to code.
        thorough: take twice the time for one or two percent fewer bytes, in most pictures.

    Raises:
        MemoryError: there is not enough of it; libwebp takes some 40 bytes a pixel.
    """
    stream = bytearray(_bitstream(pixels, quality=100 if thorough else 75, method=4))
    if pixels.shape[2] == 4:
        stream[4] |= _ALPHA_BIT >> 24  # also where all is opaque
    return bytes(stream)


def hasty_bytes(pixels: NDArray[np.uint8]) -> int:
    """How many bytes a quick attempt takes: three to six times as fast, up to double the bytes."""
    return len(_bitstream(pixels, quality=20, method=1))


def _bitstream(pixels: NDArray[np.uint8], *, quality: int, method: int) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    image = Image.fromarray(pixels)
    assert max(image.size) <= MOST_SIDE, "libwebp encodes no picture of this size"
    try:
        image.save(file, "WEBP", lossless=True, quality=quality, method=method, exact=True)
    except (ValueError, OSError) as error:  # what else there was to refuse has been looked at
        width, height = image.size
        raise MemoryError(f"lossless WebP of {width} x {height} pixels: {error}") from error
    data = file.getvalue()
    size = int.from_bytes(data[16:20], "little")
    assert data[12:16] == b"VP8L", "what Pillow wrote is no lossless WebP"
    return data[_HEADER_BYTES : _HEADER_BYTES + size]


def decode_graphics(
    stream: bytes, rows: int, columns: int, *, is_grey: bool = False, has_alpha: bool = False
) -> NDArray[np.uint8]:
    """Decode the pixels of a tile, `(rows, columns, 3)`, or 4 with alpha.

    Args:
        stream: the bitstream, without a container.
        rows: of the tile.
        columns: of the tile.
        is_grey: the tile must not have colours: the picture has none, or this is its alpha.
        has_alpha: the bitstream must have alpha; otherwise it must not.

    Raises:
        CorruptError: these are no such pixels.
        MemoryError: there is not enough of it for a large picture.
    """
    from PIL import Image, WebPImagePlugin

    _check_header(stream, rows, columns, has_alpha=has_alpha)
    size = len(stream).to_bytes(4, "little")
    # libwebp reads on into the padding, and zeros would complete a stream that ends early.
    padded = stream + b"\xff" * (len(stream) % 2)
    whole = (len(padded) + _HEADER_BYTES - 8).to_bytes(4, "little")
    file = io.BytesIO(b"RIFF" + whole + b"WEBP" + b"VP8L" + size + padded)
    try:
        # Image.open warns of sizes, and a thread that silences warnings silences those of all.
        with WebPImagePlugin.WebPImageFile(file) as image:
            pixels = np.asarray(image)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        np.empty((rows, columns, _WORKING_BYTES), np.uint8)  # a MemoryError where that was it
        raise CorruptError(f"the WebP bitstream of a tile is damaged ({error})") from error
    if pixels.shape != (rows, columns, 4 if has_alpha else 3):  # nothing is converted
        raise CorruptError("the WebP bitstream of a tile is damaged (it is no picture in RGB)")
    red, green, blue = np.moveaxis(pixels[..., :3], 2, 0)
    if is_grey and not (np.array_equal(red, green) and np.array_equal(green, blue)):
        raise CorruptError("the WebP bitstream of a tile has colours, and must not")
    return pixels


def _check_header(stream: bytes, rows: int, columns: int, *, has_alpha: bool) -> None:
    """Judge what the bitstream says of itself, before anything is allocated for it.

    Raises:
        CorruptError: it is none, of another size, has alpha and should not, or the other way
            round, or is of an unknown version.
    """
    if stream[:4] == b"RIFF":
        raise CorruptError("a tile holds a whole WebP file, not the bitstream of lossless WebP")
    if stream[:1] != bytes([SIGNATURE]):
        raise CorruptError("a tile does not begin as the bitstream of lossless WebP does")
    fields = int.from_bytes(stream[1:5], "little")
    mask = (1 << _SIZE_BITS) - 1
    width, height = (fields & mask) + 1, (fields >> _SIZE_BITS & mask) + 1
    if (height, width) != (rows, columns):
        raise CorruptError(
            f"the WebP bitstream of a tile is {width} x {height}, the tile {columns} x {rows}"
        )
    if fields & _ALPHA_BIT and not has_alpha:
        raise CorruptError("the WebP bitstream of a tile says alpha, which a tile has not")
    if has_alpha and not fields & _ALPHA_BIT:
        raise CorruptError("the WebP bitstream of the picture says no alpha, and has to have it")
    if fields & _VERSION_BITS:
        raise CorruptError("the WebP bitstream of a tile is of an unknown version")

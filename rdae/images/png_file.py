"""The chunks of a PNG file, looked at before Pillow reads them.

Pillow checks no CRC of pixel data, takes a file that ends after it, and one whose data end well but
before the last row, which then is black.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from rdae.errors import UnsupportedImageError

DAMAGED = "the file is damaged or incomplete; copy or download it again"

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ADAM7 = (  # of each pass: first column and row, steps
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)),
    (0, 1, 1, 2),
)
_BLOCK = 1 << 16  # chunks need not fit in memory


def check_png(file: BinaryIO, max_pixels: int) -> None:
    """Walk the chunks of a PNG file: all there, critical ones with the right CRC, all rows told.

    Args:
        file: binary and seekable.
        max_pixels: the pixels of a larger picture are not unpacked; it will be refused.

    Raises:
        UnsupportedImageError: the file is damaged.
        OSError: `file` cannot be read.
    """
    file.seek(8)
    has_palette, colour_type = False, -1
    pixels = _Pixels(0)
    while True:
        header = file.read(8)
        if len(header) < 8:
            raise UnsupportedImageError("truncated PNG file: no end chunk", hint=DAMAGED)
        remaining, kind = struct.unpack(">I4s", header)
        crc = zlib.crc32(kind)
        first = b""
        while remaining:
            block = file.read(min(remaining, _BLOCK))
            if not block:
                raise UnsupportedImageError("truncated PNG file", hint=DAMAGED)
            first = first or block
            crc = zlib.crc32(block, crc)
            if kind == b"IDAT":
                pixels.take(block)
            remaining -= len(block)
        is_critical = not kind[0] & 0x20
        if file.read(4) != struct.pack(">I", crc) and is_critical:
            raise UnsupportedImageError(
                f"damaged PNG file: wrong checksum in chunk {ascii(kind)[2:-1]}", hint=DAMAGED
            )
        if kind == b"IHDR":
            colour_type = first[9] if len(first) > 9 else -1
            pixels = _Pixels(_num_bytes(first, max_pixels))
        has_palette = has_palette or kind == b"PLTE"
        if kind == b"IDAT" and colour_type == 3 and not has_palette:
            raise UnsupportedImageError("damaged PNG file: no palette", hint=DAMAGED)
        if kind == b"IEND":
            if pixels.are_cut:
                raise UnsupportedImageError(
                    "incomplete PNG file: its data end before the picture does", hint=DAMAGED
                )
            return


class _Pixels:
    """Counts how many bytes of pixels have been unpacked; keeps none of them."""

    def __init__(self, wanted: int) -> None:
        self._missing = wanted
        self._unpacker = zlib.decompressobj()

    def take(self, block: bytes) -> None:
        """Unpack a part of the data, as long as there are pixels to come."""
        try:
            while block and self._missing > 0:
                self._missing -= len(self._unpacker.decompress(block, _BLOCK))
                block = self._unpacker.unconsumed_tail
        except zlib.error:  # of which Pillow will tell
            self._missing = 0

    @property
    def are_cut(self) -> bool:
        """Whether the data ended too early."""
        return self._missing > 0


def _num_bytes(header: bytes, max_pixels: int) -> int:
    """Return the bytes of all rows with their filter types; 0 where the header is of no use."""
    if len(header) < 13:
        return 0
    width, height, depth, colour_type, _, _, interlace = struct.unpack(">IIBBBBB", header[:13])
    bits = depth * _CHANNELS.get(colour_type, 0)
    if width * height > max_pixels or interlace > 1 or not bits:
        return 0
    total = 0
    for x, y, right, down in _ADAM7 if interlace else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // right), -(-(height - y) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total

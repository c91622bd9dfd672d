"""The chunks of a PNG file, looked at before Pillow reads them.

Pillow checks no CRC of pixel data and takes a file that ends after it.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from rdae.errors import UnsupportedImageError

DAMAGED = "the file is damaged or incomplete; copy or download it again"

_BLOCK = 1 << 16  # chunks need not fit in memory


def check_png(file: BinaryIO) -> None:
    """Walk the chunks of a PNG file: all there, critical ones with the right CRC.

    Raises:
        UnsupportedImageError: the file is damaged.
        OSError: `file` cannot be read.
    """
    file.seek(8)
    has_palette, colour_type = False, -1
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
            remaining -= len(block)
        is_critical = not kind[0] & 0x20
        if file.read(4) != struct.pack(">I", crc) and is_critical:
            raise UnsupportedImageError(
                f"damaged PNG file: wrong checksum in chunk {ascii(kind)[2:-1]}", hint=DAMAGED
            )
        if kind == b"IHDR":
            colour_type = first[9] if len(first) > 9 else -1
        has_palette = has_palette or kind == b"PLTE"
        if kind == b"IDAT" and colour_type == 3 and not has_palette:
            raise UnsupportedImageError("damaged PNG file: no palette", hint=DAMAGED)
        if kind == b"IEND":
            return

"""Containers and chunks that tests of the file format begin with."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np

from rdae.bitstream.container import (
    Container,
    Header,
    TilePayload,
)
from rdae.bitstream.varint import pack_varint

PLAIN = Header(33, 20, 153, 1, b"\xaa\xbb\xcc\xdd")
ALPHA = replace(PLAIN, has_alpha=True)
TILE = TilePayload(z=b"\1\2\3\4", y=b"\5\6\7\x08" * 2, crc=0x12345678)
PLANE = (np.arange(33 * 20, dtype=np.uint32) * 7 // 5).astype(np.uint8).reshape(20, 33)
FULL = Container(ALPHA, (TILE,), PLANE, icc=b"profile", exif=b"camera", xmp=b"<x/>")
Z = b"Z\x04" + TILE.z
Y = b"Y\x0c" + TILE.y + bytes.fromhex("78563412")


def chunk(type: bytes, payload: bytes, prefix: bytes = b"") -> bytes:
    """A chunk with a checksum that matches."""
    crc = zlib.crc32(type + prefix + payload).to_bytes(4, "little")
    return type + pack_varint(len(payload) + 4) + payload + crc


A = chunk(b"A", b"\0" + zlib.compress(PLANE.tobytes()), ALPHA.pack())
ICC = chunk(b"i", zlib.compress(b"profile"))


def plain(*chunks: bytes) -> bytes:
    return PLAIN.pack_with_check() + b"".join(chunks)


def with_alpha(*chunks: bytes) -> bytes:
    return ALPHA.pack_with_check() + b"".join(chunks)


WIDE = Header(1100, 24, 153, 1, b"abcd")
LAYERS = [b"Z\4zzz0", b"Z\4zzz1", b"C\x08" + b"word" * 2, b"C\4once"]
LAYERS += [b"Y\x20" + b"rest" * 7 + b"crc0", b"Y\4crc1"]

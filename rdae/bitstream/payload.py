"""Payloads of the whole picture: metadata and the lossless alpha plane (FORMAT.md, 4.1 and 4.2)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.graphics import decode_graphics, encode_graphics
from rdae.bitstream.tiles import Grid
from rdae.bitstream.varint import ByteReader, pack_varint
from rdae.errors import CorruptError, TruncatedError, grouped
from rdae.geometry import Rectangle

__all__ = ["deflate", "inflate", "pack_alpha", "unpack_alpha", "unpack_alpha_region"]

_LEVEL = 9
_PIECE_BYTES = 1 << 20
_NONE, _LEFT, _UP, _WEBP = range(4)  # alpha filters
_FILTER_AXIS = {_LEFT: 1, _UP: 0}


def deflate(data: bytes) -> bytes:
    """Return `data` as a zlib stream."""
    return zlib.compress(data, _LEVEL)


def inflate(stream: bytes | memoryview, limit: int, name: str) -> bytes:
    """Inflate a zlib stream that holds at most `limit` bytes, `limit` >= 1.

    Memory grows with what is really inflated and never beyond `limit`.

    Raises:
        CorruptError: not a zlib stream, one without its end or of more than `limit` bytes, or bytes
            follow it.
    """
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(stream, limit)
        # The limit may be reached before the end of the stream is seen, so ask for one byte more.
        excess = b"" if inflater.eof else inflater.decompress(inflater.unconsumed_tail, 1)
    except zlib.error as error:
        raise CorruptError(f"{name} is not a valid zlib stream ({error})") from error
    if excess:
        raise CorruptError(f"{name} inflates to more than {grouped(limit)} bytes")
    if not inflater.eof:
        raise CorruptError(f"the zlib stream of {name} has no end")
    if inflater.unused_data:
        raise CorruptError(
            f"there are bytes after the zlib stream of {name}: {grouped(len(inflater.unused_data))}"
        )
    return data


def _filtered(alpha: NDArray[np.uint8], kind: int) -> NDArray[np.uint8]:
    if kind == _NONE:
        return alpha
    return np.diff(alpha, axis=_FILTER_AXIS[kind], prepend=np.uint8(0))


def pack_alpha(alpha: NDArray[np.uint8]) -> bytes:
    """Return filter byte and samples of an alpha plane, with the filter that packs it best.

    Args:
        alpha: `(H, W)` uint8.
    """
    packed = [
        bytes((kind,)) + deflate(_filtered(alpha, kind).tobytes()) for kind in (_NONE, _LEFT, _UP)
    ]
    return min(*packed, bytes((_WEBP,)) + _pack_tiles(alpha), key=len)


def _pack_tiles(alpha: NDArray[np.uint8]) -> bytes:
    """The tiles of an alpha plane as WebP, each with its length."""
    height, width = alpha.shape
    out = bytearray()
    for tile in Grid(width, height).tiles():
        plane = alpha[tile.pixels(width, height).slices()]
        stream = encode_graphics(np.repeat(plane[..., None], 3, axis=2))
        out += pack_varint(len(stream)) + stream
    return bytes(out)


def unpack_alpha(packed: bytes | memoryview, width: int, height: int) -> NDArray[np.uint8]:
    """Return the `(height, width)` uint8 alpha plane of what `pack_alpha` made; may be read-only.

    Raises:
        CorruptError: no or an unknown filter, no complete stream, or another number of samples.
    """
    kind = _filter_of(packed)
    if kind == _WEBP:
        return _unpack_tiles(packed, width, height, Rectangle.whole(width, height))
    size = width * height
    samples = inflate(memoryview(packed)[1:], size, "the alpha plane")
    if len(samples) != size:
        raise CorruptError(
            f"the alpha plane holds {grouped(len(samples))} samples, "
            f"the picture has {grouped(size)}"
        )
    plane = np.frombuffer(samples, np.uint8).reshape(height, width)
    if kind == _NONE:
        return plane
    return np.add.accumulate(plane, axis=_FILTER_AXIS[kind], dtype=np.uint8)


def unpack_alpha_region(
    packed: bytes | memoryview, width: int, height: int, region: Rectangle
) -> NDArray[np.uint8]:
    """Return a part of what `unpack_alpha` would return, `(region.rows, region.columns)` uint8.

    Only a few rows of the plane, or one tile of WebP, are in memory at a time. No row is inflated
    below the region, but all above are, so the time is that of `width * region.bottom` pixels:
    bounding it is the caller's. Of WebP only the tiles are decoded that the region touches.

    Raises:
        CorruptError: as `unpack_alpha`, but for faults in what is not looked at.
    """
    kind = _filter_of(packed)
    if kind == _WEBP:
        return _unpack_tiles(packed, width, height, region)
    plane = np.empty((region.rows, region.columns), np.uint8)
    columns = slice(region.left, region.right)
    above = np.zeros(region.columns, np.uint8)
    top, pending = 0, bytearray()
    for piece in _inflated(memoryview(packed)[1:], "the alpha plane"):
        pending += piece
        count = min(len(pending) // width, region.bottom - top)
        rows = np.frombuffer(bytes(pending[: count * width]), np.uint8).reshape(count, width)
        del pending[: count * width]
        if kind == _LEFT:
            rows = np.add.accumulate(rows[:, : region.right], axis=1, dtype=np.uint8)
        rows = rows[:, columns]
        if kind == _UP and count:
            rows = np.add.accumulate(np.vstack([above, rows]), axis=0, dtype=np.uint8)[1:]
            above = rows[-1]
        begin = max(region.top - top, 0)
        plane[max(top - region.top, 0) : max(top + count - region.top, 0)] = rows[begin:]
        top += count
        if top == region.bottom:
            return plane
    raise CorruptError(
        f"the alpha plane ends in row {grouped(top)}, the picture has {grouped(height)}"
    )


def _unpack_tiles(
    packed: bytes | memoryview, width: int, height: int, region: Rectangle
) -> NDArray[np.uint8]:
    """The region of an alpha plane whose tiles are WebP."""
    reader = ByteReader(memoryview(packed)[1:])
    plane = np.empty((region.rows, region.columns), np.uint8)
    for tile in Grid(width, height).tiles():
        area = tile.pixels(width, height)
        both = area.common(region)
        try:
            stream = reader.take(reader.varint("the length of a tile"), "a tile")
            if not both.area:
                continue
            pixels = decode_graphics(bytes(stream), area.rows, area.columns, is_grey=True)
        except TruncatedError as error:
            raise CorruptError(f"the alpha plane ends in its tile {tile.index}") from error
        except CorruptError as error:
            raise CorruptError(f"the alpha plane, tile {tile.index}: {error}") from error
        plane[both.seen_from(region).slices()] = pixels[both.seen_from(area).slices()][..., 0]
    if reader.left:
        raise CorruptError(
            f"there are bytes after the last tile of the alpha plane: {grouped(reader.left)}"
        )
    return plane


def _filter_of(packed: bytes | memoryview) -> int:
    if not packed:
        raise CorruptError("the alpha plane has no filter byte")
    kind = packed[0]
    if kind > _WEBP:
        raise CorruptError(f"the alpha filter is {kind}, it must be 0, 1, 2 or 3")
    return kind


def _inflated(stream: memoryview, name: str) -> Iterator[bytes]:
    """Inflate a zlib stream in pieces of at most 1 MiB."""
    inflater = zlib.decompressobj()
    try:
        for at in range(0, len(stream), _PIECE_BYTES):
            rest: bytes | memoryview = stream[at : at + _PIECE_BYTES]
            while rest:
                yield inflater.decompress(rest, _PIECE_BYTES)
                rest = inflater.unconsumed_tail
        while piece := inflater.decompress(b"", _PIECE_BYTES):
            yield piece
    except zlib.error as error:
        raise CorruptError(f"{name} is not a valid zlib stream ({error})") from error

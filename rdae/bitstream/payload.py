"""Deflated payloads: metadata and the lossless alpha plane (FORMAT.md, Metadata and Alpha)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rdae.errors import CorruptError, grouped
from rdae.geometry import Rectangle

__all__ = ["deflate", "inflate", "pack_alpha", "unpack_alpha", "unpack_alpha_region"]

_LEVEL = 9
_PIECE_BYTES = 1 << 20
_NONE, _LEFT, _UP = range(3)  # alpha filters
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
    """Return filter byte and zlib stream of an alpha plane, with the filter that packs it best.

    Args:
        alpha: `(H, W)` uint8.
    """
    packed = (
        bytes((kind,)) + deflate(_filtered(alpha, kind).tobytes()) for kind in (_NONE, _LEFT, _UP)
    )
    return min(packed, key=len)


def unpack_alpha(packed: bytes | memoryview, width: int, height: int) -> NDArray[np.uint8]:
    """Return the `(height, width)` uint8 alpha plane of what `pack_alpha` made; may be read-only.

    Raises:
        CorruptError: no or an unknown filter, no complete zlib stream, or another number of
            samples.
    """
    kind = _filter_of(packed)
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

    Only a few rows of the plane are in memory at a time, and none is inflated below the region. All
    above are, so the time is that of `width * region.bottom` pixels: bounding it is the caller's.

    Raises:
        CorruptError: as `unpack_alpha`, but for faults below the region.
    """
    kind = _filter_of(packed)
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


def _filter_of(packed: bytes | memoryview) -> int:
    if not packed:
        raise CorruptError("the alpha plane has no filter byte")
    kind = packed[0]
    if kind not in (_NONE, _LEFT, _UP):
        raise CorruptError(f"the alpha filter is {kind}, it must be 0, 1 or 2")
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

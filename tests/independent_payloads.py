"""Varints, zlib streams, WebP and alpha of the second reader (§1, §4.2, §14.2 of FORMAT.md)."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from itertools import product

from PIL import Image


class FormatError(Exception):
    """A file that must be refused, with the error code of §10."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


def require(condition: bool, text: str, code: str = "corrupt") -> None:
    """Refuse the file unless the condition holds."""
    if not condition:
        raise FormatError(code, text)


def varint(take: Callable[[int], bytes]) -> int:
    """A number (§1); `take` gives the next bytes."""
    value = shift = 0
    while True:
        byte = take(1)[0]
        value += (byte & 0x7F) << shift
        require(byte <= 0x0F or shift < 28, "a varint of 2^32 or more")
        require(byte > 0 or shift == 0, "a varint longer than it needs to be")
        if byte < 0x80:
            return value
        shift += 7


def inflate(stream: bytes, bound: int) -> bytes:
    """All of a zlib stream, which is at most `bound` bytes (§1)."""
    inflater = zlib.decompressobj()
    try:
        result = inflater.decompress(stream, bound + 1)
    except zlib.error as error:
        raise FormatError("corrupt", f"zlib stream: {error}") from None
    require(inflater.eof and len(result) <= bound, "zlib stream without an end, or too long")
    require(not inflater.unused_data, "bytes after a zlib stream")
    return result


def webp(
    stream: bytes, rows: int, columns: int, is_colourless: bool, has_alpha: bool = False
) -> list[list[list[int]]]:
    """Rows of pixels of red, green and blue, and alpha if there has to be one (§14.2, §14.11)."""
    require(max(rows, columns) <= 2**14, "a side that no WebP has")
    header = 0x2F | (columns - 1) << 8 | (rows - 1) << 22 | has_alpha << 36
    require(int.from_bytes(stream[:5], "little") == header, "the header of WebP")
    require(len(stream) >= 5, "no header of WebP")
    body = b"WEBPVP8L" + len(stream).to_bytes(4, "little") + stream + b"\xff" * (len(stream) % 2)
    file = io.BytesIO(b"RIFF" + len(body).to_bytes(4, "little") + body)
    try:
        with Image.open(file, formats=["WEBP"]) as image:
            data = image.convert("RGBA" if has_alpha else "RGB").tobytes()
    except (OSError, ValueError, SyntaxError) as error:
        raise FormatError("corrupt", f"WebP: {error}") from None
    channels = 4 if has_alpha else 3
    cells = [list(data[i : i + channels]) for i in range(0, len(data), channels)]
    is_legal = not is_colourless or all(a == b == c for a, b, c, *_ in cells)
    require(is_legal, "colours in a picture without")
    return [cells[i : i + columns] for i in range(0, len(cells), columns)]


def alpha(payload: bytes, width: int, height: int) -> bytes:
    """A sample for each pixel in raster order (§4.2)."""
    kind, samples = payload[0], payload[1:]
    require(kind <= 3, f"alpha filter {kind}")
    if kind == 3:
        return alpha_of_tiles(samples, width, height)
    plane = bytearray(inflate(samples, width * height))
    require(len(plane) == width * height, "alpha samples missing")
    for i in range(len(plane)):
        if kind == 1 and i % width > 0:
            plane[i] = (plane[i] + plane[i - 1]) % 256
        if kind == 2 and i >= width:
            plane[i] = (plane[i] + plane[i - width]) % 256
    return bytes(plane)


def alpha_of_tiles(samples: bytes, width: int, height: int) -> bytes:
    """The same of `Filter` 3."""
    file, plane = io.BytesIO(samples), bytearray(width * height)

    def take(count: int) -> bytes:
        data = file.read(count)
        require(len(data) == count, "a tile of alpha ends early")
        return data

    for top, left in product(range(0, height, 1024), range(0, width, 1024)):
        rows, columns = min(1024, height - top), min(1024, width - left)
        pixels = webp(take(varint(take)), rows, columns, is_colourless=True)
        for row, line in enumerate(pixels, top):
            start = row * width + left
            plane[start : start + columns] = bytes(grey for grey, _, _ in line)
    require(not file.read(1), "bytes after the last tile of alpha")
    return bytes(plane)

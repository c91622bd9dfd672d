"""Image files and ICC profiles of kinds that Pillow does not write, made by hand; a PNG reader."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffImagePlugin

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # of PNG, by the number of channels
CHANNELS = {colour: channels for channels, colour in COLOUR_TYPES.items()}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))

SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))  # with D50
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
ADOBE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))


def file_of(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_16(samples: NDArray[np.uint16], *, interlaced: bool = False, **chunks: bytes) -> bytes:
    """A PNG of `(H, W, C)` samples of 16 bits; `chunks` come before the pixels."""
    height, width, channels = samples.shape
    fields = (width, height, 16, COLOUR_TYPES[channels], 0, 0, int(interlaced))
    passes = [samples]
    if interlaced:
        passes = [samples[y::down, x::right] for x, y, right, down in ADAM7] + [samples[1::2]]
    rows = [row for part in passes if part.shape[1] for row in part]
    pixels = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", *fields)),
            *(png_chunk(kind.encode(), data) for kind, data in chunks.items()),
            png_chunk(b"IDAT", zlib.compress(pixels)),
            png_chunk(b"IEND", b""),
        ]
    )


def read_png_16(data: bytes) -> NDArray[np.uint16]:
    """The samples `(H, W, C)` of a PNG of 16 bits that is not interlaced."""
    position, pixels, header = 8, b"", b""
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        header = body if kind == b"IHDR" else header
        pixels += body if kind == b"IDAT" else b""
        position += 12 + length
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    assert (depth, interlace) == (16, 0)
    step = 2 * CHANNELS[colour]
    packed = zlib.decompress(pixels)
    above = bytearray(step * (width + 1))
    rows = []
    for y in range(height):
        start = y * (step * width + 1)
        row = bytearray(step) + packed[start + 1 : start + 1 + step * width]
        for i in range(step, len(row)):
            left, up, corner = row[i - step], above[i], above[i - step]
            estimate = left + up - corner
            nearest = min((left, up, corner), key=lambda value: abs(estimate - value))
            prediction = (0, left, up, (left + up) // 2, nearest)[packed[start]]
            row[i] = (row[i] + prediction) & 255
        rows.append(bytes(row[step:]))
        above = row
    return np.frombuffer(b"".join(rows), ">u2").reshape(height, width, -1).astype(np.uint16)


def tiff(
    samples: NDArray[Any],
    photometric: int,
    *,
    order: Literal["<", ">"] = "<",
    deflated: bool = False,
    **tags: object,
) -> bytes:
    """A TIFF of `(H, W, C)` samples; further tags as `tag_NUMBER=value`."""
    height, width, channels = samples.shape
    pixels = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    pixels = zlib.compress(pixels) if deflated else pixels
    prefix = b"II*\0\x08\0\0\0" if order == "<" else b"MM\0*\0\0\0\x08"
    directory = TiffImagePlugin.ImageFileDirectory_v2(prefix)
    directory[256], directory[257], directory[278] = width, height, height
    directory[258] = (8 * samples.dtype.itemsize,) * channels
    directory[259], directory[262], directory[277] = 8 if deflated else 1, photometric, channels
    directory[273], directory[279] = 0, len(pixels)  # Pillow adds where the directory ends
    for name, value in tags.items():
        directory[int(name.removeprefix("tag_"))] = value
    return prefix + directory.tobytes(8) + pixels


def rgb_profile(primaries: Sequence[Sequence[float]], gamma: float) -> bytes:
    """An ICC profile of RGB colours: XYZ of the primaries, adapted to D50, and a gamma."""
    tags = {
        name: _xyz(xyz) for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)
    }
    return _profile(
        b"RGB ", b"XYZ ", {**tags, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(gamma))}
    )


def grey_profile(gamma: float) -> bytes:
    """An ICC profile of grey levels with a gamma."""
    return _profile(b"GRAY", b"XYZ ", {b"kTRC": _curve(gamma)})


def cmyk_profile(lab_of_inks: Sequence[int]) -> bytes:
    """An ICC profile in which any full ink but black has one colour (Lab, of 8 bits each)."""
    grid = [(0, 128, 128) if i % 2 else tuple(lab_of_inks) for i in range(16)]  # C, M, Y, K
    grid[0] = (255, 128, 128)
    identity = bytes(range(256))
    unit = struct.pack(">9i", *(65536 if i in (0, 4, 8) else 0 for i in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + unit + 4 * identity
    table += bytes(value for point in grid for value in point) + 3 * identity
    return _profile(b"CMYK", b"Lab ", {b"A2B0": table}, kind=b"prtr")


def _profile(
    space: bytes, connection: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr"
) -> bytes:
    tags = {**tags, b"wtpt": _xyz((0.9642, 1.0, 0.8249))}
    position = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += struct.pack(">4sII", name, position + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    date = struct.pack(">6H", 2020, 1, 1, 0, 0, 0)
    head = struct.pack(">I4xI4s4s4s", position + len(body), 0x02400000, kind, space, connection)
    head += date + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)  # D50
    return head.ljust(128, b"\0") + table + body


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(65536 * value) for value in values))


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * gamma)) + bytes(2)


def exif_of_maker() -> Image.Exif:
    """EXIF data with one tag."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    return exif

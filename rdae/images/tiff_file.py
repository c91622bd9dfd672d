"""Writing a TIFF file around EXIF data, so that they stay whole.

Reference: TIFF 6.0 sections 2 and 14.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from rdae.images.tiff_directory import first_directory

# Tags of a TIFF's first directory that say how its pixels are stored, or carry what has a place
# of its own (ICC, XMP) or is no EXIF at all (Photoshop's layers). They do not travel.
LAYOUT_TAGS = {
    *(*range(254, 260), *range(262, 267), 273, *range(277, 282), 284, *range(288, 294), 297, 301),
    *(*range(317, 327), *range(330, 348), *range(512, 522), *range(529, 533), 559),
    *(700, *range(32995, 32999), 33723, 34377, 34675, 37724, 50674, *range(50706, 51200)),
}

_STRIP_BYTES = 1 << 18  # of a TIFF before compression; readers hold one strip at a time


def tiff_file(samples: NDArray[np.uint8], *, icc: bytes, exif: bytes, xmp: bytes) -> bytes:
    """Write a TIFF file: deflate with horizontal differencing, lossless.

    The file begins with the EXIF data as it is, header included, so that all its offsets hold:
    maker notes survive. A new first directory at the end lists its tags and the picture's own.
    The EXIF thumbnail is not listed, as it would look like a second page.

    Args:
        samples: `(H, W, C)` uint8; C is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha).
        icc: ICC profile, or empty.
        exif: EXIF data without prefix, or empty.
        xmp: XMP packet, or empty.

    Raises:
        ValueError: the EXIF data is damaged, or the file would be larger than 4 GiB.
    """
    height, width, channels = samples.shape
    directory = first_directory(exif)
    if exif and directory is None:
        raise ValueError("the EXIF data is damaged")
    order = directory.order if directory else "<"
    parts = [bytearray(exif or struct.pack("<2sHI", b"II", 42, 0))]
    length = len(parts[0])

    def append(data: bytes) -> int:
        nonlocal length
        if length % 2:  # offsets must be even
            parts.append(bytearray(1))
            length += 1
        parts.append(bytearray(data))
        length += len(data)
        return length - len(data)

    strip_rows = max(1, _STRIP_BYTES // (width * channels))
    offsets, byte_counts = [], []
    for top in range(0, height, strip_rows):
        differences = samples[top : top + strip_rows].copy()
        differences[:, 1:] -= samples[top : top + strip_rows, :-1]  # mod 256
        strip = zlib.compress(differences.tobytes())
        offsets.append(append(strip))
        byte_counts.append(len(strip))

    rows: dict[int, bytes] = {}

    def put(tag: int, type_code: int, values: list[int] | bytes) -> None:
        data = (
            values
            if isinstance(values, bytes)
            else struct.pack(f"{order}{len(values)}{'H' if type_code == 3 else 'I'}", *values)
        )
        field = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(order + "I", append(data))
        rows[tag] = struct.pack(order + "HHI", tag, type_code, len(values)) + field

    for entry in directory.entries if directory else ():
        if entry.tag not in LAYOUT_TAGS:
            rows[entry.tag] = exif[entry.position : entry.position + 12]
    put(256, 4, [width])
    put(257, 4, [height])
    put(258, 3, [8] * channels)  # bits per sample
    put(259, 3, [8])  # compression: deflate
    put(262, 3, [1 if channels < 3 else 2])  # photometric interpretation: grey or RGB
    put(273, 4, offsets)
    put(277, 3, [channels])
    put(278, 4, [strip_rows])
    put(279, 4, byte_counts)
    put(284, 3, [1])  # samples of a pixel lie together
    put(317, 3, [2])  # predictor: horizontal differencing
    if channels in (2, 4):
        put(338, 3, [2])  # extra sample: alpha, not premultiplied
    if xmp:
        put(700, 1, xmp)
    if icc:
        put(34675, 7, icc)
    table = b"".join(rows[tag] for tag in sorted(rows))
    position = append(struct.pack(order + "H", len(rows)) + table + bytes(4))
    if length >= 1 << 32:
        raise ValueError("the file would be larger than 4 GiB")
    struct.pack_into(order + "I", parts[0], 4, position)
    return b"".join(parts)

"""Whether a JPEG file holds all of its picture, which Pillow takes for granted.

Where the coded data end before the picture does, libjpeg fills it with grey and only warns, and
Pillow does not pass warnings on. A file that was cut is noticed as long as its end marker is
missing; with one, as some programs add it, half a picture passes for a whole.

Reading Huffman codes would show the gap, and is slow in Python. Instead the file is decoded a
second time with a few bytes inserted at the end of every piece of coded data. In a whole file
nobody reads them, as the pixels before are complete; where data are missing they are taken for
the missing ones, and the pixels differ. Pieces and scans that are not there at all are counted.

Reference: ITU-T T.81 sections A.2, B.2, E.2.4 and G.1.1.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from rdae.errors import UnsupportedImageError
from rdae.images.png_file import DAMAGED

EXTRA = b"\x5a\xa7\x36\xc9" * 4  # no 0xFF, and no end of block in the usual codes
_HUFFMAN = {0xC0: False, 0xC1: False, 0xC2: True}  # start of frame -> whether it is progressive
_SOI, _EOI, _SOS, _DRI = 0xD8, 0xD9, 0xDA, 0xDD
_OTHER_FRAMES = {0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}
_RESTART = re.compile(rb"\xff+([\xd0-\xd7])")
_END_OF_SCAN = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
_COMPARED_ROWS = 256


@dataclass
class _Frame:
    """The frame header, and how far its coefficients have been told.

    Attributes:
        size: width and height in pixels.
        sampling: of each component by its number, horizontal and vertical.
        is_progressive: the coefficients come in several scans.
        missing: of each component the coefficients, in zigzag order, whose last bit has not come.
    """

    size: tuple[int, int]
    sampling: dict[int, tuple[int, int]]
    is_progressive: bool
    missing: dict[int, set[int]] = field(default_factory=dict)

    def num_units(self, components: list[int]) -> int:
        """Return how many MCUs a scan of some components has."""
        most = [max(own[axis] for own in self.sampling.values()) for axis in (0, 1)]
        units = 1
        for axis in (0, 1):
            if len(components) == 1:
                samples = -(-self.size[axis] * self.sampling[components[0]][axis] // most[axis])
                units *= -(-samples // 8)
            else:
                units *= -(-self.size[axis] // (8 * most[axis]))
        return units


def with_extra_bytes(data: bytes) -> bytes | None:
    """Return a JPEG file with bytes inserted that nobody reads if it is whole.

    Args:
        data: the file; what follows its first picture is left out.

    Returns:
        The other file, or None where nothing can be said: arithmetic coding, a structure that
        libjpeg is to judge.

    Raises:
        UnsupportedImageError: scans, or pieces between restart markers, are missing.
    """
    parts: list[bytes] = []
    frame: _Frame | None = None
    interval = 0
    position = copied = 2
    try:
        while True:
            if data[position] != 0xFF:
                position = data.index(b"\xff", position)
            while data[position] == 0xFF:
                position += 1
            marker, position = data[position], position + 1
            if marker == _EOI:
                break
            if marker in (0x00, 0x01, _SOI) or 0xD0 <= marker <= 0xD7:
                continue
            (length,) = struct.unpack_from(">H", data, position)
            body, position = data[position + 2 : position + length], position + length
            if marker in _OTHER_FRAMES:
                return None
            if marker in _HUFFMAN:
                frame = _frame(body, is_progressive=_HUFFMAN[marker])
            elif marker == _DRI:
                (interval,) = struct.unpack_from(">H", body)
            elif marker == _SOS:
                end = _END_OF_SCAN.search(data, position)
                if frame is None or end is None:
                    return None
                scan = data[position : end.start()]
                _check_scan(frame, body, scan, interval)
                scan = without_fill(_RESTART.sub(_behind_extra, scan))
                parts += [data[copied:position], scan, EXTRA]
                position = copied = end.start()
    except UnsupportedImageError:  # which is a ValueError, too
        raise
    except (IndexError, KeyError, ValueError, struct.error):
        return None
    if frame is None:
        return None
    if any(frame.missing.values()):
        raise UnsupportedImageError(
            "incomplete JPEG file: its last scans are missing", hint=DAMAGED
        )
    return b"".join([data[:2], *parts, data[copied:position]])


def without_fill(coded: bytes) -> bytes:
    """Return coded data without the zeros that end them, but for one, which may belong to a code.

    Where a part is not there, some programs have zeros in its place, and these decode to something.
    """
    return coded[: len(coded.rstrip(b"\0")) + 1]


def check_against(image: Image.Image, twin: Image.Image) -> None:
    """Compare a loaded image with what comes of its file with bytes inserted.

    Raises:
        UnsupportedImageError: they differ, so the coded data end before the picture.
        Exception: whatever Pillow raises on the other file.
    """
    for top in range(0, image.height, _COMPARED_ROWS):
        box = (0, top, image.width, min(top + _COMPARED_ROWS, image.height))
        if not np.array_equal(np.asarray(image.crop(box)), np.asarray(twin.crop(box))):
            raise UnsupportedImageError(
                f"incomplete {image.format} file: its data end before the picture does",
                hint=DAMAGED,
            )


def _behind_extra(marker: re.Match[bytes]) -> bytes:
    return EXTRA + marker[0]


def _frame(body: bytes, *, is_progressive: bool) -> _Frame:
    _, height, width, count = struct.unpack_from(">BHHB", body)
    sampling = {
        body[at]: (body[at + 1] >> 4, body[at + 1] & 15) for at in range(6, 6 + 3 * count, 3)
    }
    if not width or not height or any(0 in own for own in sampling.values()):
        raise ValueError("a size that only the decoder can know")
    missing = {component: set(range(64)) for component in sampling}
    return _Frame((width, height), sampling, is_progressive, missing)


def _check_scan(frame: _Frame, body: bytes, scan: bytes, interval: int) -> None:
    """Count a scan's pieces, and note what it tells."""
    components = [body[1 + 2 * i] for i in range(body[0])]
    first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
    for component in components:
        if not frame.is_progressive:
            frame.missing[component].clear()
        elif not bits & 15:
            frame.missing[component].difference_update(range(first, last + 1))
    restarts = [found[1][0] & 7 for found in _RESTART.finditer(scan)]
    wanted = -(-frame.num_units(components) // interval) - 1 if interval else 0
    if len(restarts) < wanted or restarts != [i % 8 for i in range(len(restarts))]:
        raise UnsupportedImageError(
            "incomplete JPEG file: a part of its data is missing", hint=DAMAGED
        )

"""Whether the strips of a TIFF hold all of its picture, where libtiff takes that for granted.

JPEG and fax data that end too early are a warning to libtiff, which Pillow does not pass on. As in
`rdae.images.jpeg_file`, the file is decoded a second time with bytes behind the data of every strip
or tile that nobody reads if these are whole; where data are missing the pixels differ.

Reference: TIFF 6.0 sections 11, 15 and 22; its technical note 2 for JPEG.
"""

from __future__ import annotations

import struct

from rdae.images.jpeg_file import EXTRA, with_extra_bytes, without_fill
from rdae.images.tiff_directory import Directory, first_directory, integers

_COMPRESSION, _FILL_ORDER = 259, 266
_PLACES = ((273, 279), (324, 325))  # offsets and byte counts, of strips and of tiles
_RUN_LENGTHS, _GROUP_3, _GROUP_4, _JPEG = 2, 3, 4, 7
_END_OF_BLOCK, _NO_END = 0x001001, 0x5AA736  # of group 4, 24 bits; others that end nothing
_LINE = bytes.fromhex("00 19 a8 00 13 5a 00 13 5a 00 00")  # group 3: lines that begin black
_LONG = 4
_MAX_PARTS = 1 << 20


def with_extra_data(data: bytes) -> bytes | None:
    """Return a TIFF file with bytes behind the data of each strip or tile.

    Args:
        data: the file.

    Returns:
        The other file; None where libtiff itself tells of data that end too early, or of a
        structure that it is to judge.

    Raises:
        UnsupportedImageError: pieces of a JPEG strip are missing.
    """
    directory = first_directory(data)
    if directory is None or len(data) >= 1 << 31:
        return None
    compression = _values(data, directory, _COMPRESSION)
    if compression not in ([_RUN_LENGTHS], [_GROUP_3], [_GROUP_4], [_JPEG]):
        return None
    is_reversed = _values(data, directory, _FILL_ORDER) == [2]  # the bits of bytes
    result = bytearray(data)
    for offsets_tag, counts_tag in _PLACES:
        offsets, counts = (_values(data, directory, tag) for tag in (offsets_tag, counts_tag))
        if not offsets or len(offsets) != len(counts) or len(offsets) > _MAX_PARTS:
            continue
        places, sizes = [], []
        for offset, count in zip(offsets, counts, strict=True):
            part = data[offset : offset + count]
            if compression == [_GROUP_4] and not is_reversed:
                part = _without_end(part)
            elif compression != [_GROUP_3]:
                part = without_fill(part)
            # without an end marker, or with what is not known, the bytes come last
            extra = _LINE + EXTRA if compression == [_GROUP_3] else EXTRA
            longer = (compression == [_JPEG] and with_extra_bytes(part)) or part + extra
            places.append(len(result))
            sizes.append(len(longer))
            result += longer
            if len(result) > 3 * len(data) + (1 << 20):  # strips that lie upon one another
                return None
        _put(result, directory, offsets_tag, places)
        _put(result, directory, counts_tag, sizes)
    return bytes(result)


def _without_end(part: bytes) -> bytes:
    """Return data of group 4 with other bits in the place of the mark that ends them, if any."""
    told = part.rstrip(b"\0")
    last = int.from_bytes(told[-8:], "big")
    zeros = (last & -last).bit_length() - 1 if last else 0
    if (last >> zeros) & 0xFFFFFF == _END_OF_BLOCK:
        last ^= (_END_OF_BLOCK ^ _NO_END) << zeros
        return told[:-8] + last.to_bytes(min(8, len(told)), "big")
    if not told:
        return part
    # No code ends in more than three zeros, and seven are the beginning of an end.
    return told[:-1] + bytes([told[-1] | (1 << zeros - 3) - 1]) if zeros >= 3 else told + b"\x1f"


def _values(data: bytes, directory: Directory, tag: int) -> list[int]:
    entry = directory.entry(tag)
    return integers(data, directory.order, entry, _MAX_PARTS + 1) if entry else []


def _put(data: bytearray, directory: Directory, tag: int, values: list[int]) -> None:
    """Give an entry other values, which stand at the end of the file if there are several."""
    entry = directory.entry(tag)
    assert entry is not None
    packed = struct.pack(f"{directory.order}{len(values)}I", *values)
    field = packed
    if len(values) > 1:
        data += bytes(len(data) % 2)
        field = struct.pack(directory.order + "I", len(data))
        data += packed
    head = struct.pack(directory.order + "HI", _LONG, len(values))
    data[entry.position + 2 : entry.position + 12] = head + field

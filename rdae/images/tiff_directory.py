"""The directories (IFDs) of a TIFF, which EXIF data are, too: found, and changed in place.

A TIFF is full of offsets from its own first byte. Writing it anew moves what the offsets point to,
which ruins maker notes (their offsets are private to each camera maker) and drops what the writer
does not know. So nothing is written anew here: entries are taken out or overwritten, and the
length of the data stays the same.

Reference: TIFF 6.0 section 2.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable
from typing import NamedTuple

_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I"}  # BYTE, SHORT, LONG, and the offset of a directory
_HEADER_BYTES = 8
MOST_VALUES = 4096  # more than the strips of any preview


class Entry(NamedTuple):
    """One 12-byte entry of a directory: where it stands, and its fields."""

    position: int
    tag: int
    type: int
    num_values: int


class Directory(NamedTuple):
    """An image file directory (IFD): byte order, where it stands, and its entries.

    Cameras write directories that end too early. The entries are those that are there; `is_whole`
    says whether that is all of them and the link to the next directory.
    """

    order: str
    position: int
    entries: list[Entry]
    is_whole: bool

    @property
    def end(self) -> int:
        """Position after the link to the next directory."""
        return self.position + 2 + 12 * len(self.entries) + 4

    def entry(self, tag: int) -> Entry | None:
        """The entry of a tag, None if there is none."""
        return next((entry for entry in self.entries if entry.tag == tag), None)


def first_directory(data: bytes | bytearray) -> Directory | None:
    """Return the first directory (IFD0), or None where there is none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None or len(data) < _HEADER_BYTES:
        return None
    return read_directory(data, order, struct.unpack_from(order + "I", data, 4)[0])


def read_directory(data: bytes | bytearray, order: str, position: int) -> Directory | None:
    """Return the directory at `position`, or None if that lies outside of the data."""
    if not _HEADER_BYTES <= position <= len(data) - 2:
        return None
    (count,) = struct.unpack_from(order + "H", data, position)
    num_present = min(count, (len(data) - position - 2) // 12)
    starts = range(position + 2, position + 2 + 12 * num_present, 12)
    entries = [Entry(start, *struct.unpack_from(order + "HHI", data, start)) for start in starts]
    return Directory(order, position, entries, position + 2 + 12 * count + 4 <= len(data))


def integers(
    data: bytes | bytearray, order: str, entry: Entry, most: int = MOST_VALUES
) -> list[int]:
    """Return the first values of an entry of whole numbers; none if it has others or lies outside.

    Hostile data can let thousands of entries share millions of values, hence at most `most`.
    """
    code = _INTEGERS.get(entry.type)
    num_bytes = _VALUE_BYTES.get(entry.type, 0) * entry.num_values
    position = _position_of_values(data, order, entry, num_bytes)
    if code is None or position + num_bytes > len(data):
        return []
    return list(struct.unpack_from(f"{order}{min(entry.num_values, most)}{code}", data, position))


def put_integer(data: bytearray, order: str, entry: Entry, value: int) -> None:
    """Give an entry one value, of its own type where that holds it, else of four bytes."""
    kind = entry.type if entry.type in (1, 3) and value < 256 ** _VALUE_BYTES[entry.type] else 4
    field = struct.pack(order + _INTEGERS[kind], value).ljust(4, b"\0")
    struct.pack_into(order + "HI4s", data, entry.position + 2, kind, 1, field)


def next_position(data: bytes | bytearray, directory: Directory) -> int:
    """Return where the next directory of a whole one stands, 0 if there is none."""
    return int(struct.unpack_from(directory.order + "I", data, directory.end - 4)[0])


def value_bytes(data: bytes | bytearray, order: str, entry: Entry) -> slice:
    """Return where the values of an entry stand, cut where the data end; empty if they do not."""
    num_bytes = _VALUE_BYTES.get(entry.type, 0) * entry.num_values
    position = _position_of_values(data, order, entry, num_bytes)
    return range_of(data, position, num_bytes)


def erase(data: bytearray, directory: Directory) -> None:
    """Overwrite a directory and the values that its entries point to with zeros."""
    values = [value_bytes(data, directory.order, entry) for entry in directory.entries]
    own = range_of(data, directory.position, directory.end - directory.position)
    erase_ranges(data, [*values, own])


def erase_ranges(data: bytearray, ranges: Iterable[slice]) -> None:
    """Overwrite ranges with zeros, each byte once however often hostile data name it."""
    done = 0
    for place in sorted(ranges, key=lambda place: place.start):
        start = max(done, place.start)
        if place.stop > start:
            data[start : place.stop] = bytes(place.stop - start)
            done = place.stop


def remove(data: bytearray, directory: Directory, tags: Collection[int]) -> None:
    """Take entries out of a whole directory and erase their values; the link to the next stays."""
    order, position, entries, _ = directory
    gone = [entry for entry in entries if entry.tag in tags]
    if not gone:
        return
    rows = [bytes(data[e.position : e.position + 12]) for e in entries if e.tag not in tags]
    link = bytes(data[directory.end - 4 : directory.end])
    erase_ranges(data, [value_bytes(data, order, entry) for entry in gone])
    table = struct.pack(order + "H", len(rows)) + b"".join(rows) + link
    data[position : directory.end] = table.ljust(directory.end - position, b"\0")


def range_of(data: bytes | bytearray, position: int, num_bytes: int) -> slice:
    """Return a range as far as it lies behind the header and inside of the data."""
    if position < _HEADER_BYTES:
        return slice(0, 0)
    return slice(min(position, len(data)), min(position + num_bytes, len(data)))


def _position_of_values(data: bytes | bytearray, order: str, entry: Entry, num_bytes: int) -> int:
    if num_bytes <= 4:
        return entry.position + 8
    return int(struct.unpack_from(order + "I", data, entry.position + 8)[0])

r"""EXIF and XMP, handled as bytes: orientation, GPS, and the TIFF file that carries them.

EXIF is a small TIFF file, full of offsets from its own first byte. Writing it anew moves what
the offsets point to, which ruins maker notes (their offsets are private to each camera maker)
and drops what the writer does not know. So nothing is written anew here: tags are changed in
place, and the length of the data stays the same.

EXIF is kept everywhere without the `Exif\0\0` that JPEG puts in front of it: that is how PNG,
WebP, AVIF and our own bitstream hold it. Data that cannot be understood is kept as it is, since
it belongs to the user, except where keeping it could betray a place (`exif_without_gps`).

References: Exif 2.32 (CIPA DC-008) sections 4.5 and 4.6; TIFF 6.0 sections 2 and 14; XMP part 1
section 7.
"""

from __future__ import annotations

import logging
import re
import struct
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

EXIF_PREFIX = b"Exif\0\0"

_ORIENTATION = 274
_EXIF_IFD = 34665
_GPS_IFD = 34853
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TYPE_CODES = {1: "B", 3: "H", 4: "I"}  # BYTE, SHORT, LONG: what writers use for an orientation

# Tags of a TIFF's first directory that say how its pixels are stored, or carry what has a place
# of its own (ICC, XMP) or is no EXIF at all (Photoshop's layers). They do not travel.
_LAYOUT_TAGS = {
    *(*range(254, 260), *range(262, 267), 273, *range(277, 282), 284, *range(288, 294), 297, 301),
    *(*range(317, 327), *range(330, 344), *range(512, 522), *range(529, 533)),
    *(700, 33723, 34377, 34675, 37724, *range(50706, 51200)),
}

_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([1-8])(?=\s*["'<])""")
_XMP_GPS_ATTRIBUTE = re.compile(rb"""\s[\w.-]+:GPS\w*\s*=\s*(?:"[^"]*"|'[^']*')""", re.IGNORECASE)
_XMP_GPS_ELEMENT = re.compile(
    rb"<([\w.-]+:GPS\w*)(?:\s[^<>]*)?(?:/>|>[^<]*</\1\s*>)\s*", re.IGNORECASE
)
# Any property whose name begins with GPS, also in UTF-16, where a zero byte stands between letters.
_XMP_ANY_GPS = re.compile(rb":\0?G\0?P\0?S", re.IGNORECASE)

_logger = logging.getLogger("rdae")

_STRIP_BYTES = 1 << 18  # of a TIFF before compression; readers hold one strip at a time


class _Entry(NamedTuple):
    """One 12-byte entry of a directory: where it stands, and its fields."""

    position: int
    tag: int
    type: int
    num_values: int


class _Directory(NamedTuple):
    """An image file directory (IFD): byte order, where it stands, and its entries.

    Cameras write directories that end too early. The entries are those that are there; `is_whole`
    says whether that is all of them and the link to the next directory.
    """

    order: str
    position: int
    entries: list[_Entry]
    is_whole: bool

    @property
    def end(self) -> int:
        """Position after the link to the next directory."""
        return self.position + 2 + 12 * len(self.entries) + 4


def metadata_of(image: Image.Image) -> tuple[bytes, bytes, bytes]:
    """Return ICC profile, EXIF data and XMP packet as the image has them, each may be empty."""
    info = image.info
    icc = _as_bytes(info.get("icc_profile")) or _raw_profile(image, "icc")
    if not icc:
        # Pillow puts the pieces together at the frame header, but they may come after it.
        pieces = sorted(getattr(image, "icclist", []))
        if pieces and pieces[0][13] == len(pieces):
            icc = b"".join(piece[14:] for piece in pieces)
    if hasattr(image, "tag_v2"):
        exif = _tiff_exif(image)
    else:
        exif = _as_bytes(info.get("exif")) or _raw_profile(image, "exif")
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or _raw_profile(image, "xmp")
    return icc, _bare_exif(exif), _as_bytes(xmp)


def orientation(exif: bytes, xmp: bytes) -> int:
    """Return the orientation in 1..8: that of the EXIF data, else that of the XMP, else 1."""
    directory = _first_directory(exif)
    if directory:
        for entry in directory.entries:
            if entry.tag == _ORIENTATION and entry.type in _TYPE_CODES:
                code = directory.order + _TYPE_CODES[entry.type]
                (value,) = struct.unpack_from(code, exif, entry.position + 8)
                return int(value) if 1 <= value <= 8 else 1
    match = _XMP_ORIENTATION.search(xmp)
    return int(match[2]) if match else 1


def upright(exif: bytes, xmp: bytes) -> tuple[bytes, bytes]:
    """Set every orientation in EXIF and XMP data to 1, in place; the lengths do not change."""
    directory = _first_directory(exif)
    if directory:
        patched = bytearray(exif)
        for entry in directory.entries:
            if entry.tag == _ORIENTATION and entry.type in _TYPE_CODES:
                code = directory.order + _TYPE_CODES[entry.type]
                struct.pack_into(code, patched, entry.position + 8, 1)
        exif = bytes(patched)
    return exif, _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def exif_without_gps(exif: bytes) -> bytes:
    """Remove the GPS directory from EXIF data and overwrite its values; all else stays in place.

    Data in which the directory cannot be found safely is dropped whole: whoever asks for this
    wants the place gone. A maker note's private copy of a place cannot be found, and stays.
    """
    directory = _first_directory(exif)
    if directory is None or not directory.is_whole:
        return b""
    order, position, entries, _ = directory
    patched = bytearray(exif)
    for entry in entries:
        if entry.tag == _GPS_IFD:
            (offset,) = struct.unpack_from(order + "I", exif, entry.position + 8)
            gps = _read_directory(exif, order, offset)
            if gps is None or not gps.is_whole:
                return b""
            _erase(patched, gps)
    kept = [entry for entry in entries if entry.tag != _GPS_IFD]
    rows = [exif[entry.position : entry.position + 12] for entry in kept]
    next_directory = exif[directory.end - 4 : directory.end]
    table = struct.pack(order + "H", len(kept)) + b"".join(rows) + next_directory
    patched[position : directory.end] = table.ljust(directory.end - position, b"\0")
    return bytes(patched)


def xmp_without_gps(xmp: bytes) -> bytes:
    """Remove every property named GPS... from XMP data, whatever its namespace.

    Simple attributes and elements are cut out. If one remains after that (a structured value, a
    packet in UTF-16), the whole packet is dropped. Named places (city, country) stay.
    """
    xmp = _XMP_GPS_ELEMENT.sub(b"", _XMP_GPS_ATTRIBUTE.sub(b"", xmp))
    return b"" if _XMP_ANY_GPS.search(xmp) else xmp


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
    directory = _first_directory(exif)
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
        if entry.tag not in _LAYOUT_TAGS:
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


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return bytes(value) if isinstance(value, (bytes, bytearray)) else b""


def _raw_profile(image: Image.Image, kind: str) -> bytes:
    """Return metadata that ImageMagick hid in a PNG's text: three lines, then hexadecimal."""
    text = image.info.get(f"Raw profile type {kind}")
    try:
        return bytes.fromhex("".join(text.split("\n")[3:])) if isinstance(text, str) else b""
    except ValueError:
        return b""


def _tiff_exif(image: Image.Image) -> bytes:
    """Gather EXIF data from the directories of a TIFF: the tags that describe the picture."""
    try:
        source, exif = image.getexif(), Image.Exif()
        for tag in source:
            if tag not in _LAYOUT_TAGS and tag not in (_EXIF_IFD, _GPS_IFD):
                exif[tag] = source[tag]
        for tag in (_EXIF_IFD, _GPS_IFD):
            directory = source.get_ifd(tag)
            if directory:
                exif[tag] = dict(directory)
        return exif.tobytes() if len(exif) else b""
    except Exception as error:  # whatever the values of a damaged directory make Pillow do
        _logger.warning("the EXIF data of this TIFF are damaged and left out: %s", error)
        return b""


def _bare_exif(data: bytes) -> bytes:
    """Return EXIF data without the prefix of a JPEG segment (some writers put it twice)."""
    while data.startswith(EXIF_PREFIX):
        data = data[len(EXIF_PREFIX) :]
    return data


def _first_directory(exif: bytes) -> _Directory | None:
    """Return the first directory (IFD0) of EXIF data, or None where there is no whole one."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return None
    return _read_directory(exif, order, struct.unpack_from(order + "I", exif, 4)[0])


def _read_directory(exif: bytes, order: str, position: int) -> _Directory | None:
    """Return the directory at `position`, or None if that lies outside of the data."""
    if not 8 <= position <= len(exif) - 2:
        return None
    (count,) = struct.unpack_from(order + "H", exif, position)
    num_present = min(count, (len(exif) - position - 2) // 12)
    starts = range(position + 2, position + 2 + 12 * num_present, 12)
    entries = [_Entry(start, *struct.unpack_from(order + "HHI", exif, start)) for start in starts]
    return _Directory(order, position, entries, position + 2 + 12 * count + 4 <= len(exif))


def _erase(exif: bytearray, directory: _Directory) -> None:
    """Overwrite a directory and the values that its entries point to with zeros."""
    for entry in directory.entries:
        num_bytes = _VALUE_BYTES.get(entry.type, 0) * entry.num_values
        if num_bytes > 4:
            (offset,) = struct.unpack_from(directory.order + "I", exif, entry.position + 8)
            if offset >= 8 and offset + num_bytes <= len(exif):
                exif[offset : offset + num_bytes] = bytes(num_bytes)
    exif[directory.position : directory.end] = bytes(directory.end - directory.position)

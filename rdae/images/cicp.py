"""Colours that a file names by numbers (ITU-T H.273), which Pillow does not tell of.

AVIF and HEIC have them in a colour box of the picture (ISO/IEC 14496-12, section 12.1.5; the
picture's properties: ISO/IEC 23008-12, section 9.3), PNG in its chunk cICP (PNG, third edition,
section 11.3.2.6). Without that box those of AVIF are the AV1 stream's own (AVIF 1.1, section
2.1), which stands where the item's location says (ISO/IEC 14496-12, section 8.11.3). An HEVC
stream is not asked: what writes HEIC writes the box or a profile.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from PIL import Image

from rdae.errors import UnsupportedImageError
from rdae.images.av1_header import colours_of
from rdae.images.icc import HLG, PQ, profile_of

_MAX_META_BYTES = 16 << 20  # the boxes that describe a file; pixels are not among them
_MAX_CHUNKS = 1 << 16
_STREAM_BYTES = 1 << 12  # of an AV1 stream; its sequence header has some dozen bytes
_BT_709 = 1
_HINT = "save it in sRGB or Display P3 in an image editor first"

NAMED_PROFILE = "rdae_named_profile"  # attribute of an image


class Cicp(NamedTuple):
    """Numbers of H.273, and whether levels go from 0 to 255."""

    primaries: int
    transfer: int
    is_full_range: bool


def name_colours(image: Image.Image) -> None:
    """Give an image the ICC profile of colours that its file only has numbers for.

    A profile of the file's own stays. Beside one, PNG's numbers still tell of PQ and HLG.

    Raises:
        UnsupportedImageError: they are of a kind without one: PQ, HLG; grey with a curve that is
            not that of sRGB.
    """
    cicp = _cicp_of(image)
    if cicp is None or (image.format != "PNG" and image.info.get("icc_profile")):
        return
    icc = profile_of(cicp.primaries, cicp.transfer)
    refuse_hdr(cicp.transfer)
    if icc is None or not cicp.is_full_range:
        rare = f"colours of a rare kind (CICP {cicp.primaries}, {cicp.transfer})"
        raise UnsupportedImageError(rare, hint=_HINT)
    if image.info.get("icc_profile"):
        return
    if image.mode in ("P", "PA") or len(image.getbands()) > 2:
        if icc:
            setattr(image, NAMED_PROFILE, icc)  # its info may be another's
    elif profile_of(_BT_709, cicp.transfer):
        curve = f"grey with another curve than sRGB's (CICP {cicp.transfer})"
        raise UnsupportedImageError(curve, hint=_HINT)


def refuse_hdr(transfer: int | None) -> None:
    """Refuse pixels whose levels are more light than a display of sRGB has.

    Raises:
        UnsupportedImageError: the transfer, as H.273 numbers it, is PQ or HLG.
    """
    if transfer in (PQ, HLG):
        kind = "PQ" if transfer == PQ else "HLG"
        raise UnsupportedImageError(f"HDR colours ({kind})", hint=_HINT)


def _cicp_of(image: Image.Image) -> Cicp | None:
    """The numbers of an image whose file is still open."""
    look = {"PNG": cicp_of_png, "AVIF": cicp_of_heif, "HEIF": cicp_of_heif}.get(image.format or "")
    file = getattr(image, "fp", None)
    if look is None or file is None:
        return None
    position = file.tell()
    try:
        return look(file)
    finally:
        file.seek(position)


def cicp_of_png(file: BinaryIO) -> Cicp | None:
    """The colours that a PNG file names before its pixels, None if it names none."""
    file.seek(8)
    for _ in range(_MAX_CHUNKS):
        header = file.read(8)
        if len(header) < 8 or header[4:] in (b"IDAT", b"IEND"):
            break
        size = int.from_bytes(header[:4], "big")
        if header[4:] == b"cICP":
            data = file.read(min(size, 4))
            return Cicp(data[0], data[1], bool(data[3])) if len(data) == 4 else None
        file.seek(size + 4, 1)
    return None


def cicp_of_heif(file: BinaryIO) -> Cicp | None:
    """The colours that the main picture of an AVIF or HEIC file names, None if it names none.

    Its range is that of the coded YCbCr, which the decoder undoes. What is damaged names nothing.
    """
    file.seek(0)
    while len(header := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", header)
        if size == 1:  # it stands behind the type, in 64 bits, as of large pictures
            size = int.from_bytes(file.read(8), "big") - 8
        if kind == b"meta" and 8 <= size <= _MAX_META_BYTES:
            try:
                return _of_meta(file.read(size - 8), file)
            except (LookupError, struct.error):
                return None
        if size < 8:  # to the end of the file
            return None
        file.seek(size - 8, 1)
    return None


def _of_meta(meta: bytes, file: BinaryIO) -> Cicp | None:
    boxes = dict(_boxes(meta[4:]))
    main = boxes[b"pitm"]
    item = int.from_bytes(main[4:8] if main[0] else main[4:6], "big")
    properties = list(_boxes(boxes[b"iprp"]))
    known = [box for kind, body in properties if kind == b"ipco" for box in _boxes(body)]
    for kind, body in properties:
        for number in _properties_of(item, body) if kind == b"ipma" else ():
            name, data = known[number - 1] if 1 <= number <= len(known) else (b"", b"")
            if name == b"colr" and data.startswith(b"nclx") and len(data) >= 11:
                primaries, transfer = struct.unpack_from(">HH", data, 4)
                return Cicp(primaries, transfer, is_full_range=True)
    if not any(kind == b"av1C" for kind, _ in known):
        return None
    file.seek(_start_of(_first_part_of(item, boxes.get(b"iref", b"")), boxes[b"iloc"]))
    named = colours_of(file.read(_STREAM_BYTES))
    return None if named is None else Cicp(*named, is_full_range=True)


def _first_part_of(item: int, iref: bytes) -> int:
    """The first of the items that an item is put together from, or itself."""
    layout = ">II" if iref[:1] > b"\0" else ">HH"
    for kind, body in _boxes(iref[4:]):
        if kind == b"dimg" and struct.unpack_from(layout, body)[0] == item:
            count_bytes = struct.calcsize(layout) // 2
            return int.from_bytes(body[count_bytes + 2 : 2 * count_bytes + 2], "big")
    return item


def _start_of(item: int, iloc: bytes) -> int:
    """Where in the file the bytes of an item begin; `LookupError` if they are not in it."""
    version, widths = iloc[0], [iloc[4] >> 4, iloc[4] & 15, iloc[5] >> 4, iloc[5] & 15]
    at, wide = 6, 4 if version == 2 else 2

    def number(num_bytes: int) -> int:
        nonlocal at
        at += num_bytes
        if at > len(iloc):
            raise IndexError("the box of locations is cut")
        return int.from_bytes(iloc[at - num_bytes : at], "big")

    for _ in range(number(wide)):
        one = number(wide)
        is_elsewhere = version > 0 and number(2) & 15  # in a box, or in another item
        is_elsewhere |= number(2)  # another file
        start = number(widths[2])
        num_extents = number(2)
        for extent in range(num_extents):
            number(widths[3] if version else 0)
            offset = number(widths[0])
            number(widths[1])
            if one == item and extent == 0 and not is_elsewhere:
                return start + offset
    raise LookupError(f"item {item} has no place")


def _properties_of(item: int, ipma: bytes) -> list[int]:
    """The places, from 1 on, of an item's properties."""
    version, is_wide = ipma[0], ipma[3] & 1
    (count,) = struct.unpack_from(">I", ipma, 4)
    at, id_bytes = 8, 4 if version else 2
    for _ in range(count):
        one = int.from_bytes(ipma[at : at + id_bytes], "big")
        num, at = ipma[at + id_bytes], at + id_bytes + 1
        end = at + num * (2 if is_wide else 1)
        if one == item:
            values = struct.unpack_from(f">{num}{'H' if is_wide else 'B'}", ipma, at)
            return [value & (0x7FFF if is_wide else 0x7F) for value in values]
        at = end
    return []


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:
            return
        yield kind, data[at + 8 : at + size]
        at += size

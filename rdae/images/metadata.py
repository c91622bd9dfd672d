"""Metadata of an image as Pillow has opened it: where each format keeps ICC profile, EXIF and XMP.

What is in them is for `rdae.images.exif` and `rdae.images.xmp`; here are the answers that need
both.
"""

from __future__ import annotations

import logging
from typing import Any

from PIL import Image

from rdae.images import exif as exif_data
from rdae.images import xmp as xmp_packet
from rdae.images.cicp import NAMED_PROFILE
from rdae.images.exif import EXIF_IFD, GPS_IFD, PREFIX
from rdae.images.tiff_file import LAYOUT_TAGS

_XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"  # of a JPEG's segment

_INTEROP_IFD = 0xA005

_logger = logging.getLogger("rdae")


def metadata_of(image: Image.Image) -> tuple[bytes, bytes, bytes]:
    """Return ICC profile, EXIF data and XMP packet as the image has them, each may be empty."""
    info = image.info
    icc = _as_bytes(info.get("icc_profile"))
    icc = icc or _raw_profile(image, "icc") or _raw_profile(image, "icm")
    icc = icc or getattr(image, NAMED_PROFILE, b"")
    if not icc:
        # Pillow puts the pieces together at the frame header, but they may come after it.
        pieces = sorted(getattr(image, "icclist", []))
        if pieces and pieces[0][13] == len(pieces):
            icc = b"".join(piece[14:] for piece in pieces)
    app1 = _raw_profile(image, "APP1")  # either of the two that JPEG keeps in such segments
    exif_of_app1 = app1 if app1.startswith(PREFIX) else b""
    xmp_of_app1 = app1.removeprefix(_XMP_PREFIX) if app1.startswith(_XMP_PREFIX) else b""
    if hasattr(image, "tag_v2"):
        exif = _tiff_exif(image)
    else:
        exif = _as_bytes(info.get("exif")) or _raw_profile(image, "exif") or exif_of_app1
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or _raw_profile(image, "xmp")
    return icc, _bare_exif(exif), _as_bytes(xmp) or xmp_of_app1


def orientation(exif: bytes, xmp: bytes) -> int:
    """Return the orientation in 1..8: that of the EXIF data, else that of the XMP, else 1."""
    return exif_data.orientation(exif) or xmp_packet.orientation(xmp) or 1


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
            if tag not in LAYOUT_TAGS and tag not in (EXIF_IFD, GPS_IFD):
                exif[tag] = source[tag]
        for tag in (EXIF_IFD, GPS_IFD):
            directory = source.get_ifd(tag)
            if directory:
                exif[tag] = dict(directory)
                if _INTEROP_IFD in directory:  # a directory of its own; Pillow has its place there
                    exif[tag][_INTEROP_IFD] = dict(source.get_ifd(_INTEROP_IFD))
        return exif.tobytes() if len(exif) else b""
    except Exception as error:  # whatever the values of a damaged directory make Pillow do
        _logger.warning("the EXIF data of this TIFF are damaged and left out: %s", error)
        return b""


def _bare_exif(data: bytes) -> bytes:
    """Return EXIF data without the prefix of a JPEG segment (some writers put it twice)."""
    while data.startswith(PREFIX):
        data = data[len(PREFIX) :]
    return data

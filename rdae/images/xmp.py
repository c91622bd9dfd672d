"""XMP packets as bytes: orientation, places, and what no longer agrees with the pixels.

A packet is XML, and kept to the byte where nothing is to be changed: it need not even be valid.
Simple properties are changed or cut out by patterns that take linear time. Where more than that
would be needed to have something gone (a structured value, a packet in UTF-16), the whole packet
goes.

Reference: XMP part 1 section 7 (ISO 16684-1:2019).
"""

from __future__ import annotations

import re

_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([1-8])(?=\s*["'<])""")
_SIZE = re.compile(
    rb"""((?:exif:Pixel([XY])Dimension|tiff:Image(Width|Length))\s*(?:=\s*["']|>)\s*)\d+(?=\s*["'<])"""
)

# Names of properties that tell a place, whatever their namespace: those of cameras, of drones (DJI,
# Skydio, Parrot; one of them writes "Longtitude"), and the namespaces of places.
# A look ahead is taken once; in a pattern for the whole name, each "GPS" in it would be tried.
_PLACE = (
    rb"(?!xmlns:)(?=[\w.-]+:[\w.-]*(?:GPS|Latitude|Longt?itude|Altitude)|(?:geo|georss|gml|gps):)"
    rb"[\w.-]+:[\w.-]+"
)
_PLACE_ATTRIBUTE = re.compile(
    rb"""\s""" + _PLACE + rb"""\s*=\s*(?:"[^"]*"|'[^']*')""", re.IGNORECASE
)
_PLACE_ELEMENT = re.compile(
    rb"<(" + _PLACE + rb")(?:\s[^<>]*)?(?:/>|>[^<]*</\1\s*>)\s*", re.IGNORECASE
)
_ANY_PLACE = re.compile(rb"""(?<=[\s</"'])""" + _PLACE, re.IGNORECASE)

_THUMBNAILS = (b"xmp:Thumbnails", b"xap:Thumbnails")
_BASE64_PICTURES = (b"/9j/", b"iVBORw0KGgo")  # how a JPEG and a PNG begin


def orientation(xmp: bytes) -> int:
    """Return the orientation in 1..8, or 0 where there is none."""
    match = _ORIENTATION.search(xmp)
    return int(match[2]) if match else 0


def upright(xmp: bytes) -> bytes:
    """Set every orientation to 1, in place."""
    return _ORIENTATION.sub(rb"\g<1>1", xmp)


def without_place(xmp: bytes) -> bytes:
    """Remove every property that tells a position or a height.

    Simple attributes and elements are cut out. If one remains after that, the whole packet is
    dropped. Named places (city, country) stay.
    """
    xmp = _PLACE_ELEMENT.sub(b"", _PLACE_ATTRIBUTE.sub(b"", xmp))
    return b"" if _ANY_PLACE.search(_plain(xmp)) else xmp


def of_size(xmp: bytes, width: int, height: int) -> bytes:
    """Make a packet agree with pixels that were turned, cut or scaled to another size.

    Thumbnails show what was before, and are cut out; where a picture remains, in any property, the
    whole packet is dropped. Sizes become the new ones.
    """

    def size(match: re.Match[bytes]) -> bytes:
        is_width = b"X" in (match[2] or b"") or match[3] == b"Width"
        return match[1] + str(width if is_width else height).encode()

    xmp = _SIZE.sub(size, xmp)
    for name in _THUMBNAILS:
        kept, done = [], 0
        while (start := xmp.find(b"<" + name, done)) >= 0:
            end = xmp.find(b"</" + name, start)
            end = xmp.find(b">", end) if end >= 0 else -1
            if end < 0:
                return b""
            kept.append(xmp[done:start])
            done = end + 1
        xmp = b"".join((*kept, xmp[done:]))
    return b"" if any(mark in _plain(xmp) for mark in _BASE64_PICTURES) else xmp


def _plain(xmp: bytes) -> bytes:
    """Return a packet in which names can be found, in UTF-16, too."""
    return xmp.replace(b"\0", b"")

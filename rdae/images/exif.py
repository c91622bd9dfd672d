r"""EXIF data as bytes: orientation, places, and what no longer agrees with the pixels.

They are kept everywhere without the `Exif\0\0` that JPEG puts in front of them: that is how PNG,
WebP, AVIF and our own bitstream hold them. Data that cannot be understood are kept as they are,
since they belong to the user, except where keeping them could betray what is to be gone: a place
(`without_place`), or what a crop has cut off (`of_size`).

References: Exif 2.32 (CIPA DC-008) sections 4.5 and 4.6; GeoTIFF 1.1 (OGC 19-008r4) annex B.
"""

from __future__ import annotations

from rdae.images.tiff_directory import (
    MOST_VALUES,
    Directory,
    erase,
    erase_ranges,
    first_directory,
    integers,
    next_position,
    put_integer,
    range_of,
    read_directory,
    remove,
    value_bytes,
)

PREFIX = b"Exif\0\0"
EXIF_IFD = 34665
GPS_IFD = 34853

_ORIENTATION = 274
_WIDTHS, _HEIGHTS = (256, 40962), (257, 40963)  # ImageWidth, PixelXDimension and their likes
_MAKER_NOTE = 37500
_SUB_IFDS = 330
_THUMBNAIL = ((513, 514), (273, 279), (324, 325))  # offsets and lengths: of a JPEG, strips, tiles
# GeoTIFF's tags, its forerunners', GDAL's own and the coefficients of satellites.
_GEOTIFF = {33550, *range(33918, 33923), 34264, 34735, 34736, 34737, 42112, 50844}

_MOST_DIRECTORIES = 16  # one or two are usual
_JPEG = b"\xff\xd8\xff"


def orientation(exif: bytes) -> int:
    """Return the orientation in 1..8, or 0 where there is none."""
    directory = first_directory(exif)
    if directory and (entry := directory.entry(_ORIENTATION)):
        values = integers(exif, directory.order, entry, 1)
        if values:
            return values[0] if 1 <= values[0] <= 8 else 1
    return 0


def upright(exif: bytes) -> bytes:
    """Set every orientation to 1, in place."""
    directory = first_directory(exif)
    if directory is None:
        return exif
    patched = bytearray(exif)
    for entry in directory.entries:
        if entry.tag == _ORIENTATION and integers(exif, directory.order, entry, 1):
            put_integer(patched, directory.order, entry, 1)
    return bytes(patched)


def without_place(exif: bytes) -> bytes:
    """Remove GPS directories and GeoTIFF tags and overwrite their values; all else stays in place.

    Data in which they cannot be found safely are dropped whole: whoever asks for this wants the
    place gone. A maker note's private copy of a place cannot be found, and stays.
    """
    first = first_directory(exif)
    if first is None or not first.is_whole:
        return b""
    order, patched = first.order, bytearray(exif)
    inner = first.entry(EXIF_IFD)
    places = [next_position(exif, first), *(integers(exif, order, inner, 1) if inner else ())]
    found = [first, *(d for p in places if (d := read_directory(exif, order, p)) is not None)]
    for directory in found:
        pointers = [entry for entry in directory.entries if entry.tag == GPS_IFD]
        has_place = pointers or any(entry.tag in _GEOTIFF for entry in directory.entries)
        if (has_place and not directory.is_whole) or len(pointers) > 1:
            return b""
        for pointer in pointers:
            (place,) = integers(exif, order, pointer, 1) or (0,)
            gps = read_directory(exif, order, place)
            if gps is None or not gps.is_whole:
                return b""
            erase(patched, gps)
    for directory in found:
        remove(patched, directory, {GPS_IFD, *_GEOTIFF})
    return bytes(patched)


def of_size(exif: bytes, width: int, height: int) -> bytes:
    """Make EXIF data agree with pixels that were turned, cut or scaled to another size.

    The thumbnail and other previews show what was before, and are erased, as are a maker note that
    holds a JPEG and GeoTIFF tags, which say where the former pixels lie. Sizes become the new ones.
    Where a JPEG remains that cannot be reached through the directories, all is dropped.
    """
    patched = bytearray(exif)
    first = first_directory(exif)
    if first is not None:
        order, inner = first.order, None
        if (entry := first.entry(EXIF_IFD)) and (place := integers(exif, order, entry, 1)):
            inner = read_directory(exif, order, place[0])
        for directory in (first, inner):
            for entry in directory.entries if directory else ():
                if entry.tag in _WIDTHS + _HEIGHTS:
                    put_integer(patched, order, entry, width if entry.tag in _WIDTHS else height)
        if not _erase_previews(patched, first):
            return b""
        if inner is not None and inner.is_whole:
            note = inner.entry(_MAKER_NOTE)
            if note and _JPEG in patched[value_bytes(patched, order, note)]:
                remove(patched, inner, {_MAKER_NOTE})
    return b"" if _JPEG in patched else bytes(patched)


def _erase_previews(data: bytearray, first: Directory) -> bool:
    """Erase all pictures but the one that `first` describes; return whether all were found.

    They are not where there are too many of them, or of the pieces of one.
    """
    order = first.order
    previews = first.entry(_SUB_IFDS)
    waiting = integers(data, order, previews) if previews else []
    if first.is_whole:
        waiting.append(next_position(data, first))
        data[first.end - 4 : first.end] = bytes(4)
        remove(data, first, {_SUB_IFDS, *_GEOTIFF})
    seen = {0, first.position}
    while waiting and len(seen) < _MOST_DIRECTORIES:
        place = waiting.pop()
        directory = None if place in seen else read_directory(data, order, place)
        seen.add(place)
        if directory is None:
            continue
        pieces: list[slice] = []
        for offsets, lengths in _THUMBNAIL:
            at, length = directory.entry(offsets), directory.entry(lengths)
            if at and length:
                if min(at.num_values, length.num_values) > MOST_VALUES:
                    return False
                pairs = zip(integers(data, order, at), integers(data, order, length), strict=False)
                pieces += [range_of(data, offset, num_bytes) for offset, num_bytes in pairs]
        if directory.is_whole:
            waiting.append(next_position(data, directory))
        erase_ranges(data, pieces)
        erase(data, directory)
    return not waiting

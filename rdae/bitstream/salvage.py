"""Reading a file that may be damaged: all parts that can be found, and a list of what is broken.

Damage inside of a chunk leaves the others where they are. Damage to the framing hides where the
next chunk begins; then the tiles are found again from the end of the file, since only whole pairs
of chunks Z and Y run from there to its last byte, and how many there are says which they are.
A tile that was taken for another never passes: its checksum covers its number.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.chunks import (
    METADATA_KINDS,
    WORD_BYTES,
    Chunk,
    checked_payload,
    read_chunk,
    scan,
)
from rdae.bitstream.container import Container, TilePayload, check_pixels, read_ancillary
from rdae.bitstream.damage import Damage
from rdae.bitstream.header import Header, read_header
from rdae.bitstream.payload import unpack_alpha, unpack_alpha_region
from rdae.bitstream.tiles import tile_at, tile_counts
from rdae.bitstream.varint import ByteReader
from rdae.errors import BitstreamError, CorruptError, UnsupportedFeatureError
from rdae.geometry import Rectangle
from rdae.limits import MAX_INFO_PIXELS, MAX_PIXELS, MAX_SEARCHED_CHUNKS

__all__ = ["Parts", "read_parts"]


@dataclass(eq=False)
class Parts:
    """The parts of a `.rd` file that are there.

    Attributes:
        header: size, model and flags.
        region: the part of the picture that was asked for.
        tiles: the tiles that were found, by index, of the whole picture.
        alpha: `(region.rows, region.columns)` uint8, None exactly when the header says no alpha;
            255 where it is damaged.
        metadata: the blocks that are there, by "icc", "exif" and "xmp".
        damage: what is broken, as far as can be told without a model.
    """

    header: Header
    region: Rectangle
    tiles: dict[int, TilePayload] = field(default_factory=dict)
    alpha: NDArray[np.uint8] | None = None
    metadata: dict[str, bytes] = field(default_factory=dict)
    damage: list[Damage] = field(default_factory=list)

    @classmethod
    def of(cls, container: Container) -> Parts:
        """The parts of a file that is not damaged, as far as its container can tell."""
        header = container.header
        blocks = {kind: getattr(container, kind) for kind in METADATA_KINDS.values()}
        return cls(
            header,
            Rectangle.whole(header.width, header.height),
            dict(enumerate(container.tiles)),
            container.alpha,
            {kind: block for kind, block in blocks.items() if block},
        )

    def check_front(self) -> None:
        """Check that nothing is damaged but tiles.

        Raises:
            BitstreamError: alpha or metadata are damaged, or a critical chunk is unknown.
        """
        for damage in self.damage:
            is_critical = isinstance(damage.error, UnsupportedFeatureError)
            if is_critical or damage.part not in ("tile", "bytes"):
                raise damage.error


def read_parts(
    data: bytes, *, region: Rectangle | None = None, max_pixels: int = MAX_PIXELS
) -> Parts:
    """Return all parts of a file that can be found.

    Args:
        data: the whole file, or what is left of it.
        region: the part of the picture that is wanted; all of it if None.
        max_pixels: refuse a larger region before anything is allocated for it. Of a picture with
            alpha this counts the whole rows from the first to the region's last, since the alpha
            plane has no tiles and is inflated from its beginning.

    Raises:
        BitstreamError: the header is damaged, or not that of a file of this version.
        RegionError: the region is not inside of the picture.
        TooLargeError: there are more than `max_pixels` pixels to read, or 2^36 in the picture.
    """
    reader = ByteReader(data)
    header = read_header(reader)
    if region is None:
        region = Rectangle.whole(header.width, header.height)
        check_pixels(header.width, header.height, max_pixels)
    region.check_inside(header.width, header.height)
    check_pixels(header.width, header.height, MAX_INFO_PIXELS)
    check_pixels(region.columns, region.rows, max_pixels, what="region")
    if header.has_alpha:
        rows = "alpha plane, which must be inflated down to the region's last row,"
        check_pixels(header.width, region.bottom, max_pixels, what=rows)
    parts = Parts(header, region)
    z = b""
    for chunk in _found_chunks(data, reader, parts):
        kind = METADATA_KINDS.get(chunk.type, "alpha" if chunk.type == "A" else "chunk")
        try:
            if chunk.type == "Z":
                z = bytes(chunk.payload)
            elif chunk.tile is not None:
                parts.tiles[chunk.tile.index] = TilePayload(z, bytes(chunk.payload), chunk.crc)
            elif chunk.type == "A":
                parts.alpha = _alpha(chunk, header, region)
            elif (block := read_ancillary(chunk)) and kind in METADATA_KINDS.values():
                parts.metadata[kind] = block
        except CorruptError as error:
            parts.damage.append(Damage(kind, error))
    if header.has_alpha and parts.alpha is None:
        if all(damage.part != "alpha" for damage in parts.damage):
            parts.damage.append(Damage("alpha", CorruptError("the chunk A is not there")))
        parts.alpha = np.full((region.rows, region.columns), 255, np.uint8)
    return parts


def _alpha(chunk: Chunk, header: Header, region: Rectangle) -> NDArray[np.uint8]:
    packed = checked_payload(chunk, header.pack())
    if region == Rectangle.whole(header.width, header.height):
        return unpack_alpha(packed, header.width, header.height)
    return unpack_alpha_region(packed, header.width, header.height, region)


def _found_chunks(data: bytes, reader: ByteReader, parts: Parts) -> list[Chunk]:
    """Return the chunks in their order, as far as they can be found; note what is missing."""
    header, found = parts.header, []
    begin = reader.offset
    try:
        for chunk in scan(reader, header):
            found.append(chunk)
        return found
    except BitstreamError as error:
        broken = error
    last = found[-1] if found else None
    end = last.offset + last.length if last else begin
    in_front = (last is None or last.tile is None) and data[end : end + 1] != b"Z"
    if last is not None:
        begin = last.offset  # its length may be what is wrong
        if last.type == "Z":
            found.pop()
    rows, columns = tile_counts(header.width, header.height)
    known = [chunk.tile.index for chunk in found if chunk.tile is not None]
    total, next_tile = rows * columns, known[-1] + 1 if known else 0
    if next_tile < total:
        found += _last_tiles(data, begin + 1, header, next_tile)
    there = {chunk.tile.index for chunk in found if chunk.tile is not None}
    missing = [index for index in range(next_tile, total) if index not in there]
    for index in missing:
        tile = tile_at(header.width, header.height, index)
        parts.damage.append(Damage("tile", broken, tile))
    if in_front:
        parts.damage.append(Damage("chunk", broken))
    elif not missing:
        parts.damage.append(Damage("bytes", broken))
    return found


def _last_tiles(data: bytes, begin: int, header: Header, next_tile: int) -> list[Chunk]:
    """Return the chunks of the last tiles: the longest run of pairs to the end of the file.

    The time is bounded whatever the bytes, by the number of chunks that are looked at.
    """
    rows, columns = tile_counts(header.width, header.height)
    total, budget = rows * columns, MAX_SEARCHED_CHUNKS
    at = data.find(b"Z", begin)
    while at >= 0 and budget > 0:
        reader = ByteReader(data)
        reader.offset = at
        pairs, looks_good = 0, True
        while looks_good and reader.left and pairs < total - next_tile:
            looks_good = _skip(reader, "Z") and _skip(reader, "Y")
            pairs, budget = pairs + 1, budget - 1
        if looks_good and not reader.left:
            reader.offset = at
            found = []
            try:
                for index in range(total - pairs, total):
                    tile = tile_at(header.width, header.height, index)
                    found += [read_chunk(reader, header, tile) for _ in "ZY"]
                return found
            except BitstreamError:
                budget -= pairs  # of impossible length for this tile: it was chance
        at = data.find(b"Z", at + 1)
    return []


def _skip(reader: ByteReader, letter: str) -> bool:
    """Pass over a chunk of this type; False if there is none."""
    try:
        if reader.byte("the type of a chunk") != ord(letter):
            return False
        length = reader.varint("a length")
        reader.take(length, "a chunk")
    except BitstreamError:
        return False
    return length % WORD_BYTES == 0

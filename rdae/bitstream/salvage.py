"""Reading a file that may be damaged: all parts that can be found, and a list of what is broken.

Damage inside of a chunk leaves the others where they are. Damage to the framing hides where the
next chunk begins; then the chunks behind it are found again from the end of the file. A tile that
was taken for another never passes: its checksum covers its number.

Of a file that was cut off, the tiles that are not whole are kept as far as they go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.chunk_order import ChunkOrder, last_chunks, whole_size
from rdae.bitstream.chunks import (
    CRC_BYTES,
    METADATA_KINDS,
    Chunk,
    checked_payload,
    scan,
)
from rdae.bitstream.container import Container, TilePayload, check_pixels, read_ancillary
from rdae.bitstream.damage import Cut, Damage
from rdae.bitstream.header import Header, read_header
from rdae.bitstream.payload import unpack_alpha, unpack_alpha_region
from rdae.bitstream.rest import Rest
from rdae.bitstream.tiles import Grid
from rdae.bitstream.varint import ByteReader
from rdae.errors import BitstreamError, CorruptError, TruncatedError, UnsupportedFeatureError
from rdae.geometry import Rectangle
from rdae.limits import MAX_INFO_PIXELS, MAX_PIXELS

__all__ = ["Beginning", "Parts", "read_parts"]

_OTHER_KINDS = {"A": "alpha", "L": "exact"}


@dataclass(frozen=True)
class Beginning:
    """What is there of a tile in a file that was cut off.

    Attributes:
        z: range-coder stream of the hyper-latent.
        is_whole_z: whether that is all of it.
        y: the first bytes of the latent's stream.
    """

    z: bytes
    is_whole_z: bool
    y: bytes


@dataclass(eq=False)
class Parts:
    """The parts of a `.rd` file that are there.

    Attributes:
        header: size, model and flags.
        region: the part of the picture that was asked for.
        tiles: the tiles that were found, by index, of the whole picture. Those with exact pixels
            above a lossy picture are in `exact`.
        beginnings: what there is of other tiles, if the file was cut off.
        cut: where it was, if so.
        alpha: `(region.rows, region.columns)` uint8, None exactly when the header says no alpha;
            255 where it is damaged. Of an undivided picture it is None until that is decoded.
        metadata: the blocks that are there, by "icc", "exif" and "xmp".
        damage: what is broken, as far as can be told without a model.
        rest: of a lossy file that is exact in the end, what the rest of it is; None if there is
            none, or it is damaged.
        exact: the tiles' exact pixels that were found, given the lossy picture, by index.
        exact_damage: the tiles whose exact pixels were not, if there should be any.
    """

    header: Header
    region: Rectangle
    tiles: dict[int, TilePayload] = field(default_factory=dict)
    beginnings: dict[int, Beginning] = field(default_factory=dict)
    cut: Cut | None = None
    alpha: NDArray[np.uint8] | None = None
    metadata: dict[str, bytes] = field(default_factory=dict)
    damage: list[Damage] = field(default_factory=list)
    rest: Rest | None = None
    exact: dict[int, TilePayload] = field(default_factory=dict)
    exact_damage: list[Damage] = field(default_factory=list)

    @classmethod
    def of(cls, container: Container) -> Parts:
        """The parts of a file that is not damaged, as far as its container can tell."""
        header = container.header
        blocks = {kind: getattr(container, kind) for kind in METADATA_KINDS.values()}
        return cls(
            header,
            Rectangle.whole(header.width, header.height),
            dict(enumerate(container.tiles)),
            alpha=container.alpha,
            metadata={kind: block for kind, block in blocks.items() if block},
            rest=container.rest,
            exact=dict(enumerate(container.exact)),
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
    data: bytes,
    *,
    region: Rectangle | None = None,
    max_pixels: int = MAX_PIXELS,
    only_lossy: bool = False,
) -> Parts:
    """Return all parts of a file that can be found.

    Args:
        data: the whole file, or what is left of it.
        region: the part of the picture that is wanted; all of it if None.
        max_pixels: refuse a larger region before anything is allocated for it. Of a picture with
            alpha this counts the whole rows from the first to the region's last, since they
            are inflated from the plane's beginning (unless it is WebP, which is not known yet);
            of an undivided one all of it.
        only_lossy: as of `read_container`.

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
    if header.is_undivided:
        whole = "picture, which must be decoded as a whole,"
        check_pixels(header.width, header.height, max_pixels, what=whole)
    elif header.has_alpha:
        rows = "alpha plane, which must be inflated down to the region's last row,"
        check_pixels(header.width, region.bottom, max_pixels, what=rows)
    parts = Parts(header, region)
    for chunk in _find_tiles(data, reader, parts, only_lossy=only_lossy):
        kind = METADATA_KINDS.get(chunk.type) or _OTHER_KINDS.get(chunk.type, "chunk")
        try:
            if chunk.type == "A":
                parts.alpha = _alpha(chunk, header, region)
            elif chunk.type == "L":
                rest = Rest.checked(chunk, header)
                parts.rest = None if only_lossy else rest
            elif (block := read_ancillary(chunk)) and kind in METADATA_KINDS.values():
                parts.metadata[kind] = block
        except CorruptError as error:
            parts.damage.append(Damage(kind, error))
    if header.has_alpha_chunk and parts.alpha is None:
        if all(damage.part != "alpha" for damage in parts.damage):
            ends = [d.error for d in parts.damage if isinstance(d.error, TruncatedError)]
            missing = ends[0] if ends else CorruptError("the chunk A is not there")
            parts.damage.append(Damage("alpha", missing))
        parts.alpha = np.full((region.rows, region.columns), 255, np.uint8)
    return parts


def _alpha(chunk: Chunk, header: Header, region: Rectangle) -> NDArray[np.uint8]:
    packed = checked_payload(chunk, header.pack())
    if region == Rectangle.whole(header.width, header.height):
        return unpack_alpha(packed, header.width, header.height)
    return unpack_alpha_region(packed, header.width, header.height, region)


def _find_tiles(data: bytes, reader: ByteReader, parts: Parts, *, only_lossy: bool) -> list[Chunk]:
    """Find the tiles of a file, as far as that goes; note what is missing.

    Returns:
        The other chunks that were found.
    """
    front: list[Chunk] = []
    found: dict[tuple[str, int], Chunk] = {}
    begin, broken = reader.offset, None
    end = begin
    try:
        for chunk in scan(reader, parts.header, only_lossy=only_lossy):
            begin, end = chunk.offset, chunk.offset + chunk.length
            if chunk.tile is None:
                front.append(chunk)
            else:
                found[chunk.type, chunk.tile.index] = chunk
    except BitstreamError as error:
        broken = error
    has_rest = any(chunk.type == "L" for chunk in front)
    order = ChunkOrder(parts.header, has_rest=has_rest and not only_lossy)
    in_front = broken is not None and not found and data[end : end + 1] != order.layers[0].encode()
    if broken is not None:
        position = len(found)  # of the chunk that is broken; or the one before has a wrong length
        if not (has_rest and only_lossy):  # of a file whose end is not to be read
            is_begun = isinstance(broken, TruncatedError) and end < len(data)
            is_begun = is_begun and data[end] == ord(order[position][0])
            search = partial(last_chunks, data, begin + 1, parts.header, is_begun=is_begun)
            found |= search(order, found)
            if not (found or has_rest or parts.header.is_lossless):  # what broke may be an L
                found |= search(ChunkOrder(parts.header, has_rest=True), found)
        is_cut = isinstance(broken, TruncatedError) and len(found) == position
        if is_cut and not in_front and not parts.header.is_lossless:
            _keep_beginnings(data, end, parts, order, found)
    grid = Grid.of(parts.header)
    for index in range(order.num_tiles):
        chunks = [found[key] for letter in order.first_layers if (key := (letter, index)) in found]
        tile = grid.tile(index)
        if len(chunks) == len(order.first_layers):
            parts.tiles[index] = TilePayload.of(chunks)
        elif broken is not None:
            is_begun = index in parts.beginnings
            parts.damage.append(Damage("tile", broken, tile, is_partly_there=is_begun))
        if order.layers == order.first_layers:
            continue
        if ("R", index) in found:
            parts.exact[index] = TilePayload.of([found["R", index]])
        elif broken is not None:
            parts.exact_damage.append(Damage("tile", broken, tile))
    if broken is not None and in_front:
        parts.damage.append(Damage("chunk", broken))
    elif broken is not None and not (parts.damage or parts.exact_damage):
        parts.damage.append(Damage("bytes", broken))
    return front


def _keep_beginnings(
    data: bytes, end: int, parts: Parts, order: ChunkOrder, found: Mapping[tuple[str, int], Chunk]
) -> None:
    """Keep what there is of tiles that are not whole, and say how much of the file is there.

    Args:
        data: the file, which breaks off.
        end: where the first chunk begins that is not whole.
        parts: is given the beginnings.
        order: of the tiles' chunks.
        found: those that are whole, by type and tile.
    """
    whole = {key: bytes(chunk.payload) for key, chunk in found.items()}
    letter, tile = order[len(found)]
    reader = ByteReader(data)
    reader.offset = end
    try:
        reader.byte("the type of a chunk")
        length = reader.varint("a length")
    except TruncatedError:
        num_known = len(found)  # it breaks off before the first byte of a body
    else:
        num_known, end = len(found) + 1, reader.offset + length
        rest = data[reader.offset :]
        whole[letter, tile.index] = rest[: length - CRC_BYTES] if letter == "Y" else rest
    for index in range(order.num_tiles):
        is_whole = all((kind, index) in found for kind in order.first_layers)
        if ("Z", index) in whole and not is_whole:
            y = whole.get(("C", index), b"") + whole.get(("Y", index), b"")
            parts.beginnings[index] = Beginning(whole["Z", index], ("Z", index) in found, y)
    parts.cut = Cut(len(data), whole_size(end, num_known, order, found))

"""A whole `.rd` file: parts to bytes, and bytes to parts.

The layout is FORMAT.md's. This module knows no model: the entropy-coded streams of z and y are
handed on as bytes, and their checksum, which is of the decoded symbols, is compared by whoever
decodes them. The stream of y stands in two chunks, C and Y, and is one here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.chunks import (
    CRC_BYTES,
    METADATA_KINDS,
    WORD_BYTES,
    Chunk,
    checked_payload,
    coarse_bytes,
    layers,
    pack_checked,
    pack_chunk,
    scan,
)
from rdae.bitstream.header import Header, read_header
from rdae.bitstream.payload import deflate, inflate, pack_alpha, unpack_alpha
from rdae.bitstream.rest import Rest
from rdae.bitstream.tiles import Grid, symbols_crc
from rdae.bitstream.varint import ByteReader
from rdae.errors import CorruptError, TooLargeError, UnsupportedImageError, grouped, option
from rdae.limits import MAX_INFO_PIXELS, MAX_METADATA_BYTES, MAX_PIXELS

__all__ = [
    "Container",
    "Header",
    "TilePayload",
    "check_pixels",
    "read_ancillary",
    "read_container",
    "symbols_crc",
    "write_container",
]


@dataclass(frozen=True)
class TilePayload:
    """One tile's entropy-coded bytes.

    Attributes:
        z: range-coder stream of the hyper-latent, a multiple of 4 bytes.
        y: range-coder stream of the latent, a multiple of 4 bytes. Of exact pixels what codes
            them, any number of bytes; z is empty.
        crc: `symbols_crc` of the tile, or `pixels_crc`, uint32.
    """

    z: bytes
    y: bytes
    crc: int

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> TilePayload:
        """The payload that all chunks of a tile, in the order of the file, make up."""
        if chunks[0].type == "R":
            return cls(b"", bytes(chunks[0].payload), chunks[0].crc)
        z, *latent = chunks
        return cls(bytes(z.payload), b"".join(c.payload for c in latent), latent[-1].crc)


@dataclass(frozen=True, eq=False)
class Container:
    """The parts of a `.rd` file.

    Attributes:
        header: size, model and flags.
        tiles: one payload a tile, in raster order.
        alpha: `(H, W)` uint8, None exactly when the header says no alpha, or the pixels have it.
        icc: the colour profile, empty for none; like EXIF and XMP at most 8 MiB.
        exif: the EXIF block, empty for none.
        xmp: the XMP packet, empty for none.
        rest: of a lossy file that is exact in the end, what the rest of it is; otherwise None.
        exact: one payload a tile of the pixels given the lossy picture, if there is a rest.
    """

    header: Header
    tiles: tuple[TilePayload, ...]
    alpha: NDArray[np.uint8] | None = None
    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    rest: Rest | None = None
    exact: tuple[TilePayload, ...] = ()


def write_container(container: Container, packed: dict[str, bytes] | None = None) -> bytes:
    """Return the bytes of the file.

    Args:
        container: the parts.
        packed: payloads of alpha and metadata by their chunks' letters, from other files that have
            the same ones; is completed.

    Raises:
        ValueError: the parts contradict each other (a caller's mistake).
        UnsupportedImageError: a metadata block is over its limit.
    """
    header = container.header
    num_tiles = Grid.of(header).num_tiles
    if len(container.tiles) != num_tiles:
        raise ValueError(f"there are {len(container.tiles)} tiles, the picture has {num_tiles}")
    if (container.rest is not None) != bool(container.exact) or (
        container.rest and header.is_lossless
    ):
        raise ValueError("exact pixels and what they are contradict each other")
    if container.exact and len(container.exact) != len(container.tiles):
        raise ValueError("some tiles have exact pixels and others have not")
    packed = {} if packed is None else packed
    out = [header.pack_with_check()]
    if container.rest is not None:
        out.append(container.rest.pack(header))
    for letter, kind in METADATA_KINDS.items():
        data: bytes = getattr(container, kind)
        if len(data) > MAX_METADATA_BYTES:
            raise UnsupportedImageError(
                f"the {kind.upper()} block has {grouped(len(data))} bytes, "
                f"a .rd file holds at most {grouped(MAX_METADATA_BYTES)}",
                hint=f"leave it out: --strip {kind} (in Python, take it out of the image's info)",
            )
        if data:
            packed[letter] = packed.get(letter) or deflate(data)
            out.append(pack_checked(letter, packed[letter]))
    if header.has_alpha_chunk != (container.alpha is not None):
        raise ValueError("the alpha plane and the header's alpha flag contradict each other")
    if container.alpha is not None:
        if container.alpha.shape != (header.height, header.width):
            raise ValueError(
                f"the alpha plane is {container.alpha.shape}, "
                f"the picture is {(header.height, header.width)}"
            )
        packed["A"] = packed.get("A") or pack_alpha(container.alpha)
        out.append(pack_checked("A", packed["A"], header.pack()))
    if header.is_lossless:
        return b"".join(out + _pixel_chunks(container.tiles))
    for tile in container.tiles:
        if len(tile.z) % WORD_BYTES or len(tile.y) % WORD_BYTES:
            raise ValueError("a tile's stream is not a whole number of words")
    has_coarse = "C" in layers(len(container.tiles))
    for letter in layers(len(container.tiles)):
        for tile in container.tiles:
            begin = coarse_bytes(len(tile.y)) if has_coarse else 0
            body = {
                "Z": tile.z,
                "C": tile.y[:begin],
                "Y": tile.y[begin:] + tile.crc.to_bytes(CRC_BYTES, "little"),
            }
            out.append(pack_chunk(letter, body[letter]))
    return b"".join(out + _pixel_chunks(container.exact))


def _pixel_chunks(tiles: Sequence[TilePayload]) -> list[bytes]:
    return [pack_chunk("R", tile.y + tile.crc.to_bytes(CRC_BYTES, "little")) for tile in tiles]


def read_container(
    data: bytes, *, max_pixels: int = MAX_PIXELS, only_lossy: bool = False
) -> Container:
    """Return the parts of a file, with everything checked that needs no model.

    Checked are structure, lengths and the checksums of header, alpha and metadata. The tiles'
    checksums are of the decoded symbols and are left to the caller.

    Args:
        data: the whole file.
        max_pixels: refuse a larger picture before anything is allocated for it.
        only_lossy: leave out the rest of a file that has a lossy picture first; what is behind
            that is not read.

    Raises:
        BitstreamError: the bytes are not a valid file of this version.
        TooLargeError: width * height is over `max_pixels`.
    """
    reader = ByteReader(data)
    header = read_header(reader)
    check_pixels(header.width, header.height, max_pixels)
    alpha: NDArray[np.uint8] | None = None
    metadata: dict[str, Any] = {}
    of_tiles: dict[str, list[Chunk]] = {"Z": [], "C": [], "Y": [], "R": []}
    rest: Rest | None = None
    # The walk comes first: a file that breaks off late is refused before its front is inflated.
    for chunk in list(scan(reader, header, only_lossy=only_lossy)):
        if chunk.tile is not None:
            of_tiles[chunk.type].append(chunk)
        elif chunk.type == "A":
            packed = checked_payload(chunk, header.pack())
            alpha = unpack_alpha(packed, header.width, header.height)
        elif chunk.type == "L":
            rest = Rest.checked(chunk, header)
        else:
            block = read_ancillary(chunk)
            if kind := METADATA_KINDS.get(chunk.type):
                metadata[kind] = block
    pixels = tuple(TilePayload.of([chunk]) for chunk in of_tiles.pop("R"))
    if header.is_lossless:
        return Container(header=header, tiles=pixels, alpha=alpha, **metadata)
    layers_of_tiles = [some for some in of_tiles.values() if some]
    tiles = tuple(TilePayload.of(chunks) for chunks in zip(*layers_of_tiles, strict=True))
    return Container(
        header=header,
        tiles=tiles,
        alpha=alpha,
        rest=rest if pixels else None,
        exact=pixels,
        **metadata,
    )


def check_pixels(width: int, height: int, limit: int, *, what: str = "picture") -> None:
    """Refuse what has too many pixels, before anything is allocated for it.

    Raises:
        TooLargeError: width * height is over the limit.
    """
    pixels = width * height
    if pixels > limit:
        way_out = f"if you trust the file: {option('max_pixels', pixels)}"
        raise TooLargeError(
            f"the {what} has {width} x {height} = {grouped(pixels)} pixels, "
            f"the limit is {grouped(limit)}",
            hint=way_out if limit < MAX_INFO_PIXELS else "",  # from there on no option helps
        )


def read_ancillary(chunk: Chunk) -> bytes:
    """Return the ICC, EXIF or XMP block that a chunk holds; b"" of an unknown ancillary chunk.

    Raises:
        CorruptError: the checksum does not match, or the block is not as FORMAT.md says.
    """
    payload = checked_payload(chunk)
    if chunk.type not in METADATA_KINDS:
        return b""
    data = inflate(payload, MAX_METADATA_BYTES, chunk.name)
    if not data:
        raise CorruptError(f"{chunk.name} is empty, an absent block has no chunk")
    return data

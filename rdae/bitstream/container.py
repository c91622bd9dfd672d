"""A whole `.rd` file: parts to bytes, bytes to parts, and a summary of its bytes.

The layout is FORMAT.md's. This module knows no model: the entropy-coded bodies of Z and Y are
handed on as bytes, and their checksum, which is of the decoded symbols, is compared by whoever
decodes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.chunks import (
    CRC_BYTES,
    METADATA_KINDS,
    WORD_BYTES,
    Chunk,
    checked_payload,
    pack_checked,
    pack_chunk,
    scan,
)
from rdae.bitstream.header import MAGIC, VERSION, Header, read_header
from rdae.bitstream.payload import deflate, inflate, pack_alpha, unpack_alpha
from rdae.bitstream.tiles import Tile, symbols_crc, tile_counts, tile_grid
from rdae.bitstream.varint import ByteReader, grouped, pack_varint
from rdae.errors import CorruptError, TooLargeError, UnsupportedImageError, option
from rdae.limits import (
    MAX_INFO_PIXELS,
    MAX_LISTED_TILES,
    MAX_METADATA_BYTES,
    MAX_PIXELS,
)

__all__ = [
    "Container",
    "Field",
    "Header",
    "Info",
    "Tile",
    "TilePayload",
    "check_pixels",
    "parse_info",
    "read_ancillary",
    "read_container",
    "symbols_crc",
    "tile_grid",
    "write_container",
]


@dataclass(frozen=True)
class TilePayload:
    """One tile's entropy-coded bytes.

    Attributes:
        z: range-coder stream of the hyper-latent, a multiple of 4 bytes.
        y: range-coder stream of the latent, a multiple of 4 bytes.
        crc: `symbols_crc` of the tile, uint32.
    """

    z: bytes
    y: bytes
    crc: int


@dataclass(frozen=True, eq=False)
class Container:
    """The parts of a `.rd` file.

    Attributes:
        header: size, model and flags.
        tiles: one payload a tile, in raster order.
        alpha: `(H, W)` uint8, None exactly when the header says no alpha.
        icc: the colour profile, empty for none; like EXIF and XMP at most 8 MiB.
        exif: the EXIF block, empty for none.
        xmp: the XMP packet, empty for none.
    """

    header: Header
    tiles: tuple[TilePayload, ...]
    alpha: NDArray[np.uint8] | None = None
    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""


def write_container(container: Container) -> bytes:
    """Return the bytes of the file.

    Raises:
        ValueError: the parts contradict each other (a caller's mistake).
        UnsupportedImageError: a metadata block is over its limit.
    """
    header = container.header
    rows, columns = tile_counts(header.width, header.height)
    if len(container.tiles) != rows * columns:
        raise ValueError(
            f"there are {len(container.tiles)} tiles, the picture has {rows * columns}"
        )
    out = [header.pack_with_check()]
    for letter, kind in METADATA_KINDS.items():
        data: bytes = getattr(container, kind)
        if len(data) > MAX_METADATA_BYTES:
            raise UnsupportedImageError(
                f"the {kind.upper()} block has {grouped(len(data))} bytes, "
                f"a .rd file holds at most {grouped(MAX_METADATA_BYTES)}",
                hint=f"leave it out: --strip {kind} (in Python, take it out of the image's info)",
            )
        if data:
            out.append(pack_checked(letter, deflate(data)))
    if header.has_alpha != (container.alpha is not None):
        raise ValueError("the alpha plane and the header's alpha flag contradict each other")
    if container.alpha is not None:
        if container.alpha.shape != (header.height, header.width):
            raise ValueError(
                f"the alpha plane is {container.alpha.shape}, "
                f"the picture is {(header.height, header.width)}"
            )
        out.append(pack_checked("A", pack_alpha(container.alpha), header.pack()))
    for tile in container.tiles:
        if len(tile.z) % WORD_BYTES or len(tile.y) % WORD_BYTES:
            raise ValueError("a tile's stream is not a whole number of words")
        out.append(pack_chunk("Z", tile.z))
        out.append(pack_chunk("Y", tile.y + tile.crc.to_bytes(CRC_BYTES, "little")))
    return b"".join(out)


def read_container(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Container:
    """Return the parts of a file, with everything checked that needs no model.

    Checked are structure, lengths and the checksums of header, alpha and metadata. The tiles'
    checksums are of the decoded symbols and are left to the caller.

    Args:
        data: the whole file.
        max_pixels: refuse a larger picture before anything is allocated for it.

    Raises:
        BitstreamError: the bytes are not a valid file of this version.
        TooLargeError: width * height is over `max_pixels`.
    """
    reader = ByteReader(data)
    header = read_header(reader)
    check_pixels(header.width, header.height, max_pixels)
    alpha: NDArray[np.uint8] | None = None
    metadata: dict[str, bytes] = {}
    tiles: list[TilePayload] = []
    z = b""
    # The walk comes first: a file that breaks off late is refused before its front is inflated.
    for chunk in list(scan(reader, header)):
        if chunk.type == "Z":
            z = bytes(chunk.payload)
        elif chunk.type == "Y":
            tiles.append(TilePayload(z=z, y=bytes(chunk.payload), crc=chunk.crc))
        elif chunk.type == "A":
            packed = checked_payload(chunk, header.pack())
            alpha = unpack_alpha(packed, header.width, header.height)
        else:
            block = read_ancillary(chunk)
            if kind := METADATA_KINDS.get(chunk.type):
                metadata[kind] = block
    return Container(header=header, tiles=tuple(tiles), alpha=alpha, **metadata)


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


@dataclass(frozen=True)
class Field:
    """A run of bytes of a file and its meaning.

    Attributes:
        offset: of the first byte.
        length: in bytes.
        name: what it is.
        value: what it says, readable.
    """

    offset: int
    length: int
    name: str
    value: str


@dataclass(frozen=True)
class Info:
    """What a file's framing tells, without a model and without inflating anything.

    Attributes:
        width, height: pixels.
        has_alpha, is_grey: the header's flags.
        version: of the bitstream.
        model_id: permanent number of the model.
        fingerprint: of the model's decoder, 8 hex digits.
        quality_point: 0 to 255.
        tile_columns, tile_rows: of the grid of tiles.
        file_bytes: the sum of the following five.
        header_bytes: header, framing of chunks, checksums, unknown ancillary chunks.
        z_bytes, y_bytes: range-coder streams.
        alpha_bytes: filter byte and zlib stream.
        metadata_bytes: zlib streams of ICC, EXIF and XMP.
        metadata: kind ("icc", "exif", "xmp") -> stored bytes, of the kinds that are there.
        fields: runs of bytes that cover the file from its first byte to its last, without gaps.
    """

    width: int
    height: int
    has_alpha: bool
    is_grey: bool
    version: int
    model_id: int
    fingerprint: str
    quality_point: int
    tile_columns: int
    tile_rows: int
    file_bytes: int
    header_bytes: int
    z_bytes: int
    y_bytes: int
    alpha_bytes: int
    metadata_bytes: int
    metadata: dict[str, int]
    fields: tuple[Field, ...]

    @property
    def bpp(self) -> float:
        """Bits per pixel of the whole file."""
        return 8 * self.file_bytes / (self.width * self.height)

    @property
    def quality(self) -> float:
        """The quality point on the scale of 0 to 100, to hundredths."""
        return round(self.quality_point / 2.55, 2)


def parse_info(data: bytes) -> Info:
    """Return the summary of a file.

    Structure and the header's checksum are checked; bodies are neither checksummed nor inflated, so
    the cost is that of a walk from chunk to chunk: nothing for real pictures, and bounded for files
    that claim millions of tiny tiles.

    Raises:
        BitstreamError: the framing is not that of a valid file of this version.
        TooLargeError: the picture has more than 2^36 pixels.
    """
    reader = ByteReader(data)
    header = read_header(reader)
    check_pixels(header.width, header.height, MAX_INFO_PIXELS)
    fields = list(_header_fields(header))
    sizes = {"Z": 0, "Y": 0, "A": 0}
    metadata: dict[str, int] = {}
    for chunk in scan(reader, header):
        stored = len(chunk.payload)
        if chunk.type in sizes:
            sizes[chunk.type] += stored
        elif kind := METADATA_KINDS.get(chunk.type):
            metadata[kind] = stored
        # The list must not grow with a hostile file of millions of tiny tiles.
        if chunk.tile is None or chunk.tile.index < MAX_LISTED_TILES:
            fields.append(Field(chunk.offset, chunk.length, chunk.name, _chunk_value(chunk)))
    listed = fields[-1].offset + fields[-1].length
    rows, columns = tile_counts(header.width, header.height)
    if listed < len(data):
        last = rows * columns - 1
        name = f"chunks Z and Y of tiles {MAX_LISTED_TILES} to {last}"
        fields.append(Field(listed, len(data) - listed, name, "not listed one by one"))
    metadata_bytes = sum(metadata.values())
    return Info(
        width=header.width,
        height=header.height,
        has_alpha=header.has_alpha,
        is_grey=header.is_grey,
        version=VERSION,
        model_id=header.model_id,
        fingerprint=header.fingerprint.hex(),
        quality_point=header.quality_point,
        tile_columns=columns,
        tile_rows=rows,
        file_bytes=len(data),
        header_bytes=len(data) - sum(sizes.values()) - metadata_bytes,
        z_bytes=sizes["Z"],
        y_bytes=sizes["Y"],
        alpha_bytes=sizes["A"],
        metadata_bytes=metadata_bytes,
        metadata=metadata,
        fields=tuple(fields),
    )


def _header_fields(header: Header) -> Iterator[Field]:
    flags = ["grey"] * header.is_grey + ["alpha"] * header.has_alpha
    check = header.pack_with_check()[-2:]
    offset = 0
    for length, name, value in (
        (len(MAGIC), "magic", MAGIC.hex(" ")),
        (1, "version and flags", ", ".join([f"version {VERSION}", *flags])),
        (1, "model id", str(header.model_id)),
        (4, "fingerprint", header.fingerprint.hex()),
        (1, "quality point", f"{header.quality_point} (quality {header.quality_point / 2.55:.1f})"),
        (len(pack_varint(header.width)), "width", str(header.width)),
        (len(pack_varint(header.height)), "height", str(header.height)),
        (len(check), "header check", check[::-1].hex()),
    ):
        yield Field(offset, length, name, value)
        offset += length


_MEANING = {"Z": "hyper-latent", "Y": "latent", "A": "alpha plane"}


def _chunk_value(chunk: Chunk) -> str:
    """Describe a chunk in one line."""
    meaning = _MEANING.get(chunk.type) or METADATA_KINDS.get(chunk.type, "unknown").upper()
    parts = [f"{meaning}, {grouped(len(chunk.payload))} bytes"]
    if chunk.tile is not None:
        parts.append(f"{chunk.tile.rows} x {chunk.tile.columns} latent cells")
    if chunk.type != "Z":
        parts.append(f"CRC-32 {chunk.crc:08x}")
    return ", ".join(parts)

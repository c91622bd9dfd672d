"""What the bytes of a `.rd` file are, told by its framing alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rdae.bitstream.chunks import METADATA_KINDS, PIXEL_METHODS, Chunk, scan
from rdae.bitstream.container import check_pixels
from rdae.bitstream.header import MAGIC, VERSION, Header, read_header
from rdae.bitstream.rest import Rest
from rdae.bitstream.tiles import Grid
from rdae.bitstream.varint import ByteReader, pack_varint
from rdae.errors import grouped
from rdae.limits import MAX_INFO_PIXELS, MAX_LISTED_TILES
from rdae.scales import point_to_quality

__all__ = ["Field", "Info", "parse_info"]


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
        has_alpha, is_grey, is_neutral: the header's flags.
        version: of the bitstream.
        model_id: permanent number of the model; of the lossy one if there is a `rest`.
        fingerprint: of the model's decoder, 8 hex digits.
        is_lossless: the pixels are exact, or within `max_error`.
        rest: of a file with a lossy picture first, what its exact pixels are made by; None of
            files that have only one of both.
        quality_point: 0 to 255; of a lossless file without a lossy picture its largest error.
        tile_columns, tile_rows: of the grid of tiles.
        is_undivided: a lossless file has all of the picture, and any alpha, in one piece.
        file_bytes: the sum of the following six.
        header_bytes: header, framing of chunks, checksums, a chunk L, unknown ancillary chunks.
        z_bytes, y_bytes: range-coder streams; y is that of chunks C and Y.
        pixel_bytes: what codes the pixels of a lossless file, given its lossy picture if it has
            one; 0 of others.
        methods: what codes the tiles of a lossless file ("network", "WebP") -> how many tiles.
        alpha_bytes: filter byte and samples; 0 of an undivided file, whose pixels have it.
        metadata_bytes: zlib streams of ICC, EXIF and XMP.
        metadata: kind ("icc", "exif", "xmp") -> stored bytes, of the kinds that are there.
        fields: runs of bytes that cover the file from its first byte to its last, without gaps.
    """

    width: int
    height: int
    has_alpha: bool
    is_grey: bool
    is_neutral: bool
    is_lossless: bool
    rest: Rest | None
    version: int
    model_id: int
    fingerprint: str
    quality_point: int
    tile_columns: int
    tile_rows: int
    is_undivided: bool
    file_bytes: int
    header_bytes: int
    z_bytes: int
    y_bytes: int
    pixel_bytes: int
    methods: dict[str, int]
    alpha_bytes: int
    metadata_bytes: int
    metadata: dict[str, int]
    fields: tuple[Field, ...]

    @property
    def bpp(self) -> float:
        """Bits per pixel of the whole file."""
        return 8 * self.file_bytes / (self.width * self.height)

    @property
    def bits_per_subpixel(self) -> float | None:
        """Bits of each sample, three a pixel or one of grey; None of lossy files.

        Those of a lossy picture that comes first are counted, and those of alpha where it stands
        with the pixels.
        """
        samples = self.width * self.height * (1 if self.is_grey else 3)
        coded = self.z_bytes + self.y_bytes + self.pixel_bytes
        return 8 * coded / samples if self.is_lossless else None

    @property
    def quality(self) -> float:
        """The quality point on the scale of 0 to 100, to hundredths; 100 where `is_lossless`."""
        return 100.0 if self.is_lossless else point_to_quality(self.quality_point)

    @property
    def max_error(self) -> int | None:
        """How far a sample may be from the original: 0 of exact files, None of lossy ones."""
        if self.rest is not None:
            return self.rest.max_error
        return self.quality_point if self.is_lossless else None

    @property
    def base_quality(self) -> float | None:
        """The quality of the lossy picture that a lossless file has first, None if it has none."""
        return None if self.rest is None else point_to_quality(self.quality_point)


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
    sizes = {"Z": 0, "C": 0, "Y": 0, "R": 0, "A": 0}
    metadata: dict[str, int] = {}
    methods = dict.fromkeys(PIXEL_METHODS.values(), 0)
    rest: Rest | None = None
    grid = Grid.of(header)
    last_tile = grid.num_tiles - 1
    for chunk in scan(reader, header):
        stored = len(chunk.payload)
        if chunk.type in sizes:
            sizes[chunk.type] += stored
            if chunk.type == "R":
                method = _method(chunk)
                methods[method] = methods.get(method, 0) + 1
        elif chunk.type == "L":
            rest = Rest.of(chunk)
        elif kind := METADATA_KINDS.get(chunk.type):
            metadata[kind] = stored
        # The list must not grow with a hostile file of millions of tiny tiles.
        if chunk.tile is None or chunk.tile.index < MAX_LISTED_TILES:
            fields.append(Field(chunk.offset, chunk.length, chunk.name, _chunk_value(chunk)))
        elif chunk.tile.index == last_tile:
            name = f"chunks {chunk.type} of tiles {MAX_LISTED_TILES} to {last_tile}"
            listed = fields[-1].offset + fields[-1].length
            length = chunk.offset + chunk.length - listed
            fields.append(Field(listed, length, name, "not listed one by one"))
    metadata_bytes = sum(metadata.values())
    return Info(
        width=header.width,
        height=header.height,
        has_alpha=header.has_alpha,
        is_grey=header.is_grey,
        is_neutral=header.is_neutral,
        is_lossless=header.is_lossless or rest is not None,
        rest=rest,
        version=VERSION,
        model_id=header.model_id,
        fingerprint=header.fingerprint.hex(),
        quality_point=header.quality_point,
        tile_columns=grid.columns,
        tile_rows=grid.rows,
        is_undivided=header.is_undivided,
        file_bytes=len(data),
        header_bytes=len(data) - sum(sizes.values()) - metadata_bytes,
        z_bytes=sizes["Z"],
        y_bytes=sizes["C"] + sizes["Y"],
        pixel_bytes=sizes["R"],
        methods=methods if header.is_lossless or rest is not None else {},
        alpha_bytes=sizes["A"],
        metadata_bytes=metadata_bytes,
        metadata=metadata,
        fields=tuple(fields),
    )


def _header_fields(header: Header) -> Iterator[Field]:
    flags = ["grey"] * header.is_grey + ["neutral"] * header.is_neutral
    flags += ["alpha"] * header.has_alpha + ["lossless"] * header.is_lossless
    value = f"{header.quality_point} (quality {point_to_quality(header.quality_point):.1f})"
    point = ("quality point", value)
    if header.is_lossless:
        undivided = ", undivided" * header.is_undivided
        point = ("largest error", f"{header.quality_point} of 255{undivided}")
    check = header.pack_with_check()[-2:]
    offset = 0
    for length, name, value in (
        (len(MAGIC), "magic", MAGIC.hex(" ")),
        (1, "version and flags", ", ".join([f"version {VERSION}", *flags])),
        (1, "model id", str(header.model_id)),
        (4, "fingerprint", header.fingerprint.hex()),
        (1, *point),
        (len(pack_varint(header.width)), "width", str(header.width)),
        (len(pack_varint(header.height)), "height", str(header.height)),
        (len(check), "header check", check[::-1].hex()),
    ):
        yield Field(offset, length, name, value)
        offset += length


_MEANING = {
    "Z": "hyper-latent",
    "C": "beginning of the latent",
    "Y": "latent",
    "R": "pixels",
    "A": "alpha plane",
    "L": "how the lossy picture becomes exact",
}


def _method(chunk: Chunk) -> str:
    """What codes the pixels of a chunk R."""
    return PIXEL_METHODS.get(chunk.payload[0], "unknown") if chunk.payload else "unknown"


def _chunk_value(chunk: Chunk) -> str:
    """Describe a chunk in one line."""
    meaning = _MEANING.get(chunk.type) or METADATA_KINDS.get(chunk.type, "unknown").upper()
    parts = [f"{meaning}, {grouped(len(chunk.payload))} bytes"]
    if chunk.type == "L":
        rest = Rest.of(chunk)
        parts.append(f"model id {rest.model_id}, fingerprint {rest.fingerprint.hex()}")
        parts.append(f"largest error {rest.max_error} of 255")
    if chunk.type == "R":
        parts.append(f"method {_method(chunk)}")
    elif chunk.tile is not None:
        parts.append(f"{chunk.tile.rows} x {chunk.tile.columns} latent cells")
    if chunk.type not in "ZC":
        parts.append(f"CRC-32 {chunk.crc:08x}")
    return ", ".join(parts)

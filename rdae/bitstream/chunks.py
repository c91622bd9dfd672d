"""Framing of chunks, and the one pass over a file that every reader makes (FORMAT.md, Chunks).

`scan` judges everything that can be judged without inflating, decoding or checksumming a body:
types, order, number and length. Bodies come out as views of the file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rdae.bitstream.header import Header
from rdae.bitstream.tiles import Grid, Tile
from rdae.bitstream.varint import ByteReader, pack_varint
from rdae.errors import CorruptError, TruncatedError, UnsupportedFeatureError, grouped, option
from rdae.limits import (
    MAX_ANCILLARY_CHUNKS,
    MAX_CHANNELS,
    MAX_METADATA_BYTES,
    max_deflated_bytes,
    max_pixel_bytes,
    max_stream_bytes,
)

__all__ = [
    "COARSE_SHARE",
    "CRC_BYTES",
    "METADATA_KINDS",
    "PIXEL_METHODS",
    "REST_BYTES",
    "WORD_BYTES",
    "Chunk",
    "checked_payload",
    "coarse_bytes",
    "layers",
    "pack_checked",
    "pack_chunk",
    "read_chunk",
    "scan",
]

CRC_BYTES = 4
WORD_BYTES = 4
PIXEL_METHODS = {0: "network", 1: "WebP"}  # by the first byte of a chunk R
REST_BYTES = 6  # of the fields of a chunk L
COARSE_SHARE = 8  # one word in so many of a tile's latent stands before the others
_KNOWN_CRITICAL = "ALZCYR"
METADATA_KINDS = {"i": "icc", "e": "exif", "x": "xmp"}  # chunk type -> name in the Python interface


@dataclass(frozen=True)
class Chunk:
    """A chunk as it stands in the file.

    Attributes:
        type: one ASCII letter.
        tile: the tile that it belongs to, None for chunks of the whole picture.
        offset: of the type byte.
        body: all bytes after type and length, any checksum included.
        length: of the whole chunk, framing included.
    """

    type: str
    tile: Tile | None
    offset: int
    body: memoryview
    length: int

    @property
    def name(self) -> str:
        """The chunk's name in messages."""
        return f"chunk {self.type}" + (f" of tile {self.tile.index}" if self.tile else "")

    @property
    def payload(self) -> memoryview:
        """The body without its checksum (Z and C have none)."""
        return self.body if self.type in "ZC" else self.body[:-CRC_BYTES]

    @property
    def crc(self) -> int:
        """The CRC-32 that ends the body."""
        return int.from_bytes(self.body[-CRC_BYTES:], "little")


def layers(num_tiles: int, *, is_lossless: bool = False, has_rest: bool = False) -> str:
    """Return the types of a tile's chunks, in the order in which they stand in the file.

    The chunks of one type stand together, in raster order of tiles: first a rough picture of all
    tiles, then all that is left of them. With one tile there is nothing to wait for between.

    Args:
        num_tiles: of the picture.
        is_lossless: the header's flag: there are pixels and no latents.
        has_rest: there is a chunk L: the latents are followed by pixels.
    """
    if is_lossless:
        return "R"
    return ("ZCY" if num_tiles > 1 else "ZY") + "R" * has_rest


def coarse_bytes(stream_bytes: int) -> int:
    """Return how many bytes of a tile's latent, a multiple of 4, stand in its chunk C."""
    return WORD_BYTES * -(-stream_bytes // (WORD_BYTES * COARSE_SHARE))


def pack_chunk(letter: str, body: bytes) -> bytes:
    """Return type, length and body."""
    return letter.encode("ascii") + pack_varint(len(body)) + body


def pack_checked(letter: str, payload: bytes, prefix: bytes = b"") -> bytes:
    """Return a chunk whose body is `payload` and the CRC-32 of (type, prefix, payload)."""
    crc = zlib.crc32(payload, zlib.crc32(letter.encode("ascii") + prefix))
    return pack_chunk(letter, payload + crc.to_bytes(CRC_BYTES, "little"))


def checked_payload(chunk: Chunk, prefix: bytes = b"") -> memoryview:
    """Return the payload after comparing its CRC-32.

    Raises:
        CorruptError: the CRC-32 of (type, prefix, payload) is not the one in the file.
    """
    crc = zlib.crc32(chunk.payload, zlib.crc32(chunk.type.encode("ascii") + prefix))
    if crc != chunk.crc:
        raise CorruptError(  # what is so checked stands before the tiles, which may be whole
            f"{chunk.name} has checksum {crc:08x}, the file says {chunk.crc:08x}",
            hint=f"copy or download it again; {option('best_effort')} saves what is left",
        )
    return chunk.payload


def scan(reader: ByteReader, header: Header, *, only_lossy: bool = False) -> Iterator[Chunk]:
    """Yield the chunks after the header, each one judged before it is yielded.

    Args:
        reader: stands behind the header.
        header: of the file.
        only_lossy: in a file with a chunk L, stop where its lossy picture ends.

    Raises:
        TruncatedError: the file ends before its last chunk.
        CorruptError: a chunk is missing, doubled, misplaced or of impossible length, or bytes
            follow the last one.
        UnsupportedFeatureError: a critical chunk of unknown type.
    """
    grid = Grid.of(header)
    has_rest = False
    for chunk in _scan_front(reader, header):
        has_rest |= chunk.type == "L"
        yield chunk
    order = layers(
        grid.num_tiles,
        is_lossless=header.is_lossless,
        has_rest=has_rest and not only_lossy,
    )
    yield from _scan_tiles(reader, header, order, grid)
    if reader.left and not (has_rest and only_lossy):
        _reject_unknown_critical(chr(reader.data[reader.offset]))
        raise CorruptError(
            f"there are bytes after the end of the picture: {grouped(reader.left)}",
            hint=f"the picture may be whole all the same: {option('best_effort')} decodes it",
        )


def _scan_tiles(reader: ByteReader, header: Header, order: str, grid: Grid) -> Iterator[Chunk]:
    """Yield the chunks of the tiles."""
    coarse: dict[int, int] = {}
    for letter in order:
        for index in range(grid.num_tiles):
            tile = grid.tile(index)
            try:
                chunk = _expect(reader, header, letter, tile, coarse)
            except (CorruptError, TruncatedError) as error:
                if way := _way_out(error, letter, header, grid.num_tiles):
                    error.hint = f"{error.hint}; {way}"
                raise
            if letter == "C":
                coarse[index] = len(chunk.body)
            yield chunk


def _way_out(
    error: CorruptError | TruncatedError, letter: str, header: Header, num_tiles: int
) -> str:
    """What can be had of a file whose framing ends or breaks at a chunk of this type."""
    if letter == "R" and not header.is_lossless:
        lossy, rest = option("lossy"), option("best_effort")
        return f"{lossy} shows the lossy picture, {rest} all that is left"
    if isinstance(error, TruncatedError) and not header.is_lossless:
        return f"{option('best_effort')} shows what is there"
    if num_tiles == 1:
        return ""  # of whose only tile nothing is left
    return f"{option('best_effort')} saves what is left"


def _scan_front(reader: ByteReader, header: Header) -> Iterator[Chunk]:
    """Yield the chunks before the first tile."""
    seen: list[str] = []
    first = layers(1, is_lossless=header.is_lossless)[0]
    while reader.left and (letter := chr(reader.data[reader.offset])) != first:
        if letter in "ZCYR":
            raise CorruptError(f"chunk {letter} of tile 0 stands where its chunk {first} should be")
        if letter == "A" and not header.has_alpha_chunk:
            where = "the pixels have it" if header.has_alpha else "the header says no alpha"
            raise CorruptError(f"there is a chunk A, but {where}")
        if letter == "L" and header.is_lossless:
            raise CorruptError("there is a chunk L, but the header says no lossy picture")
        if letter not in "AL":
            _reject_unknown_critical(letter)
            _reject_non_letter(letter, reader.offset)
        if letter in seen and (letter in "AL" or letter in METADATA_KINDS):
            raise CorruptError(f"there is more than one chunk {letter}")
        if sum(map(str.islower, seen)) == MAX_ANCILLARY_CHUNKS and letter not in "AL":
            raise CorruptError(f"there are more than {MAX_ANCILLARY_CHUNKS} ancillary chunks")
        seen.append(letter)
        yield read_chunk(reader, header, None)
    if header.has_alpha_chunk and "A" not in seen and reader.left:
        raise CorruptError("the header says alpha, but there is no chunk A before the first tile")


def _expect(
    reader: ByteReader, header: Header, letter: str, tile: Tile, coarse: Mapping[int, int]
) -> Chunk:
    """Read the chunk that must come now."""
    wanted = f"chunk {letter} of tile {tile.index}"
    if not reader.left:
        raise TruncatedError(f"the file ends where {wanted} should begin")
    got = chr(reader.data[reader.offset])
    if got != letter:
        _reject_unknown_critical(got)
        _reject_non_letter(got, reader.offset)
        raise CorruptError(f"there is a chunk {got} where {wanted} should be")
    return read_chunk(reader, header, tile, coarse.get(tile.index))


def _reject_unknown_critical(letter: str) -> None:
    if "A" <= letter <= "Z" and letter not in _KNOWN_CRITICAL:
        raise UnsupportedFeatureError(
            f"the file needs a feature (chunk {letter}) that this rdae does not know",
            hint="install a newer rdae",
        )


def _reject_non_letter(letter: str, offset: int) -> None:
    if not (letter.isascii() and letter.isalpha()):
        raise CorruptError(
            f"the byte {ord(letter):02x} at offset {grouped(offset)} is not the type of a chunk"
        )


def read_chunk(
    reader: ByteReader, header: Header, tile: Tile | None, coarse: int | None = None
) -> Chunk:
    """Read type, length and body; judge the length before the body is touched.

    Args:
        reader: stands where the chunk begins.
        header: of the file.
        tile: that the chunk belongs to, None for chunks of the whole picture.
        coarse: of a Y the length of the same tile's C, None if there is none.

    Raises:
        TruncatedError: the file ends inside of the chunk.
        CorruptError: its length is illegal for its type.
    """
    offset = reader.offset
    letter = chr(reader.byte("the type of a chunk"))
    name = f"chunk {letter}" + (f" of tile {tile.index}" if tile else "")
    length = reader.varint(f"the length of {name}")
    low, high = _length_bounds(letter, header, tile, coarse)
    if not low <= length <= (high if high is not None else length):
        raise CorruptError(
            f"the length of {name} is {grouped(length)}, it must be {grouped(low)}"
            + ("" if low == high else " or more" if high is None else f" to {grouped(high)}")
        )
    if tile and letter != "R" and length % WORD_BYTES:
        raise CorruptError(
            f"the length of {name} is {grouped(length)}, not a multiple of {WORD_BYTES}"
        )
    body = reader.take(length, name)
    return Chunk(type=letter, tile=tile, offset=offset, body=body, length=reader.offset - offset)


def _length_bounds(
    letter: str, header: Header, tile: Tile | None, coarse: int | None
) -> tuple[int, int | None]:
    """Return the least and the greatest legal body length."""
    if tile and letter == "R":
        pixels = tile.pixels(header.width, header.height).area
        return 1 + CRC_BYTES, 1 + CRC_BYTES + max_pixel_bytes(pixels)
    if tile and letter == "Z":
        return 0, max_stream_bytes(tile.hyper_rows * tile.hyper_columns * MAX_CHANNELS)
    if tile:
        whole = max_stream_bytes(tile.rows * tile.columns * MAX_CHANNELS)
        if letter == "C":
            return 0, coarse_bytes(whole)
        if coarse is None:
            return CRC_BYTES, CRC_BYTES + whole
        rest = (COARSE_SHARE - 1) * coarse  # that of C is an eighth of all words, rounded up
        return CRC_BYTES + max(0, rest - (COARSE_SHARE - 1) * WORD_BYTES), CRC_BYTES + rest
    if letter == "A":
        samples = header.width * header.height
        return 1 + CRC_BYTES, 1 + CRC_BYTES + max_deflated_bytes(samples)
    if letter == "L":
        return REST_BYTES + CRC_BYTES, REST_BYTES + CRC_BYTES
    if letter in METADATA_KINDS:
        return CRC_BYTES, CRC_BYTES + max_deflated_bytes(MAX_METADATA_BYTES)
    return CRC_BYTES, None

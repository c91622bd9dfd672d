"""A .rd file as its parts, each of which may be given any value, legal or not.

Random bytes die at the first checksum. `assemble` repairs what was not meant to be wrong: the
header's check, the lengths and CRCs of chunks.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from rdae.bitstream.header import MAGIC, Header
from rdae.bitstream.varint import ByteReader, pack_varint
from rdae.errors import RdaeError
from rdae.scales import MAX_ERROR

GREY, ALPHA, NEUTRAL, LOSSLESS = 1, 2, 4, 8  # flags of a header
UNDIVIDED = MAX_ERROR + 1  # in the place of the largest error


@dataclass
class Piece:
    """A chunk: one byte of type, and its body without the CRC that ends it (Z and C have none).

    `length` and `crc` are what the file is to say of it, None for the truth. The CRC of Y and of R,
    which is of symbols or pixels, must be given.
    """

    letter: int
    payload: bytes
    crc: int | None = None
    length: int | None = None

    def pack(self, canonical_header: bytes) -> bytes:
        """The chunk as it stands in a file."""
        body = self.payload
        if self.letter not in b"ZC":
            crc = self._true_crc(canonical_header) if self.crc is None else self.crc
            body += crc.to_bytes(4, "little")
        length = len(body) if self.length is None else self.length
        return bytes((self.letter,)) + pack_varint(length) + body

    def _true_crc(self, canonical_header: bytes) -> int:
        prefix = canonical_header if self.letter in b"AL" else b""
        return zlib.crc32(bytes((self.letter,)) + prefix + self.payload)


@dataclass
class Anatomy:
    """The fields of a file, of any value that fits in their bytes, and what follows the chunks."""

    version_flags: int
    model_id: int
    fingerprint: bytes
    quality_point: int
    width: int
    height: int
    check: int | None = None
    chunks: list[Piece] = field(default_factory=list)
    rest: bytes = b""

    @property
    def canonical_header(self) -> bytes:
        """All of the header before its check."""
        fields = bytes((self.version_flags, self.model_id)) + self.fingerprint
        size = pack_varint(self.width) + pack_varint(self.height)
        return MAGIC + fields + bytes((self.quality_point,)) + size

    @property
    def header(self) -> Header:
        """The header as the codec has it.

        Raises:
            ValueError: a field has an illegal value.
        """
        return Header(
            self.width,
            self.height,
            0 if self.is_undivided else self.quality_point,
            self.model_id,
            self.fingerprint,
            bool(self.version_flags & GREY),
            bool(self.version_flags & ALPHA),
            bool(self.version_flags & NEUTRAL),
            bool(self.version_flags & LOSSLESS),
            self.is_undivided,
        )

    @property
    def is_undivided(self) -> bool:
        """Whether it says that it is a lossless file of a single tile."""
        return bool(self.version_flags & LOSSLESS) and self.quality_point == UNDIVIDED


def dissect(data: bytes) -> Anatomy | None:
    """Take a file apart, however damaged; None if not even its header can be told."""
    reader = ByteReader(data)
    try:
        if reader.take(4, "") != MAGIC:
            return None
        fields = reader.byte(""), reader.byte(""), bytes(reader.take(4, "")), reader.byte("")
        anatomy = Anatomy(*fields, reader.varint(""), reader.varint(""))
        check = int.from_bytes(reader.take(2, ""), "little")
    except RdaeError:
        return None
    canonical = anatomy.canonical_header
    anatomy.check = None if check == zlib.crc32(canonical) & 0xFFFF else check
    while reader.left:
        offset = reader.offset
        try:
            letter = reader.byte("")
            body = bytes(reader.take(reader.varint(""), ""))
            crc = None if letter in b"ZC" else int.from_bytes(body[-4:], "little")
            if crc is not None and len(body) < 4:
                raise RdaeError("no room for a CRC")
        except RdaeError:
            anatomy.rest = bytes(data[offset:])
            break
        piece = Piece(letter, body if crc is None else body[:-4], crc)
        if letter not in b"YR" and piece.pack(canonical) == Piece(letter, piece.payload).pack(
            canonical
        ):
            piece.crc = None
        anatomy.chunks.append(piece)
    return anatomy


def assemble(anatomy: Anatomy) -> bytes:
    """Put a file together."""
    canonical = anatomy.canonical_header
    check = zlib.crc32(canonical) & 0xFFFF if anatomy.check is None else anatomy.check
    chunks = b"".join(piece.pack(canonical) for piece in anatomy.chunks)
    return canonical + check.to_bytes(2, "little") + chunks + anatomy.rest

"""The header of a `.rd` file: size, flags, and which model decodes it (FORMAT.md, Header)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from rdae.bitstream.varint import ByteReader, pack_varint
from rdae.errors import (
    CorruptError,
    NotRdaeError,
    TooLargeError,
    TruncatedError,
    UnsupportedVersionError,
    grouped,
)
from rdae.limits import MAX_DIMENSION, MAX_UNDIVIDED_PIXELS
from rdae.scales import MAX_ERROR

__all__ = ["MAGIC", "VERSION", "Header", "check_sides", "read_header"]

# The high bit of the first byte betrays 7-bit transport; "RDA" can be read in a hex dump.
MAGIC = b"\x93RDA"
VERSION = 2

_GREY = 1
_ALPHA = 2
_NEUTRAL = 4
_LOSSLESS = 8
_UNDIVIDED = MAX_ERROR + 1  # in the place of the largest error, which is 0 then
_CHECK_BYTES = 2


def check_sides(width: int, height: int) -> None:
    """Refuse a picture that no header can describe.

    Raises:
        TooLargeError: a side has more pixels than a header can say.
    """
    if max(width, height) > MAX_DIMENSION:
        raise TooLargeError(
            f"the picture is {width}x{height}, a side may have {MAX_DIMENSION}",
            hint="cut it into pieces",
        )


@dataclass(frozen=True)
class Header:
    """The header's fields.

    Attributes:
        width: pixels, 1 to 2^24-1.
        height: pixels, 1 to 2^24-1.
        quality_point: 0 (smallest file) to 255; of a lossless file the largest error of a sample,
            0 to 15, 0 for exact pixels.
        model_id: permanent number of the model, 1 to 255.
        fingerprint: first 4 bytes of the SHA-256 of the model's decoder.
        is_grey: the picture is to be returned with one colour channel.
        has_alpha: the file carries an alpha chunk.
        is_neutral: the picture is grey, but to be returned with three equal colour channels.
        is_lossless: the tiles hold pixels (chunks R), not latents.
        is_undivided: a lossless file has a single tile, of graphics, whatever the picture's size,
            and its pixels have alpha if the picture has.
    """

    width: int
    height: int
    quality_point: int
    model_id: int
    fingerprint: bytes
    is_grey: bool = False
    has_alpha: bool = False
    is_neutral: bool = False
    is_lossless: bool = False
    is_undivided: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (
            ("width", 1, MAX_DIMENSION),
            ("height", 1, MAX_DIMENSION),
            ("quality_point", 0, MAX_ERROR if self.is_lossless else 255),
            ("model_id", 1, 255),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}, it must be {low} to {high}")
        if len(self.fingerprint) != 4:
            raise ValueError(f"the fingerprint has {len(self.fingerprint)} bytes, it must have 4")
        if self.is_grey and self.is_neutral:
            raise ValueError("a picture has one colour channel or three equal ones, not both")
        if self.is_undivided and not (self.is_lossless and self.quality_point == 0):
            raise ValueError("only the pixels of an exact file are undivided")
        if self.is_undivided and self.width * self.height > MAX_UNDIVIDED_PIXELS:
            raise ValueError(f"an undivided picture has {MAX_UNDIVIDED_PIXELS} pixels at most")

    @property
    def is_colourless(self) -> bool:
        """Red, green and blue are equal everywhere, in however many channels they return."""
        return self.is_grey or self.is_neutral

    @property
    def has_alpha_chunk(self) -> bool:
        """Alpha stands in a chunk of its own, not with the colours."""
        return self.has_alpha and not self.is_undivided

    def pack(self) -> bytes:
        """Return the canonical header bytes: all of the header but its check."""
        flags = _GREY * self.is_grey | _ALPHA * self.has_alpha | _NEUTRAL * self.is_neutral
        flags |= _LOSSLESS * self.is_lossless
        return (
            MAGIC
            + bytes((VERSION << 4 | flags, self.model_id))
            + self.fingerprint
            + bytes((_UNDIVIDED if self.is_undivided else self.quality_point,))
            + pack_varint(self.width)
            + pack_varint(self.height)
        )

    def pack_with_check(self) -> bytes:
        """Return the header as it stands in a file."""
        packed = self.pack()
        return packed + _check(packed)


def _check(packed: bytes | memoryview) -> bytes:
    return (zlib.crc32(packed) & 0xFFFF).to_bytes(_CHECK_BYTES, "little")


def read_header(reader: ByteReader) -> Header:
    """Read the header at the start of a file.

    The version is judged first, since nothing after it need look like this one; then the check, so
    that damage is called damage; only then the values.

    Raises:
        NotRdaeError: the magic number is missing.
        UnsupportedVersionError: the file is of another version.
        TruncatedError: the file ends inside the header.
        CorruptError: the check does not match, or a field has an illegal value.
    """
    start = bytes(reader.data[: len(MAGIC)])
    if start != MAGIC[: len(start)]:
        raise NotRdaeError(f"not a .rd file: it begins with {start.hex(' ')}, not {MAGIC.hex(' ')}")
    if not start:
        raise TruncatedError("the file is empty")
    reader.take(len(MAGIC), "the magic number")
    version_flags = reader.byte("the version")
    version = version_flags >> 4
    if version not in (0, VERSION):
        older = "it is older than rdae 0.1: encode the picture again"
        raise UnsupportedVersionError(
            f"the file is of bitstream version {version}, this rdae reads version {VERSION}",
            hint=older if version < VERSION else "install a newer rdae",
        )
    model_id = reader.byte("the model id")
    fingerprint = bytes(reader.take(4, "the model's fingerprint"))
    quality_point = reader.byte("the quality point")
    width = reader.varint("the width")
    height = reader.varint("the height")
    packed = reader.data[: reader.offset]
    check = bytes(reader.take(_CHECK_BYTES, "the header's checksum"))
    if check != _check(packed):
        raise CorruptError(
            f"the header's checksum is {_check(packed)[::-1].hex()}, "
            f"the file says {check[::-1].hex()}"
        )
    if version == 0:
        raise CorruptError("the bitstream version is 0, there is no such version")
    if version_flags & _GREY and version_flags & _NEUTRAL:
        raise CorruptError("the header says one colour channel and three equal ones")
    is_lossless = bool(version_flags & _LOSSLESS)
    is_undivided = is_lossless and quality_point == _UNDIVIDED
    if is_lossless and quality_point > MAX_ERROR and not is_undivided:
        raise CorruptError(f"the largest error is {quality_point}, it must be 0 to {MAX_ERROR}")
    if model_id == 0:
        raise CorruptError("the model id is 0, it must be 1 to 255")
    for name, value in (("width", width), ("height", height)):
        if not 1 <= value <= MAX_DIMENSION:
            raise CorruptError(
                f"the {name} is {grouped(value)}, it must be 1 to {grouped(MAX_DIMENSION)}"
            )
    if is_undivided and width * height > MAX_UNDIVIDED_PIXELS:
        raise CorruptError(
            f"the picture is undivided and has {grouped(width * height)} pixels, "
            f"it may have {grouped(MAX_UNDIVIDED_PIXELS)}"
        )
    return Header(
        width=width,
        height=height,
        quality_point=0 if is_undivided else quality_point,
        model_id=model_id,
        fingerprint=fingerprint,
        is_grey=bool(version_flags & _GREY),
        has_alpha=bool(version_flags & _ALPHA),
        is_neutral=bool(version_flags & _NEUTRAL),
        is_lossless=is_lossless,
        is_undivided=is_undivided,
    )

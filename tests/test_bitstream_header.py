"""Header and varints: what is written is read, and each illegal value has its error."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdae.bitstream.header import Header, read_header
from rdae.bitstream.varint import ByteReader, pack_varint
from rdae.errors import (
    BitstreamError,
    CorruptError,
    NotRdaeError,
    TruncatedError,
    UnsupportedVersionError,
)

EXAMPLE = Header(768, 512, 153, 7, b"\x01\x02\x03\x04", is_grey=True, has_alpha=True)

headers = st.builds(
    Header,
    width=st.integers(1, (1 << 24) - 1),
    height=st.integers(1, (1 << 24) - 1),
    quality_point=st.integers(0, 255),
    model_id=st.integers(1, 255),
    fingerprint=st.binary(min_size=4, max_size=4),
    has_alpha=st.booleans(),
    is_grey=st.just(False),
    is_neutral=st.booleans(),
) | st.builds(replace, st.just(EXAMPLE), has_alpha=st.booleans(), is_grey=st.booleans())


def with_check(packed: bytes) -> bytes:
    """Append a header check that matches."""
    return packed + (zlib.crc32(packed) & 0xFFFF).to_bytes(2, "little")


def changed(offset: int, value: int) -> bytes:
    """The example with one byte replaced and the check repaired."""
    packed = bytearray(EXAMPLE.pack())
    packed[offset] = value
    return with_check(bytes(packed))


def sized(width: bytes, height: bytes) -> bytes:
    """The example with these bytes as its size."""
    return with_check(EXAMPLE.pack()[:11] + width + height)


def test_header_has_the_documented_bytes() -> None:
    assert EXAMPLE.pack().hex() == "93524441" + "23" + "07" + "01020304" + "99" + "8006" + "8004"


def test_header_of_a_768x512_picture_has_17_bytes() -> None:
    assert len(EXAMPLE.pack_with_check()) == 17


def test_check_is_the_low_half_of_the_crc_in_little_endian() -> None:
    assert EXAMPLE.pack_with_check() == with_check(EXAMPLE.pack())


@settings(derandomize=True, deadline=None)
@given(headers)
def test_any_header_survives_the_round_trip(header: Header) -> None:
    reader = ByteReader(header.pack_with_check())
    assert read_header(reader) == header
    assert reader.left == 0


@pytest.mark.parametrize("length", range(17))
def test_header_cut_anywhere_is_truncated(length: int) -> None:
    with pytest.raises(TruncatedError):
        read_header(ByteReader(EXAMPLE.pack_with_check()[:length]))


def test_truncation_names_the_field_and_both_sizes() -> None:
    data = EXAMPLE.pack_with_check()[:8]
    with pytest.raises(TruncatedError, match="fingerprint needs 4 bytes, the file has 2 left"):
        read_header(ByteReader(data))


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"\x94", b"\x93RDB", b"\0" * 40])
def test_other_bytes_are_not_a_header(data: bytes) -> None:
    with pytest.raises(NotRdaeError, match="it begins with"):
        read_header(ByteReader(data))


def test_later_version_is_unsupported_whatever_follows() -> None:
    with pytest.raises(UnsupportedVersionError, match="version 3") as error:
        read_header(ByteReader(b"\x93RDA\x30"))
    assert "newer rdae" in error.value.hint


def test_the_version_before_is_unsupported_and_names_a_way_out() -> None:
    with pytest.raises(
        UnsupportedVersionError, match="version 1, this rdae reads version 2"
    ) as error:
        read_header(ByteReader(b"\x93RDA\x13"))
    assert "encode the picture again" in error.value.hint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(4, 0x03), "version is 0"),
        (changed(4, 0x28), "the largest error is"),
        (changed(4, 0x25), "one colour channel and three equal ones"),
        (changed(5, 0), "model id is 0"),
        (sized(b"\0", b"\1"), "width is 0"),
        (sized(b"\1", b"\0"), "height is 0"),
        (sized(b"\x80\x80\x80\x08", b"\1"), "width is 16 777 216"),
        (sized(b"\x81\x00", b"\1"), "needless leading zeros"),
        (sized(b"\xff\xff\xff\xff\x1f", b"\1"), "less than 2\\^32"),
        (sized(b"\x80\x80\x80\x80\x80\x01", b"\1"), "more than 5 bytes"),
        (EXAMPLE.pack() + b"\0\0", "checksum"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_illegal_field_is_corrupt_and_named(data: bytes, message: str) -> None:
    with pytest.raises(CorruptError, match=message):
        read_header(ByteReader(data))


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 16), st.integers(1, 255))
def test_a_changed_byte_never_passes(offset: int, change: int) -> None:
    data = bytearray(EXAMPLE.pack_with_check())
    data[offset] ^= change
    with pytest.raises(BitstreamError):
        read_header(ByteReader(bytes(data)))


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 0},
        {"height": 1 << 24},
        {"quality_point": 256},
        {"model_id": 0},
        {"fingerprint": b"abc"},
    ],
)
def test_a_header_refuses_values_that_it_cannot_hold(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="it must"):
        replace(EXAMPLE, **fields)  # type: ignore[arg-type]


@settings(derandomize=True, deadline=None)
@given(st.integers(0, (1 << 32) - 1))
def test_any_varint_survives_the_round_trip(value: int) -> None:
    packed = pack_varint(value)
    assert ByteReader(packed).varint("the number") == value
    assert len(packed) == max(1, -(-value.bit_length() // 7))


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_a_varint_refuses_what_it_cannot_hold(value: int) -> None:
    with pytest.raises(ValueError, match="varint"):
        pack_varint(value)

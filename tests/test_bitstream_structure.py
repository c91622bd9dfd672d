"""Containers that are cut, malformed or contradict themselves."""

from __future__ import annotations

import zlib
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdae.bitstream.container import (
    Container,
    Header,
    TilePayload,
    read_container,
    write_container,
)
from rdae.bitstream.info import parse_info
from rdae.bitstream.varint import pack_varint
from rdae.errors import (
    BitstreamError,
    CorruptError,
    TooLargeError,
    TruncatedError,
    UnsupportedFeatureError,
)
from rdae.limits import MAX_ANCILLARY_CHUNKS, MAX_METADATA_BYTES
from tests.container_samples import (
    ALPHA,
    FULL,
    ICC,
    LAYERS,
    PLAIN,
    PLANE,
    TILE,
    WIDE,
    A,
    Y,
    Z,
    chunk,
    plain,
    with_alpha,
)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([*LAYERS[:2], *LAYERS[4:]], "a chunk Y where chunk C of tile 0"),
        ([LAYERS[0], LAYERS[2]], "a chunk C where chunk Z of tile 1"),
        ([*LAYERS[:4], b"Y\4crc0", LAYERS[5]], "chunk Y of tile 0 is 4, it must be 32 to 60"),
        ([*LAYERS[:4], b"Y\x40" + b"rest" * 16], "chunk Y of tile 0 is 64, it must be 32 to 60"),
        ([*LAYERS[:3], b"C\0", LAYERS[4], b"Y\x08oncecrc1"], "is 8, it must be 4"),
        ([*LAYERS[:2], b"C\3abc"], "chunk C of tile 0 is 3, not a multiple of 4"),
        ([*LAYERS[:2], b"C" + pack_varint(1 << 30)], "chunk C of tile 0 is 1 073 741 824"),
    ],
)
def test_layers_that_do_not_fit_are_corrupt(chunks: list[bytes], message: str) -> None:
    with pytest.raises(CorruptError, match=message):
        read_container(WIDE.pack_with_check() + b"".join(chunks))


@pytest.mark.parametrize("length", range(len(write_container(FULL))))
def test_a_file_cut_anywhere_is_truncated(length: int) -> None:
    data = write_container(FULL)[:length]
    for read in (read_container, parse_info):
        with pytest.raises(TruncatedError):
            read(data)


def test_truncation_names_the_chunk_and_both_sizes() -> None:
    header = Header(768, 512, 153, 1, b"abcd")
    tile = TilePayload(z=bytes(8), y=bytes(40_108), crc=0)
    data = write_container(Container(header, (tile,)))
    message = "chunk Y of tile 0 needs 40 112 bytes, the file has 31 004 left"
    with pytest.raises(TruncatedError, match=message):
        read_container(data[: len(data) - 40_112 + 31_004])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (plain(Z, Y, b"\0"), "bytes after the end of the picture: 1"),
        (plain(Z, Y, b"tail"), "bytes after the end of the picture: 4"),
        (plain(Z, Y, ICC), "after the end of the picture"),
        (plain(Z, Y, Z, Y), "after the end of the picture"),
        (plain(Y, Z), "chunk Y of tile 0 stands where its chunk Z should be"),
        (plain(b"C\0", Z, Y), "chunk C of tile 0 stands where its chunk Z should be"),
        (plain(Z, b"C\0", Y), "a chunk C where chunk Y of tile 0"),
        (plain(Z, Z, Y), "a chunk Z where chunk Y of tile 0"),
        (plain(Z, ICC, Y), "a chunk i where chunk Y of tile 0"),
        (plain(Z, b"\xe9\1"), "the byte e9 at offset"),
        (plain(b"5\1", Z, Y), "the byte 35 at offset 15 is not the type"),
        (plain(b"\xaa\1", Z, Y), "the byte aa at offset"),
        (plain(ICC, ICC, Z, Y), "more than one chunk i"),
        (plain(A, Z, Y), "a chunk A, but the header says no alpha"),
        (with_alpha(Z, Y), "says alpha, but there is no chunk A"),
        (with_alpha(A, A, Z, Y), "more than one chunk A"),
        (with_alpha(Z, A, Y), "no chunk A before the first tile"),
        (plain(b"Z\3abc", Y), "is 3, not a multiple of 4"),
        (plain(Z, b"Y\0"), "is 0, it must be 4 to"),
        (plain(Z, b"Y\2"), "is 2, it must be 4 to"),
        (plain(b"i\3abc", Z, Y), "is 3, it must be 4 to"),
        (plain(b"q\0", Z, Y), "is 0, it must be 4 or more"),
        (plain(b"Z\x80\x00", Y), "needless leading zeros"),
        (plain(b"Z" + pack_varint(1 << 31)), "length of chunk Z of tile 0 is 2 147 483 648"),
        (plain(Z, b"Y" + pack_varint(1 << 28)), "length of chunk Y of tile 0 is 268 435 456"),
        (plain(b"i" + pack_varint(1 << 25)), "length of chunk i is 33 554 432"),
        (with_alpha(b"A" + pack_varint(1 << 16)), "length of chunk A is 65 536"),
        (plain(ICC[:-1] + b"\0", Z, Y), "chunk i has checksum"),
        (plain(chunk(b"q", b"?")[:-1] + b"\0", Z, Y), "chunk q has checksum"),
        (with_alpha(A[:-1] + b"\0", Z, Y), "chunk A has checksum"),
        (with_alpha(chunk(b"A", A[2:-4]), Z, Y), "chunk A has checksum"),
        (plain(chunk(b"i", zlib.compress(b"")), Z, Y), "chunk i is empty"),
        (plain(chunk(b"i", b""), Z, Y), "zlib stream of chunk i has no end"),
        (plain(chunk(b"x", b"nonsense"), Z, Y), "chunk x is not a valid zlib stream"),
        (
            plain(chunk(b"e", zlib.compress(b"a") + b"b"), Z, Y),
            "bytes after the zlib stream of chunk e: 1",
        ),
        (
            plain(chunk(b"i", zlib.compress(bytes(MAX_METADATA_BYTES + 1))), Z, Y),
            "inflates to more than 8 388 608 bytes",
        ),
        (
            plain(*[chunk(b"q", b"")] * (MAX_ANCILLARY_CHUNKS + 1), Z, Y),
            "more than 64 ancillary chunks",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_malformed_structure_is_corrupt_and_says_how(data: bytes, message: str) -> None:
    with pytest.raises(CorruptError, match=message):
        read_container(data)


@pytest.mark.parametrize(
    "data",
    [
        plain(b"Q\0", Z, Y),
        plain(Z, b"Q\0", Y),
        plain(Z, Y, b"Q\0"),
        plain(ICC, b"Q"),
        with_alpha(A, b"B\0", Z, Y),
    ],
    ids=["front", "between Z and Y", "end", "after ICC", "after alpha"],
)
def test_unknown_critical_chunk_is_an_unsupported_feature(data: bytes) -> None:
    for read in (read_container, parse_info):
        with pytest.raises(UnsupportedFeatureError, match="chunk"):
            read(data)


def test_alpha_of_another_picture_is_corrupt() -> None:
    other = replace(ALPHA, quality_point=1)
    data = other.pack_with_check() + A + Z + Y
    with pytest.raises(CorruptError, match="chunk A has checksum"):
        read_container(data)


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (replace(FULL, tiles=()), "0 tiles, the picture has 1"),
        (replace(FULL, alpha=None), "contradict"),
        (replace(FULL, header=PLAIN), "contradict"),
        (replace(FULL, alpha=PLANE.T), "the alpha plane is"),
        (replace(FULL, tiles=(replace(TILE, z=b"abc"),)), "whole number of words"),
    ],
)
def test_contradicting_parts_are_not_written(container: Container, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_container(container)


def repaired(data: bytes) -> bytes:
    """Make the header's check match, so that what comes after it is reached."""
    for end in range(13, min(len(data) - 1, 22)):
        if data[end - 1] < 0x80 and data[end - 2] < 0x80:
            check = (zlib.crc32(data[:end]) & 0xFFFF).to_bytes(2, "little")
            return data[:end] + check + data[end + 2 :]
    return data


@settings(derandomize=True, deadline=None, max_examples=1500)
@given(st.data(), st.booleans())
def test_mutated_files_raise_nothing_but_our_errors(data: st.DataObject, repair: bool) -> None:
    mutated = bytearray(write_container(FULL))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(mutated) - 1)))
        match data.draw(st.integers(0, 3)):
            case 0:
                mutated[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
            case 1:
                del mutated[at : at + data.draw(st.integers(1, 40))]
            case 2:
                mutated[at:at] = data.draw(st.binary(max_size=12))
            case _:
                mutated[at : at + 5] = pack_varint(data.draw(st.integers(0, (1 << 32) - 1)))
    candidate = repaired(bytes(mutated)) if repair else bytes(mutated)
    for read in (read_container, parse_info):
        try:
            read(candidate)
        except (BitstreamError, TooLargeError) as error:
            assert "\n" not in str(error)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=80))
def test_any_bytes_after_a_header_raise_nothing_but_our_errors(tail: bytes) -> None:
    for header in (PLAIN, ALPHA):
        for read in (read_container, parse_info):
            with suppress(BitstreamError):
                read(header.pack_with_check() + tail)

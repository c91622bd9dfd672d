"""Container: round trips, exact layout, and one clear error for each way of being wrong."""

from __future__ import annotations

import subprocess
import sys
import zlib
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdae.bitstream.container import (
    Container,
    Header,
    TilePayload,
    read_container,
    symbols_crc,
    tile_grid,
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
    UnsupportedImageError,
)
from rdae.limits import MAX_ANCILLARY_CHUNKS, MAX_LISTED_TILES, MAX_METADATA_BYTES
from rdae.scales import point_to_quality

PLAIN = Header(33, 20, 153, 1, b"\xaa\xbb\xcc\xdd")
ALPHA = replace(PLAIN, has_alpha=True)
TILE = TilePayload(z=b"\1\2\3\4", y=b"\5\6\7\x08" * 2, crc=0x12345678)
PLANE = (np.arange(33 * 20, dtype=np.uint32) * 7 // 5).astype(np.uint8).reshape(20, 33)
FULL = Container(ALPHA, (TILE,), PLANE, icc=b"profile", exif=b"camera", xmp=b"<x/>")

Z = b"Z\x04" + TILE.z
Y = b"Y\x0c" + TILE.y + bytes.fromhex("78563412")


def chunk(type: bytes, payload: bytes, prefix: bytes = b"") -> bytes:
    """A chunk with a checksum that matches."""
    crc = zlib.crc32(type + prefix + payload).to_bytes(4, "little")
    return type + pack_varint(len(payload) + 4) + payload + crc


A = chunk(b"A", b"\0" + zlib.compress(PLANE.tobytes()), ALPHA.pack())
ICC = chunk(b"i", zlib.compress(b"profile"))


def plain(*chunks: bytes) -> bytes:
    return PLAIN.pack_with_check() + b"".join(chunks)


def with_alpha(*chunks: bytes) -> bytes:
    return ALPHA.pack_with_check() + b"".join(chunks)


def same(first: Container, second: Container) -> bool:
    if first.alpha is None or second.alpha is None:
        if first.alpha is not second.alpha:
            return False
    elif not np.array_equal(first.alpha, second.alpha):
        return False
    names = ("header", "tiles", "icc", "exif", "xmp")
    return all(getattr(first, name) == getattr(second, name) for name in names)


words = st.integers(0, 12).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n))


@st.composite
def containers(draw: st.DrawFn) -> Container:
    width, height = draw(st.integers(1, 2100)), draw(st.integers(1, 40))
    if draw(st.booleans()):
        width, height = height, width
    has_alpha = draw(st.booleans())
    header = Header(
        width=width,
        height=height,
        quality_point=draw(st.integers(0, 255)),
        model_id=draw(st.integers(1, 255)),
        fingerprint=draw(st.binary(min_size=4, max_size=4)),
        has_alpha=has_alpha,
        **draw(st.sampled_from([{}, {"is_grey": True}, {"is_neutral": True}])),
    )
    tile = st.builds(TilePayload, z=words, y=words, crc=st.integers(0, (1 << 32) - 1))
    tiles = tuple(draw(tile) for _ in tile_grid(width, height))
    seed = draw(st.integers(0, 99))
    alpha = np.random.default_rng(seed).integers(0, 9, (height, width), dtype=np.uint8)
    blocks = [draw(st.binary(max_size=40)) for _ in range(3)]
    return Container(header, tiles, alpha if has_alpha else None, *blocks)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(containers())
def test_any_container_survives_the_round_trip(container: Container) -> None:
    data = write_container(container)
    assert same(read_container(data), container)
    info = parse_info(data)
    parts = info.header_bytes + info.z_bytes + info.y_bytes + info.alpha_bytes
    assert parts + info.metadata_bytes == info.file_bytes == len(data)
    assert info.z_bytes == sum(len(tile.z) for tile in container.tiles)
    assert info.y_bytes == sum(len(tile.y) for tile in container.tiles)
    end = 0
    for field in info.fields:
        assert field.offset == end
        end += field.length
    assert end == len(data)


def test_a_plain_file_has_the_documented_bytes() -> None:
    assert write_container(Container(PLAIN, (TILE,))) == plain(Z, Y)


def test_framing_of_a_768x512_picture_costs_28_bytes() -> None:
    header = Header(768, 512, 153, 1, b"abcd")
    tile = TilePayload(z=bytes(800), y=bytes(30_000), crc=0)
    data = write_container(Container(header, (tile,)))
    assert len(data) - 800 - 30_000 == parse_info(data).header_bytes == 28


def test_info_says_what_the_file_holds() -> None:
    data = write_container(FULL)
    info = parse_info(data)
    assert (info.width, info.height, info.has_alpha, info.is_grey) == (33, 20, True, False)
    assert (info.version, info.model_id, info.fingerprint) == (2, 1, "aabbccdd")
    assert (info.tile_columns, info.tile_rows, info.quality_point) == (1, 1, 153)
    assert info.metadata == {k: len(zlib.compress(v, 9)) for k, v in metadata_of(FULL).items()}
    assert info.quality == point_to_quality(153)
    assert info.bpp == 8 * len(data) / (33 * 20)
    listed = {field.name: field.value for field in info.fields}
    assert listed["chunk Y of tile 0"] == "latent, 8 bytes, 2 x 3 latent cells, CRC-32 12345678"
    assert listed["width"] == "33"


def metadata_of(container: Container) -> dict[str, bytes]:
    return {"icc": container.icc, "exif": container.exif, "xmp": container.xmp}


def test_info_does_not_inflate_or_check_bodies() -> None:
    broken = bytearray(with_alpha(ICC, A, Z, Y))
    broken[broken.index(ICC) + 4] ^= 1
    assert parse_info(bytes(broken)).metadata == {"icc": len(ICC) - 6}
    with pytest.raises(CorruptError, match="chunk i has checksum"):
        read_container(bytes(broken))


def test_info_lists_a_bounded_number_of_tiles() -> None:
    header = Header(1024, 1024 * (MAX_LISTED_TILES + 10), 0, 1, b"abcd")
    tiles = tuple(TilePayload(b"", b"", 0) for _ in range(MAX_LISTED_TILES + 10))
    data = write_container(Container(header, tiles))
    info = parse_info(data)
    assert len(info.fields) == 8 + 3 * (MAX_LISTED_TILES + 1)
    assert info.fields[-1].name == "chunks Y of tiles 1024 to 1033"
    assert info.fields[8 + MAX_LISTED_TILES].name == "chunks Z of tiles 1024 to 1033"
    ends = [field.offset + field.length for field in info.fields]
    assert [0, *ends] == [*(field.offset for field in info.fields), len(data)]


WIDE = Header(1100, 24, 153, 1, b"abcd")
LAYERS = [b"Z\4zzz0", b"Z\4zzz1", b"C\x08" + b"word" * 2, b"C\4once"]
LAYERS += [b"Y\x20" + b"rest" * 7 + b"crc0", b"Y\4crc1"]
WIDE_TILES = (
    TilePayload(b"zzz0", b"word" * 2 + b"rest" * 7, int.from_bytes(b"crc0", "little")),
    TilePayload(b"zzz1", b"once", int.from_bytes(b"crc1", "little")),
)


def test_chunks_of_several_tiles_stand_in_layers_as_documented() -> None:
    data = WIDE.pack_with_check() + b"".join(LAYERS)
    assert write_container(Container(WIDE, WIDE_TILES)) == data
    assert read_container(data).tiles == WIDE_TILES
    info = parse_info(data)
    assert (info.z_bytes, info.y_bytes) == (8, 40)
    listed = {field.name: field.value for field in info.fields}
    assert listed["chunk C of tile 0"] == "beginning of the latent, 8 bytes, 2 x 64 latent cells"


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([*LAYERS[:2], *LAYERS[4:]], "a chunk Y where chunk C of tile 0"),
        ([LAYERS[0], LAYERS[2]], "a chunk C where chunk Z of tile 1"),
        ([*LAYERS[:4], b"Y\4crc0", LAYERS[5]], "chunk Y of tile 0 is 4, it must be 32 to 60"),
        ([*LAYERS[:4], b"Y\x40" + b"rest" * 16], "chunk Y of tile 0 is 64, it must be 32 to 60"),
        ([*LAYERS[:3], b"C\0", LAYERS[4], b"Y\x08oncecrc1"], "is 8, it must be 4 to 4"),
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


def test_unknown_ancillary_chunks_are_skipped() -> None:
    data = plain(*[chunk(b"q", b"?")] * MAX_ANCILLARY_CHUNKS, Z, Y)
    assert read_container(data).tiles == (TILE,)
    assert parse_info(data).metadata == {}


def test_chunks_before_the_tiles_come_in_any_order() -> None:
    for chunks in ((A, ICC), (ICC, A)):
        container = read_container(with_alpha(*chunks, Z, Y))
        assert container.icc == b"profile"
        assert container.alpha is not None and (container.alpha == PLANE).all()


def test_alpha_of_another_picture_is_corrupt() -> None:
    other = replace(ALPHA, quality_point=1)
    data = other.pack_with_check() + A + Z + Y
    with pytest.raises(CorruptError, match="chunk A has checksum"):
        read_container(data)


def test_pixel_limit_is_checked_before_the_body() -> None:
    header = Header(1 << 20, 1 << 20, 0, 1, b"abcd")
    with pytest.raises(TooLargeError, match="1 099 511 627 776 pixels"):
        read_container(header.pack_with_check())
    with pytest.raises(TooLargeError, match="the limit is 659"):
        read_container(plain(Z, Y), max_pixels=659)
    assert read_container(plain(Z, Y), max_pixels=660).tiles == (TILE,)


def test_info_reads_pictures_beyond_the_pixel_limit_but_not_without_end() -> None:
    with pytest.raises(TruncatedError):
        parse_info(Header(1 << 18, 1 << 18, 0, 1, b"abcd").pack_with_check())
    with pytest.raises(TooLargeError, match="the limit is 68 719 476 736"):
        parse_info(Header(1 << 18, (1 << 18) + 1, 0, 1, b"abcd").pack_with_check())


def test_an_alpha_bomb_is_not_inflated_beyond_the_picture() -> None:
    payload = b"\0" + zlib.compress(bytes(1_000_000))
    with pytest.raises(CorruptError, match="more than 660 bytes"):
        read_container(with_alpha(chunk(b"A", payload, ALPHA.pack()), Z, Y))


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


def test_metadata_over_the_limit_is_refused_with_the_way_out() -> None:
    with pytest.raises(UnsupportedImageError, match="at most 8 388 608") as caught:
        write_container(replace(FULL, exif=bytes(MAX_METADATA_BYTES + 1)))
    assert caught.value.hint.startswith("leave it out: --strip exif (in Python,")


def test_metadata_at_the_limit_survives() -> None:
    noise = np.random.default_rng(0).bytes(MAX_METADATA_BYTES)
    assert read_container(write_container(replace(FULL, exif=noise))).exif == noise


def test_tiles_cover_the_latent_grid_without_overlap() -> None:
    for width, height in ((1, 1), (16, 17), (1024, 1024), (1025, 1023), (3000, 2049)):
        covered = np.zeros((-(-height // 16), -(-width // 16)), int)
        for index, tile in enumerate(tile_grid(width, height)):
            assert tile.index == index
            covered[tile.cells.slices()] += 1
            assert (tile.hyper_rows, tile.hyper_columns) == (
                -(-tile.rows // 4),
                -(-tile.columns // 4),
            )
        assert (covered == 1).all()


def test_the_tile_checksum_covers_header_place_and_symbols() -> None:
    z = np.arange(-3, 3, dtype=np.int32).reshape(1, 2, 3)
    y = np.arange(8, dtype=np.int32).reshape(2, 2, 2)
    data = PLAIN.pack() + bytes(4) + z.astype("<i4").tobytes() + y.astype("<i4").tobytes()
    crc = symbols_crc(PLAIN, 0, z, y)
    assert crc == zlib.crc32(data)
    assert crc == symbols_crc(PLAIN, 0, z.reshape(-1), y.astype(np.int64))
    others = {
        symbols_crc(ALPHA, 0, z, y),
        symbols_crc(PLAIN, 1, z, y),
        symbols_crc(PLAIN, 0, z + 1, y),
        symbols_crc(PLAIN, 0, z, y.transpose(1, 0, 2)),
    }
    assert len(others | {crc}) == 5


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


def test_reading_info_loads_no_range_coder() -> None:
    code = "import sys, rdae.bitstream.info; sys.exit('constriction' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

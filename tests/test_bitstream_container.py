"""Container: round trips, exact layout, and one clear error for each way of being wrong."""

from __future__ import annotations

import subprocess
import sys
import zlib
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
    write_container,
)
from rdae.bitstream.info import parse_info
from rdae.bitstream.tiles import Grid
from rdae.errors import (
    CorruptError,
    TooLargeError,
    TruncatedError,
    UnsupportedImageError,
)
from rdae.limits import MAX_ANCILLARY_CHUNKS, MAX_LISTED_TILES, MAX_METADATA_BYTES
from rdae.scales import point_to_quality
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
    tiles = tuple(draw(tile) for _ in Grid(width, height).tiles())
    seed = draw(st.integers(0, 99))
    alpha = np.random.default_rng(seed).integers(0, 9, (height, width), dtype=np.uint8)
    blocks = [draw(st.binary(max_size=40)) for _ in range(3)]
    icc, exif, xmp = blocks
    return Container(header, tiles, alpha if has_alpha else None, icc, exif, xmp)


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


def test_unknown_ancillary_chunks_are_skipped() -> None:
    data = plain(*[chunk(b"q", b"?")] * MAX_ANCILLARY_CHUNKS, Z, Y)
    assert read_container(data).tiles == (TILE,)
    assert parse_info(data).metadata == {}


def test_chunks_before_the_tiles_come_in_any_order() -> None:
    for chunks in ((A, ICC), (ICC, A)):
        container = read_container(with_alpha(*chunks, Z, Y))
        assert container.icc == b"profile"
        assert container.alpha is not None and (container.alpha == PLANE).all()


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
        for index, tile in enumerate(Grid(width, height).tiles()):
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


def test_reading_info_loads_no_range_coder() -> None:
    code = "import sys, rdae.bitstream.info; sys.exit('constriction' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

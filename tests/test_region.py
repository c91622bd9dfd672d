"""A part of a picture: the same pixels as in the whole, at the price of the part."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rdae
from rdae.bitstream.container import Container, TilePayload, read_container, write_container
from rdae.bitstream.payload import pack_alpha, unpack_alpha, unpack_alpha_region
from rdae.codec import decode, rescue
from rdae.errors import (
    CorruptError,
    RegionError,
    TooLargeError,
    TruncatedError,
    UnsupportedFeatureError,
)
from rdae.geometry import Rectangle
from rdae.images.picture import Picture
from tests.small_tiles import PIXELS, Coded, coded, small_tiles


@pytest.fixture(scope="module", autouse=True)
def tiles_are_small() -> Iterator[None]:
    with small_tiles():
        yield


@pytest.fixture(scope="module")
def rich(photo, tiles_are_small) -> Coded:
    """5x4 tiles with everything that a file can hold."""
    rgb = np.ascontiguousarray(photo.rgb[:500, :600])
    alpha = (np.indices(rgb.shape[:2]).prod(0) // 64 % 256).astype(np.uint8)
    return coded(Picture(rgb, alpha, False, b"profile" * 9, b"MM\0*exif", b"<x/>" * 9))


@pytest.fixture(scope="module")
def several_sizes(photo, tiles_are_small, rich) -> list[Coded]:
    sizes = [(130, 700), (257, 129), (300, 384)]
    pictures = [Picture(np.ascontiguousarray(photo.rgb[:h, :w]), None, False) for h, w in sizes]
    return [rich, *map(coded, pictures)]


def part(array, region: Rectangle):
    return array[region.top : region.bottom, region.left : region.right]


def is_the_crop(file: Coded, region: Rectangle, **options) -> bool:
    picture = decode(file.data, region=region, **options)
    whole = file.decoded
    assert (picture.icc, picture.exif, picture.xmp) == (whole.icc, whole.exif, whole.xmp)
    assert (picture.alpha is None) == (whole.alpha is None)
    if picture.alpha is not None:
        assert np.array_equal(picture.alpha, part(whole.alpha, region))
    return np.array_equal(picture.rgb, part(whole.rgb, region))


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_region_has_the_pixels_of_the_whole(several_sizes, data):
    file = data.draw(st.sampled_from(several_sizes))
    height, width = file.rgb.shape[:2]
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    size = [
        data.draw(st.integers(1, min(200, room)))  # of a few tiles, so that it is quick
        for room in (width - left, height - top)
    ]
    assert is_the_crop(file, Rectangle.at(left, top, *size), threads=data.draw(st.integers(1, 2)))


@pytest.mark.parametrize(
    "region",
    [
        Rectangle.at(0, 0, 1, 1),
        Rectangle.at(599, 499, 1, 1),
        Rectangle.at(PIXELS - 1, PIXELS - 1, 1, 1),
        Rectangle.at(PIXELS - 1, PIXELS - 1, 2, 2),
        Rectangle.at(0, 499, 600, 1),
        Rectangle.at(599, 0, 1, 500),
    ],
    ids=str,
)
def test_corners_edges_and_the_whole_are_regions_too(rich, region):
    assert is_the_crop(rich, region)


def test_a_grey_region_is_grey(photo):
    grey = np.repeat(photo.rgb[:200, :300, 1:2], 3, axis=2)
    file = coded(Picture(np.ascontiguousarray(grey), None, True))
    assert is_the_crop(file, Rectangle.at(100, 90, 60, 50))
    assert decode(file.data, region=Rectangle.at(5, 5, 9, 9)).is_grey


def test_a_region_of_a_picture_without_colours_is_neutral(photo):
    grey = np.repeat(photo.rgb[:200, :300, 1:2], 3, axis=2)
    file = coded(Picture(np.ascontiguousarray(grey), None, False))
    assert is_the_crop(file, Rectangle.at(100, 90, 60, 50))
    assert not decode(file.data, region=Rectangle.at(5, 5, 9, 9)).is_grey
    assert (file.rgb == file.rgb[..., :1]).all()


OUTSIDE = [
    *[(0, 0, 0, 9), (0, 0, 9, 0), (5, 5, -2, 3), (-1, 0, 5, 5), (0, -1, 5, 5), (600, 0, 1, 1)],
    *[(0, 500, 1, 1), (0, 0, 601, 1), (0, 0, 1, 501), (599, 499, 1 << 60, 1)],
]


@pytest.mark.parametrize("region", OUTSIDE, ids=str)
def test_a_region_outside_or_without_pixels_names_the_size_of_the_picture(rich, region):
    with pytest.raises(RegionError, match="600x500") as caught:
        rdae.decompress(rich.data, region=region)
    assert ",".join(map(str, region)) in str(caught.value)


def test_the_limit_of_pixels_is_that_of_the_region(several_sizes):
    data = several_sizes[1].data
    assert decode(data, region=Rectangle.at(0, 0, 30, 20), max_pixels=600).width == 30
    with pytest.raises(TooLargeError, match="the region has 30 x 21 = 630 pixels"):
        decode(data, region=Rectangle.at(0, 0, 30, 21), max_pixels=629)


@pytest.mark.parametrize("function", [decode, rescue])
def test_with_alpha_the_limit_is_that_of_all_rows_down_to_the_region(rich, function, monkeypatch):
    region = Rectangle.at(5, 100, 30, 20)
    function(rich.data, region=region, max_pixels=600 * 120)
    monkeypatch.setattr("rdae.bitstream.payload.zlib.decompressobj", None)  # is not even begun
    with pytest.raises(TooLargeError, match=r"alpha plane, .* has 600 x 120 = 72 000") as caught:
        function(rich.data, region=region, max_pixels=600 * 120 - 1)
    assert "--max-pixels 72000" in caught.value.hint


def test_only_the_tiles_that_are_needed_are_looked_at(rich):
    damaged = rich.without(*(i for i in range(20) if i not in (6, 7)))
    inside = Rectangle.at(1 * PIXELS + 50, 1 * PIXELS + 50, 100, 20)  # 3 cells from the other tiles
    picture = decode(damaged, region=inside)
    assert np.array_equal(picture.rgb, part(rich.rgb, inside))
    with pytest.raises(CorruptError, match="tile 8"):
        decode(damaged, region=Rectangle.at(2 * PIXELS, 1 * PIXELS + 50, PIXELS - 30, 20))


def test_a_file_that_is_cut_behind_the_region_still_has_it(rich):
    cut = rich.data[: rich.begin(8) + 9]
    inside = Rectangle.at(PIXELS + 50, 0, 100, 190)
    assert np.array_equal(decode(cut, region=inside).rgb, part(rich.rgb, inside))
    with pytest.raises(TruncatedError):
        decode(cut, region=Rectangle.at(0, 2 * PIXELS, 9, 9))


def test_damage_to_what_every_region_needs_is_an_error(rich):
    region = Rectangle.at(0, 0, 9, 9)
    for letter in "iexA":
        begin = rich.chunk(letter)
        damaged = bytearray(rich.data)
        damaged[begin + 7] ^= 1
        with pytest.raises(CorruptError):
            decode(bytes(damaged), region=region)
    with pytest.raises(UnsupportedFeatureError):
        decode(rich.data + b"Q\0", region=region)


def test_a_region_of_a_huge_picture_takes_the_memory_of_the_region(rich, model, monkeypatch):
    # three gigapixels; of the tiles nothing is real but their number
    known = read_container(rich.data).header
    monkeypatch.setattr("rdae.bitstream.tiles.TILE_CELLS", 64)
    header = replace(known, width=60_000, height=50_000, has_alpha=False)
    data = write_container(Container(header, (TilePayload(b"", b"", 0),) * (59 * 49)))
    decoded = []

    def decode_tile(model, header, tile, *rest):
        decoded.append(tile.index)
        return None, np.zeros((tile.rows, tile.columns, model.spec.latent_channels))

    monkeypatch.setattr("rdae.codec.decoder.decode_tile", decode_tile)
    tracemalloc.start()
    picture = decode(data, region=Rectangle.at(2 * 1024 - 50, 1024 - 50, 100, 70))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert picture.rgb.shape == (70, 100, 3)
    assert sorted(decoded) == [1, 2, 60, 61]
    assert peak < 200e6


def test_a_region_of_a_huge_alpha_plane_is_inflated_piece_by_piece():
    packed = b"\2" + zlib.compress(bytes(20_000 * 5_000), 1)
    tracemalloc.start()
    plane = unpack_alpha_region(packed, 20_000, 5_000, Rectangle.at(5, 4_900, 50, 100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert plane.shape == (100, 50) and not plane.any()
    assert peak < 10e6


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2), st.data())
def test_a_part_of_an_alpha_plane_is_the_crop_of_it(height, width, kind, data):
    alpha = np.random.default_rng(kind).integers(0, 256, (height, width), dtype=np.uint8)
    samples = alpha.astype(int)
    if kind == 1:
        samples[:, 1:] -= alpha[:, :-1]
    elif kind == 2:
        samples[1:] -= alpha[:-1]
    packed = bytes((kind,)) + zlib.compress((samples % 256).astype(np.uint8).tobytes())
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    region = Rectangle.at(
        left, top, data.draw(st.integers(1, width - left)), data.draw(st.integers(1, height - top))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rdae.bitstream.payload._PIECE_BYTES", data.draw(st.integers(1, 99)))
        found = unpack_alpha_region(packed, width, height, region)
    assert np.array_equal(found, part(unpack_alpha(packed, width, height), region))


@pytest.mark.parametrize(
    "packed", [b"", b"\3", b"\0", b"\0junk", pack_alpha(np.ones((2, 9), "u1"))]
)
def test_malformed_alpha_is_corrupt_in_regions_too(packed):
    with pytest.raises(CorruptError):
        unpack_alpha_region(packed, 9, 3, Rectangle.at(0, 0, 9, 3))


@pytest.mark.slow
def test_regions_of_a_picture_with_tiles_of_full_size(photo, monkeypatch):
    monkeypatch.setattr("rdae.bitstream.tiles.TILE_CELLS", 64)
    rgb = np.tile(photo.rgb, (3, 4, 1))[:1500, :2600]
    file = coded(Picture(np.ascontiguousarray(rgb), None, False))
    rng = np.random.default_rng(3)
    regions = [
        Rectangle.at(1000, 1000, 60, 60),
        Rectangle.at(2599, 1499, 1, 1),
        Rectangle.at(1023, 0, 2, 1500),
    ]
    for _ in range(8):
        left, top = int(rng.integers(2600)), int(rng.integers(1500))
        right, bottom = int(rng.integers(left, 2600)), int(rng.integers(top, 1500))
        regions.append(Rectangle.at(left, top, right - left + 1, bottom - top + 1))
    for region in regions:
        assert is_the_crop(file, region)

"""Payloads: alpha filters are lossless, inflation is bounded and strict, and so is WebP."""

from __future__ import annotations

import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rdae.bitstream.graphics import encode_graphics
from rdae.bitstream.payload import (
    _pack_tiles,
    deflate,
    inflate,
    pack_alpha,
    unpack_alpha,
    unpack_alpha_region,
)
from rdae.bitstream.varint import pack_varint
from rdae.errors import CorruptError
from rdae.geometry import Rectangle

Plane = NDArray[np.uint8]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2), st.integers(0, 2**32 - 1))
def test_any_alpha_plane_survives_every_filter(
    height: int, width: int, kind: int, seed: int
) -> None:
    alpha = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    assert (unpack_alpha(pack_alpha(alpha), width, height) == alpha).all()
    samples = alpha.astype(int)
    if kind == 1:
        samples[:, 1:] -= alpha[:, :-1]
    elif kind == 2:
        samples[1:] -= alpha[:-1]
    packed = bytes((kind,)) + zlib.compress((samples % 256).astype(np.uint8).tobytes())
    assert (unpack_alpha(packed, width, height) == alpha).all()


@pytest.mark.parametrize(("axis", "kind"), [(1, 1), (0, 2)])
def test_the_filter_follows_the_direction_that_packs_best(
    axis: int, kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdae.bitstream.payload._pack_tiles", lambda _: bytes(1 << 20))
    walk = np.random.default_rng(3).integers(0, 256, 200, dtype=np.uint8)
    ramp = np.arange(200, dtype=np.uint8)[None] * 7 + walk[:, None]
    alpha = ramp if axis == 1 else np.ascontiguousarray(ramp.T)
    assert pack_alpha(alpha)[0] == kind


def as_webp(alpha: Plane) -> bytes:
    """An alpha plane as WebP, whether that is the smallest or not."""
    return b"\3" + _pack_tiles(alpha)


def drawn(height: int, width: int) -> Plane:
    """A plane with repetitions in two dimensions."""
    return (np.add.outer(np.arange(height) // 5, np.arange(width) // 7) % 5 * 60).astype(np.uint8)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.data())
def test_alpha_as_webp_survives_at_any_size_whole_and_in_parts(
    height: int, width: int, cells: int, data: st.DataObject
) -> None:
    levels = data.draw(st.sampled_from([1, 2, 16, 256]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    alpha = (rng.integers(0, levels, (height, width)) * 255 // max(1, levels - 1)).astype(np.uint8)
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    columns, rows = data.draw(st.integers(1, width - left)), data.draw(st.integers(1, height - top))
    region = Rectangle.at(left, top, columns, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rdae.bitstream.tiles.TILE_CELLS", cells)  # of 16 pixels
        packed = as_webp(alpha)
        assert np.array_equal(unpack_alpha(packed, width, height), alpha)
        part = unpack_alpha_region(packed, width, height, region)
    assert np.array_equal(part, alpha[region.slices()])


def test_the_smallest_is_kept() -> None:
    alpha = drawn(200, 300)
    assert pack_alpha(alpha) == as_webp(alpha)
    noise = np.random.default_rng(3).integers(0, 256, (9, 9), dtype=np.uint8)
    assert pack_alpha(noise)[0] < 3 and len(pack_alpha(noise)) < len(as_webp(noise))


def test_what_of_webp_is_not_alpha_is_corrupt_and_says_how() -> None:
    alpha = drawn(20, 1030)
    first, second = _pack_tiles(alpha[:, :1024]), _pack_tiles(alpha[:, 1024:])
    assert as_webp(alpha) == b"\3" + first + second
    coloured = np.dstack([alpha, alpha, alpha ^ 1])[:, :1024]
    stream = encode_graphics(coloured)
    colours = pack_varint(len(stream)) + stream
    cases = {
        b"": "ends in its tile 0",
        b"\xff": "ends in its tile 0",
        b"\x80\0": "tile 0: .*needless leading zeros",
        first: "ends in its tile 1",
        first[:-1]: "ends in its tile 0",
        first + second[:-1]: "ends in its tile 1",
        first + second + b"!": "bytes after the last tile of the alpha plane: 1",
        first + b"\0": "tile 1: .*does not begin as",
        first + first: "tile 1: .*is 1024 x 20, the tile 6 x 20",
        second + first: "tile 0: .*is 6 x 20, the tile 1024 x 20",
        colours + second: "tile 0: .*has colours",
    }
    for samples, message in cases.items():
        for region in (Rectangle.whole(1030, 20), Rectangle.at(1000, 3, 30, 9)):
            with pytest.raises(CorruptError, match=message):
                unpack_alpha_region(b"\3" + samples, 1030, 20, region)
        with pytest.raises(CorruptError, match=message):
            unpack_alpha(b"\3" + samples, 1030, 20)


def test_of_a_region_of_webp_only_its_tiles_are_decoded() -> None:
    alpha = drawn(20, 1030)
    packed = bytearray(as_webp(alpha))
    packed[40] ^= 0xFF  # of the first tile
    part = unpack_alpha_region(bytes(packed), 1030, 20, Rectangle.at(1024, 0, 6, 20))
    assert np.array_equal(part, alpha[:, 1024:])


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_any_byte_of_webp_changed_or_cut_is_alpha_or_corrupt(
    place: int, value: int, is_cut: bool
) -> None:
    packed = bytearray(as_webp(drawn(31, 33)))
    at = 1 + place % (len(packed) - 1)
    packed[at:] = b"" if is_cut else bytes([value]) + packed[at + 1 :]
    with suppress(CorruptError):
        assert unpack_alpha(bytes(packed), 33, 31).shape == (31, 33)


def test_a_tile_that_says_a_huge_size_takes_no_memory() -> None:
    stream = b"/" + ((1 << 28) - 1).to_bytes(4, "little") + bytes(9)  # 16384 x 16384
    tracemalloc.start()
    with pytest.raises(CorruptError, match="is 16384 x 16384, the tile 4 x 3"):
        unpack_alpha(b"\3" + pack_varint(len(stream)) + stream, 4, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_constant_alpha_costs_next_to_nothing() -> None:
    assert len(pack_alpha(np.full((512, 768), 255, np.uint8))) < 500


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (b"", "no filter byte"),
        (b"\x04" + deflate(bytes(12)), "filter is 4"),
        (b"\x00" + deflate(bytes(11)), "holds 11 samples, the picture has 12"),
        (b"\x00" + deflate(bytes(13)), "more than 12 bytes"),
        (b"\x00" + deflate(bytes(12)) + b"!", "bytes after the zlib stream of the alpha plane: 1"),
        (b"\x00" + deflate(bytes(12))[:-1], "has no end"),
        (b"\x00", "has no end"),
        (b"\x00" + b"not deflated", "not a valid zlib stream"),
        (b"\x00" + deflate(bytes(12))[:-1] + b"\xff", "not a valid zlib stream"),
    ],
    ids=lambda value: value if isinstance(value, str) else "payload",
)
def test_malformed_alpha_is_corrupt_and_says_how(packed: bytes, message: str) -> None:
    with pytest.raises(CorruptError, match=message):
        unpack_alpha(packed, 4, 3)


def test_a_bomb_is_stopped_at_the_limit() -> None:
    bomb = deflate(bytes(50_000_000))
    with pytest.raises(CorruptError, match="more than 1 000 bytes"):
        inflate(bomb, 1000, "the bomb")


@settings(derandomize=True, deadline=None)
@given(st.binary(min_size=1, max_size=300))
def test_inflation_stops_exactly_at_the_limit(data: bytes) -> None:
    assert inflate(deflate(data), len(data), "the block") == data
    if len(data) > 1:
        with pytest.raises(CorruptError):
            inflate(deflate(data), len(data) - 1, "the block")


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_inflate_or_are_corrupt(stream: bytes) -> None:
    with suppress(CorruptError):
        assert len(inflate(stream, 100, "the block")) <= 100

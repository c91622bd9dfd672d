"""Deflated payloads: alpha filters are lossless, inflation is bounded and strict."""

from __future__ import annotations

import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdae.bitstream.payload import deflate, inflate, pack_alpha, unpack_alpha
from rdae.errors import CorruptError


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
def test_the_filter_follows_the_direction_that_packs_best(axis: int, kind: int) -> None:
    walk = np.random.default_rng(3).integers(0, 256, 200, dtype=np.uint8)
    ramp = np.arange(200, dtype=np.uint8)[None] * 7 + walk[:, None]
    alpha = ramp if axis == 1 else np.ascontiguousarray(ramp.T)
    assert pack_alpha(alpha)[0] == kind


def test_constant_alpha_costs_next_to_nothing() -> None:
    assert len(pack_alpha(np.full((512, 768), 255, np.uint8))) < 500


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (b"", "no filter byte"),
        (b"\x03" + deflate(bytes(12)), "filter is 3"),
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

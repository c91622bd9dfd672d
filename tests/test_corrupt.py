"""Damaged files: one clear error, or exactly the right picture; never anything else."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from rdae.codec import decode, encode, read_info
from rdae.errors import BitstreamError, ModelError, RdaeError, TooLargeError
from rdae.images.picture import Picture

HEADER_FIELDS = range(4, 13)  # version and flags, model id, fingerprint, quality, width, height


@pytest.fixture(scope="module")
def files(photo) -> list[tuple[bytes, Picture]]:
    """Small files of every kind of chunk, with what they decode to."""
    rgb = np.ascontiguousarray(photo.rgb[180:213, 380:427])
    alpha = (np.arange(33 * 47).reshape(33, 47) // 7 % 256).astype(np.uint8)
    plain = Picture(rgb, None, False)
    rich = Picture(rgb, alpha, False, b"profile" * 20, b"MM\0*exif", b"<x/>" * 9)
    data = [encode(p, quality=q).data for p, q in ((plain, 20), (plain, 90), (rich, 60))]
    return [(d, decode(d)) for d in data]


def check(data: bytes, original: Picture) -> bool:
    """Decode damaged bytes; True if they were refused, and the refusal reads well."""
    try:
        picture = decode(data, max_pixels=10**6, threads=1)
    except (BitstreamError, ModelError, TooLargeError) as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 300
        return True
    assert np.array_equal(picture.rgb, original.rgb)
    assert picture.is_grey == original.is_grey
    if picture.alpha is None or original.alpha is None:
        assert picture.alpha is original.alpha
    else:
        assert np.array_equal(picture.alpha, original.alpha)
    return False


def with_header_check(data: bytearray, end: int) -> bytes:
    """Repair the header's checksum, so that damage gets past it."""
    data[end : end + 2] = (zlib.crc32(bytes(data[:end])) & 0xFFFF).to_bytes(2, "little")
    return bytes(data)


def test_flipped_bits_are_found(files):
    rng = np.random.default_rng(1)
    refused = 0
    for i in range(900):
        data, original = files[i % 3]
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            damaged[at] ^= 1 << rng.integers(8)
        refused += check(bytes(damaged), original)
    assert refused > 880  # a flip in the last word may decode to the same symbols


def test_replaced_and_removed_and_inserted_bytes_are_found(files):
    rng = np.random.default_rng(2)
    refused = 0
    for i in range(600):
        data, original = files[i % 3]
        at, length = rng.integers(0, len(data)), rng.integers(1, 40)
        new = rng.bytes(rng.integers(0, 40))
        damaged = data[:at] + new + data[at + length :]
        if damaged != data:
            refused += check(damaged, original)
    assert refused > 590


def test_every_truncation_is_found(files):
    for data, original in files:
        for end in range(len(data)):
            assert check(data[:end], original), f"cut to {end} of {len(data)} bytes"


def test_changed_header_fields_with_a_repaired_checksum_are_found(files):
    data, original = files[0]
    for at in HEADER_FIELDS:
        for value in range(0, 256, 5):
            damaged = bytearray(data)
            if damaged[at] == value:
                continue
            damaged[at] = value
            assert check(with_header_check(damaged[:], 13), original)


def test_random_bytes_behind_the_magic_are_refused():
    rng = np.random.default_rng(3)
    for _ in range(300):
        data = b"\x93RDA\x10" + rng.bytes(int(rng.integers(0, 200)))
        with pytest.raises(RdaeError):
            decode(data)
        with pytest.raises(RdaeError):
            read_info(data)


def test_a_huge_size_is_refused_before_anything_is_allocated(files):
    data, _ = files[0]
    huge = bytearray(data[:11] + bytes([0xFF, 0xFF, 0x7F]) * 2)
    crc = (zlib.crc32(bytes(huge)) & 0xFFFF).to_bytes(2, "little")
    with pytest.raises(TooLargeError):
        decode(bytes(huge) + crc + data[15:])


def test_other_files_are_not_rdae_files():
    for data in (b"", b"\x93", b"\x89PNG\r\n\x1a\n" + bytes(50), Path(__file__).read_bytes()):
        with pytest.raises(BitstreamError):
            decode(data)

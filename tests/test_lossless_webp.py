"""A tile as WebP says more than a tile may: what it says beyond that is refused, not converted."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rdae.bitstream.chunks import scan
from rdae.bitstream.container import Container, TilePayload, write_container
from rdae.bitstream.graphics import decode_graphics, encode_graphics
from rdae.bitstream.header import Header, read_header
from rdae.bitstream.tiles import pixels_crc
from rdae.bitstream.varint import ByteReader, pack_varint
from rdae.codec import Rectangle, decode, encode, find_damage, rescue
from rdae.errors import CorruptError
from rdae.images.picture import Picture
from rdae.lossless.coding import GRAPHICS
from rdae.model.installed import load_lossless

Pixels = NDArray[np.uint8]


def webp(image: Image.Image, **options: Any) -> bytes:
    """A WebP file."""
    file = io.BytesIO()
    image.save(file, "WEBP", **options)
    return file.getvalue()


def bitstream(file: bytes) -> bytes:
    """What stands in the chunk VP8L of a WebP file."""
    at = file.index(b"VP8L") + 8
    return file[at : at + int.from_bytes(file[at - 4 : at], "little")]


def file_of(stream: bytes, pixels: Pixels, *, alpha: Pixels | None = None, flag: str = "") -> bytes:
    """A file of one tile of WebP, with a checksum that matches these pixels."""
    model, (rows, columns) = load_lossless(), pixels.shape[:2]
    header = Header(
        columns,
        rows,
        0,
        model.model_id,
        model.fingerprint,
        is_grey=flag == "is_grey",
        is_neutral=flag == "is_neutral",
        has_alpha=alpha is not None,
        is_lossless=True,
    )
    payload = TilePayload(b"", bytes([GRAPHICS]) + stream, pixels_crc(header, 0, pixels))
    return write_container(Container(header, (payload,), alpha))


def refused(data: bytes, match: str) -> None:
    """Check that a file is refused, by name of its tile, and that nothing of it is converted."""
    with pytest.raises(CorruptError, match=f"tile 0: .*{match}"):
        decode(data)
    assert [str(d.error) for d in find_damage(data)[1]] == [str(rescue(data).damage[0].error)]
    assert (rescue(data).picture.rgb == 128).all()


@pytest.fixture
def colours(crop: Pixels) -> Pixels:
    return np.ascontiguousarray(crop[:20, :30])


@pytest.fixture
def stream(colours: Pixels) -> bytes:
    return bitstream(webp(Image.fromarray(colours), lossless=True))


def test_a_tile_of_webp_is_read(colours: Pixels, stream: bytes) -> None:
    assert np.array_equal(decode(file_of(stream, colours)).rgb, colours)


def test_a_stream_without_its_last_zeros_is_refused(colours: Pixels) -> None:
    """Its frame is padded to an even size, and libwebp reads the padding as if it were of it."""
    ends_in_zero = 0
    for rows, columns in np.ndindex(6, 9):
        part = np.ascontiguousarray(colours[: rows + 1, : columns + 1])
        stream = encode_graphics(part)
        if stream[-1] == 0 and len(stream) % 2 == 0:
            ends_in_zero += 1
            with pytest.raises(CorruptError):
                decode(file_of(stream[:-1], part))
    assert ends_in_zero


@contextmanager
def little_memory(room: int) -> Iterator[None]:
    """Let the process have so many bytes more than it has."""
    if sys.platform != "linux":
        pytest.skip("asks Linux for the size of the process")
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + room
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_picture_that_there_is_no_memory_for_is_not_called_damaged() -> None:
    stream = bytearray(encode_graphics(np.zeros((8, 8, 3), np.uint8)))
    stream[1:5] = (16383 | 16383 << 14).to_bytes(4, "little")  # one colour fits any size
    with little_memory(200 << 20), pytest.raises(MemoryError):
        decode_graphics(bytes(stream), 16384, 16384)


def test_an_encoder_without_memory_says_so() -> None:
    # 64 MB in one piece, which no heap has that a process has grown and left
    plain = np.zeros((4096, 4096, 4), np.uint8)
    encode_graphics(plain[:8, :8])  # Pillow is imported
    with little_memory(20 << 20), pytest.raises(MemoryError):
        encode_graphics(plain)


def test_threads_that_read_webp_leave_warnings_as_they_are(colours: Pixels, stream: bytes) -> None:
    filters, before = warnings.filters, sys.getswitchinterval()

    def read(_: int) -> bool:
        return np.array_equal(decode_graphics(stream, *colours.shape[:2]), colours)

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(read, range(2000)))
    finally:
        sys.setswitchinterval(before)
    assert warnings.filters is filters


@pytest.mark.parametrize("flag", ["is_grey", "is_neutral"])
def test_colours_in_a_picture_that_says_none_are_refused(
    colours: Pixels, stream: bytes, flag: str
) -> None:
    refused(file_of(stream, colours, flag=flag), "colours, and must not")
    one = np.repeat(colours[..., 1:2], 3, axis=2)
    grey = bitstream(webp(Image.fromarray(one), lossless=True))
    assert np.array_equal(decode(file_of(grey, one, flag=flag)).rgb, one)
    one[-1, -1, 2] ^= 1  # a single sample that differs is a colour
    almost = bitstream(webp(Image.fromarray(one), lossless=True))
    refused(file_of(almost, one, flag=flag), "colours")


@pytest.mark.parametrize("has_alpha", [False, True])
def test_alpha_inside_of_a_tile_is_refused(colours: Pixels, has_alpha: bool) -> None:
    """Also in a picture with alpha, which has a chunk of its own for it."""
    alpha = np.arange(600, dtype=np.uint32).reshape(20, 30).astype(np.uint8)
    both = np.concatenate([colours, alpha[..., None]], axis=2)
    inside = bitstream(webp(Image.fromarray(both), lossless=True, exact=True))
    refused(file_of(inside, colours, alpha=alpha if has_alpha else None), "alpha")


@pytest.mark.parametrize("shape", [(20, 31), (21, 30), (30, 20), (1, 1)])
def test_a_tile_of_another_size_is_refused(
    colours: Pixels, stream: bytes, shape: tuple[int, int]
) -> None:
    wrong = np.resize(colours, (*shape, 3))
    text = f"is 30 x 20, the tile {shape[1]} x {shape[0]}"
    refused(file_of(stream, np.ascontiguousarray(wrong)), text)


def test_whole_files_animations_and_lossy_webp_are_refused(colours: Pixels) -> None:
    image = Image.fromarray(colours)
    moving = {"save_all": True, "append_images": [Image.fromarray(255 - colours)]}
    lossy = webp(image, quality=90)
    for whole in (webp(image, lossless=True), webp(image, lossless=True, **moving), lossy):
        refused(file_of(whole, colours), "whole WebP file")
    assert lossy[12:16] == b"VP8 "
    refused(file_of(lossy[20:], colours), "does not begin as the bitstream of lossless WebP")
    refused(file_of(b"", colours), "does not begin")
    refused(file_of(b"/" + lossy[20:], colours), "WebP bitstream")


def alpha_of(alpha: bytes, colours: Pixels, stream: bytes) -> bytes:
    """A file of one tile, whose alpha is this bitstream, with checksums that match."""
    packed = b"\3" + pack_varint(len(alpha)) + alpha
    with mock.patch("rdae.bitstream.container.pack_alpha", return_value=packed):
        return file_of(stream, colours, alpha=np.zeros(colours.shape[:2], np.uint8))


@pytest.mark.usefixtures("divided")
def test_alpha_of_webp_is_read_with_lossless_and_lossy_tiles(colours: Pixels) -> None:
    alpha = np.random.default_rng(5).choice(np.array([40, 250], np.uint8), (60, 90))
    picture = Picture(np.tile(colours, (3, 3, 1)), alpha, False)
    for data in (encode(picture, max_error=0).data, encode(picture, quality=30).data):
        reader = ByteReader(data)
        chunks = scan(reader, read_header(reader))
        assert next(chunk.payload[0] for chunk in chunks if chunk.type == "A") == 3
        for region in (None, Rectangle.at(13, 7, 40, 50)):
            found = decode(data, region=region).alpha
            assert found is not None
            assert np.array_equal(found, alpha[region.slices()] if region else alpha)


def test_broken_alpha_of_webp_is_refused_and_becomes_opaque(colours: Pixels, stream: bytes) -> None:
    fine = bitstream(webp(Image.new("RGB", (30, 20), (9, 9, 9)), lossless=True))
    found = decode(alpha_of(fine, colours, stream)).alpha
    assert found is not None and (found == 9).all()
    inside = bitstream(webp(Image.new("RGBA", (30, 20), (9, 9, 9, 9)), lossless=True))
    cases = {b"": "does not begin", fine[:7]: "damaged", stream: "colours", inside: "says alpha"}
    for broken, match in cases.items():
        data = alpha_of(broken, colours, stream)
        for region in (None, Rectangle.at(3, 4, 5, 6)):
            with pytest.raises(CorruptError, match=f"alpha plane, tile 0: .*{match}"):
                decode(data, region=region)
        saved = rescue(data)
        assert [damage.part for damage in saved.damage] == ["alpha"]
        assert np.array_equal(saved.picture.rgb, colours)
        assert saved.picture.alpha is not None and (saved.picture.alpha == 255).all()


def test_another_version_or_broken_bits_are_refused(colours: Pixels, stream: bytes) -> None:
    other = bytearray(stream)
    other[4] |= 1 << 5
    refused(file_of(bytes(other), colours), "version")
    refused(file_of(stream[: len(stream) // 2], colours), "damaged")
    refused(file_of(stream[:5], colours), "damaged")

"""A drawing in one piece, with its alpha: smaller than its tiles, and as exact."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from rdae.bitstream.chunks import pack_chunk
from rdae.bitstream.container import Container, TilePayload, read_container, write_container
from rdae.bitstream.header import Header
from rdae.bitstream.tiles import pixels_crc
from rdae.bitstream.varint import pack_varint
from rdae.codec import Rectangle, decode, encode, find_damage, lossless, read_info, rescue
from rdae.errors import CorruptError, TooLargeError, TruncatedError
from rdae.images.picture import Picture
from rdae.lossless.coding import GRAPHICS, NETWORK, encode_undivided
from rdae.model.installed import load_lossless
from tests import independent_reader as reader

Pixels = NDArray[np.uint8]
OVERHEAD = 24  # bytes of header and framing beyond those of a WebP file


def drawing(rows: int, columns: int, seed: int = 0) -> Pixels:
    """Lettering: the same few shapes again and again."""
    rng = np.random.default_rng(seed)
    shapes = rng.integers(0, 3, (8, 12, 9, 3)).astype(np.uint8) * 120
    number = rng.integers(0, 8, (-(-rows // 12), -(-columns // 9)))
    return np.ascontiguousarray(
        shapes[number].transpose(0, 2, 1, 3, 4).reshape(12 * len(number), -1, 3)[:rows, :columns]
    )


def webp(picture: Picture) -> bytes:
    """The whole picture as a WebP file, by the settings that the codec has."""
    pixels = picture.rgb
    if picture.alpha is not None:
        pixels = np.concatenate([pixels, picture.alpha[..., None]], 2)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, quality=75, method=4, exact=True)
    return file.getvalue()


def check(picture: Picture, data: bytes) -> None:
    """Compare a file with what it was made of, as a whole and in part."""
    height, width = picture.rgb.shape[:2]
    for region in (Rectangle.whole(width, height), Rectangle.at(width // 3, height // 2, 1, 1)):
        found = decode(data, region=region)
        assert np.array_equal(found.rgb, picture.rgb[region.slices()])
        if picture.alpha is None:
            assert found.alpha is None
        else:
            assert np.array_equal(found.alpha, picture.alpha[region.slices()])  # type: ignore[arg-type]


def file_of(pixels: Pixels, payload: bytes | None = None) -> bytes:
    """An undivided file with a checksum that matches these pixels, whatever its payload."""
    model, (rows, columns, channels) = load_lossless(), pixels.shape
    header = Header(
        columns,
        rows,
        0,
        model.model_id,
        model.fingerprint,
        has_alpha=channels == 4,
        is_lossless=True,
        is_undivided=True,
    )
    coded = encode_undivided(pixels) if payload is None else payload
    return write_container(
        Container(header, (TilePayload(b"", coded, pixels_crc(header, 0, pixels)),))
    )


@pytest.fixture(scope="module")
def wide() -> Pixels:
    return drawing(200, 1500)


def test_a_drawing_of_several_tiles_is_smaller_in_one_piece(wide: Pixels) -> None:
    picture = Picture(wide, None, False)
    data = encode(picture, max_error=0).data
    with mock.patch.object(lossless, "MAX_UNDIVIDED_PIXELS", 0):
        divided = encode(picture, max_error=0).data
    assert len(data) < 0.95 * len(divided)
    assert len(data) <= len(webp(picture)) + OVERHEAD
    assert read_container(data).header.is_undivided
    assert (read_info(data).tile_columns, read_info(divided).tile_columns) == (1, 2)
    check(picture, data)
    check(picture, divided)


def test_a_photograph_of_several_tiles_stays_divided(photo: Picture) -> None:
    long = np.concatenate([photo.rgb[100:120], photo.rgb[200:220]], 1)
    assert read_info(encode(Picture(long, None, False), max_error=0).data).tile_columns == 2


def test_a_photograph_beside_its_copy_takes_no_more_bytes_than_webp(photo: Picture) -> None:
    part = photo.rgb[100:148, :600]
    picture = Picture(np.concatenate([part, part], 1), None, False)
    data = encode(picture, max_error=0).data
    assert len(data) <= len(webp(picture)) + OVERHEAD
    assert read_info(data).is_undivided
    check(picture, data)


def test_tiles_are_kept_where_memory_is_short_for_one_piece(wide: Pixels) -> None:
    picture = Picture(wide, None, False)
    with mock.patch.object(lossless, "encode_undivided", side_effect=MemoryError):
        data = encode(picture, max_error=0).data
    assert not read_info(data).is_undivided
    check(picture, data)


@pytest.mark.parametrize("is_grey", [True, False])
@pytest.mark.parametrize("alpha", ["shape", "opaque", "nothing"])
def test_alpha_may_stand_with_the_colours(is_grey: bool, alpha: str) -> None:
    """Also where it says nothing, and with colours that nobody sees."""
    rgb = drawing(60, 90)
    if is_grey:
        rgb = np.repeat(rgb[..., :1], 3, axis=2)
    plane = np.full(rgb.shape[:2], 255 if alpha == "opaque" else 0, np.uint8)
    if alpha == "shape":
        plane = rgb[..., 0]
    both = np.ascontiguousarray(np.concatenate([rgb, plane[..., None]], 2))
    check(Picture(rgb, plane, False), file_of(both))
    picture = Picture(rgb, plane, is_grey)
    data = encode(picture, max_error=0).data
    assert len(data) <= len(webp(picture)) + OVERHEAD
    check(picture, data)
    assert decode(data).is_grey == is_grey


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 1200),
    st.booleans(),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_no_drawing_is_larger_than_webp(rows, columns, has_alpha, most, random) -> None:
    rgb = drawing(rows, columns, random.randrange(100))
    picture = Picture(rgb, rgb[..., 1] if has_alpha else None, False)
    data = encode(picture, max_error=most).data
    assert len(data) <= len(webp(picture)) + OVERHEAD
    if most == 0:
        check(picture, data)


def test_the_command_says_that_alpha_is_with_the_colours(
    call: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "both.rd").write_bytes(file_of(np.zeros((9, 8, 4), np.uint8)))
    _, out, _ = call("info", "--explain", "both.rd")
    assert "one piece by WebP, alpha included." in out and "ALPHA" not in out
    assert json.loads(call("info", "both.rd", "--json")[1].splitlines()[0])["undivided"]


def test_a_largest_error_is_not_used_where_exact_is_smaller(wide: Pixels) -> None:
    info = read_info(encode(Picture(wide, None, False), max_error=2).data)
    assert info.max_error == 0


@pytest.mark.parametrize(("columns", "tiles"), [(16383, 1), (16384, 16), (16385, 17)])
def test_what_is_too_large_for_one_piece_is_divided(columns: int, tiles: int) -> None:
    picture = Picture(np.zeros((3, columns, 3), np.uint8), np.zeros((3, columns), np.uint8), False)
    data = encode(picture, max_error=0).data
    assert read_info(data).tile_columns == tiles
    check(picture, data)


def test_as_many_columns_as_the_bitstream_can_say_are_read() -> None:
    """More by one than libwebp encodes."""
    columns = 1 << 14
    payload = bytearray(encode_undivided(np.zeros((3, 8, 3), np.uint8)))
    payload[2:6] = (columns - 1 | 2 << 14).to_bytes(4, "little")  # one colour fits any size
    pixels = np.zeros((3, columns, 3), np.uint8)
    check(Picture(pixels, None, False), file_of(pixels, bytes(payload)))


def test_a_region_needs_all_of_the_picture_within_the_limit(wide: Pixels) -> None:
    data = file_of(wide)
    with pytest.raises(TooLargeError, match="decoded as a whole"):
        decode(data, region=Rectangle.at(0, 0, 9, 9), max_pixels=wide[..., 0].size - 1)


@pytest.mark.parametrize("channels", [3, 4])
def test_of_a_damaged_or_cut_one_nothing_is_left(wide: Pixels, channels: int) -> None:
    pixels = np.concatenate([wide, wide], 2)[..., :channels].copy()
    data = bytearray(file_of(pixels))
    cut = bytes(data[: len(data) // 2])
    data[len(data) // 2] ^= 16
    for broken, error in ((bytes(data), CorruptError), (cut, TruncatedError)):
        with pytest.raises(error) as refused:
            decode(broken)
        assert "best" not in refused.value.hint
        saved = rescue(broken)
        assert [damage.part for damage in saved.damage] == ["tile"]
        assert "nothing of the colours is left" in saved.text
        assert (saved.picture.rgb == 128).all()
        assert (saved.picture.alpha is None) == (channels == 3)
        assert saved.picture.alpha is None or (saved.picture.alpha == 255).all()
    assert [type(damage.error) for damage in find_damage(bytes(data))[1]] == [CorruptError]


def test_what_is_not_as_it_must_be_is_refused(wide: Pixels) -> None:
    part = np.ascontiguousarray(wide[:20, :30])
    both = np.concatenate([part, part[..., :1]], 2)
    stream = encode_undivided(part)[1:]
    cases = [
        (part, bytes([NETWORK]) + stream, "method 00, it must be 01"),
        (part, bytes([2]) + stream, "method 02"),
        (part, encode_undivided(both), "says alpha, which"),
        (both, encode_undivided(part), "says no alpha"),
        (part, bytes([GRAPHICS]) + stream[:9], "damaged"),
        (part[:-1], bytes([GRAPHICS]) + stream, "is 30 x 20"),
    ]
    for pixels, payload, match in cases:
        with pytest.raises(CorruptError, match=match):
            decode(file_of(pixels, payload))


def test_a_chunk_of_alpha_has_no_place_beside_it(wide: Pixels) -> None:
    both = np.concatenate([wide, wide[..., :1]], 2)
    file = read_container(file_of(both))
    with pytest.raises(ValueError, match="contradict"):
        write_container(replace(file, alpha=wide[..., 0]))
    data = file_of(both)
    begin = len(file.header.pack_with_check())
    with pytest.raises(CorruptError, match="chunk A, but the pixels have it"):
        decode(data[:begin] + pack_chunk("A", bytes(9)) + data[begin:])


def test_only_exact_pixels_are_undivided() -> None:
    for settings_ in ({"is_lossless": False}, {"is_lossless": True, "quality_point": 1}):
        with pytest.raises(ValueError, match="undivided"):
            replace(read_container(file_of(drawing(5, 5))).header, **settings_)


def test_too_many_pixels_for_one_piece_are_refused_before_any_work() -> None:
    header = read_container(file_of(drawing(5, 5))).header
    most = replace(header, width=8192, height=4096)
    with pytest.raises(ValueError, match="33554432 pixels at most"):
        replace(header, width=8193, height=4096)
    packed = most.pack()[: -len(pack_varint(8192) + pack_varint(4096))]
    packed += pack_varint(8193) + pack_varint(4096)
    data = packed + (zlib.crc32(packed) & 0xFFFF).to_bytes(2, "little")
    for read in (read_info, decode, reader.Container):
        with pytest.raises((CorruptError, reader.FormatError), match="pixels"):
            read(data)

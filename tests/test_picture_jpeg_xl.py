"""JPEG XL: read through a plugin where that is installed, and refused clearly otherwise."""

from __future__ import annotations

import builtins
import io
import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rdae.errors import ImageError, TooLargeError, UnsupportedImageError
from rdae.images.jpeg_xl import Header, parse_header
from rdae.images.picture import Picture
from rdae.images.pillow import read_picture
from tests.image_samples import file_of

RNG = np.random.default_rng(4)
RGBA = RNG.integers(0, 256, (11, 13, 4), np.uint8)
BOX_SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"

# -------------------------------------------------------------------------- headers, made by hand


class Bits:
    """Writes numbers, least significant bit first."""

    def __init__(self) -> None:
        self.value = self.count = 0

    def put(self, *numbers: tuple[int, int]) -> Bits:
        """Append numbers, each with its count of bits."""
        for number, count in numbers:
            assert number < 1 << count
            self.value |= number << self.count
            self.count += count
        return self

    def data(self) -> bytes:
        return b"\xff\x0a" + self.value.to_bytes((self.count + 7) // 8 + 8, "little")


def size(width: int, height: int) -> Bits:
    """A codestream's size header, with no ratio."""
    return Bits().put((0, 1), (3, 2), (height - 1, 30), (0, 3), (3, 2), (width - 1, 30))


def animated() -> bytes:
    rate = [(0, 2), (0, 2), (0, 2), (0, 1)]
    return size(5, 4).put((0, 1), (1, 1), (0, 3), (0, 1), (0, 1), (1, 1), *rate).data()


def with_depth(*depth: tuple[int, int], channels: tuple[tuple[int, int], ...] = ((0, 2),)) -> bytes:
    return size(5, 4).put((0, 1), (0, 1), *depth, (1, 1), *channels, (0, 1), (1, 1)).data()


def with_colours(*description: tuple[int, int]) -> bytes:
    """A header of 8 bits whose colours are described otherwise than as sRGB."""
    return (
        size(5, 4).put(*[(0, 1)] * 3, (0, 2), (1, 1), (0, 2), (1, 1), (0, 1), *description).data()
    )


BLACK = ((1, 2), (0, 1), (2, 2), (2, 4), (0, 1), (0, 2), (0, 2), (0, 2))  # type 4, 8 bits, no name
TEN_BITS, HALF_FLOATS = ((0, 1), (1, 2)), ((1, 1), (1, 2), (5, 4))


def test_the_header_of_a_codestream_says_what_counts() -> None:
    assert parse_header(size(5, 4).put((1, 1)).data()) == Header(5, 4)
    assert parse_header(Bits().put((1, 1), (3, 5), (3, 3), (1, 1)).data()) == Header(42, 32)
    assert parse_header(animated()).is_animated
    assert parse_header(with_depth(*TEN_BITS)).bits == 10
    assert parse_header(with_depth(*HALF_FLOATS)).bits == 32
    assert parse_header(with_depth((0, 1), (0, 2), channels=BLACK)).other_channels == (4,)


def test_the_header_is_found_in_boxes_whether_in_one_piece_or_several() -> None:
    stream = animated()
    whole = struct.pack(">I4s", 8 + len(stream), b"jxlc") + stream
    parts = b"".join(
        struct.pack(">I4sI", 12 + len(part), b"jxlp", i) + part
        for i, part in enumerate((stream[:3], stream[3:]))
    )
    for boxes in (whole, parts):
        assert parse_header(BOX_SIGNATURE + boxes) == parse_header(stream)


RGB, GREY, XYB, D65 = (0, 2), (1, 2), ((2, 2), (0, 4)), (1, 2)
OWN = ((2, 2), (0, 4))
BT_2020, PQ, HLG = ((2, 2), (7, 4)), ((2, 2), (14, 4)), ((3, 2), (0, 6))
AT = ((3, 2), (5, 21))  # one coordinate


@pytest.mark.parametrize(("kind", "number", "name"), [(PQ, 16, "PQ"), (HLG, 18, "HLG")])
def test_hdr_colours_are_refused(kind: Any, number: int, name: str) -> None:
    for space in (
        ((0, 1), RGB, D65, *BT_2020),
        ((0, 1), RGB, *OWN, *AT, *AT, *OWN, *AT * 6),
        ((0, 1), GREY, D65),
    ):
        data = with_colours(*space, (0, 1), *kind)
        assert parse_header(data).transfer == number
        assert f"HDR colours ({name})" in str(refusal(data, to_8bit=True))


def test_other_colours_are_known_by_their_transfer_or_not_at_all() -> None:
    assert parse_header(with_colours((0, 1), RGB, D65, *BT_2020, (0, 1), (1, 2))).transfer == 1
    assert parse_header(with_colours((0, 1), RGB, D65, *BT_2020, (1, 1), (99, 24))).transfer is None
    assert parse_header(with_colours((1, 1), RGB)).transfer is None  # a profile follows
    assert parse_header(with_colours((0, 1), *XYB)).transfer is None
    assert parse_header(with_depth((0, 1), (0, 2))).transfer == 13


def refusal(data: bytes, **options: Any) -> ImageError:
    with pytest.raises(ImageError) as caught:
        read_picture(io.BytesIO(data), **options)
    assert caught.value.hint
    return caught.value


def test_what_the_plugin_would_lose_is_refused_before_it_is_asked() -> None:
    assert "animation" in str(refusal(animated(), first_frame=True))
    assert "--to-8bit" in refusal(with_depth(*TEN_BITS)).hint
    assert "other channels" in str(refusal(with_depth((0, 1), (0, 2), channels=BLACK)))
    error = refusal(size(1 << 20, 1 << 20).put((1, 1)).data())
    assert isinstance(error, TooLargeError)


@pytest.mark.parametrize("length", range(2, 9))
def test_a_header_that_is_cut_is_refused(length: int) -> None:
    assert "JPEG XL" in str(refusal(size(5, 4).data()[:length]))


def test_boxes_that_make_no_sense_are_refused() -> None:
    for boxes in (b"", bytes(20), b"\0\0\0\x01jxlc" + bytes(8), b"\0\0\0\x07jxlc", b"\xff" * 9):
        assert "JPEG XL" in str(refusal(BOX_SIGNATURE + boxes))


def test_without_the_plugin_the_refusal_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    present = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "pillow_jxl":
            raise ImportError(name)
        return present(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    error = refusal(size(5, 4).put((1, 1)).data())
    assert "pillow-jxl-plugin" in str(error)
    assert "pip install pillow-jxl-plugin" in error.hint


def test_the_plugin_is_not_imported_for_other_files() -> None:
    code = (
        "import io, sys; from PIL import Image; from rdae.images.pillow import read_picture\n"
        "for format in ('PNG', 'JPEG', 'WEBP', 'AVIF', 'TIFF'):\n"
        "    file = io.BytesIO(); Image.new('RGB', (4, 4)).save(file, format); read_picture(file)\n"
        "assert 'pillow_jxl' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------- with the plugin


@pytest.fixture
def plugin() -> Any:
    return pytest.importorskip("pillow_jxl")


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_lossless_files_come_out_as_they_are(plugin: Any, mode: str) -> None:
    image = Image.fromarray(RGBA).convert(mode)
    picture = read_picture(io.BytesIO(file_of(image, "JXL", lossless=True)))
    assert picture.is_grey == (mode in ("L", "LA"))
    wanted = np.asarray(image).reshape(11, 13, -1)
    if mode.endswith("A"):
        assert picture.alpha is not None
        np.testing.assert_array_equal(picture.alpha, wanted[..., -1])
        wanted = wanted[..., :-1]
    np.testing.assert_array_equal(picture.rgb, np.broadcast_to(wanted, (11, 13, 3)))


def test_profile_exif_and_xmp_are_kept(plugin: Any) -> None:
    exif, xmp = b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"<x>packet</x>"
    data = file_of(
        Image.fromarray(RGBA), "JXL", lossless=True, use_container=True, exif=exif, xmp=xmp
    )
    picture = read_picture(io.BytesIO(data))
    assert (picture.exif, picture.xmp) == (exif, xmp)
    assert picture.icc  # the plugin makes one, of sRGB
    converted = read_picture(io.BytesIO(data), to_srgb=True)
    assert converted.icc == b""
    assert np.abs(converted.rgb.astype(int) - picture.rgb).max() <= 1


def test_compressed_metadata_are_left_out_and_the_log_says_so(
    plugin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    image = Image.fromarray(RGBA)
    xmp = b"<x>packet</x>" * 99
    data = file_of(image, "JXL", use_container=True, xmp=xmp, compress_metadata=True)
    assert b"brob" in data
    assert read_picture(io.BytesIO(data)).xmp == b""
    assert "XMP" in caplog.text


def test_files_of_16_bits_and_of_floats_need_the_option(plugin: Any) -> None:
    levels = np.array([[0, 257, 65535]], np.uint16)
    floats = np.array([[0, 1 / 255, 1]], np.float32)
    for samples in (levels, floats):
        data = file_of(Image.fromarray(samples), "JXL", lossless=True)
        assert "8 bits" in str(refusal(data))
        picture = read_picture(io.BytesIO(data), to_8bit=True)
        assert picture.rgb[0, :, 0].tolist() == [0, 1, 255]


def test_a_jpeg_in_jpeg_xl_is_read_as_that_jpeg(plugin: Any) -> None:
    exif = Image.Exif()
    exif[274] = 6
    jpeg = file_of(Image.fromarray(RGBA).convert("RGB"), "JPEG", exif=exif, progressive=True)
    data = plugin.Encoder(mode="RGB", lossless=True)(jpeg, 13, 11, jpeg_encode=True)
    picture, wanted = read_picture(io.BytesIO(data)), read_picture(io.BytesIO(jpeg))
    assert (picture.width, picture.height) == (11, 13)
    np.testing.assert_array_equal(picture.rgb, wanted.rgb)
    assert picture.exif == wanted.exif


def test_cut_and_damaged_files_are_refused_or_pictures(plugin: Any) -> None:
    data = file_of(Image.fromarray(RGBA), "JXL", lossless=True)
    for length in range(2, len(data) - 1, 37):
        assert "JPEG XL" in str(refusal(data[:length]))
    for position in range(2, len(data), 29):
        damaged = bytearray(data)
        damaged[position] ^= 0x55
        try:
            assert isinstance(read_picture(io.BytesIO(damaged), max_pixels=10**6), Picture)
        except UnsupportedImageError as error:
            assert str(error)
        except TooLargeError:
            assert position < 14

"""Colours that files name by number, and profiles that their pixels cannot have."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, features

from rdae.errors import UnsupportedImageError
from rdae.images.av1_header import colours_of
from rdae.images.cicp import Cicp, cicp_of_heif, cicp_of_png
from rdae.images.formats import OUTPUT_FORMATS, output_format
from rdae.images.icc import HLG, PQ, as_rgb_profile, profile_of
from rdae.images.picture import Picture
from rdae.images.pillow import from_pillow, read_picture
from rdae.images.writer import lost, write_picture

BT_709, BT_2020, DISPLAY_P3, SRGB_CURVE = 1, 9, 12, 13
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
IMAGE = Image.new("RGB", (32, 32), (200, 100, 50))
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def grey_profile(curve: bytes | None) -> bytes:
    """A GRAY profile with a curve, or with nothing."""
    tags = [] if curve is None else [(b"kTRC", curve)]
    body = b"".join(data for _, data in tags)
    first = 132 + 12 * len(tags)
    table = b"".join(struct.pack(">4sII", tag, first, len(data)) for tag, data in tags)
    header = bytearray(128)
    struct.pack_into(
        ">I4xI4s4s4s", header, 0, first + len(body), 0x02100000, b"mntr", b"GRAY", b"XYZ "
    )
    header[36:40] = b"acsp"
    header[68:80] = struct.pack(">III", 0xF6D6, 0x10000, 0xD32D)
    return bytes(header) + struct.pack(">I", len(tags)) + table + body


GAMMA_1_8 = b"curv" + struct.pack(">4xIHxx", 1, 0x01CD)


def png(
    primaries: int, transfer: int, *, is_full: bool = True, mode: str = "RGB", **more: Any
) -> bytes:
    file = io.BytesIO()
    IMAGE.convert(mode).save(file, "PNG", **more)
    data = file.getvalue()
    chunk = b"cICP" + bytes([primaries, transfer, 0, is_full])
    chunk = struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data[:33] + chunk + data[33:]


def avif(primaries: int, transfer: int, **more: Any) -> bytes:
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    file = io.BytesIO()
    IMAGE.save(file, "AVIF", **more)
    data = bytearray(file.getvalue())
    struct.pack_into(">HH", data, data.index(b"colrnclx") + 8, primaries, transfer)
    return bytes(data)


def bare_avif(primaries: int, transfer: int, **more: Any) -> bytes:
    """An AVIF file without a colour box: its stream alone names the colours."""
    data = bytearray(avif(BT_709, SRGB_CURVE, **more).replace(b"colrnclx", b"freenclx"))
    start = data.index(b"mdat") + 4
    head = bin(1 << 256 | int.from_bytes(data[start : start + 32], "big"))[3:]
    named = "1" + "".join(f"{number:08b}" for number in (BT_709, SRGB_CURVE))
    assert head.count(named) == 1
    head = head.replace(named, f"1{primaries:08b}{transfer:08b}")
    data[start : start + 32] = int(head, 2).to_bytes(32, "big")
    return bytes(data)


def heic(primaries: int, transfer: int, **more: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    file, numbers = (
        io.BytesIO(),
        {"color_primaries": primaries, "transfer_characteristics": transfer},
    )
    IMAGE.save(file, "HEIF", **numbers, matrix_coefficients=6, **more)
    return file.getvalue()


@functools.cache
def made(make: Callable[[int, int], bytes]) -> bytes:
    return make(DISPLAY_P3, SRGB_CURVE)


def profile(icc: bytes) -> Any:
    return ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile


@pytest.mark.parametrize("make", [png, avif, bare_avif, heic])
def test_wide_colours_without_a_profile_get_one(make: Any) -> None:
    picture = read_picture(io.BytesIO(make(DISPLAY_P3, SRGB_CURVE)))
    assert profile(picture.icc).profile_description == "Display P3"
    converted = read_picture(io.BytesIO(make(DISPLAY_P3, SRGB_CURVE)), to_srgb=True)
    assert abs(converted.rgb[0, 0].astype(int) - (215, 93, 31)).max() <= 4
    assert read_picture(io.BytesIO(make(BT_709, SRGB_CURVE))).icc == b""
    assert profile(read_picture(io.BytesIO(make(BT_2020, 1))).icc).profile_description == "BT.2020"


@pytest.mark.parametrize("make", [png, avif, bare_avif, heic])
@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_colours_are_refused_with_a_way_out(make: Any, transfer: int) -> None:
    with pytest.raises(UnsupportedImageError, match=r"HDR colours \((PQ|HLG)\)") as caught:
        read_picture(io.BytesIO(make(BT_2020, transfer)))
    assert "sRGB or Display P3" in caught.value.hint


def test_an_image_that_user_code_opened_is_judged_alike() -> None:
    assert from_pillow(Image.open(io.BytesIO(png(DISPLAY_P3, SRGB_CURVE)))).icc
    with pytest.raises(UnsupportedImageError, match="HDR"):
        from_pillow(Image.open(io.BytesIO(avif(BT_2020, PQ))))


def test_the_colour_box_counts_before_the_stream() -> None:
    data = bare_avif(BT_2020, PQ).replace(b"freenclx", b"colrnclx")
    assert cicp_of_heif(io.BytesIO(data)) == Cicp(BT_709, SRGB_CURVE, is_full_range=True)


def test_a_box_of_64_bits_before_the_colours_is_passed() -> None:
    data = avif(BT_2020, SRGB_CURVE)
    first = int.from_bytes(data[:4], "big")
    wide = (1).to_bytes(4, "big") + b"free" + (16 + 5).to_bytes(8, "big") + bytes(5)
    moved = data[:first] + wide + data[first:]
    assert cicp_of_heif(io.BytesIO(moved)) == Cicp(BT_2020, SRGB_CURVE, is_full_range=True)


def obu(kind: int, body: bytes) -> bytes:
    return bytes([kind << 3 | 2, len(body)]) + body


def bits(*numbers: tuple[int, int]) -> bytes:
    text = "".join(f"{number:0{count}b}" for number, count in numbers)
    return int(text.ljust(-len(text) // 8 * -8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def test_the_long_form_of_a_sequence_header_is_read_too() -> None:
    times = [(1, 1), (1, 32), (60, 32), (1, 1), (0b00101, 5), (1, 1), (7, 5), (1, 32), (0, 10)]
    point = [(0, 12), (8, 5), (1, 1), (1, 1), (0, 17), (1, 1), (9, 4)]
    size = [(4, 4), (5, 4), (31, 5), (63, 6)]
    tools = [(1, 1), (0, 7), (0, 3), (0, 4), (1, 1), (3, 2), (0, 1), (1, 1), (0, 1), (1, 1)]
    order, filters, twelve_bits_grey = [(6, 3)], [(7, 3)], [(1, 1), (1, 1), (1, 1)]
    start = [(2, 3), (0, 1), (0, 1), *times, (1, 1), (1, 5), *point, *point, *size]
    header = bits(*start, *tools, *order, *filters, *twelve_bits_grey, (1, 1), (9, 8), (16, 8))
    stream = obu(2, b"") + obu(1, header)
    assert colours_of(stream) == (BT_2020, PQ)
    assert colours_of(obu(2, b"") + obu(5, b"metadata")) is None
    for length in range(3, len(stream)):
        with pytest.raises(IndexError):
            colours_of(stream[:length])


def test_a_profile_of_the_file_stays() -> None:
    for make in (png, avif):
        data = make(DISPLAY_P3, SRGB_CURVE, icc_profile=ICC)
        assert read_picture(io.BytesIO(data)).icc == ICC
    with pytest.raises(UnsupportedImageError, match="HDR"):  # PNG's numbers count before it
        read_picture(io.BytesIO(png(BT_2020, PQ, icc_profile=ICC)))


def test_grey_has_no_primaries_and_video_levels_are_refused() -> None:
    picture = read_picture(io.BytesIO(png(DISPLAY_P3, SRGB_CURVE, mode="L")))
    assert picture.is_grey and picture.icc == b""
    palette = read_picture(io.BytesIO(png(DISPLAY_P3, SRGB_CURVE, mode="P")))
    assert palette.icc == read_picture(io.BytesIO(png(DISPLAY_P3, SRGB_CURVE))).icc != b""
    with pytest.raises(UnsupportedImageError, match="another curve"):
        read_picture(io.BytesIO(png(BT_709, 8, mode="L")))
    with pytest.raises(UnsupportedImageError, match="rare kind"):
        read_picture(io.BytesIO(png(BT_709, SRGB_CURVE, is_full=False)))
    with pytest.raises(UnsupportedImageError, match="rare kind"):
        read_picture(io.BytesIO(png(10, SRGB_CURVE)))


def test_the_profile_of_display_p3_has_its_published_colorants() -> None:
    icc = profile_of(DISPLAY_P3, SRGB_CURVE)
    assert icc is not None
    found = profile(icc)
    wanted = {
        "red": (0.515121, 0.241196, -0.001053),
        "green": (0.291977, 0.692245, 0.041885),
        "blue": (0.157104, 0.066574, 0.784073),
    }
    for name, xyz in wanted.items():
        assert np.allclose(getattr(found, f"{name}_colorant")[0], xyz, atol=2e-5)


@given(data=st.binary(max_size=120), where=st.integers(0, 400))
def test_damaged_boxes_and_chunks_name_nothing_or_something(data: bytes, where: int) -> None:
    for make, look in ((avif, cicp_of_heif), (bare_avif, cicp_of_heif), (png, cicp_of_png)):
        whole = made(make)
        changed = whole[:where] + data + whole[where + len(data) :]
        look(io.BytesIO(changed))
        look(io.BytesIO(whole[:where]))


def shown(data: bytes) -> Any:
    """The pixels of a file as a display of sRGB shows them, its profile applied."""
    image = Image.open(io.BytesIO(data))
    source = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
    return np.asarray(converted).astype(int)


@pytest.mark.parametrize("name", ["webp", "png", "jpg", "tiff"])
def test_grey_with_a_profile_looks_the_same_in_every_format(name: str) -> None:
    picture = Picture(np.repeat(RAMP[..., None], 3, 2), None, True, icc=grey_profile(GAMMA_1_8))
    file = io.BytesIO()
    write_picture(picture, file, name)
    whole = io.BytesIO()
    write_picture(picture, whole, "png")
    assert abs(shown(file.getvalue()) - shown(whole.getvalue())).max() <= (
        2 if name == "jpg" else 1
    )
    image = Image.open(file)
    space = profile(image.info["icc_profile"]).xcolor_space.strip()
    assert space == ("RGB" if image.mode == "RGB" else "GRAY")
    found = output_format(name)
    assert found is not None
    assert not any("ICC" in what for what in lost(picture, found))


def test_a_grey_profile_without_a_curve_is_left_out_and_named() -> None:
    icc = grey_profile(None)
    assert as_rgb_profile(icc) == b""
    picture = Picture(np.repeat(RAMP[..., None], 3, 2), None, True, icc=icc)
    for format in OUTPUT_FORMATS:
        if format.name == "webp":
            file = io.BytesIO()
            write_picture(picture, file, format.name)
            assert "icc_profile" not in Image.open(file).info
            assert any("ICC" in what for what in lost(picture, format))


@given(st.binary(max_size=300))
def test_any_bytes_as_a_grey_profile_do_no_harm(data: bytes) -> None:
    as_rgb_profile(bytes(128) + data)

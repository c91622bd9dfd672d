"""Reading pictures: orientation, modes, alpha and metadata, however a file holds them."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

from rdae.errors import TooLargeError
from rdae.images.picture import Picture
from rdae.images.pillow import from_pillow, read_picture, to_pillow
from rdae.images.writer import write_picture as write
from tests.image_samples import ADAM7

RNG = np.random.default_rng(1)
RGB = RNG.integers(0, 256, (5, 7, 3), np.uint8)
ALPHA = RNG.integers(0, 256, (5, 7), np.uint8)
GREY = np.repeat(RGB[..., :1], 3, axis=2)
ICC = b"not really a profile" * 50
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">some \xff bytes</x:xmpmeta>'
LOSSLESS = ["png", "tiff", "webp"]


def exif_of(**values: object) -> bytes:
    """EXIF data, without prefix, of tags given by their names."""
    exif = Image.Exif()
    for name, value in values.items():
        exif[ExifTags.Base[name]] = value
    return exif.tobytes()[6:]


EXIF = exif_of(Make="Maker", Orientation=1, Software="test")


def file_of(image: Image.Image, format: str, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file


def written(picture: Picture, format: str) -> io.BytesIO:
    file = io.BytesIO()
    write(picture, file, format)
    return file


def png(
    width: int,
    height: int,
    depth: int,
    colour: int,
    rows: list[bytes],
    *,
    interlace: int = 0,
    **chunks: bytes,
) -> io.BytesIO:
    """A PNG file made by hand: rows of packed samples, and further chunks before them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
    others = b"".join(chunk(kind.encode(), data) for kind, data in chunks.items())
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + header + others + pixels + chunk(b"IEND", b""))


def assert_alpha(picture: Picture, wanted: object) -> None:
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, np.asarray(wanted))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_each_orientation_is_applied_to_the_pixels_and_reset(format: str, turn: int) -> None:
    options: dict[str, Any] = {"JPEG": {"quality": 95, "subsampling": 0}}
    options["WEBP"] = {"lossless": True}
    image = Image.fromarray(RNG.integers(0, 256, (24, 40, 3), np.uint8))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    exif[ExifTags.Base.Make] = "Maker"
    plain = file_of(image, format, **options.get(format, {}))
    file = file_of(image, format, exif=exif, **options.get(format, {}))
    pixels = np.asarray(Image.open(plain))
    wanted = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(pixels),
    }[turn]
    picture = read_picture(file)
    np.testing.assert_array_equal(picture.rgb, wanted)
    np.testing.assert_array_equal(
        picture.rgb, np.asarray(ImageOps.exif_transpose(Image.open(file)))
    )
    left = to_pillow(picture).getexif()
    assert left.get(ExifTags.Base.Orientation, 1) == 1
    assert left[ExifTags.Base.Make] == "Maker"


def test_alpha_is_turned_with_the_colours() -> None:
    file = file_of(to_pillow(Picture(RGB, ALPHA, False)), "PNG", exif=exif_of(Orientation=6))
    assert_alpha(read_picture(file), np.rot90(ALPHA, -1))


@pytest.mark.parametrize(
    "packet", [b'<a tiff:Orientation="8"/>', b"<tiff:Orientation>8</tiff:Orientation>"]
)
def test_an_orientation_given_only_in_xmp_is_applied_and_reset(packet: bytes) -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", packet)
    picture = read_picture(file_of(Image.fromarray(RGB), "PNG", pnginfo=chunks))
    np.testing.assert_array_equal(picture.rgb, np.rot90(RGB))
    assert picture.xmp == packet.replace(b"8", b"1")


def test_exif_decides_where_xmp_says_otherwise() -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", '<a tiff:Orientation="8"/>')
    file = file_of(Image.fromarray(RGB), "PNG", pnginfo=chunks, exif=exif_of(Orientation=3))
    picture = read_picture(file)
    np.testing.assert_array_equal(picture.rgb, RGB[::-1, ::-1])
    assert b'"1"' in picture.xmp


def test_from_pillow_applies_the_orientation_and_leaves_the_image_as_it_is() -> None:
    image = Image.open(file_of(Image.fromarray(RGB), "PNG", exif=exif_of(Orientation=6)))
    picture = from_pillow(image)
    np.testing.assert_array_equal(picture.rgb, np.rot90(RGB, -1))
    assert image.size == (7, 5)
    assert image.getexif()[ExifTags.Base.Orientation] == 6


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_modes_are_grey_with_three_equal_channels(mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    picture = read_picture(file_of(image, "PNG"))
    assert picture.is_grey
    np.testing.assert_array_equal(picture.rgb, np.asarray(image.convert("RGB")))
    assert (picture.alpha is not None) == (mode == "LA")


@pytest.mark.parametrize("mode", ["P", "RGB", "RGBA"])
def test_colour_modes_are_colour_even_if_all_their_pixels_are_grey(mode: str) -> None:
    image = Image.fromarray(GREY).convert(mode)
    picture = read_picture(file_of(image, "PNG"))
    assert not picture.is_grey
    np.testing.assert_array_equal(picture.rgb, np.asarray(image.convert("RGB")))


def test_a_palette_with_one_transparent_entry_has_alpha() -> None:
    palette = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255])
    file = png(3, 1, 8, 3, [b"\0\1\2"], PLTE=palette, tRNS=b"\xff\0")
    picture = read_picture(file)
    np.testing.assert_array_equal(picture.rgb, np.frombuffer(palette, np.uint8).reshape(1, 3, 3))
    assert_alpha(picture, [[255, 0, 255]])


def test_a_palette_with_several_alphas_keeps_them() -> None:
    file = png(3, 1, 8, 3, [b"\0\1\2"], PLTE=bytes(range(9)), tRNS=b"\x10\x80")
    assert_alpha(read_picture(file), [[16, 128, 255]])


def test_a_transparent_gif_has_alpha() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.putpixel((1, 0), 1)
    picture = read_picture(file_of(image, "GIF", transparency=1))
    assert_alpha(picture, [[255, 0]])


def test_a_transparent_colour_of_an_rgb_png_becomes_alpha() -> None:
    file = png(2, 1, 8, 2, [bytes([1, 2, 3, 1, 2, 4])], tRNS=b"\0\1\0\2\0\3")
    assert_alpha(read_picture(file), [[0, 255]])


@pytest.mark.parametrize(
    ("depth", "packed", "levels"),
    [(1, b"\x40", [0, 255]), (2, b"\x10", [0, 85]), (4, b"\x01", [0, 17]), (8, b"\0\1", [0, 1])],
)
def test_a_transparent_level_of_a_grey_png_becomes_alpha(
    depth: int, packed: bytes, levels: list[int]
) -> None:
    picture = read_picture(png(2, 1, depth, 0, [packed], tRNS=b"\0\1"))
    assert picture.is_grey
    np.testing.assert_array_equal(picture.rgb[..., 0], [levels])
    assert_alpha(picture, [[255, 0]])


def test_a_fully_opaque_alpha_channel_stays() -> None:
    opaque = np.full((5, 7), 255, np.uint8)
    picture = read_picture(written(Picture(RGB, opaque, False), "png"))
    assert_alpha(picture, opaque)


def test_colours_under_transparent_pixels_stay() -> None:
    clear = np.zeros((5, 7), np.uint8)
    for format in LOSSLESS:
        back = read_picture(written(Picture(RGB, clear, False), format))
        np.testing.assert_array_equal(back.rgb, RGB, err_msg=format)


@pytest.mark.parametrize("mode", ["RGBa", "La"])
def test_premultiplied_alpha_is_divided_out(mode: str) -> None:
    straight = Image.new("RGBA" if mode == "RGBa" else "LA", (1, 1), (200,) * len(mode))
    picture = from_pillow(straight.convert(mode))
    assert abs(int(picture.rgb[0, 0, 0]) - 200) <= 1
    assert picture.alpha is not None


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_jpeg_of_any_kind_is_read_as_pillow_decodes_it(
    subsampling: str, progressive: bool
) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (33, 47, 3), np.uint8))
    file = file_of(image, "JPEG", subsampling=subsampling, progressive=progressive)
    np.testing.assert_array_equal(read_picture(file).rgb, np.asarray(Image.open(file)))


@pytest.mark.parametrize("colour", [0, 2, 3, 4, 6])
def test_an_interlaced_png_is_put_together(colour: int) -> None:
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    samples = RNG.integers(0, 256, (8, 8, channels), np.uint8)
    passes = [samples[y::down, x::right] for x, y, right, down in ADAM7] + [samples[1::2]]
    rows = [row.tobytes() for part in passes for row in part]
    palette = RNG.integers(0, 256, (256, 3), np.uint8)
    chunks = {"PLTE": palette.tobytes()} if colour == 3 else {}
    picture = read_picture(png(8, 8, 8, colour, rows, interlace=1, **chunks))
    wanted = palette[samples[..., 0]] if colour == 3 else samples
    if colour in (4, 6):
        assert_alpha(picture, wanted[..., -1])
        wanted = wanted[..., :-1]
    np.testing.assert_array_equal(picture.rgb, np.broadcast_to(wanted, (8, 8, 3)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_a_bmp_is_read_as_it_is(mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    picture = read_picture(file_of(image, "BMP"))
    np.testing.assert_array_equal(picture.rgb, np.asarray(image.convert("RGB")))
    assert picture.is_grey == (mode in ("1", "L"))


def test_avif_is_read_with_its_alpha_and_metadata() -> None:
    image = to_pillow(Picture(RGB, ALPHA, False))
    picture = read_picture(
        file_of(image, "AVIF", quality=90, exif=exif_of(Make="Maker"), xmp=XMP, icc_profile=ICC)
    )
    assert (picture.width, picture.height) == (7, 5)
    assert picture.alpha is not None
    assert (picture.icc, picture.xmp) == (ICC, XMP)
    assert b"Maker" in picture.exif


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0", b"Exif\0\0Exif\0\0"])
def test_exif_is_kept_without_the_prefix_however_it_comes(prefix: bytes) -> None:
    image = Image.fromarray(RGB)
    image.info["exif"] = prefix + EXIF
    assert from_pillow(image).exif == EXIF


def test_exif_that_imagemagick_hid_in_png_text_is_found() -> None:
    chunks = PngImagePlugin.PngInfo()
    text = f"\nexif\n{len(EXIF) + 6:8}\n{(b'Exif' + bytes(2) + EXIF).hex()}\n"
    chunks.add_text("Raw profile type exif", text, zip=True)
    assert read_picture(file_of(Image.fromarray(RGB), "PNG", pnginfo=chunks)).exif == EXIF


@pytest.mark.parametrize("prefix", [b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"])
def test_metadata_that_imagemagick_hid_as_segments_of_a_jpeg_are_found(prefix: bytes) -> None:
    block = prefix + (exif_of(Orientation=6) if b"Exif" in prefix else b"<x tiff:Orientation='6'/>")
    chunks = PngImagePlugin.PngInfo()
    for kind, data in (("APP1", block), ("icm", ICC)):
        chunks.add_text(
            f"Raw profile type {kind}", f"\n{kind}\n{len(data):8}\n{data.hex()}\n", zip=True
        )
    picture = read_picture(file_of(Image.fromarray(RGB), "PNG", pnginfo=chunks))
    assert (picture.width, picture.height) == (5, 7)
    assert picture.icc == ICC
    assert bool(picture.exif) != bool(picture.xmp)


def test_jpeg_tables_of_a_tiff_are_no_exif_data() -> None:
    image = Image.effect_noise((40, 30), 20)
    file = file_of(image, "TIFF", compression="jpeg", tiffinfo={271: "Maker"})
    exif = Image.Exif()
    exif.load(read_picture(file).exif)
    assert dict(exif) == {271: "Maker"}


def test_exif_after_the_pixels_of_a_png_is_found() -> None:
    data = written(Picture(RGB, None, False, exif=EXIF), "png").getvalue()
    start = data.index(b"eXIf") - 4
    end = start + 12 + len(EXIF)
    moved = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    assert read_picture(io.BytesIO(moved)).exif == EXIF


def test_a_profile_after_the_frame_header_of_a_jpeg_is_found() -> None:
    data = written(Picture(RGB, None, False, icc=ICC), "jpg").getvalue()
    start = data.index(b"ICC_PROFILE") - 4
    end = start + 2 + struct.unpack(">H", data[start + 2 : start + 4])[0]
    scan = data.index(b"\xff\xda")
    moved = data[:start] + data[end:scan] + data[start:end] + data[scan:]
    assert read_picture(io.BytesIO(moved)).icc == ICC


def test_exif_and_gps_of_a_tiff_file_are_gathered_and_its_layout_tags_are_not() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: "2020:01:02 03:04:05"}
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}
    got = Image.Exif()
    got.load(read_picture(written(Picture(RGB, None, False, exif=exif.tobytes()[6:]), "tiff")).exif)
    assert set(got) == {ExifTags.Base.Make, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo}
    assert got.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2020:01:02 03:04:05"
    assert got.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


def test_a_path_and_an_open_file_and_a_pipe_give_the_same(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    path = tmp_path / "a.png"
    path.write_bytes(written(Picture(RGB, None, False), "png").getvalue())
    with path.open("rb") as file:
        file.seek(3)
        pictures = [
            *(read_picture(path), read_picture(str(path)), read_picture(file)),
            read_picture(Pipe(path.read_bytes())),
        ]
        assert not file.closed
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[path.read_bytes()])
        writer.start()
        pictures.append(read_picture(tmp_path / "pipe"))
        writer.join()
    for picture in pictures:
        np.testing.assert_array_equal(picture.rgb, RGB)


def test_the_pixel_limit_counts_for_images_of_user_code_too() -> None:
    with pytest.raises(TooLargeError):
        from_pillow(Image.fromarray(RGB), max_pixels=34)
    assert from_pillow(Image.fromarray(RGB), max_pixels=35).width == 7

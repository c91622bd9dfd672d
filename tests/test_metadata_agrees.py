"""Metadata agree with the pixels: nothing shows what was cut off, sizes are the new ones."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

import rdae
from rdae.cli.pictures import resized
from rdae.images import exif as exif_data
from rdae.images import xmp as xmp_packet
from rdae.images.picture import Picture
from rdae.images.pillow import read_picture, to_pillow
from rdae.images.tiff_file import tiff_file

JPEG = b"\xff\xd8\xff"
WIDTH, HEIGHT = 40962, 40963  # PixelXDimension, PixelYDimension


def exif_with_thumbnail(order: str = "<", *, note: bytes = b"note", turn: int = 1) -> bytes:
    """EXIF data as of a camera: 320x240 pixels, a maker note, a JPEG thumbnail."""
    exif = Image.Exif()
    exif.endian = order
    exif[ExifTags.Base.Make] = "Maker of cameras"
    exif[ExifTags.Base.Orientation] = turn
    exif[ExifTags.IFD.Exif] = {WIDTH: 320, HEIGHT: 240, ExifTags.Base.MakerNote: note}
    data = bytearray(exif.tobytes()[6:])
    thumbnail = io.BytesIO()
    Image.effect_noise((16, 12), 90).save(thumbnail, "JPEG")
    (count,) = struct.unpack_from(order + "H", data, 8)
    struct.pack_into(order + "I", data, 10 + 12 * count, len(data))  # the link to directory 1
    start = len(data) + 2 + 12 * 3 + 4
    data += struct.pack(order + "H", 3)
    data += struct.pack(order + "HHIHH", 259, 3, 1, 6, 0)
    data += struct.pack(order + "HHII", 513, 4, 1, start)
    data += struct.pack(order + "HHIII", 514, 4, 1, len(thumbnail.getvalue()), 0)
    return bytes(data) + thumbnail.getvalue()


def loaded(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data)
    return exif


def sizes(data: bytes) -> tuple[int, int]:
    inner = loaded(data).get_ifd(ExifTags.IFD.Exif)
    return inner[WIDTH], inner[HEIGHT]


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_thumbnail_goes_and_all_else_stays(order: str) -> None:
    exif = exif_with_thumbnail(order)
    assert JPEG in exif
    changed = exif_data.of_size(exif, 40, 30)
    assert JPEG not in changed
    assert len(changed) == len(exif)
    assert changed.rstrip(b"\0")[-1:] != exif[-1:]  # its bytes are gone to the last
    assert sizes(changed) == (40, 30)
    assert loaded(changed).get_ifd(ExifTags.IFD.IFD1) == {}
    assert loaded(changed)[ExifTags.Base.Make] == "Maker of cameras"
    assert loaded(changed).get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] == b"note"


def test_sizes_beyond_two_bytes_fit() -> None:
    assert sizes(exif_data.of_size(exif_with_thumbnail(), 100_000, 3)) == (100_000, 3)


def test_a_maker_note_that_holds_a_picture_goes() -> None:
    changed = exif_data.of_size(exif_with_thumbnail(note=b"note" + JPEG + b"preview"), 40, 30)
    assert b"preview" not in changed
    assert sizes(changed) == (40, 30)


def test_uncompressed_thumbnails_and_previews_in_directories_inside_go() -> None:
    rows = [(254, 1), (256, 4), (257, 1), (273, 38 + 4 * 12 + 6), (279, 4)]
    inside = struct.pack("<H", len(rows)) + b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in rows
    )
    first = struct.pack("<2sHIH", b"II", 42, 8, 1) + struct.pack("<HHII", 330, 4, 1, 26)
    exif = first + bytes(4) + inside + bytes(4)
    exif = exif.replace(struct.pack("<I", 38 + 4 * 12 + 6), struct.pack("<I", len(exif))) + b"view"
    changed = exif_data.of_size(exif, 1, 1)
    assert b"view" not in changed
    assert len(changed) == len(exif)
    assert dict(loaded(changed)) == {}


def test_where_a_picture_cannot_be_reached_all_is_dropped() -> None:
    exif = exif_with_thumbnail()
    assert exif_data.of_size(exif + JPEG + b"stray", 40, 30) == b""
    assert exif_data.of_size(b"junk" + JPEG, 40, 30) == b""
    assert exif_data.of_size(b"junk", 40, 30) == b"junk"
    endless = struct.pack("<2sHIH", b"II", 42, 8, 40)
    endless += struct.pack("<HHII", 1, 4, 1, 0) * 40 + struct.pack("<I", 10)
    assert len(exif_data.of_size(endless, 40, 30)) in (0, len(endless))


def test_values_that_hostile_data_name_a_thousandfold_are_erased_once() -> None:
    num_bytes = 1 << 20
    entries = struct.pack("<HHII", 1, 1, num_bytes, 8) * 60_000
    gps = struct.pack("<H", 60_000) + entries + bytes(4)
    first = struct.pack("<2sHIH", b"II", 42, 8, 1) + struct.pack("<HHIII", 34853, 4, 1, 26, 0)
    exif = (first + gps).ljust(num_bytes + 8, b"x")
    assert len(exif_data.without_place(exif)) == len(exif)
    chain = first[:10] + struct.pack("<HHIII", 330, 4, 1, 26, 26) + gps
    assert len(exif_data.of_size(chain.ljust(num_bytes, b"x"), 4, 4)) in (0, num_bytes)


@pytest.mark.parametrize(
    ("xmp", "changed"),
    [
        (
            b'<a exif:PixelXDimension="320" exif:PixelYDimension="240"/>',
            b'<a exif:PixelXDimension="40" exif:PixelYDimension="30"/>',
        ),
        (b"<tiff:ImageWidth>320</tiff:ImageWidth>", b"<tiff:ImageWidth>40</tiff:ImageWidth>"),
        (b'<a tiff:ImageLength = "9" b="c"/>', b'<a tiff:ImageLength = "30" b="c"/>'),
        (b"<a><xmp:Thumbnails><rdf:Alt>/9j/4A</rdf:Alt></xmp:Thumbnails><b/></a>", b"<a><b/></a>"),
        (b"<a><xmp:Thumbnails>/9j/4A", b""),
        (b'<a GImage:Data="/9j/4AAQ"/>', b""),
        ("<x:Thumbnails>/9j/4A".encode("utf-16-le"), b""),
        (b'<a b="c"/>', b'<a b="c"/>'),
    ],
)
def test_sizes_and_thumbnails_of_xmp(xmp: bytes, changed: bytes) -> None:
    assert xmp_packet.of_size(xmp, 40, 30) == changed


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_damaged_exif_never_fails_and_shows_no_thumbnail(data: st.DataObject) -> None:
    exif = bytearray(exif_with_thumbnail(data.draw(st.sampled_from("<>"))))
    for _ in range(data.draw(st.integers(1, 4))):
        exif[data.draw(st.integers(0, 150))] = data.draw(st.integers(0, 255))
    changed = exif_data.of_size(bytes(exif), 40, 30)
    assert len(changed) in (0, len(exif))
    assert JPEG not in changed


@pytest.fixture(scope="module")
def with_thumbnail() -> Picture:
    rgb = np.asarray(Image.effect_noise((96, 80), 30).convert("RGB"))
    return Picture(rgb, None, False, b"", exif_with_thumbnail(), b'<a tiff:ImageWidth="320"/>')


def test_a_region_has_no_thumbnail_of_the_whole(with_thumbnail: Picture) -> None:
    data = rdae.compress(to_pillow(with_thumbnail), quality=10)
    whole, part = rdae.decompress(data), rdae.decompress(data, region=(8, 8, 40, 30))
    assert whole.info["exif"] == exif_data.PREFIX + with_thumbnail.exif
    assert JPEG not in part.info["exif"]
    assert sizes(part.info["exif"]) == (40, 30)
    assert part.info["xmp"] == b'<a tiff:ImageWidth="40"/>'
    rescued = rdae.decompress(data, region=(8, 8, 40, 30), best_effort=True)
    assert rescued.info["exif"] == part.info["exif"]
    same = rdae.decompress(data, region=(0, 0, 96, 80))
    assert same.info["exif"] == whole.info["exif"]


def test_a_resized_picture_has_its_own_size_and_no_thumbnail(with_thumbnail: Picture) -> None:
    small = resized(with_thumbnail, (48, 0), max_pixels=1 << 20)
    assert sizes(small.exif) == (48, 40)
    assert JPEG not in small.exif


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize(("turn", "size"), [(1, (320, 240)), (3, (96, 80)), (6, (80, 96))])
def test_turned_pictures_have_no_thumbnail_that_lies_on_its_side(
    with_thumbnail: Picture, format: str, turn: int, size: tuple[int, int]
) -> None:
    if format == "AVIF" and turn == 1:
        pytest.skip("Pillow writes EXIF data for AVIF anew, without the thumbnail")
    file = io.BytesIO()
    exif = exif_data.PREFIX + exif_with_thumbnail(turn=turn)
    to_pillow(with_thumbnail).save(file, format, exif=exif)
    picture = read_picture(file)
    assert sizes(picture.exif) == size
    assert (JPEG in picture.exif) == (turn == 1)
    assert (picture.width, picture.height) == ((80, 96) if turn == 6 else (96, 80))


def test_a_turned_tiff_says_its_new_size(with_thumbnail: Picture) -> None:
    exif = exif_with_thumbnail(turn=6)
    picture = read_picture(io.BytesIO(tiff_file(with_thumbnail.rgb, icc=b"", exif=exif, xmp=b"")))
    assert (picture.width, picture.height) == (80, 96)
    assert sizes(picture.exif) == (80, 96)

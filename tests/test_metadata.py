"""EXIF and XMP as bytes: tags are changed in place, and places are gone when they are to be."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, TiffImagePlugin

from rdae.images import exif as exif_data
from rdae.images import xmp as xmp_packet
from rdae.images.metadata import orientation
from rdae.images.pillow import read_picture
from rdae.images.tiff_file import tiff_file

ORIENTATION = 274


def exif_of(order: str, *, turn: int | None = None, gps: bool = False) -> bytes:
    """EXIF data with a maker note and, if wanted, an orientation and a place."""
    exif = Image.Exif()
    exif.endian = order
    exif[ExifTags.Base.Make] = "Maker of cameras"
    exif[ExifTags.IFD.Exif] = {
        ExifTags.Base.DateTimeOriginal: "2020:01:02 03:04:05",
        ExifTags.Base.MakerNote: b"note",
    }
    if turn is not None:
        exif[ORIENTATION] = turn
    if gps:
        exif[ExifTags.IFD.GPSInfo] = {
            ExifTags.GPS.GPSLatitudeRef: "N",
            ExifTags.GPS.GPSLatitude: (47.0, 22.0, 31.5),
            ExifTags.GPS.GPSAreaInformation: b"ASCII\0\0\0a secret garden",
        }
    return exif.tobytes()[6:]


def tags(exif: bytes) -> dict[int, object]:
    """The tags of EXIF data as Pillow reads them, those of the inner directories included."""
    parsed = Image.Exif()
    parsed.load(exif)
    inner = {
        (tag, key): value
        for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
        for key, value in parsed.get_ifd(tag).items()
    }
    outer = {tag: value for tag, value in parsed.items() if tag != ExifTags.IFD.Exif}
    return {**outer, **inner}  # type: ignore[dict-item]


orders = pytest.mark.parametrize("order", ["<", ">"])


@orders
@pytest.mark.parametrize("turn", range(1, 9))
def test_the_orientation_is_found_and_reset_in_place(order: str, turn: int) -> None:
    exif = exif_of(order, turn=turn)
    assert orientation(exif, b"") == turn
    reset = exif_data.upright(exif)
    assert orientation(reset, b"") == 1
    assert len(reset) == len(exif)
    assert tags(reset) == {**tags(exif), ORIENTATION: 1}


@pytest.mark.parametrize("value", [0, 9, 255])
def test_an_orientation_that_does_not_exist_counts_as_upright(value: int) -> None:
    assert orientation(exif_of("<", turn=value), b"") == 1


@pytest.mark.parametrize(("type_code", "letter"), [(1, "B"), (3, "H"), (4, "I")])
def test_an_orientation_is_found_in_every_integer_type(type_code: int, letter: str) -> None:
    entry = struct.pack("<HHI", ORIENTATION, type_code, 1) + struct.pack("<" + letter, 6)
    exif = struct.pack("<2sHIH", b"II", 42, 8, 1) + entry.ljust(12, b"\0") + bytes(4)
    assert orientation(exif, b"") == 6
    assert orientation(exif_data.upright(exif), b"") == 1


def test_a_directory_that_ends_too_early_still_shows_the_tags_that_are_there() -> None:
    exif = exif_of("<", turn=6)
    position = exif.index(struct.pack("<HH", ORIENTATION, 3))
    assert orientation(exif[: position + 12], b"") == 6


def test_without_an_orientation_tag_xmp_is_asked() -> None:
    xmp = b'<rdf:Description tiff:Orientation="6"/>'
    assert orientation(exif_of("<"), xmp) == 6
    assert orientation(exif_of("<", turn=3), xmp) == 3
    assert orientation(b"", b"") == 1


@pytest.mark.parametrize(
    "xmp",
    [
        b'<a tiff:Orientation="6" b:c="d"/>',
        b"<a tiff:Orientation = '6'/>",
        b"<tiff:Orientation>6</tiff:Orientation>",
    ],
)
def test_an_orientation_in_xmp_is_reset_in_place(xmp: bytes) -> None:
    assert orientation(b"", xmp) == 6
    assert xmp_packet.upright(xmp) == xmp.replace(b"6", b"1")


@orders
def test_gps_is_removed_from_exif_and_all_else_stays(order: str) -> None:
    exif = exif_of(order, turn=1, gps=True)
    cleaned = exif_data.without_place(exif)
    assert b"secret garden" not in cleaned
    assert tags(cleaned) == tags(exif_of(order, turn=1))
    assert len(cleaned) == len(exif)


@orders
def test_gps_is_removed_and_the_link_to_the_thumbnail_stays(order: str) -> None:
    exif = bytearray(exif_of(order, gps=True))
    (count,) = struct.unpack_from(order + "H", exif, 8)
    struct.pack_into(order + "I", exif, 10 + 12 * count, 0x1234)
    cleaned = exif_data.without_place(bytes(exif))
    assert struct.unpack_from(order + "H", cleaned, 8) == (count - 1,)
    assert struct.unpack_from(order + "I", cleaned, 10 + 12 * (count - 1)) == (0x1234,)


@orders
def test_the_tags_of_geotiff_are_removed(order: str) -> None:
    exif = Image.Exif()
    exif.load(exif_of(order, turn=1))
    exif.endian = order
    exif[33922] = (0.0, 0.0, 0.0, 451_234.5, 5_268_765.5, 0.0)
    exif[34737] = "WGS 84 / UTM zone 32N|"
    data = exif.tobytes()[6:]
    assert struct.pack(order + "d", 451_234.5) in data
    cleaned = exif_data.without_place(data)
    assert struct.pack(order + "d", 451_234.5) not in cleaned
    assert b"UTM zone" not in cleaned
    assert tags(cleaned) == tags(exif_of(order, turn=1))


def test_a_place_in_the_inner_directory_is_removed() -> None:
    exif = bytearray(exif_of("<", turn=1, gps=True))
    pointer = exif.index(struct.pack("<HH", ExifTags.IFD.GPSInfo, 4))
    note = exif.index(struct.pack("<H", ExifTags.Base.MakerNote))
    exif[note : note + 12] = exif[pointer : pointer + 12]
    struct.pack_into("<H", exif, pointer, 0x9999)
    cleaned = exif_data.without_place(bytes(exif))
    assert b"secret garden" in exif
    assert b"secret garden" not in cleaned
    assert struct.pack("<HH", ExifTags.IFD.GPSInfo, 4) not in cleaned


def test_exif_without_a_place_is_not_touched() -> None:
    exif = exif_of("<", turn=1)
    assert exif_data.without_place(exif) == exif


def test_exif_in_which_the_place_cannot_be_found_is_dropped() -> None:
    exif = exif_of("<", gps=True)
    entry = exif.index(struct.pack("<H", ExifTags.IFD.GPSInfo))
    lost = exif[: entry + 8] + struct.pack("<I", len(exif) + 100) + exif[entry + 12 :]
    assert exif_data.without_place(lost) == b""
    assert exif_data.without_place(b"junk") == b""
    assert exif_data.without_place(exif[:20]) == b""


@pytest.mark.parametrize(
    ("xmp", "left"),
    [
        (b'<a exif:GPSLatitude="47,22N" b:c="d"/>', b'<a b:c="d"/>'),
        (b"<a drone-dji:GpsLongitude='8.5'\n b:c='d'/>", b"<a\n b:c='d'/>"),
        (b"<a><exif:GPSLatitude>47</exif:GPSLatitude>\n<b:c/></a>", b"<a><b:c/></a>"),
        (b"<a><exif:GPSAltitude/><b:c/></a>", b"<a><b:c/></a>"),
        (
            b'<a drone-skydio:Latitude="37.5" drone-skydio:Longitude="-122.3" b:c="d"/>',
            b'<a b:c="d"/>',
        ),
        (
            b'<a dji:GpsLongtitude="8" dji:RelativeAltitude="+9" b:c="d"/>',
            b'<a b:c="d"/>',
        ),
        (b'<a geo:lat="47" geo:long="8" b:c="d"/>', b'<a b:c="d"/>'),
        (b"<a><georss:point>47 8</georss:point><b:c/></a>", b"<a><b:c/></a>"),
        (b"<a><x:CameraLatitude>47</x:CameraLatitude><b:c/></a>", b"<a><b:c/></a>"),
        (b'<a xmlns:gps="http://x" b:c="d"/>', b'<a xmlns:gps="http://x" b:c="d"/>'),
        ("<a x:Latitude='47'/>".encode("utf-16-be"), b""),
        (b"<a><exif:GPSDest><rdf:Seq/></exif:GPSDest></a>", b""),
        ("<a exif:GPSLatitude='47'/>".encode("utf-16-le"), b""),
        (b'<a note="GPS is off"/>', b'<a note="GPS is off"/>'),
        (b"", b""),
    ],
)
def test_gps_is_removed_from_xmp_or_the_packet_is(xmp: bytes, left: bytes) -> None:
    assert xmp_packet.without_place(xmp) == left


def test_removing_gps_from_a_long_hostile_packet_takes_no_time() -> None:
    assert xmp_packet.without_place(b"<exif:GPS a" * 200_000) == b""
    assert xmp_packet.without_place(b' a:GPS="' * 200_001 + b":GPS") == b""
    assert xmp_packet.without_place(b" x:" + b"GPS" * 400_000 + b" ") == b""


def test_cutting_many_previews_takes_no_time() -> None:
    thumbnail = b"<xmp:Thumbnails></xmp:Thumbnails>"
    assert xmp_packet.of_size(b"<x>" + thumbnail * 200_000 + b"</x>", 2, 2) == b"<x></x>"
    cut = b"<x>" + thumbnail + b"<xmp:Thumbnails>"
    assert xmp_packet.of_size(cut, 2, 2) == b""


def test_entries_that_share_their_values_take_no_time() -> None:
    turns = struct.pack("<HHII", 274, 4, 1 << 20, 8 + 2 + 60_000 * 12 + 4) * 60_000
    exif = b"II*\0\x08\0\0\0" + struct.pack("<H", 60_000) + turns + bytes(4 + (4 << 20))
    turned = exif_data.upright(exif)
    assert len(turned) == len(exif) and exif_data.orientation(turned) == 1


def test_exif_whose_preview_has_a_million_strips_is_dropped() -> None:
    at = 8 + 2 + 12 + 4
    strips = [struct.pack("<HHII", tag, 4, 1 << 20, at + 30) for tag in (273, 279)]
    exif = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 256, 4, 1, 9, at)
    exif += struct.pack("<H", 2) + b"".join(strips) + bytes(4 + (4 << 20))
    assert exif_data.of_size(exif, 2, 2) == b""


headers = st.sampled_from(
    [b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", exif_of("<", gps=True)[:60]]
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.builds(bytes.__add__, headers, st.binary(max_size=80)), st.binary(max_size=30))
@example(exif_of("<", turn=6, gps=True), b'tiff:Orientation="6"')
def test_no_bytes_make_the_functions_fail(exif: bytes, xmp: bytes) -> None:
    assert 1 <= orientation(exif, xmp) <= 8
    reset, packet = exif_data.upright(exif), xmp_packet.upright(xmp)
    assert (len(reset), len(packet)) == (len(exif), len(xmp))
    assert orientation(reset, packet) == 1
    assert (exif_data.upright(reset), xmp_packet.upright(packet)) == (reset, packet)
    assert len(exif_data.of_size(exif, 7, 5)) in (0, len(exif))
    xmp_packet.of_size(xmp, 7, 5)
    assert len(exif_data.without_place(exif)) in (0, len(exif))
    assert len(xmp_packet.without_place(xmp)) <= len(xmp)
    try:
        tiff_file(np.zeros((2, 3, 1), np.uint8), icc=b"", exif=exif, xmp=xmp)
    except ValueError as error:
        assert "damaged" in str(error)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_damaged_exif_with_a_place_never_fails_and_removing_twice_is_removing_once(
    data: st.DataObject,
) -> None:
    exif = bytearray(exif_of(data.draw(st.sampled_from("<>")), turn=1, gps=True))
    for _ in range(data.draw(st.integers(1, 4))):
        exif[data.draw(st.integers(8, len(exif) - 1))] = data.draw(st.integers(0, 255))
    cleaned = exif_data.without_place(bytes(exif))
    assert len(cleaned) in (0, len(exif))
    assert exif_data.without_place(cleaned) == cleaned


@orders
def test_a_tiff_file_has_the_byte_order_and_the_tags_of_its_exif_data(order: str) -> None:
    exif = exif_of(order, turn=1, gps=True)
    samples = np.arange(60, dtype=np.uint8).reshape(5, 6, 2)
    image = Image.open(io.BytesIO(tiff_file(samples, icc=b"icc", exif=exif, xmp=b"<x/>")))
    np.testing.assert_array_equal(np.asarray(image), samples)
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    assert image.tag_v2.prefix == {"<": b"II", ">": b"MM"}[order]
    assert (image.info["icc_profile"], image.info["xmp"]) == (b"icc", b"<x/>")
    got = image.getexif()
    assert got[ExifTags.Base.Make] == "Maker of cameras"
    assert got.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] == (47.0, 22.0, 31.5)
    assert got.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] == b"note"


def test_a_tiff_file_is_not_misled_by_layout_tags_in_exif_data() -> None:
    exif = Image.Exif()
    exif[256], exif[257], exif[259] = 4000, 3000, 6  # as telephones write them
    exif[ExifTags.Base.Make] = "Maker"
    data = tiff_file(np.zeros((5, 6, 3), np.uint8), icc=b"", exif=exif.tobytes()[6:], xmp=b"")
    image = Image.open(io.BytesIO(data))
    image.load()
    assert image.size == (6, 5)
    assert image.getexif()[ExifTags.Base.Make] == "Maker"


def test_of_a_tiff_the_directory_inside_of_exif_stays_one() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker of cameras"
    inner = {ExifTags.Base.DateTimeOriginal: "2020:01:02 03:04:05"}
    exif[ExifTags.IFD.Exif] = {**inner, ExifTags.IFD.Interop: {1: "R98"}}
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}
    data = exif.tobytes()[6:]
    file = io.BytesIO(tiff_file(np.zeros((2, 3, 1), np.uint8), icc=b"", exif=data, xmp=b""))
    again = Image.Exif()
    again.load(read_picture(file).exif)
    assert again.get_ifd(ExifTags.IFD.Interop) == {1: "R98"}
    assert again.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2020:01:02 03:04:05"

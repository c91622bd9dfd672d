"""Pictures: what comes in through Pillow goes out again unchanged."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import ExifTags, Image

from rdae.errors import ImageError, UnsupportedImageError
from rdae.images.formats import output_format
from rdae.images.picture import Picture
from rdae.images.pillow import from_pillow, read_picture, to_pillow
from rdae.images.writer import write_picture as write

RNG = np.random.default_rng(1)
RGB = RNG.integers(0, 256, (5, 7, 3), np.uint8)
ALPHA = RNG.integers(0, 256, (5, 7), np.uint8)
GREY = np.repeat(RGB[..., :1], 3, axis=2)
ICC = b"not really a profile" * 50
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">some \xff bytes</x:xmpmeta>'


def exif_of(**values: object) -> bytes:
    """EXIF data, without prefix, of tags given by their names."""
    exif = Image.Exif()
    for name, value in values.items():
        exif[ExifTags.Base[name]] = value
    return exif.tobytes()[6:]


EXIF = exif_of(Make="Maker", Orientation=1, Software="test")


def written(picture: Picture, format: str) -> io.BytesIO:
    file = io.BytesIO()
    write(picture, file, format)
    return file


def assert_alpha(picture: Picture, wanted: object) -> None:
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, np.asarray(wanted))


def assert_same(got: Picture, wanted: Picture) -> None:
    np.testing.assert_array_equal(got.rgb, wanted.rgb)
    assert (got.alpha is None) == (wanted.alpha is None)
    if wanted.alpha is not None:
        assert_alpha(got, wanted.alpha)


# -------------------------------------------------------------------------------------- round trips

sides = st.integers(1, 9)


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    height, width = draw(sides), draw(sides)
    is_grey = draw(st.booleans())
    rgb = draw(arrays(np.uint8, (height, width, 1 if is_grey else 3)))
    alpha = draw(st.none() | arrays(np.uint8, (height, width)))
    icc, xmp = (draw(st.binary(max_size=40)) for _ in range(2))
    exif = draw(st.sampled_from([b"", EXIF]))
    return Picture(np.repeat(rgb, 3, axis=2) if is_grey else rgb, alpha, is_grey, icc, exif, xmp)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(pictures())
def test_a_png_of_any_picture_reads_back_the_same_with_its_metadata(picture: Picture) -> None:
    back = read_picture(written(picture, "png"))
    assert_same(back, picture)
    assert back.is_grey == picture.is_grey
    assert (back.icc, back.exif, back.xmp) == (picture.icc, picture.exif, picture.xmp)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(pictures())
def test_a_tiff_of_any_picture_reads_back_the_same_with_its_profile_and_xmp(
    picture: Picture,
) -> None:
    back = read_picture(written(picture, "tiff"))
    assert_same(back, picture)
    assert back.is_grey == picture.is_grey
    assert (back.icc, back.xmp) == (picture.icc, picture.xmp)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(pictures())
def test_a_lossless_webp_of_any_picture_reads_back_the_same_pixels(picture: Picture) -> None:
    back = read_picture(written(picture, "webp"))
    np.testing.assert_array_equal(back.rgb, picture.rgb)
    if picture.alpha is not None and not (picture.alpha == 255).all():
        assert_same(back, picture)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(pictures())
def test_a_ppm_of_any_picture_without_alpha_reads_back_the_same(picture: Picture) -> None:
    picture = Picture(picture.rgb, None, picture.is_grey)
    back = read_picture(written(picture, "ppm"))
    assert_same(back, picture)
    assert back.is_grey == picture.is_grey


@pytest.mark.parametrize("format", ["png", "tiff", "webp", "jpg"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(icc=st.binary(max_size=30), exif=st.binary(max_size=30), xmp=st.binary(max_size=30))
def test_metadata_of_any_bytes_is_written_or_refused(
    format: str, icc: bytes, exif: bytes, xmp: bytes
) -> None:
    try:
        file = written(Picture(RGB, None, False, icc, exif, xmp), format)
    except UnsupportedImageError as error:
        assert "EXIF data is damaged" in str(error)
        return
    back = read_picture(file)
    assert back.icc == icc
    assert back.xmp == xmp


@settings(max_examples=60, deadline=None, derandomize=True)
@given(pictures())
def test_to_pillow_and_back_changes_nothing(picture: Picture) -> None:
    back = from_pillow(to_pillow(picture))
    assert_same(back, picture)
    assert (back.is_grey, back.icc, back.exif, back.xmp) == (
        *(picture.is_grey, picture.icc, picture.exif, picture.xmp),
    )


# ------------------------------------------------------------------------------------------ writing


@pytest.mark.parametrize("format", ["png", "tiff", "webp", "jpg"])
def test_icc_exif_and_xmp_are_written_and_read_back(format: str) -> None:
    back = read_picture(written(Picture(RGB, None, False, ICC, EXIF, XMP), format))
    assert (back.icc, back.xmp) == (ICC, XMP)
    exif = Image.Exif()
    exif.load(back.exif)
    assert (exif[ExifTags.Base.Make], exif[ExifTags.Base.Software]) == ("Maker", "test")
    if format != "tiff":  # whose tags are those of the file itself
        assert back.exif == EXIF


@pytest.mark.parametrize("format", ["png", "ppm", "pgm", "jpg", "jpeg", "webp", "tif", "tiff"])
def test_every_output_format_is_what_its_name_says(format: str) -> None:
    image = Image.open(written(Picture(RGB, None, False), format))
    found = output_format(format)
    assert found is not None and image.format == found.pillow_name
    assert image.size == (7, 5)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_png_has_the_mode_of_the_picture(mode: str) -> None:
    alpha = ALPHA if mode.endswith("A") else None
    is_grey = mode.startswith("L")
    picture = Picture(GREY if is_grey else RGB, alpha, is_grey)
    assert Image.open(written(picture, "png")).mode == mode
    assert Image.open(written(picture, "tiff")).mode == mode
    assert to_pillow(picture).mode == mode


def test_grey_goes_to_a_pgm_and_to_a_grey_jpeg() -> None:
    picture = Picture(GREY, None, True)
    assert written(picture, "ppm").getvalue().startswith(b"P5\n7 5\n255\n")
    assert Image.open(written(picture, "jpg")).mode == "L"


def test_jpeg_has_full_colour_resolution_and_high_quality() -> None:
    rgb = np.zeros((16, 16, 3), np.uint8)
    rgb[::2, :, 0] = rgb[1::2, :, 2] = 200  # lines that 4:2:0 would turn to purple
    back = read_picture(written(Picture(rgb, None, False), "jpg"))
    assert np.abs(back.rgb.astype(int) - rgb).max() < 25


@pytest.mark.parametrize("format", ["jpg", "ppm"])
def test_alpha_is_refused_where_the_format_has_none(format: str) -> None:
    file = io.BytesIO()
    with pytest.raises(UnsupportedImageError, match="no alpha") as caught:
        write(Picture(RGB, ALPHA, False), file, format)
    assert "png" in caught.value.hint
    assert file.getvalue() == b""


@pytest.mark.parametrize("kind", ["exif", "xmp"])
def test_metadata_too_long_for_jpeg_is_an_error_and_nothing_is_written(kind: str) -> None:
    long = exif_of(Make="x" * 70_000)
    file = io.BytesIO()
    with pytest.raises(UnsupportedImageError, match=r"JPEG.*too long"):
        write(Picture(RGB, None, False, **{kind: long}), file, "jpg")
    assert file.getvalue() == b""


def test_a_picture_too_wide_for_webp_is_refused_with_a_way_out() -> None:
    picture = Picture(np.zeros((1, 16384, 3), np.uint8), None, False)
    with pytest.raises(UnsupportedImageError, match="WEBP") as caught:
        written(picture, "webp")
    assert "png" in caught.value.hint


def test_an_unknown_output_format_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UnsupportedImageError, match="'gif'") as caught:
        written(Picture(RGB, None, False), "gif")
    assert "png" in caught.value.hint


def test_writing_needs_no_seekable_file() -> None:
    class Pipe(io.RawIOBase):
        data = b""

        def writable(self) -> bool:
            return True

        def write(self, data) -> int:
            self.data += bytes(data)
            return len(data)

    for format in ("png", "ppm", "jpg", "webp", "tiff"):
        pipe = Pipe()
        write(Picture(RGB, None, False), pipe, format)  # type: ignore[arg-type]
        assert read_picture(io.BytesIO(pipe.data)).width == 7


def test_a_tiff_of_many_strips_keeps_maker_notes_where_their_offsets_point() -> None:
    exif = Image.Exif()
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.MakerNote: b"offsets from the start of the EXIF data"}
    data = exif.tobytes()[6:]
    rgb = RNG.integers(0, 256, (400, 600, 3), np.uint8)
    file = written(Picture(rgb, None, False, exif=data), "tiff").getvalue()
    assert file[: len(data)].replace(file[4:8], b"") == data.replace(data[4:8], b"")
    back = read_picture(io.BytesIO(file))
    np.testing.assert_array_equal(back.rgb, rgb)
    assert b"offsets from the start" in back.exif


# --------------------------------------------------------------------------------- the class itself


@pytest.mark.parametrize(
    ("rgb", "alpha"),
    [
        (np.zeros((5, 7), np.uint8), None),
        (np.zeros((5, 7, 4), np.uint8), None),
        (np.zeros((0, 7, 3), np.uint8), None),
        (np.zeros((5, 7, 3), np.float32), None),
        (RGB, ALPHA.T),
        (RGB, ALPHA.astype(np.int64)),
    ],
)
def test_arrays_of_a_wrong_shape_or_type_are_refused(
    rgb: NDArray[Any], alpha: NDArray[Any] | None
) -> None:
    with pytest.raises(ImageError):
        Picture(rgb, alpha, False)


def test_pixels_are_made_contiguous() -> None:
    picture = Picture(RGB[:, ::-1], ALPHA.T.copy().T, False)
    assert picture.rgb.flags.c_contiguous
    assert picture.alpha is not None
    assert picture.alpha.flags.c_contiguous


@pytest.mark.parametrize(
    ("kinds", "left"),
    [
        ([], {"icc", "exif", "xmp"}),
        (["all"], {"icc"}),
        (["icc"], {"exif", "xmp"}),
        (["exif"], {"icc", "xmp"}),
        (["xmp", "icc"], {"exif"}),
        (["gps"], {"icc", "exif", "xmp"}),
        (["all", "icc"], set()),
    ],
)
def test_without_removes_what_it_is_told(kinds: list[str], left: set[str]) -> None:
    picture = Picture(RGB, ALPHA, False, ICC, EXIF, XMP).without(kinds)
    assert {kind for kind in ("icc", "exif", "xmp") if getattr(picture, kind)} == left
    assert picture.alpha is not None


def test_without_refuses_an_unknown_kind() -> None:
    with pytest.raises(ValueError, match="iptc"):
        Picture(RGB, None, False).without(["iptc"])

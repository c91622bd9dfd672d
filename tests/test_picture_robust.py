"""Whole files of every kind that users have: a picture or a clear refusal, never else.

Those in `images/` are small and made by `images/make.py`. Where a collection from the test suites
of other projects lies beside the repository, it is read as well; it is not part of it. INDEX.tsv
sorts the files of a folder by what they are about, which is not all that they are: an animation
may stand under "alpha", a damaged file under "icc".
"""

from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from rdae.errors import ImageError
from rdae.images.formats import format_of
from rdae.images.picture import Picture
from rdae.images.pillow import read_picture
from rdae.images.writer import write_picture
from tests.image_samples import read_png_16

OWN = Path(__file__).parent / "images"
OTHERS = Path(__file__).resolve().parents[2] / "shared" / "data" / "robust"

OPTIONS = {"to_8bit": True, "first_frame": True, "to_srgb": True}


def index(folder: Path) -> list[dict[str, str]]:
    """The lines of a folder's INDEX.tsv; none if it is not there."""
    path = folder / "INDEX.tsv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def files(kind: str | None = None) -> list[Path]:
    return [
        folder / row["file"]
        for folder in (OWN, OTHERS)
        for row in index(folder)
        if kind is None or row["kind"] == kind
    ]


def of_kind(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", files(kind), ids=lambda path: path.name[-50:])


def outcome(path: Path, **options: bool) -> Picture | ImageError:
    try:
        return read_picture(path, **options)
    except ImageError as error:
        return error


def is_of_a_format_that_is_read(path: Path) -> bool:
    return format_of(path.read_bytes()[:64]) is not None


def is_fuzzed(path: Path) -> bool:
    return "fuzz" in path.name or "crash" in path.name


def is_plain_png_of_16_bit_colours(path: Path) -> bool:
    data = path.read_bytes()
    if path.suffix != ".png" or len(data) < 29 or is_fuzzed(path):
        return False
    depth, colour_type, interlaced = data[24], data[25], data[28]
    return depth == 16 and colour_type != 0 and not interlaced and b"acTL" not in data


every_file = pytest.mark.parametrize("path", files(), ids=lambda path: path.name[-50:])


@pytest.mark.parametrize("row", index(OWN), ids=lambda row: row["file"])
def test_our_own_files_are_taken_with_the_option_that_they_need(row: dict[str, str]) -> None:
    path, option = OWN / row["file"], row["expected"]
    if option != "refused" and option != "taken":
        refusal = outcome(path)
        assert isinstance(refusal, ImageError) and option in refusal.hint
        assert isinstance(outcome(path, **{option: True}), Picture)
    else:
        assert isinstance(outcome(path), Picture if option == "taken" else ImageError)


def test_every_kind_has_files_of_our_own() -> None:
    made = {path.name for path in OWN.iterdir()} - {"make.py", "INDEX.tsv", "__pycache__"}
    assert made == {row["file"] for row in index(OWN)}
    assert {row["kind"] for row in index(OWN)} >= {row["kind"] for row in index(OTHERS)}


@every_file
def test_every_file_is_a_picture_or_a_refusal_with_a_reason_and_a_hint(path: Path) -> None:
    result = outcome(path)
    if isinstance(result, Picture):
        assert result.rgb.dtype == np.uint8
        assert result.rgb.shape == (result.height, result.width, 3)
        assert result.alpha is None or result.alpha.shape == (result.height, result.width)
        if result.is_grey:
            assert (result.rgb == result.rgb[..., :1]).all()
    else:
        assert str(result)
        assert result.hint


@every_file
def test_no_file_makes_a_library_print_or_warn_whatever_is_asked_for(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome(path)
        result = outcome(path, **OPTIONS)
    assert [str(warning.message) for warning in caught] == []
    assert "".join(capfd.readouterr()) == ""
    if isinstance(result, Picture):
        assert result.rgb.shape == (result.height, result.width, 3)
        assert result.icc == b""


@every_file
def test_an_option_that_a_refusal_names_leads_to_a_picture_or_to_another_refusal(
    path: Path,
) -> None:
    options: dict[str, bool] = {}
    for _ in range(4):
        result = outcome(path, **options)
        if isinstance(result, Picture):
            return
        named = [name for name in OPTIONS if name in result.hint]
        if not named:
            return
        (option,) = named
        assert option not in options
        assert f"--{option.replace('_', '-')} " in result.hint
        options[option] = True
    raise AssertionError(f"{path.name} is refused for ever")


@every_file
def test_every_picture_survives_png_and_tiff(path: Path) -> None:
    picture = outcome(path)
    if isinstance(picture, ImageError):
        return
    for format in ("png", "tiff"):
        file = io.BytesIO()
        write_picture(picture, file, format)
        back = read_picture(file)
        np.testing.assert_array_equal(back.rgb, picture.rgb)
        assert back.is_grey == picture.is_grey
        assert (back.icc, back.xmp) == (picture.icc, picture.xmp)
        if picture.alpha is not None:
            assert back.alpha is not None
            np.testing.assert_array_equal(back.alpha, picture.alpha)


@of_kind("16bit/float")
def test_deep_files_are_refused_for_their_depth(path: Path) -> None:
    result = outcome(path)
    assert isinstance(result, ImageError)
    if is_of_a_format_that_is_read(path):
        assert "8 bits" in str(result)


@of_kind("16bit/float")
def test_deep_files_are_pictures_with_to_8bit(path: Path) -> None:
    if is_of_a_format_that_is_read(path):
        picture = outcome(path, to_8bit=True)
        assert isinstance(picture, Picture)
        assert picture.is_grey  # as all of these are
        with Image.open(path) as image:
            values = np.asarray(image).astype(float)
        if image.mode.startswith("I;16") and "12bit" not in path.name:
            np.testing.assert_array_equal(picture.rgb[..., 0], np.rint(values / 257))


@pytest.mark.parametrize(
    "path",
    [path for path in files() if is_plain_png_of_16_bit_colours(path)],
    ids=lambda path: path.name[-50:],
)
def test_colours_of_16_bits_are_rounded_as_a_plain_reader_of_png_says(path: Path) -> None:
    data = path.read_bytes()
    wanted = np.rint(read_png_16(data) / 257)
    picture = outcome(path, to_8bit=True)
    assert isinstance(picture, Picture)
    if picture.alpha is not None:
        np.testing.assert_array_equal(picture.alpha, wanted[..., -1])
        wanted = wanted[..., :-1]
    np.testing.assert_array_equal(picture.rgb, np.broadcast_to(wanted, picture.rgb.shape))


@of_kind("animated/multiframe")
def test_the_first_of_several_pictures_is_what_pillow_shows_first(path: Path) -> None:
    picture = outcome(path, first_frame=True)
    if not is_fuzzed(path):
        assert isinstance(picture, Picture)
        with Image.open(path) as image:
            wanted = np.asarray(image.convert("RGBA"))
        np.testing.assert_array_equal(picture.rgb, wanted[..., :3])


@of_kind("cmyk")
def test_cmyk_files_are_pictures_with_to_srgb(path: Path) -> None:
    picture = outcome(path, to_srgb=True, to_8bit=True)
    if is_fuzzed(path):
        return
    assert isinstance(picture, Picture)
    with Image.open(path) as image:
        wanted = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(picture.rgb - wanted).max() <= 1  # none of them has a profile


@pytest.mark.parametrize(
    ("in_lab", "in_jpeg"),
    [
        (OWN / "lab.tif", OWN / "lab.jpg"),
        (
            OTHERS / "alpha" / "pillow_hopper.Lab.tif",
            OTHERS / "exif-rotated" / "pillow_hopper_orientation_3.jpg",
        ),
    ],
    ids=["ours", "others"],
)
def test_a_lab_file_looks_as_the_same_photo_in_a_jpeg(in_lab: Path, in_jpeg: Path) -> None:
    if not in_lab.exists():
        pytest.skip("the collection of files is not there")
    lab = outcome(in_lab, to_srgb=True)
    jpeg = outcome(in_jpeg)
    assert isinstance(lab, Picture)
    assert isinstance(jpeg, Picture)
    blocks = (
        (lab.rgb.astype(int) - jpeg.rgb).reshape(lab.height // 8, 8, -1, 8, 3).mean(axis=(1, 3))
    )
    assert np.abs(blocks).mean() < 2  # the rest is what JPEG has added


@of_kind("animated/multiframe")
def test_files_of_several_pictures_are_refused_for_that(path: Path) -> None:
    result = outcome(path)
    assert isinstance(result, ImageError)
    if not is_fuzzed(path):
        assert "several pictures" in str(result)


@of_kind("cmyk")
def test_cmyk_files_are_refused_for_their_colours(path: Path) -> None:
    result = outcome(path)
    assert isinstance(result, ImageError)
    if not is_fuzzed(path):
        assert "CMYK" in str(result)


@of_kind("unreadable/corrupt/other")
def test_corrupt_files_are_refused(path: Path) -> None:
    assert isinstance(outcome(path), ImageError)


@of_kind("exif-rotated")
def test_rotated_files_come_out_as_pillow_turns_them_and_upright(path: Path) -> None:
    picture = outcome(path)
    if is_fuzzed(path) and isinstance(picture, ImageError):
        return
    assert isinstance(picture, Picture)
    with Image.open(path) as image:
        wanted = ImageOps.exif_transpose(image).convert("RGB")
    np.testing.assert_array_equal(picture.rgb, np.asarray(wanted))
    exif = Image.Exif()
    exif.load(picture.exif)
    assert exif.get(274, 1) == 1


@of_kind("gray/1bit")
def test_grey_files_are_grey(path: Path) -> None:
    result = outcome(path)
    if is_of_a_format_that_is_read(path) and not is_fuzzed(path):
        assert isinstance(result, Picture)
        assert result.is_grey


@of_kind("icc")
def test_files_with_a_profile_keep_it_or_are_converted(path: Path) -> None:
    result = outcome(path)
    if isinstance(result, Picture):
        assert len(result.icc) > 0
        converted = outcome(path, to_srgb=True)
        if isinstance(converted, Picture):
            assert converted.icc == b""
            assert converted.is_grey == result.is_grey
        else:  # a profile of seven bytes, in a test of something else
            assert len(result.icc) < 128
            assert "--to-srgb" in converted.hint


@of_kind("palette")
def test_palette_files_are_colour_pictures_or_animations(path: Path) -> None:
    result = outcome(path)
    if isinstance(result, Picture):
        assert not result.is_grey
    elif is_of_a_format_that_is_read(path) and not is_fuzzed(path):
        assert "several pictures" in str(result)


@of_kind("alpha")
def test_files_with_alpha_keep_it(path: Path) -> None:
    result = outcome(path)
    if isinstance(result, Picture):
        assert result.alpha is not None


@of_kind("tiny<=2px")
def test_tiny_files_are_pictures_or_damaged_or_animations(path: Path) -> None:
    result = outcome(path)
    if isinstance(result, Picture):
        assert min(result.width, result.height) <= 2
    elif is_of_a_format_that_is_read(path) and not is_fuzzed(path):
        assert "several pictures" in str(result)

"""Real files from the test suites of other projects: a picture or a clear refusal, never else.

They lie beside the repository and are not part of it; without them these tests are skipped.
INDEX.tsv sorts them by what they are about, which is not all that they are: an animation may
stand under "alpha", a damaged file under "icc".
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
from rdae.image_file import _SIGNATURES
from rdae.picture import Picture, read_picture, write_picture

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "robust"
INDEX = FOLDER / "INDEX.tsv"

pytestmark = [
    pytest.mark.skipif(not INDEX.exists(), reason="the collection of files is not there"),
    # What Pillow says of damaged metadata, before the pixels come through or fail.
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),
]


def files(kind: str | None = None) -> list[Path]:
    if not INDEX.exists():
        return []
    with INDEX.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [FOLDER / row["file"] for row in rows if kind is None or row["kind"] == kind]


def of_kind(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", files(kind), ids=lambda path: path.name[-50:])


def outcome(path: Path) -> Picture | ImageError:
    try:
        return read_picture(path)
    except ImageError as error:
        return error


def is_of_a_format_that_is_read(path: Path) -> bool:
    start = path.read_bytes()[:16]
    return any(start.startswith(signature, offset) for offset, signature, _ in _SIGNATURES)


def is_fuzzed(path: Path) -> bool:
    return "fuzz" in path.name or "crash" in path.name


every_file = pytest.mark.parametrize("path", files(), ids=lambda path: path.name[-50:])


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
def test_a_file_is_a_picture_or_a_refusal_where_warnings_are_errors_too(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome(path)


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
def test_files_with_a_profile_keep_it(path: Path) -> None:
    result = outcome(path)
    if isinstance(result, Picture):
        assert len(result.icc) > 0


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

"""The formats, settings and sizes that decompress writes; inputs that go or stay."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from rdae.cli.console import UsageError
from rdae.cli.options import FORMAT_OF_EXTENSION, Format
from rdae.cli.pictures import read_size
from tests.cli.cli_runner import Run, names, pixels, save

needs_jxl = pytest.mark.skipif(find_spec("pillow_jxl") is None, reason="no pillow-jxl-plugin")
ALL = [pytest.param(f, marks=needs_jxl) if f is Format.jxl else f for f in Format]
NO_ALPHA = {Format.jpg, Format.ppm, Format.bmp}


def opened(path: Path) -> Image.Image:
    if path.suffix == ".jxl":
        import pillow_jxl

        assert pillow_jxl
    return Image.open(path)


@pytest.mark.parametrize("format", ALL)
def test_every_format_is_written_by_suffix_and_by_name(
    run: Run, tmp_path: Path, rd: Path, format: Format
) -> None:
    for extension, meant in FORMAT_OF_EXTENSION.items():
        if meant is format:
            assert run("decompress", "photo.rd", f"a{extension}").code == 0
            named = run("decompress", "photo.rd", "--format", extension[1:].upper(), "-o", "-")
            assert named.out == (tmp_path / f"a{extension}").read_bytes()
    run("decompress", "photo.rd", "-o", "exact.png")
    with opened(tmp_path / f"a.{format.value}") as image:
        assert image.format == format.holds.pillow_name and image.size == (40, 24)
        difference = np.asarray(image.convert("RGB"), int) - np.asarray(
            Image.open(tmp_path / "exact.png"), int
        )
    assert np.abs(difference).max() <= (12 if format in (Format.jpg, Format.avif) else 0)


@pytest.mark.parametrize("format", ALL)
def test_alpha_is_held_or_refused(run: Run, tmp_path: Path, format: Format) -> None:
    save(tmp_path / "a.png", channels=4)
    run("compress", "a.png", "a.rd")
    result = run("decompress", "a.rd", "-o", f"b.{format.value}")
    if format in NO_ALPHA:
        assert result.code == 1 and "has no alpha and the picture has" in result.err
        assert "hint: write png, webp, avif, tiff or jxl instead" in result.err
        assert names(tmp_path) == ["a.png", "a.rd"]
        return
    with opened(tmp_path / f"b.{format.value}") as image:
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
    assert np.abs(alpha.astype(int) - pixels(channels=4)[..., 3]).max() <= 3


@pytest.mark.parametrize("format", ALL)
def test_metadata_are_held_or_said(run: Run, tmp_path: Path, format: Format) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a title"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels()).save(tmp_path / "a.png", exif=exif, icc_profile=profile)
    run("compress", "a.png", "a.rd")
    result = run("decompress", "a.rd", "-o", f"b.{format.value}")
    assert result.code == 0
    with opened(tmp_path / f"b.{format.value}") as image:
        for what, is_held in (
            ("ICC profile", image.info.get("icc_profile") == profile),
            ("EXIF", image.getexif().get(0x010E) == "a title"),
        ):
            assert is_held != (what in result.err), (what, result.err)
    record = run("decompress", "a.rd", "-f", "-o", f"b.{format.value}", "--json").records[0]
    assert bool(record["lost"]) is (f"not in {format.value} files: " in result.err)


def test_that_grey_becomes_colour_is_said(run: Run, tmp_path: Path) -> None:
    Image.fromarray(pixels()[..., 0]).save(tmp_path / "a.png")
    run("compress", "a.png", "a.rd")
    for format in Format:
        if format is Format.jxl and find_spec("pillow_jxl") is None:
            continue
        said = run("decompress", "a.rd", "-f", "-o", f"b.{format.value}").err
        with opened(tmp_path / f"b.{format.value}") as image:
            assert (image.mode != "L") == ("that it is grey" in said), format


@pytest.mark.parametrize("format", ["jpg", "webp", "avif", pytest.param("jxl", marks=needs_jxl)])
def test_output_quality_is_the_formats_own(run: Run, tmp_path: Path, rd: Path, format: str) -> None:
    sizes = []
    for quality in ("10", "50", "95"):
        arguments = ("decompress", "photo.rd", "-f", "-o", f"b.{format}")
        assert run(*arguments, "--output-quality", quality).code == 0
        sizes.append((tmp_path / f"b.{format}").stat().st_size)
    assert sizes == sorted(sizes) and sizes[0] < sizes[2]


def test_png_level_changes_the_size_and_not_the_pixels(run: Run, tmp_path: Path, rd: Path) -> None:
    for level in ("0", "3", "9"):
        assert run("decompress", "photo.rd", f"{level}.png", "--png-level", level).code == 0
    assert run("decompress", "photo.rd", "plain.png").code == 0
    files = [tmp_path / f"{name}.png" for name in ("0", "3", "9", "plain")]
    sizes = [file.stat().st_size for file in files]
    assert sizes[0] > max(sizes[1:])
    first, *others = [np.asarray(Image.open(file)) for file in files]
    assert all(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("-o a.png --output-quality 90", "png has no quality"),
        ("-o a.ppm --output-quality 90", "ppm has no quality"),
        ("-o a.jpg --png-level 3", "--png-level is for png"),
        ("--format gif", "--format gif: not a format that is written"),
        ("--resize 10", "--resize takes WxH, not 10"),
        ("--resize x", "--resize takes WxH, not x"),
        ("--resize 0x0", "--resize takes WxH"),
        ("--rm --region 0,0,9,9", "--rm would delete more"),
        ("--rm --resize 9x9", "--rm would delete more than --resize writes"),
        ("--rm --thumbnail 9", "--rm would delete more than --thumbnail writes"),
        ("--rm -o -", "--rm needs a file on both sides"),
    ],
)
def test_what_makes_no_sense_is_refused(
    run: Run, tmp_path: Path, rd: Path, arguments: str, said: str
) -> None:
    result = run("decompress", "photo.rd", *arguments.split())
    assert result.code == 2 and said in result.err
    assert names(tmp_path) == ["photo.rd"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("20x20", (20, 12)),
        ("x12", (20, 12)),
        ("80X", (80, 48)),
        ("100x48", (80, 48)),
        ("1x", (1, 1)),
    ],
)
def test_the_picture_is_scaled_into_a_size(
    run: Run, tmp_path: Path, rd: Path, size: str, expected: tuple[int, int]
) -> None:
    assert run("decompress", "photo.rd", "a.png", "--resize", size).code == 0
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == expected and image.mode == "RGB"


def test_scaling_keeps_mode_and_metadata_and_the_limit(run: Run, tmp_path: Path) -> None:
    Image.fromarray(pixels(channels=2), "LA").save(tmp_path / "a.png", icc_profile=b"")
    run("compress", "a.png", "a.rd")
    run("decompress", "a.rd", "b.png", "--resize", "20x")
    with Image.open(tmp_path / "b.png") as image:
        assert image.size == (20, 12) and image.mode == "LA"
    result = run("decompress", "a.rd", "c.png", "--resize", "9999x9999", "--max-pixels", "100000")
    assert result.code == 1 and "too-large" in result.err
    assert read_size("800x600") == (800, 600) and read_size(None) is None
    with pytest.raises(UsageError):
        read_size("800x600x3")


def test_rm_deletes_inputs_whose_outputs_are_there(run: Run, tmp_path: Path, photo: Path) -> None:
    save(tmp_path / "b.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert run("compress", "photo.png", "b.png", "bad.png", "--rm").code == 1
    assert names(tmp_path) == ["b.rd", "bad.png", "photo.rd"]
    assert run("decompress", "photo.rd", "--rm").code == 0
    assert names(tmp_path) == ["b.rd", "bad.png", "photo.png"]
    assert run("compress", "photo.png", "b.rd.png", "--rm", "--skip-existing").code == 1


def test_rm_leaves_what_has_no_complete_output(run: Run, tmp_path: Path, photo: Path) -> None:
    assert run("compress", "photo.png", "--rm", "-n").code == 2
    assert run("compress", "photo.png", "--rm", "-o", "/dev/null").code == 2
    assert run("compress", "photo.png", "photo.rd").code == 0
    assert run("compress", "photo.png", "--rm").code == 1  # its output exists
    assert run("compress", "photo.png", "--rm", "--skip-existing").code == 0
    (tmp_path / "photo.rd").write_bytes((tmp_path / "photo.rd").read_bytes()[:-3])
    assert run("decompress", "photo.rd", "a.png", "--best-effort", "--rm").code == 1
    assert "photo.rd" in names(tmp_path) and "photo.png" in names(tmp_path)


def test_rm_leaves_an_input_of_which_something_was_lost(run: Run, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a title"
    Image.fromarray(pixels()).save(tmp_path / "a.png", exif=exif)
    run("compress", "a.png", "a.rd")
    result = run("decompress", "a.rd", "a.ppm", "--rm")
    assert result.code == 0 and "EXIF; the input was kept" in result.err
    assert names(tmp_path) == ["a.png", "a.ppm", "a.rd"]


def test_keep_if_smaller_writes_nothing_larger(run: Run, tmp_path: Path, photo: Path) -> None:
    checker(tmp_path / "checker.png")
    arguments = ("--keep-if-smaller", "--rm")
    result = run("compress", "checker.png", "photo.png", *arguments)
    assert result.code == 0 and result.err.startswith("checker.png: kept, its .rd file would have")
    assert names(tmp_path) == ["checker.png", "photo.rd"]
    record = run("compress", "checker.png", *arguments, "--json").records[0]
    assert record["skipped"] and record["output"] is None
    assert (
        record["output_bytes"] >= record["input_bytes"] == (tmp_path / "checker.png").stat().st_size
    )


def checker(path: Path) -> None:
    """A board of single pixels: easy for PNG, impossible for a codec of photos."""
    Image.fromarray(np.indices((64, 64)).sum(0) % 2 == 1).save(path)

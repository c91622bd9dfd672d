"""`rdae decompress`, run as a user runs it."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.cli_runner import Run, names, pixels, run_rdae, save


def test_the_picture_takes_the_free_name_and_the_line_says_it(
    run: Run, tmp_path: Path, rd: Path
) -> None:
    result = run("decompress", "photo.rd")
    assert (result.code, result.out) == (0, b"")
    assert result.err.startswith("photo.rd → photo.png   40x24 RGB  ")
    decoded = np.asarray(Image.open(tmp_path / "photo.png"), float)
    assert np.abs(decoded - pixels()).mean() < 20


def test_an_original_is_never_touched(run: Run, tmp_path: Path, rd: Path, photo: Path) -> None:
    original = photo.read_bytes()
    first = run("decompress", "photo.rd")
    assert "photo.rd → photo.rd.png" in first.err
    again = run("decompress", "photo.rd")
    assert again.code == 1 and "rdae: photo.rd.png: exists" in again.err
    assert run("decompress", "photo.rd", "-f").code == 0
    assert names(tmp_path) == ["photo.png", "photo.rd", "photo.rd.png"]
    assert photo.read_bytes() == original


def test_an_original_is_replaced_only_by_name_and_force(
    run: Run, tmp_path: Path, rd: Path, photo: Path
) -> None:
    original = photo.read_bytes()
    assert run("decompress", "photo.rd", "-o", "photo.png").code == 1
    assert photo.read_bytes() == original
    assert run("decompress", "photo.rd", "-o", "photo.png", "-f").code == 0
    assert photo.read_bytes() != original


def test_skip_existing_leaves_pictures_alone(
    run: Run, tmp_path: Path, rd: Path, photo: Path
) -> None:
    result = run("decompress", "photo.rd", "--skip-existing")
    assert result.code == 0 and result.err == "photo.rd: skipped, photo.png exists\n"
    assert names(tmp_path) == ["photo.png", "photo.rd"]


@pytest.mark.parametrize(
    ("extension", "format"),
    [
        ("png", "PNG"),
        ("ppm", "PPM"),
        ("jpg", "JPEG"),
        ("JPEG", "JPEG"),
        ("webp", "WEBP"),
        ("tif", "TIFF"),
    ],
)
def test_the_extension_picks_the_format(
    run: Run, tmp_path: Path, rd: Path, extension: str, format: str
) -> None:
    assert run("decompress", "photo.rd", "-o", f"x.{extension}").code == 0
    with Image.open(tmp_path / f"x.{extension}") as image:
        assert image.format == format and image.size == (40, 24)


def test_the_format_can_be_named_for_many_files(run: Run, tmp_path: Path, rd: Path) -> None:
    (tmp_path / "two.rd").write_bytes(rd.read_bytes())
    assert (
        run("decompress", "photo.rd", "two.rd", "--format", "webp", "--output-dir", "o").code == 0
    )
    assert names(tmp_path / "o") == ["photo.webp", "two.webp"]


@pytest.mark.parametrize("format", ["png", "tiff", "jpg"])
def test_pipes_take_every_format(run: Run, rd: Path, format: str) -> None:
    result = run("decompress", "-", "--format", format, stdin=rd.read_bytes())
    with Image.open(io.BytesIO(result.out)) as image:
        assert image.size == (40, 24)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_the_mode_comes_back(run: Run, tmp_path: Path, channels: int, mode: str) -> None:
    array = pixels(channels=channels)
    Image.fromarray(array[..., 0] if channels == 1 else array).save(tmp_path / "a.png")
    assert run("compress", "a.png").code == 0
    assert f" 40x24 {mode} " in run("decompress", "a.rd", "-o", "b.png").err
    with Image.open(tmp_path / "b.png") as image:
        assert image.mode == mode
        if channels in (2, 4):
            assert np.array_equal(np.asarray(image)[..., -1], array[..., -1])


def test_a_format_without_alpha_refuses_it_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "a.png", channels=4)
    run("compress", "a.png")
    result = run("decompress", "a.rd", "-o", "a.jpg")
    assert result.code == 1 and "has no alpha" in result.err
    assert names(tmp_path) == ["a.png", "a.rd"]


def test_a_tree_is_walked_and_mirrored(run: Run, tmp_path: Path, photo_rd: bytes) -> None:
    for name in ("in/a/x.rd", "in/b/x.RD", "in/b/x.txt", "in/.hidden.rd"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(photo_rd)
    assert run("decompress", "-r", "in", "--output-dir", "out").code == 0
    assert names(tmp_path / "out") == [os.path.join("a", "x.png"), os.path.join("b", "x.png")]


def test_a_cut_file_says_so_and_gives_no_picture(run: Run, tmp_path: Path, rd: Path) -> None:
    rd.write_bytes(rd.read_bytes()[:-10])
    result = run("decompress", "photo.rd", "--json")
    assert result.code == 1
    assert result.records[0]["error"]["code"] == "truncated"
    assert result.err.startswith("rdae: photo.rd: truncated: ")
    assert "hint: " in result.err
    assert names(tmp_path) == ["photo.rd"]


def test_a_damaged_file_says_so_and_gives_no_picture(run: Run, tmp_path: Path, rd: Path) -> None:
    data = bytearray(rd.read_bytes())
    data[-12] ^= 0x10
    rd.write_bytes(data)
    result = run("decompress", "photo.rd")
    assert result.code == 1 and "rdae: photo.rd: corrupt: " in result.err
    assert names(tmp_path) == ["photo.rd"]


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_something_else_is_not_rdae(run: Run, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.rd").write_bytes(data)
    result = run("decompress", "x.rd", "--json")
    assert result.code == 1 and result.records[0]["error"]["code"] in ("not-rdae", "truncated")


def test_too_many_pixels_are_refused(run: Run, rd: Path) -> None:
    result = run("decompress", "photo.rd", "--max-pixels", "959")
    assert result.code == 1 and "rdae: photo.rd: too-large: " in result.err


def test_an_unknown_model_is_named(run: Run, tmp_path: Path, rd: Path) -> None:
    import zlib

    data = bytearray(rd.read_bytes())
    data[5:10] = b"\xfa\x01\x02\x03\x04"  # model id and fingerprint, FORMAT.md
    data[13:15] = (zlib.crc32(data[:13]) & 0xFFFF).to_bytes(2, "little")
    rd.write_bytes(data)
    result = run("decompress", "photo.rd")
    assert result.code == 1
    assert "rdae: photo.rd: unknown-model: " in result.err and "250" in result.err
    assert "hint: " in result.err


def test_the_same_pixels_come_out_of_any_number_of_threads(
    run: Run, tmp_path: Path, rd: Path
) -> None:
    for number in ("1", "2"):
        run("decompress", "photo.rd", "-o", f"{number}.ppm", "--threads", number)
    assert (tmp_path / "1.ppm").read_bytes() == (tmp_path / "2.ppm").read_bytes()


def test_the_console_script_is_the_same_command(tmp_path: Path, rd: Path) -> None:
    import subprocess
    import sys

    script = shutil.which("rdae", path=os.path.dirname(sys.executable))
    assert script is not None, "rdae is not installed beside this Python"
    done = subprocess.run([script, "decompress", "photo.rd"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0
    assert names(tmp_path) == ["photo.png", "photo.rd"]


def test_the_picture_has_the_time_of_the_file(run: Run, tmp_path: Path, rd: Path) -> None:
    os.utime(rd, ns=(10**18, 10**18))
    assert run("decompress", "photo.rd", "-p").code == 0
    assert (tmp_path / "photo.png").stat().st_mtime_ns == 10**18


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of two tiles and the picture that it decodes to."""
    folder = tmp_path_factory.mktemp("wide")
    save(folder / "source.png", width=1100)
    assert run_rdae(folder, "compress", "source.png", "-o", "wide.rd").code == 0
    assert run_rdae(folder, "decompress", "wide.rd").code == 0
    return folder


@pytest.fixture
def two_tiles(wide: Path, tmp_path: Path) -> Path:
    """A file wide.rd of 1100x24 pixels in two tiles, and wide.png, decoded from it."""
    shutil.copytree(wide, tmp_path, dirs_exist_ok=True)
    return tmp_path / "wide.rd"


def break_tile(path: Path, tile: int) -> None:
    """Change a bit in the middle of a tile's chunk Y."""
    from rdae.bitstream.container import read_container

    data = bytearray(path.read_bytes())
    stream = read_container(bytes(data)).tiles[tile].y
    data[data.index(stream[-40:]) + 20] ^= 8  # in chunk Y, whether it is all of the stream or not
    path.write_bytes(data)


def test_a_region_is_the_crop_of_the_picture(run: Run, tmp_path: Path, two_tiles: Path) -> None:
    result = run("decompress", "wide.rd", "-o", "part.png", "--region", "1000,3,60,20", "--json")
    record = result.records[0]
    assert (result.code, record["width"], record["height"]) == (0, 60, 20)
    assert record["region"] == [1000, 3, 60, 20] and record["damage"] == []
    whole = np.asarray(Image.open(tmp_path / "wide.png"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "part.png")), whole[3:23, 1000:1060])


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1.5,2,3,4", "10x10"])
def test_a_region_that_is_no_region_is_a_wrong_call(run: Run, rd: Path, text: str) -> None:
    result = run("decompress", "photo.rd", "--region", text)
    assert result.code == 2 and "--region takes four whole numbers X,Y,W,H" in result.err


@pytest.mark.parametrize("text", ["40,0,1,1", "0,0,41,1", "0,0,0,5", "-1,0,5,5"])
def test_a_region_outside_names_the_size_of_the_picture(
    run: Run, tmp_path: Path, rd: Path, text: str
) -> None:
    result = run("decompress", "photo.rd", f"--region={text}")
    assert result.code == 1
    assert f"rdae: photo.rd: region: the region {text} " in result.err
    assert "the picture is 40x24" in result.err and "hint: " in result.err
    assert names(tmp_path) == ["photo.rd"]


def test_the_limit_of_pixels_counts_those_of_the_region(run: Run, rd: Path) -> None:
    arguments = ("decompress", "photo.rd", "--max-pixels", "99", "--region")
    assert run(*arguments, "3,3,11,9").code == 0
    result = run(*arguments, "3,3,10,10")
    assert result.code == 1 and "the region has 10 x 10 = 100 pixels" in result.err


def test_best_effort_writes_the_picture_names_the_tiles_and_fails(
    run: Run, tmp_path: Path, two_tiles: Path
) -> None:
    break_tile(two_tiles, 1)
    refused = run("decompress", "wide.rd", "-o", "saved.png")
    assert refused.code == 1 and not (tmp_path / "saved.png").exists()
    result = run("decompress", "wide.rd", "-o", "saved.png", "--best-effort")
    assert result.code == 1
    line, error = result.err.splitlines()
    assert line.startswith("wide.rd → saved.png   1100x24 RGB")
    text = "tile 1 of 2 (1024..1099, 0..23) is damaged and was filled from its neighbours"
    assert error == f"rdae: wide.rd: corrupt: {text}"
    whole, saved = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("wide", "saved"))
    assert np.array_equal(saved[:, :960], whole[:, :960])
    assert not np.array_equal(saved[:, 1024:], whole[:, 1024:])


def test_best_effort_gives_programs_the_list(run: Run, two_tiles: Path) -> None:
    break_tile(two_tiles, 1)
    result = run("decompress", "wide.rd", "-o", "saved.png", "--best-effort", "--json")
    record, summary = result.records
    assert (record["ok"], record["output"], record["error"]["code"]) == (
        False,
        "saved.png",
        "corrupt",
    )
    (damage,) = record["damage"]
    keys = ("part", "tile", "x", "y", "width", "height", "filled_with")
    assert {key: damage[key] for key in keys} == {
        "part": "tile",
        "tile": 1,
        "x": 1024,
        "y": 0,
        "width": 76,
        "height": 24,
        "filled_with": "neighbours",
    }
    assert (summary["ok"], summary["failed"], summary["done"]) == (False, 1, 0)


def test_best_effort_on_a_cut_file_keeps_what_is_there(
    run: Run, tmp_path: Path, two_tiles: Path
) -> None:
    two_tiles.write_bytes(two_tiles.read_bytes()[:-9])
    result = run("decompress", "wide.rd", "-o", "saved.png", "--best-effort")
    assert (
        result.code == 1
        and "rdae: wide.rd: truncated: 99 % of the file is there: tile 1 of 2 " in result.err
    )
    assert result.err.endswith(" is coarser\n")
    whole, saved = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("wide", "saved"))
    assert np.array_equal(saved[:, :960], whole[:, :960])


def test_best_effort_says_when_nothing_of_the_colours_is_left(
    run: Run, tmp_path: Path, rd: Path
) -> None:
    break_tile(rd, 0)
    result = run("decompress", "photo.rd", "--best-effort")
    text = "tile 0 of 1 (0..39, 0..23) is damaged and was made grey: nothing of the colours is left"
    assert result.code == 1 and f"rdae: photo.rd: corrupt: {text}" in result.err
    assert np.asarray(Image.open(tmp_path / "photo.png")).std() < 3


def test_best_effort_on_a_whole_file_is_the_usual_thing(run: Run, rd: Path) -> None:
    result = run("decompress", "photo.rd", "--best-effort")
    assert result.code == 0 and len(result.err.splitlines()) == 1


def test_best_effort_cannot_do_without_the_header(run: Run, tmp_path: Path, rd: Path) -> None:
    data = bytearray(rd.read_bytes())
    data[12] ^= 1
    rd.write_bytes(data)
    result = run("decompress", "photo.rd", "--best-effort")
    assert result.code == 1 and "rdae: photo.rd: corrupt: the header's checksum" in result.err
    assert names(tmp_path) == ["photo.rd"]


@pytest.mark.parametrize("more", [(), ("--region", "0,0,40,20"), ("--best-effort",)])
def test_a_thumbnail_fits_and_says_so(
    run: Run, tmp_path: Path, rd: Path, more: tuple[str, ...]
) -> None:
    result = run("decompress", "photo.rd", "--thumbnail", "20", "-o", "s.png", "--json", *more)
    assert result.code == 0, result.err
    record = result.records[0]
    height = 10 if "--region" in more else 12
    assert (record["width"], record["height"], record["thumbnail"]) == (20, height, 20)
    with Image.open(tmp_path / "s.png") as image:
        assert image.size == (20, height)


def test_a_thumbnail_of_a_small_picture_is_the_picture(run: Run, tmp_path: Path, rd: Path) -> None:
    assert run("decompress", "photo.rd", "-o", "a.png").code == 0
    assert run("decompress", "photo.rd", "-o", "b.png", "--thumbnail", "256").code == 0
    with Image.open(tmp_path / "a.png") as whole, Image.open(tmp_path / "b.png") as small:
        assert whole.tobytes() == small.tobytes()
    assert run("decompress", "photo.rd", "-o", "c.png", "--thumbnail", "0").code == 2
    rd.write_bytes(rd.read_bytes()[:-10])
    result = run("decompress", "photo.rd", "-o", "c.png", "--thumbnail", "256")
    assert result.code == 1 and "truncated" in result.err
    assert names(tmp_path) == ["a.png", "b.png", "photo.rd"]

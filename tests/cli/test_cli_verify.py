"""`rdae verify` of damaged files, run as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.cli.cli_runner import Run, names, run_rdae, save


@pytest.fixture(scope="module")
def rich_rd(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a file of two tiles with alpha and EXIF."""
    folder = tmp_path_factory.mktemp("rich")
    save(folder / "plain.png", width=1100, channels=4)
    exif = Image.Exif()
    exif[271] = "a camera"
    with Image.open(folder / "plain.png") as image:
        image.save(folder / "wide.png", exif=exif)
    assert run_rdae(folder, "compress", "wide.png").code == 0
    return (folder / "wide.rd").read_bytes()


@pytest.fixture
def rich(tmp_path: Path, rich_rd: bytes) -> Path:
    """That file as wide.rd in the test's folder."""
    path = tmp_path / "wide.rd"
    path.write_bytes(rich_rd)
    return path


def flip(path: Path, chunk: str, at: int = 9) -> None:
    """Change a bit of a chunk that `rdae info -v` calls by this name."""
    from rdae.bitstream.info import parse_info

    data = bytearray(path.read_bytes())
    field = next(f for f in parse_info(bytes(data)).fields if f.name == chunk)
    data[field.offset + min(at, field.length - 5)] ^= 1
    path.write_bytes(data)


def test_a_good_file_is_ok_and_nothing_is_written(run: Run, tmp_path: Path, rich: Path) -> None:
    before = names(tmp_path)
    result = run("verify", "wide.rd")
    assert (result.code, result.out) == (0, b"")
    assert result.err.startswith("wide.rd: ok   1100x24 RGBA  ")
    assert run("verify", "wide.rd", "--json").records[0]["damage"] == []
    assert names(tmp_path) == before


def test_a_broken_tile_is_named_with_its_pixels(run: Run, rich: Path) -> None:
    flip(rich, "chunk Y of tile 1", 30)
    result = run("verify", "wide.rd")
    line, hint = result.err.splitlines()
    assert result.code == 1
    assert line == "rdae: wide.rd: corrupt: tile 1 of 2 (1024..1099, 0..23) is damaged"
    assert hint.startswith("hint: ") and "--best-effort" in hint


def test_everything_that_is_broken_is_in_one_line(run: Run, rich: Path) -> None:
    for chunk in ("chunk e", "chunk A", "chunk Y of tile 0", "chunk Y of tile 1"):
        flip(rich, chunk)
    result = run("verify", "wide.rd")
    line, hint = result.err.splitlines()
    assert hint == "hint: copy or download it again; nothing of the colours is left to save"
    assert line == (
        "rdae: wide.rd: corrupt: tiles 0 (0..1023, 0..23) and 1 (1024..1099, 0..23) of 2 are "
        "damaged; the EXIF block is damaged; the alpha plane is damaged"
    )


def test_a_picture_with_all_tiles_intact_can_be_saved(run: Run, rd: Path, rich: Path) -> None:
    flip(rich, "chunk A")
    assert "--best-effort" in run("verify", "wide.rd").err
    flip(rd, "chunk Y of tile 0")
    assert "--best-effort" not in run("verify", "photo.rd").err


def test_programs_get_the_list(run: Run, rich: Path) -> None:
    flip(rich, "chunk A")
    flip(rich, "chunk Y of tile 1")
    record, summary = run("verify", "wide.rd", "--json").records
    assert (record["ok"], record["mode"], record["error"]["code"]) == (False, "RGBA", "corrupt")
    tile, alpha = record["damage"]
    assert (tile["part"], tile["tile"], tile["x"], tile["width"]) == ("tile", 1, 1024, 76)
    assert alpha["part"] == "alpha" and alpha["code"] == "corrupt" and alpha["message"]
    assert summary["failed"] == 1


def test_a_cut_file_is_called_truncated(run: Run, rich: Path) -> None:
    rich.write_bytes(rich.read_bytes()[:-9])
    result = run("verify", "wide.rd", "--json")
    record = result.records[0]
    assert result.code == 1 and record["error"]["code"] == "truncated"
    assert [damage["tile"] for damage in record["damage"]] == [1]


def test_a_broken_header_is_an_error_without_a_list(run: Run, rich: Path) -> None:
    data = bytearray(rich.read_bytes())
    data[11] ^= 1
    rich.write_bytes(data)
    record = run("verify", "wide.rd", "--json").records[0]
    assert record["error"]["code"] == "corrupt" and record["damage"] is None


def test_the_other_files_are_verified_too(run: Run, tmp_path: Path, rich: Path) -> None:
    (tmp_path / "good.rd").write_bytes(rich.read_bytes())
    flip(rich, "chunk Y of tile 0")
    result = run("verify", "wide.rd", "good.rd")
    assert result.code == 1
    assert "good.rd: ok" in result.err and "1 of 2 ok" in result.err and "1 failed" in result.err

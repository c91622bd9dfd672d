"""`rdae compare`: the metrics of two pictures."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.cli_runner import InProcess, save


def test_two_pictures_are_compared(call: InProcess, tmp_path: Path) -> None:
    save(tmp_path / "a.png", width=200, height=180)
    with Image.open(tmp_path / "a.png") as image:
        image.save(tmp_path / "b.png")
        image.save(tmp_path / "c.jpg", quality=50)
        image.crop((0, 0, 199, 180)).save(tmp_path / "narrow.png")
        image.crop((0, 0, 50, 50)).save(tmp_path / "little.png")
    code, printed, said = call("compare", "a.png", "c.jpg", "--metric", "psnr,ms-ssim")
    assert (code, said) == (0, "")
    assert [line.split()[0] for line in printed.splitlines()] == ["PSNR", "MS-SSIM"]
    code, printed, _ = call("compare", "a.png", "b.png", "--json", "--metric", "psnr")
    record = json.loads(printed)
    assert (record["identical"], record["psnr"], record["schema"]) == (True, None, "rdae.compare/1")
    assert "∞" in call("compare", "a.png", "b.png", "--metric", "psnr")[1]

    code, _, said = call("compare", "a.png", "narrow.png")
    assert code == 1 and "differ in size: 200x180 and 199x180" in said
    code, _, said = call("compare", "a.png", "gone.png")
    assert (code, said) == (1, "rdae: gone.png: no such file or directory\n")
    code, _, said = call("compare", "little.png", "little.png", "--metric", "ms-ssim")
    assert code == 1 and "161 pixels" in said
    assert call("compare", "a.png", "b.png", "--metric", "vmaf")[0] == 2
    assert call("compare", "a.png")[0] == 2


def test_transparency_is_compared(call: InProcess, tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        image.putalpha(200)
        image.save(tmp_path / "faded.png")
    code, printed, said = call("compare", "a.png", "faded.png", "--json", "--metric", "psnr")
    record = json.loads(printed)
    assert code == 0 and not record["identical"] and 0 < record["psnr"] < 20
    assert said.startswith("note: there is transparency; judged on black and on white")
    code, printed, _ = call("compare", "faded.png", "faded.png", "--json", "--metric", "psnr")
    assert json.loads(printed)["identical"]


def test_a_file_of_ours_is_compared_with_its_source(call: InProcess, photo: Path, rd: Path) -> None:
    code, printed, _ = call("compare", photo.name, rd.name, "--json", "--metric", "psnr")
    assert code == 0
    record = json.loads(printed)
    assert 25 < record["psnr"] < 60 and (record["width"], record["height"]) == (40, 24)


@pytest.mark.skipif(os.name == "nt", reason="named pipes of POSIX")
def test_pipes_and_files_without_a_suffix_are_read(
    call: InProcess, tmp_path: Path, photo: Path, rd: Path
) -> None:
    expected = call("compare", "photo.png", "photo.rd")
    rd.rename(tmp_path / "plain")
    assert call("compare", "photo.png", "plain") == expected
    for path in (tmp_path / "plain", photo):
        os.mkfifo(tmp_path / f"{path.name}.pipe")
        data = path.read_bytes()
        writer = threading.Thread(target=(tmp_path / f"{path.name}.pipe").write_bytes, args=[data])
        writer.start()
        pair = ("photo.png.pipe", "plain") if path == photo else ("photo.png", "plain.pipe")
        assert call("compare", *pair) == expected
        writer.join()

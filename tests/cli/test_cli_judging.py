"""`rdae elbo` and `rdae compare` take the pictures that `rdae compress` takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.cli_runner import Run, environment, needs_torch

COMMANDS = [("elbo", "a.tif"), ("compare", "a.tif", "a.tif", "--metric", "psnr")]


@pytest.mark.parametrize("command", COMMANDS, ids=["elbo", "compare"])
@pytest.mark.parametrize(
    ("option", "mode", "frames"),
    [("--to-8bit", "I;16", 1), ("--to-srgb", "CMYK", 1), ("--first-frame", "RGB", 2)],
)
def test_a_refusal_names_the_option_that_takes_the_picture(
    run: Run, tmp_path: Path, command: tuple[str, ...], option: str, mode: str, frames: int
) -> None:
    page = Image.new(mode, (20, 10))
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page] * (frames - 1))
    refused = run(*command)
    assert refused.code == 1 and f"hint: {option} " in refused.err
    taken = run(*command, option)
    assert taken.code == 0 and taken.out, taken.err


@pytest.mark.parametrize("name", ["photo.png", "photo.rd"])
def test_the_pixel_limit_is_that_of_compare_too(run: Run, photo: Path, rd: Path, name: str) -> None:
    compare = ("compare", name, name, "--metric", "psnr", "--max-pixels")
    refused = run(*compare, "959")
    assert refused.code == 1 and "--max-pixels 960" in refused.err
    assert run(*compare, "960").code == 0


@pytest.mark.skipif(os.name == "nt", reason="POSIX terminals")
@needs_torch
@pytest.mark.slow
def test_a_search_of_elbo_shows_where_it_is_and_leaves_the_table_alone(
    tmp_path: Path, photo: Path
) -> None:
    import pty  # POSIX only

    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "rdae", "elbo", "photo.png", "-e", "3", "--draws", "1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment({"PYTHONWARNINGS": "ignore", "COLUMNS": "120", "TERM": "xterm"}),
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:
            pass  # Linux has this for the end of a terminal
        assert process.stdout is not None
        printed = process.stdout.read().decode()
    os.close(ours)
    assert process.returncode == 0
    bars = shown.decode()
    assert " bpp  " in bars and " dB  " in bars and " left  photo.png" in bars
    assert bars.endswith("\r\x1b[2K")  # the line is cleared
    assert "-ELBO, bits" in printed and "█" not in printed


def test_elbo_refuses_what_is_padding_above_all(run: Run, tmp_path: Path) -> None:
    Image.new("L", (1, 600_000)).save(tmp_path / "thin.png")
    result = run("elbo", "thin.png", "--max-pixels", "600000")
    assert result.code == 1
    assert result.err.startswith(
        "rdae: thin.png: too-large: a picture of 1x600000 is worked on as "
    )

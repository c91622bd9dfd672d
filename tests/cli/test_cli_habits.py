"""What hands used to other tools type: two names, the wrong command, a picture's name for -o."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from rdae.cli import compress, decompress, habits
from tests.cli.cli_runner import InProcess, Run, environment, names, save


def test_two_names_are_input_and_output(run: Run, tmp_path: Path, photo: Path) -> None:
    assert run("compress", "photo.png", "other name.rd").code == 0
    assert run("decompress", "other name.rd", "back.jpg").code == 0
    assert names(tmp_path) == ["back.jpg", "other name.rd", "photo.png"]
    assert (tmp_path / "back.jpg").read_bytes().startswith(b"\xff\xd8")


def test_a_second_name_that_exists_is_not_replaced(run: Run, tmp_path: Path, photo: Path) -> None:
    assert run("compress", "photo.png").code == 0
    before = names(tmp_path)
    for arguments in (
        ("compress", "photo.png", "photo.rd"),
        ("decompress", "photo.rd", photo.name),
    ):
        result = run(*arguments)
        assert result.code == 2
        assert f"hint: -o {arguments[-1]} -f replaces it" in result.err
    assert names(tmp_path) == before


def test_a_picture_under_a_second_name_is_still_an_input(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "b.png")
    assert run("compress", "a.png", "b.png").code == 0
    assert names(tmp_path) == ["a.png", "a.rd", "b.png", "b.rd"]


@pytest.mark.parametrize("name", ["photo.jpg", "photo.JPEG", "p.png", "p.jxl", "p.avif"])
def test_the_output_of_compress_is_not_called_a_picture(run: Run, photo: Path, name: str) -> None:
    result = run("compress", "photo.png", "-o", name)
    assert result.code == 2 and "compress writes .rd files" in result.err
    assert f"hint: -o {name.split('.')[0]}.rd; rdae decompress makes pictures" in result.err


def test_the_output_of_decompress_is_not_called_an_rd_file(run: Run, rd: Path) -> None:
    for more in ((), ("--format", "png")):
        result = run("decompress", "photo.rd", "-o", "b.rd", *more)
        assert result.code == 2 and "decompress writes pictures" in result.err
        assert "hint: -o b.png;" in result.err


def test_other_names_are_taken(run: Run, tmp_path: Path, photo: Path) -> None:
    assert run("compress", "photo.png", "-o", "plain").code == 0
    assert (tmp_path / "plain").read_bytes().startswith(b"\x93RDA")


def test_the_command_that_was_meant_is_named(
    run: Run, tmp_path: Path, photo: Path, rd: Path
) -> None:
    result = run("compress", "photo.rd")
    assert result.code == 1 and "hint: rdae decompress photo.rd makes a picture" in result.err
    for command in ("decompress", "info", "verify"):
        result = run(command, "photo.png")
        assert result.code == 1 and "hint: rdae compress photo.png makes one" in result.err
    (tmp_path / "a b.rd").write_bytes(rd.read_bytes())
    assert "rdae decompress 'a b.rd'" in run("compress", "a b.rd").err


def test_an_rd_file_of_another_name_is_read(run: Run, tmp_path: Path, rd: Path) -> None:
    rd.rename(tmp_path / "odd.png")
    assert run("decompress", "odd.png", "-o", "out.png").code == 0


def test_what_is_wrong_with_the_input_is_said_before_the_output(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("<svg/>")
    (tmp_path / "a.rd").write_bytes(b"what was there")
    assert "SVG files are not read" in run("compress", "a.svg").err
    assert "no such file" in run("compress", "a.png").err
    (tmp_path / "a.png").touch()
    (tmp_path / "a.rd.png").touch()
    assert "not-rdae" in run("decompress", "a.rd").err
    save(tmp_path / "a.png")
    assert "a.rd: exists" in run("compress", "a.png").err


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
@pytest.mark.parametrize("command", ["compress photo.png -o -", "info photo.rd", "--help"])
def test_a_closed_standard_output_is_no_success(photo: Path, rd: Path, command: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m rdae {command} >&-'],
        cwd=photo.parent,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stderr == "rdae: standard output: closed\n"


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
def test_a_closed_standard_output_is_no_matter_where_nothing_goes(photo: Path) -> None:
    shell = f'"{sys.executable}" -m rdae compress photo.png >&-'
    done = subprocess.run(["sh", "-c", shell], cwd=photo.parent, env=environment())
    assert done.returncode == 0 and photo.with_suffix(".rd").is_file()


def test_the_line_of_a_result_has_its_bits_and_the_rest_is_for_v(run: Run, photo: Path) -> None:
    (line,) = run("compress", "photo.png").err.splitlines()
    assert " bits, " in line and " bpp, " in line
    assert " · z " in run("compress", "photo.png", "-f", "-v").err.splitlines()[1]


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("photo.png small.rd", "rdae compress photo.png small.rd"),
        ("photo.RD", "rdae decompress photo.RD"),
        ("-q 80 photo.png", "options go behind the command: rdae compress photo.png -q ..."),
        ("encode photo.png", "it is called rdae compress here"),
        ("decode photo.rd", "it is called rdae decompress here"),
        ("test photo.rd", "it is called rdae verify here"),
        ("nonsense", "rdae --help lists the commands"),
        ("models test", "rdae models --help lists the options"),
        ("compress a.png -d 1", "-q 0..100 is the quality; higher is better"),
        ("compress a.png --speed 6", "-e 1..9 is the effort; higher is slower and smaller"),
        ("compress a.png -j 2", "--threads N is how many threads to use"),
        ("compress a.png -size 4000", "--target-size 40k is the largest file"),
        ("compress a.png -quiet", "it has two hyphens here: --quiet"),
        ("compress a.png -near_lossless 60", "--max-error 1 to 15 is nearly lossless"),
        ("compress a.png --resize 9x9", "rdae decompress --resize WxH scales the picture"),
        ("compress a.png --outdir b", "--output-dir DIR takes all outputs"),
        ("compress a.png -m 6", "installed: photo, photo-psnr; -e 1..9 is the effort"),
        ("compress a.png -o no/a.rd", "make it first; --output-dir DIR makes its own"),
        ("decompress a.rd -o .", "use --output-dir DIR"),
        ("compress a.png --nonsense", "rdae compress --help lists the options"),
    ],
)
def test_what_other_tools_call_it_leads_to_what_it_is_called_here(
    call: InProcess, tmp_path: Path, typed: str, hint: str
) -> None:
    code, _, err = call(*typed.split())
    said, way = err.splitlines()
    assert code == 2 and said.startswith("rdae: ") and way.startswith(f"hint: {hint}")
    assert "Did you mean" not in said or "lists the" in way
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["-dash.png", "-quiet.png", "--x.png"])
def test_a_file_that_looks_like_an_option_is_told_how_it_is_written(
    call: InProcess, tmp_path: Path, name: str
) -> None:
    save(tmp_path / name)
    code, _, said = call("compress", name, "-n")
    assert code == 2
    assert said.endswith(f"hint: a name that begins with a hyphen is written ./{name}\n")
    assert call("compress", f"./{name}", "-n")[0] == 0


def test_no_hint_is_for_an_option_that_there_is() -> None:
    declared = {
        flag
        for command in (compress.compress, decompress.decompress)
        for hint in get_type_hints(command, include_extras=True).values()
        for option in getattr(hint, "__metadata__", ())
        for flag in (getattr(option, "default", None), *(getattr(option, "param_decls", ()) or ()))
    }
    assert declared >= {"-o", "--output-dir", "--json"}
    assert habits._OPTIONS.keys() & declared == set()


def test_a_missing_picture_of_another_format_is_a_wanted_result(
    run: Run, tmp_path: Path, photo: Path
) -> None:
    result = run("compress", "photo.png", "photo.jpg")
    assert result.code == 2
    assert "photo.jpg: no such file, and compress writes .rd files, not jpg" in result.err
    assert "hint: rdae compress photo.png" in result.err
    assert names(tmp_path) == ["photo.png"]


def test_a_missing_input_is_said_before_what_its_output_would_meet(
    run: Run, tmp_path: Path, photo: Path
) -> None:
    result = run("compress", "photo.png", "photo.webp", "photo.jpg")
    assert result.code == 1 and "would both become" not in result.err
    assert "photo.webp: no such file" in result.err and "photo.jpg: no such file" in result.err
    (tmp_path / "photo.rd").unlink()
    for command, first in (("decompress", "missing.rd"), ("compress", "missing.png")):
        second = "photo.png" if command == "decompress" else "photo.rd"
        (tmp_path / "photo.rd").write_bytes(b"\x93RDA")
        found = run(command, first, second)
        assert found.err.startswith(f"rdae: {first}: no such file"), found.err


def test_a_picture_as_weights_is_told_what_weights_are(run: Run, photo: Path) -> None:
    assert run("compress", "photo.png").code == 0
    result = run("decompress", "photo.rd", "-o", "back.png", "--weights", "photo.png")
    assert result.code == 1 and "photo.png is not a weights file of rdae" in result.err
    assert "hint: weights files end in .safetensors" in result.err

"""rdae help, man pages and completion say what --help says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rdae.cli import completion
from tests.cli.cli_runner import Run

COMMANDS = [
    "compress",
    "decompress",
    "view",
    "info",
    "verify",
    "eval",
    "elbo",
    "compare",
    "models",
    "desktop",
    "train",
    "export",
    "help",
]


@pytest.mark.parametrize("command", ["", "compress", "models", "models show", "help"])
def test_help_is_that_of_the_command(run: Run, command: str) -> None:
    shown = run("help", *command.split())
    assert shown.code == 0 and shown.out == run(*command.split(), "--help").out


@pytest.mark.parametrize("columns", [34, 40, 60, 80, 132])
def test_help_fits_the_terminal_but_for_commands_to_copy(run: Run, columns: int) -> None:
    for command in ("", "decompress", "eval", "models"):
        shown = run(*command.split(), "--help", COLUMNS=str(columns)).out.decode()
        for line in shown.splitlines():
            words = line.split()
            is_command = words[:1] in (["rdae"], ["Usage:"]) or words[1:2] == ["--help"]
            assert is_command or len(line) <= columns or len(words) == 1, line
            assert not line.endswith("-"), line  # an option that was parted


def test_help_of_what_does_not_exist_names_what_does(run: Run) -> None:
    result = run("help", "models", "sho")
    assert result.code == 2 and "there is no command rdae models sho" in result.err
    assert "hint: one of list, show, verify" in result.err
    assert run("help", "compress", "x").code == 2


def test_man_pages_have_all_options_and_no_broken_lines(run: Run, tmp_path: Path) -> None:
    assert run("help", "--man-dir", "man/man1").code == 0
    pages = {path.stem: path.read_text() for path in (tmp_path / "man" / "man1").iterdir()}
    assert set(pages) >= {"rdae", "rdae-models-show", *(f"rdae-{name}" for name in COMMANDS)}
    assert pages["rdae-compress"].encode() == run("help", "--man", "compress").out
    assert "\\-\\-target\\-size N[k|M|Ki|Mi]" in pages["rdae-compress"]
    assert "rdae compress photo.png" in pages["rdae-compress"].split(".SH EXAMPLES")[1]
    for page in pages.values():
        assert page.startswith(".TH RDAE") and ".SH NAME" in page and ".SH SYNOPSIS" in page
        for line in page.splitlines():
            if line.startswith((".", "'")):
                assert line.split()[0] in (".TH", ".SH", ".B", ".TP", ".PP", ".nf", ".fi"), line


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_takes_the_pages_without_a_warning(run: Run) -> None:
    page = run("help", "--man", "compress").out
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=page, capture_output=True)
    assert done.returncode == 0 and not done.stderr


def tab(run: Run, line: str) -> list[str]:
    words = line.split(" ")
    return (
        run(
            _RDAE_COMPLETE="complete_bash",
            COMP_WORDS=line,
            COMP_CWORD=str(len(words) - 1 - line.count("\\ ")),
        )
        .out.decode()
        .split("\n")
    )


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rdae compress -m ph", "photo"),
        ("rdae train --preset ti", "tiny"),
        ("rdae compare --metric psnr,ms", "psnr,ms-ssim"),
        ("rdae eval --metric psnr,ms", "psnr,ms-ssim"),
        ("rdae decompress --format ti", "tiff"),
        ("rdae compress --strip g", "gps"),
        ("rdae he", "help"),
    ],
)
def test_tab_completes_values(run: Run, line: str, offered: str) -> None:
    assert offered in tab(run, line)


def test_tab_completes_names_with_spaces(run: Run, tmp_path: Path) -> None:
    (tmp_path / "my photo (1).rd").touch()
    (tmp_path / "mine.safetensors").touch()
    assert tab(run, "rdae info my")[:1] == ["my\\ photo\\ \\(1\\).rd"]
    assert tab(run, "rdae info my\\ ph")[:1] == ["my\\ photo\\ \\(1\\).rd"]
    assert "mine.safetensors" in tab(run, "rdae compress -m mi")


def test_other_shells_and_open_quotes_take_names_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a b.rd").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("_RDAE_COMPLETE", "complete_zsh")
    assert completion.complete_rd("a") == ["a b.rd"]
    monkeypatch.setenv("_RDAE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", 'rdae info "a')
    assert completion.complete_rd("a") == ["a b.rd"]
    monkeypatch.setenv("COMP_WORDS", "rdae info a")
    assert completion.complete_rd("a") == ["a\\ b.rd"]


def test_a_list_of_metrics_is_completed_without_repetition() -> None:
    assert completion.complete_metrics("") == list(completion.METRICS)
    assert completion.complete_metrics("psnr,") == ["psnr,ms-ssim", "psnr,ssimulacra2"]

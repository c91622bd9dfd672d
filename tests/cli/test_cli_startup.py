"""The command starts quickly: nothing heavy is imported before it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rdae.cli.hints import COMMANDS
from tests.cli.cli_runner import Run, environment

HEAVY = {"torch", "compressai", "scipy", "matplotlib", "rich", "pandas"}
CODEC = {"PIL.Image", "constriction", "numpy", "safetensors"}


def modules_after(folder: Path, *arguments: str) -> set[str]:
    """Names of all modules that a run of the command imported."""
    program = (
        "import sys; from rdae.cli.main import main; sys.argv[0] = 'rdae'; main(); "
        "print('\\n'.join(sys.modules), file=sys.__stderr__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("decompress", "--help"), ("models", "--help"), ("compress", "--no-such-option")],
)
def test_help_and_mistakes_import_no_part_of_the_codec(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert not modules_after(tmp_path, *arguments) & (HEAVY | CODEC)


def test_a_wrong_path_is_found_before_the_codec_is_imported(tmp_path: Path) -> None:
    assert not modules_after(tmp_path, "compress", "x.png", "-o", "no/x.rd") & (HEAVY | CODEC)


def test_info_does_not_import_the_picture_library(tmp_path: Path, rd: Path) -> None:
    assert not modules_after(tmp_path, "info", rd.name) & (HEAVY | {"PIL.Image"})


def test_png_is_written_without_the_picture_library(tmp_path: Path, rd: Path) -> None:
    assert "PIL.Image" not in modules_after(tmp_path, "decompress", rd.name)


def test_a_lossy_file_is_decoded_without_what_lossless_ones_need(tmp_path: Path, rd: Path) -> None:
    found = modules_after(tmp_path, "decompress", rd.name)
    assert not found & {"rdae.codec.lossless", "rdae.codec.rest", "rdae.lossless.coding"}


@pytest.mark.parametrize("arguments", [("compress", "photo.png"), ("decompress", "photo.rd")])
def test_the_matrix_library_starts_no_threads(
    tmp_path: Path, photo: Path, rd: Path, arguments: tuple[str, ...]
) -> None:
    program = (
        "import os, sys; from rdae.cli.main import main; main(); "
        "sys.stderr.write(os.environ['OPENBLAS_NUM_THREADS'])"
    )
    command = [sys.executable, "-c", program, *arguments, "-f", "--quiet"]
    given = {k: v for k, v in environment().items() if k != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=given)
    assert (done.returncode, done.stderr) == (0, "1")


@pytest.mark.parametrize("arguments", [("--version",), ("models", "list"), ("compress", "--help")])
def test_versions_and_models_import_nothing_heavy(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert not modules_after(tmp_path, *arguments) & HEAVY


def test_a_round_trip_imports_nothing_heavy(tmp_path: Path, photo: Path) -> None:
    encode = ("-q", "62.5", "-e", "1", "--threads", "1", "--output-dir", ".")
    assert not modules_after(tmp_path, "compress", photo.name, *encode) & {*HEAVY, "pydantic"}
    decode = ("-o", "a.webp", "--output-quality", "70")
    assert not modules_after(tmp_path, "decompress", "photo.rd", *decode) & {*HEAVY, "pydantic"}


@pytest.mark.parametrize(
    ("given", "quality"), [("70", 70), ("7e1", 70), ("070.50", 70.5), (" 70", 70)]
)
def test_numbers_are_read_in_whatever_spelling(
    run: Run, photo: Path, given: str, quality: float
) -> None:
    plain = run("compress", photo.name, "-o", "-", "-q", f"{quality:g}")
    assert plain.code == 0
    assert run("compress", photo.name, "-o", "-", "-q", given).out == plain.out


def test_help_lists_the_commands_on_standard_output(run: Run) -> None:
    result = run("--help")
    assert result.code == 0
    for command in (b"compress", b"decompress", b"info", b"verify", b"models"):
        assert b"\n  " + command in result.out


def test_no_arguments_print_the_help_and_fail(run: Run) -> None:
    result = run()
    assert (result.code, result.out) == (2, b"")
    assert result.err.startswith("Usage: rdae")


@pytest.mark.parametrize("command", ["compress", "decompress", "info", "verify", "models"])
def test_every_command_has_examples_and_fits_the_terminal(run: Run, command: str) -> None:
    result = run(command, "-h", COLUMNS="200")
    assert result.code == 0
    lines = result.out.decode().splitlines()
    assert lines[0].startswith(f"Usage: rdae {command}")
    assert sum(line.startswith(f"    rdae {command}") for line in lines) >= 2
    assert max(map(len, lines)) <= 100


def test_help_shows_defaults_units_and_what_is_better(run: Run) -> None:
    text = " ".join(run("compress", "-h", COLUMNS="100").out.decode().split())
    assert "-q, --quality 0..100 Higher is better" in text
    assert "[default: 60]" in text
    assert "[default: 256000000]" in text
    assert "[env: RDAE_THREADS]" in text


def test_options_stand_in_groups(run: Run) -> None:
    lines = run("compress", "-h").out.decode().splitlines()
    groups = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    expected = ["Output", "Input", "Quality (one of these)", "Encoder", "Speed", "Metadata"]
    expected += ["Report", "Options"]
    assert groups == [f"{group}:" for group in expected]


def test_version_names_everything_that_matters(run: Run) -> None:
    first, second = run("--version").out.decode().splitlines()
    for part in ("rdae ", "bitstream 2", "python ", "numpy ", "pillow ", "constriction "):
        assert part in first
    assert second.startswith("models: ") and "(id " in second and "default)" in second


def test_version_for_machines(run: Run) -> None:
    (record,) = run("--version", "--json").records
    assert record["schema"] == "rdae.version/1"
    assert record["models"] and {"rdae", "bitstream", "python", "numpy"} <= set(record)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--no-such-option",),
        ("no-such-command",),
        ("compress",),
        ("compress", "a.png", "-q", "101"),
        ("compress", "a.png", "-q", "nan"),
        ("compress", "a.png", "-q", "high"),
        ("compress", "a.png", "--threads", "0"),
        ("compress", "a.png", "--strip", "colour"),
        ("compress", "a.png", "-m", "no-such-model"),
        ("compress", "a.png", "--quiet", "-v"),
        ("compress", "a.png", "-f", "--skip-existing"),
        ("compress", "a.png", "-o", "-", "--json"),
        ("decompress", "a.rd", "-o", "a.gif"),
        ("decompress", "a.rd", "--weights", "no-such-file"),
        ("info",),
        ("verify",),
        ("models", "show"),
        ("models", "show", "no-such-model"),
    ],
)
def test_a_wrong_call_says_why_in_our_words_and_exits_with_2(
    run: Run, arguments: tuple[str, ...]
) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, b"")
    assert result.err.startswith("rdae: ")
    assert "Traceback" not in result.err


def test_a_command_imports_what_declares_its_own_options_alone(tmp_path: Path, rd: Path) -> None:
    commands = {f"rdae.cli.{name}" for name in ("compress", "info", "train", "eval", "desktop")}
    assert modules_after(tmp_path, "info", rd.name) & commands == {"rdae.cli.info"}
    assert modules_after(tmp_path, "train", "--help") & commands == {"rdae.cli.train"}
    assert not modules_after(tmp_path, "--version") & commands
    assert modules_after(tmp_path, "--help") >= commands
    assert modules_after(tmp_path, "help", "info") >= commands


def test_every_command_can_be_called_alone(run: Run) -> None:
    for name in COMMANDS:
        assert run(name, "--help").out.startswith(f"Usage: rdae {name}".encode())


def test_versions_are_not_looked_up_where_nobody_asks(tmp_path: Path) -> None:
    assert "importlib.metadata" not in modules_after(tmp_path, "--help")
    assert "urllib.request" not in modules_after(tmp_path, "models", "list")

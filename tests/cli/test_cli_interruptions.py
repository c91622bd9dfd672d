"""Signals, closed pipes, full disks and terminals: nothing half-written stays."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

from rdae import __main__ as command
from rdae.cli import signals
from rdae.cli.batch import Batch, Outcome
from rdae.cli.console import Console
from rdae.cli.inputs import Source
from rdae.cli.paths import Task
from tests.cli.cli_runner import Run, environment, names, save

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals, pipes and terminals")

RDAE = (sys.executable, "-m", "rdae")
ROOT = Path(__file__).parent.parent.parent
PHOTO, PHOTO_RD = ROOT / "examples" / "photo.png", ROOT / "tests" / "golden" / "photo-q60.rd"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_batch_with_whole_files_only(
    run: Run, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("signals are ignored here, as under nohup, and so they are by the command")
    first = save(tmp_path / "000.png", height=128, width=192)
    for index in range(1, 200):
        shutil.copy(first, tmp_path / f"{index:03}.png")
    images = [f"{index:03}.png" for index in range(200)]
    # Not with warnings as errors: a signal may come between the opening of a file and its use.
    surroundings = environment({"PYTHONWARNINGS": "ignore"})
    with subprocess.Popen(
        [*RDAE, "compress", *images], cwd=tmp_path, stderr=subprocess.PIPE, env=surroundings
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()  # one file is done, the next ones are on their way
        process.send_signal(number)
        rest = process.stderr.read().decode()
        assert process.wait(60) == code
    made = [name for name in names(tmp_path) if not name.endswith(".png")]
    assert 0 < len(made) < 200 and all(name.endswith(".rd") for name in made)
    contents = {(tmp_path / name).read_bytes() for name in made}
    assert len(contents) == 1
    if number == signal.SIGINT:
        assert "rdae: interrupted" in rest and "of 200 compressed" in rest
    assert "Traceback" not in rest


def test_an_interrupt_between_files_is_told_to_programs_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work(task: Task) -> Outcome:
        raise KeyboardInterrupt

    batch = Batch(Console(as_json=True), schema="s/1", done_word="done", fields=())
    assert batch.run([Task(Source(Path("a")), None)], work) == 130
    assert '"interrupted": true' in capsys.readouterr().out


@pytest.mark.parametrize("swallowed_as", [None, ValueError])
def test_an_interrupt_that_a_library_swallows_still_ends_the_batch(
    monkeypatch: pytest.MonkeyPatch, swallowed_as: type[Exception] | None
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    signals.install()
    done = []

    def work(task: Task) -> Outcome:
        done.append(task)
        with contextlib.suppress(KeyboardInterrupt):
            signals._on_signal(signal.SIGINT, None)
        if swallowed_as is not None:
            raise swallowed_as
        return Outcome("done")

    batch = Batch(Console(), schema="s/1", done_word="done", fields=())
    assert batch.run([Task(Source(Path(name)), None) for name in "ab"], work) == 130
    assert len(done) == 1
    signals.install()


@pytest.mark.parametrize(
    "place", ["rdae.cli.help.TyperGroup.parse_args", "rdae.cli.compress.expand"]
)
def test_an_interrupt_before_the_first_file_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["rdae", "compress", "photo.png"])
    monkeypatch.setattr(place, interrupt)
    assert command.main() == 130
    assert capsys.readouterr() == ("", "rdae: interrupted\n")


def test_an_interrupt_while_the_command_is_imported_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType("rdae.cli.main")
    module.__getattr__ = interrupt  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "rdae.cli.main", module)
    assert command.main() == 130
    assert capsys.readouterr().err == "rdae: interrupted\n"


def interrupt(*_: object, **__: object) -> NoReturn:
    """What Ctrl-C does."""
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "source", "made"),
    [("compress", PHOTO, "photo.rd"), ("decompress", PHOTO_RD, "photo-q60.png")],
)
def test_ctrl_c_at_any_moment_leaves_nothing_or_the_whole_file(
    tmp_path: Path, verb: str, source: Path, made: str
) -> None:
    shutil.copy(source, tmp_path)
    arguments = [*RDAE, verb, source.name]
    surroundings = environment({"PYTHONWARNINGS": "ignore"})
    began = time.monotonic()
    subprocess.run(arguments, cwd=tmp_path, env=surroundings, stderr=subprocess.DEVNULL, check=True)
    seconds = time.monotonic() - began
    whole = (tmp_path / made).read_bytes()
    interrupted = 0
    for moment in range(2, 12):  # before lies the start of Python, which is not ours
        (tmp_path / made).unlink(missing_ok=True)
        with subprocess.Popen(
            arguments, cwd=tmp_path, env=surroundings, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds * moment / 12)
            process.send_signal(signal.SIGINT)
            said = process.stderr.read()
        if (tmp_path / made).exists():
            assert (tmp_path / made).read_bytes() == whole
            continue
        interrupted += 1
        assert said == "rdae: interrupted\n"
        # CPython ends by the signal itself if that came inside of exec("...") of a library.
        assert process.returncode in (130, -signal.SIGINT)
        assert names(tmp_path) == [source.name]
    assert interrupted


def test_a_reader_that_goes_away_ends_the_command_quietly(
    tmp_path: Path, photo: Path, rd: Path
) -> None:
    for arguments in (
        ["info", "photo.rd"],
        ["info", "photo.rd", "--json"],
        ["decompress", "photo.rd", "-o", "-"],
        ["compress", "photo.png", "-o", "-"],
        ["compress", "photo.png", "-o", "x.rd", "--json"],
        ["--help"],
    ):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer) as closed:
            done = subprocess.run(
                [*RDAE, *arguments],
                cwd=tmp_path,
                stdout=closed,
                stderr=subprocess.PIPE,
                env=environment(),
            )
        assert done.returncode == 141
        assert b"Traceback" not in done.stderr and b"rdae:" not in done.stderr


def test_closed_streams_are_no_reason_to_fail(tmp_path: Path, rd: Path) -> None:
    command = " ".join(f"'{part}'" for part in (*RDAE, "decompress", "photo.rd"))
    done = subprocess.run(["sh", "-c", f"{command} <&- >&- 2>&-"], cwd=tmp_path, env=environment())
    assert done.returncode == 0
    assert names(tmp_path) == ["photo.png", "photo.rd"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_device_under_standard_output_is_an_error(tmp_path: Path, rd: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*RDAE, "info", "photo.rd"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
        )
    assert done.returncode == 1
    assert b"no space left on device" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize("blocks", [0, 1])
@pytest.mark.parametrize("name", ["photo.png", "photo.rd"])
def test_a_file_that_cannot_grow_leaves_nothing(
    tmp_path: Path, photo: Path, rd: Path, blocks: int, name: str
) -> None:
    verb, made = ("decompress", "x.tiff") if name == "photo.rd" else ("compress", "x.rd")
    save(photo, height=96, width=160)
    command = shlex.join([*RDAE, verb, name, "-o", made])
    done = subprocess.run(
        ["sh", "-c", f"ulimit -f {blocks}; exec {command}"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        env={**environment(), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 1
    assert done.stderr == f"rdae: {made}: file too large\n".encode()
    assert names(tmp_path) == ["photo.png", "photo.rd"]


def on_a_terminal(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the command with all three streams on a terminal; return exit code and its text."""
    import pty

    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [*RDAE, *arguments],
        cwd=folder,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment({"TERM": "xterm"}),
    ) as process:
        os.close(terminal)
        text = b""
        try:
            while piece := os.read(controller, 4096):
                text += piece
        except OSError:  # Linux: the other side is closed
            pass
        os.close(controller)
        return process.wait(60), text.decode()


def test_a_batch_on_a_terminal_has_a_bar_and_colour(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / name)
    code, text = on_a_terminal(tmp_path, "compress", "a.png", "b.png", "c.png")
    assert code == 1
    assert "1/3" in text and "\x1b[31mrdae:\x1b[0m c.png: no such file" in text


def test_binary_data_is_kept_off_a_terminal(tmp_path: Path, photo: Path) -> None:
    code, text = on_a_terminal(tmp_path, "compress", "photo.png", "-o", "-")
    assert code == 2 and "standard output is a terminal" in text


def test_nothing_is_read_from_a_terminal(tmp_path: Path) -> None:
    code, text = on_a_terminal(tmp_path, "verify", "-")
    assert code == 2 and "standard input is a terminal" in text

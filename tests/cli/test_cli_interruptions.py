"""Signals, closed pipes, full disks and terminals: nothing half-written stays."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_runner import Run, environment, names, save

from rdae.cli import signals
from rdae.cli.batch import Batch, Outcome
from rdae.cli.console import Console
from rdae.cli.inputs import Source
from rdae.cli.paths import Task

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals, pipes and terminals")

RDAE = (sys.executable, "-m", "rdae")


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


def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path: Path, rd: Path) -> None:
    for arguments in (["info", "photo.rd"], ["decompress", "photo.rd", "-o", "-"], ["--help"]):
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


def test_a_full_disk_leaves_nothing(tmp_path: Path, photo: Path) -> None:
    command = " ".join(f"'{part}'" for part in (*RDAE, "compress", "photo.png"))
    done = subprocess.run(
        ["sh", "-c", f"ulimit -f 0; exec {command}"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        env={**environment(), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"rdae: photo.rd: file too large")
    assert names(tmp_path) == ["photo.png"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_an_error_that_names_the_output(
    run: Run, tmp_path: Path, photo: Path
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    result = run("compress", "photo.png", "--output-dir", "locked")
    assert result.code == 1
    assert "rdae: locked/photo.rd: permission denied" in result.err


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

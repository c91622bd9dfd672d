"""A folder has one writer at a time; who that is stands in its lock file."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rdae.errors import FolderInUseError
from rdae.folder_lock import LOCK_FILE, FolderLock

HOLD = """
import sys, time
from pathlib import Path
from rdae.folder_lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print(flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds a folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_a_second_writer_is_told_who_the_first_one_is(tmp_path: Path) -> None:
    with holder(tmp_path / "run") as process:
        with pytest.raises(FolderInUseError) as caught:
            FolderLock(tmp_path / "run")
        said = rf"run is in use by process {process.pid} of .*, since \d{{4}}-"
        assert re.search(said, str(caught.value)) and caught.value.hint
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="has other signals")
@pytest.mark.parametrize("number", ["SIGKILL", "SIGINT"])
def test_the_folder_of_a_dead_process_is_free(tmp_path: Path, number: str) -> None:
    with holder(tmp_path) as process:
        process.send_signal(getattr(signal, number))
        process.wait()
    # who is killed cannot tidy up
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE] * (number == "SIGKILL")
    with FolderLock(tmp_path):
        assert f"process {os.getpid()} " in (tmp_path / LOCK_FILE).read_text()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_ends_with_its_block_however_that_ends(tmp_path: Path) -> None:
    for error in (KeyboardInterrupt, SystemExit, ValueError):
        with pytest.raises(error), FolderLock(tmp_path):
            assert (tmp_path / LOCK_FILE).is_file()
            raise error
        assert list(tmp_path.iterdir()) == []


def test_a_folder_is_made_and_goes_away_if_nothing_was_put_in(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "a" / "b"):
        pass
    assert list((tmp_path / "a").iterdir()) == []
    with FolderLock(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "rows").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["rows"]


def test_any_file_of_that_name_can_be_taken_over(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_bytes(b"\xff\x1b[31m" * 1000)
    lock = FolderLock(tmp_path)
    text = (tmp_path / LOCK_FILE).read_text()
    assert text.startswith(f"process {os.getpid()} ") and text.count("\n") == 1
    (tmp_path / LOCK_FILE).write_bytes(b"\xff\x1b[31m" * 1000)
    with pytest.raises(FolderInUseError, match="in use by another process"):
        FolderLock(tmp_path)
    lock.release()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_removed_under_its_holder_stays_removed(tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        (tmp_path / LOCK_FILE).unlink()
        with FolderLock(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def hold_until_told(lock: int, ready: object, end: object) -> None:
    """The work of a process that was handed a lock."""
    assert lock > 2
    ready.set()  # type: ignore[attr-defined]
    end.wait()  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.platform == "win32", reason="a lock belongs to one process there")
def test_a_process_that_was_handed_the_lock_holds_it_too(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, end = context.Event(), context.Event()
    lock = FolderLock(tmp_path)
    process = context.Process(target=hold_until_told, args=(lock, ready, end))
    process.start()
    try:
        assert ready.wait(60)
        os.close(lock._file)  # as if this process had been killed
        with pytest.raises(FolderInUseError):
            FolderLock(tmp_path)
    finally:
        end.set()
        process.join(60)
    assert process.exitcode == 0
    FolderLock(tmp_path).release()


@pytest.mark.skipif(sys.platform == "win32", reason="has other locks")
def test_where_the_file_system_has_no_locks_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import errno
    import fcntl

    def refuse(file: int, how: int) -> None:
        raise OSError(errno.ENOSYS, "function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with FolderLock(tmp_path):
        assert "has no locks" in caplog.text
    assert list(tmp_path.iterdir()) == []

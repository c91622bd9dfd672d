"""Reads that are bounded and writes that are whole or do not happen."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path

import pytest

from rdae.errors import OutputExistsError, TooLargeError
from rdae.files import atomic_write, read_bounded, read_stream

posix_only = pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and special files")


def test_a_read_within_the_limit_returns_everything(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", limit=5) == b"12345"


def test_a_file_over_the_limit_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    with pytest.raises(TooLargeError, match="longer than"):
        read_bounded(tmp_path / "a", limit=4)


def test_a_stream_over_the_limit_is_too_large() -> None:
    with pytest.raises(TooLargeError):
        read_stream(io.BytesIO(b"12345"), limit=4)


def test_a_written_file_has_its_bytes_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as file:
        file.write(b"data")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"data"}


def test_the_file_is_not_there_before_it_is_complete(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as file:
        file.write(b"data")
        assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_in_the_block_leaves_nothing(
    tmp_path: Path, error: type[BaseException]
) -> None:
    with pytest.raises(error), atomic_write(tmp_path / "a") as file:
        file.write(b"half")
        raise error
    assert not list(tmp_path.iterdir())


def test_an_exception_leaves_the_old_file_when_overwriting(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(ValueError), atomic_write(tmp_path / "a", overwrite=True) as file:
        file.write(b"half")
        raise ValueError
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError) as caught, atomic_write(tmp_path / "a") as file:
        file.write(b"ours")
        (tmp_path / "a").write_bytes(b"theirs")
    assert caught.value.filename == str(tmp_path / "a")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"theirs"]


def test_without_hard_links_an_existing_file_is_still_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    with atomic_write(tmp_path / "a") as file:
        file.write(b"first")
    with pytest.raises(OutputExistsError), atomic_write(tmp_path / "a") as file:
        file.write(b"second")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"first"]


def test_overwrite_replaces(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with atomic_write(tmp_path / "a", overwrite=True) as file:
        file.write(b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]


@posix_only
def test_overwrite_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("target")
    with atomic_write(tmp_path / "link", overwrite=True) as file:
        file.write(b"new")
    assert (tmp_path / "target").read_bytes() == b"precious"
    assert not (tmp_path / "link").is_symlink()


@posix_only
def test_a_link_that_leads_nowhere_counts_as_existing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(OutputExistsError), atomic_write(tmp_path / "link") as file:
        file.write(b"new")


@posix_only
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    with atomic_write(tmp_path / "a") as file:
        file.write(b"data")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


@posix_only
def test_like_takes_over_permissions_and_time(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_bytes(b"")
    model.chmod(0o640)
    os.utime(model, ns=(10**18, 10**18 + 5_000))
    with atomic_write(tmp_path / "a", like=model.stat()) as file:
        file.write(b"data")
    status = (tmp_path / "a").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o640, 10**18 + 5_000)


def test_errors_name_the_file_and_not_the_hidden_one(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "a"
    with pytest.raises(FileNotFoundError) as caught, atomic_write(path):
        pass
    assert caught.value.filename == str(path)


def test_a_name_as_long_as_the_file_system_allows_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 120 + ".rd")
    with atomic_write(path) as file:
        file.write(b"data")
    assert path.read_bytes() == b"data"


@posix_only
def test_a_device_is_written_to_and_not_replaced() -> None:
    before = os.stat(os.devnull)
    with atomic_write(Path(os.devnull), overwrite=True) as file:
        file.write(b"data")
    assert os.stat(os.devnull).st_ino == before.st_ino


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_is_an_error_that_names_the_output() -> None:
    with (
        pytest.raises(OSError, match="No space") as caught,
        atomic_write(Path("/dev/full")) as file,
    ):
        file.write(b"data")
    assert caught.value.filename == "/dev/full"

"""Fixtures of the command line's tests: a runner, a small picture, and a file made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.cli_runner import Result, Run, run_rdae, save


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command in the test's own folder."""

    def run_here(*arguments: str | bytes | Path, stdin: bytes = b"", **extra: str) -> Result:
        return run_rdae(tmp_path, *arguments, stdin=stdin, **extra)

    return run_here


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture called photo.png in the test's folder."""
    return save(tmp_path / "photo.png")


@pytest.fixture(scope="session")
def photo_rd(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of that picture compressed."""
    folder = tmp_path_factory.mktemp("photo")
    save(folder / "photo.png")
    result = run_rdae(folder, "compress", "photo.png")
    assert result.code == 0, result.err
    return (folder / "photo.rd").read_bytes()


@pytest.fixture
def rd(tmp_path: Path, photo_rd: bytes) -> Path:
    """A file photo.rd in the test's folder."""
    path = tmp_path / "photo.rd"
    path.write_bytes(photo_rd)
    return path

"""Files in the user's data folder, where desktops look for them, and what is made of them there.

The folder is that of the XDG Base Directory Specification. Of some files in it the desktop's own
programs make databases, which have to follow; icons are cached until their folder's time changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rdae.cli.console import UsageError, shown
from rdae.errors import OutputExistsError, RdaeError
from rdae.files import atomic_write

# In a comment of every file that is ours. A file without it belongs to somebody else.
MARK = b"Written by rdae desktop install"

_TIMEOUT = 120  # seconds; programs of the desktop take below one


@dataclass(frozen=True)
class Database:
    """What a program makes of files in a folder.

    Attributes:
        program: that makes it, called with the folder.
        package: of Debian and others that has the program.
        folder: below the data folder.
        sources: pattern of the files that it is made of, in the folder or deeper.
        products: what the program leaves in the folder even where there is no source any more.
        emptied: folders in it that the program makes for types like ours, and leaves empty.
    """

    program: str
    package: str
    folder: str
    sources: str
    products: tuple[str, ...]
    emptied: tuple[str, ...] = ()


DATABASES = (
    Database(
        program="update-mime-database",
        package="shared-mime-info",
        folder="mime",
        sources="packages/*.xml",
        products=(
            *("aliases", "generic-icons", "globs", "globs2", "icons", "magic", "mime.cache"),
            *("subclasses", "treemagic", "types", "version", "XMLnamespaces"),
        ),
        emptied=("image",),
    ),
    Database(
        program="update-desktop-database",
        package="desktop-file-utils",
        folder="applications",
        sources="*.desktop",
        products=("mimeinfo.cache",),
    ),
)
ICON_THEME = "icons/hicolor"


def data_home() -> Path:
    """Return the user's data folder.

    Raises:
        UsageError: neither XDG_DATA_HOME nor HOME says where it is.
    """
    named = os.environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(named):  # the specification: a relative one is to be ignored
        return Path(named)
    try:
        return Path.home() / ".local" / "share"
    except RuntimeError as error:
        raise UsageError("there is no home folder", hint="XDG_DATA_HOME names another") from error


def changed(root: Path, files: Mapping[str, bytes]) -> list[str]:
    """Return which of our files are not there yet, or differ.

    Args:
        root: the data folder.
        files: contents by their names below it.

    Raises:
        OutputExistsError: a file of that name belongs to somebody else.
        OSError: a file cannot be read.
    """
    names = []
    for name, content in files.items():
        there = _content(root / name)
        if there is not None and MARK not in there:
            raise OutputExistsError(
                f"{shown(root / name)} exists, and rdae has not written it",
                hint="move it away; nothing was changed",
            )
        if there != content:
            names.append(name)
    return names


def write(root: Path, name: str, content: bytes) -> None:
    """Write one of our files, with the folders that it needs.

    Raises:
        OSError: it cannot be written.
    """
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, overwrite=True) as file:
        file.write(content)


def ours(root: Path, names: Mapping[str, object]) -> list[str]:
    """Return which files of those names are there and ours."""
    return [name for name in names if MARK in (_content(root / name) or b"")]


def refresh(root: Path) -> list[str]:
    """Let the desktop notice what has changed.

    Returns:
        A line for each program that is not installed.

    Raises:
        RdaeError: a program failed.
        OSError: a file cannot be written.
    """
    missing = []
    for database in DATABASES:
        folder = root / database.folder
        if not (folder / database.sources).parent.is_dir():
            continue
        if shutil.which(database.program) is None:
            missing.append(
                f"{database.program} is not installed (package {database.package}): "
                "the desktop will not know of the change"
            )
        else:
            _run(database.program, folder)
        if not any(folder.rglob(database.sources)):
            _remove_products(folder, database)
    if (root / ICON_THEME).is_dir():
        os.utime(root / ICON_THEME)
    return missing


def remove_empty_folders(root: Path, names: Mapping[str, object]) -> None:
    """Remove the folders of files that are gone, as far up as nothing else is in them."""
    for name in names:
        for folder in (root / name).relative_to(root).parents:
            path = root / folder
            if path == root or path.is_symlink() or (path.is_dir() and any(path.iterdir())):
                break  # a link to a folder is its owner's, who may keep it elsewhere
            if path.is_dir():
                path.rmdir()


def _remove_products(folder: Path, database: Database) -> None:
    """Remove a database of nothing, and the folders that are empty without it."""
    for product in database.products:
        (folder / product).unlink(missing_ok=True)
    for path in (folder / name for name in database.emptied):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _run(program: str, folder: Path) -> None:
    try:
        done = subprocess.run(
            [program, str(folder)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RdaeError(f"{program} {shown(folder)}: no end after {_TIMEOUT} seconds") from error
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise RdaeError(f"{program} {shown(folder)}: {said}")

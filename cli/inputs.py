"""From the arguments to the inputs: files, folders, lists of names, standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rdae.cli.console import STDIN_NAME, InputError, UsageError
from rdae.files import read_bounded, read_stream

RD_EXTENSIONS = frozenset({".rd"})

_LIST_BYTES = 1 << 28  # the longest --files-from
_STDIN_PATHS = frozenset({"-", "/dev/stdin", "/dev/fd/0"})


@dataclass(frozen=True)
class Source:
    """One input.

    Attributes:
        path: the file, None for standard input.
        root: the folder given on the command line under which it was found, if any.
        error: why it cannot be read, if that is already known.
    """

    path: Path | None
    root: Path | None = None
    error: Exception | None = None
    label: str = ""

    @property
    def name(self) -> str:
        """How the input is called in lines and JSON: its path as given, or stdin."""
        return self.label or (STDIN_NAME if self.path is None else str(self.path))

    def read(self) -> bytes:
        """Read the whole of it.

        Raises:
            TooLargeError: it is longer than any file for rdae.
            OSError: it cannot be read.
        """
        if self.path is None:
            return read_stream(sys.stdin.buffer)
        return read_bounded(self.path)


def expand(
    arguments: Sequence[str],
    *,
    extensions: frozenset[str],
    recursive: bool = False,
    files_from: str | None = None,
) -> list[Source]:
    """Turn arguments into inputs, in order, each once.

    Args:
        arguments: files, folders, or `-`.
        extensions: what is taken from folders, lower case with the dot.
        recursive: enter folders; otherwise a folder is an input that fails.
        files_from: a file that lists more inputs, or `-`.

    Raises:
        UsageError: no input at all, or `-` among others.
        OSError: the list cannot be read.
    """
    listed = [] if files_from is None else _listed(files_from)
    if not arguments and files_from is None:
        raise UsageError("no files given", hint="name at least one, or - for standard input")
    if any(argument in _STDIN_PATHS for argument in arguments):
        if len(arguments) + len(listed) > 1 or files_from is not None:
            raise UsageError("- (standard input) must be the only input")
        if sys.stdin.isatty():
            raise UsageError(
                "standard input is a terminal", hint="name a file, or redirect one to the command"
            )
        return [Source(None)]
    sources: dict[str, Source] = {}
    for argument in [*arguments, *listed]:
        for source in _expand_one(argument, extensions, recursive):
            sources.setdefault(os.path.abspath(source.name), source)
    return list(sources.values())


def _listed(files_from: str) -> list[str]:
    data = (
        read_stream(sys.stdin.buffer)
        if files_from == "-"
        else read_bounded(Path(files_from), limit=_LIST_BYTES)
    )
    separator = b"\0" if b"\0" in data else b"\n"
    return [os.fsdecode(name) for name in data.split(separator) if name]


def _expand_one(argument: str, extensions: frozenset[str], recursive: bool) -> Iterator[Source]:
    path = Path(argument)
    if not argument:
        yield Source(path, error=InputError("an empty name"), label="''")
    elif not path.is_dir():
        yield Source(path)
    elif not recursive:
        yield Source(path, error=InputError("is a directory", hint="-r takes the files in it"))
    else:
        found = False
        for source in _walk(path, extensions):
            found = True
            yield source
        if not found:
            kinds = ", ".join(sorted(extension[1:] for extension in extensions))
            yield Source(path, error=InputError(f"holds no file to work on ({kinds})"))


def _walk(root: Path, extensions: frozenset[str]) -> Iterator[Source]:
    """Yield the files below a folder, sorted; hidden ones and symbolic links are left out."""
    errors: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if name.startswith(".") or path.suffix.lower() not in extensions:
                continue
            if path.is_file() and not path.is_symlink():
                yield Source(path, root=root)
    for error in errors:
        yield Source(Path(error.filename), error=error)

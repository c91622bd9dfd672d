"""From the arguments to the inputs: files, folders, lists of names, standard input."""

from __future__ import annotations

import codecs
import os
import shlex
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from rdae.bitstream.header import MAGIC
from rdae.cli.console import STDIN_NAME, InputError, UsageError, shown
from rdae.errors import NotRdaeError, UnsupportedImageError
from rdae.files import read_bounded, read_stream
from rdae.images.formats import INPUT_SUFFIXES

RD_EXTENSIONS = frozenset({".rd"})

_LIST_BYTES = 1 << 28  # the longest --files-from
_LISTED_KINDS = 4
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
    left_out: Counter[str] | None = None,
) -> list[Source]:
    """Turn arguments into inputs, in order, each once.

    Args:
        arguments: files, folders, or `-`.
        extensions: what is taken from folders, lower case with the dot.
        recursive: enter folders; otherwise a folder is an input that fails.
        files_from: a file that lists more inputs, or `-`.
        left_out: counts, by kind, the files in folders that are not taken.

    Raises:
        UsageError: no input at all, or `-` among others.
        OSError: the list cannot be read.
    """
    listed = [] if files_from is None else _listed(files_from)
    if not arguments and files_from is None:
        raise UsageError("no files given", hint="name at least one, or - for standard input")
    if any(argument in _STDIN_PATHS for argument in arguments):
        if len(arguments) + len(listed) > 1 or files_from is not None:
            raise UsageError("- (standard input) must be the only input", hint="name it alone")
        if sys.stdin.isatty():
            raise UsageError(
                "standard input is a terminal", hint="name a file, or redirect one to the command"
            )
        return [Source(None)]
    sources: dict[str, Source] = {}
    for argument in [*arguments, *listed]:
        for source in _expand_one(argument, extensions, recursive, left_out):
            sources.setdefault(place_of(Path(source.name)), source)
    return [_refuse_other_kind(source, extensions) for source in sources.values()]


def left_out_line(left_out: Counter[str]) -> str:
    """Say how many files of folders are not taken, the most frequent kinds first."""
    listed = left_out.most_common(_LISTED_KINDS)
    rest = left_out.total() - sum(count for _, count in listed)
    words = ", ".join(f"{kind} ({count})" for kind, count in listed)
    words += f" and others ({rest})" if rest else ""
    files = "1 file" if left_out.total() == 1 else f"{left_out.total()} files"
    return f"left out {files}: {words}"


def place_of(path: Path) -> str:
    """Return a name that is equal for equal places; `..` is what it is behind a link."""
    folder = _real_folder(os.path.join(os.getcwd(), path.parent))
    return os.path.normcase(os.path.join(folder, path.name))


@lru_cache(maxsize=64)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _refuse_other_kind(source: Source, extensions: frozenset[str]) -> Source:
    """Mark what a command of the other direction is for, so that the user hears of that first."""
    if source.error is not None or source.path is None or not os.path.isfile(source.path):
        return source
    wants_rd = extensions is RD_EXTENSIONS
    name = shlex.quote(shown(source.path))
    try:
        with source.path.open("rb") as file:
            is_rd = file.read(len(MAGIC)) == MAGIC
    except OSError:
        return source  # whoever reads it will say why
    error: Exception | None = None
    if is_rd and not wants_rd:
        error = UnsupportedImageError(
            "an .rd file already", hint=f"rdae decompress {name} makes a picture of it"
        )
    elif wants_rd and not is_rd and source.path.suffix.lower() in INPUT_SUFFIXES:
        error = NotRdaeError(
            "a picture, not an .rd file", hint=f"rdae compress {name} makes one of it"
        )
    return source if error is None else replace(source, error=error)


def split_output(
    arguments: Sequence[str],
    output: str | None,
    extensions: Collection[str],
    *,
    force: bool = False,
) -> tuple[list[str], str | None]:
    """Take the second of two names as the output, where it can be nothing else.

    Args:
        arguments: what was named.
        output: what -o or --output-dir says, None if nothing.
        extensions: that an output may have, lower case with the dot.
        force: an output that is there is replaced.

    Returns:
        The inputs, and the name of the output.

    Raises:
        UsageError: one of two is -; or the second can be neither: it has been there before and is
            of the wrong kind, or it is not there, and its extension is not that of an output.
    """
    names = list(arguments)
    if output is None and len(names) == 2 and "-" in names:
        raise UsageError(
            f"{' '.join(map(shown, names))}: - (standard input or output) takes no second name",
            hint=" -o ".join(shlex.quote(shown(name)) for name in names),
        )
    if output is None and len(names) == 2:
        suffixes = [Path(name).suffix.lower() for name in names]
        has_suffix = suffixes[1] in extensions
        if has_suffix and not os.path.lexists(names[1]):
            return names[:1], names[1]
        if set(extensions) <= RD_EXTENSIONS and _is_wanted_picture(names, suffixes):
            raise UsageError(
                f"{shown(names[1])}: no such file, and compress writes .rd files, not "
                f"{suffixes[1][1:]}",
                hint=f"rdae compress {shlex.quote(shown(names[0]))} makes an .rd file",
            )
        is_unknown = suffixes[1] and suffixes[1] not in INPUT_SUFFIXES | RD_EXTENSIONS
        if is_unknown and os.path.lexists(names[0]) and not os.path.lexists(names[1]):
            raise UsageError(
                f"{shown(names[1])}: no such file, and no name of an output",
                hint=f"outputs end in {', '.join(sorted(extensions))}",
            )
        second = Source(Path(names[1]))
        inputs = INPUT_SUFFIXES if set(extensions) <= RD_EXTENSIONS else RD_EXTENSIONS
        is_other_kind = _refuse_other_kind(second, inputs).error is not None
        if has_suffix and is_other_kind and os.path.lexists(names[0]):
            if force:
                return names[:1], names[1]
            raise UsageError(
                f"{shown(names[1])}: exists, and is no input of this command",
                hint=f"-o {shlex.quote(shown(names[1]))} -f replaces it",
            )
    return names, output


def _is_wanted_picture(names: Sequence[str], suffixes: Sequence[str]) -> bool:
    """Whether the second of two pictures is not there and of another format: a result, then."""
    is_new = os.path.lexists(names[0]) and not os.path.lexists(names[1])
    return is_new and suffixes[1] in INPUT_SUFFIXES and suffixes[0] != suffixes[1]


def _listed(files_from: str) -> list[str]:
    """The names of a list, in UTF-8 or as Windows tools write it."""
    data = (
        read_stream(sys.stdin.buffer)
        if files_from == "-"
        else read_bounded(Path(files_from), limit=_LIST_BYTES)
    )
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode()
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\0" in data:
        names = data.split(b"\0")
    else:
        names = data.split(b"\n")
        # A name may end in a carriage return, but hardly all of them.
        if len(names) > 1 and all(name.endswith(b"\r") for name in names[:-1]):
            names = [name.removesuffix(b"\r") for name in names]
    return [os.fsdecode(name) for name in names if name]


def _expand_one(
    argument: str, extensions: frozenset[str], recursive: bool, left_out: Counter[str] | None
) -> Iterator[Source]:
    path = Path(argument)
    if not argument:
        yield Source(path, error=InputError("an empty name"), label="''")
    elif not os.path.isdir(path):  # False, too, of names that no file can have
        yield Source(path)
    elif not recursive:
        yield Source(path, error=InputError("is a directory", hint="-r takes the files in it"))
    else:
        found = False
        for source in _walk(path, extensions, Counter() if left_out is None else left_out):
            found = True
            yield source
        if not found:
            kinds = ", ".join(sorted(extension[1:] for extension in extensions))
            yield Source(path, error=InputError(f"holds no file to work on ({kinds})"))


def _walk(root: Path, extensions: frozenset[str], left_out: Counter[str]) -> Iterator[Source]:
    """Yield the files below a folder, sorted; hidden ones and symbolic links are left out.

    All but the hidden ones are counted.
    """
    errors: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if name.startswith("."):
                continue
            if path.is_symlink():
                left_out["symbolic links"] += 1
            elif path.suffix.lower() not in extensions:
                left_out[shown(path.suffix.lower()) or "without a suffix"] += 1
            elif path.is_file():
                yield Source(path, root=root)
    for error in errors:
        yield Source(Path(error.filename), error=error)

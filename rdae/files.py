"""Files on disk: reads that are bounded, and writes that never leave half a file.

A file that rdae writes appears under its name only when it is complete: the bytes go to a hidden
file in the same folder, reach the disk, and are then published in one step. Whatever goes wrong
before that (an error, Ctrl-C, a full disk) leaves the folder as it was.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from rdae.errors import OutputExistsError, TooLargeError, TruncatedError

# An .rd file of 256 megapixels at 32 bits per pixel; no real file comes near it.
MAX_FILE_BYTES = 1 << 30

_PIECE_BYTES = 1 << 20

# The name of the hidden file must stay below the 255 bytes of most file systems, whatever the
# name of the output: 40 characters are at most 160 bytes of UTF-8.
_NAME_CHARACTERS = 40


class Readable(Protocol):
    """What bytes can be read from: an open binary file, a `BytesIO`, a response, a zip's member."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""


Contents: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | Readable


def contents_of(source: Contents) -> bytes:
    """The bytes of a file that is given as such, by its path, or open.

    Args:
        source: the bytes, a path, or a file object, which is read from where it stands to its end
            and stays open.

    Raises:
        TooLargeError: it is longer than any file for rdae.
        TruncatedError: a file object stands at its end.
        TypeError: it is none of these.
        OSError: it cannot be read.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, (str, os.PathLike)):
        return read_bounded(Path(source))
    if not hasattr(source, "read"):
        kind = type(source).__name__
        raise TypeError(f"bytes, a path or a file object is wanted, not an object of type {kind}")
    if not isinstance(source.read(0), bytes):
        raise TypeError('a file object must be binary: open(path, "rb")')
    data = read_stream(source)
    if not data and isinstance(source, io.IOBase) and source.seekable() and source.tell():
        raise TruncatedError(
            "nothing is left to read in this file object",
            hint="it stands at its end; seek(0) takes it back to its beginning",
        )
    return data


def read_bounded(path: Path, *, limit: int = MAX_FILE_BYTES) -> bytes:
    """Read a whole file of at most `limit` bytes.

    Raises:
        TooLargeError: the file is longer; nothing of it is read where its size is known.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise _too_long(limit)
        return read_stream(file, limit=limit)


def read_stream(stream: Readable, *, limit: int = MAX_FILE_BYTES) -> bytes:
    """Read a stream to its end, if that comes within `limit` bytes.

    Raises:
        TooLargeError: there are more bytes.
        OSError: the stream cannot be read.
    """
    data = bytearray()
    # In pieces: one read of `limit` bytes would claim that much memory for a short stream.
    while piece := stream.read(_PIECE_BYTES):
        data += piece
        if len(data) > limit:
            raise _too_long(limit)
    return bytes(data)


def _too_long(limit: int) -> TooLargeError:
    return TooLargeError(f"longer than {limit >> 20} MiB, which no file for rdae is")


@contextlib.contextmanager
def atomic_write(
    path: Path, *, overwrite: bool = False, like: os.stat_result | None = None
) -> Iterator[BinaryIO]:
    """Open a file for writing that appears as `path` when the block ends without an exception.

    A device, a pipe or a socket under that name is written to directly. A symbolic link is
    replaced, not followed.

    Args:
        path: where the file goes; its folder must exist.
        overwrite: replace a file that is there; otherwise it is kept, and no race with another
            process can change that (on file systems with hard links).
        like: take the permissions and times from this file; otherwise they are those of any
            new file.

    Raises:
        OutputExistsError: there is such a file and `overwrite` is off.
        OSError: the file cannot be written; its `filename` is `path`.
    """
    try:
        if is_special(path):
            with path.open("wb") as file:
                yield file
            return
        temporary = path.with_name(f".{path.name[:_NAME_CHARACTERS]}.{secrets.token_hex(4)}.part")
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if like is not None:
                os.chmod(temporary, stat.S_IMODE(like.st_mode) & 0o777)
                os.utime(temporary, ns=(like.st_atime_ns, like.st_mtime_ns))
            _publish(temporary, path, overwrite=overwrite)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    except OSError as error:
        # The user knows the output's name, not that of the hidden file.
        error.filename, error.filename2 = os.fspath(path), None
        raise


def utf8(text: str) -> bytes:
    """The bytes of a text; of a file's name in it, what is no UTF-8 is written as an escape."""
    return text.encode("utf-8", "backslashreplace")


def is_special(path: Path) -> bool:
    """Tell whether `path` is something that exists and is neither a regular file nor a folder."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _publish(temporary: Path, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, path)
        return
    try:
        # Fails where the name is taken, even by a link that leads nowhere; rename would not.
        os.link(temporary, path)
    except FileExistsError as error:
        raise OutputExistsError("exists") from error
    except (OSError, NotImplementedError, AttributeError):
        # No hard links on this file system: look, then rename.
        if os.path.lexists(path):
            raise OutputExistsError("exists") from None
        os.rename(temporary, path)

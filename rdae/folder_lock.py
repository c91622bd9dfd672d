"""One process at a time writes to a folder: a lock file in it, which names the process.

The lock is the operating system's, on the open file, so it ends with the process that holds it,
however that ends; a file that a killed process has left behind locks nothing. What is written in
the file is for people.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import logging
import os
import platform
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from rdae.errors import FolderInUseError

LOCK_FILE = "rdae.lock"

# What flock says on file systems without locks, as on some that computers share.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_HOLDER_BYTES = 300  # of the file that are shown
_FAR = 1 << 30  # Windows locks bytes: one that nobody reads

_log = logging.getLogger("rdae")


class FolderLock:
    """Holds a folder from its making to `release` or the end of a `with` block.

    Handed to a process of multiprocessing's `spawn`, it holds until both have let go of it.
    """

    def __init__(self, folder: Path) -> None:
        """Lock a folder, which is made if needed.

        Raises:
            FolderInUseError: another process holds it; the message says which.
            OSError: the folder cannot be made or written.
        """
        self._path = folder / LOCK_FILE
        self._is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._file = file
                _lock(file)
                # Its last holder may have removed it after we had opened it.
                if self._is_ours():
                    break
            except OSError as error:
                holder = _read(file)
                os.close(file)
                if error.errno not in _HELD:
                    raise
                raise FolderInUseError(
                    f"{folder} is in use by {holder}",
                    hint="wait for its end, or name another folder",
                ) from None
            except BaseException:
                os.close(file)
                raise
            os.close(file)
        os.ftruncate(file, 0)
        os.write(file, f"{_ourselves()}\n".encode())

    def release(self) -> None:
        """Remove the file, and the folder if it was made for nothing, and let others in."""
        if self._file < 0:
            return
        if sys.platform == "win32":  # an open file cannot be removed there
            os.close(self._file)
            with contextlib.suppress(OSError):
                self._path.unlink()
        else:
            if self._is_ours():
                self._path.unlink()
            os.close(self._file)
        self._file = -1
        if self._is_new:
            with contextlib.suppress(OSError):  # not empty
                self._path.parent.rmdir()

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def __reduce__(self) -> tuple[Any, ...]:
        if sys.platform == "win32":  # a lock belongs to one process there
            return _inherited, (None,)
        from multiprocessing.reduction import DupFd

        return _inherited, (DupFd(self._file),)

    def _is_ours(self) -> bool:
        """Whether the file that we hold is the one that stands in the folder."""
        try:
            return os.path.samestat(os.fstat(self._file), self._path.stat())
        except FileNotFoundError:
            return False


def _inherited(duplicate: Any) -> int | None:
    """In another process: take over the open file, which is the lock, until the process ends."""
    return None if duplicate is None else int(duplicate.detach())


def _lock(file: int) -> None:
    """Lock an open file at once, or raise OSError."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, _FAR, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _log.warning("this file system has no locks; see to it that nobody else writes here")


def _ourselves() -> str:
    now = datetime.datetime.now()
    return f"process {os.getpid()} of {platform.node()}, since {now:%Y-%m-%d %H:%M}"


def _read(file: int) -> str:
    """What its holder has written; the file may be of anybody, and about to be written."""
    os.lseek(file, 0, os.SEEK_SET)
    text = os.read(file, _HOLDER_BYTES).decode("utf-8", "replace").strip()
    if not text.startswith("process "):
        return "another process"
    return "".join(c if c.isprintable() else "?" for c in text)

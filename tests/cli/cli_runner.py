"""Runs the command as a user would, and makes small pictures for it."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

needs_torch = pytest.mark.skipif(
    find_spec("torch") is None, reason="the extra [train] is not installed"
)


@dataclass(frozen=True)
class Result:
    """What a run of the command left behind."""

    code: int
    out: bytes
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """The JSON lines on standard output."""
        return [json.loads(line) for line in self.out.decode().splitlines()]


Run = Callable[..., Result]
InProcess = Callable[..., tuple[int, str, str]]  # the fixture `call`
TIMEOUT = 300  # seconds


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without what changes rdae's behaviour, and with `extra`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RDAE_") and name not in ("NO_COLOR", "COLUMNS")
    }
    return {**kept, "PYTHONWARNINGS": "error", **(extra or {})}


def _obey_permissions() -> None:
    """Give up the right of Linux's root to read and write everywhere, before a program starts."""
    if sys.platform == "linux" and os.geteuid() == 0:
        prctl = ctypes.CDLL(None).prctl
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def run_rdae(
    folder: Path, *arguments: str | bytes | Path, stdin: bytes = b"", **extra: str
) -> Result:
    """Run `python -m rdae` in a folder, as a user would: in a process of its own."""
    # Settings of Python itself need another Python, and some commands start processes themselves.
    of_python = any(name.startswith("PYTHON") for name in extra)
    if sys.platform == "linux" and not of_python and arguments[:1] not in (("eval",), ("train",)):
        return server().run(folder, arguments, stdin, environment(extra))
    done = subprocess.run(
        [sys.executable, "-m", "rdae", *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        env=environment(extra),
        timeout=TIMEOUT,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr.decode("utf-8", "backslashreplace"))


def run_without_rights(folder: Path, *arguments: str, **extra: str) -> Result:
    """Run it as somebody whom permissions bind, also where the tests are root's."""
    done = subprocess.run(
        [sys.executable, "-m", "rdae", *arguments],
        cwd=folder,
        capture_output=True,
        env=environment(extra),
        preexec_fn=_obey_permissions,
        timeout=TIMEOUT,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr.decode("utf-8", "backslashreplace"))


class Server:
    """The process of `cli_server`, which starts processes faster."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, Path(__file__).with_name("cli_server.py"), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment(),
            )
        self.socket.settimeout(TIMEOUT)

    def run(
        self,
        folder: Path,
        arguments: tuple[str | bytes | Path, ...],
        stdin: bytes,
        variables: Mapping[str, str],
    ) -> Result:
        """Run the command with pipes as its streams."""
        request = {
            "folder": str(folder),
            "environment": variables,
            "arguments": [os.fsdecode(argument) for argument in arguments],
        }
        streams = [os.pipe() for _ in range(3)]
        (take, give), (out, their_out), (err, their_err) = streams
        socket.send_fds(self.socket, [json.dumps(request).encode()], [take, their_out, their_err])
        for stream in (take, their_out, their_err):
            os.close(stream)
        said: dict[int, bytes] = {}

        def write() -> None:
            with contextlib.suppress(BrokenPipeError), open(give, "wb") as file:
                file.write(stdin)

        def read(stream: int) -> None:
            with open(stream, "rb") as file:
                said[stream] = file.read()

        workers = [threading.Thread(target=write)]
        workers += [threading.Thread(target=read, args=(stream,)) for stream in (out, err)]
        for worker in workers:
            worker.start()
        process = int(self.socket.recv(99))
        try:
            code = int(self.socket.recv(99))
        except TimeoutError:
            os.kill(process, signal.SIGKILL)
            raise
        for worker in workers:
            worker.join()
        return Result(code, said[out], said[err].decode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """End the process."""
        self.socket.close()
        self.process.wait()


@cache
def server() -> Server:
    """The server of this run of the tests; it is started when it is needed first."""
    found = Server()
    atexit.register(found.close)
    return found


def pixels(height: int = 24, width: int = 40, channels: int = 3) -> np.ndarray[Any, Any]:
    """A small smooth picture, different in every channel: `(height, width, channels)` uint8."""
    y, x = np.mgrid[:height, :width]
    waves = [127 + 100 * np.sin((x + y * c) / (6 + 3 * c)) for c in range(1, channels + 1)]
    return np.stack(waves, axis=-1).astype(np.uint8)


def save(path: Path, **options: int) -> Path:
    """Save that picture as a file of the kind that its extension names."""
    Image.fromarray(pixels(**options)).save(path)
    return path


def names(folder: Path) -> list[str]:
    """All files below a folder, hidden ones too, as sorted relative names."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

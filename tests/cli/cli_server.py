"""A process that has the command imported and forks for every call, as the imports take longest.

What comes out of a fork is a process of its own like any other: with its own streams, folder,
environment, signals and exit code. `cli_runner` starts this file and talks to it over a socket.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import sys
import warnings
from typing import Any


def serve(connection: socket.socket) -> None:
    """Answer each call, a folder, an environment and arguments, with its process and exit code."""
    while True:
        request, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        if not request:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: BLAS ends its own
            process = os.fork()
        if process == 0:
            connection.close()
            become(json.loads(request), streams)
            return
        for stream in streams:
            os.close(stream)
        connection.send(b"%d" % process)
        _, status = os.waitpid(process, 0)
        connection.send(b"%d" % os.waitstatus_to_exitcode(status))


def become(request: dict[str, Any], streams: list[int]) -> None:
    """Be a process that a shell has just started; leaves by SystemExit."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # The present objects remember whether the server's own streams could seek.
    sys.stdin, sys.stdout, sys.stderr = (
        open(  # noqa: SIM115 - they live as long as the process
            *(number, old.mode, 1 if old is sys.stderr else -1),
            encoding=old.encoding,
            errors=old.errors,
            closefd=False,
        )
        for number, old in enumerate((sys.stdin, sys.stdout, sys.stderr))
    )
    os.chdir(str(request["folder"]))
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[1:] = request["arguments"]
    sys.exit(main())


if __name__ == "__main__":
    del sys.path[0]  # this folder
    import rdae.codec  # what most calls need besides the command line
    from rdae.__main__ import main
    from rdae.cli.main import app_of

    assert rdae.codec
    with contextlib.suppress(Exception):  # no file is named; what is needed to say so is imported
        app_of(["verify"])(["verify"], standalone_mode=False)
    gc.freeze()  # the garbage collection of a fork need not look at all that
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        serve(connection)

"""`rdae view`: .rd files in the browser, from a server on this machine alone."""

from __future__ import annotations

import contextlib
import os
import webbrowser
from typing import Annotated

import typer

from rdae.cli import options
from rdae.cli.batch import EXIT_FAILED
from rdae.cli.console import Color, Console, UsageError, describe, emit, shown
from rdae.cli.inputs import RD_EXTENSIONS, Source, expand
from rdae.cli.view_server import SharedFile, ViewServer

_HEADER_BYTES = 64  # more than any header has

_PAGE = "Page"
NoBrowser = Annotated[
    bool,
    options.declare(
        _PAGE, "--no-browser", "Print the page's address on standard output, and open nothing."
    ),
]
Port = Annotated[
    int,
    options.declare(
        _PAGE,
        "--port",
        "Port of 127.0.0.1 to serve it at. Without it: any that is free.",
        metavar="N",
        min=0,
        max=65535,
        show_default=False,
    ),
]


def view(
    files: options.RdFiles = None,
    recursive: options.RecursiveRd = False,
    no_browser: NoBrowser = False,
    port: Port = 0,
    quiet: options.Quiet = False,
    color: options.ColorWhen = Color.auto,
) -> None:
    """Show .rd files in the browser.

    A page with zoom, pixel values, what rdae info says, and "save as PNG". It comes from this
    machine alone: a server at 127.0.0.1 gives the files that were named, below an address that
    cannot be guessed, to whoever is told it. The command ends some seconds after the
    page was closed, or with Ctrl-C. Of damaged files the page shows what is left.

    Examples:
      rdae view photo.rd
      rdae view -r archive/
      rdae view --no-browser --port 8000 photo.rd
    """
    console = Console(quiet=quiet, color=color)
    shared, failed = [], False
    for source in expand(files or [], extensions=RD_EXTENSIONS, recursive=recursive):
        try:
            shared.append(_shared(source))
        except Exception as error:
            console.failure(source.name, error)
            failed = True
    if not shared:
        raise typer.Exit(EXIT_FAILED)
    try:
        server = ViewServer(shared, port)
    except OSError as error:
        reason = describe(error).message
        raise UsageError(f"--port {port}: {reason}", hint="without --port any free one") from error
    what = shown(shared[0].name) if len(shared) == 1 else f"{len(shared)} files"
    with contextlib.suppress(KeyboardInterrupt), server.serving():  # the usual end of a server
        if no_browser:
            emit(server.address)
        console.result(f"{what}: shown until the page is closed, or Ctrl-C")
        # It is served by now: some browsers come back to us only when they are closed.
        if not no_browser and not webbrowser.open(server.address):
            console.failure("", UsageError("no browser was found", hint=f"open {server.address}"))
        server.wait_until_unused()
    raise typer.Exit(EXIT_FAILED if failed else 0)


def _shared(source: Source) -> SharedFile:
    """A file for the page, if it begins as one of ours.

    Raises:
        BitstreamError: it does not.
        OSError: it cannot be read.
    """
    from rdae.bitstream.header import read_header
    from rdae.bitstream.varint import ByteReader

    if source.error is not None:
        raise source.error
    if source.path is None or not os.path.isfile(source.path):  # a pipe can be read only once
        data = source.read()
        read_header(ByteReader(data[:_HEADER_BYTES]))
        return SharedFile(source.name, len(data), lambda: data)
    with source.path.open("rb") as file:
        read_header(ByteReader(file.read(_HEADER_BYTES)))
    # As it is when it is asked for: a file that was written anew is shown anew.
    return SharedFile(source.name, source.path.stat().st_size, source.read)

"""The app: global options, and the last word on every exception and signal."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from rdae.cli import habits, signals
from rdae.cli.batch import EXIT_CLOSED_PIPE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from rdae.cli.console import Console, UsageError
from rdae.cli.help import Command, Group
from rdae.cli.hints import COMMANDS, enter, mistake
from rdae.errors import RdaeError


def rdae(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("-V", "--version", help="Show the versions of rdae, bitstream and models."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --version: as a JSON object.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="With --version: the kernel in use as well.")
    ] = False,
) -> None:
    """Learned image compression. Smaller files at the same quality, on a CPU.

    rdae compress photo.png            # photo.rd
    rdae decompress photo.rd           # photo.png, or photo.rd.png if that is taken
    rdae view photo.rd                 # in the browser
    rdae info photo.rd                 # size, quality, and where the bits went
    rdae compress -r photos/ -q 80 --output-dir small/
    rdae eval --quick photos/          # against JPEG and WebP, with plots and a report

    rdae help COMMAND, or rdae COMMAND --help, explains each command and its options.
    """
    if as_json and not version:
        raise UsageError("--json goes behind the command", hint="rdae info photo.rd --json")
    if version:
        from rdae.cli.versions import print_versions

        print_versions(as_json=as_json, verbose=verbose)
    elif context.invoked_subcommand is None:
        sys.stderr.write(context.get_help() + "\n")
        raise typer.Exit(EXIT_USAGE)


def app_of(arguments: Sequence[str]) -> typer.Typer:
    """The app with the command that the arguments name, or with all where they name none.

    Each command imports what declares its options, which takes longer than to run some of them.
    """
    app = typer.Typer(
        cls=Group,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(rdae)
    first = next((argument for argument in arguments if not argument.startswith("-")), "help")
    names = [first] if first in COMMANDS and first != "help" else COMMANDS
    for name in () if {"-V", "--version"} & set(arguments[:1]) else names:
        _add(app, name)
    return app


def _add(app: typer.Typer, name: str) -> None:
    match name:
        case "compress":
            from rdae.cli.compress import CompressCommand, compress

            app.command(name, cls=CompressCommand)(compress)
        case "decompress":
            from rdae.cli.decompress import decompress

            app.command(name, cls=Command)(decompress)
        case "view":
            from rdae.cli.view import view

            app.command(name, cls=Command)(view)
        case "info":
            from rdae.cli.info import info

            app.command(name, cls=Command)(info)
        case "verify":
            from rdae.cli.verify import verify

            app.command(name, cls=Command)(verify)
        case "eval":
            from rdae.cli.eval import evaluate

            app.command(name, cls=Command)(evaluate)
        case "elbo":
            from rdae.cli.elbo import elbo

            app.command(name, cls=Command)(elbo)
        case "compare":
            from rdae.cli.compare import compare

            app.command(name, cls=Command)(compare)
        case "models":
            from rdae.cli import models

            app.add_typer(models.app, name=name)
        case "desktop":
            from rdae.cli import desktop

            app.add_typer(desktop.app, name=name)
        case "train":
            from rdae.cli.train import train

            app.command(name, cls=Command)(train)
        case "export":
            from rdae.cli.export import export

            app.command(name, cls=Command)(export)
        case "help":
            from rdae.cli.manual import help_command

            app.command(name, cls=Command)(help_command)
        case _:
            raise ValueError(f"there is no command {name}")


def main() -> int:
    """Run the command line and return its exit code; no exception leaves this function."""
    _prepare_streams()
    signals.install()
    enter(frozenset())  # no command yet, and maybe not the first run in this process
    if not sys.warnoptions:
        # Warnings are for developers; what a user must know is an error or a line of ours.
        warnings.simplefilter("ignore")
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        code = EXIT_CLOSED_PIPE
    except OSError as error:
        Console().failure(str(error.filename or "standard output"), error)
        code = EXIT_FAILED
    else:
        return code
    # What is left in the buffers would fail again when the interpreter exits.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


class _Closed(io.BufferedIOBase):
    """A standard output that the caller has closed: whoever writes to it hears so."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        raise OSError(errno.EBADF, "closed", "standard output")


def _run() -> int:
    try:
        app = app_of(sys.argv[1:])
        return app(prog_name="rdae", standalone_mode=False) or 0
    except SystemExit as stop:
        # Typer turns a closed pipe into exit code 1.
        if isinstance(stop.__context__, BrokenPipeError):
            raise stop.__context__ from None
        raise
    except (KeyboardInterrupt, typer.Abort):
        Console().failure("", KeyboardInterrupt())
        return EXIT_INTERRUPTED
    except UsageError as error:
        Console().failure("", error)
        return EXIT_USAGE
    except RdaeError as error:
        Console().failure("", error)
        return EXIT_FAILED
    except OSError:
        raise
    except Exception as error:
        if hasattr(error, "format_message"):  # Typer's errors about options; it hides their class
            return _report_usage(error)
        Console().failure("", error)
        return EXIT_FAILED


def _report_usage(error: Any) -> int:
    context = getattr(error, "ctx", None)
    named = [name for name in sys.argv[1:2] if name in COMMANDS]
    command = context.command_path if context else " ".join(["rdae", *named])
    kind = "commands" if command == "rdae" else "options"
    message, hint = mistake(error), habits.way_out(error, sys.argv[1:])
    if hint:  # better than the nearest spelling
        message = re.sub(r" \(Possible options: .*|\. Did you mean .*", "", message)
    hint = hint or f"{command} --help lists the {kind}"
    Console().failure("", UsageError(message, hint=hint))
    return EXIT_USAGE


def _prepare_streams() -> None:
    """Make sure that there are streams, and that no file name can make them fail."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115 - it lives as long as the process
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(_Closed(), "utf-8", write_through=True)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if isinstance(getattr(sys.stdout, "buffer", None), io.RawIOBase):
        # PYTHONUNBUFFERED: a write that takes only a part of its bytes would lose the rest unsaid.
        sys.stdout = open(  # noqa: SIM115
            sys.stdout.fileno(), "w", encoding=sys.stdout.encoding, closefd=False
        )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

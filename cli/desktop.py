"""`rdae desktop`: .rd files in the file managers of Linux desktops."""

from __future__ import annotations

import sys
import sysconfig
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from rdae.cli import data_home, options
from rdae.cli.batch import EXIT_USAGE
from rdae.cli.console import Console, UsageError, shown
from rdae.cli.help import Command, Group

# Where the files of desktop_files/ go, below the data folder.
PLACES = {
    "mime/packages/rdae.xml": "rdae.xml",
    "thumbnailers/rdae.thumbnailer": "rdae.thumbnailer",
    "applications/rdae.desktop": "rdae.desktop",
    f"{data_home.ICON_THEME}/scalable/mimetypes/image-x-rdae.svg": "image-x-rdae.svg",
}
SANDBOX = Path("/usr")  # all that GNOME lets a thumbnailer see

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")]

app = typer.Typer(cls=Group, rich_markup_mode=None, add_completion=False)


@app.callback(invoke_without_command=True)
def desktop(context: typer.Context) -> None:
    """Teach a Linux desktop about .rd files: type, thumbnails, icon, viewer.

    For the user who calls it: everything goes into XDG_DATA_HOME, which is ~/.local/share
    if it is not set, and can be removed again.

    Examples:
      rdae desktop install --dry-run
      rdae desktop install
      rdae desktop uninstall
    """
    if context.invoked_subcommand is None:
        sys.stderr.write(context.get_help() + "\n")
        raise typer.Exit(EXIT_USAGE)


@app.command("install", cls=Command)
def install(dry_run: DryRun = False, quiet: options.Quiet = False) -> None:
    """Make the desktop recognise .rd files, show thumbnails, and open them with rdae view.

    Again is the same as once; after rdae has moved, the desktop learns the new place.

    GNOME's file manager makes thumbnails in a sandbox that sees nothing but /usr. For it,
    install rdae below /usr, as the examples do; it is for all users then.

    Examples:
      rdae desktop install --dry-run
      sudo python3 -m venv /usr/local/lib/rdae
      sudo /usr/local/lib/rdae/bin/pip install .
      sudo env XDG_DATA_HOME=/usr/local/share /usr/local/lib/rdae/bin/rdae desktop install
    """
    console = Console(quiet=quiet)
    root = _data_home()
    program = find_program()
    contents = desktop_files(program)
    changed = data_home.changed(root, contents)
    for name, content in contents.items():
        if name not in changed:
            console.result(f"{shown(root / name)}: is there")
        elif dry_run:
            console.result(f"{shown(root / name)}: would be written")
        else:
            data_home.write(root, name, content)
            console.result(f"{shown(root / name)}: written")
    if not dry_run:
        for line in data_home.refresh(root):
            console.note(line)
    if not in_sandbox(program):
        console.note(
            f"{shown(program)} is outside of {SANDBOX}: GNOME's file manager will show no "
            "thumbnails, others will; rdae desktop install --help shows the way out"
        )


@app.command("uninstall", cls=Command)
def uninstall(dry_run: DryRun = False, quiet: options.Quiet = False) -> None:
    """Remove what rdae desktop install has written, and nothing else.

    Examples:
      rdae desktop uninstall
    """
    console = Console(quiet=quiet)
    root = _data_home()
    names = data_home.ours(root, PLACES)
    for name in names:
        if not dry_run:
            (root / name).unlink()
        console.result(f"{shown(root / name)}: {'would be removed' if dry_run else 'removed'}")
    if not names:
        console.result(f"{shown(root)}: nothing of rdae is there")
    elif not dry_run:
        for line in data_home.refresh(root):
            console.note(line)
        data_home.remove_empty_folders(root, PLACES)


def find_program() -> str:
    """Return the command `rdae` that runs, as a path that the desktop can call.

    Raises:
        UsageError: it is not installed, but run from its sources.
    """
    called, installed = Path(sys.argv[0]), Path(sysconfig.get_path("scripts"), "rdae")
    for path in (called if called.name == "rdae" else installed, installed):
        # A link stays one: it is what an upgrade of the program behind it leaves alone.
        if path.is_file() and str(path).isprintable():
            return str(path.absolute())
    raise UsageError(
        f"there is no command {shown(installed)} for the desktop to call",
        hint="install rdae first: pip install .",
    )


def desktop_files(program: str) -> dict[str, bytes]:
    """Return the contents of all files, by their names below the data folder.

    Args:
        program: path of the command `rdae`.
    """
    folder = files("rdae.cli") / "desktop_files"
    words = {"try_exec": _escaped(program), "exec": _escaped(_quoted(program))}
    contents = {}
    for name, source in PLACES.items():
        text = (folder / source).read_text(encoding="utf-8")
        contents[name] = Template(text).substitute(words).encode()
    return contents


def in_sandbox(program: str) -> bool:
    """Tell whether GNOME's sandbox sees the program and the Python that runs it."""
    places = (program, sys.prefix, sys.base_prefix)
    return all(Path(place).resolve().is_relative_to(SANDBOX) for place in places)


def _data_home() -> Path:
    if sys.platform in ("darwin", "win32", "cygwin"):
        raise UsageError(
            "rdae desktop is for Linux and others with freedesktop.org's desktops",
            hint="rdae decompress photo.rd makes a picture that every program opens",
        )
    return data_home.data_home()


def _quoted(program: str) -> str:
    """An argument of `Exec`, as the Desktop Entry Specification quotes it."""
    escaped = "".join("\\" + c if c in '"`$\\' else c for c in program)
    return '"' + escaped.replace("%", "%%") + '"'


def _escaped(value: str) -> str:
    """A value of a key file."""
    return value.replace("\\", "\\\\")

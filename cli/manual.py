"""`rdae help`, and man pages from the same help."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from rdae import __version__
from rdae.cli.console import Console, UsageError, shown
from rdae.cli.help import option_rows, usage
from rdae.files import atomic_write


def help_command(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND...", show_default=False)
    ] = None,
    man: Annotated[
        bool, typer.Option("--man", help="As a man page; read it with man -l -.")
    ] = False,
    man_dir: Annotated[
        Path | None,
        typer.Option("--man-dir", help="Write all man pages into a folder.", metavar="DIR"),
    ] = None,
) -> None:
    """Show the help of a command, or write man pages.

    Examples:
      rdae help compress
      rdae help models show
      rdae help --man compress | man -l -
      rdae help --man-dir ~/.local/share/man/man1
    """
    root = context.find_root()
    if man_dir is not None:
        if command:
            raise UsageError("--man-dir writes the pages of all commands; name none")
        man_dir.mkdir(parents=True, exist_ok=True)
        pages = list(_walk(root.command, root))
        for one, its in pages:
            name = its.command_path.replace(" ", "-")
            with atomic_write(man_dir / f"{name}.1", overwrite=True) as file:
                file.write(man_page(one, its).encode())
        Console().result(f"{len(pages)} pages in {shown(man_dir)}")
        return
    found, its = _find(root, command or [])
    sys.stdout.write(man_page(found, its) if man else found.get_help(its) + "\n")


def man_page(command: Any, context: Any) -> str:
    """Return a command's man page, in roff.

    Args:
        command: ours, with the help that `--help` shows.
        context: its context, as the library for options has it.
    """
    name = context.command_path.replace(" ", "-")
    first, _, rest = (command.help or "").strip().partition("\n")
    description, _, examples = rest.partition("Examples:\n")
    parts = [
        f'.TH {name.upper()} 1 "" "rdae {__version__}" "rdae"',
        f".SH NAME\n{_roff(name)} \\- {_roff(first.rstrip('.'))}",
        f".SH SYNOPSIS\n.B {_roff(usage(command, context))}",
    ]
    if description.strip():
        parts.append(f".SH DESCRIPTION\n{_paragraphs(description)}")
    if more := getattr(command, "extra", str)():
        parts.append(f".PP\n.nf\n{_roff(more)}\n.fi")
    if hasattr(command, "list_commands"):
        parts.append(".SH COMMANDS")
        for child, its in _children(command, context):
            line = (child.help or "").strip().split("\n")[0]
            parts.append(f".TP\n.B {_roff(its.info_name)}\n{_roff(line)}")
    for group, rows in option_rows(command, context).items():
        parts.append(f".SH {_roff(group.upper())}")
        parts += [f".TP\n.B {_roff(option)}\n{_roff(text)}" for option, text in rows]
    if examples.strip():
        parts.append(f".SH EXAMPLES\n.nf\n{_roff(_flush(examples))}\n.fi")
    return "\n".join(parts) + "\n"


def _paragraphs(text: str) -> str:
    """Running text as paragraphs; blocks that begin with a command stay lines."""
    blocks = [_flush(block) for block in re.split(r"\n\s*\n", text.strip())]
    return "\n.PP\n".join(
        f".nf\n{_roff(block)}\n.fi" if block.startswith("rdae ") else _roff(block)
        for block in blocks
    )


def _flush(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().split("\n"))


def _roff(text: str) -> str:
    """Text in which nothing is an instruction; a hyphen stays one that can be copied."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", escaped, flags=re.MULTILINE)


def _children(command: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if child is not None and not child.hidden:
            yield child, type(context)(child, info_name=name, parent=context)


def _walk(command: Any, context: Any) -> Iterator[tuple[Any, Any]]:
    """Yield a command and all below it, each with its context."""
    yield command, context
    if hasattr(command, "list_commands"):
        for child, its in _children(command, context):
            yield from _walk(child, its)


def _find(context: Any, names: list[str]) -> tuple[Any, Any]:
    command = context.command
    for name in names:
        children = _children(command, context) if hasattr(command, "list_commands") else ()
        known = {its.info_name: (child, its) for child, its in children}
        if name not in known:
            words = " ".join([*context.command_path.split(), name])
            hint = f"one of {', '.join(known)}" if known else f"{context.command_path} has none"
            raise UsageError(f"there is no command {shown(words)}", hint=hint)
        command, context = known[name]
    return command, context

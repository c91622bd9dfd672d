"""Help as plain text: usage, what the command does, examples, options in groups.

Typer's own help either needs Rich, which doubles the time to show it, or puts all options in one
list. These classes read only the public attributes of parameters.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import textwrap
from collections.abc import Iterator
from enum import Enum
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from rdae.cli.conversion import with_plain_conversion
from rdae.cli.hints import enter

_MAX_COLUMNS = 100
_MIN_COLUMNS = 24  # of text, however narrow the terminal
_NAME_COLUMNS = 26


class Command(TyperCommand):
    """A command whose help lists its options by group."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return arguments and options."""
        return [with_plain_conversion(parameter) for parameter in super().get_params(ctx)]

    def invoke(self, ctx: Any) -> Any:
        """Run the command; hints are in terms of its options."""
        enter(frozenset(name for p in self.params for name in p.opts))
        return super().invoke(ctx)

    def get_help(self, ctx: Any) -> str:
        """Return the help text."""
        parts = [
            f"Usage: {usage(self, ctx)}",
            _indented(self.help),
            self.extra(),
            _options(self, ctx),
        ]
        return "\n\n".join(part for part in parts if part)

    def extra(self) -> str:
        """Return what stands between description and options, if anything."""
        return ""


class Group(TyperGroup):
    """A group of commands whose help lists them, then its own options."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return arguments and options."""
        return [with_plain_conversion(parameter) for parameter in super().get_params(ctx)]

    def make_context(self, *args: Any, **settings: Any) -> Any:
        """Read the options before the command."""
        with _interrupt_as_abort():
            return super().make_context(*args, **settings)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _interrupt_as_abort():
            return super().invoke(ctx)

    def get_help(self, ctx: Any) -> str:
        """Return the help text."""
        rows = []
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                rows.append((name, (command.help or "").split("\n")[0]))
        commands = "\n".join(_row(name, text, 12) for name, text in rows)
        return (
            f"Usage: {usage(self, ctx)}\n\n"
            f"{_indented(self.help)}\n\nCommands:\n{commands}\n\n{_options(self, ctx)}"
        )


@contextlib.contextmanager
def _interrupt_as_abort() -> Iterator[None]:
    """Let an interrupt reach our caller, which says so; Typer would end without a word."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise typer.Abort from error


def _columns() -> int:
    return min(shutil.get_terminal_size().columns, _MAX_COLUMNS)


def _indented(text: str | None) -> str:
    """Paragraphs broken at the terminal's width; commands stay as they can be copied."""
    blocks = re.split(r"\n\s*\n", textwrap.dedent(text or "").strip())
    return "\n\n".join(
        textwrap.indent(
            block
            if block.startswith(("rdae ", "Examples:"))
            else "\n".join(_wrapped(block, _columns() - 2)),
            "  ",
        )
        for block in blocks
    )


def _wrapped(text: str, columns: int) -> list[str]:
    """Lines that break between words alone: an option that is parted cannot be copied."""
    width = max(_MIN_COLUMNS, columns)
    return textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False) or [""]


def usage(command: Any, ctx: Any) -> str:
    """Return how a command is called, in one line."""
    if isinstance(command, Group):
        return f"{ctx.command_path} [OPTIONS] COMMAND [ARGS]..."
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    return " ".join([ctx.command_path, "[OPTIONS]", *(p.metavar or p.name for p in arguments)])


def option_rows(command: Any, ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """Return names and texts of a command's options, by group."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for option in command.get_params(ctx):
        if option.param_type_name == "option" and not option.hidden:
            group = getattr(option, "rich_help_panel", None) or "Options"
            groups.setdefault(group, []).append(_option(option))
    return groups


def _options(command: Any, ctx: Any) -> str:
    def row(name: str, text: str) -> str:
        # under the long names of options that have a short one
        return _row("    " * name.startswith("--") + name, text, _NAME_COLUMNS)

    return "\n\n".join(
        f"{group}:\n" + "\n".join(row(*one) for one in rows)
        for group, rows in option_rows(command, ctx).items()
    )


def _option(option: Any) -> tuple[str, str]:
    long_first = sorted(option.opts, key=len)
    takes_value = not (option.is_flag or option.count)
    metavar = option.metavar or ""  # of a flag: [=WORD], which may follow it
    name = ", ".join(long_first) + (f" {metavar}" if takes_value and metavar else metavar)
    notes = []
    if takes_value and option.show_default and option.default not in (None, [], ()):
        default = option.default.value if isinstance(option.default, Enum) else option.default
        text = f"{default:g}" if isinstance(default, float) else str(default)
        notes.append(f"default: {text}")
    if option.envvar:
        notes.append(f"env: {option.envvar}")
    text = (option.help or "") + (f" [{'; '.join(notes)}]" if notes else "")
    return name, text


def _row(name: str, text: str, columns: int) -> str:
    if _columns() < columns + 4 + _MIN_COLUMNS:  # no room for a second column
        columns = 4
    lines = _wrapped(text, _columns() - columns - 4)
    head = f"  {name:<{columns}}"
    if len(name) > columns:
        return "\n".join([f"  {name}", *(f"  {'':{columns}}  {line}" for line in lines)])
    return "\n".join([f"{head}  {lines[0]}", *(f"  {'':{columns}}  {line}" for line in lines[1:])])

"""What the user sees: lines on stderr, data on stdout, a bar on a terminal.

stdout carries data only (JSON, tables, image bytes), so that it can always be piped; everything
that is said to a person goes to stderr.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rdae.cli.hints import at_hand
from rdae.errors import OutputExistsError, RdaeError

if TYPE_CHECKING:
    from rdae.codec.progress import Progress, Report

STDIN_NAME, STDOUT_NAME = "stdin", "stdout"

_RED, _GREEN, _DIM, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
_EXISTS_HINT = "-f replaces it, -o FILE names another, --skip-existing goes on without it"
_CLEAR_LINE = "\r\x1b[2K"
_BAR_CELLS = 20
_BAR_DELAY = 0.5  # seconds
# For terminals and pipes whose encoding lacks the characters of our lines.
_PLAIN_SIGNS = str.maketrans({"→": "->", "·": "|", "…": "...", "∞": "inf", "█": "#", "░": "."})


class Color(str, Enum):
    """When to colour what is written to stderr."""

    auto = "auto"
    always = "always"
    never = "never"


class InputError(RdaeError):
    """An argument that names nothing to work on."""

    code = "input"


class UsageError(RdaeError):
    """The command was called in a way that cannot work; nothing was done."""

    code = "usage"


@dataclass(frozen=True)
class Failure:
    """An exception as the user sees it: stable code, one line, and the way out."""

    code: str
    message: str
    hint: str = ""


def describe(error: BaseException) -> Failure:
    """Say what an exception means to the user, without its traceback."""
    if isinstance(error, OutputExistsError):
        return Failure(error.code, str(error), at_hand(error.hint or _EXISTS_HINT))
    if isinstance(error, RdaeError):
        return Failure(error.code, str(error), at_hand(error.hint))
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted", "interrupted")
    if isinstance(error, FileNotFoundError):
        return Failure("not-found", "no such file or directory")
    if isinstance(error, PermissionError):
        return Failure("no-permission", "permission denied")
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return Failure("io-error", reason[:1].lower() + reason[1:])
    if isinstance(error, MemoryError):
        return Failure("out-of-memory", "not enough memory for a picture of this size")
    return Failure(
        "internal",
        f"{type(error).__name__}: {error}".rstrip(": "),
        "this is a bug in rdae; please report it with what RDAE_DEBUG=1 prints and this line:",
    )


def shown(name: str | Path) -> str:
    """Return a file name fit for a terminal: control and undecodable characters are escaped."""
    text = os.fspath(name)
    if text.isprintable():
        return text
    escaped = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in escaped)


def human_bytes(count: int) -> str:
    """Return a number of bytes with a unit, k = 1000: `9.2 kB`."""
    if count < 1000:
        return f"{count} B"
    value, unit = count / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if value < 999.95:
            break
        value, unit = value / 1000, larger
    return f"{value:.1f} {unit}"


def human_seconds(seconds: float) -> str:
    """Return a duration: `48 ms`, `0.52 s`, `1.3 s`, `2 min 05 s`."""
    if seconds < 0.0995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 0.995:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _left(seconds: float) -> str:
    return f"{human_seconds(seconds) if seconds >= 100 else f'{seconds:.0f} s'} left"


class Console:
    """The terminal of one command: what to say, how loudly, and in what form."""

    def __init__(
        self,
        *,
        quiet: bool = False,
        verbose: int = 0,
        as_json: bool = False,
        color: Color = Color.auto,
    ) -> None:
        if quiet and verbose:
            raise UsageError("--quiet and -v contradict each other")
        self.quiet, self.verbose, self.as_json = quiet, verbose, as_json
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._colored = color is Color.always or (
            color is Color.auto and self._terminal and not os.environ.get("NO_COLOR")
        )
        self._bar_shown, self._batch = False, ""
        self._began = time.monotonic()
        if verbose >= 2 or os.environ.get("RDAE_LOG", "").lower() == "debug":
            logging.basicConfig(
                stream=sys.stderr, format="%(relativeCreated)d ms  %(name)s: %(message)s"
            )
            logging.getLogger("rdae").setLevel(logging.DEBUG)

    def result(self, line: str, details: Sequence[str] = ()) -> None:
        """Print what became of one file; silent with --quiet and --json."""
        if self.quiet or self.as_json or not line:
            return
        self._say(line)
        for detail in details:
            self._say("  " + self._in(_DIM, detail))

    def failure(self, name: str, error: BaseException) -> None:
        """Print one line that names file and reason, and the way out on the next."""
        failure = describe(error)
        # A bare reason reads better where the code only repeats it.
        bare = isinstance(error, (OSError, InputError, UsageError, KeyboardInterrupt))
        code = "" if bare else f"{failure.code}: "
        prefix = f"{shown(name)}: " if name else ""
        self._say(f"{self._in(_RED, 'rdae:')} {prefix}{code}{failure.message}")
        if failure.hint:
            self._say(f"{self._in(_DIM, 'hint:')} {failure.hint}")
        if failure.code == "internal":
            from rdae.cli.versions import version_line

            self._say(version_line())
        if os.environ.get("RDAE_DEBUG"):
            traceback.print_exception(error)

    def note(self, line: str) -> None:
        """Print a line that is neither a result nor an error, even with --json."""
        if not self.quiet:
            self._say(line)

    def good(self, word: str) -> str:
        """Return a word in the colour of success."""
        return self._in(_GREEN, word)

    def record(self, record: Mapping[str, Any]) -> None:
        """Print one JSON line on stdout at once, if --json was given."""
        if self.as_json:
            emit(json.dumps(record))

    def progress(self, done: int, total: int, name: str) -> None:
        """Show how far a batch has come; only on a terminal and for more than one file."""
        if total < 2 or not self._terminal or self.quiet or self.verbose >= 2:
            return
        self._batch = f"file {done + 1}/{total}"
        left = ""
        if done:
            seconds = (time.monotonic() - self._began) / done * (total - done)
            left = f"  {_left(seconds)}"
        self._bar(done / total, f"{done}/{total}{left}  {shown(name)}")

    def working(self, name: str) -> Report | None:
        """What to call while a file is in work; None where no bar is shown.

        The bar comes after half a second, so that small pictures do not make it flicker.
        """
        if not self._terminal or self.quiet or self.verbose >= 2:
            return None
        called = time.monotonic()
        began = 0.0
        first: Progress | None = None

        def show(progress: Progress) -> None:
            nonlocal began, first
            now = time.monotonic()
            if first is None or progress.search != first.search:
                # What came before, imports above all, says nothing of what is left.
                began, first = now, progress
            if now - called < _BAR_DELAY:
                return
            share = progress.done - first.done
            words = [
                "" if progress.bpp is None else f"{progress.bpp:.3f} bpp",
                "" if progress.psnr is None else f"{progress.psnr:.2f} dB",
                _left((now - began) / share * (1 - progress.done)) if share > 0 else "",
                f"search {progress.search}" if progress.search > 1 else "",
                self._batch,
                shown(name),
            ]
            self._bar(progress.done, "  ".join(filter(None, words)))

        return show

    def clear_progress(self) -> None:
        """Remove the bar, if one is shown."""
        if self._bar_shown:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()
            self._bar_shown = False

    def _bar(self, share: float, text: str) -> None:
        filled = int(_BAR_CELLS * share)
        line = f"{'█' * filled}{'░' * (_BAR_CELLS - filled)} {text}"
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(_CLEAR_LINE + _encodable(line, sys.stderr)[:width])
        sys.stderr.flush()
        self._bar_shown = True

    def _say(self, line: str) -> None:
        self.clear_progress()
        sys.stderr.write(_encodable(line, sys.stderr) + "\n")
        sys.stderr.flush()

    def _in(self, color: str, text: str) -> str:
        return f"{color}{text}{_PLAIN}" if self._colored else text


def emit(text: str) -> None:
    """Print a line of data on stdout, flushed so that a reader sees it at once."""
    sys.stdout.write(_encodable(text, sys.stdout) + "\n")
    sys.stdout.flush()


def table(rows: Sequence[Sequence[str]], *, left: frozenset[int] = frozenset()) -> str:
    """Return rows as aligned columns, two spaces apart.

    Args:
        rows: equally long; the first one is the heading.
        left: the columns that are aligned to the left; the others are numbers.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
    return "\n".join(lines)


def _encodable(text: str, stream: TextIO) -> str:
    try:
        text.encode(stream.encoding or "utf-8", "strict")
    except UnicodeError:
        return text.translate(_PLAIN_SIGNS)
    return text

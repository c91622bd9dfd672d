"""Hints and mistakes in the words of the command line, with options that the user has before him.

What rdae's functions say is written for Python and for the command line at once, and the library
that reads our options speaks of types. Here both are put as the user of a command needs them.
"""

from __future__ import annotations

import re
from typing import Any

from rdae.errors import for_command_line

COMMANDS = (
    *("compress", "decompress", "view", "info", "verify", "eval", "elbo", "compare", "models"),
    *("desktop", "train", "export", "help"),
)
_COMMAND = re.compile(rf"\brdae (?:{'|'.join(COMMANDS)})\b")
_FLAG = re.compile(r"(?<![\w-])--[a-z0-9][a-z0-9-]*")
_OF_DECOMPRESS = frozenset({"--best-effort", "--lossy", "--region", "--weights"})
_RANGE = re.compile(r"\d+\.\.\d+")
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_EXPECTED = (  # what the libraries say, those with pydantic and those without, and what we do
    (re.compile(r"valid (?:number|float)"), "a number"),
    (re.compile(r"valid int"), "a whole number"),
    (re.compile(rf"(?:greater than or equal to |x>=){_NUMBER}"), r"a number from \1 on"),
    (re.compile(rf"(?:less than or equal to |x<=){_NUMBER}"), r"a number up to \1"),
    (re.compile(r"is not one of (.*?)\.?$"), r"\1"),
)
_options: frozenset[str] = frozenset()


def enter(options: frozenset[str]) -> None:
    """Remember the options of the command that runs now."""
    global _options
    _options = options


def at_hand(hint: str) -> str:
    """Return a hint that names options of the running command, or else whose they are."""
    hint = for_command_line(hint)

    def name(flag: re.Match[str]) -> str:
        if not _options or flag[0] in _options or _COMMAND.search(hint, 0, flag.start()):
            return flag[0]
        return f"rdae {'de' * (flag[0] in _OF_DECOMPRESS)}compress {flag[0]}"

    return _FLAG.sub(name, hint)


def mistake(error: Any) -> str:
    """Say what is wrong with an option: `--effort takes 1..9, not 12`.

    Args:
        error: as the library that reads options raises it.
    """
    message = str(error.format_message()).rstrip(".")
    parameter = getattr(error, "param", None)
    said = str(getattr(error, "message", ""))
    if parameter is not None and getattr(parameter, "opts", None):
        for pattern, words in _EXPECTED:
            if found := pattern.search(said):
                metavar = parameter.metavar or ""
                expected = metavar if _RANGE.fullmatch(metavar) else found.expand(words)
                expected = expected.replace("'", "")
                given = _given(error, said)
                return f"{_name_of(parameter, error)} takes {expected}{given}"
    return message[:1].lower() + message[1:]


def _name_of(parameter: Any, error: Any) -> str:
    """An option's long name, or that of the variable that its value comes from."""
    source = error.ctx and error.ctx.get_parameter_source(parameter.name)
    if source is not None and source.name == "ENVIRONMENT":
        return str(parameter.envvar)
    return str(max(parameter.opts, key=len))


def _given(error: Any, said: str) -> str:
    """What was given instead, where the library tells."""
    try:
        return f", not {error.__cause__.errors()[0]['input']}"  # pydantic's
    except (AttributeError, LookupError, TypeError):
        found = re.match(r"(?:Value error, )?'?(.*?)'? is not", said)
        return f", not {found[1]}" if found else ""

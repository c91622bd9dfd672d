"""Values of options from their text, where that is plain; all else is left to Typer.

From 0.26 on Typer has pydantic convert values. To import it and to build what converts takes longer
than to decode a picture, also for options that nobody gives. Texts, numbers, paths and what is not
given need none of it; whatever is not as it should be still goes there, and is told from there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_NUMBERS = {int: re.compile(r"[0-9]{1,18}"), float: re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")}


class _NotPlainError(Exception):
    """A value that Typer must look at."""


def with_plain_conversion(parameter: Any) -> Any:
    """Return a parameter of a command, which from now on converts plain values itself."""
    descriptor = getattr(parameter, "type_descriptor", None)
    if descriptor is None or "process_value" in vars(parameter):
        return parameter  # before 0.26 Typer takes no pydantic
    by_typer = parameter.process_value
    is_list = parameter.multiple or parameter.nargs != 1

    def process_value(context: Any, value: Any) -> Any:
        try:
            if value is None and not parameter.required:
                plain: Any = () if is_list else None
            elif is_list and descriptor.annotation == list[str]:
                plain = [_converted(str, descriptor.parameter_info, one) for one in value]
            else:
                plain = _converted(descriptor.annotation, descriptor.parameter_info, value)
        except _NotPlainError:
            return by_typer(context, value)
        return parameter.callback(context, parameter, plain) if parameter.callback else plain

    parameter.process_value = process_value
    return parameter


def _converted(wanted: Any, limits: Any, value: Any) -> Any:
    """A value of the wanted type.

    Args:
        wanted: the type.
        limits: `min` and `max` of a number, None where there is none.
        value: text, or a default.

    Raises:
        _NotPlainError: it is, or may be, none of that type and within the limits.
    """
    if type(value) is wanted:  # a text, or a default
        return value
    if wanted is Path and type(value) is str:
        return Path(value)
    if wanted in _NUMBERS and type(value) is str and _NUMBERS[wanted].fullmatch(value):
        number = wanted(value)
        if (limits.min is None or number >= limits.min) and (
            limits.max is None or number <= limits.max
        ):
            return number
    raise _NotPlainError

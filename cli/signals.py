"""Signals end the command by unwinding the stack, so that unfinished files are removed.

A handler raises an exception, but that is not enough: one that is raised inside a callback from
C (threadpoolctl has such) is printed and forgotten, or comes back as another error. So the
signal is also remembered, and `check` raises it again at the next safe place.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn

_received: list[int] = []


def install() -> None:
    """Let SIGINT, SIGTERM and SIGHUP raise; one that the caller has switched off stays off."""
    _received.clear()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)


def check() -> None:
    """Raise for a signal that has been received.

    Raises:
        KeyboardInterrupt: it was SIGINT.
        SystemExit: it was another one; the exit code is 128 and its number, as shells have it.
    """
    if _received:
        _raise(_received[0])


def _on_signal(number: int, frame: FrameType | None) -> NoReturn:
    _received.append(number)
    _raise(number)


def _raise(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)

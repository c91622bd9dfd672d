"""How far a long encoding or decoding has come, as the loops over tiles and windows tell it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias


@dataclass(frozen=True)
class Progress:
    """How far the work on a picture has come.

    Attributes:
        done: share of the present search, 0 to 1.
        search: which search this is, from 1 on; a target may need several.
        bpp: bits per pixel of the tile in work, as estimated now; None if nobody estimates.
        psnr: of the tile in work in dB, as estimated now; None likewise.
    """

    done: float
    search: int = 1
    bpp: float | None = None
    psnr: float | None = None


Report: TypeAlias = Callable[[Progress], None]  # may be called from any thread, one at a time


class Counter:
    """Adds up the finished parts of one search, whichever threads finish them."""

    def __init__(self, report: Report | None, total: int, search: int = 1) -> None:
        """Begin, and say so.

        Args:
            report: is told after each part; nobody if None.
            total: all parts together, in any unit.
            search: which search this is.
        """
        self._report, self._total, self._search = report, total, search
        self._done = 0
        self._lock = threading.Lock()
        self.add(0)

    def add(self, part: int) -> None:
        """Count a part that is finished."""
        if self._report is not None:
            with self._lock:
                self._done += part
                self._report(Progress(self._done / self._total, self._search))


def share_of(report: Report | None, begin: float, end: float) -> Report | None:
    """A report of a part of the work, which is that share of the whole."""
    if report is None:
        return None
    return lambda p: report(replace(p, done=begin + (end - begin) * p.done))

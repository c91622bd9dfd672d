"""Run a network over a large array window by window, on several threads, in bounded memory.

A window is read with a halo on all sides, as wide as the depthwise layers can see, clamped at the
true edges of the array; the result's halo is cut off. Inside the halo the zero padding at the
window's cut edges makes the values wrong, but never beyond it. At a true edge the window ends where
the array ends, so every depthwise layer pads there exactly as over the whole array. For exact
networks windows therefore give the same integers as one run over everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from rdae.exact.parallel import parallel_map

# Cells of all windows that are in work at a time; the synthesis takes about 24 kB for each.
CELLS_IN_WORK = 8192
MIN_WINDOW_CELLS = 1024  # a smaller window would be mostly halo
MIN_ROWS = 8  # the same for a window that is cut low to give each thread one

Array = NDArray[Any]


@dataclass(frozen=True)
class Window:
    """Rows [top, bottom) and columns [left, right) of a grid of cells."""

    top: int
    bottom: int
    left: int
    right: int

    def grown(self, halo: int, rows: int, columns: int) -> Window:
        """The window with a halo on all sides, clamped to a grid of `rows` x `columns`."""
        return Window(
            max(0, self.top - halo),
            min(rows, self.bottom + halo),
            max(0, self.left - halo),
            min(columns, self.right + halo),
        )

    def slices(self, scale: int = 1) -> tuple[slice, slice]:
        """The rows and columns of the window in an array with `scale` rows for each cell."""
        return (
            slice(self.top * scale, self.bottom * scale),
            slice(self.left * scale, self.right * scale),
        )


def cut(rows: int, columns: int, threads: int) -> list[Window]:
    """Cut a grid into windows: about square where it is large, one per thread where it is small."""
    threads = max(1, threads)
    limit = max(MIN_WINDOW_CELLS, CELLS_IN_WORK // threads)
    width = _even(columns, max(math.isqrt(limit), limit // rows))
    height = _even(rows, min(limit // width, max(MIN_ROWS, math.ceil(rows / threads))))
    return [
        Window(top, min(top + height, rows), left, min(left + width, columns))
        for top in range(0, rows, height)
        for left in range(0, columns, width)
    ]


def run_in_windows(
    network: Callable[[Array], Array],
    read: Callable[[Window], Array],
    write: Callable[[Window, Array], None],
    *,
    rows: int,
    columns: int,
    halo: int,
    scale: int,
    threads: int,
) -> None:
    """Run `network` over a grid of cells.

    Args:
        network: maps the cells of a window to `scale` x `scale` results for each.
        read: gives the input of a window, halo included.
        write: takes a window without its halo and the results that belong to it.
        rows: rows of the grid.
        columns: columns of the grid.
        halo: cells that the network sees beyond its output.
        scale: rows of output for each cell.
        threads: how many windows are in work at a time.
    """

    def run(window: Window) -> None:
        seen = window.grown(halo, rows, columns)
        inside = Window(
            window.top - seen.top,
            window.bottom - seen.top,
            window.left - seen.left,
            window.right - seen.left,
        )
        write(window, network(read(seen))[inside.slices(scale)])

    parallel_map(run, cut(rows, columns, threads), threads)


def _even(total: int, largest: int) -> int:
    """The size of even parts of `total`, none over `largest`."""
    return math.ceil(total / math.ceil(total / max(1, largest)))

"""Run a network over a large array window by window, in bounded memory.

A window is read with a halo on all sides, as wide as the depthwise layers can see, clamped at the
true edges of the array; the result's halo is cut off. Inside the halo the zero padding at the
window's cut edges makes the values wrong, but never beyond it. At a true edge the window ends where
the array ends, so every depthwise layer pads there exactly as over the whole array. For exact
networks windows therefore give the same integers as one run over everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from rdae.geometry import Rectangle
from rdae.threads import one_blas_thread

WINDOW_CELLS = 4096  # a smaller one has more halo; the synthesis takes about 16 kB for each cell

Array = NDArray[Any]


def cut(area: Rectangle) -> list[Rectangle]:
    """Cut an area into windows of up to `WINDOW_CELLS`, about square if there are several."""
    rows, columns = area.rows, area.columns
    width = _even(columns, max(math.isqrt(WINDOW_CELLS), WINDOW_CELLS // rows))
    height = _even(rows, WINDOW_CELLS // width)
    return [
        Rectangle(top, min(top + height, area.bottom), left, min(left + width, area.right))
        for top in range(area.top, area.bottom, height)
        for left in range(area.left, area.right, width)
    ]


def run_in_windows(
    network: Callable[[Array, Rectangle], Array],
    read: Callable[[Rectangle], Array],
    write: Callable[[Rectangle, Array], None],
    *,
    rows: int,
    columns: int,
    halo: int,
    scale: int,
    area: Rectangle | None = None,
) -> None:
    """Run `network` over a grid of cells, or over a part of it as if over all.

    Args:
        network: maps the cells of a window to `scale` x `scale` results for each; it is also
            told which of the cells are not halo, and need not set the results of others.
        read: gives the input of a window, halo included.
        write: takes a window without its halo and the results that belong to it.
        rows: rows of the grid.
        columns: columns of the grid.
        halo: cells that the network sees beyond its output.
        scale: rows of output for each cell.
        area: the cells that are wanted; all if None. Windows are positions in the grid.
    """
    with one_blas_thread():
        for window in cut(area or Rectangle.whole(columns, rows)):
            seen = window.grown(halo, rows, columns)
            inside = window.seen_from(seen)
            write(window, network(read(seen), inside)[inside.slices(scale)])


def _even(total: int, largest: int) -> int:
    """The size of even parts of `total`, none over `largest`."""
    return math.ceil(total / math.ceil(total / max(1, largest)))

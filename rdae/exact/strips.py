"""Run a network over a large array in strips of rows, on several threads.

A strip is read with a halo of extra rows on both sides, as many as the depthwise layers can see,
clamped at the true edges of the array; the result's halo is cut off. Inside the halo the zero
padding of the strip's cut edges makes the values wrong, but never beyond it. At a true edge the
strip ends where the array ends, so every depthwise layer pads there exactly as over the whole
array. For exact networks strips therefore give the same integers as one run over everything.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_STRIP_CELLS = 4096  # bounds the memory of a strip: about 10 kB a cell in the synthesis


def default_threads() -> int:
    """Threads to use when nobody says: one for each core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parallel_map(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> list[Result]:
    """`[function(i) for i in items]` on several threads, each with one BLAS thread.

    A single item has all the BLAS threads for itself. The first exception is raised after the
    running calls have ended.
    """
    work = list(items)
    alone = threads <= 1 or len(work) <= 1
    with threadpool_limits(threads if alone else 1, "blas"):
        if alone:
            return [function(item) for item in work]
        with ThreadPoolExecutor(min(threads, len(work))) as pool:
            return list(pool.map(function, work))


def strip_bounds(rows: int, columns: int, threads: int) -> list[tuple[int, int]]:
    """Cut `rows` into even strips: at least one per thread, none over `MAX_STRIP_CELLS`."""
    count = max(threads, math.ceil(rows * columns / MAX_STRIP_CELLS))
    height = max(1, math.ceil(rows / count))
    return [(top, min(top + height, rows)) for top in range(0, rows, height)]


def run_in_strips(
    network: Callable[[NDArray[Any]], NDArray[Any]],
    read: Callable[[int, int], NDArray[Any]],
    write: Callable[[int, int, NDArray[Any]], None],
    bounds: list[tuple[int, int]],
    *,
    rows: int,
    halo: int,
    scale: float,
    threads: int,
) -> None:
    """Run `network` over strips of rows.

    Args:
        network: maps `(n, columns, channels)` to `(n * scale, ...)`.
        read: gives the input rows [top, bottom) of the strip, halo included.
        write: takes top, bottom and the output that belongs to these input rows.
        bounds: the strips, in input rows.
        rows: rows of the whole input.
        halo: input rows that the network sees beyond its output.
        scale: output rows per input row.
        threads: how many strips run at a time.
    """

    def run(strip: tuple[int, int]) -> None:
        top, bottom = strip
        first, last = max(0, top - halo), min(rows, bottom + halo)
        out = network(read(first, last))
        begin, end = round((top - first) * scale), round((bottom - first) * scale)
        write(top, bottom, out[begin:end])

    parallel_map(run, bounds, threads)

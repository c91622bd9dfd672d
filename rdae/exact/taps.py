"""A linear layer on values around each cell, taken from several arrays and relative to a mean.

It is for filters that are used once, as of `rdae.lossless`: nothing is compiled ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from rdae.exact import kernel
from rdae.exact.layers import Linear
from rdae.exact.program import strips
from rdae.geometry import Rectangle
from rdae.threads import parallel_map

Array = NDArray[Any]

CENTRED = 3  # channels of a mean


class Source:
    """An array with a border of cells around it.

    Args:
        array: int16 `(rows + 2 border, columns + 2 border, channels)`.
        border: how many cells.
    """

    def __init__(self, array: NDArray[np.int16], border: int) -> None:
        if array.dtype != np.int16 or array.ndim != 3:
            raise ValueError(f"a source is {array.dtype} {array.shape}")
        rows, columns, self.channels = array.shape
        # the kernel reads whole vectors, beyond the last value
        room = kernel.aligned((array.size + kernel.WHOLE,), np.int16)
        self.array, self.border = room[: array.size].reshape(array.shape), border
        self.array[...] = array
        self.inside = self.array[border : rows - border, border : columns - border]


@dataclass(frozen=True)
class Run:
    """Cells side by side, all channels of each.

    Attributes:
        source: the number of the array.
        row: of the cells, relative to the cell that is computed.
        column: of the first, likewise.
        cells: how many.
        is_centred: the mean of the cell that is computed is taken away.
    """

    source: int
    row: int
    column: int
    cells: int
    is_centred: bool


def tap_values(
    sources: Sequence[Source],
    runs: Sequence[Run],
    mean: NDArray[np.int16],
    some: NDArray[np.intp] | None = None,
) -> NDArray[np.int16]:
    """The values of all runs, one behind the other: `(rows, columns, taps)`.

    Args:
        sources: the arrays, of which each has `rows` times `columns` cells inside.
        runs: what is taken from them.
        mean: `(rows, columns, 3)`.
        some: rows of cells that are asked for, all if None.
    """
    _check(sources, runs, mean)
    rows = len(mean)
    if some is not None:
        mean = mean[some]
    shape = mean.shape[:2]
    values = np.empty((*shape, sum(_sizes(sources, runs))), np.int16)
    end = 0
    for run, size in zip(runs, _sizes(sources, runs), strict=True):
        source = sources[run.source]
        y, x = source.border + run.row, source.border + run.column
        begin = source.array[y : y + rows, x:]
        if some is not None:
            begin = begin.take(some, axis=0)
        # the cells of a run lie in one piece, so that only rows are put one behind the other
        there = as_strided(begin, (*shape, size), begin.strides, writeable=False)
        out = values[:, :, end : end + size]
        if run.is_centred:
            np.subtract(there, np.tile(mean, size // CENTRED), out=out)
        else:
            out[...] = there
        end += size
    return values


def filtered(
    sources: Sequence[Source],
    runs: Sequence[Run],
    mean: NDArray[np.int16],
    layer: Linear,
    threads: int,
    out: NDArray[np.int16] | None = None,
) -> NDArray[np.int16]:
    """What a layer makes of `tap_values`: `(rows, columns, outputs)`.

    Args:
        sources: as of `tap_values`.
        runs: likewise.
        mean: likewise.
        layer: on the values of all runs, proved, without a leak.
        threads: how many to use.
        out: where to put it; a new array if None.
    """
    _check(sources, runs, mean)
    rows, columns, _ = mean.shape
    sizes = _sizes(sources, runs)
    inputs, outputs = layer.mantissa.shape
    if inputs != sum(sizes) or layer.leak:
        raise ValueError(f"a layer has {inputs} inputs for other taps, or a leak")
    if out is None:
        out = np.empty((rows, columns, outputs), np.int16)
    kernel.check(out, (rows, columns, outputs), np.int16)
    if kernel.selected() == "numpy":
        out[...] = layer(tap_values(sources, runs, mean).astype(np.float64), 0)
        return out
    grids = np.zeros(len(sources) + 2, kernel.GRID)
    for i, array in enumerate([*(source.inside for source in sources), mean, out]):
        grids[i] = kernel.grid(array)
    weights, numbers = _packed(runs, sizes, layer)
    code = np.zeros(1, kernel.OP)
    code["kind"], code["outputs"], code["shift"] = kernel.WEIGH, outputs, layer.shift
    code["other"], code["onto"], code["part"] = len(sources), len(sources) + 1, len(runs)
    code["weights"], code["bias"] = weights.ctypes.data, numbers.ctypes.data
    run_part = partial(_run, code, grids, alive=(weights, numbers))
    parts = [Rectangle(*part, 0, columns) for part in strips(0, rows, threads)]
    parallel_map(run_part, parts, threads)
    return out


def _packed(
    runs: Sequence[Run], sizes: Sequence[int], layer: Linear
) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """Weights as the kernel reads them; runs, then of each output bias and weights of the mean."""
    outputs = layer.bias.size
    table = np.zeros(len(runs), kernel.RUN)
    less = np.zeros((outputs, 1 + CENTRED), np.int32)
    less[:, 0] = layer.bias
    wholes = [-(-size // kernel.WHOLE) * kernel.WHOLE for size in sizes]
    weights = kernel.aligned((outputs, sum(wholes)), np.int16)
    weights[...] = 0
    begin = end = 0
    for i, (run, size, whole) in enumerate(zip(runs, sizes, wholes, strict=True)):
        table[i] = run.source, run.row, run.column, size, run.is_centred
        of_run = layer.mantissa[begin : begin + size]
        weights[:, end : end + size] = of_run.T
        if run.is_centred:
            less[:, 1:] += of_run.reshape(-1, CENTRED, outputs).sum(0, dtype=np.int32).T
        begin, end = begin + size, end + whole
    return weights, np.concatenate([table.view(np.int32), less.ravel()])


def _run(code: Array, grids: Array, part: Rectangle, *, alive: Any) -> None:
    kernel.run_stage(code, grids, part, kernel.PANEL)


def _sizes(sources: Sequence[Source], runs: Sequence[Run]) -> list[int]:
    """How many values each run has."""
    return [run.cells * sources[run.source].channels for run in runs]


def _check(sources: Sequence[Source], runs: Sequence[Run], mean: NDArray[np.int16]) -> None:
    """Refuse what would look beyond an array.

    Raises:
        ValueError: a source has other cells, or a run goes beyond the border of its source.
        IndexError: there is no such source.
    """
    kernel.check(mean, (*mean.shape[:2], CENTRED), np.int16)
    for source in sources:
        if source.inside.shape[:2] != mean.shape[:2]:
            raise ValueError(f"a source has {source.inside.shape[:2]} cells, not {mean.shape[:2]}")
    for run in runs:
        if run.source < 0:
            raise IndexError(f"there is no source {run.source}")
        source = sources[run.source]
        last = run.column + run.cells - 1
        if max(abs(run.row), -run.column, last) > source.border or run.cells < 1:
            raise ValueError(f"{run} goes beyond a border of {source.border}")
        if run.is_centred and source.channels % CENTRED:
            raise ValueError("a run is centred whose cells have no three channels")

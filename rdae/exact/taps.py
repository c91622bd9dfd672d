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
from rdae.exact.assembler import whole_panels, with_zeros
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
        self.array, self.border = np.ascontiguousarray(array), border
        rows, columns, self.channels = array.shape
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
) -> NDArray[np.int16]:
    """What a layer makes of `tap_values`: `(rows, columns, outputs)`.

    Args:
        sources: as of `tap_values`.
        runs: likewise.
        mean: likewise.
        layer: on the values of all runs, proved.
        threads: how many to use.
    """
    if kernel.selected() == "numpy":
        values = tap_values(sources, runs, mean)
        return layer(values.astype(np.float64), 0).astype(np.int16)
    _check(sources, runs, mean)
    rows, columns, _ = mean.shape
    inputs, outputs = layer.mantissa.shape
    if inputs != sum(_sizes(sources, runs)):
        raise ValueError(f"a layer has {inputs} inputs for other taps")
    out = kernel.aligned((rows, columns, whole_panels(outputs)), np.int16)
    grids = np.zeros(len(sources) + 2, kernel.GRID)
    for i, array in enumerate([*(source.inside for source in sources), mean, out]):
        grids[i] = kernel.grid(array)
    table = np.zeros(len(runs), kernel.RUN)
    for i, (run, size) in enumerate(zip(runs, _sizes(sources, runs), strict=True)):
        table[i] = run.source, run.row, run.column, size, run.is_centred
    weights = np.zeros((whole_panels(inputs), whole_panels(outputs)), np.int16)
    weights[:inputs, :outputs] = layer.mantissa
    packed, bias = kernel.packed(weights), with_zeros(layer.bias, whole_panels(outputs))
    code = np.zeros(3, kernel.OP)
    code["inputs"], code["outputs"] = (0, *weights.shape), (len(weights), weights.shape[1], 0)
    code["kind"] = kernel.COLLECT, kernel.LINEAR, kernel.WRITE
    code["source"], code["to"], code["buffer"] = (0, 0, 1), (0, 1, 0), (0, 1, 0)
    code["other"] = len(sources), -1, len(sources) + 1
    code["r"], code["part"] = 1, (len(runs), 0, out.shape[2])
    code["shift"], code["leak"] = layer.shift, layer.leak
    code["weights"][1] = packed.ctypes.data
    code["bias"][:2] = table.ctypes.data, bias.ctypes.data
    run_part = partial(_run, code, grids, max(weights.shape), alive=(table, packed, bias))
    parts = [Rectangle(*part, 0, columns) for part in strips(0, rows, threads)]
    parallel_map(run_part, parts, threads)
    return out[..., :outputs]


def _run(code: Array, grids: Array, widest: int, part: Rectangle, *, alive: Any) -> None:
    kernel.run_stage(code, grids, part, widest)


def _sizes(sources: Sequence[Source], runs: Sequence[Run]) -> list[int]:
    """How many values each run has."""
    return [run.cells * sources[run.source].channels for run in runs]


def _check(sources: Sequence[Source], runs: Sequence[Run], mean: NDArray[np.int16]) -> None:
    """Refuse what would look beyond an array.

    Raises:
        ValueError: a source has other cells, or a run goes beyond the border of its source.
    """
    kernel.check(mean, (*mean.shape[:2], CENTRED), np.int16)
    for source in sources:
        if source.inside.shape[:2] != mean.shape[:2]:
            raise ValueError(f"a source has {source.inside.shape[:2]} cells, not {mean.shape[:2]}")
    for run in runs:
        source = sources[run.source]
        last = run.column + run.cells - 1
        if max(abs(run.row), -run.column, last) > source.border or run.cells < 1:
            raise ValueError(f"{run} goes beyond a border of {source.border}")
        if run.is_centred and source.channels % CENTRED:
            raise ValueError("a run is centred whose cells have no three channels")

"""A network that the compiled kernel runs, stage by stage on several threads.

What the stages are comes from `rdae.exact.compiler`. Which cells of a grid a stage must set follows
from what later ones read.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import partial, reduce
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.exact import kernel
from rdae.exact.assembler import Scale, Stage
from rdae.exact.compiler import compile_steps
from rdae.exact.stages import Step
from rdae.geometry import Rectangle
from rdae.threads import parallel_map

Array = NDArray[Any]

LEAST_WORK = 1 << 21  # products that are worth another thread: 30 to 60 microseconds


class Program:
    """A network compiled for inputs of certain numbers of channels.

    Args:
        steps: of the network, exact.
        inputs: channels of each input.

    Raises:
        UnsupportedError: a step has no operation in the kernel.
    """

    def __init__(self, steps: Sequence[Step], inputs: tuple[int, ...]) -> None:
        made = compile_steps(steps, inputs)
        self._inputs = inputs
        self._grids, self._output = made.grids, made.stack[-1]
        self._stages = [stage for stage in made.stages if stage.operations]
        self._arrays = made.arrays  # operations have their addresses
        self._coded: list[Array] = []
        self._tables: list[tuple[int, int, Array]] = []  # stage, operation, factors
        for number, stage in enumerate(self._stages):
            operations = _operations(stage)
            code = np.zeros(len(operations), kernel.OP)
            for i, operation in enumerate(operations):
                table = operation.pop("table", None)
                if table is not None:
                    self._tables.append((number, i, table))
                for name, value in operation.items():
                    code[i][name] = value
            self._coded.append(code)
        used = [{grid for grid, *_ in (*stage.sees, *stage.writes)} for stage in self._stages]
        last = {grid: number for number, grids in enumerate(used) for grid in grids}
        self._ended = [
            {grid for grid in grids if last[grid] == number} for number, grids in enumerate(used)
        ]
        self._widest = [int(max(c["inputs"].max(), c["outputs"].max())) for c in self._coded]
        self._costs = [_products(code) for code in self._coded]
        self._at_point: dict[int, list[Array]] = {}

    def __call__(
        self,
        inputs: Sequence[NDArray[np.int16]],
        point: int,
        threads: int,
        wanted: Rectangle | None = None,
        spare: list[NDArray[np.uint8]] | None = None,
    ) -> Array:
        """Run it; arguments as of `rdae.exact.stages.Network`. Cells not wanted are not set.

        What a grid lay in is taken again where no later stage needs it: new memory costs time. It
        may come from an earlier run, and ends in `spare`.
        """
        rows, columns = inputs[0].shape[:2]
        for x, channels, grid in zip(inputs, self._inputs, self._grids, strict=False):
            if x.dtype != grid.dtype or x.shape != (rows, columns, channels):
                raise ValueError(f"an input is {x.dtype} {x.shape}")
        if any(side * grid.scale % 1 for side in (rows, columns) for grid in self._grids):
            raise ValueError(f"an input of {rows} rows and {columns} columns is in no whole cells")
        whole = Rectangle.whole(columns, rows)
        wanted = wanted or whole
        if wanted.hull(whole) != whole:
            raise ValueError(f"{wanted} is not in {rows} rows and {columns} columns")
        spare = [] if spare is None else spare
        grids = np.zeros(len(self._grids), kernel.GRID)
        arrays: dict[int, Array] = {}  # those in use

        def begin(i: int) -> None:
            if i not in arrays:
                arrays[i] = self._grid(i, inputs, rows, columns, spare)
                grids[i] = kernel.grid(self._inside(i, arrays[i]))

        for i in range(len(inputs)):
            begin(i)
        areas = self._areas(wanted, rows, columns)
        for number, (code, area, widest, cost) in enumerate(
            zip(self._code(point), areas, self._widest, self._costs, strict=True)
        ):
            for i, _ in self._stages[number].writes:
                begin(i)
            # another thread is no help with what takes no longer than to wake it
            threads_here = min(threads, 1 + cost * area.area // LEAST_WORK)
            stripes = [
                Rectangle(*rows, area.left, area.right)
                for rows in strips(area.top, area.bottom, threads_here)
            ]
            # The call owns all that the kernel has addresses of, as long as a thread may run it.
            stage_of_it = partial(self._run_stage, code, grids, widest, alive=arrays)
            parallel_map(stage_of_it, stripes, threads_here)
            for i in self._ended[number] - {self._output.grid}:
                array = arrays.pop(i)
                if array.base is not None and not any(array is x for x in inputs):
                    spare.append(array.base)
        assert self._output.grid is not None
        output = self._inside(self._output.grid, arrays[self._output.grid])
        return output[..., : self._output.channels]

    def _inside(self, i: int, array: Array) -> Array:
        """A grid's array without its border."""
        b = self._grids[i].border
        return array[b : array.shape[0] - b, b : array.shape[1] - b]

    def _areas(self, wanted: Rectangle, rows: int, columns: int) -> list[Rectangle]:
        """The cells that each stage must compute, from the last stage back to the first."""
        nothing = Rectangle(0, 0, 0, 0)
        assert self._output.grid is not None
        needed = {self._output.grid: _scaled(wanted, self._output.scale)}
        areas = []
        for stage in reversed(self._stages):
            parts = [needed[grid].scaled(1, r) for grid, r in stage.writes if grid in needed]
            area = reduce(Rectangle.hull, parts, parts[0]) if parts else nothing
            areas.append(area)
            for grid, r, radius in stage.sees if parts else ():
                seen = area.scaled(r, 1).grown(radius, *self._grids[grid].size(rows, columns))
                needed[grid] = seen.hull(needed.get(grid, seen))
        return areas[::-1]

    def _run_stage(
        self, code: Array, grids: Array, widest: int, part: Rectangle, *, alive: dict[int, Array]
    ) -> None:
        kernel.run_stage(code, grids, part, widest)

    def _grid(
        self,
        i: int,
        inputs: Sequence[NDArray[np.int16]],
        rows: int,
        columns: int,
        spare: list[NDArray[np.uint8]],
    ) -> NDArray[Any]:
        """The array of a grid, with its border of zeros; an input as it is, if that will do."""
        grid = self._grids[i]
        b = grid.border
        if i < len(inputs) and b == 0 and _has_room(inputs[i], grid.channels):
            return inputs[i]
        height, width = (side + 2 * b for side in grid.size(rows, columns))
        array = kernel.aligned((height, width, grid.channels), grid.dtype, spare)
        for edge in (slice(b), slice(height - b, None)) if b else ():
            array[edge] = 0
        for edge in (slice(b), slice(width - b, None)) if b else ():
            array[:, edge] = 0
        if i < len(inputs):
            array[b : height - b, b : width - b, : inputs[i].shape[2]] = inputs[i]
        return array

    def _code(self, point: int) -> list[Array]:
        """The stages' operations with the factors of a quality point."""
        if not self._tables:
            return self._coded
        there = self._at_point.get(point)
        if there is None:
            there = [code.copy() for code in self._coded]
            for stage, operation, table in self._tables:
                there[stage][operation]["weights"] = table[point].ctypes.data
            self._at_point[point] = there  # two threads may both do it, to the same end
        return there


def _operations(stage: Stage) -> list[dict[str, Any]]:
    """What a stage does, first the reading of its grids."""
    reads = [
        {"kind": kernel.READ, "other": grid, "to": slot, "inputs": 0, "outputs": 0}
        for grid, slot in stage.read_slots.items()
    ]
    return [*reads, *stage.operations]


def _scaled(area: Rectangle, scale: Scale) -> Rectangle:
    return area.scaled(*Fraction(scale).as_integer_ratio())


def _has_room(x: Array, channels: int) -> bool:
    """Whether so many channels of every cell can be read where they lie.

    What stands behind those that `x` has does not matter, for its weights are 0; only it must not
    be beyond the array that `x` is a part of.
    """
    row, cell, channel = x.strides
    if channel != x.itemsize or min(row, cell) <= 0 or not x.flags.aligned:
        return False
    if x.shape[2] == channels:
        return True
    whole = x.base
    if not isinstance(whole, np.ndarray) or not whole.flags.c_contiguous:
        return False
    last = x.ctypes.data + (x.shape[0] - 1) * row + (x.shape[1] - 1) * cell
    return bool(last + channels * channel <= whole.ctypes.data + whole.nbytes)


def _products(code: Array) -> int:
    """How many products a cell of a stage takes."""
    products = code["inputs"].astype(np.int64) * code["outputs"]
    is_linear = (code["kind"] == kernel.LINEAR) | (code["kind"] == kernel.PHASED)
    return int(products[is_linear].sum())


def strips(top: int, bottom: int, threads: int) -> list[tuple[int, int]]:
    """Even strips of rows, as many as threads."""
    count = max(1, min(threads, bottom - top))
    edges = [top + (bottom - top) * i // count for i in range(count + 1)]
    return list(pairwise(edges))

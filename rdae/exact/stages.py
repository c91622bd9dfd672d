"""Run the layers of a network over a grid in stages, part by part on several threads.

Only depthwise layers and `Around` look beyond a cell, so they alone need all of what is before
them: there the layers are cut into stages. A stage runs on parts of the grid that are small enough
to stay in the cache from its first layer to its last, in any order and on any number of threads,
and no part computes what another one does.

The branches of residuals and sums are flattened to steps on a stack of values, the last of which is
the current one: a layer replaces it, `Fork`, `Swap`, `Add` and `Concatenate` do what they say.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.exact.layers import Around, ByPhase, Depthwise, Layer, Shuffle, Unshuffle, saturate
from rdae.geometry import Rectangle
from rdae.threads import parallel_map

Array = NDArray[Any]
Values = list[Array]

# Values of the widest array of a part: one or two megabytes of float64. Where layers are wide, BLAS
# spends a good share of a small product on bringing the weights in order, whatever the cells.
BLOCK_VALUES = 1 << 17
WIDE, WIDE_BLOCK_VALUES = 256, 1 << 18


class StackStep(ABC):
    """A step that is no function of the current value alone."""

    @abstractmethod
    def apply(self, values: list[Any]) -> None:
        """Change the stack; never an array in it, which may be the stage's input."""


class Fork(StackStep):
    """Put the current value on the stack once more: a residual or a sum begins."""

    def apply(self, values: list[Any]) -> None:
        """See `StackStep`."""
        values.append(values[-1])


class Swap(StackStep):
    """Make the value below the current one: a sum's second branch begins."""

    def apply(self, values: list[Any]) -> None:
        """See `StackStep`."""
        values.append(values.pop(-2))


class Concatenate(StackStep):
    """The channels of the value below, then those of the current one."""

    def apply(self, values: list[Any]) -> None:
        """See `StackStep`."""
        values[-2:] = [np.concatenate(values[-2:], axis=2)]


class Add(StackStep):
    """Add the current value to the one below, saturating: a residual or a sum ends."""

    def apply(self, values: list[Any]) -> None:
        """See `StackStep`."""
        values[-2:] = [saturate(values[-2] + values[-1])]


Step = Layer | StackStep


class Network:
    """Layers in order.

    Args:
        steps: what to do, one after the other.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = list(steps)
        filters = {i: s for i, s in enumerate(self.steps) if isinstance(s, Depthwise | Around)}
        borders = [*(step.radius for step in filters.values()), 0]
        reaches = [sum(_radii(self.steps)[i:]) for i in range(len(borders))]
        bounds = zip([0, *filters], [*filters, len(self.steps)], strict=True)
        self._stages = [
            _Stage(self.steps[first:last], border, reach)
            for (first, last), border, reach in zip(bounds, borders, reaches, strict=True)
        ]

    def __call__(
        self,
        x: Array | Sequence[Array],
        point: int,
        threads: int = 1,
        wanted: Rectangle | None = None,
    ) -> Array:
        """Run the network over a grid.

        Args:
            x: the input `(rows, columns, channels)`, or several for a network that takes several.
            point: quality point, 0 to 255.
            threads: how many parts of the grid to run at a time.
            wanted: the cells of the input whose results are wanted; all if None. The others are
                not set.
        """
        grids = [Grid(value) for value in ([x] if isinstance(x, np.ndarray) else x)]
        rows, columns = grids[-1].inside.shape[:2]
        wanted = wanted or Rectangle(0, rows, 0, columns)
        for stage in self._stages:
            grids = stage.run(grids, wanted, rows, point, max(1, threads))
        return grids[-1].inside


class _Stage:
    """The steps from one layer that looks around, if they begin with one, to the next.

    Args:
        steps: what to do.
        border: how many zeros the next stage needs around the current value.
        reach: how many cells of the network's input the stages to come see around a result.
    """

    def __init__(self, steps: Sequence[Step], border: int, reach: float) -> None:
        self.border, self.reach = border, reach
        first = steps[0] if steps else None
        self.filter = first if isinstance(first, Depthwise | Around) else None
        self._steps = steps[1:] if self.filter else steps
        self._grain = 2 if any(isinstance(step, ByPhase) for step in steps) else 1

    def run(
        self, given: list[Grid], wanted: Rectangle, height: int, point: int, threads: int
    ) -> list[Grid]:
        """Run the stage.

        Args:
            given: the stack.
            wanted: the cells of the network's input whose results are wanted.
            height: rows of the network's input.
            point: quality point, 0 to 255.
            threads: how many parts of the grid to run at a time.
        """
        # on no columns at all, the steps only tell the forms of their results, and which of their
        # inputs they hand through
        empty = [grid.inside[:, :0] for grid in given]
        if isinstance(self.filter, Around):  # its result has more channels
            empty[-1] = self.filter(empty[-1], point)
        forms, shapes = self._apply(empty, point)
        rows = math.gcd(*(shape[0] for shape in shapes)) // self._grain
        columns = given[-1].inside.shape[1] * rows // given[-1].inside.shape[0]
        widest = max(shape[2] * (shape[0] // rows) ** 2 for shape in shapes)

        handed = given[:-1] if self.filter else given
        grids = {id(form): grid for form, grid in zip(empty, handed, strict=False)}
        if self.border:
            grids.pop(id(forms[-1]), None)  # it has none yet
        new: list[tuple[int, Array]] = []
        for i, form in enumerate(forms):
            if id(form) not in grids:
                shape = (form.shape[0], form.shape[0] // rows * columns, form.shape[2])
                grid = Grid.new(shape, form.dtype, self.border if form is forms[-1] else 0)
                grids[id(form)] = grid
                new.append((i, grid.inside))

        def run(part: Rectangle) -> None:
            values = [grid.part(part, rows) for grid in handed]
            if self.filter:
                values.append(self.filter.filter(given[-1].part(part, rows, self.filter.radius)))
            values, _ = self._apply(values, point)
            for i, array in new:
                array[part.slices(array.shape[0] // rows)] = values[i]

        halo = math.ceil(self.reach * rows / height)
        area = wanted.scaled(rows, height).grown(halo, rows, columns)
        values = WIDE_BLOCK_VALUES if widest >= WIDE else BLOCK_VALUES
        parallel_map(run, parts(area, values // widest, threads), threads)
        return [grids[id(form)] for form in forms]

    def _apply(self, values: Values, point: int) -> tuple[Values, list[tuple[int, ...]]]:
        """The stack after all steps, and the shape of the current value before and after each."""
        values = list(values)
        shapes = [values[-1].shape]
        for step in self._steps:
            if isinstance(step, StackStep):
                step.apply(values)
            else:
                values.append(step(values.pop(), point))
            shapes.append(values[-1].shape)
        return values, shapes


class Grid:
    """An array over the whole grid, perhaps with a border of zeros around it.

    Attributes:
        inside: the array without the border, `(rows, columns, channels)`.
    """

    def __init__(self, array: Array, border: int = 0) -> None:
        self._array, self._border = array, border
        rows, columns = array.shape[:2]
        self.inside = array[border : rows - border, border : columns - border]

    @classmethod
    def new(cls, shape: tuple[int, int, int], dtype: np.dtype[Any], border: int) -> Grid:
        """A grid whose inside of that shape is not set yet."""
        rows, columns, channels = shape
        array = np.empty((rows + 2 * border, columns + 2 * border, channels), dtype)
        for edge in (slice(border), slice(-border, None)) if border else ():
            array[edge] = 0
            array[:, edge] = 0
        return cls(array, border)

    def part(self, part: Rectangle, rows: int, border: int = 0) -> Array:
        """A part of the grid, counted in cells of which it has `rows` rows, and a border."""
        down, across = part.slices(self.inside.shape[0] // rows)
        skip = self._border - border
        return self._array[
            down.start + skip : down.stop + skip + 2 * border,
            across.start + skip : across.stop + skip + 2 * border,
        ]


def _radii(steps: Sequence[Step]) -> list[float]:
    """The radius of each layer that looks around, in cells of the network's input."""
    radii: list[float] = []
    scales = [1.0] * 3  # of the values on the stack; a network has three inputs at most
    for step in steps:
        if isinstance(step, Shuffle):
            scales[-1] *= step.r
        elif isinstance(step, Unshuffle):
            scales[-1] /= step.r
        elif isinstance(step, Depthwise | Around):
            radii.append(step.radius / scales[-1])
        elif isinstance(step, Add | Concatenate):
            scales.pop()
        elif isinstance(step, StackStep):
            step.apply(scales)
    return radii


def parts(area: Rectangle, cells: int, threads: int) -> list[Rectangle]:
    """Cut an area into parts of at most so many cells, if possible as many for each thread."""
    rows, columns = area.bottom - area.top, area.right - area.left
    across = math.ceil(columns / max(1, cells))
    down = math.ceil(rows / max(1, cells // math.ceil(columns / across)))
    if down % threads:
        down = min(rows, down + threads - down % threads)
    return [
        Rectangle(top, bottom, left, right).moved(area.top, area.left)
        for top, bottom in _even(rows, down)
        for left, right in _even(columns, across)
    ]


def _even(total: int, parts: int) -> list[tuple[int, int]]:
    """Begin and end of even parts of `total`."""
    return [(total * i // parts, total * (i + 1) // parts) for i in range(parts)]

"""A network's steps as stages of the compiled kernel.

As in `rdae.exact.stages`, layers are cut into stages where a depthwise layer looks beyond a cell or
a shuffle changes the resolution; what is still needed then goes to grids, and threads meet. Inside
of a stage values lie in slots: those that are computed in buffers of the scratch, those that are
read in their grids. Which cells of a grid a stage must set follows from what later ones read.

Channel counts are padded to whole panels of 16: weights of what is not there are 0, so whatever
stands in such a channel has no effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial, reduce
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.exact import kernel
from rdae.exact.layers import ByPhase, Centre, Depthwise, Gain, Levels, Linear, Shuffle, Unshuffle
from rdae.exact.stages import Add, Concatenate, Fork, Step, Swap
from rdae.geometry import Rectangle
from rdae.threads import parallel_map

Array = NDArray[Any]
Scale = int | Fraction  # cells for each of the network's input, along each axis


LEAST_WORK = 1 << 21  # products that are worth another thread: 30 to 60 microseconds


class UnsupportedError(Exception):
    """The kernel has no operation for a step; NumPy does it."""


@dataclass(eq=False)
class _Value:
    """A value on the stack: in a grid, in a slot of the current stage, or in both.

    Attributes:
        channels: how many there are.
        scale: see `Scale`.
        parts: channels of each of several values that were put one behind the other, each padded.
    """

    channels: int
    scale: Scale
    parts: tuple[int, ...]
    grid: int | None = None
    slot: int | None = None
    made_by: int = -1  # which operation of the stage

    @property
    def padded(self) -> int:
        return sum(map(_padded, self.parts))

    def places(self) -> Array:
        """Where each channel stands among the padded ones."""
        starts = np.cumsum([0, *map(_padded, self.parts)])
        found = [start + np.arange(n) for start, n in zip(starts[:-1], self.parts, strict=True)]
        return np.concatenate(found)


@dataclass
class _Grid:
    channels: int  # padded, but of bytes and of what is only unshuffled
    scale: Scale
    dtype: type
    border: int = 0

    def size(self, rows: int, columns: int) -> tuple[int, int]:
        """Its rows and columns, for those of the network's input."""
        return int(rows * self.scale), int(columns * self.scale)


@dataclass
class _Stage:
    scale: Scale
    operations: list[dict[str, Any]] = field(default_factory=list)
    read_slots: dict[int, int] = field(default_factory=dict)
    writes: list[tuple[int, int]] = field(default_factory=list)  # grid, cells of it for one of ours
    sees: list[tuple[int, int, int]] = field(default_factory=list)  # the same, and radius


class Program:
    """A network compiled for inputs of certain numbers of channels.

    Args:
        steps: of the network, exact.
        inputs: channels of each input.

    Raises:
        UnsupportedError: a step has no operation in the kernel.
    """

    def __init__(self, steps: Sequence[Step], inputs: tuple[int, ...]) -> None:
        self._grids = [_Grid(_padded(n), 1, np.int16) for n in inputs]
        self._stages = [_Stage(1)]
        self._stack = [_Value(n, 1, (n,), grid=i) for i, n in enumerate(inputs)]
        self._arrays: list[Array] = []  # that operations point to
        self._inputs = inputs
        waiting = list(steps)
        if isinstance(waiting[0] if waiting else None, Centre | Unshuffle):
            self._grids[0].channels = inputs[0]  # nothing else reads it
        if isinstance(waiting[0] if waiting else None, Centre):
            self._grids[0].dtype = np.uint8
            waiting.pop(0)
            is_fine = bool(waiting) and isinstance(waiting[0], Unshuffle)
            self._unshuffle(waiting.pop(0).r if is_fine else 1, kernel.PIXELS)  # type: ignore[union-attr]
        while waiting:
            step = waiting.pop(0)
            if isinstance(step, Levels):
                shuffle = waiting.pop(0) if waiting else None
                if waiting or not (shuffle is None or isinstance(shuffle, Shuffle)):
                    raise UnsupportedError(type(step).__name__)
                self._levels(step, 1 if shuffle is None else shuffle.r)
            else:
                self._compile(step)
        self._output = self._stack[-1]
        if self._output.grid is None:
            self._to_grid(self._output)
        self._finish()

    # Compiling.

    def _compile(self, step: Step) -> None:
        stack = self._stack
        match step:
            case Fork():
                stack.append(stack[-1])
            case Swap():
                stack.append(stack.pop(-2))
            case Concatenate():
                second, first = stack.pop(), stack.pop()
                self._push(
                    kernel.CONCAT,
                    first,
                    first.channels + second.channels,
                    other=second,
                    parts=(*first.parts, *second.parts),
                )
            case Add():
                self._add()
            case Linear():
                x = stack.pop()
                weights, bias = _panels([step], x)
                self._push(
                    kernel.LINEAR,
                    x,
                    step.bias.size,
                    weights=weights,
                    bias=bias,
                    shift=step.shift,
                    leak=step.leak,
                )
            case ByPhase() if all(isinstance(layer, Linear) for layer in step.layers):
                x = stack.pop()
                linears: list[Linear] = step.layers  # type: ignore[assignment]
                weights, bias = _panels(linears, x)
                one = linears[0]
                self._push(
                    kernel.PHASED,
                    x,
                    one.bias.size,
                    weights=weights,
                    bias=bias,
                    shift=one.shift,
                    leak=one.leak,
                )
            case Gain():
                x = stack.pop()
                _check_whole(x)
                self._push(kernel.GAIN, x, x.channels, table=step.table, shift=step.shift)
            case Depthwise():
                self._depthwise(step)
            case Shuffle():
                self._shuffle(step.r)
            case Unshuffle():
                self._unshuffle(step.r, kernel.UNSHUFFLE)
            case _:
                raise UnsupportedError(type(step).__name__)

    def _add(self) -> None:
        b, a = self._stack.pop(), self._stack.pop()
        if a.parts != b.parts:
            raise UnsupportedError("sum of values of several parts")
        operations = self._stages[-1].operations
        made = operations[b.made_by] if b.made_by >= 0 else {}
        can_join = made.get("kind") in (kernel.LINEAR, kernel.GAIN) and made["other"] < 0
        if can_join and a.made_by < b.made_by and all(b is not value for value in self._stack):
            made["other"] = self._slot_of(a)  # the layer adds it on its way out
            self._stack.append(b)
        else:
            self._push(kernel.ADD, b, b.channels, other=a, parts=b.parts)

    def _depthwise(self, step: Depthwise) -> None:
        x = self._stack.pop()
        _check_whole(x)
        self._to_grid(x)
        assert x.grid is not None
        grid = self._grids[x.grid]
        grid.border = max(grid.border, step.radius)
        self._new_stage(x.scale)
        self._stages[-1].sees.append((x.grid, 1, step.radius))
        size = 2 * step.radius + 1
        weights = np.zeros((size * size, x.padded), np.int16)
        weights[:, : x.channels] = step.mantissa.reshape(size * size, -1)
        self._operation(
            kernel.DEPTHWISE,
            inputs=x.padded,
            outputs=x.padded,
            other=x.grid,
            r=size,
            shift=step.shift,
            weights=self._kept(weights),
            bias=self._kept(_with_zeros(step.bias, x.padded)),
        )
        self._computed(_Value(x.channels, x.scale, x.parts))

    def _shuffle(self, r: int) -> None:
        x = self._stack.pop()
        _check_whole(x)
        part = x.channels // r**2
        self._at(x)
        self._grids.append(_Grid(_padded(part), x.scale * r, np.int16))
        self._write(kernel.WRITE, x, r, part)
        self._stack.append(_Value(part, x.scale * r, (part,), grid=len(self._grids) - 1))
        self._new_stage(x.scale * r)

    def _unshuffle(self, r: int, kind: int) -> None:
        x = self._stack.pop()
        _check_whole(x)
        self._to_grid(x)
        assert x.grid is not None
        scale = Fraction(x.scale) / r
        self._new_stage(scale)
        self._stages[-1].sees.append((x.grid, r, 0))
        value = _Value(x.channels * r**2, scale, (x.channels * r**2,))
        self._operation(kind, inputs=0, outputs=value.padded, other=x.grid, r=r, part=x.channels)
        self._computed(value)

    def _levels(self, step: Levels, r: int) -> None:
        x = self._stack.pop()
        _check_whole(x)
        part = x.channels // r**2
        self._at(x)
        self._grids.append(_Grid(part, x.scale * r, np.uint8))
        self._write(kernel.LEVELS, x, r, part, shift=step.bits)
        self._stack.append(_Value(part, x.scale * r, (part,), grid=len(self._grids) - 1))

    def _push(
        self,
        kind: int,
        x: _Value,
        outputs: int,
        *,
        other: _Value | None = None,
        parts: tuple[int, ...] | None = None,
        weights: Array | None = None,
        bias: Array | None = None,
        table: Array | None = None,
        shift: int = 0,
        leak: int = 0,
    ) -> None:
        """An operation on `x`, whose result comes on the stack."""
        used = [x] if other is None else [x, other]
        if self._stages[-1].scale != x.scale or self._free_buffer(*used) is None:
            self._new_stage(x.scale, *used)
        values = {"source": self._slot_of(x), "other": -1, "shift": shift, "leak": leak}
        if other is not None:
            values["other"] = self._slot_of(other)
        value = _Value(outputs, x.scale, parts or (outputs,))
        operation = self._operation(kind, inputs=x.padded, outputs=value.padded, **values)
        if weights is not None and bias is not None:
            operation |= {"weights": self._kept(weights), "bias": self._kept(bias)}
        if table is not None:
            operation["table"] = _with_zeros(table, x.padded)
        self._computed(value, x, other)

    def _computed(self, value: _Value, *used: _Value | None) -> None:
        """Give the last operation's result a buffer, and put it on the stack."""
        operation = self._stages[-1].operations[-1]
        buffer = self._free_buffer(*used)
        assert buffer is not None  # a new stage has room
        operation |= {"buffer": buffer, "to": buffer}
        value.slot, value.made_by = buffer, len(self._stages[-1].operations) - 1
        self._stack.append(value)

    def _free_buffer(self, *used: _Value | None) -> int | None:
        busy = {value.slot for value in (*self._stack, *used) if value is not None}
        return next((i for i in range(kernel.BUFFERS) if i not in busy), None)

    def _operation(self, kind: int, **values: Any) -> dict[str, Any]:
        numbers = {"r": 1, "other": -1, "source": 0, "to": 0, "buffer": 0, **values}
        self._stages[-1].operations.append({"kind": kind, **numbers})
        return self._stages[-1].operations[-1]

    def _write(self, kind: int, x: _Value, r: int, part: int, shift: int = 0) -> None:
        source, grid = self._slot_of(x), len(self._grids) - 1
        self._operation(
            kind, source=source, inputs=x.padded, other=grid, r=r, part=part, shift=shift
        )
        self._stages[-1].writes.append((grid, r))

    def _kept(self, array: Array) -> int:
        """The address of a copy that lives as long as the program."""
        copy = kernel.aligned(array.shape, array.dtype)
        copy[...] = array
        self._arrays.append(copy)
        return int(copy.ctypes.data)

    def _slot_of(self, value: _Value) -> int:
        if value.slot is None:
            stage = self._stages[-1]
            assert value.grid is not None
            if value.grid not in stage.read_slots:
                stage.read_slots[value.grid] = kernel.BUFFERS + len(stage.read_slots)
                stage.sees.append((value.grid, 1, 0))
            slot = stage.read_slots[value.grid]
            if slot >= kernel.SLOTS:
                raise UnsupportedError("too many values at a time")
            return slot
        return value.slot

    def _at(self, x: _Value) -> None:
        """Make sure that the current stage has the resolution of `x`."""
        if self._stages[-1].scale != x.scale:
            self._new_stage(x.scale, x)

    def _new_stage(self, scale: Scale, *also: _Value) -> None:
        for value in (*self._stack, *also):
            self._to_grid(value)
        for value in (*self._stack, *also):
            value.slot, value.made_by = None, -1
        self._stages.append(_Stage(scale))

    def _to_grid(self, value: _Value) -> None:
        if value.grid is None:
            self._grids.append(_Grid(value.padded, value.scale, np.int16))
            self._write(kernel.WRITE, value, 1, value.padded)
            value.grid = len(self._grids) - 1

    def _finish(self) -> None:
        """Turn operations into arrays of the kernel's structures."""
        self._stages = [stage for stage in self._stages if stage.operations]
        self._coded: list[Array] = []
        self._tables: list[tuple[int, int, Array]] = []  # stage, operation, factors
        for number, stage in enumerate(self._stages):
            reads = [
                {"kind": kernel.READ, "other": grid, "to": slot, "inputs": 0, "outputs": 0}
                for grid, slot in stage.read_slots.items()
            ]
            every = [*reads, *stage.operations]
            code = np.zeros(len(every), kernel.OP)
            for i, operation in enumerate(every):
                table = operation.pop("table", None)
                if table is not None:
                    self._arrays.append(table)
                    self._tables.append((number, i, table))
                for name, value in operation.items():
                    code[i][name] = value
            self._coded.append(code)
        self._widest = [int(max(c["inputs"].max(), c["outputs"].max())) for c in self._coded]
        self._costs = [_products(code) for code in self._coded]
        self._at_point: dict[int, list[Array]] = {}

    # Running.

    def __call__(
        self,
        inputs: Sequence[NDArray[np.int16]],
        point: int,
        threads: int,
        wanted: Rectangle | None = None,
    ) -> Array:
        """Run it; arguments as of `rdae.exact.stages.Network`. Cells not wanted are not set."""
        rows, columns = inputs[0].shape[:2]
        for x, channels, grid in zip(inputs, self._inputs, self._grids, strict=False):
            if x.dtype != grid.dtype or x.shape != (rows, columns, channels):
                raise ValueError(f"an input is {x.dtype} {x.shape}")
        if any(side * grid.scale % 1 for side in (rows, columns) for grid in self._grids):
            raise ValueError(f"an input of {rows} rows and {columns} columns is in no whole cells")
        wanted = wanted or Rectangle.whole(columns, rows)
        arrays = [self._grid(i, inputs, rows, columns) for i in range(len(self._grids))]
        grids = np.zeros(len(arrays), kernel.GRID)
        insides = []
        for i, (array, grid) in enumerate(zip(arrays, self._grids, strict=True)):
            b = grid.border
            inside = array[b : array.shape[0] - b, b : array.shape[1] - b]
            size = array.itemsize
            grids[i] = inside.ctypes.data, array.strides[0] // size, array.strides[1] // size
            insides.append(inside)
        areas = self._areas(wanted, rows, columns)
        for code, area, widest, cost in zip(
            self._code(point), areas, self._widest, self._costs, strict=True
        ):
            # another thread is no help with what takes no longer than to wake it
            threads_here = min(threads, 1 + cost * area.area // LEAST_WORK)
            stripes = [
                Rectangle(*rows, area.left, area.right)
                for rows in _strips(area.top, area.bottom, threads_here)
            ]
            # The call owns all that the kernel has addresses of, as long as a thread may run it.
            stage_of_it = partial(self._run_stage, code, grids, widest, alive=arrays)
            parallel_map(stage_of_it, stripes, threads_here)
        assert self._output.grid is not None
        return insides[self._output.grid][..., : self._output.channels]

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
        self, code: Array, grids: Array, widest: int, part: Rectangle, *, alive: list[Array]
    ) -> None:
        kernel.run_stage(code, grids, part, widest)

    def _grid(
        self, i: int, inputs: Sequence[NDArray[np.int16]], rows: int, columns: int
    ) -> NDArray[Any]:
        """The array of a grid, with its border of zeros; an input as it is, if that will do."""
        grid = self._grids[i]
        b = grid.border
        if i < len(inputs) and b == 0 and grid.channels == inputs[i].shape[2]:
            return _dense(inputs[i])
        height, width = (side + 2 * b for side in grid.size(rows, columns))
        array = kernel.aligned((height, width, grid.channels), grid.dtype)
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


def _scaled(area: Rectangle, scale: Scale) -> Rectangle:
    return area.scaled(*Fraction(scale).as_integer_ratio())


def _dense(array: Array) -> Array:
    """An array whose channels lie side by side, and cells and rows in order."""
    row, cell, channel = array.strides
    is_dense = channel == array.itemsize and cell >= channel and row >= cell
    return array if is_dense and array.flags.aligned else np.ascontiguousarray(array)


def _products(code: Array) -> int:
    """How many products a cell of a stage takes."""
    products = code["inputs"].astype(np.int64) * code["outputs"]
    is_linear = (code["kind"] == kernel.LINEAR) | (code["kind"] == kernel.PHASED)
    return int(products[is_linear].sum())


def _padded(channels: int) -> int:
    return -(-channels // kernel.PANEL) * kernel.PANEL


def _with_zeros(values: Array, channels: int) -> Array:
    """Values for each channel, the last axis, and zeros for those that are padding."""
    whole = kernel.aligned((*values.shape[:-1], channels), values.dtype)
    whole[..., : values.shape[-1]] = values
    whole[..., values.shape[-1] :] = 0
    return whole


def _panels(layers: Sequence[Linear], x: _Value) -> tuple[Array, Array]:
    """Packed weights and biases of linear layers that read `x`, one behind the other."""
    weights, biases = [], []
    for layer in layers:
        outputs = layer.bias.size
        whole = np.zeros((x.padded, _padded(outputs)), np.int16)
        whole[x.places(), :outputs] = layer.mantissa
        weights.append(kernel.packed(whole))
        biases.append(_with_zeros(layer.bias, _padded(outputs)))
    return np.concatenate(weights), np.concatenate(biases)


def _check_whole(x: _Value) -> None:
    """Refuse values whose padding stands between their channels."""
    if x.padded != _padded(x.channels):
        raise UnsupportedError("several parts that are no whole panels")
    if any(part % kernel.PANEL for part in x.parts[:-1]):
        raise UnsupportedError("several parts that are no whole panels")


def _strips(top: int, bottom: int, threads: int) -> list[tuple[int, int]]:
    """Even strips of rows, as many as threads."""
    count = max(1, min(threads, bottom - top))
    edges = [top + (bottom - top) * i // count for i in range(count + 1)]
    return list(pairwise(edges))

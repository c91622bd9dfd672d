"""Stages of the compiled kernel while they are put together: their values, grids and operations.

Values lie on a stack, as in `rdae.exact.stages`. Those that the current stage computes are in
slots, buffers of the scratch; those of earlier stages are in grids, which it reads into slots of
their own. A stage ends where a layer looks beyond a cell or the resolution changes: what is still
needed then goes to grids, and threads meet.

Channel counts are padded to whole panels of 16: weights of what is not there are 0, so whatever
stands in such a channel has no effect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.exact import kernel

Array = NDArray[Any]
Scale = int | Fraction  # cells for each of the network's input, along each axis


class UnsupportedError(Exception):
    """The kernel has no operation for a step; NumPy does it."""


@dataclass(eq=False)
class Value:
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
        """How many channels it takes in a slot or a grid."""
        return sum(map(whole_panels, self.parts))

    def places(self) -> Array:
        """Where each channel stands among the padded ones."""
        starts = np.cumsum([0, *map(whole_panels, self.parts)])
        found = [start + np.arange(n) for start, n in zip(starts[:-1], self.parts, strict=True)]
        return np.concatenate(found)


@dataclass
class Grid:
    """An array between stages, or an input.

    Attributes:
        channels: padded, but of bytes and of what is only unshuffled.
        scale: see `Scale`.
        dtype: int16, or uint8 for pixels.
        border: cells of zeros around it.
    """

    channels: int
    scale: Scale
    dtype: type
    border: int = 0

    def size(self, rows: int, columns: int) -> tuple[int, int]:
        """Its rows and columns, for those of the network's input."""
        return int(rows * self.scale), int(columns * self.scale)


@dataclass
class Stage:
    """Operations that go cell by cell, so that nothing waits between them.

    Attributes:
        scale: see `Scale`.
        operations: fields of the kernel's structure.
        read_slots: the slot into which each grid is read.
        writes: grids that are set, and the cells of each for one of the stage's, along each axis.
        sees: grids that are looked at, the same, and how far around.
    """

    scale: Scale
    operations: list[dict[str, Any]] = field(default_factory=list)
    read_slots: dict[int, int] = field(default_factory=dict)
    writes: list[tuple[int, int]] = field(default_factory=list)
    sees: list[tuple[int, int, int]] = field(default_factory=list)


class Assembler:
    """Puts operations into stages, and what they compute on a stack.

    Args:
        inputs: channels of each input of the network; they are the first grids.

    Attributes:
        grids: all arrays between stages.
        stages: all stages; the last one is being made.
        stack: the values that are still needed, the last of which is the current one.
        arrays: weights and tables to which operations have addresses.
    """

    def __init__(self, inputs: tuple[int, ...]) -> None:
        self.grids = [Grid(whole_panels(n), 1, np.int16) for n in inputs]
        self.stages = [Stage(1)]
        self.stack = [Value(n, 1, (n,), grid=i) for i, n in enumerate(inputs)]
        self.arrays: list[Array] = []

    def push(
        self,
        kind: int,
        x: Value,
        outputs: int,
        *,
        other: Value | None = None,
        parts: tuple[int, ...] | None = None,
        weights: Array | None = None,
        bias: Array | None = None,
        table: Array | None = None,
        shift: int = 0,
        leak: int = 0,
    ) -> None:
        """Add an operation on `x`, whose result comes on the stack.

        Args:
            kind: of operation, from the kernel.
            x: what it reads; no longer on the stack.
            outputs: channels of the result.
            other: a second value that it reads.
            parts: of the result; one, if None.
            weights: packed, with `bias`.
            bias: padded.
            table: factors, not padded, by quality point.
            shift: of the sums.
            leak: of the layer.
        """
        used = [x] if other is None else [x, other]
        if self.stages[-1].scale != x.scale or self._free_buffer(*used) is None:
            self.new_stage(x.scale, *used)
        values = {"source": self.slot_of(x), "other": -1, "shift": shift, "leak": leak}
        if other is not None:
            values["other"] = self.slot_of(other)
        value = Value(outputs, x.scale, parts or (outputs,))
        operation = self.operation(kind, inputs=x.padded, outputs=value.padded, **values)
        if weights is not None and bias is not None:
            operation |= {"weights": self.kept(weights), "bias": self.kept(bias)}
        if table is not None:
            operation["table"] = with_zeros(table, x.padded)
        self.computed(value, x, other)

    def computed(self, value: Value, *used: Value | None) -> None:
        """Give the last operation's result a buffer, and put it on the stack."""
        operation = self.stages[-1].operations[-1]
        buffer = self._free_buffer(*used)
        assert buffer is not None  # a new stage has room
        operation |= {"buffer": buffer, "to": buffer}
        value.slot, value.made_by = buffer, len(self.stages[-1].operations) - 1
        self.stack.append(value)

    def _free_buffer(self, *used: Value | None) -> int | None:
        busy = {value.slot for value in (*self.stack, *used) if value is not None}
        return next((i for i in range(kernel.BUFFERS) if i not in busy), None)

    def has_room(self) -> bool:
        """Whether there is a buffer for one more value."""
        return self._free_buffer() is not None

    def operation(self, kind: int, **values: Any) -> dict[str, Any]:
        """Add one to the current stage."""
        numbers = {"r": 1, "other": -1, "source": 0, "to": 0, "buffer": 0, **values}
        self.stages[-1].operations.append({"kind": kind, **numbers})
        return self.stages[-1].operations[-1]

    def write(self, kind: int, x: Value, r: int, part: int, shift: int = 0) -> None:
        """Add the operation that sets the newest grid from `x`.

        Args:
            kind: WRITE or LEVELS of the kernel.
            x: the value.
            r: cells of the grid for one of `x`, along each axis.
            part: channels of the grid.
            shift: of LEVELS.
        """
        source, grid = self.slot_of(x), len(self.grids) - 1
        self.operation(
            kind, source=source, inputs=x.padded, other=grid, r=r, part=part, shift=shift
        )
        self.stages[-1].writes.append((grid, r))

    def kept(self, array: Array) -> int:
        """The address of a copy that lives as long as the program."""
        copy = kernel.aligned(array.shape, array.dtype)
        copy[...] = array
        self.arrays.append(copy)
        return int(copy.ctypes.data)

    def slot_of(self, value: Value) -> int:
        """Where the current stage has a value; it reads what lies in a grid."""
        if value.slot is None:
            stage = self.stages[-1]
            assert value.grid is not None
            if value.grid not in stage.read_slots:
                stage.read_slots[value.grid] = kernel.BUFFERS + len(stage.read_slots)
                stage.sees.append((value.grid, 1, 0))
            slot = stage.read_slots[value.grid]
            if slot >= kernel.SLOTS:
                raise UnsupportedError("too many values at a time")
            return slot
        return value.slot

    def at(self, x: Value) -> None:
        """Make sure that the current stage has the resolution of `x`."""
        if self.stages[-1].scale != x.scale:
            self.new_stage(x.scale, x)

    def new_stage(self, scale: Scale, *also: Value) -> None:
        """End the current stage; the stack and `also` go to grids."""
        for value in (*self.stack, *also):
            self.to_grid(value)
        for value in (*self.stack, *also):
            value.slot, value.made_by = None, -1
        self.stages.append(Stage(scale))

    def to_grid(self, value: Value) -> None:
        """Give a value of the current stage a grid, if it has none."""
        if value.grid is None:
            self.grids.append(Grid(value.padded, value.scale, np.int16))
            self.write(kernel.WRITE, value, 1, value.padded)
            value.grid = len(self.grids) - 1


def whole_panels(channels: int) -> int:
    """A number of channels with those that fill the last panel of 16."""
    return -(-channels // kernel.PANEL) * kernel.PANEL


def with_zeros(values: Array, channels: int) -> Array:
    """Values for each channel, the last axis, and zeros for those that are padding."""
    whole = kernel.aligned((*values.shape[:-1], channels), values.dtype)
    whole[..., : values.shape[-1]] = values
    whole[..., values.shape[-1] :] = 0
    return whole

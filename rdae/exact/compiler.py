"""A network's steps as stages of the compiled kernel.

Layers are cut into stages where a layer looks beyond a cell, as in `rdae.exact.stages`, and where a
shuffle changes the resolution. Here stands which operations a step becomes; where its values lie is
the business of `rdae.exact.assembler`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from rdae.exact import kernel
from rdae.exact.assembler import Assembler, Grid, UnsupportedError, Value, whole_panels, with_zeros
from rdae.exact.layers import (
    Around,
    ByPhase,
    Centre,
    Depthwise,
    Gain,
    Levels,
    Linear,
    Shuffle,
    Unshuffle,
)
from rdae.exact.stages import Add, Concatenate, Fork, Step, Swap


def compile_steps(steps: Sequence[Step], inputs: tuple[int, ...]) -> Assembler:
    """Compile a network for inputs of certain numbers of channels.

    Args:
        steps: of the network, exact.
        inputs: channels of each input.

    Returns:
        Its stages; the last value of the stack is the network's output, in a grid.

    Raises:
        UnsupportedError: a step has no operation in the kernel.
    """
    asm = Assembler(inputs)
    waiting = list(steps)
    if isinstance(waiting[0] if waiting else None, Centre | Unshuffle | Around):
        asm.grids[-1].channels = inputs[-1]  # nothing else reads it
    if isinstance(waiting[0] if waiting else None, Centre):
        asm.grids[0].dtype = np.uint8
        waiting.pop(0)
        is_fine = bool(waiting) and isinstance(waiting[0], Unshuffle)
        _unshuffle(asm, waiting.pop(0).r if is_fine else 1, kernel.PIXELS)  # type: ignore[union-attr]
    while waiting:
        step = waiting.pop(0)
        if isinstance(step, Levels):
            shuffle = waiting.pop(0) if waiting else None
            if waiting or not (shuffle is None or isinstance(shuffle, Shuffle)):
                raise UnsupportedError(type(step).__name__)
            _levels(asm, step, 1 if shuffle is None else shuffle.r)
        elif isinstance(step, Shuffle) and waiting and isinstance(gain := waiting[0], Gain):
            waiting[0] = step  # the gain comes first, with the layers that stand there
            _compile(asm, Gain(np.tile(gain.table, step.r**2), gain.shift))
        else:
            _compile(asm, step)
    asm.to_grid(asm.stack[-1])
    return asm


def _compile(asm: Assembler, step: Step) -> None:
    """Add what one step does."""
    stack = asm.stack
    match step:
        case Fork():
            stack.append(stack[-1])
        case Swap():
            stack.append(stack.pop(-2))
        case Concatenate():
            second, first = stack.pop(), stack.pop()
            channels, parts = first.channels + second.channels, (*first.parts, *second.parts)
            asm.push(kernel.CONCAT, first, channels, other=second, parts=parts)
        case Add():
            _add(asm)
        case Linear():
            _linear(asm, kernel.LINEAR, [step])
        case ByPhase() if all(isinstance(layer, Linear) for layer in step.layers):
            _linear(asm, kernel.PHASED, step.layers)  # type: ignore[arg-type]
        case Gain():
            x = _whole(stack.pop())
            asm.push(kernel.GAIN, x, x.channels, table=step.table, shift=step.shift)
        case Depthwise():
            _depthwise(asm, step)
        case Around():
            _around(asm, step)
        case Shuffle():
            _shuffle(asm, step.r)
        case Unshuffle():
            _unshuffle(asm, step.r, kernel.UNSHUFFLE)
        case _:
            raise UnsupportedError(type(step).__name__)


def _add(asm: Assembler) -> None:
    b, a = asm.stack.pop(), asm.stack.pop()
    if a.parts != b.parts:
        raise UnsupportedError("sum of values of several parts")
    operations = asm.stages[-1].operations
    made = operations[b.made_by] if b.made_by >= 0 else {}
    can_join = made.get("kind") in (kernel.LINEAR, kernel.GAIN) and made["other"] < 0
    if can_join and a.made_by < b.made_by and all(b is not value for value in asm.stack):
        made["other"] = asm.slot_of(a)  # the layer adds it on its way out
        asm.stack.append(b)
    else:
        asm.push(kernel.ADD, b, b.channels, other=a, parts=b.parts)


def _linear(asm: Assembler, kind: int, layers: Sequence[Linear]) -> None:
    """One layer, or one for each phase, all with as many outputs and the same shift and leak."""
    x = asm.stack.pop()
    weights, biases = [], []
    for layer in layers:
        outputs = layer.bias.size
        whole = np.zeros((x.padded, whole_panels(outputs)), np.int16)
        whole[x.places(), :outputs] = layer.mantissa
        weights.append(kernel.packed(whole))
        biases.append(with_zeros(layer.bias, whole_panels(outputs)))
    asm.push(
        kind,
        x,
        layers[0].bias.size,
        weights=np.concatenate(weights),
        bias=np.concatenate(biases),
        shift=layers[0].shift,
        leak=layers[0].leak,
    )


def _depthwise(asm: Assembler, step: Depthwise) -> None:
    x = _whole(asm.stack.pop())
    asm.to_grid(x)
    assert x.grid is not None
    grid = asm.grids[x.grid]
    grid.border = max(grid.border, step.radius)
    asm.new_stage(x.scale)
    asm.stages[-1].sees.append((x.grid, 1, step.radius))
    size = 2 * step.radius + 1
    weights = np.zeros((size * size, x.padded), np.int16)
    weights[:, : x.channels] = step.mantissa.reshape(size * size, -1)
    asm.operation(
        kernel.DEPTHWISE,
        inputs=x.padded,
        outputs=x.padded,
        other=x.grid,
        r=size,
        shift=step.shift,
        weights=asm.kept(weights),
        bias=asm.kept(with_zeros(step.bias, x.padded)),
    )
    asm.computed(Value(x.channels, x.scale, x.parts))


def _around(asm: Assembler, step: Around) -> None:
    x = _whole(asm.stack.pop())
    asm.to_grid(x)
    assert x.grid is not None
    grid = asm.grids[x.grid]
    grid.border = max(grid.border, step.radius)
    if x.slot is not None or asm.stages[-1].scale != x.scale or not asm.has_room():
        asm.new_stage(x.scale)
    asm.stages[-1].sees.append((x.grid, 1, step.radius))
    size = 2 * step.radius + 1
    is_dense = grid.channels == x.channels
    parts = (size * size * x.channels,) if is_dense else (x.channels,) * size**2
    runs = np.zeros(size, kernel.RUN)  # cells of a row lie side by side
    runs["grid"], runs["values"] = x.grid, size * grid.channels
    runs["row"], runs["column"] = np.arange(size) - step.radius, -step.radius
    value = Value(size * size * x.channels, x.scale, parts)
    asm.operation(kernel.COLLECT, inputs=0, outputs=value.padded, part=size, bias=asm.kept(runs))
    asm.computed(value)


def _shuffle(asm: Assembler, r: int) -> None:
    x = _whole(asm.stack.pop())
    part = x.channels // r**2
    asm.at(x)
    asm.grids.append(Grid(whole_panels(part), x.scale * r, np.int16))
    asm.write(kernel.WRITE, x, r, part)
    asm.stack.append(Value(part, x.scale * r, (part,), grid=len(asm.grids) - 1))
    asm.new_stage(x.scale * r)


def _unshuffle(asm: Assembler, r: int, kind: int) -> None:
    x = _whole(asm.stack.pop())
    asm.to_grid(x)
    assert x.grid is not None
    scale = Fraction(x.scale) / r
    asm.new_stage(scale)
    asm.stages[-1].sees.append((x.grid, r, 0))
    value = Value(x.channels * r**2, scale, (x.channels * r**2,))
    asm.operation(kind, inputs=0, outputs=value.padded, other=x.grid, r=r, part=x.channels)
    asm.computed(value)


def _levels(asm: Assembler, step: Levels, r: int) -> None:
    x = _whole(asm.stack.pop())
    part = x.channels // r**2
    asm.at(x)
    asm.grids.append(Grid(part, x.scale * r, np.uint8))
    asm.write(kernel.LEVELS, x, r, part, shift=step.bits)
    asm.stack.append(Value(part, x.scale * r, (part,), grid=len(asm.grids) - 1))


def _whole(x: Value) -> Value:
    """A value, but refused if padding stands between its channels."""
    if x.padded != whole_panels(x.channels) or any(part % kernel.PANEL for part in x.parts[:-1]):
        raise UnsupportedError("several parts that are no whole panels")
    return x

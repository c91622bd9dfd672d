"""Build an exact network from its spec and the integer tensors of a weights file.

Tensors are named by the layer's path: `<path>.mantissa` int16, `<path>.bias` int32 and
`<path>.shift` int8 for linear and depthwise layers, `<path>.table` int16 and `<path>.shift` for
gains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.errors import WeightsMismatchError
from rdae.exact import kernel
from rdae.exact import layers as nn
from rdae.exact.arithmetic import LARGEST, MAX_SHIFT, prove
from rdae.exact.assembler import UnsupportedError
from rdae.exact.program import Program
from rdae.exact.stages import Add, Fork, Network, Step, Swap
from rdae.geometry import Rectangle
from rdae.network_spec import Layer, Layers, first_layers

Tensors = Mapping[str, NDArray[Any]]


class ExactNetwork:
    """A network on int16 arrays, or bytes: by the compiled kernel, or by NumPy in float64."""

    def __init__(self, steps: Sequence[Step]) -> None:
        """Take its steps, as of `exact_steps`."""
        self._steps = steps
        self._network = Network(steps)
        self._programs: dict[tuple[int, ...], Program | None] = {}  # by channels of the inputs

    def __call__(
        self,
        x: NDArray[Any] | Sequence[NDArray[Any]],
        point: int,
        threads: int = 1,
        wanted: Rectangle | None = None,
        spare: list[NDArray[np.uint8]] | None = None,
    ) -> NDArray[Any]:
        """Run it over a grid, as `rdae.exact.stages.Network` does; results are int16 or bytes.

        `spare` is as of `rdae.exact.program.Program`.
        """
        inputs = [x] if isinstance(x, np.ndarray) else x
        if kernel.selected() != "numpy":
            program = self._program(tuple(v.shape[2] for v in inputs))
            if program is not None:
                return program(inputs, point, max(1, threads), wanted, spare)
        out = self._network([v.astype(np.float64) for v in inputs], point, threads, wanted)
        return out if out.dtype == np.uint8 else out.astype(np.int16)

    def _program(self, channels: tuple[int, ...]) -> Program | None:
        if channels not in self._programs:
            try:
                program = Program(self._steps, channels)
            except UnsupportedError:
                program = None
            self._programs[channels] = program  # two threads may both do it, to the same end
        return self._programs[channels]


def exact_steps(spec: Layers, path: str, tensors: Tensors, *, largest: int = LARGEST) -> list[Step]:
    """The steps of a network, proved to keep all sums in 32 bits.

    Args:
        spec: its layers.
        path: its name.
        tensors: of the weights file.
        largest: magnitude of what the network is given.

    Raises:
        WeightsMismatchError: a tensor is missing, of a wrong shape or type, or a layer's sums
            could reach 2^31.
    """
    bounds = dict.fromkeys(first_layers(spec, path), largest)
    return _steps(spec, path, tensors, bounds)


def take(tensors: Tensors, name: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The tensor of that name, checked.

    Raises:
        WeightsMismatchError: it is missing, or of another type or shape.
    """
    tensor = tensors.get(name)
    if tensor is None:
        raise WeightsMismatchError(f"tensor {name} is missing")
    if tensor.dtype != np.dtype(dtype) or tensor.shape != shape:
        got, wanted = f"{tensor.dtype}{list(tensor.shape)}", f"{dtype}{list(shape)}"
        raise WeightsMismatchError(f"tensor {name} is {got}, {wanted} is wanted")
    return tensor


def take_shift(tensors: Tensors, name: str) -> int:
    """The shift of the tensor `name`, proved to be in 1..28."""
    shift = int(take(tensors, name, "int8", (1,))[0])
    if not 1 <= shift <= MAX_SHIFT:
        raise WeightsMismatchError(f"tensor {name} is {shift}, outside 1..{MAX_SHIFT}")
    return shift


def _steps(spec: Layers, path: str, tensors: Tensors, bounds: dict[str, int]) -> list[Step]:
    return [
        step
        for i, layer in enumerate(spec)
        for step in _layer(layer, f"{path}.{i}", tensors, bounds)
    ]


def _layer(layer: Layer, path: str, tensors: Tensors, bounds: dict[str, int]) -> list[Step]:
    match layer:
        case ["linear", inputs, outputs, *rest]:
            leak = rest[0] if rest else 0
            return [nn.Linear(*_integers(path, (inputs, outputs), tensors, bounds, leak), leak)]
        case ["depthwise", channels, size]:
            shape = (size, size, channels)
            return [nn.Depthwise(*_integers(path, shape, tensors, bounds, 0))]
        case ["gain", channels]:
            table = take(tensors, f"{path}.table", "int16", (256, channels))
            return [nn.Gain(table, take_shift(tensors, f"{path}.shift"))]
        case ["shuffle", r]:
            return [nn.Shuffle(r)]
        case ["unshuffle", r]:
            return [nn.Unshuffle(r)]
        case ["residual", inner]:
            return [Fork(), *_steps(inner, path, tensors, bounds), Add()]
        case ["sum", first, second]:
            return [  # the second, a short way past the first, whose last layer then adds it
                Fork(),
                *_steps(second, f"{path}.1", tensors, bounds),
                Swap(),
                *_steps(first, f"{path}.0", tensors, bounds),
                Add(),
            ]
    raise WeightsMismatchError(f"layer {path} is of an unknown kind")


def _integers(
    path: str, shape: tuple[int, ...], tensors: Tensors, bounds: dict[str, int], leak: int
) -> tuple[NDArray[Any], NDArray[Any], int]:
    """Mantissas, bias and shift of a linear or depthwise layer, proved."""
    mantissa = take(tensors, f"{path}.mantissa", "int16", shape)
    bias = take(tensors, f"{path}.bias", "int32", shape[-1:])
    shift = take_shift(tensors, f"{path}.shift")
    prove(path, mantissa, bias, shift, leak, bounds.get(path, LARGEST))
    return mantissa, bias, shift

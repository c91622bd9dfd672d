"""Build a NumPy network from its spec and the integer tensors of a weights file.

Tensors are named by the layer's path. Of the decoder's networks: `<path>.mantissa` int16,
`<path>.bias` int32 and `<path>.shift` int8 for linear and depthwise layers, `<path>.table` int16
and `<path>.shift` for gains. The encoder's are floats in all but name: a shift for each output,
biases and gains in float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.errors import WeightsMismatchError
from rdae.exact import layers as nn
from rdae.exact.arithmetic import MAX_SHIFT, prove
from rdae.exact.stages import Add, Fork, Network, Step, Swap
from rdae.geometry import Rectangle
from rdae.network_spec import Layer, Layers

Tensors = Mapping[str, NDArray[Any]]


class ExactNetwork:
    """A decoder's network on int16 arrays, carried in float64."""

    def __init__(self, steps: Sequence[Step]) -> None:
        """Take its steps, as of `exact_steps`."""
        self._network = Network(steps)

    def __call__(
        self,
        x: NDArray[np.int16] | Sequence[NDArray[np.int16]],
        point: int,
        threads: int = 1,
        wanted: Rectangle | None = None,
    ) -> NDArray[Any]:
        """Run it over a grid, as `rdae.exact.stages.Network` does; results are int16 or bytes."""
        inputs = [x] if isinstance(x, np.ndarray) else x
        out = self._network([v.astype(np.float64) for v in inputs], point, threads, wanted)
        return out if out.dtype == np.uint8 else out.astype(np.int16)


def exact_steps(spec: Layers, path: str, tensors: Tensors) -> list[Step]:
    """The steps of a decoder network, proved to keep all sums in 32 bits.

    Raises:
        WeightsMismatchError: a tensor is missing, of a wrong shape or type, or a layer's sums
            could reach 2^31.
    """
    return _steps(spec, path, tensors, exact=True)


def build_float(spec: Layers, path: str, tensors: Tensors) -> Network:
    """Build an encoder network in float32, in real units.

    Raises:
        WeightsMismatchError: a tensor is missing or of a wrong shape or type.
    """
    return Network(_steps(spec, path, tensors, exact=False))


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


def _steps(spec: Layers, path: str, tensors: Tensors, *, exact: bool) -> list[Step]:
    return [
        step
        for i, layer in enumerate(spec)
        for step in _layer(layer, f"{path}.{i}", tensors, exact=exact)
    ]


def _layer(layer: Layer, path: str, tensors: Tensors, *, exact: bool) -> list[Step]:
    affine = _exact_affine if exact else _float_affine
    match layer:
        case ["linear", inputs, outputs, *leak]:
            weight, bias = affine(path, (inputs, outputs), tensors, leak[0] if leak else 0)
            return [nn.Linear(weight, bias, 2.0 ** -leak[0] if leak else None, exact)]
        case ["depthwise", channels, size]:
            return [nn.Depthwise(*affine(path, (size, size, channels), tensors, 0), exact)]
        case ["gain", channels]:
            kind = "int16" if exact else "float32"
            table = take(tensors, f"{path}.table", kind, (256, channels))
            if exact:
                table = table * 2.0 ** -take_shift(tensors, f"{path}.shift")
            return [nn.Gain(table, exact)]
        case ["shuffle", r]:
            return [nn.Shuffle(r)]
        case ["unshuffle", r]:
            return [nn.Unshuffle(r)]
        case ["residual", inner]:
            return [Fork(), *_steps(inner, path, tensors, exact=exact), Add(exact)]
        case ["sum", first, second]:
            return [
                Fork(),
                *_steps(first, f"{path}.0", tensors, exact=exact),
                Swap(),
                *_steps(second, f"{path}.1", tensors, exact=exact),
                Add(exact),
            ]
    raise WeightsMismatchError(f"layer {path} is of an unknown kind")


def _exact_affine(
    path: str, shape: tuple[int, ...], tensors: Tensors, leak: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weight and bias of a linear or depthwise layer, times 2^-shift, ready to run."""
    mantissa = take(tensors, f"{path}.mantissa", "int16", shape)
    bias = take(tensors, f"{path}.bias", "int32", shape[-1:])
    shift = take_shift(tensors, f"{path}.shift")
    prove(path, mantissa, bias, shift, leak)
    return mantissa * 2.0**-shift, bias * 2.0**-shift


def _float_affine(
    path: str, shape: tuple[int, ...], tensors: Tensors, leak: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    mantissa = take(tensors, f"{path}.mantissa", "int16", shape)
    bias = take(tensors, f"{path}.bias", "float32", shape[-1:])
    shift = take(tensors, f"{path}.shift", "int8", shape[-1:]).astype(int)
    return np.ldexp(mantissa.astype(np.float32), -shift), bias

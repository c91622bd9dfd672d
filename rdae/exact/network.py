"""Build a NumPy network from its spec and the integer tensors of a weights file.

Tensors are named by the layer's path: `<path>.mantissa` int16, `<path>.bias` int64 and
`<path>.shift` int8 for linear and depthwise layers, `<path>.table` int32 and `<path>.shift` for
gains. Integers stand for multiples of 2^-12 (`UNIT_BITS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.errors import WeightsMismatchError
from rdae.exact import layers as nn
from rdae.exact.stages import Add, Fork, Network, Step, Swap
from rdae.network_spec import Layer, Layers

UNIT_BITS = 12  # a feature's integer a stands for a * 2^-12
LIMIT = (1 << 22) - 1  # largest magnitude of a feature or latent
EXACT_BOUND = 1 << 53  # float64 holds every integer below this
MAX_SHIFT = 30

Tensors = Mapping[str, NDArray[Any]]


def build_exact(spec: Layers, path: str, tensors: Tensors) -> Network:
    """Build a decoder network and prove that float64 carries it without rounding.

    Raises:
        WeightsMismatchError: a tensor is missing, of a wrong shape or type, or a layer's sums
            could reach 2^53.
    """
    return Network(_steps(spec, path, tensors, exact=True))


def build_float(spec: Layers, path: str, tensors: Tensors) -> Network:
    """Build an encoder network in float32, in real units instead of multiples of 2^-12.

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


def take_shift(tensors: Tensors, name: str, count: int) -> NDArray[Any]:
    """Shifts of the tensor `name`, each proved to be in 0..30, as factors 2^-shift."""
    shift = take(tensors, name, "int8", (count,)).astype(np.int64)
    if shift.min() < 0 or shift.max() > MAX_SHIFT:
        raise WeightsMismatchError(f"tensor {name} is outside 0..{MAX_SHIFT}")
    return np.ldexp(1.0, -shift)


def _steps(spec: Layers, path: str, tensors: Tensors, *, exact: bool) -> list[Step]:
    return [
        step
        for i, layer in enumerate(spec)
        for step in _layer(layer, f"{path}.{i}", tensors, exact=exact)
    ]


def _layer(layer: Layer, path: str, tensors: Tensors, *, exact: bool) -> list[Step]:
    limit = LIMIT if exact else None
    match layer:
        case ["linear", inputs, outputs, *leak]:
            weight, bias = _affine(path, (inputs, outputs), tensors, exact=exact)
            slope = 2.0 ** -leak[0] if leak else None
            return [nn.Linear(weight, bias, slope, limit)]
        case ["depthwise", channels, size]:
            weight, bias = _affine(path, (size, size, channels), tensors, exact=exact)
            return [nn.Depthwise(weight, bias, limit)]
        case ["gain", channels]:
            return [nn.Gain(_gain_table(path, channels, tensors, exact=exact), limit)]
        case ["shuffle", r]:
            return [nn.Shuffle(r)]
        case ["unshuffle", r]:
            return [nn.Unshuffle(r)]
        case ["residual", inner]:
            return [Fork(), *_steps(inner, path, tensors, exact=exact), Add(limit)]
        case ["sum", first, second]:
            return [
                Fork(),
                *_steps(first, f"{path}.0", tensors, exact=exact),
                Swap(),
                *_steps(second, f"{path}.1", tensors, exact=exact),
                Add(limit),
            ]
    raise WeightsMismatchError(f"layer {path} is of an unknown kind")


def _affine(
    path: str, shape: tuple[int, ...], tensors: Tensors, *, exact: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weight and bias of a linear or depthwise layer, times 2^-shift, ready to run."""
    mantissa = take(tensors, f"{path}.mantissa", "int16", shape)
    bias = take(tensors, f"{path}.bias", "int64", shape[-1:])
    scale = take_shift(tensors, f"{path}.shift", shape[-1])
    if exact:
        # FORMAT.md "Exact arithmetic": sum|m| * amax + |b| < 2^53, in exact integers: a layer has
        # at most 2^20 inputs, so the products stay below 2^58
        fan_in = tuple(range(mantissa.ndim - 1))
        products = np.abs(mantissa, dtype=np.int64).sum(fan_in) * LIMIT
        room = EXACT_BOUND - products
        for bad in np.flatnonzero((bias >= room) | (bias <= -room)):
            worst = int(products[bad]) + abs(int(bias[bad]))
            raise WeightsMismatchError(f"layer {path} may sum up to {worst}, which is not exact")
        return mantissa * scale, bias * scale
    weight = (mantissa * scale).astype(np.float32)
    return weight, (bias * scale * 2.0**-UNIT_BITS).astype(np.float32)


def _gain_table(path: str, channels: int, tensors: Tensors, *, exact: bool) -> NDArray[Any]:
    table = take(tensors, f"{path}.table", "int32", (256, channels))
    scale = take_shift(tensors, f"{path}.shift", 1)
    # an int32 factor times a feature below 2^22 stays below 2^53: nothing to prove
    factors = np.asarray(table * scale)
    return factors if exact else factors.astype(np.float32)

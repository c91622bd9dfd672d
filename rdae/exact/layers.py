"""NumPy layers, built from a spec; the twins of `rdae.autoencoder.layers`.

A layer is called as `layer(x, point)` with `x` of shape `(rows, columns, channels)`, a part of the
grid, and the quality point, an int that only gains read. It never writes to `x`. Only `Depthwise`
looks beyond a cell; what that takes is the business of `rdae.exact.stages`.

Exact layers (FORMAT.md, section "Exact arithmetic") hold int16 features in float64. Their weights
are stored times 2^-shift: scaling by a power of two loses nothing, and saves a pass over the
output. As all sums stay below 2^31 units of 2^-shift, every operation but the one rounding down is
exact, so the order of summation, FMA, BLAS and threads cannot matter; halves go up, since a half
is part of the bias. Float layers are the same without rounding and saturation, in float32; only the
encoder uses them.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from rdae.exact.arithmetic import HIGHEST, LOWEST

Array = NDArray[Any]

# A vector with a value per channel is kept this many times in a row and applied to as many cells
# at once: NumPy's loops over 48 or 96 channels would spend half of their time on starting.
REPEAT = 16


class Layer(Protocol):
    """A function of a part of the grid and a quality point."""

    def __call__(self, x: Array, point: int) -> Array:
        """Apply the layer to `(rows, columns, channels)`."""


def settle(x: Array, exact: bool) -> Array:
    """Round down and saturate, in place; nothing at all for float layers."""
    if exact:
        np.floor(x, out=x)
        saturate(x)
    return x


def saturate(x: Array) -> Array:
    """Clip contiguous integers to those of 16 bits, in place."""
    return np.clip(x, LOWEST, HIGHEST, out=x)


def several_cells(x: Array, repeated: Array) -> tuple[Array, Array]:
    """Several cells of contiguous `x` in a row, and a value for each entry of such a row.

    Args:
        x: `(..., channels)`.
        repeated: `(REPEAT * channels,)`, a value per channel `REPEAT` times.
    """
    channels = x.shape[-1]
    some = math.gcd(x.size // channels, REPEAT) * channels
    return x.reshape(-1, some), repeated[:some]


def add_to_cells(x: Array, repeated: Array) -> None:
    """Add a vector, given `REPEAT` times, to every cell of contiguous `(..., channels)`."""
    wide, values = several_cells(x, repeated)
    wide += values


class Linear:
    """Pointwise linear layer, optionally with a leaky ReLU before the rounding.

    Args:
        weight: `(inputs, outputs)`, times 2^-shift.
        bias: `(outputs,)`, times 2^-shift; of an exact layer with the half of the rounding.
        slope: 2^-leak, or None for no leaky ReLU.
        exact: whether results are rounded and saturate.

    Attributes:
        integers: of an exact layer mantissas, bias, shift and leak (0 for none).
    """

    def __init__(self, weight: Array, bias: Array, slope: float | None, exact: bool) -> None:
        self.weight, self.bias, self.slope, self.exact = weight, bias, slope, exact
        self._biases = np.tile(bias, REPEAT)
        self.integers: tuple[Array, Array, int, int] | None = None

    @classmethod
    def of_integers(cls, mantissa: Array, bias: Array, shift: int, leak: int) -> Linear:
        """An exact layer, carried in float64."""
        slope = 2.0**-leak if leak else None
        layer = cls(mantissa * 2.0**-shift, bias * 2.0**-shift, slope, True)
        layer.integers = mantissa, bias, shift, leak
        return layer

    def __call__(self, x: Array, point: int) -> Array:
        rows, columns, inputs = x.shape
        out: Array = x.reshape(-1, inputs) @ self.weight
        add_to_cells(out, self._biases)
        if self.slope is not None:
            low = out * self.slope
            if self.exact:
                low += (1 - self.slope) / 2  # the larger shift rounds by its own half
            np.maximum(out, low, out=out)
        return settle(out, self.exact).reshape(rows, columns, out.shape[1])

    def outputs(self, channels: NDArray[np.intp]) -> Linear:
        """A layer that computes some of the output channels only."""
        assert self.integers is not None
        mantissa, bias, shift, leak = self.integers
        return Linear.of_integers(
            np.ascontiguousarray(mantissa[:, channels]), bias[channels], shift, leak
        )


class Depthwise:
    """One size x size filter per channel, zero padding.

    Args:
        weight: `(size, size, channels)`, times 2^-shift.
        bias: `(channels,)`, as in `Linear`.
        exact: as in `Linear`.

    Attributes:
        radius: how many cells it sees beyond each edge of its output.
        integers: of an exact layer mantissas, bias and shift.
    """

    def __init__(self, weight: Array, bias: Array, exact: bool) -> None:
        self.exact, self.radius = exact, weight.shape[0] // 2
        self.integers: tuple[Array, Array, int] | None = None
        self._weights, self._biases = np.tile(weight, REPEAT), np.tile(bias, REPEAT)

    @classmethod
    def of_integers(cls, mantissa: Array, bias: Array, shift: int) -> Depthwise:
        """An exact layer, carried in float64."""
        layer = cls(mantissa * 2.0**-shift, bias * 2.0**-shift, True)
        layer.integers = mantissa, bias, shift
        return layer

    def __call__(self, x: Array, point: int) -> Array:
        r = self.radius
        return self.filter(np.pad(x, ((r, r), (r, r), (0, 0))))

    def filter(self, x: Array) -> Array:
        """The result for all of `x` but an edge as wide as `radius`, which is only seen."""
        size = 2 * self.radius + 1
        rows, columns, channels = x.shape[0] - size + 1, x.shape[1] - size + 1, x.shape[2]
        some = math.gcd(columns, REPEAT)
        down, right, one = x.strides
        # einsum multiplies and adds in one pass over memory, several cells in each run of its loop
        seen = as_strided(
            x,
            (size, size, rows, columns // some, some * channels),
            (down, right, down, some * right, one),
            writeable=False,
        )
        out = np.empty((rows, columns // some, some * channels), x.dtype)
        np.einsum("ijrcn,ijn->rcn", seen, self._weights[..., : some * channels], out=out)
        add_to_cells(out.reshape(-1, channels), self._biases)
        return settle(out, self.exact).reshape(rows, columns, channels)


class Gain:
    """Per-channel factor by quality point.

    Args:
        table: `(256, channels)`, times 2^-shift.
        exact: as in `Linear`.

    Attributes:
        integers: of an exact layer the table and its shift.
    """

    def __init__(self, table: Array, exact: bool) -> None:
        self.table, self.exact = table, exact
        self.integers: tuple[Array, int] | None = None

    @classmethod
    def of_integers(cls, table: Array, shift: int) -> Gain:
        """An exact layer, carried in float64."""
        layer = cls(table * 2.0**-shift, True)
        layer.integers = table, shift
        return layer

    def __call__(self, x: Array, point: int) -> Array:
        wide, factors = several_cells(x, np.tile(self.table[point], REPEAT))
        out: Array = wide * factors
        if self.exact:
            out += 0.5
        return settle(out, self.exact).reshape(x.shape)


class Shuffle:
    """Depth to space: channel (i * r + j) * c + k goes to row y * r + i, column x * r + j."""

    def __init__(self, r: int) -> None:
        self.r = r

    def __call__(self, x: Array, point: int) -> Array:
        h, w, c = x.shape
        r, c = self.r, c // self.r**2
        return x.reshape(h, w, r, r, c).transpose(0, 2, 1, 3, 4).reshape(h * r, w * r, c)


class Unshuffle:
    """Space to depth, the inverse of `Shuffle`."""

    def __init__(self, r: int) -> None:
        self.r = r

    def __call__(self, x: Array, point: int) -> Array:
        h, w, c = x.shape
        r = self.r
        x = x.reshape(h // r, r, w // r, r, c).transpose(0, 2, 1, 3, 4)
        return x.reshape(h // r, w // r, r * r * c)


class Channels:
    """Some of the channels, in the given order."""

    def __init__(self, channels: NDArray[np.intp]) -> None:
        self.channels = channels

    def __call__(self, x: Array, point: int) -> Array:
        return x[..., self.channels]


class ByPhase:
    """A layer for each of the four phases, 2 * (row % 2) + column % 2, of the cells."""

    def __init__(self, layers: list[Layer]) -> None:
        self.layers = layers

    def __call__(self, x: Array, point: int) -> Array:
        parts = [self.layers[p](x[p // 2 :: 2, p % 2 :: 2], point) for p in range(4)]
        out = np.empty((*x.shape[:2], parts[0].shape[2]), parts[0].dtype)
        for p, part in enumerate(parts):
            out[p // 2 :: 2, p % 2 :: 2] = part
        return out


class Levels:
    """Numbers in units of 2^-bits to bytes, halves up, clipped to 0..255."""

    def __init__(self, bits: int) -> None:
        self.bits, self.factor = bits, 2.0**-bits

    def __call__(self, x: Array, point: int) -> Array:
        x = np.floor(x * self.factor + 0.5)
        return np.clip(x, 0, 255, out=x).astype(np.uint8)

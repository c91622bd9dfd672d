"""NumPy layers, built from a spec; the twins of `rdae.autoencoder.layers`.

A layer is called as `layer(x, point)` with `x` of shape `(rows, columns, channels)`, a part of the
grid, and the quality point, an int that only gains read. It never writes to `x`. Only `Depthwise`
and `Around` look beyond a cell; what that takes is the business of `rdae.exact.stages`.

They hold int16 features in float64 (FORMAT.md, section "Exact arithmetic"). Weights are stored
times 2^-shift: scaling by a power of two loses nothing, and saves a pass over the output. As all
sums stay below 2^31 units of 2^-shift, every operation but the one rounding down is exact, so the
order of summation, FMA, BLAS and threads cannot matter; halves go up, since a half is part of the
bias.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from rdae.exact.arithmetic import HIGHEST, LOWEST, PIXEL_LARGEST

Array = NDArray[Any]

# A vector with a value per channel is kept this many times in a row and applied to as many cells
# at once: NumPy's loops over 48 or 96 channels would spend half of their time on starting.
REPEAT = 16


class Layer(Protocol):
    """A function of a part of the grid and a quality point."""

    def __call__(self, x: Array, point: int) -> Array:
        """Apply the layer to `(rows, columns, channels)`."""


def settle(x: Array) -> Array:
    """Round down and saturate, in place."""
    np.floor(x, out=x)
    return saturate(x)


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
        mantissa: `(inputs, outputs)` int16.
        bias: `(outputs,)` int32, with the half of the rounding.
        shift: bits that are dropped.
        leak: k of a leaky ReLU of slope 2^-k, 0 for none.
    """

    def __init__(self, mantissa: Array, bias: Array, shift: int, leak: int) -> None:
        self.mantissa, self.bias, self.shift, self.leak = mantissa, bias, shift, leak

    @cached_property
    def _weight(self) -> Array:
        return self.mantissa * 2.0**-self.shift

    @cached_property
    def _biases(self) -> Array:
        return np.tile(self.bias * 2.0**-self.shift, REPEAT)

    def __call__(self, x: Array, point: int) -> Array:
        rows, columns, inputs = x.shape
        out: Array = x.reshape(-1, inputs) @ self._weight
        add_to_cells(out, self._biases)
        if self.leak:
            slope = 2.0**-self.leak
            low = out * slope
            low += (1 - slope) / 2  # the larger shift rounds by its own half
            np.maximum(out, low, out=out)
        return settle(out).reshape(rows, columns, out.shape[1])

    def outputs(self, channels: NDArray[np.intp]) -> Linear:
        """A layer that computes some of the output channels only."""
        mantissa = np.ascontiguousarray(self.mantissa[:, channels])
        return Linear(mantissa, self.bias[channels], self.shift, self.leak)


class Depthwise:
    """One size x size filter per channel, zero padding.

    Args:
        mantissa: `(size, size, channels)` int16.
        bias: `(channels,)`, as in `Linear`.
        shift: bits that are dropped.

    Attributes:
        radius: how many cells it sees beyond each edge of its output.
    """

    def __init__(self, mantissa: Array, bias: Array, shift: int) -> None:
        self.mantissa, self.bias, self.shift = mantissa, bias, shift
        self.radius = mantissa.shape[0] // 2

    @cached_property
    def _weights(self) -> Array:
        return np.tile(self.mantissa * 2.0**-self.shift, REPEAT)

    @cached_property
    def _biases(self) -> Array:
        return np.tile(self.bias * 2.0**-self.shift, REPEAT)

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
        return settle(out).reshape(rows, columns, channels)


class Around:
    """All channels of the cells around each, row by row, zeros beyond the edges.

    Args:
        radius: how many cells it sees beyond each edge of its output.
    """

    def __init__(self, radius: int) -> None:
        self.radius = radius

    def __call__(self, x: Array, point: int) -> Array:
        r = self.radius
        return self.filter(np.pad(x, ((r, r), (r, r), (0, 0))))

    def filter(self, x: Array) -> Array:
        """The result for all of `x` but an edge as wide as `radius`, which is only seen."""
        size = 2 * self.radius + 1
        rows, columns, channels = x.shape[0] - size + 1, x.shape[1] - size + 1, x.shape[2]
        down, right, one = x.strides
        # the cells of a row lie side by side, so that they are moved together
        shape, strides = (rows, columns, size, size * channels), (down, right, down, one)
        seen = as_strided(x, shape, strides, writeable=False)
        return seen.reshape(rows, columns, size**2 * channels)


class Gain:
    """Per-channel factor by quality point.

    Args:
        table: `(256, channels)` int16.
        shift: bits that are dropped.
    """

    def __init__(self, table: Array, shift: int) -> None:
        self.table, self.shift = table, shift

    def __call__(self, x: Array, point: int) -> Array:
        wide, factors = several_cells(x, np.tile(self.table[point] * 2.0**-self.shift, REPEAT))
        out: Array = wide * factors
        out += 0.5
        return settle(out).reshape(x.shape)


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


class Centre:
    """Bytes to features that an analysis reads."""

    def __call__(self, x: Array, point: int) -> Array:
        return x * 2.0 - PIXEL_LARGEST


class Levels:
    """Numbers in units of 2^-bits to bytes, halves up, clipped to 0..255."""

    def __init__(self, bits: int) -> None:
        self.bits, self.factor = bits, 2.0**-bits

    def __call__(self, x: Array, point: int) -> Array:
        x = np.floor(x * self.factor + 0.5)
        return np.clip(x, 0, 255, out=x).astype(np.uint8)

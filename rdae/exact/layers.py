"""NumPy layers, built from a spec; the twins of `rdae.autoencoder.layers`.

A layer is called as `layer(x, point)` with `x` of shape `(rows, columns, channels)`, a part of the
grid, and the quality point, an int that only gains read. It never writes to `x`. Only `Depthwise`
looks beyond a cell; what that takes is the business of `rdae.exact.stages`.

Exact layers (FORMAT.md, section "Exact arithmetic") hold integers in float64. Their weights are
stored times 2^-shift: scaling by a power of two loses nothing, and saves a pass over the output.
As all sums stay below 2^53 units of 2^-shift, every operation but the one rounding is exact, so
the order of summation, FMA, BLAS and threads cannot matter. Float layers (`limit` None) are the
same without rounding and clipping, in float32; only the encoder uses them.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Array = NDArray[Any]

# A vector with a value per channel is kept this many times in a row and applied to as many cells
# at once: NumPy's loops over 48 or 96 channels would spend half of their time on starting.
REPEAT = 16


class Layer(Protocol):
    """A function of a part of the grid and a quality point."""

    def __call__(self, x: Array, point: int) -> Array:
        """Apply the layer to `(rows, columns, channels)`."""


def round_and_clip(x: Array, limit: int | None) -> Array:
    """Round half to even and clip to +-limit, in place; nothing at all for float layers."""
    if limit is not None:
        np.rint(x, out=x)
        clip(x, limit)
    return x


def clip(x: Array, limit: int) -> Array:
    """Clip contiguous integers to +-limit, in place."""
    # There is hardly ever anything to clip, and the sum of squares says so in a sixth of the time.
    # It is right to 10 digits; the square of an integer beyond the limit is 2^-21 above limit^2.
    # "not <=" clips also where it is no number, in parts with cells that nobody reads.
    flat = x.ravel()
    if not np.dot(flat, flat) <= limit * limit:
        np.clip(x, -limit, limit, out=x)
    return x


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
        weight: `(inputs, outputs)`, times 2^-shift per output.
        bias: `(outputs,)`, times 2^-shift.
        slope: 2^-leak, or None for no leaky ReLU.
        limit: largest magnitude of the result, or None for a float layer.
    """

    def __init__(self, weight: Array, bias: Array, slope: float | None, limit: int | None) -> None:
        self.weight, self.bias, self.slope, self.limit = weight, bias, slope, limit
        self._biases = np.tile(bias, REPEAT)

    def __call__(self, x: Array, point: int) -> Array:
        rows, columns, inputs = x.shape
        out: Array = x.reshape(-1, inputs) @ self.weight
        add_to_cells(out, self._biases)
        if self.slope is not None:
            np.maximum(out, out * self.slope, out=out)
        return round_and_clip(out, self.limit).reshape(rows, columns, out.shape[1])

    def outputs(self, channels: NDArray[np.intp]) -> Linear:
        """A layer that computes some of the output channels only."""
        weight = np.ascontiguousarray(self.weight[:, channels])
        return Linear(weight, self.bias[channels], self.slope, self.limit)


class Depthwise:
    """One size x size filter per channel, zero padding.

    Args:
        weight: `(size, size, channels)`, times 2^-shift per channel.
        bias: `(channels,)`, times 2^-shift.
        limit: as in `Linear`.

    Attributes:
        radius: how many cells it sees beyond each edge of its output.
    """

    def __init__(self, weight: Array, bias: Array, limit: int | None) -> None:
        self.limit, self.radius = limit, weight.shape[0] // 2
        self._weights, self._biases = np.tile(weight, REPEAT), np.tile(bias, REPEAT)

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
        return round_and_clip(out, self.limit).reshape(rows, columns, channels)


class Gain:
    """Per-channel factor by quality point.

    Args:
        table: `(256, channels)`, times 2^-shift.
        limit: as in `Linear`.
    """

    def __init__(self, table: Array, limit: int | None) -> None:
        self.table, self.limit = table, limit

    def __call__(self, x: Array, point: int) -> Array:
        wide, factors = several_cells(x, np.tile(self.table[point], REPEAT))
        return round_and_clip(wide * factors, self.limit).reshape(x.shape)


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
    """Numbers in units of 2^-bits to bytes, rounded half to even and clipped to 0..255."""

    def __init__(self, bits: int) -> None:
        self.factor = 2.0**-bits

    def __call__(self, x: Array, point: int) -> Array:
        x = np.rint(x * self.factor)
        return np.clip(x.astype(np.int32), 0, 255).astype(np.uint8)

"""NumPy layers, built from a spec; the twins of `rdae.autoencoder.layers`.

Every layer is called as `layer(x, point)` with `x` of shape `(rows, columns, channels)` and the
quality point, an int that only gains read. A layer may overwrite its own temporaries, never `x`.

Exact layers (FORMAT.md, section "Exact arithmetic") hold integers in float64. Their weights are
stored times 2^-shift: scaling by a power of two loses nothing, and saves a pass over the output.
As all sums stay below 2^53 units of 2^-shift, every operation but the one rounding is exact, so
the order of summation, FMA, BLAS and threads cannot matter. Float layers (`limit` None) are the
same without rounding and clipping, in float32; only the encoder uses them.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK_VALUES = 1 << 16  # half a megabyte of float64


class Layer(Protocol):
    """A function of an array and a quality point."""

    def __call__(self, x: Array, point: int) -> Array:
        """Apply the layer to `(rows, columns, channels)`."""


def round_and_clip(x: Array, limit: int | None) -> Array:
    """Round half to even and clip to +-limit, in place; nothing at all for float layers."""
    if limit is not None:
        np.rint(x, out=x)
        clip(x, limit)
    return x


def clip(x: Array, limit: int) -> Array:
    """Clip to +-limit in place; two vectorised passes are faster than `np.clip`."""
    np.minimum(x, limit, out=x)
    return np.maximum(x, -limit, out=x)


def bands(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Cut the rows of `(rows, columns, channels)` into bands that stay in the cache."""
    rows, columns, channels = shape
    height = max(1, BLOCK_VALUES // (columns * channels))
    return [(top, min(top + height, rows)) for top in range(0, rows, height)]


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

    def __call__(self, x: Array, point: int) -> Array:
        rows, columns, inputs = x.shape
        outputs = self.weight.shape[1]
        flat = x.reshape(-1, inputs)
        out = np.empty((len(flat), outputs), x.dtype)
        # in blocks that stay in the cache from the product to the rounding
        step = max(64, BLOCK_VALUES // outputs)
        for first in range(0, len(flat), step):
            part = out[first : first + step]
            np.matmul(flat[first : first + step], self.weight, out=part)
            part += self.bias
            if self.slope is not None:
                np.maximum(part, part * self.slope, out=part)
            round_and_clip(part, self.limit)
        return out.reshape(rows, columns, outputs)


class Depthwise:
    """One size x size filter per channel, zero padding.

    Args:
        weight: `(size, size, channels)`, times 2^-shift per channel.
        bias: `(channels,)`, times 2^-shift.
        limit: as in `Linear`.
    """

    def __init__(self, weight: Array, bias: Array, limit: int | None) -> None:
        self.weight, self.bias, self.limit = weight, bias, limit

    def __call__(self, x: Array, point: int) -> Array:
        out = np.empty_like(x)
        for top, bottom in bands(x.shape):
            self.rows(x, top, bottom, out[top:bottom])
        return out

    def rows(self, x: Array, top: int, bottom: int, out: Array) -> None:
        """Write the rows [top, bottom) of the layer's result over all of `x` to `out`."""
        rows, columns, channels = x.shape
        size = self.weight.shape[0]
        r = size // 2
        padded = np.zeros((bottom - top + 2 * r, columns + 2 * r, channels), x.dtype)
        first, last = max(0, top - r), min(rows, bottom + r)
        padded[first - top + r : last - top + r, r : r + columns] = x[first:last]
        out[:] = self.bias
        term = np.empty_like(out)
        for i in range(size):
            for j in range(size):
                seen = padded[i : i + bottom - top, j : j + columns]
                np.multiply(seen, self.weight[i, j], out=term)
                out += term
        round_and_clip(out, self.limit)


class Gain:
    """Per-channel factor by quality point.

    Args:
        table: `(256, channels)`, times 2^-shift.
        limit: as in `Linear`.
    """

    def __init__(self, table: Array, limit: int | None) -> None:
        self.table, self.limit = table, limit

    def __call__(self, x: Array, point: int) -> Array:
        return round_and_clip(x * self.table[point], self.limit)


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


class Sequence:
    """Layers in order."""

    def __init__(self, layers: list[Layer]) -> None:
        self.layers = layers

    def __call__(self, x: Array, point: int) -> Array:
        for layer in self.layers:
            x = layer(x, point)
        return x


class Residual(Sequence):
    """x + f(x), saturating."""

    def __init__(self, layers: list[Layer], limit: int | None) -> None:
        super().__init__(layers)
        self.limit = limit

    def __call__(self, x: Array, point: int) -> Array:
        first, rest = self.layers[0], self.layers[1:]
        if not isinstance(first, Depthwise) or not all(isinstance(f, Linear) for f in rest):
            return self._add(super().__call__(x, point), x)
        # a filter and pointwise layers: band by band, so that nothing between them leaves the cache
        out = np.empty_like(x)
        for top, bottom in bands(x.shape):
            part = np.empty_like(x[top:bottom])
            first.rows(x, top, bottom, part)
            for layer in rest:
                part = layer(part, point)
            out[top:bottom] = self._add(part, x[top:bottom])
        return out

    def _add(self, part: Array, x: Array) -> Array:
        out = part + x
        return out if self.limit is None else clip(out, self.limit)


class Sum:
    """f(x) + g(x), saturating."""

    def __init__(self, first: Sequence, second: Sequence, limit: int | None) -> None:
        self.first, self.second, self.limit = first, second, limit

    def __call__(self, x: Array, point: int) -> Array:
        # not in place: an empty branch returns its input itself
        out = self.first(x, point) + self.second(x, point)
        return out if self.limit is None else clip(out, self.limit)

"""One colour of a pass: from networks and filters to means, scales and tables, and its pixels.

    mean  = reference + generic filter + the tile's own filter
            + factors * differences and errors of the same pixel's colours before + the network
    scale = the network's row, corrected by the tile's parameters; shape likewise

By the compiled kernel, or by NumPy with the same integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.exact import kernel
from rdae.exact.kernel import lossless as compiled
from rdae.lossless.parameters import COEFFICIENT_BITS, FACTOR_BITS, Parameters, factor_index
from rdae.lossless.pyramid import COLOURS, FRACTION_BITS
from rdae.lossless.tables import NUM_SCALES, NUM_SHAPES, table_index

Array = NDArray[Any]

ONE = 1 << FRACTION_BITS
LARGEST_MEAN = 255 * ONE
NORMALISED_BITS = 6  # of the product of an error and an inverse scale
NORMALISED_FRACTION = 12  # bits behind the point of a normalised error
LARGEST_NORMALISED = 6 << NORMALISED_FRACTION  # six standard deviations
UNIT_BITS = 7  # of rows and shapes
PHASE_BITS = 4  # of a mean, within one of eight phases
DIFFERENCE, ERROR, NORMALISED = 0, 3, 6  # the first of their channels in what a pass adds


@dataclass
class Prediction:
    """Of one colour of all cells, each `(rows, columns)`.

    Attributes:
        mean: int16 in 1/128 level, 0 to 32640.
        scales: uint8, rows of scales, 0 to 47.
        tables: uint16.
    """

    mean: NDArray[np.int16]
    scales: NDArray[np.uint8]
    tables: NDArray[np.uint16]


@dataclass
class Seen:
    """What the pixels of all cells are predicted from.

    Attributes:
        reference: `(rows, columns, 3)` int16 in 1/128 level.
        linear: likewise, what the generic filter adds to it.
        same: `(3,)` int32, what a colour's difference adds to a later one's mean in any tile.
        added: `(rows, columns, 9)` int16: difference from the reference, error, and normalised
            error of each colour, as far as they are known.
    """

    reference: NDArray[np.int16]
    linear: NDArray[np.int16]
    same: Array
    added: NDArray[np.int16]

    def difference(self, j: int) -> NDArray[np.int16]:
        """Pixels of colour number `j` minus their references."""
        return self.added[..., DIFFERENCE + COLOURS[j]]


def predict(
    k: int, head: NDArray[np.int16], seen: Seen, own: Array | None, parameters: Parameters
) -> Prediction:
    """Means, scales and tables of colour number `k`.

    Args:
        k: number of the colour.
        head: `(rows, columns, 3 + k)`, the network's word.
        seen: what there is to see.
        own: `(rows, columns, 3)`, what the tile's filter adds; None for no filter.
        parameters: of the tile.
    """
    if kernel.selected() != "numpy":
        colour = _packed(k, seen, parameters)
        found = compiled.predict(colour, head, seen.reference, seen.linear, seen.added, own)
        return Prediction(*found)
    wide = head.astype(np.int32)
    mean = before_filter(k, wide, seen)
    if own is not None:
        gain, half = int(parameters.gain[k]), 1 << (COEFFICIENT_BITS - 1)
        mean = mean + own[..., k] + ((wide[..., 0] * gain + half) >> COEFFICIENT_BITS)
        for j in range(k):
            factor = int(parameters.factors[factor_index(k, j)])
            factor <<= FACTOR_BITS - COEFFICIENT_BITS
            mean = mean + scaled(seen.difference(j), factor)
    mean = np.clip(mean, 0, LARGEST_MEAN)
    _, phases = split_mean(mean)
    scales = scale_rows(parameters.rows(wide[..., 1], k))
    tables = table_index(scales, phases, shapes(parameters.shapes(wide[..., 2], k)))
    return Prediction(mean.astype(np.int16), scales.astype(np.uint8), tables)


def before_filter(k: int, head: Array, seen: Seen) -> Array:
    """The mean of colour number `k` without anything of the tile's parameters, int32."""
    c = COLOURS[k]
    mean: Array = seen.reference[..., c].astype(np.int32) + seen.linear[..., c] + head[..., 0]
    for j in range(k):
        error = seen.added[..., ERROR + COLOURS[j]].astype(np.int32)
        mean += scaled(error, head[..., 3 + j])
        mean += scaled(seen.difference(j), int(seen.same[factor_index(k, j)]))
    return mean


def settle(
    k: int,
    pixels: NDArray[np.uint8],
    prediction: Prediction,
    inverse: Array,
    seen: Seen,
    features: NDArray[np.int16],
) -> None:
    """Take the pixels of colour number `k`.

    Args:
        k: number of the colour.
        pixels: `(rows, columns)` of those that there are, 0 to 255.
        prediction: of all cells.
        inverse: `(48,)` int32 of the model.
        seen: is completed.
        features: `(rows, columns, 4)`, is set: error and normalised error, each with its magnitude.
    """
    mean, scales = prediction.mean, prediction.scales
    if kernel.selected() != "numpy":
        colour = _packed(k, seen, Parameters())
        compiled.settle(colour, pixels, mean, scales, inverse, seen.reference, seen.added, features)
        return
    there = tuple(slice(n) for n in pixels.shape)
    c = COLOURS[k]
    levels = pixels.astype(np.int32) << FRACTION_BITS
    error = levels - mean[there]
    product = error * inverse[scales[there]]
    normalised = (product + (1 << (NORMALISED_BITS - 1))) >> NORMALISED_BITS
    normalised = np.clip(normalised, -LARGEST_NORMALISED, LARGEST_NORMALISED)
    added = seen.added[there]
    added[..., DIFFERENCE + c] = levels - seen.reference[..., c][there]
    added[..., ERROR + c], added[..., NORMALISED + c] = error, normalised
    for i, values in enumerate((error, np.abs(error), normalised, np.abs(normalised))):
        features[..., i][there] = values


def to_bins(pixels: Array, prediction: Prediction, max_error: int) -> tuple[Array, Array]:
    """What is sent of the pixels of a colour, and what a decoder makes of that.

    Args:
        pixels: `(rows, columns)` of those that there are, 0 to 255.
        prediction: of all cells.
        max_error: how far a sample may be off.

    Returns:
        The bins, as of `restore`, and uint8 pixels; both `(rows, columns)`.
    """
    rows, columns = pixels.shape
    width = 2 * max_error + 1
    rounded, _ = split_mean(prediction.mean[:rows, :columns].astype(np.int32))
    bins = (pixels - rounded + max_error) // width
    return bins, np.clip(rounded + bins * width, 0, 255).astype(np.uint8)


def restore(
    bins: NDArray[np.int32], prediction: Prediction, max_error: int, pixels: NDArray[np.uint8]
) -> bool:
    """Write the pixels of decoded bins; whether all could be pixels.

    Args:
        bins: `(pixels.size,)` of 2 `max_error` + 1 levels around rounded means, in raster order.
        prediction: of all cells.
        max_error: how far a sample may be off.
        pixels: those that there are, `(rows, columns)`, is set.
    """
    width = 2 * max_error + 1
    if kernel.selected() != "numpy":
        return compiled.restore(bins, prediction.mean, width, max_error, pixels)
    rows, columns = pixels.shape
    rounded, _ = split_mean(prediction.mean[:rows, :columns].astype(np.int32))
    found = rounded + bins.reshape(rows, columns) * width
    np.copyto(pixels, np.clip(found, 0, 255), casting="unsafe")
    return not found.size or bool(-max_error <= found.min() and found.max() <= 255 + max_error)


def limits(mean: Array, max_error: int) -> NDArray[np.int16]:
    """The least and the greatest bin that each pixel can have, `(n, 2)`; 0 is always possible.

    Args:
        mean: in 1/128 level, 0 to 32640, any shape.
        max_error: how far a sample may be off.
    """
    rounded = ((mean + ONE // 2) >> FRACTION_BITS).ravel()
    pairs = _limits(max_error).view(np.int32).ravel()[rounded]  # faster than rows of two
    both: NDArray[np.int16] = pairs.view(np.int16).reshape(-1, 2)
    return both


@cache
def _limits(max_error: int) -> NDArray[np.int16]:
    """The limits for each rounded mean, `(256, 2)`."""
    below = (np.arange(256) + max_error) // (2 * max_error + 1)  # bins between a level and 0
    both: NDArray[np.int16] = np.stack([-below, below[::-1]], axis=1).astype(np.int16)
    return both


def scaled(values: Array, factor: Any) -> Array:
    """Values times a factor in 2^-12."""
    product: Array = values.astype(np.int32) * factor
    return (product + (1 << (FACTOR_BITS - 1))) >> FACTOR_BITS


def scale_rows(raw: Array) -> Array:
    """Rows of scales from rows in 1/128."""
    rows: Array = np.clip((raw + (1 << (UNIT_BITS - 1))) >> UNIT_BITS, 0, NUM_SCALES - 1)
    return rows


def shapes(raw: Array) -> Array:
    """Shapes from shapes in 1/128."""
    found: Array = np.clip((raw + (1 << (UNIT_BITS - 1))) >> UNIT_BITS, 0, NUM_SHAPES - 1)
    return found


def split_mean(mean: Array) -> tuple[Array, Array]:
    """Rounded means, and the phases of what rounding takes away."""
    shifted = mean + ONE // 2
    return shifted >> FRACTION_BITS, (shifted & (ONE - 1)) >> PHASE_BITS


def _packed(k: int, seen: Seen, parameters: Parameters) -> Array:
    """A colour as the kernel reads it."""
    colour = np.zeros(1, compiled.COLOUR)
    one = colour[0]
    one["number"], one["channel"] = k, COLOURS[k]
    one["gain"], one["slope"] = parameters.gain[k], parameters.slope[k]
    one["row"], one["shape"] = parameters.row[k], parameters.shape[k]
    for j in range(k):
        at = factor_index(k, j)
        one["before"][j], one["same"][j] = COLOURS[j], seen.same[at]
        one["factor"][j] = parameters.factors[at]
    return colour

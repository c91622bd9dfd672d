"""A picture as a pyramid of levels, each of which codes what its grid of 2x2 cells adds.

Level l is `x[::2**l, ::2**l]`. Of each 2x2 cell of a level the upper left pixel is known from the
level above; three passes add the lower right one, then the upper right, then the lower left. The
top of the pyramid is a single pixel. Its coarse levels are the hidden variables of the picture,
its top their prior, and each level is P(finer | coarser).

All numbers are integers: means of four pixels in units of 1/4 level, what they become in 1/128, so
that pixels, references and differences fill the 16 bits of a feature.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

FRACTION_BITS = 7  # of means, references and differences: levels times 128
PHASES = ((1, 1), (0, 1), (1, 0))  # row and column in its cell of what each pass adds
COLOURS = (1, 0, 2)  # green, red, blue: the order within a pixel

_NINTH_BITS, _EIGHT_NINTHS = 16, 58254  # of 144 reference values in 1/4 level to 1/128


def num_levels(rows: int, columns: int) -> int:
    """Levels that a picture has below its top, which is one pixel; 0 for a single pixel."""
    return (max(rows, columns) - 1).bit_length()


def level_of(x: Array, level: int) -> Array:
    """A view of a level of `(rows, columns, 3)`."""
    return x[:: 1 << level, :: 1 << level]


def added(level: Array, number: int) -> Array:
    """A view of the pixels that a pass adds to a level; may have no rows or columns."""
    row, column = PHASES[number]
    return level[row::2, column::2]


def reference(known: Array) -> Array:
    """Bilinear interpolation of a level from the pixels that are known.

    Args:
        known: `(rows, columns, 3)` integers, the upper left pixels of all cells.

    Returns:
        `(rows, columns, 4, 3)` int32 in 1/4 level: for each cell its pixels (0, 0), (0, 1), (1, 0)
        and (1, 1). At the right and the lower edge the last pixel is repeated.
    """
    x = np.pad(known.astype(np.int32), ((0, 1), (0, 1), (0, 0)), mode="edge")
    here, right, down, across = x[:-1, :-1], x[:-1, 1:], x[1:, :-1], x[1:, 1:]
    return np.stack(
        [4 * here, 2 * (here + right), 2 * (here + down), here + right + down + across], axis=2
    )


def local_mean(quarters: Array) -> Array:
    """Mean of a reference over 3x3 cells, `(rows, columns, 3)` int32 in 1/128 level.

    At the edges of the grid cells are repeated.
    """
    sums = np.pad(quarters.sum(2, dtype=np.int32), ((1, 1), (1, 1), (0, 0)), mode="edge")
    sums = sums[:-2] + sums[1:-1] + sums[2:]
    sums = sums[:, :-2] + sums[:, 1:-1] + sums[:, 2:]
    mean: Array = (sums * _EIGHT_NINTHS + (1 << (_NINTH_BITS - 1))) >> _NINTH_BITS
    return mean

"""A picture from the beginnings of its streams: latents that are not there, from those that are.

Where the symbol of a latent is missing, the passes still expect a mean. In most channels, which
hold texture, nothing better is known. A few hold what varies slowly, brightness and colour; of
these the first pass sends every fourth cell before all else, and between such cells a smooth
surface is nearer than the mean. Which channels these are is seen in what is there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.codec.concealment import interpolated
from rdae.exact.arithmetic import HIGHEST, LOWEST

Array = NDArray[Any]


def refine(y_hat: NDArray[np.int16], known: NDArray[np.bool_], doubt: NDArray[np.float64]) -> None:
    """Interpolate the channels of a latent grid, in place, in which that should come nearer.

    Args:
        y_hat: `(rows, columns, M)`, means where the symbols are not there.
        known: where they are, likewise.
        doubt: `(M,)` the square error that is expected of a mean, in the mean over the cells.
    """
    channels = np.flatnonzero(_roughness(y_hat, known) < doubt)
    if channels.size:
        there = known[..., channels]
        values = np.where(there, y_hat[..., channels], np.float32(0))
        surface = np.rint(interpolated(values, there)).clip(LOWEST, HIGHEST)
        y_hat[..., channels] = surface.astype(np.int16)


def _roughness(y_hat: NDArray[np.int16], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The variance among four latents of a channel that are two cells apart, `(M,)`.

    It is infinite where no such four are known.
    """
    total = np.zeros(y_hat.shape[2])
    count = np.zeros(y_hat.shape[2])
    for phase in range(4):
        lattice = np.s_[phase // 2 :: 2, phase % 2 :: 2]
        values, there = _fours(y_hat[lattice]), _fours(known[lattice]).all(0)
        total += np.where(there, values.var(0, ddof=1, dtype=np.float32), 0).sum((0, 1))
        count += there.sum((0, 1))
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)


def _fours(grid: Array) -> Array:
    """Blocks of 2x2 cells: `(4, rows // 2, columns // 2, M)`."""
    rows, columns = (size - size % 2 for size in grid.shape[:2])
    grid = grid[:rows, :columns]
    return np.stack([grid[i::2, j::2] for i in (0, 1) for j in (0, 1)])

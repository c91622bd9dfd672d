"""Filling the latents of damaged tiles from what surrounds them.

A hole takes the values around it, the further away from them the more smoothly: means over 2x2
cells, of these again, and so on, until there is one everywhere; then back to fine cells, where
each step is smoothed (pull-push, and relaxation of Laplace's equation). Means of latents keep
colour and brightness and lose texture, whose latents are as often negative as positive. A hole
with nothing around it is grey, and the holes beside it blend into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.geometry import Rectangle

RING = 4  # cells around a hole that it is filled from
RELAXATIONS = 8  # at each resolution

Array = NDArray[Any]


def fill(y_hat: NDArray[np.int16], holes: Sequence[Rectangle]) -> list[bool]:
    """Fill rectangles of a latent grid, in place, with integers.

    Args:
        y_hat: `(rows, columns, M)`, integers.
        holes: the rectangles, in cells of that grid.

    Returns:
        For each hole whether there was something around it; the others are grey.
    """
    known = np.ones(y_hat.shape[:2], bool)
    for hole in holes:
        known[hole.slices()] = False
    rows, columns = y_hat.shape[:2]
    rings = [hole.grown(RING, rows, columns) for hole in holes]
    lonely = [not known[ring.slices()].any() for ring in rings]
    for hole, is_lonely in zip(holes, lonely, strict=True):
        if is_lonely:
            y_hat[hole.slices()] = 0
            known[hole.slices()] = True
    for hole, ring, is_lonely in zip(holes, rings, lonely, strict=True):
        if not is_lonely:
            around = ring.slices()
            values = np.where(known[around][..., None], y_hat[around], np.float32(0))
            smooth = values * _smoothness(values, known[around])
            filled = interpolated(smooth, known[around][..., None])
            y_hat[hole.slices()] = np.rint(filled[hole.seen_from(ring).slices()])
            known[hole.slices()] = True
    return [not is_lonely for is_lonely in lonely]


def _smoothness(values: Array, known: NDArray[np.bool_]) -> Array:
    """How much of each channel neighbouring cells share: `(M,)`, 0 for noise, 1 for constants."""
    rows, columns = (size - size % 2 for size in known.shape)
    values, known = values[:rows, :columns], known[:rows, :columns]
    whole = _pooled(known[..., None].astype(np.float32))[..., 0] == 4
    if not whole.any():  # a picture of one row of cells, say: what is around is all that is known
        return np.ones(values.shape[2])
    means = _pooled(values)[whole] / 4
    power = _pooled(values**2)[whole].mean(0) / 4
    share = (means**2).mean(0) / np.maximum(power, 1)
    result: Array = np.clip((share - 1 / 4) / (3 / 4), 0, 1)
    return result


def interpolated(values: Array, known: NDArray[np.bool_]) -> Array:
    """Replace the values that are not known.

    Args:
        values: `(rows, columns, M)` floats, 0 where they are not known; channels of which nothing
            is known stay 0.
        known: which are, likewise or `(rows, columns, 1)`.
    """
    rows, columns = known.shape[:2]
    if known.all() or rows == columns == 1:
        return values
    even = ((0, rows % 2), (0, columns % 2), (0, 0))
    count = _pooled(np.pad(known, even).astype(np.float32))
    means = _pooled(np.pad(values, even)) / np.maximum(count, 1)
    coarse = interpolated(means, count > 0)
    fine = coarse.repeat(2, axis=0).repeat(2, axis=1)[:rows, :columns]
    for _ in range(RELAXATIONS):
        fine = np.where(known, values, fine)
        edge = np.pad(fine, ((1, 1), (1, 1), (0, 0)), mode="edge")
        fine = (edge[:-2, 1:-1] + edge[2:, 1:-1] + edge[1:-1, :-2] + edge[1:-1, 2:]) / 4
    return np.where(known, values, fine)


def _pooled(values: Array) -> Array:
    """Sums over 2x2 cells."""
    rows, columns, channels = values.shape
    sums: Array = values.reshape(rows // 2, 2, columns // 2, 2, channels).sum((1, 3))
    return sums

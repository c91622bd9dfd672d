"""Gaussian means along the sides of pictures, the windows of SSIM, and their gradients.

They are products with banded matrices, block by block: processors run them far faster than
depthwise filters of eleven taps.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

TAPS, _SIGMA = 11, 1.5
_BLOCK = 64  # rows of a banded matrix


class _Banded:
    """A matrix that is 0 far from its diagonal, as blocks of rows without most of the zeros."""

    def __init__(self, matrix: Tensor, device: torch.device) -> None:
        self._rows = len(matrix)
        self._blocks = []
        for start in range(0, self._rows, _BLOCK):
            block = matrix[start : start + _BLOCK]
            used = block.any(0).nonzero()
            first, end = int(used.min()), int(used.max()) + 1
            rows, columns = slice(start, start + len(block)), slice(first, end)
            self._blocks.append((rows, columns, block[:, columns].contiguous().to(device)))

    def times(self, x: Tensor, dim: int) -> Tensor:
        """The product with the vectors along the last dimension of `x`, or the one before."""
        shape = list(x.shape)
        shape[dim] = self._rows
        out = x.new_empty(shape)
        maps, results = x.flatten(0, -3), out.flatten(0, -3)
        for rows, columns, block in self._blocks:
            if dim == -1:
                lines = maps[..., columns].flatten(0, 1)
                torch.mm(lines, block.T, out=results.flatten(0, 1)[:, rows])
            else:
                blocks = block.expand(len(maps), -1, -1)
                torch.bmm(blocks, maps[:, columns], out=results[:, rows])
        return out


class Window:
    """Gaussian means along a side, as a matrix with a row for each mean, and their gradient."""

    def __init__(self, matrix: Tensor, device: torch.device) -> None:
        self.means = _Banded(matrix.float(), device)
        self.backward = _Banded(matrix.T.float(), device)


def _weights() -> Tensor:
    offsets = torch.arange(TAPS, dtype=torch.float64) - TAPS // 2
    weights = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    return weights / weights.sum()


@lru_cache(maxsize=64)
def inner(size: int, device: torch.device) -> Window:
    """The means of all whole windows: each row is the window, one further."""
    matrix = torch.zeros(size - TAPS + 1, size, dtype=torch.float64)
    for offset, weight in enumerate(_weights()):
        matrix.diagonal(offset).add_(weight)
    return Window(matrix, device)


@lru_cache(maxsize=64)
def mirrored(size: int, device: torch.device) -> Window:
    """The means around each place; beyond the ends are mirror images."""
    reach = TAPS // 2
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for place in range(size):
        for offset, weight in zip(range(place - reach, place + reach + 1), _weights(), strict=True):
            inside = -1 - offset if offset < 0 else min(offset, 2 * size - 1 - offset)
            matrix[place, inside] += weight
    return Window(matrix, device)

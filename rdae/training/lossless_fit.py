"""Filters fitted to the pictures of a batch in training, as an encoder fits them to a tile.

The networks go on from where the filters end, so they must see them in training, too. Fitted as in
`rdae.lossless.fit`, before the networks, without gradients and without rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rdae.lossless.fit import MOST_ERROR, RIDGE
from rdae.lossless.parameters import (
    COEFFICIENT_BITS,
    LARGEST_FACTOR,
    NONE,
    WINDOWS,
    factor_index,
    taps,
)
from rdae.lossless.pyramid import COLOURS

UNIT = 16.0  # levels in one of a feature

# Cells of a tile for each of a crop, one of these in each step, so that every level is trained
# behind every kind of filter: networks that have not seen one take up to a third more bits behind
# it. Small tiles have small filters or none, and get four steps in ten. With larger ratios
# filters would have a tenth as many coefficients as there are cells to fit.
TILE_RATIOS = 1 / 32, 1 / 8, 1 / 5, 1 / 2, 1, 1, 1, 4, 4, 4
# That a filter is fitted to. Fitted to one cell in two and used on both, it is neither better nor
# worse than one fitted to many cells.
MOST_CELLS = 8_192
COEFFICIENT = UNIT / (1 << COEFFICIENT_BITS)  # of a filter on features, that a file tells apart


class Fit:
    """The filters of one pass, for each picture of a batch.

    Attributes:
        statistic: `(B, 3)` in the order of coding: binary logarithms of the mean errors, in 1/8.
    """

    @torch.no_grad()
    def __init__(
        self, inputs: Tensor, target: Tensor, base: Tensor, generic: Tensor, same: Tensor
    ) -> None:
        """Fit them.

        Args:
            inputs: `(B, rows, columns, taps)` what a filter sees, as of `tap_values`.
            target: `(B, rows, columns, 3)` the pixels that the pass adds, in levels.
            base: their references.
            generic: what the generic filter makes of these.
            same: `(3,)` the generic factors between colours.
        """
        b, rows, columns, _ = inputs.shape
        ones = inputs.new_ones(b, rows, columns, 1)
        seen = torch.cat([inputs, ones], -1).reshape(b, rows * columns, -1)
        some = slice(None, None, max(1, rows * columns // MOST_CELLS))
        self._own: list[tuple[Tensor, Tensor]] = []
        before: list[Tensor] = []
        logarithms = []
        for k, c in enumerate(COLOURS):
            wrong = target[..., c] - generic[..., c]
            for j in range(k):
                wrong = wrong - same[factor_index(k, j)] * before[j]
            known = [(d / UNIT).reshape(b, -1, 1)[:, some] for d in before]
            matrix = torch.cat([seen[:, some], *known], -1)
            wanted = wrong.reshape(b, -1, 1)[:, some]
            error = wanted
            for thin in (slice(None, None, 4), slice(None)):  # the first one only finds weights
                power = F.avg_pool1d(error.transpose(1, 2) ** 2, 3, 1, 1).transpose(1, 2)
                weight = 1 / (power + 0.5)
                solution = _solve(matrix[:, thin], wanted[:, thin], weight[:, thin])
                solution = _rounded(solution)
                error = wanted - matrix @ solution
            count = seen.shape[-1]
            own = (seen @ solution[:, :count]).reshape(b, rows, columns)
            self._own.append((own, solution[:, count:, 0] / UNIT))
            mean_error = error.abs().clamp(max=MOST_ERROR).mean((1, 2))
            logarithms.append(torch.log2(mean_error + 0.05))
            before.append(target[..., c] - base[..., c])
        self.statistic = torch.stack(logarithms, -1).mul(8).round() / 8  # as a file has it

    def own(self, k: int, before: list[Tensor]) -> Tensor:
        """What the filters add to the mean of colour number `k`, in levels.

        Args:
            k: number of the colour.
            before: differences of the colours before from their references, in levels.
        """
        out, factors = self._own[k]
        for j, difference in enumerate(before):
            out = out + factors[:, j, None, None] * difference
        return out


def tap_values(
    p: int, kind: int, known: Tensor, local: Tensor, differences: list[Tensor]
) -> Tensor:
    """What a filter sees, `(B, rows, columns, taps)`, in features.

    Args:
        p: number of the pass.
        kind: NONE, NEAR, MIDDLE or WIDE.
        known: `(B, rows, columns, 3)` pixels.
        local: their local means, of which all taps of a cell lack the cell's own.
        differences: of the passes before.
    """
    if kind == NONE:
        return known[..., :0]
    rows, columns = known.shape[1:3]
    seen, added = taps(p, kind)
    low, high = WINDOWS[kind]
    edge = F.pad(known.permute(0, 3, 1, 2), (-low, high, -low, high), "replicate")
    edge = edge.permute(0, 2, 3, 1)
    values = [
        edge[:, y - low : y - low + rows, x - low : x - low + columns] - local for y, x in seen
    ]
    zeros = [F.pad(d, (0, 0, 1, 1, 1, 1)) for d in differences]
    values += [zeros[e][:, 1 + y : 1 + y + rows, 1 + x : 1 + x + columns] for e, y, x in added]
    return torch.cat(values, -1)


def _rounded(solution: Tensor) -> Tensor:
    """What a file has of a filter."""
    most = LARGEST_FACTOR * COEFFICIENT
    return (solution / COEFFICIENT).round().mul(COEFFICIENT).clamp(-most, most)


def _solve(matrix: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Weighted least squares with a small ridge, for each of a batch."""
    weighted = (matrix * weight).transpose(1, 2)
    gram, right = (weighted @ matrix).double(), (weighted @ wanted).double()
    n = gram.shape[-1]
    ridge = gram.diagonal(dim1=1, dim2=2).sum(1) * (RIDGE / n)
    gram += ridge[:, None, None] * torch.eye(n, dtype=gram.dtype, device=gram.device)
    # One after the other: with several threads, MKL fails to factorise large ones at once.
    each = zip(gram, right, strict=True)
    return torch.stack([torch.linalg.solve(left, one) for left, one in each]).float()

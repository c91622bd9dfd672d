"""The four passes over the latents in torch: one loop for training, pipelines and searches.

A pass codes a quarter of the latents: one group of channels in each phase of the 2x2 pattern of
cells (FORMAT.md, section 8.3). In torch a quarter is `(4, B, rows / 2, columns / 2, M / 4)`, phase
by phase, so that what depends on the channel alone, as gains, is broadcast over the cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rdae.autoencoder.layers import Points
from rdae.autoencoder.networks import Networks
from rdae.model.quarters import phases
from rdae.model.spec import NUM_PASSES

Code = Callable[[int, Tensor, Tensor], Tensor]


def follow_passes(networks: Networks, features: Tensor, points: Points, code: Code) -> Tensor:
    """Go through the passes of a grid of latents.

    Args:
        networks: the model.
        features: `(B, rows, columns, F)` from the hyper-latent.
        points: quality points of the batch.
        code: y_hat of a pass, a quarter, from the number of the pass and what it expects of its
            latents: means and ln(scale), quarters in base units.

    Returns:
        y_hat `(B, rows, columns, M)`.
    """
    y_hat: list[Tensor] = []
    for k in range(NUM_PASSES):
        mean, log_scale = networks.predict(k, features, assemble(y_hat) if k else None, points)
        y_hat.append(code(k, mean, log_scale))
    return assemble(y_hat)


def by_channel(k: int, values: Tensor) -> Tensor:
    """What pass `k` needs of values `(B, 1, 1, M)` for each channel: `(4, B, 1, 1, M / 4)`."""
    return torch.stack([values[..., group] for _, group in phases(k, values.shape[-1])])


def split(latents: Tensor) -> tuple[Tensor, ...]:
    """The quarters of all passes of `(B, rows, columns, M)`, rows and columns even."""
    quarters: tuple[Tensor, ...] = _Split.apply(latents)  # type: ignore[no-untyped-call]
    return quarters


def assemble(quarters: Sequence[Tensor]) -> Tensor:
    """`(B, rows, columns, M)` with the quarters of the first passes, and 0 elsewhere."""
    latents: Tensor = _Assemble.apply(*quarters)  # type: ignore[no-untyped-call]
    return latents


def _split(latents: Tensor, count: int) -> tuple[Tensor, ...]:
    batch, rows, columns, channels = latents.shape
    shape = (4, batch, rows // 2, columns // 2, channels // NUM_PASSES)
    quarters = tuple(latents.new_empty(shape) for _ in range(count))
    for k, quarter in enumerate(quarters):
        for phase, ((down, across), group) in enumerate(phases(k, channels)):
            quarter[phase] = latents[:, down, across, group]
    return quarters


def _assemble(quarters: Sequence[Tensor]) -> Tensor:
    _, batch, rows, columns, channels = quarters[0].shape
    shape = (batch, 2 * rows, 2 * columns, NUM_PASSES * channels)
    is_whole = len(quarters) == NUM_PASSES
    latents = quarters[0].new_empty(shape) if is_whole else quarters[0].new_zeros(shape)
    for k, quarter in enumerate(quarters):
        for phase, ((down, across), group) in enumerate(phases(k, shape[3])):
            latents[:, down, across, group] = quarter[phase]
    return latents


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx, latents: Tensor):  # type: ignore[no-untyped-def]
        return _split(latents, NUM_PASSES)

    @staticmethod
    def backward(ctx, *grads: Tensor):  # type: ignore[no-untyped-def]
        return _assemble(grads)


class _Assemble(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *quarters: Tensor):  # type: ignore[no-untyped-def]
        ctx.count = len(quarters)
        return _assemble(quarters)

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[no-untyped-def]
        return _split(grad, ctx.count)

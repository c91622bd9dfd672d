"""The quarter of a tile's latents that a pass codes (FORMAT.md, section 8.3).

Each pass codes one of the four channel groups in each cell; which one depends on the cell's phase
in the 2x2 pattern. A quarter is an array `(rows, columns, M/4)`: in raster order its entries are in
the order in which they are coded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.exact.layers import ByPhase, Channels, Linear
from rdae.exact.stages import Step
from rdae.model.spec import NUM_PASSES, PASS_OF

Array = NDArray[Any]


def phases(k: int, channels: int) -> Iterator[tuple[tuple[slice, slice], slice]]:
    """The cells of each phase, as rows and columns, and the channels that pass `k` codes there.

    Args:
        k: the pass, 0 to 3.
        channels: M.
    """
    group = channels // NUM_PASSES
    for phase in range(4):
        first = [passes[phase] for passes in PASS_OF].index(k) * group
        yield (slice(phase // 2, None, 2), slice(phase % 2, None, 2)), slice(first, first + group)


def take(k: int, latents: Array) -> Array:
    """The quarter of pass `k` of `(rows, columns, M)`."""
    rows, columns, channels = latents.shape
    quarter = np.empty((rows, columns, channels // NUM_PASSES), latents.dtype)
    for cells, group in phases(k, channels):
        quarter[cells] = latents[cells][..., group]
    return quarter


def put(k: int, quarter: Array, latents: Array) -> None:
    """Write the quarter of pass `k` to its places in `(rows, columns, M)`; the rest stays."""
    for cells, group in phases(k, latents.shape[2]):
        latents[cells][..., group] = quarter[cells]


def by_phase(k: int, values: Array) -> Array:
    """Values `(M,)` of the channels that pass `k` codes in each phase: `(4, M / 4)`."""
    return np.stack([values[group] for _, group in phases(k, values.size)])


def for_quarter(k: int, steps: list[Step], channels: int) -> list[Step]:
    """A pass's network without the outputs of latents that it does not code.

    Args:
        k: the pass.
        steps: a network that gives 2M channels, means and heads of all latents.
        channels: M.
    """
    groups = [np.arange(group.start, group.stop) for _, group in phases(k, channels)]
    wanted = [np.concatenate([group, group + channels]) for group in groups]
    last = steps[-1] if steps else None
    if isinstance(last, Linear):
        return [*steps[:-1], ByPhase([last.outputs(some) for some in wanted])]
    return [*steps, ByPhase([Channels(some) for some in wanted])]

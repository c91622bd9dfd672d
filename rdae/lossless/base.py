"""A lossy picture beneath a lossless one: what a tile's own filters see of it.

A decoder that has made the lossy picture of a file knows every pixel of it, at every level of the
pyramid, those included that a pass is about to add. So a filter that has the base among its inputs
predicts a pixel from its lossy self and from how far its known neighbours are from theirs. The
encoder fits filters by least squares as without a base: they use a good one and ignore a poor one,
and the networks, which know nothing of it, learn how good it is from the filters' mean errors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.lossless.pyramid import FRACTION_BITS, PHASES

Array = NDArray[Any]

# Pixels of the level beside the one that is predicted. All nine of a square, or more, take as many
# bits for their coefficients as they save.
AROUND = ((-1, 0), (0, -1), (0, 0), (0, 1), (1, 0))


def base_values(level: NDArray[np.uint8], number: int) -> NDArray[np.int16]:
    """The base around the pixels that a pass adds, in 1/128 level.

    Args:
        level: `(rows, columns, 3)` of the base, with the pixels of all phases.
        number: of the pass.

    Returns:
        `(cell rows, cell columns, 15)`: the pixels of `AROUND`; beyond the edges of the level the
        nearest ones.
    """
    rows, columns = (-(-side // 2) for side in level.shape[:2])
    below, behind = (
        2 * n + 1 - side for n, side in zip((rows, columns), level.shape, strict=False)
    )
    edge = np.pad(level, ((1, below), (1, behind), (0, 0)), mode="edge").astype(np.int16)
    edge <<= FRACTION_BITS
    row, column = PHASES[number]
    seen = [edge[1 + row + y :: 2, 1 + column + x :: 2][:rows, :columns] for y, x in AROUND]
    return np.concatenate(seen, axis=2)

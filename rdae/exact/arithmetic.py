"""The networks' integers: what a feature can hold, and the proof that no sum leaves 32 bits.

A feature is an int16 that saturates; a layer multiplies it by int16 mantissas, adds up in 32 bits
and drops the same number of bits from all results. FORMAT.md, section 7, is the definition.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.errors import WeightsMismatchError

LOWEST, HIGHEST = -(1 << 15), (1 << 15) - 1  # a feature
LARGEST = 1 << 15  # the magnitude that proofs count with
SUM_LIMIT = 1 << 31  # what a sum must stay below
MAX_SHIFT = 28

# Units that a decoder knows, as bits behind the point.
ROW_BITS = 7  # heads and offsets count table rows
MEAN_BITS = 4  # means are that much finer than y_hat
PIXEL_BITS = 6  # the synthesis gives levels

# What an analysis reads for a byte is 2 * byte - 255: exact, and even about 0.
PIXEL_LARGEST = 255
PIXELS_OF_ONE = 510  # the integers from black, which is -0.5 in training, to white, 0.5


def saturated(v: NDArray[Any]) -> NDArray[np.int16]:
    """Numbers as features: clipped to 16 bits; any fraction is cut off."""
    clipped: NDArray[np.int16] = np.clip(v, LOWEST, HIGHEST).astype(np.int16)
    return clipped


def prove(
    path: str,
    mantissa: NDArray[np.int16],
    bias: NDArray[np.int32],
    shift: int,
    leak: int,
    largest: int = LARGEST,
) -> None:
    """Check that a layer's sums stay in 32 bits, whatever its input.

    Args:
        path: of the layer, for the error.
        mantissa: `(..., outputs)`; all but the last axis are summed over.
        bias: `(outputs,)`, the half of the rounding included.
        shift: bits that are dropped, 1 to 28.
        leak: k of a leaky ReLU, 0 for none.
        largest: magnitude of the input.

    Raises:
        WeightsMismatchError: an output could reach 2^31.
    """
    inputs = tuple(range(mantissa.ndim - 1))
    sums = np.abs(mantissa, dtype=np.int32).sum(inputs, dtype=np.int64) * largest + np.abs(
        bias.astype(np.int64)
    )
    worst = int(sums.max()) + ((1 << (shift + leak - 1)) if leak else 0)
    if shift + leak > 31 or worst >= SUM_LIMIT:
        raise WeightsMismatchError(f"layer {path} may sum up to {worst}, beyond 32 bits")

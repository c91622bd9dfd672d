"""Rounding with the rate in mind: which integer to send for a latent, not just the nearest.

A uniform quantiser whose symbols are entropy coded is best with a dead zone (Sullivan 1996,
"Efficient scalar quantization of exponential and Laplacian random variables"). The magnitude a is
lowered to a - 1 where that costs less: with r in place of the rate of exchange between bits and
squared error in symbol units, where

    (|v| - a)^2 + r * bits(a)  >  (|v| - a + 1)^2 + r * bits(a - 1)
    |v|  <  a - 1/2 + r / 2 * (bits(a) - bits(a - 1)).

The bits are those of the symbol's own table, so the dead zone is wide where a symbol other than 0
is a surprise. Only an encoder rounds; a decoder never sees v.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Squared error, in symbol units, that is worth a bit. Found on photos outside of every evaluation
# set; at high rates theory has 2 ln 2 / 12 = 0.116 without regard to what later symbols lose.
EXCHANGE = 0.04
MAX_SYMBOL = 32767  # largest magnitude that is sent
REACH = 16  # magnitudes with a dead zone of their own; larger ones share the last
WIDEST = 0.45  # a value is never moved further than to the integer below

Array = NDArray[Any]


def dead_zones(bits: Array) -> Array:
    """How much closer to a than to a - 1 a magnitude must be to be rounded to a.

    Args:
        bits: `(tables, REACH + 1)` bits of the magnitudes 0 to REACH in each table.

    Returns:
        `(tables, REACH + 1)` float32 in 0 to `WIDEST`; 0 for the magnitude 0.
    """
    zones = np.zeros(bits.shape, np.float32)
    zones[:, 1:] = np.clip(EXCHANGE / 2 * np.diff(bits, axis=1), 0, WIDEST)
    return zones


def round_to_symbols(v: Array, tables: Array, zones: Array) -> Array:
    """Integers to send for `v`, as floats.

    Args:
        v: latents in symbol units, any shape.
        tables: the table of each, as `v`.
        zones: from `dead_zones`.
    """
    magnitude = np.abs(v)
    symbol = np.rint(magnitude)
    zone = zones[tables, np.minimum(symbol, REACH).astype(np.intp)]
    symbol -= magnitude < symbol - 0.5 + zone
    return np.copysign(symbol, v)

"""The symbols of one tile: what a model makes of its latents, and what is coded of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class TileSymbols:
    """What is sent of one tile.

    Attributes:
        z: `(hyper rows, hyper columns, N)` int32.
        y: `(rows, columns, M)`, as z; rows and columns multiples of 4; 0 in cells not coded.
        indexes: table of each latent, as `y`, uint8.
    """

    z: Array
    y: Array
    indexes: NDArray[np.uint8]

"""What crops are varied by, beside flips: colours that photos seldom have, and sides of any length.

Photographs alone leave a model poor at saturated and at neutral colours, and crops whose sides are
whole hyper-latent cells leave it blind to the right and lower edges of most pictures.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rdae.geometry import HYPER_PATCH

GREY_SHARE = 0.15  # of the crops that are recoloured
MAX_SATURATION = 3.0

Pixels = NDArray[np.uint8]

_LUMA = np.array([0.299, 0.587, 0.114])


def recoloured(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """A crop `(H, W, 3)` with its hue turned and its saturation changed, or in grey."""
    saturation = 0.0 if rng.random() < GREY_SHARE else MAX_SATURATION ** rng.uniform(-1, 1)
    matrix = saturation * _hue_rotation(rng.uniform(0, 2 * math.pi))
    grey = np.tile(_LUMA, (3, 1))
    mixed = crop @ (grey + matrix @ (np.eye(3) - grey)).T.astype(np.float32)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def odd_size(rng: np.random.Generator, side: int) -> tuple[int, int]:
    """Height and width of a batch, each shorter than `side` by less than 64 pixels."""
    height, width = side - rng.integers(0, HYPER_PATCH, 2)
    return int(height), int(width)


def _hue_rotation(angle: float) -> NDArray[np.float64]:
    """A rotation of colours around the grey axis: `(3, 3)`."""
    axis = np.full(3, 3**-0.5)
    cross = np.cross(np.eye(3), axis)
    outer = np.outer(axis, axis)
    return outer + math.cos(angle) * (np.eye(3) - outer) + math.sin(angle) * cross

"""The scales of quality and effort, and the search for the quality point that meets a target.

A model has 256 quality points. Point q trades rate for distortion with a Lagrange multiplier
that grows geometrically from the first point to the last, so equal steps of quality are about
equal steps of decibels. The bitstream stores the point, one byte.
"""

from __future__ import annotations

import math
from collections.abc import Callable

NUM_POINTS = 256
DEFAULT_QUALITY = 60.0
PLAIN_EFFORT, DEFAULT_EFFORT, MAX_EFFORT = 1, 2, 9
REFINED_EFFORT = 3  # from here on, torch looks for better symbols
LAMBDA_RANGE = (0.0004, 0.16)  # of the first and last point: bits per pixel per MSE on 0..255


def quality_to_point(quality: float) -> int:
    """Map a quality in [0, 100] to the nearest quality point in [0, 255].

    Raises:
        ValueError: quality is outside [0, 100] or not a number.
    """
    if not 0.0 <= quality <= 100.0:
        raise ValueError(f"quality must be from 0 to 100, got {quality}")
    return round(2.55 * quality)


def point_to_quality(point: int) -> float:
    """Map a quality point in [0, 255] back to the scale of 0 to 100, to hundredths."""
    return round(point / 2.55, 2)


def rd_lambda_at(point: int, low: float, high: float) -> float:
    """The Lagrange multiplier of a quality point, if the first has `low` and the last `high`."""
    return float(low * (high / low) ** (point / (NUM_POINTS - 1)))


def decoder_variance(rd_lambda: float) -> float:
    """The variance, in squared levels, of the decoder's Gaussian that a multiplier stands for.

    -log2 N(x; x_hat, s^2) grows by 1 / (2 s^2 ln 2) for each squared level, in each of the three
    samples of a pixel, so lambda = 3 / (2 s^2 ln 2).
    """
    return 3 / (2 * rd_lambda * math.log(2))


def highest_point(fits: Callable[[int], bool]) -> int:
    """The highest quality point that fits, -1 if none does, after at most 9 tries.

    Bisection: a point that fits is searched above, one that does not below. The order of points is
    fixed, so if everything that fits a first target fits a second one too, the second target never
    ends at a lower point, even where sizes do not grow evenly from point to point.
    """
    low, high = 0, NUM_POINTS  # all below `low` are taken to fit, none from `high` on
    while low < high:
        middle = (low + high) // 2
        if fits(middle):
            low = middle + 1
        else:
            high = middle
    return low - 1

"""The scales of quality, quality points, lambda and effort.

A model has 256 quality points. Point q trades rate for distortion with a Lagrange multiplier
that grows geometrically from the first point to the last, so equal steps of points are about equal
steps of decibels. The bitstream stores the point, one byte.

People give a quality from 0 to 100. From 30 to 90 it is about the SSIMULACRA2 that the default
model has on photographs at that point: 90 is visually lossless, 70 high, 50 medium, 30 low.
"""

from __future__ import annotations

from bisect import bisect_right

NUM_POINTS = 256
MAX_ERROR = 15  # of a sample in a near-lossless file, that a header can say
DEFAULT_QUALITY = 60.0
PLAIN_EFFORT, DEFAULT_EFFORT, MAX_EFFORT = 1, 2, 9
REFINED_EFFORT = 3  # from here on, torch looks for better symbols
TUNES = "psnr", "eye"  # distortions: squared error; a mix for the eye, of four
LAMBDA_RANGE = (0.0004, 1.6)  # that models are trained for: bits per pixel per MSE on 0..255


# Points of qualities 0, 10, ..., 100, between which the scale is straight: what
# tests/benchmarks/quality_scale.py found for the default model (weights/README.md).
_POINTS = (0, 16, 32, 47, 60, 75, 94, 115, 146, 205, 255)
_STEP = 10  # of qualities


def quality_to_point(quality: float) -> int:
    """Map a quality in [0, 100] to the nearest quality point in [0, 255].

    Raises:
        ValueError: quality is outside [0, 100] or not a number.
    """
    if not 0.0 <= quality <= 100.0:
        raise ValueError(f"quality must be from 0 to 100, got {quality}")
    step = min(int(quality / _STEP), len(_POINTS) - 2)
    start, end = _POINTS[step : step + 2]
    return round(start + (end - start) * (quality / _STEP - step))


def point_to_quality(point: int) -> float:
    """Map a quality point in [0, 255] back to the scale of 0 to 100, to hundredths."""
    step = min(bisect_right(_POINTS, point) - 1, len(_POINTS) - 2)
    start, end = _POINTS[step : step + 2]
    return round(_STEP * (step + (point - start) / (end - start)), 2)


def rd_lambda_at(point: int, low: float, high: float) -> float:
    """The Lagrange multiplier of a quality point, if the first has `low` and the last `high`."""
    return float(low * (high / low) ** (point / (NUM_POINTS - 1)))

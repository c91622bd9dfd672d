"""Labels at the ends of lines, instead of a legend, that neither collide nor hide the curves.

Every label tries places around its point, near ones first, and takes the cheapest: no other label
may be touched, covered bits of curves cost, and so does distance. One that had to go far away is
tied to its point by a hair line, which should not cross a label either. Greedy, in the order given,
so the important labels come first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from numpy.typing import NDArray

from rdae.evaluation.report.figure_style import LIGHT

Vector = NDArray[np.float64]
Points = NDArray[np.float64]
Box = tuple[float, float, float, float]  # left, bottom, right, top, in pixels

_RADII = (8, 14, 22, 32, 44, 58, 74, 92, 112, 134)
_ANGLES = (0, 20, -20, 35, -35, 50, -50, 70, -70, 90, -90, 115, -115, 145, -145, 180)
_MARGIN = 2.0
_CROSSING = 60.0  # the cost of a line across another label
_STEP = 3.0  # pixels between the samples of a curve


@dataclass(frozen=True)
class Label:
    """A text for a point.

    Attributes:
        text: what to write.
        x: of the point, in data units.
        y: likewise.
        colour: of the text.
        bold: for the codec that the figure is about.
    """

    text: str
    x: float
    y: float
    colour: str
    bold: bool = False


def place_labels(
    axes: Axes, labels: Sequence[Label], curves: Sequence[Points]
) -> list[list[Artist]]:
    """Write labels near their points, inside the axes, whose limits must be final.

    Args:
        axes: where; its figure must have an Agg canvas.
        labels: the important ones first.
        curves: what should not be covered, each `(n, 2)` in data units.

    Returns:
        What was drawn for each label.
    """
    canvas: Any = axes.figure.canvas
    renderer = canvas.get_renderer()
    window = axes.get_window_extent(renderer)
    frame: Box = (window.x0 + 2, window.y0 + 2, window.x1, window.y1)
    drawn = [axes.transData.transform(curve) for curve in curves if len(curve)]
    obstacles = np.concatenate([np.empty((0, 2)), *map(_sampled, drawn)])
    taken: list[Box] = []
    written: list[list[Artist]] = []
    for label in labels:
        text = axes.text(
            0,
            0,
            label.text,
            color=label.colour,
            fontweight="bold" if label.bold else "normal",
            va="bottom",
            zorder=8,
        )
        extent = text.get_window_extent(renderer)
        point = axes.transData.transform((label.x, label.y))
        box, far = _best(point, (extent.width, extent.height), frame, obstacles, taken)
        taken.append(box)
        x, y = axes.transData.inverted().transform(box[:2])
        text.set_position((float(x), float(y)))
        # What lies below shows through a little, but the letters stay legible.
        text.set_bbox({"facecolor": LIGHT["paper"], "alpha": 0.75, "linewidth": 0, "pad": 0.6})
        artists: list[Artist] = [text]
        if far:
            line = np.array([point, _nearest(box, point)])
            obstacles = np.concatenate([obstacles, _sampled(line)])
            ends = axes.transData.inverted().transform(line)
            artists += axes.plot(*ends.T, color=label.colour, linewidth=0.6, alpha=0.8, zorder=5)
        written.append(artists)
    return written


def _best(
    point: Vector,
    size: tuple[float, float],
    frame: Box,
    obstacles: Points,
    taken: Sequence[Box],
) -> tuple[Box, bool]:
    """The cheapest place for a text of this size, and whether it is so far as to need a line."""
    best, best_cost, best_far = None, math.inf, False
    for box, cost, far in _candidates(point, size):
        if cost >= best_cost or not _inside(box, frame) or any(_touch(box, t) for t in taken):
            continue
        if far:
            line = _sampled(np.array([point, _nearest(box, point)]))
            cost += _CROSSING * any(_covered(other, line) for other in taken)
        cost += 3 * _covered(box, obstacles)
        if cost < best_cost:
            best, best_cost, best_far = box, cost, far
    if best is None:  # nowhere free: beside its point, pushed into the frame
        x = min(max(point[0] + _RADII[0], frame[0]), frame[2] - size[0])
        y = min(max(point[1] - size[1] / 2, frame[1]), frame[3] - size[1])
        best = (x, y, x + size[0], y + size[1])
    return best, best_far


def _candidates(point: Vector, size: tuple[float, float]) -> Iterator[tuple[Box, float, bool]]:
    """Places around a point, each with its cost and whether it needs a line."""
    for rows in (0, 0.5, -0.5, 1, -1, 1.5, -1.5, 2, -2, 3, -3, 4, -4):  # a column on the right
        left, bottom = point[0] + _RADII[1], point[1] + (rows - 0.5) * size[1]
        yield (left, bottom, left + size[0], bottom + size[1]), 4 + 3 * abs(rows), abs(rows) > 1
    for radius in _RADII:
        for angle in _ANGLES:
            # To the left of its end a curve comes back, and a line would cross it.
            cost = 0.35 * radius + 0.02 * abs(angle) + 0.25 * max(0, abs(angle) - 90)
            yield _box(point, size, radius, angle), cost, radius > _RADII[1]


def _nearest(box: Box, point: Vector) -> tuple[float, float]:
    """The point of a box that is nearest to another."""
    return (min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3]))


def _box(point: Vector, size: tuple[float, float], radius: float, angle: float) -> Box:
    """The text's box whose nearest edge is `radius` away in the direction of `angle` degrees."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    # The centre's shift goes smoothly from one side of the text to the other.
    x = point[0] + cos * radius + (cos - 1) / 2 * size[0]
    y = point[1] + sin * radius + (sin - 1) / 2 * size[1]
    return (x, y, x + size[0], y + size[1])


def _inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _touch(a: Box, b: Box) -> bool:
    return (
        a[0] < b[2] + _MARGIN
        and b[0] < a[2] + _MARGIN
        and a[1] < b[3] + _MARGIN
        and b[1] < a[3] + _MARGIN
    )


def _covered(box: Box, obstacles: Points) -> int:
    x, y = obstacles.T
    hit = (x > box[0] - _MARGIN) & (x < box[2] + _MARGIN)
    hit &= (y > box[1] - _MARGIN) & (y < box[3] + _MARGIN)
    return int(np.count_nonzero(hit))


def _sampled(curve: Points) -> Points:
    """Points every few pixels along a polyline, its corners often: there are the markers."""
    pieces = [curve] * 4
    for start, end in pairwise(curve):
        count = max(2, int(np.hypot(*(end - start)) / _STEP))
        pieces.append(np.linspace(start, end, count))
    return np.concatenate(pieces)

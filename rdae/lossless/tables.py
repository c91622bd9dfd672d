"""The tables of residuals: mixtures of two normals, made of integers alone (FORMAT.md, section 14).

A residual is a sample minus its rounded mean. Its table is chosen by a scale, by the phase of the
mean between two integers, and by a shape, the weight of the wider of the two normals. All 1536
tables follow from three short lists of integers and the normal distribution in steps of 1/64; they
are computed, with integers, when they are first needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.tables import PRECISION_BITS, TableFamily

Array = NDArray[Any]

NUM_SCALES, NUM_PHASES, NUM_SHAPES = 48, 8, 4
MAX_RESIDUAL = 255
STEP_BITS = 6  # of the normal distribution: 64 steps a standard deviation
BETWEEN_BITS = 12  # of a place between two steps
EDGE_BITS = 4  # of an edge between two residuals, relative to the mean
WEIGHT_BITS = 8
FLOOR = 16  # the least frequency of an entry


def table_index(scale: Array, phase: Array, shape: Array) -> NDArray[np.uint16]:
    """The place of a table among all."""
    index: NDArray[np.uint16] = ((scale * NUM_PHASES + phase) * NUM_SHAPES + shape).astype(
        np.uint16
    )
    return index


class Mixtures:
    """What the tables are made of.

    Args:
        normal: `(n,)` int32, the normal distribution function minus a half at 0, 1/64, 2/64, ...
            in units of 2^-24; from the last on it is constant.
        inverse: `(48, 2)` int32, for each scale the inverse standard deviations of the narrow and
            the wide normal, in steps of the normal for each 1/16 level, times 2^12.
        weight: `(4,)` int32, for each shape the weight of the wide normal, times 2^8.
        reach: `(48,)` int32, for each scale the largest residual that has an entry, 1 to 255.

    Raises:
        ValueError: these are no such lists.
    """

    def __init__(self, normal: Array, inverse: Array, weight: Array, reach: Array) -> None:
        half = 1 << (PRECISION_BITS - 1)
        normal = normal.astype(np.int64)  # so that no difference wraps
        if normal[0] != 0 or (np.diff(normal) < 0).any() or normal[-1] > half:
            raise ValueError("the normal distribution does not rise from 0 to a half")
        if (inverse < 0).any() or inverse.max() >= 1 << 20:
            raise ValueError("an inverse standard deviation is out of range")
        if weight.min() < 0 or weight.max() > 1 << WEIGHT_BITS:
            raise ValueError("a weight is out of range")
        if reach.min() < 1 or reach.max() > MAX_RESIDUAL:
            raise ValueError("the reach of a table is out of range")
        self._normal = normal
        self._inverse, self._weight = inverse.astype(np.int64), weight.astype(np.int64)
        self._reach = reach.astype(int).tolist()
        self._families: dict[int, TableFamily] = {}

    def family(self, width: int = 1) -> TableFamily:
        """The tables of residuals in bins.

        Args:
            width: residuals in a bin, odd; entry k stands for those around `k * width`.
        """
        if width not in self._families:
            self._families[width] = self._computed(width)  # two threads may both, to the same end
        return self._families[width]

    def _computed(self, width: int) -> TableFamily:
        freqs, lows = [], []
        for scale in range(NUM_SCALES):
            reach = -(-self._reach[scale] // width)
            edges = np.arange(-reach, reach + 2) * (2 * width) - width  # in half levels
            for phase in range(NUM_PHASES):
                for shape in range(NUM_SHAPES):
                    freqs.append(self._frequencies(edges, scale, phase, shape))
                    lows.append(-reach)
        return TableFamily(freqs, np.array(lows, np.int32))

    def _frequencies(self, edges: Array, scale: int, phase: int, shape: int) -> NDArray[np.int64]:
        # the mean of phase f lies (2 f - 7) / 16 beside the integer that it is rounded to
        places = (edges << (EDGE_BITS - 1)) - (2 * phase - (NUM_PHASES - 1))
        wide = self._weight[shape]
        mass = ((1 << WEIGHT_BITS) - wide) * self._below(places * self._inverse[scale, 0])
        mass = (mass + wide * self._below(places * self._inverse[scale, 1])) >> WEIGHT_BITS
        # the escape, the last entry, has what is left
        shared = (1 << PRECISION_BITS) - (FLOOR + 1) * len(edges)
        cdf = ((mass - mass[0]) * shared >> PRECISION_BITS) + FLOOR * np.arange(len(edges))
        return np.diff(np.append(cdf, 1 << PRECISION_BITS))

    def _below(self, places: Array) -> Array:
        """The normal distribution function minus a half at `places` / 2^12 steps, in 2^-24."""
        sizes = np.abs(places)
        steps = np.minimum(sizes >> BETWEEN_BITS, len(self._normal) - 2)
        between = np.minimum(sizes - (steps << BETWEEN_BITS), 1 << BETWEEN_BITS)
        low, high = self._normal[steps], self._normal[steps + 1]
        value = low + ((high - low) * between >> BETWEEN_BITS)
        signed: Array = np.where(places < 0, -value, value)
        return signed

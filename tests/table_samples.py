"""Tables of frequencies and symbols for tests of the range coder."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from rdae.bitstream.tables import TableFamily
from tests.reference_range_coder import TOTAL


def gaussian_table(sigma: float) -> tuple[NDArray[np.int64], int]:
    """A zero-mean discretised Gaussian out to six sigma, with an escape."""
    reach = max(2, math.ceil(6 * sigma))
    edges = [math.erf((k - 0.5) / sigma / math.sqrt(2)) for k in range(-reach, reach + 2)]
    mass = np.append(np.maximum(np.diff(edges), 0) / 2, 1e-6)
    freqs = np.maximum(1, np.floor(mass / mass.sum() * (TOTAL - 2 * mass.size))).astype(np.int64)
    freqs[reach] += TOTAL - freqs.sum()
    return freqs, -reach


@st.composite
def families(draw: st.DrawFn) -> TableFamily:
    """Any legal family: sizes from 2, frequencies from 1, lows at both ends of the range."""
    freqs, lows = [], []
    for _ in range(draw(st.integers(1, 5))):
        weights = draw(st.lists(st.integers(0, 1 << 12), min_size=2, max_size=9))
        spare = TOTAL - len(weights)
        floor = [1 + spare * w // max(1, sum(weights)) for w in weights]
        floor[draw(st.integers(0, len(weights) - 1))] += TOTAL - sum(floor)
        freqs.append(np.array(floor, np.int64))
        lows.append(draw(st.integers(-32768, 32769 - len(weights))))
    return TableFamily(freqs, np.array(lows))


def draw_symbols(
    data: st.DataObject, tables: TableFamily, *, max_size: int = 40
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Symbols inside and outside of their tables."""
    indexes = data.draw(st.lists(st.integers(0, len(tables) - 1), max_size=max_size))
    symbols = []
    for t in indexes:
        low, size = int(tables.lows[t]), int(tables.sizes[t])
        inside = st.integers(low, low + size - 2)
        symbols.append(data.draw(st.one_of(inside, inside, st.integers(-32768, 32767))))
    return np.array(symbols, np.int32), np.array(indexes, np.uint8)

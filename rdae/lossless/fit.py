"""What the encoder fits to a tile: filters by weighted least squares, and corrections of scales.

A decoder reads the results (`rdae.lossless.parameters`); nothing here decides what a file means,
so it is in floating point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.tables import TableFamily
from rdae.lossless.colour import (
    Prediction,
    before_filter,
    limits,
    scale_rows,
    scaled,
    shapes,
    split_mean,
    to_bins,
)
from rdae.lossless.networks import NUM_COLOURS
from rdae.lossless.parameters import (
    BASE,
    COEFFICIENT_BITS,
    LARGEST_FACTOR,
    LARGEST_SUM,
    MIDDLE,
    NEAR,
    NONE,
    OFFSET_BITS,
    WIDE,
    Parameters,
    factor_index,
)
from rdae.lossless.pyramid import COLOURS, FRACTION_BITS
from rdae.lossless.tables import NUM_SCALES, table_index
from rdae.lossless.walk import LevelWalk
from rdae.threads import parallel_map

Array = NDArray[Any]
Some = tuple[NDArray[np.intp], slice]  # rows and columns of cells

# Cells from which on a filter is worth its bits: at the finest level, and at others, where pixels
# that are not the nearest say less.
WORTH_AT_FINEST = {WIDE: 10_000, MIDDLE: 4_000, NEAR: 3_000}
WORTH = {WIDE: 60_000, MIDDLE: 12_000, NEAR: 3_000}
ON_BASE = {NEAR: 1_000, BASE: 128}  # instead, where filters see a lossy picture
MOST_CELLS = 50_000  # that a filter is fitted to
START_ROWS = 3  # one of so many of their rows suffices for a start; no divisor of JPEG's blocks
FEW_CELLS = 8_000  # of which all are needed
BLOCK_CELLS = 1024  # that a thread weights and multiplies at a time, in the cache
MOST_SAMPLES = 6_000  # that corrections of scales are fitted to
RIDGE = 1e-5
ROBUST = 0.15  # how much the weight of a large error shrinks
LEAST_SCALE = 0.5
MOST_ERROR = 16  # levels that an error counts with in the statistic of a filter
STEPS = ((0, 8, 0), (16, 0, 0), (0, 0, 8), (0, 3, 0), (8, 0, 0), (0, 0, 4), (0, 1, 0), (4, 0, 0))
THREE = np.full(3, 1 / 3, np.float32)  # cells side by side, whose errors are alike
_ONE = float(1 << FRACTION_BITS)
SCALES = np.geomspace(0.1, 80.0, NUM_SCALES)  # standard deviations of the tables' rows, in levels


@dataclass(frozen=True)
class Fitted:
    """What was found for a pass.

    Attributes:
        parameters: of the tile.
        predictions: of the colours that are coded, which the walk has settled; none of no pixels.
    """

    parameters: Parameters
    predictions: list[Prediction]


def fit_pass(
    walk: LevelWalk, target: NDArray[np.uint8], tables: TableFamily, coded: int, max_error: int
) -> Fitted:
    """Find parameters of the pass that `walk` has begun.

    Args:
        walk: is settled meanwhile, with the pixels that a decoder will have.
        target: `(rows, columns, 3)`, the pixels that the pass adds.
        tables: of residuals.
        coded: how many colours are coded.
        max_error: how far a decoded sample may be off.
    """
    parameters = Parameters()
    there = tuple(slice(n) for n in target.shape[:2])
    cells = target.shape[0] * target.shape[1]
    if not cells:
        return Fitted(parameters, [])
    parameters.kind = kind_of(cells, walk.level, has_base=walk.has_base)
    some = _rows_of(*target.shape[:2]), there[1]
    matrix = _inputs(walk, parameters.kind, some)
    count = matrix.shape[1] - NUM_COLOURS  # taps and the one
    if parameters.kind != NONE:
        parameters.filter = np.zeros((count - 1, NUM_COLOURS), np.int32)
    start = _first_filters(walk, target, matrix, some)
    parameters.statistic = start.statistic
    predictions, own = [], None
    for k in range(coded):
        values = target[..., COLOURS[k]]
        head = walk.head(k, parameters)
        if parameters.kind != NONE:
            before = before_filter(k, head.astype(np.int32), walk.seen)[some].ravel()
            wrong = (values[some].ravel() - before / _ONE).astype(np.float32)
            wrong -= matrix[:, : count + k] @ start.filters[k]
            more = np.append(start.filters[k], np.float32(0))
            matrix[:, count + k] = head[..., 0][some].ravel() / _ONE
            scale = np.maximum(SCALES[scale_rows(head[..., 1][some])].ravel(), LEAST_SCALE)
            solution = _solve(
                matrix[:, : count + k + 1], wrong, _weight(wrong, scale), walk.threads
            )
            _set(parameters, k, more + solution)
        own = walk.own(parameters, slice(k, k + 1), own)
        mean = walk.predict(k, head, own, parameters).mean
        _correct(
            parameters, k, head[there].astype(np.int32), values, mean[there], tables, max_error
        )
        predictions.append(walk.predict(k, head, own, parameters))
        _, decoded = to_bins(values, predictions[k], max_error)
        walk.settle(k, decoded, predictions[k])
        matrix[:, count + k] = walk.seen.difference(k)[some].ravel() / _ONE
    return Fitted(parameters, predictions)


def kind_of(cells: int, level: int, *, has_base: bool = False) -> int:
    """What the filters of a pass of so many cells of a level see."""
    worth = WORTH_AT_FINEST if level == 0 else WORTH
    if has_base:
        worth = worth | ON_BASE
    return next((kind for kind, least in worth.items() if cells >= least), NONE)


def _rows_of(rows: int, columns: int) -> NDArray[np.intp]:
    """Rows of cells that filters are fitted to, not all a multiple of some number apart.

    Where pixels have been JPEG, every fourth row of cells would be the same one of their blocks.
    """
    count = min(rows, -(-MOST_CELLS // columns))
    return np.arange(count) * rows // count


def _inputs(walk: LevelWalk, kind: int, some: Some) -> NDArray[np.float32]:
    """What filters see in some cells, in levels.

    Returns:
        `(cells, taps + 1 + 3)`: taps, a one, and room for the differences of the same pixel's
        colours.
    """
    rows, columns = len(some[0]), some[1].stop
    if kind == NONE:
        return np.ones((rows * columns, 1 + NUM_COLOURS), np.float32)
    values = walk.tap_values(kind, some[0])[:, :columns]
    taps = values.shape[2]
    matrix = np.empty((rows * columns, taps + 1 + NUM_COLOURS), np.float32)
    inside = matrix.reshape(rows, columns, -1)[..., :taps]
    np.multiply(values, np.float32(1 / _ONE), out=inside)
    matrix[:, taps:] = 1
    return matrix


@dataclass(frozen=True)
class _Start:
    """Filters on the generic one's errors, which the networks were trained to go on from.

    Attributes:
        filters: for each colour `(taps + 1 + colours before,)`.
        statistic: as of `Parameters`.
    """

    filters: list[NDArray[np.float32]]
    statistic: NDArray[np.int32]


def _first_filters(
    walk: LevelWalk,
    target: NDArray[np.uint8],
    matrix: NDArray[np.float32],
    some: Some,
) -> _Start:
    """Fit filters without the network: weights are the inverse of the squared errors around.

    Args:
        walk: in the pass.
        target: the pixels that it adds.
        matrix: as of `_inputs`.
        some: which cells it has. The start needs a part of their rows: it only finds weights and
            the statistic.
    """
    seen, step = walk.seen, 1
    if len(matrix) > FEW_CELLS:
        rows, columns = some
        part = np.arange(0, len(rows), START_ROWS)
        of_part = matrix.reshape(len(rows), columns.stop, -1)[part]
        matrix, some = of_part.reshape(-1, matrix.shape[1]), (rows[part], columns)
        step = 2
    filters, logarithms = [], []
    before: list[Array] = []
    first = matrix.shape[1] - NUM_COLOURS
    for k, c in enumerate(COLOURS):
        levels = target[..., c][some].astype(np.int32) << FRACTION_BITS
        wrong = levels - seen.reference[..., c][some] - seen.linear[..., c][some]
        for j in range(k):
            wrong -= scaled(before[j], int(seen.same[factor_index(k, j)]))
        before.append(levels - seen.reference[..., c][some])
        wanted = (wrong.ravel() / _ONE).astype(np.float32)
        known = matrix[:, : first + k]
        error = wanted
        for every in (step, 1):  # the first solution only finds weights
            weight = 1 / (np.convolve(error * error, THREE, "same") + np.float32(0.5))
            found = _solve(known[::every], wanted[::every], weight[::every], walk.threads)
            solution = found.astype(np.float32)
            error = wanted - known @ solution
        filters.append(solution)
        logarithms.append(np.log2(np.minimum(np.abs(error), MOST_ERROR).mean() + 0.05))
        matrix[:, first + k] = before[k].ravel() / _ONE
    return _Start(filters, np.rint(8 * np.array(logarithms)).astype(np.int32))


def _weight(wrong: Array, scale: Array) -> Array:
    return 1 / (scale**2 + wrong**2 * ROBUST)


def _solve(
    matrix: NDArray[np.float32], wanted: NDArray[np.float32], weight: Array, threads: int
) -> NDArray[np.float64]:
    """Weighted least squares with a small ridge; the same on any number of threads."""
    count = matrix.shape[1]
    root = np.sqrt(weight).astype(np.float32)[:, None]

    def products(start: int) -> NDArray[np.float32]:
        block = slice(start, start + BLOCK_CELLS)
        weighted = np.empty((len(root[block]), count + 1), np.float32)
        np.multiply(matrix[block], root[block], out=weighted[:, :count])
        np.multiply(wanted[block], root[block, 0], out=weighted[:, count])
        of_all: NDArray[np.float32] = weighted.T @ weighted  # BLAS knows that it is symmetric
        return of_all

    gram = np.zeros((count + 1, count + 1))  # the last row and column are of what is wanted
    for part in parallel_map(products, range(0, len(matrix), BLOCK_CELLS), threads):
        gram += part
    left, right = gram[:count, :count], gram[:count, count]
    left += np.eye(count) * (RIDGE * np.trace(left) / count)
    solution: NDArray[Any] = np.linalg.solve(left, right)
    return solution


def _set(parameters: Parameters, k: int, solution: NDArray[np.float64]) -> None:
    """Round the filter of colour number `k`."""
    count = len(parameters.filter)
    coefficients = np.rint(solution * (1 << COEFFICIENT_BITS))
    own = np.clip(coefficients[:count], -LARGEST_FACTOR, LARGEST_FACTOR)
    total = np.abs(own).sum()
    if total > LARGEST_SUM:  # patterns made for it; a filter that does less than it could is valid
        own = np.trunc(own * (LARGEST_SUM / total))
    parameters.filter[:, k] = own
    units = solution[count] * _ONE / (1 << OFFSET_BITS)
    parameters.offset[k] = np.clip(np.rint(units), -LARGEST_FACTOR, LARGEST_FACTOR)
    for j in range(k):
        factor = np.clip(coefficients[count + 1 + j], -LARGEST_FACTOR, LARGEST_FACTOR)
        parameters.factors[factor_index(k, j)] = factor
    parameters.gain[k] = np.clip(coefficients[-1], -LARGEST_FACTOR, LARGEST_FACTOR)


def _correct(
    parameters: Parameters,
    k: int,
    head: Array,
    values: Array,
    mean: Array,
    tables: TableFamily,
    max_error: int,
) -> None:
    """Find slope and offsets of scales and shapes that cost the fewest bits."""
    # an odd step, since blocks of JPEG have sides of eight
    some = slice(None, None, values.size // MOST_SAMPLES | 1)
    rounded, phases = split_mean(mean.ravel()[some])
    residuals = (values.ravel()[some] - rounded + max_error) // (2 * max_error + 1)
    least_bins, most_bins = limits(mean.ravel()[some], max_error).T
    edges = (residuals == least_bins) + 2 * (residuals == most_bins)
    rows, shape = head[..., 1].ravel()[some], head[..., 2].ravel()[some]
    middle = rows.mean() / 16

    def bits(slope: int, row: int, more: int) -> float:
        parameters.slope[k], parameters.row[k], parameters.shape[k] = slope, row, more
        scales = scale_rows(parameters.rows(rows, k))
        index = table_index(scales, phases, shapes(parameters.shapes(shape, k)))
        return tables.bits(residuals, index, edges)

    best = (0, 0, 0)
    least = bits(*best)
    for slope, row, more in STEPS:
        # a slope turns about the middle, which its offset holds in place
        row -= round(slope * middle / 256)
        for sign in (1, -1):
            while True:
                new = (best[0] + sign * slope, best[1] + sign * row, best[2] + sign * more)
                if max(map(abs, new)) > 127 or (cost := bits(*new)) >= least:
                    break
                best, least = new, cost
    parameters.slope[k], parameters.row[k], parameters.shape[k] = best

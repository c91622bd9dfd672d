"""One level of the pyramid while its passes are coded: the same integers for encoder and decoder.

    mean  = reference + generic filter + the tile's own filter
            + factors * differences and errors of the same pixel's colours before + the network
    scale = the network's row, corrected by the tile's parameters; shape likewise

Pixels of the last cells that the picture does not have are not coded: what they would add is 0.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.lossless.base import AROUND, base_values
from rdae.lossless.model import LosslessModel
from rdae.lossless.parameters import (
    BASE,
    COEFFICIENT_BITS,
    FACTOR_BITS,
    STATISTIC_BITS,
    WINDOWS,
    Parameters,
    factor_index,
    num_taps,
    taps,
)
from rdae.lossless.pyramid import (
    COLOURS,
    FRACTION_BITS,
    PHASES,
    local_mean,
    reference,
    side_by_side,
)
from rdae.lossless.tables import NUM_SCALES, NUM_SHAPES

Array = NDArray[Any]

ONE = 1 << FRACTION_BITS
LARGEST_MEAN = 255 * ONE
NORMALISED_BITS = 6  # of the product of an error and an inverse scale
NORMALISED_FRACTION = 12  # bits behind the point of a normalised error
LARGEST_NORMALISED = 6 << NORMALISED_FRACTION  # six standard deviations
UNIT_BITS = 7  # of rows and shapes
PHASE_BITS = 4  # of a mean, within one of eight phases


class LevelWalk:
    """A level, pass by pass, colour by colour.

    Use: `begin_pass`, then `head`, `mean` and `settle` for each colour in the order of `COLOURS`.
    """

    def __init__(
        self,
        model: LosslessModel,
        number: int,
        known: NDArray[np.uint8],
        threads: int,
        base: NDArray[np.uint8] | None = None,
    ) -> None:
        """Begin a level.

        Args:
            model: the model.
            number: of the level.
            known: `(rows, columns, 3)`, the upper left pixels of the cells.
            threads: how many threads the networks may use.
            base: `(rows, columns, 3)`, the level of a lossy picture with all its pixels, if there
                is one beneath.
        """
        self._base = base
        self._model, self._net, self._threads = model, model.level(number), threads
        self.shape = known.shape[:2]
        self._known = known.astype(np.int32) << FRACTION_BITS
        self._quarters = reference(known)
        self._local_mean = local_mean(self._quarters)
        centred = (self._quarters << (FRACTION_BITS - 2)) - self._local_mean[:, :, None]
        self._centred = centred.astype(np.int16).reshape(*self.shape, -1)
        self._h = self._net.begin(self._centred, threads)
        self._differences: list[NDArray[np.int16]] = []
        self._new: list[NDArray[np.int16]] = []

    @property
    def has_base(self) -> bool:
        """Whether filters see a lossy picture."""
        return self._base is not None

    def begin_pass(self, number: int) -> None:
        """Go on to a pass; those before are settled."""
        self.number = number
        new = np.concatenate(self._new, axis=2) if self._new else None
        self._h = self._net.go_on(number, self._h, new, self._threads)
        seen = np.concatenate([*self._differences, self._centred], axis=2)
        row, column = PHASES[number]
        self.reference = self._quarters[:, :, 2 * row + column] << (FRACTION_BITS - 2)
        self.generic = self.reference + self._net.linear(number, seen, self._threads)
        self.begin_again()

    def begin_again(self) -> None:
        """Forget what was settled of the present pass."""
        self._difference = np.zeros((*self.shape, 3), np.int16)
        self._error = np.zeros((*self.shape, 3), np.int16)
        self._normalised = np.zeros((*self.shape, 3), np.int16)
        self._features: list[NDArray[np.int16]] = []

    def tap_values(self, kind: int) -> NDArray[np.int16]:
        """What a filter of that kind sees, `(rows, columns, taps)`."""
        rows, columns = self.shape
        local_mean = self._local_mean.astype(np.int16)
        values = np.empty(
            (rows, columns, num_taps(self.number, kind, has_base=self.has_base)), np.int16
        )
        if self._base is not None:
            seen = base_values(self._base, self.number)
            values[:, :, -seen.shape[2] :] = seen - np.tile(local_mean, len(AROUND))
        if kind == BASE:
            return values
        known, added = taps(self.number, kind)
        low, high = WINDOWS[kind]
        size = 1 + high - low
        edge = np.pad(self._known, ((-low, high), (-low, high), (0, 0)), mode="edge")
        edge = edge.astype(np.int16)
        mean = np.tile(local_mean, size)
        for i in range(size):  # the taps of a row stand beside each other
            seen = side_by_side(edge[i : i + rows], size)
            np.subtract(seen, mean, out=values[:, :, 3 * size * i : 3 * size * (i + 1)])
        end = 3 * len(known)
        zeros = [np.pad(d, ((1, 1), (1, 1), (0, 0))) for d in self._differences]
        for (earlier, y), run in groupby(added, lambda tap: tap[:2]):
            columns_seen = [x for _, _, x in run]
            first, count = columns_seen[0], len(columns_seen)
            line = zeros[earlier][1 + y : 1 + y + rows, 1 + first :]
            values[:, :, end : end + 3 * count] = side_by_side(line, count)[:, :columns]
            end += 3 * count
        return values

    def own(self, parameters: Parameters) -> Array | None:
        """What the tile's own filter adds, `(rows, columns, 3)` in the order of `COLOURS`."""
        network = parameters.network()
        if network is None:
            return None
        return network(self.tap_values(parameters.kind), 0, self._threads)

    def head(self, k: int, parameters: Parameters) -> NDArray[np.int16]:
        """The network's word on colour number `k`: mean, row, shape, and factors of errors."""
        if not self._features:
            statistic = (parameters.statistic << STATISTIC_BITS).astype(np.int16)
            self._features.append(np.broadcast_to(statistic, (*self.shape, 3)))
        seen = np.concatenate(self._features, axis=2)
        return self._net.head(self.number, k, self._h, seen, self._threads)

    def before_filter(self, k: int, head: Array) -> Array:
        """The mean of colour number `k` without anything of the tile's parameters, int32."""
        mean: Array = self.generic[..., COLOURS[k]] + head[..., 0]
        half = 1 << (FACTOR_BITS - 1)
        for j in range(k):
            error = self._error[..., COLOURS[j]].astype(np.int32)
            mean = mean + ((error * head[..., 3 + j] + half) >> FACTOR_BITS)
            mean = mean + self.generic_share(k, j, self.difference(j))
        return mean

    def mean(
        self, k: int, head: Array, before: Array, own: Array | None, parameters: Parameters
    ) -> Array:
        """The mean in 1/128 level, 0 to 32640."""
        mean = before
        if own is not None:
            gain = int(parameters.gain[k])
            half = 1 << (COEFFICIENT_BITS - 1)
            mean = mean + own[..., k] + ((head[..., 0] * gain + half) >> COEFFICIENT_BITS)
            for j in range(k):
                factor = int(parameters.factors[factor_index(k, j)])
                factor <<= FACTOR_BITS - COEFFICIENT_BITS
                mean = mean + _scaled(self.difference(j), factor)
        clipped: Array = np.clip(mean, 0, LARGEST_MEAN)
        return clipped

    def difference(self, j: int) -> NDArray[np.int16]:
        """Pixels of colour number `j` minus their references."""
        return self._difference[..., COLOURS[j]]

    def generic_share(self, k: int, j: int, difference: Array) -> Array:
        """What the difference of colour number `j` adds to the mean of number `k` in any tile."""
        return _scaled(difference, int(self._net.same[self.number, factor_index(k, j)]))

    def settle(self, k: int, pixels: Array, mean: Array, scales: Array) -> None:
        """Take the pixels of colour number `k`.

        Args:
            k: number of the colour.
            pixels: `(rows, columns)` of those that there are, 0 to 255.
            mean: of all cells.
            scales: rows of all cells, 0 to 47.
        """
        there = tuple(slice(n) for n in pixels.shape)
        c = COLOURS[k]
        levels = pixels.astype(np.int32) << FRACTION_BITS
        self._difference[..., c][there] = levels - self.reference[..., c][there]
        error = levels - mean[there]
        self._error[..., c][there] = error
        product = error * self._model.inverse[scales[there]]
        normalised = (product + (1 << (NORMALISED_BITS - 1))) >> NORMALISED_BITS
        normalised = np.clip(normalised, -LARGEST_NORMALISED, LARGEST_NORMALISED)
        self._normalised[..., c][there] = normalised
        e, n = self._error[..., c], self._normalised[..., c]
        self._features.append(np.stack([e, np.abs(e), n, np.abs(n)], axis=2))

    def end_pass(self) -> None:
        """Keep what the pass has added."""
        self._differences.append(self._difference)
        self._new = [self._difference, self._error, self._normalised]


def _scaled(difference: Array, factor: int) -> Array:
    return (difference.astype(np.int32) * factor + (1 << (FACTOR_BITS - 1))) >> FACTOR_BITS


def scale_rows(raw: Array) -> Array:
    """Rows of scales from rows in 1/128."""
    rows: Array = np.clip((raw + (1 << (UNIT_BITS - 1))) >> UNIT_BITS, 0, NUM_SCALES - 1)
    return rows


def shapes(raw: Array) -> Array:
    """Shapes from shapes in 1/128."""
    found: Array = np.clip((raw + (1 << (UNIT_BITS - 1))) >> UNIT_BITS, 0, NUM_SHAPES - 1)
    return found


def split_mean(mean: Array) -> tuple[Array, Array]:
    """Rounded means, and the phases of what rounding takes away."""
    shifted = mean + ONE // 2
    return shifted >> FRACTION_BITS, (shifted & (ONE - 1)) >> PHASE_BITS

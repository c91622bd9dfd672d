"""One level of the pyramid while its passes are coded: the same integers for encoder and decoder.

What a pixel's colour is predicted from is the business of `rdae.lossless.colour`. Pixels of the
last cells that the picture does not have are not coded: what they would add is 0.
"""

from __future__ import annotations

from functools import cached_property
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from rdae.exact.taps import Run, Source, filtered, tap_values
from rdae.lossless import colour
from rdae.lossless.base import base_values
from rdae.lossless.colour import DIFFERENCE, Prediction, Seen
from rdae.lossless.model import LosslessModel
from rdae.lossless.networks import (
    ADDED,
    ERROR_FEATURES,
    NUM_COLOURS,
    NUM_PASSES,
    REFERENCES,
    STATISTICS,
)
from rdae.lossless.parameters import BASE, EVERY_COLOUR, STATISTIC_BITS, WINDOWS, Parameters, taps
from rdae.lossless.pyramid import FRACTION_BITS, PHASES, local_mean, reference

MARGIN = max(max(-low, high) for low, high in WINDOWS.values())  # cells that a filter looks beyond


class LevelWalk:
    """A level, pass by pass, colour by colour.

    Use: `begin_pass`, then `head`, `predict` and `settle` for each colour in the order of
    `COLOURS`, then `end_pass`. Colours may be settled anew, from the first one on.

    Attributes:
        shape: rows and columns of cells.
        level: its number.
        number: of the pass.
        seen: what the pass is predicted from.
        threads: how many may be used.
    """

    seen: Seen
    number: int

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
        self.level, self._base = number, base
        self._model, self._net, self.threads = model, model.level(number), threads
        rows, columns = self.shape = known.shape[:2]
        self._known = known
        self._quarters = reference(known)
        mean = local_mean(self._quarters)
        self._local_mean = mean.astype(np.int16, order="C")
        # the centred references of all cells and, behind them, the differences of the passes so far
        channels = REFERENCES + NUM_COLOURS * (NUM_PASSES - 1)
        self._context = np.empty((rows, columns, channels), np.int16)
        centred = (self._quarters << (FRACTION_BITS - 2)) - mean[:, :, None]
        self._context[..., :REFERENCES] = centred.reshape(rows, columns, REFERENCES)
        self._h = self._net.begin(self._context[..., :REFERENCES], threads)
        self._differences: list[Source] = []
        self._added: NDArray[np.int16] | None = None

    @property
    def has_base(self) -> bool:
        """Whether filters see a lossy picture."""
        return self._base is not None

    def begin_pass(self, number: int) -> None:
        """Go on to a pass; those before are settled."""
        self.number = number
        self._h = self._net.go_on(number, self._h, self._added, self.threads)
        row, column = PHASES[number]
        quarters = self._quarters[:, :, 2 * row + column]
        known = self._context[..., : REFERENCES + NUM_COLOURS * number]
        self._added = np.zeros((*self.shape, ADDED), np.int16)
        self.seen = Seen(
            reference=(quarters << (FRACTION_BITS - 2)).astype(np.int16, order="C"),
            linear=self._net.linear(number, known, self.threads),
            same=self._net.same[number],
            added=self._added,
        )
        channels = STATISTICS + ERROR_FEATURES * NUM_COLOURS
        self._features = np.zeros((*self.shape, channels), np.int16)

    @cached_property
    def _edge(self) -> Source:
        """The known pixels, those at the edges repeated."""
        padded = np.pad(self._known, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
        return Source(padded.astype(np.int16) << FRACTION_BITS, MARGIN)

    def _taps(self, kind: int) -> tuple[list[Source], list[Run]]:
        """What a filter of that kind sees, and where."""
        sources, runs = [self._edge, *self._differences], []
        if kind != BASE:
            low, high = WINDOWS[kind]
            runs = [Run(0, y, low, 1 + high - low, True) for y in range(low, high + 1)]
            for (earlier, y), run in groupby(taps(self.number, kind)[1], lambda tap: tap[:2]):
                columns = [x for _, _, x in run]  # beside each other
                runs.append(Run(1 + earlier, y, columns[0], len(columns), False))
        if self._base is not None:
            runs.append(Run(len(sources), 0, 0, 1, True))
            sources.append(Source(base_values(self._base, self.number), 0))
        return sources, runs

    def tap_values(self, kind: int, rows: NDArray[np.intp]) -> NDArray[np.int16]:
        """What a filter of that kind sees in some rows of cells, `(rows, columns, taps)`."""
        return tap_values(*self._taps(kind), self._local_mean, rows)

    def own(
        self,
        parameters: Parameters,
        colours: slice = EVERY_COLOUR,
        known: NDArray[np.int16] | None = None,
    ) -> NDArray[np.int16] | None:
        """What the tile's own filter adds, `(rows, columns, 3)` in the order of `COLOURS`.

        Args:
            parameters: of the tile.
            colours: numbers of those that are asked for.
            known: what it adds of others, is completed; a new array if None.
        """
        layer = parameters.layer(colours)
        if layer is None:
            return None
        own = np.empty((*self.shape, NUM_COLOURS), np.int16) if known is None else known
        seen = self._taps(parameters.kind)
        filtered(*seen, self._local_mean, layer, self.threads, own[..., colours])
        return own

    def head(self, k: int, parameters: Parameters) -> NDArray[np.int16]:
        """The network's word on colour number `k`: mean, row, shape, and factors of errors."""
        if k == 0:
            self._features[..., :STATISTICS] = parameters.statistic << STATISTIC_BITS
        seen = self._features[..., : STATISTICS + ERROR_FEATURES * k]
        return self._net.head(self.number, k, self._h, seen, self.threads)

    def predict(
        self,
        k: int,
        head: NDArray[np.int16],
        own: NDArray[np.int16] | None,
        parameters: Parameters,
    ) -> Prediction:
        """Means, scales and tables of colour number `k`, as `rdae.lossless.colour.predict`."""
        return colour.predict(k, head, self.seen, own, parameters)

    def settle(self, k: int, pixels: NDArray[np.uint8], prediction: Prediction) -> None:
        """Take the pixels of colour number `k`, `(rows, columns)` of those that there are."""
        first = STATISTICS + ERROR_FEATURES * k
        features = self._features[..., first : first + ERROR_FEATURES]
        colour.settle(k, pixels, prediction, self._model.inverse, self.seen, features)

    def end_pass(self) -> None:
        """Keep what the pass has added."""
        differences = self.seen.added[..., DIFFERENCE : DIFFERENCE + NUM_COLOURS]
        self._differences.append(Source(np.pad(differences, ((1, 1), (1, 1), (0, 0))), 1))
        first = REFERENCES + NUM_COLOURS * self.number
        if self.number < NUM_PASSES - 1:
            self._context[..., first : first + NUM_COLOURS] = differences

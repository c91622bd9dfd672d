"""The encoder's half of a model: networks and gains that choose what to send.

Nothing here is read back by a decoder, so only what it gives, symbols, must be integers: y and z
before they are quantised are in real units in float32.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.tables import TableFamily
from rdae.exact import kernel
from rdae.exact.arithmetic import MEAN_BITS, PIXEL_LARGEST, saturated
from rdae.exact.layers import Centre
from rdae.exact.network import ExactNetwork, Tensors, exact_steps, take
from rdae.exact.windows import run_in_windows
from rdae.geometry import PATCH, Rectangle
from rdae.model.quarters import by_phase, phases
from rdae.model.spec import NUM_ROWS, ModelSpec
from rdae.network_spec import halo
from rdae.rounding import MAX_SYMBOL, REACH, dead_zones, round_to_symbols
from rdae.scales import NUM_POINTS

Array = NDArray[Any]


class EncoderHalf:
    """From pixels to y, from y to z, and from both to symbols.

    Args:
        spec: of the model, with M channels of y and N of z.
        tensors: of the weights file.
        y_tables: of the model; what symbols of y cost.

    Attributes:
        y_scale: `(M,)` what an integer of the analysis stands for, in real units.
        z_scale: `(1,)` the same of z.
        y_unit: `(M,)` the same of y_hat.

    Raises:
        WeightsMismatchError: a tensor is missing or malformed, or fails the proof.
    """

    def __init__(self, spec: ModelSpec, tensors: Tensors, y_tables: TableFamily) -> None:
        self.spec, self._y_tables = spec, y_tables
        m, n = spec.latent_channels, spec.hyper_channels
        analysis = exact_steps(spec.analysis, "analysis", tensors, largest=PIXEL_LARGEST)
        self._analysis = ExactNetwork([Centre(), *analysis])
        self._hyper_analysis = ExactNetwork(
            exact_steps(spec.hyper_analysis, "hyper_analysis", tensors)
        )
        self.y_scale = take(tensors, "analysis.scale", "float32", (m,))
        self.z_scale = take(tensors, "hyper_analysis.scale", "float32", (1,))
        self._y_gain = take(tensors, "y.gain", "float32", (NUM_POINTS, m))  # symbols a real unit
        self._z_gain = take(tensors, "z.gain", "float32", (NUM_POINTS, n))
        bits = take(tensors, "y.unit", "int8", (m,))
        self.y_unit: Array = np.ldexp(np.float32(1), -bits.astype(int))

    def analyse(
        self, rgb: NDArray[np.uint8], area: Rectangle, point: int, threads: int
    ) -> NDArray[np.float32]:
        """The latent of a part of a picture, as if of the whole.

        Args:
            rgb: `(H, W, 3)`, the whole picture. Its last row and column are repeated up to
                multiples of 16.
            area: the cells that are wanted, in units of 16 pixels.
            point: quality point, 0 to 255.
            threads: how many threads to use.

        Returns:
            `(rows, columns, M)` y of the area, in real units; 0 in cells that are not coded. The
            decoder has no pixels there, so the last coded cells must not be made for neighbours
            that they will not have.
        """
        height, width = rgb.shape[:2]
        cells = Rectangle.whole(width, height).scaled(1, PATCH)
        coded = area.common(cells)
        y = np.zeros((area.rows, area.columns, self.spec.latent_channels), np.float32)

        def read(window: Rectangle) -> Array:
            part = rgb[window.slices(PATCH)]
            below = window.rows * PATCH - part.shape[0]
            beside = window.columns * PATCH - part.shape[1]
            if not below and not beside:
                return part
            return np.pad(part, ((0, below), (0, beside), (0, 0)), "edge")

        def write(window: Rectangle, out: Array) -> None:
            np.multiply(out, self.y_scale, out=y[window.seen_from(area).slices()])

        run_in_windows(
            lambda x, wanted: self._analysis(x, point, threads, wanted.scaled(PATCH, 1)),
            read,
            write,
            rows=cells.rows,
            columns=cells.columns,
            halo=math.ceil(halo(self.spec.analysis) / PATCH),
            scale=1,
            area=coded,
        )
        return y

    def z_in_symbols(self, y: NDArray[np.float32], point: int) -> Array:
        """The hyper-latent of the latent `(rows, columns, M)` of one tile, before rounding."""
        given = saturated(np.rint(y * (1 / self.y_scale)))
        z: Array = self._hyper_analysis(given, point) * (self.z_scale * self._z_gain[point])
        return z

    def quantise_z(self, y: NDArray[np.float32], point: int) -> NDArray[np.int32]:
        """The hyper-latent's symbols for the latent `(rows, columns, M)` of one tile."""
        return _to_symbols(self.z_in_symbols(y, point))

    def y_in_symbols(self, k: int, y: NDArray[np.float32], mean: Array, point: int) -> Array:
        """The quarter of y that pass `k` codes, given the decoder's means, before rounding."""
        v = y.copy()
        for cells, group in phases(k, self.spec.latent_channels):
            v[cells] -= mean[cells] * (self.y_unit[group] * np.float32(2.0**-MEAN_BITS))
            v[cells] *= self._y_gain[point, group]
        return v

    def quantise_y(
        self,
        k: int,
        y: NDArray[np.float32],
        mean: Array,
        indexes: NDArray[np.uint8],
        point: int,
        *,
        rate_aware: bool = True,
    ) -> NDArray[np.int32]:
        """Symbols of a quarter of y, given the decoder's means and tables.

        They are the nearest ones or, `rate_aware`, those that `rdae.rounding` finds worth sending.
        """
        if kernel.selected() != "numpy":
            unit = by_phase(k, self.y_unit) * np.float32(2.0**-MEAN_BITS)
            gain = by_phase(k, self._y_gain[point])
            tables = indexes if rate_aware else None
            return kernel.quarter_quantise(y, mean, unit, gain, tables, self._dead_zones)
        v = self.y_in_symbols(k, y, mean, point)
        return _to_symbols(round_to_symbols(v, indexes, self._dead_zones) if rate_aware else v)

    @cached_property
    def _dead_zones(self) -> Array:
        """How much less each magnitude is sent, for each table of y."""
        magnitudes = np.tile(np.arange(REACH + 1), NUM_ROWS)
        tables = np.repeat(np.arange(NUM_ROWS), REACH + 1)
        bits = self._y_tables.symbol_bits(magnitudes, tables)
        bits += self._y_tables.symbol_bits(-magnitudes, tables)
        return dead_zones(bits.reshape(NUM_ROWS, REACH + 1) / 2)


def _to_symbols(v: Array) -> NDArray[np.int32]:
    """Round to the integers that the entropy coder takes."""
    symbols: NDArray[np.int32] = np.clip(np.rint(v), -MAX_SYMBOL, MAX_SYMBOL).astype(np.int32)
    return symbols

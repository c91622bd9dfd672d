"""A loaded model: the networks, quantisers and tables of one weights file, ready to code.

Latents and features are arrays `(rows, columns, channels)` of int16, exact on every machine. What
an encoder wants to send, y and z before they are quantised, is in real units in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.tables import TableFamily
from rdae.errors import WeightsMismatchError
from rdae.exact import kernel
from rdae.exact.arithmetic import (
    HIGHEST,
    LOWEST,
    MEAN_BITS,
    PIXEL_BITS,
    PIXEL_LARGEST,
    ROW_BITS,
)
from rdae.exact.layers import Centre, Levels, Shuffle
from rdae.exact.network import ExactNetwork, exact_steps, take, take_shift
from rdae.exact.stages import Concatenate, Step
from rdae.exact.windows import run_in_windows
from rdae.geometry import PATCH, Rectangle
from rdae.model.passes import for_quarter, phases
from rdae.model.spec import NUM_ANCHORS, NUM_PASSES, NUM_ROWS
from rdae.model.weights_file import Description, fingerprint, read_weights
from rdae.network_spec import halo
from rdae.rounding import MAX_SYMBOL, REACH, dead_zones, round_to_symbols
from rdae.scales import LAMBDA_RANGE, NUM_POINTS, TUNES, rd_lambda_at

Array = NDArray[Any]


class Model:
    """One trained autoencoder.

    Attributes:
        description: id, name, spec and provenance.
        fingerprint: 4 bytes that a file's header carries.
        path: the weights file it was loaded from, if any.
    """

    path: Path | None = None

    def __init__(self, description: Description, tensors: dict[str, Array]) -> None:
        """Build the networks and prove them exact.

        Raises:
            WeightsMismatchError: a tensor is missing, malformed, or fails the proof.
        """
        spec = description.spec
        self.description, self.spec = description, spec
        self.fingerprint = fingerprint(spec, tensors)
        self.tensors = tensors
        steps = {
            name: exact_steps(layers, name, tensors)
            for name, layers in spec.decoder_sections().items()
        }
        self._hyper_synthesis = ExactNetwork(steps["hyper_synthesis"])
        self._synthesis = ExactNetwork(_to_levels(steps["synthesis"]))
        self._passes = [ExactNetwork(for_quarter(0, steps["first"], spec.latent_channels))]
        for k in range(1, NUM_PASSES):
            inputs, outputs = steps[f"inputs.{k - 1}"], steps[f"outputs.{k - 1}"]
            layers = [Concatenate(), *inputs, *steps["shared"], *outputs]
            self._passes.append(ExactNetwork(for_quarter(k, layers, spec.latent_channels)))
        m, n = spec.latent_channels, spec.hyper_channels
        self._y_step = take(tensors, "y.step", "int32", (NUM_POINTS, m))
        self._z_step = take(tensors, "z.step", "int32", (NUM_POINTS, n))
        self._y_shift, self._z_shift = (take_shift(tensors, f"{v}.step_shift") for v in "yz")
        self._offset = take(tensors, "y.offset", "int16", (NUM_POINTS, m))
        self._z_anchor = take(tensors, "z.anchor", "uint8", (NUM_POINTS,))
        if self._z_anchor.max() >= NUM_ANCHORS:
            raise WeightsMismatchError("tensor z.anchor names an anchor that does not exist")
        self.y_tables = self._tables("y", 0, NUM_ROWS)
        self._z_tables: dict[int, TableFamily] = {}

    @classmethod
    def load(cls, path: Path) -> Model:
        """Load a weights file.

        Raises:
            WeightsNotFoundError: there is no such file.
            WeightsMismatchError: it is damaged or fails the proof.
        """
        description, tensors = read_weights(path)
        try:
            model = cls(description, tensors)
        except WeightsMismatchError as error:
            raise WeightsMismatchError(f"{path}: {error}", hint=error.hint) from error
        model.path = path
        return model

    def z_tables(self, point: int) -> TableFamily:
        """The tables of z at a quality point, one per channel."""
        anchor = int(self._z_anchor[point])
        family = self._z_tables.get(anchor)
        if family is None:
            n = self.spec.hyper_channels
            family = self._tables("z", anchor * n, (anchor + 1) * n)
            self._z_tables[anchor] = family  # two threads may both build it, to the same end
        return family

    def check(self) -> None:
        """Check also what is otherwise only looked at when it is needed.

        Raises:
            WeightsMismatchError: an encoder's tensor or a table of z is missing or malformed.
        """
        for point in range(NUM_POINTS):
            self.z_tables(point)
        scales = (
            self._encoder.y_scale,
            self._encoder.z_scale,
            self.y_unit,
        )  # what is missing is named
        if min(scale.min() for scale in scales) <= 0:
            raise WeightsMismatchError("a scale of the encoder is not above 0")
        floats = [tensor for tensor in self.tensors.values() if tensor.dtype.kind == "f"]
        if not all(np.isfinite(tensor).all() for tensor in floats):
            raise WeightsMismatchError("a tensor of the encoder is not finite")
        for name, tensor in self.tensors.items():
            if name.endswith(".unit") and np.abs(tensor.astype(int)).max() > 30:
                raise WeightsMismatchError(f"tensor {name} is outside -30..30")

    def _tables(self, latent: str, first: int, last: int) -> TableFamily:
        """Tables `first` to `last` (exclusive) of "y" or "z"."""
        tensors = self.tensors
        count = NUM_ROWS if latent == "y" else NUM_ANCHORS * self.spec.hyper_channels
        sizes = take(tensors, f"{latent}.sizes", "int32", (count,)).astype(np.int64)
        lows = take(tensors, f"{latent}.lows", "int32", (count,))
        if sizes.min() < 2:
            raise WeightsMismatchError(f"tensor {latent}.sizes has an entry below 2")
        freqs = take(tensors, f"{latent}.freqs", "int32", (int(sizes.sum()),))
        ends = np.cumsum(sizes)
        parts = [freqs[ends[i] - sizes[i] : ends[i]] for i in range(first, last)]
        try:
            return TableFamily(parts, lows[first:last])
        except ValueError as error:
            raise WeightsMismatchError(f"tensor {latent}.freqs: {error}") from error

    def rd_lambda(self, point: int) -> float:
        """The Lagrange multiplier of a quality point: bits per pixel per MSE on 0..255.

        MSE is over all samples of R, G and B.
        """
        low, high = self.description.provenance.get("lambda_range", LAMBDA_RANGE)
        return rd_lambda_at(point, low, high)

    @property
    def tune(self) -> str:
        """The distortion that the model was trained for, one of `rdae.scales.TUNES`."""
        tune = self.description.provenance.get("tune")
        return tune if tune in TUNES else TUNES[0]

    # Encoder: chooses what to send.

    @cached_property
    def _encoder(self) -> _EncoderHalf:
        """What a decoder never needs.

        Raises:
            WeightsMismatchError: it is not there, or fails the proof.
        """
        t, m, n = self.tensors, self.spec.latent_channels, self.spec.hyper_channels
        analysis, hyper_analysis = self.spec.analysis, self.spec.hyper_analysis
        return _EncoderHalf(
            ExactNetwork([Centre(), *exact_steps(analysis, "analysis", t, largest=PIXEL_LARGEST)]),
            ExactNetwork(exact_steps(hyper_analysis, "hyper_analysis", t)),
            take(t, "analysis.scale", "float32", (m,)),
            take(t, "hyper_analysis.scale", "float32", (1,)),
            take(t, "y.gain", "float32", (NUM_POINTS, m)),
            take(t, "z.gain", "float32", (NUM_POINTS, n)),
        )

    @cached_property
    def y_unit(self) -> Array:
        """What an integer of y_hat stands for, in real units, by channel: `(M,)` float32."""
        bits = take(self.tensors, "y.unit", "int8", (self.spec.latent_channels,))
        unit: Array = np.ldexp(np.float32(1), -bits.astype(int))
        return unit

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
        encoder = self._encoder
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
            np.multiply(out, encoder.y_scale, out=y[window.seen_from(area).slices()])

        run_in_windows(
            lambda x, wanted: encoder.analysis(x, point, threads, wanted.scaled(PATCH, 1)),
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
        encoder = self._encoder
        given = _saturated(np.rint(y * (1 / encoder.y_scale)))
        z: Array = encoder.hyper_analysis(given, point) * (encoder.z_scale * encoder.z_gain[point])
        return z

    def quantise_z(self, y: NDArray[np.float32], point: int) -> NDArray[np.int32]:
        """The hyper-latent's symbols for the latent `(rows, columns, M)` of one tile."""
        return _to_symbols(self.z_in_symbols(y, point))

    def y_in_symbols(self, k: int, y: NDArray[np.float32], mean: Array, point: int) -> Array:
        """The quarter of y that pass `k` codes, given the decoder's means, before rounding."""
        v = y.copy()
        for cells, group in phases(k, self.spec.latent_channels):
            v[cells] -= mean[cells] * (self.y_unit[group] * np.float32(2.0**-MEAN_BITS))
            v[cells] *= self._encoder.y_gain[point, group]
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
            unit = self._by_phase(k, self.y_unit) * np.float32(2.0**-MEAN_BITS)
            gain = self._by_phase(k, self._encoder.y_gain[point])
            tables = indexes if rate_aware else None
            return kernel.quarter_quantise(y, mean, unit, gain, tables, self._dead_zones)
        v = self.y_in_symbols(k, y, mean, point)
        return _to_symbols(round_to_symbols(v, indexes, self._dead_zones) if rate_aware else v)

    @cached_property
    def _dead_zones(self) -> Array:
        """How much less each magnitude is sent, for each table of y."""
        magnitudes = np.tile(np.arange(REACH + 1), NUM_ROWS)
        tables = np.repeat(np.arange(NUM_ROWS), REACH + 1)
        bits = self.y_tables.symbol_bits(magnitudes, tables)
        bits += self.y_tables.symbol_bits(-magnitudes, tables)
        return dead_zones(bits.reshape(NUM_ROWS, REACH + 1) / 2)

    # Decoder: exact integers.

    def features(self, z_symbols: Array, point: int, threads: int = 1) -> Array:
        """Hyper-synthesis of one tile: `(4 * rows, 4 * columns, features)`.

        Symbols with noise, as floats, are multiplied as they are and then rounded.
        """
        product = z_symbols * self._z_step[point].astype(np.int64)
        z_hat = _shifted(product.astype(np.int64), self._z_shift)
        return self._hyper_synthesis(_saturated(z_hat), point, threads)

    def predict(
        self, k: int, features: Array, y_hat: Array, point: int, threads: int = 1
    ) -> tuple[Array, NDArray[np.uint8]]:
        """What pass `k` expects of the latents that it codes.

        Args:
            k: the pass, 0 to 3.
            features: `(rows, columns, features)` of a tile.
            y_hat: `(rows, columns, M)`, 0 where not yet decoded; not read by pass 0.
            point: quality point, 0 to 255.
            threads: how many threads to use.

        Returns:
            Means and table indexes, quarters `(rows, columns, M/4)` as of `rdae.model.passes`.
        """
        out = self._passes[k]([features, y_hat] if k else features, point, threads)
        mean, head = np.split(out, 2, axis=2)
        offset = self._by_phase(k, self._offset[point])
        if kernel.selected() != "numpy":
            return mean, kernel.quarter_indexes(head, offset, ROW_BITS)
        indexes = np.empty(head.shape, np.uint8)
        for own, (cells, _) in zip(offset, phases(k, self.spec.latent_channels), strict=True):
            row = _shifted(head[cells].astype(np.int32) + own, ROW_BITS)
            indexes[cells] = np.clip(row, 0, NUM_ROWS - 1)
        return mean, indexes

    def _by_phase(self, k: int, values: Array) -> Array:
        """Values `(M,)` of the channels that pass `k` codes in each phase: `(4, M / 4)`."""
        groups = [group for _, group in phases(k, self.spec.latent_channels)]
        return np.stack([values[group] for group in groups])

    def dequantise_y(self, k: int, symbols: Array, mean: Array, point: int) -> NDArray[np.int16]:
        """y_hat of the quarter that pass `k` codes, from its symbols and means.

        Symbols with noise, as floats, are multiplied as they are and then rounded.
        """
        step = self._by_phase(k, self._y_step[point])
        if symbols.dtype == np.int32 and kernel.selected() != "numpy":
            return kernel.quarter_dequantise(mean, symbols, step, self._y_shift, MEAN_BITS)
        y_hat = _shifted(mean.astype(np.int64), MEAN_BITS)
        for own, (cells, _) in zip(step, phases(k, self.spec.latent_channels), strict=True):
            product = symbols[cells] * own.astype(np.int64)
            y_hat[cells] += _shifted(product.astype(np.int64), self._y_shift)
        return _saturated(y_hat)

    def y_step(self, point: int) -> NDArray[np.float64]:
        """What a symbol of y stands for, by channel: `(M,)`, in integers of y_hat."""
        steps: NDArray[np.float64] = np.ldexp(self._y_step[point].astype(float), -self._y_shift)
        return steps

    def synthesise(
        self,
        y_hat: Array,
        point: int,
        threads: int,
        done: Callable[[int], None] = lambda cells: None,
    ) -> NDArray[np.uint8]:
        """Pixels of a whole latent grid.

        Args:
            y_hat: `(rows, columns, M)`, integers.
            point: quality point, 0 to 255.
            threads: how many threads to use.
            done: is told the number of cells after each window of them.

        Returns:
            `(16 * rows, 16 * columns, 3)`.
        """
        rows, columns = y_hat.shape[:2]
        rgb = np.empty((rows * PATCH, columns * PATCH, 3), np.uint8)

        def write(window: Rectangle, out: Array) -> None:
            rgb[window.slices(PATCH)] = out
            done(window.area)

        run_in_windows(
            lambda x, wanted: self._synthesis(x, point, threads, wanted),
            lambda window: y_hat[window.slices()],
            write,
            rows=rows,
            columns=columns,
            halo=math.ceil(halo(self.spec.synthesis)),
            scale=PATCH,
        )
        return rgb


@dataclass(frozen=True)
class _EncoderHalf:
    """What only an encoder needs.

    Attributes:
        analysis: bytes to y in integers.
        hyper_analysis: y to z, both in integers.
        y_scale: `(M,)` what an integer of y stands for, in real units.
        z_scale: `(1,)` the same of z.
        y_gain: `(256, M)` symbols for a real unit.
        z_gain: `(256, N)` the same of z.
    """

    analysis: ExactNetwork
    hyper_analysis: ExactNetwork
    y_scale: NDArray[np.float32]
    z_scale: NDArray[np.float32]
    y_gain: NDArray[np.float32]
    z_gain: NDArray[np.float32]


def _to_levels(steps: list[Step]) -> list[Step]:
    """The synthesis with bytes as its result; before it moves them, if that comes last."""
    last = len(steps) - 1 if steps and isinstance(steps[-1], Shuffle) else len(steps)
    return [*steps[:last], Levels(PIXEL_BITS), *steps[last:]]


def _shifted(v: Array, bits: int) -> Array:
    """Integers without their last bits, halves up."""
    result: Array = (v + (1 << (bits - 1))) >> bits
    return result


def _saturated(v: Array) -> NDArray[np.int16]:
    return np.clip(v, LOWEST, HIGHEST).astype(np.int16)


def _to_symbols(v: Array) -> NDArray[np.int32]:
    """Round to the integers that the entropy coder takes."""
    symbols: NDArray[np.int32] = np.clip(np.rint(v), -MAX_SYMBOL, MAX_SYMBOL).astype(np.int32)
    return symbols

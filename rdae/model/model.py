"""A loaded model: the decoder's networks, quantisers and tables of one weights file.

Latents and features are arrays `(rows, columns, channels)` of int16, exact on every machine. What
chooses the symbols to send is `rdae.model.encoder_half`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.tables import TableFamily
from rdae.errors import WeightsMismatchError
from rdae.exact import kernel
from rdae.exact.arithmetic import (
    MEAN_BITS,
    PIXEL_BITS,
    ROW_BITS,
    saturated,
)
from rdae.exact.layers import Levels, Shuffle
from rdae.exact.network import ExactNetwork, exact_steps, take, take_shift
from rdae.exact.stages import Concatenate, Step
from rdae.exact.windows import run_in_windows
from rdae.geometry import PATCH, Rectangle
from rdae.model.encoder_half import EncoderHalf
from rdae.model.quarters import by_phase, for_quarter, phases
from rdae.model.spec import NUM_ANCHORS, NUM_PASSES, NUM_ROWS
from rdae.model.weights_file import Description, fingerprint, read_weights
from rdae.network_spec import halo
from rdae.scales import LAMBDA_RANGE, NUM_POINTS, TUNES, rd_lambda_at

Array = NDArray[Any]


class Model:
    """One trained autoencoder.

    Attributes:
        description: id, name, spec and provenance.
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
        encoder = self.encoder_half  # what is missing is named
        scales = (encoder.y_scale, encoder.z_scale, encoder.y_unit)
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

    @cached_property
    def fingerprint(self) -> bytes:
        """4 bytes that a file's header carries."""
        return fingerprint(self.spec, self.tensors)

    @cached_property
    def encoder_half(self) -> EncoderHalf:
        """What chooses what to send; a decoder never needs it.

        Raises:
            WeightsMismatchError: it is not there, or fails the proof.
        """
        return EncoderHalf(self.spec, self.tensors, self.y_tables)

    def features(self, z_symbols: Array, point: int, threads: int = 1) -> Array:
        """Hyper-synthesis of one tile: `(4 * rows, 4 * columns, features)`.

        Symbols with noise, as floats, are multiplied as they are and then rounded.
        """
        product = z_symbols * self._z_step[point].astype(np.int64)
        z_hat = _shifted(product.astype(np.int64), self._z_shift)
        return self._hyper_synthesis(saturated(z_hat), point, threads)

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
            Means and table indexes, quarters `(rows, columns, M/4)` as of `rdae.model.quarters`.
        """
        out = self._passes[k]([features, y_hat] if k else features, point, threads)
        mean, head = np.split(out, 2, axis=2)
        offset = by_phase(k, self._offset[point])
        if kernel.selected() != "numpy":
            return mean, kernel.quarter_indexes(head, offset, ROW_BITS)
        indexes = np.empty(head.shape, np.uint8)
        for own, (cells, _) in zip(offset, phases(k, self.spec.latent_channels), strict=True):
            row = _shifted(head[cells].astype(np.int32) + own, ROW_BITS)
            indexes[cells] = np.clip(row, 0, NUM_ROWS - 1)
        return mean, indexes

    def dequantise_y(self, k: int, symbols: Array, mean: Array, point: int) -> NDArray[np.int16]:
        """y_hat of the quarter that pass `k` codes, from its symbols and means.

        Symbols with noise, as floats, are multiplied as they are and then rounded.
        """
        step = by_phase(k, self._y_step[point])
        if symbols.dtype == np.int32 and kernel.selected() != "numpy":
            return kernel.quarter_dequantise(mean, symbols, step, self._y_shift, MEAN_BITS)
        y_hat = _shifted(mean.astype(np.int64), MEAN_BITS)
        for own, (cells, _) in zip(step, phases(k, self.spec.latent_channels), strict=True):
            product = symbols[cells] * own.astype(np.int64)
            y_hat[cells] += _shifted(product.astype(np.int64), self._y_shift)
        return saturated(y_hat)

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
        spare: list[NDArray[np.uint8]] = []  # memory that goes from window to window

        def write(window: Rectangle, out: Array) -> None:
            rgb[window.slices(PATCH)] = out
            done(window.area)

        run_in_windows(
            lambda x, wanted: self._synthesis(x, point, threads, wanted, spare),
            lambda window: y_hat[window.slices()],
            write,
            rows=rows,
            columns=columns,
            halo=math.ceil(halo(self.spec.synthesis)),
            scale=PATCH,
        )
        return rgb


def _to_levels(steps: list[Step]) -> list[Step]:
    """The synthesis with bytes as its result; before it moves them, if that comes last."""
    last = len(steps) - 1 if steps and isinstance(steps[-1], Shuffle) else len(steps)
    return [*steps[:last], Levels(PIXEL_BITS), *steps[last:]]


def _shifted(v: Array, bits: int) -> Array:
    """Integers without their last bits, halves up."""
    result: Array = (v + (1 << (bits - 1))) >> bits
    return result

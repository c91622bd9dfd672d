"""A loaded model: the networks, quantisers and tables of one weights file, ready to code.

Latents and features are arrays `(rows, columns, channels)`. On the decoder's side they hold
integers, multiples of 2^-12 in float64 (exact); on the encoder's side real units in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.range_coder import TableFamily
from rdae.errors import WeightsMismatchError
from rdae.exact.layers import Levels, Shuffle, clip, round_and_clip
from rdae.exact.network import LIMIT, UNIT_BITS, build_exact, build_float, take, take_shift
from rdae.exact.stages import Concatenate, Network, Step
from rdae.exact.windows import run_in_windows
from rdae.geometry import HYPER_PATCH, PATCH, Rectangle
from rdae.model.passes import for_quarter, phases
from rdae.model.spec import NUM_ANCHORS, NUM_PASSES, NUM_ROWS
from rdae.model.weights_file import Description, fingerprint, read_weights
from rdae.network_spec import halo
from rdae.rounding import REACH, dead_zones, round_to_symbols
from rdae.scales import LAMBDA_RANGE, NUM_POINTS, rd_lambda_at

ROW_BITS = 4  # the heads and the offsets give sixteenths of a row
MAX_SYMBOL = 32767
PIXEL_BITS = 4  # the synthesis gives sixteenths of a level

Array = NDArray[Any]


class Model:
    """One trained autoencoder, exact on the decoder's side.

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
            name: build_exact(layers, name, tensors).steps
            for name, layers in spec.decoder_sections().items()
        }
        self._hyper_synthesis = Network(steps["hyper_synthesis"])
        self._synthesis = Network(_to_levels(steps["synthesis"]))
        self._passes = [Network(for_quarter(0, steps["first"], spec.latent_channels))]
        for k in range(1, NUM_PASSES):
            inputs, outputs = steps[f"inputs.{k - 1}"], steps[f"outputs.{k - 1}"]
            layers = [Concatenate(), *inputs, *steps["shared"], *outputs]
            self._passes.append(Network(for_quarter(k, layers, spec.latent_channels)))
        m, n = spec.latent_channels, spec.hyper_channels
        y_scale, z_scale = (take_shift(tensors, f"{v}.step_shift", 1) for v in "yz")
        self._y_step = take(tensors, "y.step", "int32", (NUM_POINTS, m)) * y_scale
        self._z_step = take(tensors, "z.step", "int32", (NUM_POINTS, n)) * z_scale
        self._offset = take(tensors, "y.offset", "int16", (NUM_POINTS, m)).astype(np.float64)
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
        if not all(np.isfinite(tensor).all() for tensor in self._encoder[2:]):
            raise WeightsMismatchError("tensor y.gain or z.gain is not finite")

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

    # Encoder: float32, chooses what to send.

    @cached_property
    def _encoder(self) -> tuple[Any, Any, Array, Array]:
        """Analysis, hyper-analysis, gains of y and of z; a decoder never needs them."""
        t, spec = self.tensors, self.spec
        return (
            build_float(spec.analysis, "analysis", t),
            build_float(spec.hyper_analysis, "hyper_analysis", t),
            take(t, "y.gain", "float32", (NUM_POINTS, spec.latent_channels)),
            take(t, "z.gain", "float32", (NUM_POINTS, spec.hyper_channels)),
        )

    def analyse(
        self, rgb: NDArray[np.uint8], area: Rectangle, point: int, threads: int
    ) -> NDArray[np.float32]:
        """The latent of a part of a picture, as if of the whole.

        Args:
            rgb: `(H, W, 3)`, the whole picture. Beyond its last row and column they repeat, up to
                multiples of 64.
            area: the cells that are wanted, in units of 16 pixels.
            point: quality point, 0 to 255.
            threads: how many threads to use.

        Returns:
            `(rows, columns, M)` y of the area, in real units.
        """
        analysis = self._encoder[0]
        height, width = rgb.shape[:2]
        rows, columns = (-(-side // HYPER_PATCH) * HYPER_PATCH // PATCH for side in (height, width))
        shape = (area.bottom - area.top, area.right - area.left, self.spec.latent_channels)
        y = np.empty(shape, np.float32)

        def read(window: Rectangle) -> Array:
            down, across = window.slices(PATCH)
            part = rgb[min(down.start, height - 1) : down.stop]
            part = part[:, min(across.start, width - 1) : across.stop]
            below = down.stop - down.start - part.shape[0]
            beside = across.stop - across.start - part.shape[1]
            pixels = np.pad(part, ((0, below), (0, beside), (0, 0)), "edge").astype(np.float32)
            pixels *= np.float32(1 / 255)
            pixels -= np.float32(0.5)
            return pixels

        def write(window: Rectangle, out: Array) -> None:
            y[window.moved(-area.top, -area.left).slices()] = out

        run_in_windows(
            lambda x, wanted: analysis(x, point, threads, wanted.scaled(PATCH, 1)),
            read,
            write,
            rows=rows,
            columns=columns,
            halo=math.ceil(halo(self.spec.analysis) / PATCH),
            scale=1,
            area=area,
        )
        return y

    def z_in_symbols(self, y: NDArray[np.float32], point: int) -> Array:
        """The hyper-latent of the latent `(rows, columns, M)` of one tile, before rounding."""
        z: Array = self._encoder[1](y, point) * self._encoder[3][point]
        return z

    def quantise_z(self, y: NDArray[np.float32], point: int) -> NDArray[np.int32]:
        """The hyper-latent's symbols for the latent `(rows, columns, M)` of one tile."""
        return _to_symbols(self.z_in_symbols(y, point))

    def y_in_symbols(self, k: int, y: NDArray[np.float32], mean: Array, point: int) -> Array:
        """The quarter of y that pass `k` codes, given the decoder's means, before rounding."""
        v = y - mean * 2.0**-UNIT_BITS
        for cells, group in phases(k, self.spec.latent_channels):
            v[cells] *= self._encoder[2][point, group]
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

    def features(self, z_symbols: NDArray[np.int32], point: int, threads: int = 1) -> Array:
        """Hyper-synthesis of one tile: `(4 * rows, 4 * columns, features)`."""
        z_hat = round_and_clip(z_symbols * self._z_step[point], LIMIT)
        return self._hyper_synthesis(z_hat, point, threads)

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
        indexes = np.empty(head.shape, np.uint8)
        for cells, group in phases(k, self.spec.latent_channels):
            table = np.rint((head[cells] + self._offset[point, group]) * 2.0**-ROW_BITS)
            indexes[cells] = np.clip(table, 0, NUM_ROWS - 1, out=table)
        return mean, indexes

    def dequantise_y(self, k: int, symbols: NDArray[np.int32], mean: Array, point: int) -> Array:
        """y_hat of the quarter that pass `k` codes, from its symbols and means."""
        y_hat = np.empty(mean.shape)
        for cells, group in phases(k, self.spec.latent_channels):
            y_hat[cells] = np.rint(symbols[cells] * self._y_step[point, group])
        y_hat += mean
        return clip(y_hat, LIMIT)

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
            lambda window: y_hat[window.slices()].astype(np.float64),
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


def _to_symbols(v: Array) -> NDArray[np.int32]:
    """Round to the integers that the entropy coder takes."""
    symbols: NDArray[np.int32] = np.clip(np.rint(v), -MAX_SYMBOL, MAX_SYMBOL).astype(np.int32)
    return symbols

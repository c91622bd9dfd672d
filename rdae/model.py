"""A loaded model: the networks, quantisers and tables of one weights file, ready to code.

Latents and features are arrays `(rows, columns, channels)`. On the decoder's side they hold
integers, multiples of 2^-12 in float64 (exact); on the encoder's side real units in float32.
"""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.range_coder import TableFamily
from rdae.errors import WeightsMismatchError
from rdae.exact.layers import clip, round_and_clip
from rdae.exact.network import LIMIT, UNIT_BITS, build_exact, build_float, take, take_shift
from rdae.exact.windows import Window, run_in_windows
from rdae.rate import NUM_POINTS
from rdae.rounding import REACH, dead_zones, round_to_symbols
from rdae.spec import NUM_ANCHORS, NUM_PASSES, NUM_ROWS, PASS_OF, PATCH, halo
from rdae.weights_file import Description, fingerprint, read_weights

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
        self._tensors = tensors
        exact = {
            name: build_exact(layers, name, tensors)
            for name, layers in spec.decoder_sections().items()
        }
        self._hyper_synthesis, self._synthesis = exact["hyper_synthesis"], exact["synthesis"]
        self._first, self._shared = exact["first"], exact["shared"]
        self._inputs = [exact[f"inputs.{k}"] for k in range(NUM_PASSES - 1)]
        self._outputs = [exact[f"outputs.{k}"] for k in range(NUM_PASSES - 1)]
        self._pass_halos = [math.ceil(halo(spec.first))] + [
            math.ceil(halo(spec.inputs[k]) + halo(spec.shared) + halo(spec.outputs[k]))
            for k in range(NUM_PASSES - 1)
        ]
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
        tensors = self._tensors
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

    # Encoder: float32, chooses what to send.

    @cached_property
    def _encoder(self) -> tuple[Any, Any, Array, Array]:
        """Analysis, hyper-analysis, gains of y and of z; a decoder never needs them."""
        t, spec = self._tensors, self.spec
        return (
            build_float(spec.analysis, "analysis", t),
            build_float(spec.hyper_analysis, "hyper_analysis", t),
            take(t, "y.gain", "float32", (NUM_POINTS, spec.latent_channels)),
            take(t, "z.gain", "float32", (NUM_POINTS, spec.hyper_channels)),
        )

    def analyse(self, rgb: NDArray[np.uint8], point: int, threads: int) -> NDArray[np.float32]:
        """The latent of a picture whose sides are multiples of 64.

        Args:
            rgb: `(H, W, 3)`.
            point: quality point, 0 to 255.
            threads: how many windows to run at a time.

        Returns:
            `(H/16, W/16, M)` y in real units.
        """
        analysis = self._encoder[0]
        rows, columns = rgb.shape[0] // PATCH, rgb.shape[1] // PATCH
        y = np.empty((rows, columns, self.spec.latent_channels), np.float32)

        def read(window: Window) -> Array:
            pixels = rgb[window.slices(PATCH)].astype(np.float32)
            pixels *= np.float32(1 / 255)
            pixels -= np.float32(0.5)
            return pixels

        def write(window: Window, out: Array) -> None:
            y[window.slices()] = out

        run_in_windows(
            lambda x: analysis(x, point),
            read,
            write,
            rows=rows,
            columns=columns,
            halo=math.ceil(halo(self.spec.analysis) / PATCH),
            scale=1,
            threads=threads,
        )
        return y

    def quantise_z(self, y: NDArray[np.float32], point: int) -> NDArray[np.int32]:
        """The hyper-latent's symbols for the latent `(rows, columns, M)` of one tile."""
        return _to_symbols(self._encoder[1](y, point) * self._encoder[3][point])

    def quantise_y(
        self, y: NDArray[np.float32], mean: Array, indexes: NDArray[np.uint8], point: int
    ) -> NDArray[np.int32]:
        """Symbols of all latents of a tile, given the decoder's means and tables."""
        v = (y - mean * 2.0**-UNIT_BITS) * self._encoder[2][point]
        return _to_symbols(round_to_symbols(v, indexes, self._dead_zones))

    @cached_property
    def _dead_zones(self) -> Array:
        """How much less each magnitude is sent, for each table of y."""
        magnitudes = np.tile(np.arange(REACH + 1), NUM_ROWS)
        tables = np.repeat(np.arange(NUM_ROWS), REACH + 1)
        bits = self.y_tables.symbol_bits(magnitudes, tables)
        bits += self.y_tables.symbol_bits(-magnitudes, tables)
        return dead_zones(bits.reshape(NUM_ROWS, REACH + 1) / 2)

    # Decoder: exact integers.

    def features(self, z_symbols: NDArray[np.int32], point: int) -> Array:
        """Hyper-synthesis of one tile: `(4 * rows, 4 * columns, features)`."""
        z_hat = round_and_clip(z_symbols * self._z_step[point], LIMIT)
        return self._hyper_synthesis(z_hat, point)

    def predict(
        self, k: int, features: Array, y_hat: Array, point: int, threads: int = 1
    ) -> tuple[Array, NDArray[np.uint8]]:
        """What pass `k` expects of all latents of a tile.

        Args:
            k: the pass, 0 to 3.
            features: `(rows, columns, features)`.
            y_hat: `(rows, columns, M)`, 0 where not yet decoded; not read by pass 0.
            point: quality point, 0 to 255.
            threads: how many windows to run at a time.

        Returns:
            Means and table indexes, each `(rows, columns, M)`.
        """
        if k == 0:
            seen, networks = features, [self._first]
        else:
            seen = np.concatenate([features, y_hat], axis=-1)
            networks = [self._inputs[k - 1], self._shared, self._outputs[k - 1]]
        rows, columns, m = y_hat.shape
        means, indexes = np.empty((rows, columns, m)), np.empty((rows, columns, m), np.uint8)

        def run(x: Array) -> Array:
            for network in networks:
                x = network(x, point)
            return x

        def write(window: Window, part: Array) -> None:
            means[window.slices()] = part[..., :m]
            table = part[..., m:] + self._offset[point]
            table *= 2.0**-ROW_BITS
            np.rint(table, out=table)
            np.minimum(table, NUM_ROWS - 1, out=table)
            indexes[window.slices()] = np.maximum(table, 0, out=table)

        run_in_windows(
            run,
            lambda window: seen[window.slices()],
            write,
            rows=rows,
            columns=columns,
            halo=self._pass_halos[k],
            scale=1,
            threads=threads,
        )
        return means, indexes

    def dequantise_y(self, symbols: NDArray[np.int32], mean: Array, point: int) -> Array:
        """y_hat of all latents of a tile from their symbols and means."""
        y_hat: Array = np.rint(symbols * self._y_step[point])
        y_hat += mean
        return clip(y_hat, LIMIT)

    def pass_map(self, rows: int, columns: int) -> NDArray[np.intp]:
        """The pass that codes each latent of a tile: `(rows, columns, M)`, 0 to 3."""
        phase = 2 * (np.arange(rows)[:, None] % 2) + np.arange(columns)[None] % 2
        group = np.array(PASS_OF)[:, phase].transpose(1, 2, 0)
        return np.repeat(group, self.spec.latent_channels // NUM_PASSES, axis=2)

    def synthesise(self, y_hat: Array, point: int, threads: int) -> NDArray[np.uint8]:
        """Pixels of a whole latent grid.

        Args:
            y_hat: `(rows, columns, M)`, integers.
            point: quality point, 0 to 255.
            threads: how many windows to run at a time.

        Returns:
            `(16 * rows, 16 * columns, 3)`.
        """
        rows, columns = y_hat.shape[:2]
        rgb = np.empty((rows * PATCH, columns * PATCH, 3), np.uint8)

        def write(window: Window, out: Array) -> None:
            pixels = np.rint(out * 2.0**-PIXEL_BITS)
            rgb[window.slices(PATCH)] = np.clip(pixels, 0, 255, out=pixels)

        run_in_windows(
            lambda x: self._synthesis(x, point),
            lambda window: y_hat[window.slices()].astype(np.float64),
            write,
            rows=rows,
            columns=columns,
            halo=math.ceil(halo(self.spec.synthesis)),
            scale=PATCH,
            threads=threads,
        )
        return rgb


def _to_symbols(v: Array) -> NDArray[np.int32]:
    """Round to the integers that the entropy coder takes."""
    symbols: NDArray[np.int32] = np.clip(np.rint(v), -MAX_SYMBOL, MAX_SYMBOL).astype(np.int32)
    return symbols

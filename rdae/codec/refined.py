"""Efforts from 3 on: refinement tile by tile, and only what is really better is kept.

The search itself runs in torch floats (`rdae.autoencoder.search`). What it finds is judged here by
the exact decoder: bits of the integer tables, pixels as they will be decoded, and the distortion
that was searched for, squared error or one for the eye. A tile keeps the
symbols of plain encoding where they cost less, and its neighbours see what it has chosen, so the
Lagrangian of the whole picture only ever falls.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rdae.autoencoder import search as refine
from rdae.bitstream.tiles import Tile
from rdae.codec.encoder import Encoder
from rdae.codec.measures import Measure
from rdae.codec.progress import Progress, Report
from rdae.codec.rendering import render
from rdae.codec.tile import encode_tile, ideal_bits, quantise_tile
from rdae.distortion import psnr_of
from rdae.geometry import PATCH, Rectangle
from rdae.images.picture import Picture
from rdae.model.model import Array, Model
from rdae.model.symbols import TileSymbols
from rdae.network_spec import halo
from rdae.scales import NUM_POINTS

# What refinement changes is much the same at neighbouring points, so it is measured at landmarks
# and expected to be as at the nearest. How far it hardly ever goes saves most of these searches.
LANDMARK_SPACING = 32
SIZES = 0.8, 1.1  # times the size of plain encoding


class RefiningEncoder(Encoder):
    """One picture, ready to be encoded with a search for better latents.

    Estimates, and the symbols that the search starts from, are those of plain encoding.
    """

    def __init__(
        self,
        picture: Picture,
        model: Model,
        *,
        effort: int,
        tune: str | None = None,
        threads: int = 1,
        progress: Report | None = None,
    ) -> None:
        """Take a picture; `progress` is called during a search. See `Encoder`.

        The distortion is that of `tune`, one of `rdae.scales.TUNES`; what the model was trained for
        if None.
        """
        super().__init__(picture, model, effort=effort, threads=threads)  # the rest takes no time
        self.tune = tune or model.tune
        self._search_progress = progress
        self._files: dict[int, bytes] = {}

    def encode(self, point: int) -> bytes:
        """The refined file at a quality point; searched for once."""
        if point not in self._files:
            header, y_hat = self.header(point), self.y_hat(point)
            payloads = [
                encode_tile(self.model, header, tile, self._refined(tile, point, y_hat))
                for tile in self.tiles
            ]
            self._files[point] = self.file(header, payloads)
        return self._files[point]

    def is_likely_within(self, point: int, target_size: int) -> bool:
        """See `Encoder`."""
        plain, room = self.estimate_bytes(point) - self.frame_bytes, target_size - self.frame_bytes
        least, most = (factor * plain for factor in SIZES)
        if not least <= room < most:
            return most <= room
        landmark = _landmark(point)
        refined = len(self.encode(landmark)) - self.frame_bytes
        return plain * refined <= room * (self.estimate_bytes(landmark) - self.frame_bytes)

    def is_likely_from(self, point: int, measure: Measure, least: float) -> bool:
        """See `Encoder`."""
        plain = self.estimate_value(point, measure)
        low, high = (plain + gain for gain in measure.gains[self.tune])
        if not low < least <= high:
            return least <= low
        landmark = _landmark(point)
        gain = self.value_at(landmark, measure) - self.estimate_value(landmark, measure)
        return plain + (gain if math.isfinite(gain) else 0) >= least

    def value_at(self, point: int, measure: Measure) -> float:
        """See `Encoder`; searches for the file and decodes it."""
        return self.value_of(self.encode(point), measure)

    def _refined(self, tile: Tile, point: int, y_hat: NDArray[np.int16]) -> TileSymbols:
        """One tile's best symbols; `y_hat` of the whole picture is brought up to date with them."""
        model, threads = self.model, self.threads
        own = tile.cells
        reach = math.ceil(halo(model.spec.synthesis))
        seen = own.grown(reach, *y_hat.shape[:2])  # whose pixels depend on the tile
        around = own.grown(2 * reach, *y_hat.shape[:2])  # on which those pixels depend
        area = seen.scaled(PATCH, 1).common(Rectangle.whole(*self.picture.rgb.shape[1::-1]))
        pixels = self.picture.rgb[area.slices()]
        y = self.analyse(tile, point, threads)

        def lagrangian(symbols: TileSymbols, cells: Array) -> float:
            y_hat[own.slices()] = cells
            rgb = render(
                model,
                y_hat[around.slices()],
                point,
                threads,
                area=area.seen_from(around.scaled(PATCH, 1)),
                is_grey=self.picture.is_colourless,
            )
            rd_lambda = model.rd_lambda(point)
            distortion = refine.distortion_bits(self.tune, rd_lambda, pixels, rgb, threads)
            return sum(ideal_bits(model, tile, symbols, point)) + distortion

        def report(step: int, steps: int, bits: float, error: float) -> None:
            if self._search_progress is not None:
                done = (tile.index + step / steps) / len(self.tiles)
                bpp = bits / (tile.rows * tile.columns * PATCH**2)
                psnr = psnr_of(error, pixels.size)
                self._search_progress(Progress(done, len(self._files) + 1, bpp, psnr))

        plain = quantise_tile(model, tile, y, point, threads)
        better_y, better_z = refine.refine(
            model,
            refine.Tile(
                y=y,
                symbols=plain[0],
                y_hat=y_hat[around.slices()],
                top=own.top - around.top,
                left=own.left - around.left,
                rows=tile.rows,
                columns=tile.columns,
                seen=seen.seen_from(around).slices(),
                pixels=pixels,
            ),
            point,
            self.effort,
            self.tune,
            threads=threads,
            report=report,
        )
        better = quantise_tile(model, tile, better_y, point, threads, rate_aware=False, z=better_z)
        symbols, cells = min(plain, better, key=lambda found: lagrangian(*found))
        y_hat[own.slices()] = cells
        return symbols


def _landmark(point: int) -> int:
    """The nearest of a few points that are spread over all of them."""
    return min(LANDMARK_SPACING * round(point / LANDMARK_SPACING), NUM_POINTS - 1)

"""Efforts from 3 on: refinement tile by tile, and only what is really better is kept.

The search itself runs in torch floats (`rdae.autoencoder.refine`). What it finds is judged here by
the exact decoder: bits of the integer tables, pixels as they will be decoded. A tile keeps the
symbols of plain encoding where they cost less, and its neighbours see what it has chosen, so the
Lagrangian of the whole picture only ever falls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rdae.autoencoder import refine
from rdae.bitstream.tiles import TileRect
from rdae.decoding import make_grey
from rdae.distortion import psnr_of, squared_error
from rdae.encoding import Encoder, Progress
from rdae.exact.windows import Window
from rdae.latents import TileSymbols, ideal_bits, quantise_tile
from rdae.model import Array
from rdae.spec import PATCH, halo


def refined_tiles(encoder: Encoder, point: int) -> Iterator[tuple[TileRect, TileSymbols]]:
    """The symbols of all tiles of a picture, in raster order, each as soon as it is refined."""
    y_hat = encoder.y_hat(point)
    for tile in encoder.tiles:
        yield tile, _refined(encoder, tile, point, y_hat)


def _refined(
    encoder: Encoder, tile: TileRect, point: int, y_hat: NDArray[np.float32]
) -> TileSymbols:
    """One tile's best symbols; `y_hat` of the whole picture is brought up to date with them."""
    model, threads = encoder.model, encoder.threads
    own = Window(tile.top, tile.top + tile.rows, tile.left, tile.left + tile.columns)
    reach = math.ceil(halo(model.spec.synthesis))
    seen = own.grown(reach, *y_hat.shape[:2])  # whose pixels depend on the tile
    around = own.grown(2 * reach, *y_hat.shape[:2])  # on which those pixels depend
    pixels = encoder.picture.rgb[seen.slices(PATCH)]
    y = encoder.analyse(tile, point, threads)

    def lagrangian(symbols: TileSymbols, cells: Array) -> float:
        y_hat[own.slices()] = cells
        inside = seen.moved(-around.top, -around.left)
        rgb = model.synthesise(y_hat[around.slices()], point, threads)[inside.slices(PATCH)]
        rgb = rgb[: pixels.shape[0], : pixels.shape[1]]
        if encoder.picture.is_grey:
            make_grey(rgb)
        error = squared_error(pixels, rgb)
        return sum(ideal_bits(model, tile, symbols, point)) + model.rd_lambda(point) / 3 * error

    def report(step: int, steps: int, bits: float, error: float) -> None:
        if encoder.progress is not None:
            done = (tile.index + step / steps) / len(encoder.tiles)
            bpp = bits / (tile.rows * tile.columns * PATCH**2)
            encoder.progress(Progress(done, bpp, psnr_of(error, pixels.size)))

    plain = quantise_tile(model, tile, y, point, threads)
    better_y = refine.refine(
        model,
        refine.Tile(
            y=y,
            symbols=plain[0],
            y_hat=y_hat[around.slices()],
            top=own.top - around.top,
            left=own.left - around.left,
            rows=tile.rows,
            columns=tile.columns,
            seen=seen.moved(-around.top, -around.left).slices(),
            pixels=pixels,
        ),
        point,
        encoder.effort,
        threads=threads,
        report=report,
    )
    better = quantise_tile(model, tile, better_y, point, threads, z=plain[0].z)
    symbols, cells = min(plain, better, key=lambda found: lagrangian(*found))
    y_hat[own.slices()] = cells
    return symbols

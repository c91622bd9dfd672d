"""The variational reading of one picture: every term of -ELBO, in bits (docs/theory.md).

    -ELBO = bits of z + bits of y + bits of distortion

for two posteriors. The *relaxed* one is what training optimises: y and z with uniform noise of
width 1 around what the encoder's networks say. Its own entropy is log 1 = 0, so the cross entropy
under the priors is the whole KL term. The *coded* one is the single point that a file holds; its
bits are those that the range coder has written.

The decoder's density of a picture is a Gaussian around the decoded pixels whose variance is fixed
by the quality's Lagrange multiplier (`rdae.distortion`).

Papers: Ballé et al. 2018 (arXiv:1802.01436, section 3), Yang et al. 2020 (arXiv:2006.04240, on the
amortization gap).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.info import parse_info
from rdae.bitstream.tables import PRECISION_BITS, TableFamily
from rdae.bitstream.tiles import Tile
from rdae.codec import decode, encode
from rdae.codec.encoder import Encoder
from rdae.codec.rest import encode_rest
from rdae.codec.tile import channel_tables, follow_passes
from rdae.distortion import decoder_variance, squared_error
from rdae.images.picture import Picture
from rdae.model.installed import load_lossless
from rdae.model.model import Array, Model
from rdae.model.quarters import take
from rdae.scales import PLAIN_EFFORT, REFINED_EFFORT, point_to_quality

if TYPE_CHECKING:
    from rdae.codec.progress import Report


@dataclass(frozen=True)
class Terms:
    """-ELBO of one picture under one posterior.

    Attributes:
        z_bits: cross entropy of the hyper-latent under its prior, in bits per image.
        y_bits: of the latent given the hyper-latent.
        error: squared error of the decoded pixels, on 0..255, summed over red, green and blue.
        pixels: width times height.
        samples: of a pixel: 3, or 1 of pictures without colours.
        rd_lambda: bits per pixel per MSE.
        exact_bits: of the exact pixels given the decoded ones, as a lossless file on top of this
            one has them; None where that was not coded.
    """

    z_bits: float
    y_bits: float
    error: float
    pixels: int
    samples: int
    rd_lambda: float
    exact_bits: float | None = None

    @property
    def rate(self) -> float:
        """Bits of z and y."""
        return self.z_bits + self.y_bits

    @property
    def variance(self) -> float:
        """Of the decoder's Gaussian, in squared levels."""
        return decoder_variance(self.rd_lambda, self.samples)

    @property
    def distortion(self) -> float:
        """-log2 of the decoder's Gaussian density at the picture, per unit of a level: bits."""
        count = self.samples * self.pixels
        constant = count * 0.5 * math.log2(2 * math.pi * self.variance)
        return constant + count * self.mse / (2 * self.variance * math.log(2))

    @property
    def negative_elbo(self) -> float:
        """Rate and distortion: bits per image."""
        return self.rate + self.distortion

    @property
    def mse(self) -> float:
        """Mean squared error of a sample, on 0..255."""
        return self.error / (3 * self.pixels)


def coded_terms(
    picture: Picture,
    model: Model,
    point: int,
    *,
    effort: int,
    threads: int,
    with_exact: bool = False,
    progress: Report | None = None,
) -> Terms:
    """The terms of the real posterior: a file is coded, its streams are weighed, it is decoded.

    `with_exact`: the exact pixels are coded given the decoded ones, and their bits weighed, too.
    An effort of 3 or more calls `progress` now and then while it searches.
    """
    data = encode(
        picture,
        quality=point_to_quality(point),
        effort=effort,
        tune="psnr" if effort >= REFINED_EFFORT else None,  # the Gaussian's distortion
        model=model,
        threads=threads,
        progress=progress,
    ).data
    info = parse_info(data)
    decoded = decode(
        data, max_pixels=picture.width * picture.height, weights=model.path, threads=threads
    )
    exact_bits = None
    if with_exact:
        whole = encode_rest(picture, data, model, load_lossless(), threads=threads)
        exact_bits = 8 * parse_info(whole).pixel_bytes
    return Terms(
        z_bits=8 * info.z_bytes,
        y_bits=8 * info.y_bytes,
        error=squared_error(picture.rgb, decoded.rgb),
        pixels=picture.width * picture.height,
        samples=1 if info.is_grey or info.is_neutral else 3,
        rd_lambda=model.rd_lambda(point),
        exact_bits=exact_bits,
    )


class RelaxedPosterior:
    """Uniform noise of width 1 around y and z of a picture, seen through the exact decoder."""

    def __init__(self, picture: Picture, model: Model, point: int, *, threads: int = 1) -> None:
        """Take a picture; nothing is computed yet."""
        self._encoder = Encoder(picture, model, effort=PLAIN_EFFORT, threads=threads)
        self._point = point

    @cached_property
    def _latents(self) -> list[NDArray[np.float32]]:
        threads = self._encoder.threads
        return [self._encoder.analyse(t, self._point, threads) for t in self._encoder.tiles]

    def sample(self, rng: np.random.Generator) -> Terms:
        """The terms for one draw of the noise; their mean over draws estimates -ELBO."""
        encoder, model, point = self._encoder, self._encoder.model, self._point
        picture = encoder.picture
        grid = encoder.empty_grid()
        z_bits = y_bits = 0.0
        for tile, y in zip(encoder.tiles, self._latents, strict=True):
            z_part, y_part, y_hat = self._sample_tile(tile, y, rng)
            z_bits, y_bits = z_bits + z_part, y_bits + y_part
            grid[tile.cells.slices()] = y_hat
        rgb = encoder.render(grid, point)
        return Terms(
            z_bits=z_bits,
            y_bits=y_bits,
            error=squared_error(picture.rgb, rgb),
            pixels=picture.width * picture.height,
            samples=1 if picture.is_colourless else 3,
            rd_lambda=model.rd_lambda(point),
        )

    def _sample_tile(
        self, tile: Tile, y: NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[float, float, Array]:
        model, point, threads = self._encoder.model, self._point, self._encoder.threads
        z = model.encoder_half.z_in_symbols(y, point)
        z += rng.uniform(-0.5, 0.5, z.shape)
        z_bits = NoisyPrior(model.z_tables(point)).bits(z.ravel(), channel_tables(z)).sum()

        def draw(k: int, mean: Array, rows: NDArray[np.uint8]) -> Array:
            v = model.encoder_half.y_in_symbols(k, take(k, y), mean, point)
            v += rng.uniform(-0.5, 0.5, v.shape)
            return v

        drawn, y_hat = follow_passes(model, tile, z, draw, point, threads)
        coded = slice(tile.rows), slice(tile.columns)
        y_prior = NoisyPrior(model.y_tables)
        y_bits = y_prior.bits(drawn.y[coded].ravel(), drawn.indexes[coded].ravel()).sum()
        return float(z_bits), float(y_bits), y_hat


class NoisyPrior:
    """The density of symbols with uniform noise of width 1, under a family of tables.

    A table fixes its cumulative distribution F at half-integers, escapes counted half to each end.
    Between them logit F is taken straight, which is a proper density (a piece of a logistic one in
    each bin) and narrow where the table is. With the noise, a value has F(v + 1/2) - F(v - 1/2).
    """

    def __init__(self, tables: TableFamily) -> None:
        """Prepare the cumulative distributions."""
        self._tables = tables
        ends = tables.starts + tables.sizes - 1  # where the escapes are
        below = np.roll(tables.freqs, 1)
        below[tables.starts] = 0
        counts = np.cumsum(below)  # of all symbols before, in this table and those before it
        counts -= np.repeat(counts[tables.starts], tables.sizes)
        share = (counts + np.repeat(tables.freqs[ends] / 2, tables.sizes)) / (1 << PRECISION_BITS)
        self._logits = np.log(share) - np.log1p(-share)

    def bits(self, values: Array, indexes: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """-log2 of the densities of values.

        Args:
            values: `(n,)` floats, symbols with noise.
            indexes: `(n,)` the table of each.
        """
        tables = self._tables
        position = values - tables.lows[indexes]  # of v - 1/2 among the half-integers
        last = tables.sizes[indexes] - 2
        inside = (position >= 0) & (position <= last)
        start = tables.starts[indexes]
        cell = np.clip(np.floor(position).astype(np.int64), 0, last)
        share = np.where(inside, position - cell, 0.0)

        def cumulative(edge: NDArray[np.int64]) -> Array:
            low = self._logits[start + edge]
            high = self._logits[start + np.minimum(edge + 1, last + 1)]
            result: Array = 1 / (1 + np.exp(-(low + share * (high - low))))
            return result

        bits = -np.log2(cumulative(np.minimum(cell + 1, last + 1)) - cumulative(cell))
        escape = tables.symbol_bits(np.rint(values).astype(np.int64), indexes)
        result: NDArray[np.float64] = np.where(inside, bits, escape)
        return result

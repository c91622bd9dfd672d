"""Distortion: squared error and PSNR of 8-bit pixels, and the density that they stand for.

A decoder that says N(x; x_hat, s^2) of every sample needs -log2 of it to recover x exactly, in bits
that grow by 1 / (2 s^2 ln 2) for each squared level. So rate + lambda * distortion, with lambda in
bits per pixel per MSE (on 0..255, over all samples) and three samples a pixel, is the length of a
message that says x exactly, up to a constant, if

    lambda = 3 / (2 s^2 ln 2).

This is where a codec's lambda and a variational autoencoder's variance meet: see `rdae.autoencoder.
objective` for training, `rdae.codec.elbo` for one picture, docs/theory.md for all terms.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

PEAK = 255

_ROWS = 256  # at a time, so that the squares of a large picture need little memory

Rgb = NDArray[np.uint8]


def squared_error(source: Rgb, decoded: Rgb) -> int:
    """The sum of squared differences of two `(H, W, 3)` arrays, exact."""
    total = 0
    for top in range(0, len(source), _ROWS):
        rows = slice(top, top + _ROWS)
        error = source[rows].astype(np.int64) - decoded[rows]
        total += int(np.vdot(error, error))
    return total


def psnr(source: Rgb, decoded: Rgb) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels; infinite if identical.

    10 log10(255² / MSE). Reference: levels that differ by 1 everywhere have 48.1308 dB, by 16
    everywhere 24.0484 dB.
    """
    return psnr_of(squared_error(source, decoded), source.size)


def psnr_of(total: float, samples: int) -> float:
    """The PSNR in dB of `samples` values whose squared errors add up to `total`."""
    return 10 * math.log10(PEAK**2 * samples / total) if total else math.inf


def decoder_variance(rd_lambda: float) -> float:
    """The variance s^2, in squared levels, of the Gaussian that a multiplier stands for."""
    return 3 / (2 * rd_lambda * math.log(2))

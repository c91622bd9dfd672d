"""Distortion: squared error and PSNR of 8-bit pixels, and the density that they stand for.

A decoder that says N(x; x_hat, s^2) of every sample needs -log2 of it to recover x exactly, in bits
that grow by 1 / (2 s^2 ln 2) for each squared level. So rate + lambda * distortion, with lambda in
bits per pixel per MSE (on 0..255, over all samples) and three samples a pixel, is the length of a
message that says x exactly, up to a constant, if

    lambda = 3 / (2 s^2 ln 2);

of a picture without colours, one sample a pixel, it is 1 / (2 s^2 ln 2).

This is where a codec's lambda and a variational autoencoder's variance meet: see `rdae.autoencoder.
objective` for training, `rdae.codec.elbo` for one picture, docs/theory.md for all terms.
"""

from __future__ import annotations

import io
import math
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from rdae.errors import MissingDependencyError
from rdae.extras import install_hint

PEAK = 255
SSIMULACRA2_SIDE = 8  # the shortest that it can judge

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


def ssimulacra2(source: Rgb, decoded: Rgb) -> float:
    """SSIMULACRA2 of two `(H, W, 3)` arrays as the package ssimulacra2 has it; 100 if identical.

    A port of Cloudinary's reference to Python; its constants are the reference's. Sides must be at
    least 8 pixels long. Reference: an identical pair has exactly 100.

    Raises:
        MissingDependencyError: the package is not installed.
    """
    require_ssimulacra2()
    from ssimulacra2 import compute_ssimulacra2

    return float(compute_ssimulacra2(_as_file(source), _as_file(decoded)))


def has_ssimulacra2() -> bool:
    """Whether the package of the metric is installed."""
    return find_spec("ssimulacra2") is not None


def require_ssimulacra2() -> None:
    """Raise MissingDependencyError if the package of the metric is not installed."""
    if not has_ssimulacra2():
        raise MissingDependencyError(
            "the metric ssimulacra2 needs the package ssimulacra2", hint=install_hint("eval")
        )


def _as_file(rgb: Rgb) -> io.BytesIO:
    """A PPM file, which is all that the package takes besides paths."""
    rows, columns, _ = rgb.shape
    return io.BytesIO(b"P6 %d %d 255\n" % (columns, rows) + np.ascontiguousarray(rgb).tobytes())


def decoder_variance(rd_lambda: float, samples: int = 3) -> float:
    """The variance s^2, in squared levels, of the Gaussian that a multiplier stands for.

    `samples` are those of a pixel: 3, or 1 of pictures without colours.
    """
    return samples / (2 * rd_lambda * math.log(2))

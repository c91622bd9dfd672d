"""How far a decoded picture is from its source: PSNR, MS-SSIM, SSIMULACRA2, or a user's command.

All take 8-bit sRGB pixels `(H, W, 3)`, source first; higher is better. A metric that cannot
judge a picture (too small, the command failed) raises `MetricError`, and the row says so.
"""

from __future__ import annotations

import math
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rdae import distortion
from rdae.distortion import PEAK, SSIMULACRA2_SIDE
from rdae.errors import RdaeError
from rdae.images.transparency import GROUNDS, Pixels, on

Rgb = NDArray[np.uint8]
Plane = NDArray[np.float64]

BUILT_IN = ("psnr", "ms_ssim", "ssimulacra2")
DEFINITIONS = {
    "psnr": "PSNR in dB: 10 log10(255² / MSE), MSE over all pixels of R, G and B jointly, 8-bit "
    "sRGB decoded from the real file; identical pixels are kept out of means",
    "ms_ssim": "MS-SSIM on 8-bit RGB, per channel and then the mean, 5 scales, 11x11 Gaussian "
    "window; curves show -10 log10(1 - MS-SSIM) in dB; sides below 161 are skipped",
    "ssimulacra2": "SSIMULACRA2 of the Python package ssimulacra2 (a port of the reference, not "
    "the reference itself): 100 is identical, 90 visually lossless, 70 high, 50 medium, 30 low",
}

_ROWS = 128  # of the pictures at a time, so that the working set stays in the processor's cache
# Wang, Simoncelli and Bovik 2003, section 3.2: weights of the scales, finest first.
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_TAPS = 11
_SIGMA = 1.5
_C1, _C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
MIN_SIDE = 1 + (_TAPS - 1) * 2 ** (len(_SCALE_WEIGHTS) - 1)


class MetricError(RdaeError):
    """A metric cannot judge this pair of pictures."""

    code = "metric"


@dataclass(frozen=True)
class Metric:
    """A metric by name.

    Attributes:
        name: key of rows and summaries, as `ms_ssim`.
        command: of a user's metric, its words; empty for one of ours.
    """

    name: str
    command: tuple[str, ...] = ()

    def __call__(self, source: Pixels, decoded: Pixels) -> float:
        """Judge a decoded picture.

        Pictures with transparency, `(H, W, 4)`, are judged on black and on white; the worse counts.

        Raises:
            MetricError: it cannot be judged.
        """
        if source.shape[2] == 4:
            return min(self(on(source, ground), on(decoded, ground)) for ground in GROUNDS)
        if self.command:
            return _run_command(self, source, decoded)
        return {"psnr": psnr, "ms_ssim": ms_ssim, "ssimulacra2": ssimulacra2}[self.name](
            source, decoded
        )

    @property
    def definition(self) -> str:
        """One sentence for reports."""
        if self.command:
            return f"{self.name}: the last number that this prints: {shlex.join(self.command)}"
        return DEFINITIONS[self.name]


def psnr(source: Rgb, decoded: Rgb) -> float:
    """`rdae.distortion.psnr` of two pictures that must be of one size."""
    _check_shapes(source, decoded)
    return distortion.psnr(source, decoded)


def ms_ssim(source: Rgb, decoded: Rgb) -> float:
    """Multi-scale structural similarity, 1 for identical pictures; per channel, then the mean.

    Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment",
    2003, eq. 7, with the window of their 2004 paper: the product over 5 scales of the mean
    contrast-structure terms, and of the luminance term at the coarsest, to the weights of the
    scales. Negative means count as 0. Between scales a 2x2 mean (of an odd side, the border
    counts as zero, as in the field's usual implementation, the package pytorch-msssim).

    Reference: 0.998819 for g(x, y, c) = (3x + 5y + 40c) mod 256 at 192x176 against the same
    with its last three bits cleared.

    Raises:
        MetricError: a side is shorter than 161 pixels.
    """
    _check_shapes(source, decoded)
    if min(source.shape[:2]) < MIN_SIDE:
        raise MetricError(f"MS-SSIM needs sides of {MIN_SIDE} pixels or more")
    channels = [
        _ms_ssim_plane(source[..., c].astype(np.float64), decoded[..., c].astype(np.float64))
        for c in range(3)
    ]
    return float(np.mean(channels))


def ms_ssim_db(value: float) -> float:
    """MS-SSIM on a scale that does not saturate: -10 log10(1 - v) dB; infinite for 1."""
    return -10 * math.log10(1 - value) if value < 1 else math.inf


def ssimulacra2(source: Rgb, decoded: Rgb) -> float:
    """`rdae.distortion.ssimulacra2` of two pictures that must be of one size.

    Raises:
        MissingDependencyError: the package is not installed.
        MetricError: a side is shorter than 8 pixels.
    """
    _check_shapes(source, decoded)
    require(("ssimulacra2",))
    if min(source.shape[:2]) < SSIMULACRA2_SIDE:
        raise MetricError(f"SSIMULACRA2 needs sides of {SSIMULACRA2_SIDE} pixels or more")
    return distortion.ssimulacra2(source, decoded)


def available(name: str) -> bool:
    """Whether the package that a metric needs is installed."""
    return name != "ssimulacra2" or distortion.has_ssimulacra2()


def require(names: Iterable[str]) -> None:
    """Raise MissingDependencyError if a metric's package is not installed."""
    if "ssimulacra2" in names:
        distortion.require_ssimulacra2()


def _check_shapes(source: Rgb, decoded: Rgb) -> None:
    if source.shape != decoded.shape:
        raise MetricError(
            f"the pictures have {source.shape[1]}x{source.shape[0]} and "
            f"{decoded.shape[1]}x{decoded.shape[0]} pixels"
        )


def _ms_ssim_plane(x: Plane, y: Plane) -> float:
    product = 1.0
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        if scale:
            x, y = _halved(x), _halved(y)
        similarity, structure = _ssim_means(x, y)
        last = scale == len(_SCALE_WEIGHTS) - 1
        product *= max(similarity if last else structure, 0.0) ** weight
    return product


def _ssim_means(x: Plane, y: Plane) -> tuple[float, float]:
    """Mean SSIM and mean contrast-structure term over all whole windows of two planes."""
    rows, columns = x.shape[0] - _TAPS + 1, x.shape[1] - _TAPS + 1
    similarity = structure = 0.0
    for top in range(0, rows, _ROWS):
        part = slice(top, min(top + _ROWS, rows) + _TAPS - 1)
        a, b = x[part], y[part]
        mean_a, mean_b = _blurred(a), _blurred(b)
        means = mean_a * mean_b
        squares = mean_a * mean_a + mean_b * mean_b
        products: Plane = np.multiply(a, b)
        energies: Plane = np.square(a) + np.square(b)
        covariance = _blurred(products) - means
        variances = _blurred(energies) - squares
        terms = (2 * covariance + _C2) / (variances + _C2)
        structure += float(terms.sum())
        similarity += float((terms * (2 * means + _C1) / (squares + _C1)).sum())
    return similarity / (rows * columns), structure / (rows * columns)


@lru_cache(maxsize=1)
def _window() -> tuple[float, ...]:
    offsets = np.arange(_TAPS) - _TAPS // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    return tuple(float(w) for w in weights / weights.sum())


def _blurred(plane: Plane) -> Plane:
    """Gaussian means of all whole 11x11 windows; the window is symmetric, so taps go in pairs."""
    for axis in (0, 1):
        count = plane.shape[axis] - _TAPS + 1
        views = [
            plane[k : k + count] if axis == 0 else plane[:, k : k + count] for k in range(_TAPS)
        ]
        out = views[_TAPS // 2] * _window()[_TAPS // 2]
        for k in range(_TAPS // 2):
            out += (views[k] + views[-1 - k]) * _window()[k]
        plane = out
    return plane


def _halved(plane: Plane) -> Plane:
    rows, columns = plane.shape
    # Average pooling with padding of one on either side where a side is odd.
    plane = np.pad(plane, ((rows % 2,) * 2, (columns % 2,) * 2))
    plane = plane[: len(plane) // 2 * 2, : plane.shape[1] // 2 * 2]
    sums = plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]
    mean: Plane = sums * 0.25
    return mean


def _run_command(metric: Metric, source: Rgb, decoded: Rgb) -> float:
    """Run a user's metric on two PNG files and take the last number that it prints."""
    with tempfile.TemporaryDirectory(prefix="rdae-eval-") as folder:
        paths = {"{a}": Path(folder, "source.png"), "{b}": Path(folder, "decoded.png")}
        for path, pixels in zip(paths.values(), (source, decoded), strict=True):
            Image.fromarray(pixels).save(path, compress_level=1)
        words = list(metric.command)
        if not any("{a}" in word or "{b}" in word for word in words):
            words += list(paths)
        words = [
            w.replace("{a}", str(paths["{a}"])).replace("{b}", str(paths["{b}"])) for w in words
        ]
        try:
            done = subprocess.run(words, capture_output=True, check=False)
        except OSError as error:
            raise MetricError(f"cannot run {words[0]}: {error.strerror}") from error
        # Without the folder, whose name is another one each time.
        told, failed = (
            text.decode("utf-8", "replace").replace(f"{folder}{os.sep}", "").strip()
            for text in (done.stdout, done.stderr)
        )
    if done.returncode:
        said = (failed or told or "no message").splitlines()[-1]
        raise MetricError(f"{words[0]} failed ({done.returncode}): {said}")
    numbers = []
    for word in told.replace(",", " ").split():
        try:
            numbers.append(float(word))
        except ValueError:
            continue
    if not numbers:
        raise MetricError(f"{words[0]} printed no number")
    return numbers[-1]

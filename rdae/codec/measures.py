"""What a target may ask of a decoded picture: a PSNR, or a SSIMULACRA2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdae import distortion
from rdae.images.picture import Picture
from rdae.images.transparency import GROUNDS, on, pixels_of

Rgb = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Measure:
    """How like its source a decoded picture is; more is better.

    Attributes:
        option: the keyword that asks for it.
        of: source and decoded pixels, `(H, W, 3)`, to its value.
        form: how a value is written, for `str.format`.
        near: a search for better latents takes no picture further than this from plain encoding.
        gains: for each of `rdae.scales.TUNES` how much the least and the most is that it gains.
    """

    option: str
    of: Callable[[Rgb, Rgb], float]
    form: str
    near: float
    gains: dict[str, tuple[float, float]]

    def value(self, source: Picture, decoded: Rgb) -> float:
        """Of a picture and its decoded colours; where it is transparent, the worse of two grounds.

        Alpha is decoded exactly; what is under alpha 0 does not count.
        """
        pixels = pixels_of(source)
        if pixels.shape[2] == 3:
            return self.of(pixels, decoded)
        other = np.dstack([decoded, pixels[..., 3]])
        return min(self.of(on(pixels, ground), on(other, ground)) for ground in GROUNDS)

    def text(self, value: float) -> str:
        """The value with its unit."""
        return self.form.format(value)


PSNR = Measure(
    "target_psnr", distortion.psnr, "{:g} dB", 3.0, {"psnr": (-0.3, 0.8), "eye": (-1.5, 0.8)}
)
SSIMULACRA2 = Measure(
    "target_ssimulacra2",
    distortion.ssimulacra2,
    "SSIMULACRA2 {:g}",
    25.0,
    {"psnr": (-5.0, 10.0), "eye": (-2.0, 25.0)},
)

"""This project's lossless files, as a codec of `rdae eval`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rdae.evaluation.protocol import LOSSLESS_QUALITY, SpecError, check_range
from rdae.images.transparency import Pixels, picture_of, pixels_of


@dataclass
class RdaeLossless:
    """Exact pixels by the lossless model, or by WebP where that is smaller."""

    name: str = "rdae-lossless"
    label: str = "rdae lossless"
    qualities: tuple[float, ...] = (LOSSLESS_QUALITY,)
    kind: str = "codec"  # beside the lossless forms of others; ours are the curves
    lossless: bool = True
    has_model: bool = True
    holds_alpha: bool = True
    base: float | None = None  # quality of a lossy picture that each file has first

    @classmethod
    def of(cls, spec: str, base: str | None) -> RdaeLossless:
        """The codec of a specification, with or without a base.

        Raises:
            SpecError: the base is no quality.
        """
        if base is None:
            return cls()
        try:
            quality = float(base)
            check_range("base", quality, 0, 100)
        except ValueError:
            raise SpecError(f"{spec}: base takes a quality from 0 to 100") from None
        name = f"rdae-lossless:base={quality:g}"
        return cls(name=name, label=f"rdae lossless on q{quality:g}", base=quality)

    @cached_property
    def _model(self) -> Any:
        from rdae.model.installed import load_lossless

        return load_lossless()

    @cached_property
    def settings(self) -> str:
        """Version, model and its fingerprint."""
        from rdae import __version__

        text = f"rdae {__version__}, model {self._model.name} ({self._model.fingerprint.hex()})"
        if self.base is None:
            return text
        from rdae.model.installed import load_model

        lossy = load_model()
        return f"{text} on {lossy.description.name} ({lossy.fingerprint.hex()})"

    def load(self) -> None:
        """Load the model, and make the tables."""
        self._model.mixtures.family()

    def check_quality(self, quality: float) -> None:
        """Raise SpecError if the quality is not that of lossless codecs."""
        check_range(self.name, quality, LOSSLESS_QUALITY, LOSSLESS_QUALITY)

    def encode(self, pixels: Pixels, quality: float) -> bytes:
        """Return the bytes of a .rd file."""
        from rdae.codec import encode

        return encode(picture_of(pixels), max_error=0, base=self.base, threads=1).data

    def decode(self, data: bytes) -> Pixels:
        """Return the pixels of a .rd file."""
        from rdae.codec import decode

        return pixels_of(decode(data, threads=1))

    def bits(self, data: bytes) -> None:
        """There is no latent."""

    def cold_command(self, source: Path, output: Path) -> list[str]:
        """The command line itself."""
        command = [sys.executable, "-m", "rdae", "decompress", str(source), "-o", str(output)]
        return [*command, "--quiet"]

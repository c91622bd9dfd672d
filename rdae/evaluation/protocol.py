"""What the runner needs of a codec: encode at a quality, decode, name, settings."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from rdae.errors import RdaeError
from rdae.images.transparency import Pixels

LOSSLESS_QUALITY = 100.0  # what rows of lossless codecs carry, which have no quality


class SpecError(RdaeError):
    """A codec spec that names no codec, or a setting that it does not have."""

    code = "codec-spec"


class Codec(Protocol):
    """What the runner needs of a codec.

    Attributes:
        name: the canonical spec, without the quality grid; unique in a run.
        label: for people, short.
        settings: what decides the bytes, versions included; rows of other settings do not mix.
        kind: "ours" or "codec".
        lossless: there is one point, and the pixels must come back as they were.
        qualities: the points to measure, ascending.
        has_model: loading it takes time worth measuring.
        holds_alpha: it can hold transparency.
    """

    qualities: tuple[float, ...]

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def settings(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def lossless(self) -> bool: ...  # noqa: D102
    @property
    def has_model(self) -> bool: ...  # noqa: D102
    @property
    def holds_alpha(self) -> bool: ...  # noqa: D102

    def load(self) -> None:
        """Import and load all that coding needs."""

    def check_quality(self, quality: float) -> None:
        """Raise SpecError if the codec has no such quality."""

    def encode(self, pixels: Pixels, quality: float) -> bytes:
        """Return the bytes of a whole file for `(H, W, 3)` or, with alpha, `(H, W, 4)` pixels."""

    def decode(self, data: bytes) -> Pixels:
        """Return the pixels of a file, with as many channels as it was made of."""

    def bits(self, data: bytes) -> dict[str, int] | None:
        """Where the bits of a file went: y, z and header, if the codec has such parts."""

    def cold_command(self, source: Path, output: Path) -> list[str] | None:
        """A command that decodes a file to a PNG in a process of its own."""


def check_range(name: str, quality: float, low: float, high: float) -> None:
    """Raise SpecError if a quality is out of a codec's range."""
    if not low <= quality <= high:
        raise SpecError(f"{name} has qualities from {low:g} to {high:g}, not {quality:g}")

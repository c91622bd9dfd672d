"""The file of another codec that is nearest to one of ours: about as large, or about as good.

The quality that makes it is guessed from measured points and corrected by a few files. Codecs have
steps between their qualities, so something is left, which the page has to tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rdae.errors import RdaeError
from rdae.evaluation.codecs import parse_spec
from rdae.evaluation.metrics import Metric
from rdae.evaluation.runner import round_trip
from rdae.images.transparency import Pixels

# As a fraction of the bytes, and in dB of PSNR: files that differ by less count as equal.
MATCHED = {"rate": 0.05, "quality": 0.2}
GOALS = tuple(MATCHED)

# In ln(bytes), and in dB of PSNR. A search for a quality ends when the file is so close, or
_CLOSE = {"rate": 0.02, "quality": 0.05}
_TRIES = 3  # after so many files
# Twice or half the bits, or 3 dB, is no comparison; a codec that gets no nearer is left out.
_FAR = {"rate": math.log(2.0), "quality": 3.0}


@dataclass(frozen=True)
class Coding:
    """One file, and what it decodes to.

    Attributes:
        quality: on the codec's scale.
        data: the file.
        decoded: `(h, w, 3)` pixels, or `(h, w, 4)` with alpha.
        psnr: of the whole picture in dB; infinite if nothing was lost.
    """

    quality: float
    data: bytes
    decoded: Pixels
    psnr: float


class Codings:
    """Files of one picture by one codec, none of which is made twice.

    Attributes:
        made: by quality.
    """

    def __init__(self, spec: str, path: Path, original: Pixels) -> None:
        """Make nothing yet; `original` are the pixels of the picture in `path`."""
        self.made: dict[float, Coding] = {}
        self._spec, self._path, self._original = spec, path, original

    def at(self, quality: float) -> Coding:
        """Encode and decode, unless that has been done."""
        if quality not in self.made:
            data, decoded = round_trip(self._spec, self._path, quality)
            self.made[quality] = Coding(
                quality, data, decoded, Metric("psnr")(self._original, decoded)
            )
        return self.made[quality]

    def allowed(self, quality: float) -> float:
        """The nearest quality that the codec has: to a tenth, or whole."""
        quality = round(quality, 1)
        try:
            parse_spec(self._spec).check_quality(quality)
        except RdaeError:
            return float(round(quality))
        return quality


def match(
    goal: str, ours: Coding, codings: Codings, rows: Sequence[Mapping[str, Any]]
) -> Coding | None:
    """Find the file that is nearest to ours; None if all are far away.

    Args:
        goal: "rate" for as many bytes, "quality" for as many dB of PSNR.
        ours: the file to be matched.
        codings: of the other codec; what is tried is added.
        rows: of schema `rdae.eval-row/1`, what was measured of this picture and codec.
    """
    target = _value(goal, len(ours.data), ours.psnr)
    if not math.isfinite(target):
        return None

    def error(coding: Coding) -> float:
        return abs(_value(goal, len(coding.data), coding.psnr) - target)

    measured = {row["quality"]: _value(goal, row["bytes"], row.get("psnr")) for row in rows}
    for _ in range(_TRIES):
        tried = {q: _value(goal, len(c.data), c.psnr) for q, c in codings.made.items()}
        points = sorted((v, q) for q, v in {**measured, **tried}.items() if math.isfinite(v))
        if not points:
            break
        guess = np.interp(target, [v for v, _ in points], [q for _, q in points])
        quality = codings.allowed(float(guess))
        if quality in codings.made or error(codings.at(quality)) < _CLOSE[goal]:
            break
    found = min(codings.made.values(), key=error, default=None)
    return found if found is not None and error(found) < _FAR[goal] else None


def _value(goal: str, size: int, decibels: float | None) -> float:
    """Where a file is on the scale of a goal; infinite if it was not measured or lost nothing."""
    if goal == "rate":
        return math.log(size)
    return math.inf if decibels is None else decibels

"""What a file is to be: of a quality, as good as a size allows, or as small as a PSNR allows."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from rdae.cli.console import UsageError, shown
from rdae.scales import DEFAULT_QUALITY, MAX_ERROR

_UNITS = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(k|Ki|M|Mi|G|Gi|)B?", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """One of the ways to say how large or how good the output is to be.

    Attributes:
        quality: 0 to 100; what counts if nothing else is given.
        size: the largest file in bytes.
        bpp: the same in bits per pixel of the picture.
        psnr: the least PSNR in dB.
        ssimulacra2: the least SSIMULACRA2.
        max_error: how far a sample may be off; 0 is lossless.
        base: quality of a lossy picture that such a file has first; None for none.
        or_lossless: a lossless file is as welcome, where it is smaller.
    """

    quality: float = DEFAULT_QUALITY
    size: int | None = None
    bpp: float | None = None
    psnr: float | None = None
    ssimulacra2: float | None = None
    max_error: int | None = None
    base: float | None = None
    or_lossless: bool = False

    @property
    def is_quality(self) -> bool:
        """Whether the quality counts."""
        others = (self.size, self.bpp, self.psnr, self.ssimulacra2, self.max_error)
        return all(other is None for other in others)

    @property
    def has_lossy(self) -> bool:
        """Whether there is to be a lossy picture, in the end or first."""
        return self.max_error is None or self.base is not None


def read_target(
    quality: float | None,
    size: str | None,
    bpp: float | None,
    psnr: float | None,
    ssimulacra2: float | None,
    *,
    lossless: bool | Literal["auto"] = False,
    max_error: int | None = None,
    base: float | None = None,
) -> Target:
    """Read -q, the targets, --lossless and --max-error, of which one may be given, and --base.

    `--lossless=auto` goes with all but --max-error, --base with that and --lossless alone.

    Raises:
        UsageError: there are several, or one makes no sense.
    """
    given = {
        "-q": quality,
        "--target-size": size,
        "--target-bpp": bpp,
        "--target-psnr": psnr,
        "--target-ssimulacra2": ssimulacra2,
        "--lossless": (lossless and lossless != "auto") or None,
        "--max-error": max_error,
    }
    names = [name for name, value in given.items() if value is not None]
    if lossless == "auto" and max_error is not None:
        names.append("--lossless=auto")
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)} exclude each other", hint="give one of them")
    if quality is not None and not 0 <= quality <= 100:
        raise UsageError(f"-q takes 0 to 100 (higher is better), not {quality:g}")
    if base is not None and lossless == "auto":
        raise UsageError(
            "--base and --lossless=auto exclude each other", hint="--lossless --base 50"
        )
    if base is not None and max_error is None and not lossless:
        raise UsageError("--base goes with --lossless or --max-error", hint="-q is the quality")
    if base is not None and not 0 <= base <= 100:
        raise UsageError(f"--base takes 0 to 100 (higher is better), not {base:g}")
    floats = {
        "--target-bpp": bpp,
        "--target-psnr": psnr,
        "--target-ssimulacra2": ssimulacra2,
    }
    for name, value in floats.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UsageError(f"{name} takes a number above 0, not {value:g}")
    if max_error is not None and not 0 <= max_error <= MAX_ERROR:
        raise UsageError(f"--max-error takes 0 to {MAX_ERROR}, not {max_error}")
    return Target(
        quality=DEFAULT_QUALITY if quality is None else quality,
        size=None if size is None else _read_size(size),
        bpp=bpp,
        psnr=psnr,
        ssimulacra2=ssimulacra2,
        max_error=0 if lossless and lossless != "auto" else max_error,
        base=base,
        or_lossless=lossless == "auto",
    )


def _read_size(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None or len(match[1]) > 15 or float(match[1]) <= 0:
        raise UsageError(
            f"--target-size {shown(text)}: not a size",
            hint="bytes, or with a unit: 40k, 1.5M (1000s), 40Ki, 1Mi (1024s)",
        )
    unit = {name.lower(): count for name, count in _UNITS.items()}[match[2].lower()]
    return max(1, math.floor(float(match[1]) * unit))

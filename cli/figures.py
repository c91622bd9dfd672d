"""The figures that commands report: bits and where they went, ratios, PSNR."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from rdae.errors import grouped

if TYPE_CHECKING:
    from rdae.bitstream.info import Info

SPLIT_FIELDS = (
    *("total_bits", "y_bits", "z_bits", "pixel_bits", "header_bits", "alpha_bits"),
    "metadata_bits",
)


_OTHER_PARTS = ("header", "alpha", "metadata")


def exactness(info: Info) -> str:
    """Return how exact a lossless file is: `lossless`, `±2` levels, either of them ` on q50`."""
    exact = f"±{info.max_error}" if info.max_error else "lossless"
    return exact if info.base_quality is None else f"{exact} on q{round(info.base_quality, 1):g}"


def point_text(info: Info) -> str:
    """Return ` · quality point 120 of 255` of a file with a lossy picture, otherwise nothing."""
    has_point = info.rest is not None or not info.is_lossless
    return f" · quality point {info.quality_point} of 255" if has_point else ""


def mode_name(*, is_grey: bool, has_alpha: bool) -> str:
    """Return Pillow's name of a picture's mode: L, LA, RGB or RGBA."""
    return ("L" if is_grey else "RGB") + ("A" if has_alpha else "")


def shape_name(width: int, height: int, mode: str) -> str:
    """Return size and mode as they are printed: `768x512 RGB`."""
    return f"{width}x{height} {mode}"


def split_record(info: Info) -> dict[str, int]:
    """Return the bits of a file and of its parts, for JSON; the parts add up to the total."""
    return {
        "total_bits": 8 * info.file_bytes,
        "y_bits": 8 * info.y_bytes,
        "z_bits": 8 * info.z_bytes,
        "pixel_bits": 8 * info.pixel_bytes,
        "header_bits": 8 * info.header_bytes,
        "alpha_bits": 8 * info.alpha_bytes,
        "metadata_bits": 8 * info.metadata_bytes,
    }


def split_line(info: Info) -> str:
    """Return the same as a line: `73 632 bits: y 69 600 · z 3 584 · header 224 · metadata 224`."""
    bits = split_record(info)
    parts = [
        f"{name} {grouped(bits[f'{name}_bits'])}"
        for name in (*_coded_parts(info), *_OTHER_PARTS)
        if name != "alpha" or info.has_alpha
    ]
    return f"{grouped(bits['total_bits'])} bits: " + " · ".join(parts)


def _coded_parts(info: Info) -> tuple[str, ...]:
    if info.rest is not None:
        return "y", "z", "pixel"
    return ("pixel",) if info.is_lossless else ("y", "z")


def raw_bytes(info: Info) -> int:
    """Return the size of the bare pixels at 8 bits a channel."""
    channels = (1 if info.is_grey else 3) + info.has_alpha
    return info.width * info.height * channels


def ratio_text(before: int, after: int) -> str:
    """Return a ratio of sizes: `60.6:1`, or `154:1` where a tenth says nothing."""
    ratio = before / max(1, after)
    return f"{ratio:.1f}:1" if ratio < 100 else f"{ratio:.0f}:1"


def psnr_text(value: float) -> str:
    """Return a PSNR as it is printed."""
    return f"PSNR {value:.2f} dB" if math.isfinite(value) else "PSNR ∞"


def measured_texts(measured: dict[str, float | None]) -> list[str]:
    """Return what was measured of a decoded picture as it is printed.

    Args:
        measured: `psnr` and `ssimulacra2`, None where it was not.
    """
    psnr, ssimulacra2 = measured["psnr"], measured["ssimulacra2"]
    texts = [] if psnr is None else [psnr_text(psnr)]
    return texts if ssimulacra2 is None else [*texts, f"SSIMULACRA2 {ssimulacra2:.2f}"]


def peak_memory() -> str:
    """Return the process's peak memory for `-v`, as ` · peak memory 212 MB`, or nothing."""
    try:
        import resource
    except ImportError:  # Windows
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    megabytes = peak / (1e6 if sys.platform == "darwin" else 1e6 / 1024)
    return f" · peak memory {megabytes:.0f} MB"


def rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Round the floats of a JSON record to 5 decimals; what is not finite becomes null."""
    return {
        key: (round(value, 5) if math.isfinite(value) else None)
        if isinstance(value, float)
        else value
        for key, value in values.items()
    }

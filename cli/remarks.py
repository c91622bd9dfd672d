"""What the user would want to know of a result, though nothing went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdae.cli.target import Target
from rdae.scales import NUM_POINTS

if TYPE_CHECKING:
    from rdae.bitstream.info import Info

LOW_PSNR = 20  # dB; below it a picture is no longer what it was
DOUBTFUL_BPP = 3  # photographs have 1.6 at quality 100
SMALL_PIXELS = 1 << 16  # decoding so few takes no time

_ELSEWHERE = "--lossless keeps such a picture whole"


def is_doubtful(info: Info) -> bool:
    """Whether a result may be far from its picture, by what can be seen without decoding it."""
    if info.is_lossless:
        return False
    pixels = info.width * info.height
    return pixels <= SMALL_PIXELS or 8 * (info.y_bytes + info.z_bytes) > DOUBTFUL_BPP * pixels


def remarks_on(info: Info, input_bytes: int, psnr: float | None, target: Target) -> list[str]:
    """Return lines that say what is odd about a result, most often none.

    Args:
        info: of the file.
        input_bytes: size of the input.
        psnr: of the decoded picture in dB, if it was measured.
        target: what was asked for.
    """
    remarks = []
    has_ceiling = target.size is not None or target.bpp is not None
    if has_ceiling and info.quality_point == NUM_POINTS - 1:
        remarks.append("the target is not reached: quality 100, the model's best, takes less")
    if target.psnr is not None and info.quality_point == 0:
        remarks.append("the target is exceeded: quality 0, the model's smallest, has more")
    if info.file_bytes > input_bytes and not info.is_lossless:
        remarks.append(f"larger than the input: {_ELSEWHERE}")
    elif psnr is not None and psnr < LOW_PSNR:
        remarks.append(f"PSNR is only {psnr:.1f} dB: {_ELSEWHERE}")
    return remarks

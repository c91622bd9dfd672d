"""What the user would want to know of a result, though nothing went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdae.cli.console import human_bytes
from rdae.cli.target import Target
from rdae.scales import NUM_POINTS

if TYPE_CHECKING:
    from rdae.bitstream.info import Info
    from rdae.images.picture import Picture

LOW_PSNR = 20  # dB; below it a picture is no longer what it was
DOUBTFUL_BPP = 3  # photographs have more only from quality 93 on
SMALL_PIXELS = 1 << 16  # decoding so few takes no time


def is_doubtful(info: Info) -> bool:
    """Whether a result may be far from its picture, by what can be seen without decoding it."""
    if info.is_lossless:
        return False
    pixels = info.width * info.height
    return pixels <= SMALL_PIXELS or 8 * (info.y_bytes + info.z_bytes) > DOUBTFUL_BPP * pixels


def smaller_exact_bytes(picture: Picture, info: Info, input_bytes: int) -> int | None:
    """About how many bytes the lossless file of a picture has, if fewer than its lossy one.

    Only looked for where that may be: of a picture that looks drawn, or whose file is larger than
    the input.

    Args:
        picture: what was compressed.
        info: of the file.
        input_bytes: size of the input.
    """
    from rdae.lossless.estimate import drawn_bytes, looks_drawn

    is_larger = info.file_bytes > input_bytes
    if info.is_lossless or not (is_larger or looks_drawn(picture.rgb)):
        return None
    in_both = info.header_bytes + info.metadata_bytes
    found = drawn_bytes(picture, info.alpha_bytes, info.file_bytes - in_both)
    return None if found is None else found + in_both


def remarks_on(
    info: Info,
    input_bytes: int,
    psnr: float | None,
    target: Target,
    *,
    exact_bytes: int | None = None,
    to_8bit: bool = False,
) -> list[str]:
    """Return lines that say what is odd about a result, most often none.

    Args:
        info: of the file.
        input_bytes: size of the input.
        psnr: of the decoded picture in dB, if it was measured.
        target: what was asked for.
        exact_bytes: about how many the lossless file has, if fewer.
        to_8bit: the input may have had more than 8 bits, which no file of ours holds.
    """
    is_larger = info.file_bytes > input_bytes
    left_out = "larger than the input: --keep-if-smaller leaves out such pictures"
    if info.is_lossless:  # most often of a JPEG, whose pixels take more than its own bytes
        return [left_out] * is_larger
    exact = f"--lossless keeps {'all that 8 bits hold' if to_8bit else 'every pixel'}"
    remarks = []
    has_ceiling = target.size is not None or target.bpp is not None
    if has_ceiling and info.quality_point == NUM_POINTS - 1:
        remarks.append("the target is not reached: quality 100, the model's best, takes less")
    has_floor = target.psnr is not None or target.ssimulacra2 is not None
    if has_floor and info.quality_point == 0:
        remarks.append("the target is exceeded: quality 0, the model's smallest, has more")
    larger_than = ["the input"] * is_larger
    if exact_bytes is not None:
        larger_than.append(f"its lossless form of about {human_bytes(exact_bytes)}")
        remarks.append(f"larger than {' and than '.join(larger_than)}: {exact}")
    elif larger_than:
        remarks.append(left_out)
    elif psnr is not None and psnr < LOW_PSNR:
        remarks.append(f"PSNR is only {psnr:.1f} dB: {exact}")
    return remarks

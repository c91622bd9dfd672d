"""The file that meets a target: as good as a size allows, or as small as a PSNR allows.

First the point is found from what the encoder expects of its files, with at most 9 tries, in an
order that is fixed (`rdae.rate.highest_point`). Then files are really coded and measured, from
there on point by point, as long as they meet the target and until one does. Neither part ever ends
at a lower quality for a target that allows more: what an encoder expects does not depend on the
target, and whoever walks from further up to the first file that fits ends no further down.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from rdae.bitstream.varint import grouped
from rdae.encoding import Encoder
from rdae.errors import RateTargetError, option
from rdae.rate import NUM_POINTS, highest_point

# A search takes no file further from that of plain encoding. So at the ends of the scale, where
# expectations say no, real files are asked only if a target is as near as this.
NEAR_SIZE = 2  # times
NEAR_PSNR = 3  # dB

SMALL_PIXELS = 64 * 64  # a file of fewer is hardly smaller


def encode_within(encoder: Encoder, max_bytes: int, *, max_bpp: float | None = None) -> bytes:
    """The best file of at most `max_bytes` bytes.

    Args:
        encoder: of the picture.
        max_bytes: the largest size.
        max_bpp: what was asked for, if that was bits per pixel; only an error speaks of it.

    Raises:
        RateTargetError: there is none so small.
    """
    files: dict[int, bytes] = {}

    def fits(point: int) -> bool:
        files[point] = encoder.encode(point)
        return len(files[point]) <= max_bytes

    start = highest_point(lambda point: encoder.is_likely_within(point, max_bytes))
    if start < 0 and encoder.estimate_bytes(0) <= NEAR_SIZE * max_bytes:
        start = 0
    point = walk(start, fits, step=1)
    if point is not None:
        return files[point]
    plain = encoder.encode_plain(0)
    if len(plain) <= max_bytes:
        return plain
    least = min(map(len, [plain, *files.values()]))
    pixels = encoder.picture.width * encoder.picture.height
    bpp = math.ceil(10_000 * least * 8 / pixels) / 10_000
    if max_bpp is None:
        asked = f"{grouped(max_bytes)} {'byte is' if max_bytes == 1 else 'bytes are'} too few"
        way_out = option("target_size", least)
    else:
        asked, way_out = f"{max_bpp:g} bpp are too few", option("target_bpp", bpp)
    metadata = encoder.picture.exif or encoder.picture.xmp
    raise RateTargetError(
        f"{asked}: quality 0 takes {grouped(least)} bytes, {bpp:g} bpp",
        reachable=least,
        hint=f"{way_out} or more"
        + (", or scale the picture down" if pixels > SMALL_PIXELS else "")
        + (", or leave metadata out: --strip all (in Python, out of its info)" if metadata else ""),
    )


def encode_from(encoder: Encoder, min_psnr: float) -> bytes:
    """The smallest file whose decoded picture has a PSNR of at least `min_psnr` dB.

    Raises:
        RateTargetError: there is none so good.
    """
    last = NUM_POINTS - 1
    psnrs: dict[int, float] = {}

    def fits(point: int) -> bool:
        psnrs[point] = encoder.psnr_at(point)
        return psnrs[point] >= min_psnr

    start = highest_point(lambda point: not encoder.is_likely_from(point, min_psnr)) + 1
    if start > last and encoder.estimate_psnr(last) >= min_psnr - NEAR_PSNR:
        start = last
    point = walk(start, fits, step=-1)
    if point is not None:
        return encoder.encode(point)
    plain = encoder.estimate_psnr(last)
    if plain >= min_psnr:
        return encoder.encode_plain(last)
    best = max([plain, *psnrs.values()])
    raise RateTargetError(
        f"{min_psnr:g} dB are too many: quality 100 has {best:.2f} dB",
        reachable=best,
        hint=f"{option('target_psnr', math.floor(100 * best) / 100)} or less; rdae is not lossless",
    )


def walk(start: int, fits: Callable[[int], bool], *, step: int) -> int | None:
    """From a point that should fit, on to the last one in a row that does, or back to the first.

    Args:
        start: the point; one that is no point has been found not to fit, nor has any other.
        fits: whether a point does.
        step: 1 or -1, where on is.
    """
    if not 0 <= start < NUM_POINTS:
        return None
    point = start
    if fits(point):
        while 0 <= point + step < NUM_POINTS and fits(point + step):
            point += step
        return point
    while 0 <= point - step < NUM_POINTS:
        point -= step
        if fits(point):
            return point
    return None

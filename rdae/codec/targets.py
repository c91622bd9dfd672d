"""The file that meets a target: as good as a size allows, or as small as a wished quality allows.

First the point is found from what the encoder expects of its files, with at most 9 tries, in an
order that is fixed (`highest_point`). Then files are really coded and measured, from
there on point by point, as long as they meet the target and until one does. Neither part ever ends
at a lower quality for a target that allows more: what an encoder expects does not depend on the
target, and whoever walks from further up to the first file that fits ends no further down.

In pictures of a few hundred pixels neither size nor likeness rises evenly with quality: streams are
whole words, and a flat picture may look best at quality 0. So in small ones every point is tried:
the highest that fits is taken, or the lowest that is good enough, since that keeps the order of
targets, even if a point between happens to look better or to have a smaller file.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from rdae.codec.encoder import Encoder
from rdae.codec.measures import Measure
from rdae.errors import RateTargetError, grouped, option
from rdae.scales import NUM_POINTS, REFINED_EFFORT, point_to_quality

# A search takes no file further from that of plain encoding. So at the ends of the scale, where
# expectations say no, real files are asked only if a target is as near as this, or as
# `Measure.near`.
NEAR_SIZE = 2  # times

SMALL_SIDE = 64  # all points of such pictures are tried in one to three seconds


def encode_within(encoder: Encoder, target_size: int, *, target_bpp: float | None = None) -> bytes:
    """The best file of at most `target_size` bytes.

    Args:
        encoder: of the picture.
        target_size: the largest size.
        target_bpp: what was asked for, if that was bits per pixel; only an error speaks of it.

    Raises:
        RateTargetError: there is none so small.
    """
    files: dict[int, bytes] = {}

    def is_likely(point: int) -> bool:
        return encoder.is_likely_within(point, target_size)

    def fits(point: int) -> bool:
        files[point] = encoder.encode(point)
        return len(files[point]) <= target_size

    if _is_small(encoder):
        start = next(filter(is_likely, reversed(range(NUM_POINTS))), -1)
        smallest = 0 if start >= 0 else min(range(NUM_POINTS), key=encoder.estimate_bytes)
    else:
        start, smallest = highest_point(is_likely), 0
    if start < 0 and encoder.estimate_bytes(smallest) <= NEAR_SIZE * target_size and fits(smallest):
        start = smallest
    point = walk(start, fits, step=1)
    if point is not None:
        return files[point]
    plain = encoder.encode_plain(smallest)
    if len(plain) <= target_size:
        return plain
    least = min(map(len, [plain, *files.values()]))
    pixels = encoder.picture.width * encoder.picture.height
    bpp = enough_bpp(least, pixels)
    if target_bpp is None:
        asked = f"{grouped(target_size)} {'byte is' if target_size == 1 else 'bytes are'} too few"
        way_out = option("target_size", least)
    else:
        asked, way_out = f"{target_bpp:g} bpp are too few", option("target_bpp", bpp)
    raise RateTargetError(
        f"{asked}: quality {point_to_quality(smallest):.3g} takes "
        f"{_bound('at most ', encoder, files)}{grouped(least)} bytes, {bpp:g} bpp",
        reachable=least,
        hint=f"{way_out} or more{_savings(encoder)}",
    )


def enough_bpp(size: int, pixels: int) -> float:
    """Bits per pixel that a file of so many bytes is within, a number of four decimal places."""
    return -(-80_000 * size // pixels) / 10_000


def encode_from(encoder: Encoder, measure: Measure, least: float) -> bytes:
    """The smallest file whose decoded picture measures `least` or more.

    Raises:
        RateTargetError: there is none so good.
    """
    values: dict[int, float] = {}

    def is_likely(point: int) -> bool:
        return encoder.is_likely_from(point, measure, least)

    def fits(point: int) -> bool:
        values[point] = encoder.value_at(point, measure)
        return values[point] >= least

    def estimate(point: int) -> float:
        return encoder.estimate_value(point, measure)

    best = NUM_POINTS - 1
    if _is_small(encoder):
        start = next(filter(is_likely, range(NUM_POINTS)), NUM_POINTS)
        if start == NUM_POINTS:
            best = max(range(NUM_POINTS), key=estimate)
    else:
        start = highest_point(lambda point: not is_likely(point)) + 1
    if start == NUM_POINTS and estimate(best) >= least - measure.near and fits(best):
        start = best
    point = walk(start, fits, step=-1)
    if point is not None:
        return encoder.encode(point)
    plain = estimate(best)
    if plain >= least:
        return encoder.encode_plain(best)
    reachable = max([plain, *values.values()])
    floor = math.floor(100 * reachable) / 100
    raise RateTargetError(
        f"{measure.text(least)} is out of reach: quality {point_to_quality(best):.3g} has "
        f"{_bound('at least ', encoder, values)}{measure.text(floor)}",
        reachable=reachable,
        hint=f"{option(measure.option, floor)} or less, or lossless",
    )


def _is_small(encoder: Encoder) -> bool:
    return max(encoder.picture.width, encoder.picture.height) <= SMALL_SIDE


def _bound(words: str, encoder: Encoder, measured: dict[int, bytes] | dict[int, float]) -> str:
    """The words, where nothing but plain encoding was measured and a search might do better."""
    return words if encoder.effort >= REFINED_EFFORT and not measured else ""


def _savings(encoder: Encoder) -> str:
    """What else makes a file smaller, as the rest of a hint."""
    picture = encoder.picture
    ways = []
    if not _is_small(encoder):
        ways.append("scale the picture down")
    if kinds := [
        *(["all"] if picture.exif or picture.xmp else []),
        *(["icc"] if picture.icc else []),
    ]:
        options = " ".join(f"--strip {kind}" for kind in kinds)
        ways.append(f"leave metadata out: {options} (in Python, out of its info)")
    return "".join(f", or {way}" for way in ways)


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


def highest_point(fits: Callable[[int], bool]) -> int:
    """The highest quality point that fits, -1 if none does, after at most 9 tries.

    Bisection: a point that fits is searched above, one that does not below. The order of points is
    fixed, so if everything that fits a first target fits a second one too, the second target never
    ends at a lower point, even where sizes do not grow evenly from point to point.
    """
    low, high = 0, NUM_POINTS  # all below `low` are taken to fit, none from `high` on
    while low < high:
        middle = (low + high) // 2
        if fits(middle):
            low = middle + 1
        else:
            high = middle
    return low - 1

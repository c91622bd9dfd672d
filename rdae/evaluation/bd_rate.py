"""BD-rate: how many percent more or fewer bits one codec needs than another at equal quality.

Bjøntegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001: ln(rate)
is interpolated as a function of quality, and the difference of two codecs is averaged over the
qualities that both reach. Instead of his cubic fit, which swings between unevenly spaced points,
the interpolation is PCHIP (Fritsch and Butland 1984), with Akima's (1970) as the control, as
Herglotz et al. recommend (arXiv:2304.12852). Negative is better: fewer bits.

Qualities are in any unit that does not saturate, so MS-SSIM comes in decibels. Rates are positive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MIN_POINTS = 4
# Of the narrower curve's range of qualities. Where one curve lies wholly within the other all that
# it shows is compared, however much further the other one goes.
MIN_OVERLAP = 0.5
AKIMA_TOLERANCE = 0.5  # percentage points between PCHIP and Akima that deserve a warning

_BAND_RESAMPLES = 400
_GRID = 81  # qualities at which a saving is given
SEED = 20010404  # of all resamples: results can be repeated


@dataclass(frozen=True)
class Delta:
    """One curve against another.

    Attributes:
        rate: BD-rate in percent, negative for fewer bits; None if the curves cannot be compared.
        akima: the same with Akima's interpolation.
        gain: BD-PSNR: the mean gain in quality at equal rate, in the unit of the quality; None
            also where the curves have no rate in common.
        overlap: the qualities that both reach, (low, high); None if there are none.
        share: the part of the narrower curve's range that the overlap covers, 0 to 1.
        why_not: why the curves cannot be compared, or None.
    """

    rate: float | None
    akima: float | None
    gain: float | None
    overlap: tuple[float, float] | None
    share: float
    why_not: str | None


class Hermite:
    """A piecewise cubic through points, with given slopes at them."""

    def __init__(self, x: Array, y: Array, slopes: Array) -> None:
        """Take `(n,)` arrays; x must ascend, n >= 2."""
        self._x, self._y, self._slopes = x, y, slopes
        self._steps = np.diff(x)
        whole = self._steps * ((y[:-1] + y[1:]) / 2 + self._steps * (slopes[:-1] - slopes[1:]) / 12)
        self._integrals = np.concatenate([[0.0], np.cumsum(whole)])

    def __call__(self, at: Array) -> Array:
        """Return the values at positions within the range."""
        i, t, h = self._place(at)
        y, s = self._y, self._slopes
        value: Array = (
            y[i] * (1 + 2 * t) * (1 - t) ** 2
            + y[i + 1] * t**2 * (3 - 2 * t)
            + h * s[i] * t * (1 - t) ** 2
            + h * s[i + 1] * t**2 * (t - 1)
        )
        return value

    def mean(self, low: float, high: float) -> float:
        """Return the mean over an interval within the range, exactly."""
        i, t, h = self._place(np.array([low, high]))
        y, s = self._y, self._slopes
        integrals = self._integrals[i] + h * (
            y[i] * (t - t**3 + t**4 / 2)
            + y[i + 1] * (t**3 - t**4 / 2)
            + h * s[i] * (t**2 / 2 - 2 * t**3 / 3 + t**4 / 4)
            + h * s[i + 1] * (t**4 / 4 - t**3 / 3)
        )
        return float((integrals[1] - integrals[0]) / (high - low))

    def _place(self, at: Array) -> tuple[NDArray[np.intp], Array, Array]:
        i = np.clip(np.searchsorted(self._x, at, side="right") - 1, 0, len(self._x) - 2)
        h = self._steps[i]
        return i, (at - self._x[i]) / h, h


def pchip(x: Array, y: Array) -> Hermite:
    """Interpolate without overshoot: monotone data give a monotone curve.

    Fritsch and Butland, "A method for constructing local monotone piecewise cubic
    interpolants", 1984: weighted harmonic means of the neighbouring chords; three-point slopes
    at the ends, limited so that they keep the shape.

    Args:
        x: `(n,)`, ascending, n >= 3.
        y: `(n,)`.
    """
    h, chords = np.diff(x), np.diff(y) / np.diff(x)
    left, right = chords[:-1], chords[1:]
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    slopes = np.zeros(len(x))
    same = left * right > 0
    slopes[1:-1][same] = (w1 + w2)[same] / (w1[same] / left[same] + w2[same] / right[same])
    slopes[0] = _end_slope(h[0], h[1], chords[0], chords[1])
    slopes[-1] = _end_slope(h[-1], h[-2], chords[-1], chords[-2])
    return Hermite(x, y, slopes)


def _end_slope(h: float, next_h: float, chord: float, next_chord: float) -> float:
    slope = ((2 * h + next_h) * chord - h * next_chord) / (h + next_h)
    if slope * chord <= 0:
        return 0.0
    if chord * next_chord <= 0 and abs(slope) > 3 * abs(chord):
        return 3 * chord
    return float(slope)


def akima(x: Array, y: Array) -> Hermite:
    """Interpolate with slopes that outliers touch only locally.

    Akima, "A new method of interpolation and smooth curve fitting based on local procedures",
    J. ACM 17(4), 1970: of the two chords on either side of a point, the one whose neighbour
    resembles it counts more.

    Args:
        x: `(n,)`, ascending, n >= 3.
        y: `(n,)`.
    """
    m = np.empty(len(x) + 3)
    m[2:-2] = np.diff(y) / np.diff(x)
    m[1], m[0] = 2 * m[2] - m[3], 3 * m[2] - 2 * m[3]
    m[-2], m[-1] = 2 * m[-3] - m[-4], 3 * m[-3] - 2 * m[-4]
    change = np.abs(np.diff(m))
    after, before = change[2:], change[:-2]
    total = after + before
    slopes = 0.5 * (m[3:] + m[:-3])
    # Where both sides are straight the weights are 0/0; the plain mean is Akima's own choice.
    bent = total > 1e-9 * max(float(total.max()), 1e-300)
    slopes[bent] = ((after * m[1:-2] + before * m[2:-1])[bent]) / total[bent]
    return Hermite(x, y, slopes)


def compare(rates: Array, qualities: Array, anchor_rates: Array, anchor_qualities: Array) -> Delta:
    """Compare a codec's points with an anchor's; the order of the points does not matter.

    Points whose rate or quality is not finite are left out, and of points of equal quality the
    dearer ones.

    Args:
        rates: `(n,)` bits per pixel or bytes, positive.
        qualities: `(n,)`.
        anchor_rates: `(m,)`.
        anchor_qualities: `(m,)`.
    """
    test, anchor = _ordered(rates, qualities), _ordered(anchor_rates, anchor_qualities)
    for name, (_, quality) in (("", test), ("the anchor has ", anchor)):
        if len(quality) < MIN_POINTS:
            count = len(quality)
            points = f"{count or 'no'} point{'' if count == 1 else 's'}"
            return _refused(f"{name}{points}, {MIN_POINTS} are needed")
    low, high, share = _overlap(test, anchor)
    if high <= low:
        return _refused("the curves have no quality in common")
    if share < MIN_OVERLAP:
        text = f"overlap {100 * share:.0f} %, {100 * MIN_OVERLAP:.0f} % are needed"
        return Delta(None, None, None, (low, high), share, text)
    return Delta(
        rate=_bd_rate(pchip, test, anchor, low, high),
        akima=_bd_rate(akima, test, anchor, low, high),
        gain=_bd_gain(test, anchor),
        overlap=(low, high),
        share=share,
        why_not=None,
    )


def bd_rate(
    rates: Array, qualities: Array, anchor_rates: Array, anchor_qualities: Array
) -> float | None:
    """The BD-rate alone, as `compare` has it: for those who need thousands."""
    test, anchor = _ordered(rates, qualities), _ordered(anchor_rates, anchor_qualities)
    if min(len(test[1]), len(anchor[1])) < MIN_POINTS:
        return None
    low, high, share = _overlap(test, anchor)
    return _bd_rate(pchip, test, anchor, low, high) if share >= MIN_OVERLAP else None


def saving(
    rates: Array,
    qualities: Array,
    anchor_rates: Array,
    anchor_qualities: Array,
    scale: Callable[[Array], Array] = np.asarray,
) -> dict[str, list[float | None]] | None:
    """The difference in rate as a function of quality, with a bootstrap band over the images.

    The relative curve difference of Herglotz et al., arXiv:2304.12852: at each quality
    100 (rate / anchor's rate - 1), so negative is better, as for the BD-rate.

    Args:
        rates: `(images, points)`.
        qualities: `(images, points)`.
        anchor_rates: `(images, points of the anchor)`, the same images; a single row for an
            anchor of which only the mean is known, or if there is only the mean of both.
        anchor_qualities: alike.
        scale: puts mean qualities in a unit that does not saturate.

    Returns:
        `quality` and `percent` of the mean curves, `low` and `high` (95 %); the last two are
        None where too few resamples reach that quality, and all are for a single image. None if
        the mean curves cannot be compared.
    """

    def means_of(arrays: Sequence[Array]) -> list[Array]:
        means = [array.mean(axis=0) for array in arrays]
        return [means[0], scale(means[1]), means[2], scale(means[3])]

    everything = (rates, qualities, anchor_rates, anchor_qualities)
    means = means_of(everything)
    delta = compare(*means)
    if delta.overlap is None or delta.why_not:
        return None
    grid = np.linspace(*delta.overlap, _GRID)
    percent = _difference(means, grid)
    low: list[float | None] = [None] * _GRID
    high: list[float | None] = [None] * _GRID
    n = len(rates)
    if n > 1 and len(anchor_rates) == n:
        picks, numbers = draws(_BAND_RESAMPLES, n)
        curves = [
            _difference(means_of([array[pick] for array in everything]), grid) for pick in picks
        ]
        found = np.array(curves)[numbers]
        enough = np.isfinite(found).mean(axis=0) > 0.9
        for i in np.flatnonzero(enough):
            known = found[np.isfinite(found[:, i]), i]
            low[i], high[i] = (float(v) for v in np.percentile(known, (2.5, 97.5)))
    return {
        "quality": [float(v) for v in grid],
        "percent": [float(v) for v in percent],
        "low": low,
        "high": high,
    }


def draws(count: int, pictures: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As many pictures as there are, drawn with replacement, many times; the same in every call.

    Of few pictures most draws are alike, and what is made of one need be made once.

    Args:
        count: of the draws.
        pictures: how many there are.

    Returns:
        `(distinct, pictures)` different draws, each in ascending order, and `(count,)` for each
        draw the number of the one that it is.
    """
    drawn = np.random.default_rng(SEED).integers(0, pictures, (count, pictures))
    distinct, numbers = np.unique(np.sort(drawn, axis=1), axis=0, return_inverse=True)
    return distinct, numbers.reshape(count)  # NumPy 2.0 has another shape


_Curve = tuple[Array, Array]  # rates, qualities; qualities ascend


def _ordered(rates: Array, qualities: Array) -> _Curve:
    rates, qualities = np.asarray(rates, float), np.asarray(qualities, float)
    known = np.isfinite(rates) & np.isfinite(qualities) & (rates > 0)
    rates, qualities = rates[known], qualities[known]
    order = np.lexsort((rates, qualities))
    rates, qualities = rates[order], qualities[order]
    distinct = np.concatenate([[True], np.diff(qualities) > 1e-9])[: len(rates)]
    return rates[distinct], qualities[distinct]


def _overlap(test: _Curve, anchor: _Curve) -> tuple[float, float, float]:
    """The qualities that both reach, lowest and highest, and their share of the narrower range."""
    low = float(max(test[1][0], anchor[1][0]))
    high = float(min(test[1][-1], anchor[1][-1]))
    return low, high, (high - low) / min(float(q[-1] - q[0]) for _, q in (test, anchor))


def _refused(why: str) -> Delta:
    return Delta(None, None, None, None, 0.0, why)


def _percent(log_ratio: float) -> float:
    return 100 * float(np.expm1(log_ratio))


def _bd_rate(
    method: Callable[[Array, Array], Hermite], test: _Curve, anchor: _Curve, low: float, high: float
) -> float:
    curves = [method(quality, np.log(rate)) for rate, quality in (test, anchor)]
    return _percent(curves[0].mean(low, high) - curves[1].mean(low, high))


def _bd_gain(test: _Curve, anchor: _Curve) -> float | None:
    """Mean difference in quality over the rates, on a logarithmic scale, that both have."""
    curves = []
    for rate, quality in (test, anchor):
        # By rate: of points at one rate the best; a dearer point may well be worse.
        order = np.lexsort((-quality, rate))
        log_rate = np.log(rate[order])
        distinct = np.concatenate([[True], np.diff(log_rate) > 1e-9])
        curves.append((log_rate[distinct], quality[order][distinct]))
    low = float(max(x[0] for x, _ in curves))
    high = float(min(x[-1] for x, _ in curves))
    if high <= low or min(len(x) for x, _ in curves) < MIN_POINTS:
        return None
    f, g = (pchip(x, y) for x, y in curves)
    return f.mean(low, high) - g.mean(low, high)


def _difference(curves: list[Array], grid: Array) -> Array:
    """Percent at each quality of the grid; NaN where a curve does not reach."""
    test, anchor = _ordered(curves[0], curves[1]), _ordered(curves[2], curves[3])
    out = np.full(len(grid), np.nan)
    if min(len(test[1]), len(anchor[1])) < MIN_POINTS:
        return out
    low, high = max(test[1][0], anchor[1][0]), min(test[1][-1], anchor[1][-1])
    inside = (grid >= low - 1e-9) & (grid <= high + 1e-9)
    f, g = (pchip(quality, np.log(rate)) for rate, quality in (test, anchor))
    out[inside] = 100 * np.expm1(f(grid[inside]) - g(grid[inside]))
    return out

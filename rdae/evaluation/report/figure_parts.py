"""What the figures have in common: names of metrics, titles, axes in percent, labels.

Differences in rate stand on a logarithmic scale: half as many and twice as many bits are equally
far from zero there, and the BD-rate, a mean of logarithms, is the mean height of its curve
(the relative curve difference of Herglotz et al., arXiv:2304.12852).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from rdae.evaluation.report.figure_style import Style
from rdae.evaluation.report.line_labels import Label, place_labels

Summary = Mapping[str, Any]
Codec = Mapping[str, Any]
Array = NDArray[np.float64]

# Percentages for ticks, in order of preference.
_PERCENT_TICKS = [0, 100, -50, 300, -75, 50, -30, 200, 25, -20, 10, -10, 150, -40, 75, -60]
_PERCENT_TICKS += [500, 700, 900, 5, -5, 15, -15, 30, 35, 40, -25, -35, 125, 400, 1500, -85]
_PERCENT_TICKS += [-90, 2, -2, 1, -1, 3, -3]


def metric_name(metric: str) -> str:
    """A metric's name for people."""
    return {"psnr": "PSNR", "ms_ssim": "MS-SSIM", "ssimulacra2": "SSIMULACRA2"}.get(metric, metric)


def metric_key(metric: str) -> str:
    """The key of a metric's comparable scale in a summary's points."""
    return "ms_ssim_db" if metric == "ms_ssim" else metric


def anchor_label(summary: Summary) -> str:
    """The anchor's name for people."""
    labels = {codec["name"]: str(codec["label"]) for codec in summary["codecs"]}
    return labels.get(summary["anchor"], str(summary["anchor"]))


def known_points(codec: Codec, metric: str) -> Array:
    """Rate and quality of a codec's points that have both, `(n, 2)`, by rate."""
    pairs = []
    for point in codec["points"]:
        value = point.get(metric_key(metric))
        if value is not None and math.isfinite(value):
            # Where some images were too small for the metric, so is the mean rate beside it.
            pairs.append((point.get("bpp_of", {}).get(metric, point["bpp"]), value))
    return np.array(sorted(pairs), float).reshape(-1, 2)


def title(summary: Summary, metric: str, what: str) -> str:
    """A figure's title: which pictures, how many of how many, and what is shown of them."""
    return f"{summary['dataset']['name']}, {summary['dataset']['extent'][metric]}: {what}"


def axis_name(metric: str) -> str:
    """A metric's name with its unit."""
    unit = " [dB]" if metric in ("psnr", "ms_ssim") else ""
    return metric_name(metric) + unit


def log_ticks(axes: Axes) -> None:
    """Mark 1, 2, 5, 10 and so on, in plain digits, on a logarithmic x axis."""
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def ratio(percent: Sequence[float | None] | float | None) -> Array:
    """Return percentages as logarithms of the ratio of the rates, NaN where unknown."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.log1p(np.array(percent, float) / 100))


def percent_axis(axes: Axes, name: str, *, vertical: bool) -> None:
    """Make the final limits of an axis of `ratio` fit, and name its values in percent."""
    low, high = axes.get_ylim() if vertical else axes.get_xlim()
    if high - low < 0.06:  # a few percent: do not blow up what is next to nothing
        middle = (low + high) / 2
        low, high = middle - 0.03, middle + 0.03
    ticks: list[float] = []
    for percent in _PERCENT_TICKS:
        at = math.log1p(percent / 100)
        if low <= at <= high and all(abs(at - other) > (high - low) / 14 for other in ticks):
            ticks.append(at)
    axis = axes.yaxis if vertical else axes.xaxis
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda at, _: percent_text(100 * math.expm1(at), 0)))
    axis.set_label_text(name)
    (axes.set_ylim if vertical else axes.set_xlim)(low, high)


def percent_text(value: float, digits: int = 1) -> str:
    """A signed percentage, without the sign of percent: `−11.2`, `+3.0`, `0.0`."""
    text = f"{value:+.{digits}f}"
    if not float(text):
        return text[1:]
    return text.replace("-", "−")


def write_labels(
    axes: Axes,
    labels: Iterable[tuple[Style, Label]],
    curves: Sequence[Array],
) -> None:
    """Place labels, ours first from above, then others from below; mark them as their codec's.

    Ours have room above, the best one on top. Of the others, curves that end low have room below;
    those above them then go up, not across.
    """

    def order(pair: tuple[Style, Label]) -> tuple[bool, float]:
        style, label = pair
        return not style.ours, -label.y if style.ours else label.y

    ordered = sorted(labels, key=order)
    for (style, _), artists in zip(
        ordered, place_labels(axes, [label for _, label in ordered], curves), strict=True
    ):
        for part, artist in enumerate(artists):
            artist.set_gid(f"label{part}-codec-{style.index}")

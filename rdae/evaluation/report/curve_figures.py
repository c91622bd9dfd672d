"""Quality against rate, and the difference in rate as a function of quality."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rdae.evaluation.report.figure_parts import (
    Array,
    Summary,
    anchor_label,
    axis_name,
    known_points,
    log_ticks,
    metric_name,
    percent_axis,
    ratio,
    title,
    write_labels,
)
from rdae.evaluation.report.figure_style import LIGHT, Style, new_figure
from rdae.evaluation.report.line_labels import Label

_WIDTH, _HEIGHT = 8.6, 5.4  # inches
# Beyond this multiple of our highest rate, a linear axis would show what cannot be compared.
_RATE_CROP = 1.6
# What SSIMULACRA2's authors say of its values.
_SSIMULACRA2_WORDS = {
    30: "low",
    50: "medium",
    70: "high",
    80: "very high",
    90: "visually\nlossless",
}


def draw_curves(
    summary: Summary, metric: str, looks: Mapping[str, Style], log: bool
) -> Figure | None:
    """Draw all curves of a metric over the rate or its logarithm; None if nobody has a point."""
    curves = {
        codec["name"]: known_points(codec, metric)
        for codec in summary["codecs"]
        if not codec.get("lossless")
    }
    curves = {name: points for name, points in curves.items() if len(points)}
    if not curves:
        return None
    figure = new_figure(_WIDTH, _HEIGHT)
    words = metric == "ssimulacra2"
    axes = figure.add_axes((0.075, 0.1, 0.835 if words else 0.905, 0.82))
    axes.set_title(title(summary, metric, f"rate and {metric_name(metric)}"))
    axes.set_xlabel("bits per pixel" + " (logarithmic)" * log)
    axes.set_ylabel(axis_name(metric))
    _set_limits(axes, curves, looks, log)
    if words:
        _name_ssimulacra2(axes)
    for name, points in curves.items():
        look = looks[name]
        axes.plot(*points.T, label=look.label, gid=f"codec-{look.index}", **look.line)
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    labels = []
    for name, points in curves.items():
        x, y = points.T
        seen = points[(x >= low) & (x <= high) & (y >= bottom) & (y <= top)]
        if len(seen):
            look = looks[name]
            labels.append((look, _end_label(look, seen[-1])))
    write_labels(axes, labels, list(curves.values()))
    return figure


def _end_label(look: Style, point: Array) -> Label:
    return Label(look.label, float(point[0]), float(point[1]), look.text_colour, look.ours)


def _set_limits(
    axes: Axes, curves: Mapping[str, Array], looks: Mapping[str, Style], log: bool
) -> None:
    """Show what was run here, and of published curves what falls into that."""
    run = [points for name, points in curves.items() if not looks[name].published]
    points = np.concatenate(run or list(curves.values()))
    ours = [points for name, points in curves.items() if looks[name].ours]
    right = points[:, 0].max()
    if ours and not log:
        right = min(right, _RATE_CROP * np.concatenate(ours)[:, 0].max())
        points = points[points[:, 0] <= right]
    left = points[:, 0].min()
    bottom, top = points[:, 1].min(), points[:, 1].max()
    pad = 0.05 * (top - bottom) or 1
    axes.set_ylim(bottom - pad, top + 1.3 * pad)
    if log:
        span = (right / left) ** 0.04
        axes.set_xscale("log")
        axes.set_xlim(left / span, right * span**3)
        log_ticks(axes)
    else:
        axes.set_xlim(0, 1.06 * right)


def _name_ssimulacra2(axes: Axes) -> None:
    bottom, top = axes.get_ylim()
    for value, word in _SSIMULACRA2_WORDS.items():
        if bottom < value < top:
            axes.axhline(value, color=LIGHT["muted"], linewidth=0.8, linestyle=":", zorder=1)
            axes.text(
                1.008,
                value,
                word,
                transform=axes.get_yaxis_transform(),
                va="center",
                color=LIGHT["muted"],
                fontsize=8.5,
            )


def draw_saving(summary: Summary, metric: str, looks: Mapping[str, Style]) -> Figure | None:
    """Draw each codec's rate relative to the anchor's over quality; None if there is none."""
    curves = {}
    for codec in summary["codecs"]:
        found = (codec["bd"].get(metric) or {}).get("saving")
        if found and codec["name"] != summary["anchor"]:
            curves[codec["name"]] = found
    if not curves:
        return None
    figure = new_figure(_WIDTH, _HEIGHT)
    axes = figure.add_axes((0.09, 0.1, 0.89, 0.82))
    axes.set_title(title(summary, metric, f"bits at equal {metric_name(metric)}"))
    axes.set_xlabel(axis_name(metric))
    axes.axhline(0, color=LIGHT["ink"], linewidth=1.1, zorder=2)
    labels, lines = [], []
    for name, found in curves.items():
        look = looks[name]
        x, y = np.array(found["quality"]), ratio(found["percent"])
        low, high = ratio(found.get("low")), ratio(found.get("high"))
        if low.shape == high.shape == x.shape:
            axes.fill_between(
                x,
                low,
                high,
                color=look.colour,
                alpha=0.22 if look.ours else 0.1,
                linewidth=0,
                zorder=2,
                gid=f"band-codec-{look.index}",
            )
        style = {**look.line, "marker": ""}
        axes.plot(x, y, gid=f"codec-{look.index}", **style)
        known = np.column_stack([x, y])[np.isfinite(y)]
        lines.append(known)
        labels.append((look, _end_label(look, known[-1])))
    left, right = axes.get_xlim()
    last = max(line[-1, 0] for line in lines)
    lines.append(np.array([[left, 0], [right, 0]]))
    if anchor := looks.get(summary["anchor"]):
        labels.append((anchor, _end_label(anchor, np.array([last, 0]))))
    # Room for the labels: a letter takes about 1 % of the width.
    room = 0.03 + min(0.25, 0.0098 * max(len(label.text) for _, label in labels))
    axes.set_xlim(left, last + (last - left) * room / (1 - room))
    percent_axis(
        axes, f"bits against {anchor_label(summary)} [%]   ↓ fewer is better", vertical=True
    )
    write_labels(axes, labels, lines)
    return figure

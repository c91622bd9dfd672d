"""Single images, speed, and what the bits are spent on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rdae.evaluation.report.figure_parts import (
    Codec,
    Summary,
    anchor_label,
    log_ticks,
    metric_name,
    percent_axis,
    ratio,
    title,
    write_labels,
)
from rdae.evaluation.report.figure_style import LIGHT, Style, new_figure
from rdae.evaluation.report.line_labels import Label

_WIDTH = 8.6  # inches
_NAME_LENGTH = 14  # of an image, in a figure


def draw_images(summary: Summary, metric: str, looks: Mapping[str, Style]) -> Figure | None:
    """Draw the BD-rate of every image, a row a codec; None if there is none."""
    rows = []
    for codec in summary["codecs"]:
        bd = codec["bd"].get(metric) or {}
        singles = {k: v for k, v in (bd.get("images") or {}).items() if v is not None}
        if singles and codec["name"] != summary["anchor"]:
            rows.append((codec, sorted(singles.items(), key=lambda pair: pair[1])))
    if not rows:
        return None
    rows.sort(key=lambda row: np.mean([v for _, v in row[1]]), reverse=True)
    heights = [1.7 if looks[codec["name"]].ours else 0.8 for codec, _ in rows]
    inches = 1.15 + 0.62 * sum(heights)
    figure = new_figure(_WIDTH, inches)
    margin = min(0.3, 0.03 + 0.0098 * max(len(codec["label"]) for codec, _ in rows))
    axes = figure.add_axes((margin, 0.55 / inches, 0.975 - margin, 1 - 0.97 / inches))
    axes.set_title(title(summary, metric, f"BD-rate of every image ({metric_name(metric)})"))
    axes.axvline(0, color=LIGHT["ink"], linewidth=1.1, zorder=2)
    bottom, centres = 0.0, []
    for (codec, pairs), height in zip(rows, heights, strict=True):
        centres.append(bottom + height / 2)
        _dots(axes, codec["bd"][metric], pairs, (bottom, height), looks[codec["name"]])
        bottom += height
    axes.set_ylim(0, bottom)
    axes.set_yticks(centres, [codec["label"] for codec, _ in rows])
    for tick, (codec, _) in zip(axes.get_yticklabels(), rows, strict=True):
        look = looks[codec["name"]]
        tick.set_color(look.text_colour)
        tick.set_fontweight("bold" if look.ours else "normal")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.12)
    percent_axis(
        axes, f"bits against {anchor_label(summary)} [%]   ← fewer is better", vertical=False
    )
    for (codec, pairs), centre, height in zip(rows, centres, heights, strict=True):
        if looks[codec["name"]].ours and len(pairs) > 1:
            _name_extremes(axes, pairs, centre, height, looks[codec["name"]])
    return figure


def _dots(
    axes: Axes,
    bd: Mapping[str, Any],
    singles: Sequence[tuple[str, float]],
    row: tuple[float, float],
    look: Style,
) -> None:
    """One codec: a dot an image, climbing through the row from the best to the worst."""
    bottom, height = row
    gid = f"codec-{look.index}"
    x = ratio([value for _, value in singles])
    y = bottom + height * (np.linspace(0.18, 0.82, len(x)) if len(x) > 1 else np.array([0.5]))
    axes.axhline(bottom, color=LIGHT["grid"], linewidth=0.7, zorder=1)
    if bd.get("interval"):
        axes.fill_betweenx(
            [bottom + 0.08 * height, bottom + 0.92 * height],
            *np.repeat(ratio(bd["interval"]), 2).reshape(2, 2),
            color=look.colour,
            alpha=0.22,
            linewidth=0,
            gid=f"band-{gid}",
        )
    if bd.get("image_mean") is not None and len(x) > 1:
        axes.plot(
            ratio([bd["image_mean"]] * 2),
            [bottom + 0.08 * height, bottom + 0.92 * height],
            color=look.colour,
            linewidth=2,
            gid=f"mean-{gid}",
        )
    axes.plot(
        x,
        y,
        linestyle="",
        marker=look.marker,
        markersize=6 if look.ours else 5,
        markerfacecolor=look.colour,
        markeredgecolor=LIGHT["paper"],
        markeredgewidth=0.4,
        zorder=5,
        gid=gid,
    )


def _name_extremes(
    axes: Axes, singles: Sequence[tuple[str, float]], centre: float, height: float, look: Style
) -> None:
    """Write the names of the best and the worst image beside their dots."""
    x = ratio([value for _, value in singles])
    for at, side, name in ((x[0], -1, singles[0][0]), (x[-1], 1, singles[-1][0])):
        axes.annotate(
            name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "…",
            (at, centre + side * height * 0.32),
            xytext=(8 * side, -1),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            fontsize=8.5,
            color=look.text_colour,
            gid=f"label{side + 1}-codec-{look.index}",
        )


def draw_speed(
    summary: Summary, metric: str, verb: str, looks: Mapping[str, Style]
) -> Figure | None:
    """Draw BD-rate over speed; `verb` is "decode" or "encode". None for fewer than two codecs."""
    points = []
    for codec in summary["codecs"]:
        rate = (codec["bd"].get(metric) or {}).get("rate")
        if codec["name"] == summary["anchor"]:
            rate = 0.0
        speed = codec.get(f"{verb}_mps")
        # Published times are of other machines, and seldom of one thread.
        if rate is not None and speed and codec["kind"] != "published":
            points.append((looks[codec["name"]], speed, float(ratio(rate))))
    if len(points) < 2:
        return None
    figure = new_figure(_WIDTH, 4.3)
    axes = figure.add_axes((0.09, 0.125, 0.89, 0.775))
    axes.set_title(title(summary, metric, f"{verb} speed and BD-rate ({metric_name(metric)})"))
    axes.set_xscale("log")
    for look, x, y in points:
        style = {**look.line, "linestyle": "", "markersize": 10 if look.ours else 8}
        axes.plot([x], [y], gid=f"codec-{look.index}", **style)
    speeds = [x for _, x, _ in points]
    axes.set_xlim(min(speeds) / 1.8, max(speeds) * 3)
    axes.margins(y=0.14)
    axes.axhline(0, color=LIGHT["muted"], linewidth=0.9, zorder=1)
    axes.set_xlabel(f"{verb} speed [megapixels per second, one thread]   faster →")
    log_ticks(axes)
    percent_axis(
        axes, f"bits against {anchor_label(summary)} [%]   ↓ fewer is better", vertical=True
    )
    labels = [(o, Label(o.label, x, y, o.text_colour, o.ours)) for o, x, y in points]
    write_labels(axes, labels, [np.array([[x, y]] * 8) for _, x, y in points])
    return figure


def draw_bits(codec: Codec) -> Figure:
    """Draw the shares of y, z and header in the bits of one codec, quality by quality."""
    points = [p for p in codec["points"] if p["bits"]]
    parts = list(dict.fromkeys(key for point in points for key in point["bits"]))
    figure = new_figure(_WIDTH, 3.3)
    axes = figure.add_axes((0.075, 0.2, 0.735, 0.66))
    axes.set_title(f"{codec['label']}: what the bits are spent on")
    below = np.zeros(len(points))
    hues = ("blue", "orange", "grey", "green", "purple", "sky")
    labels = []
    for part, hue in zip(parts, hues, strict=False):
        share = np.array(
            [100 * p["bits"].get(part, 0) / (sum(p["bits"].values()) or 1) for p in points]
        )
        if not share.any():
            continue
        axes.bar(range(len(points)), share, 0.72, below, color=LIGHT[hue], linewidth=0)
        low, high = (f"{v:.0f}" if v >= 10 else f"{v:.1g}" for v in (share.min(), share.max()))
        span = low if low == high else f"{low} to {high}"
        labels.append((below[-1] + share[-1] / 2, f"{part}: {span} %", LIGHT[f"{hue}-text"]))
        below += share
    highest = 98.0
    for at, text, colour in reversed(labels):
        at = min(at, highest)
        axes.text(len(points) - 0.45, at, text, color=colour, va="center")
        highest = at - 9  # percent of the axis, which is a line of text
    axes.set_xticks(
        range(len(points)),
        [f"q{p['quality']:g}\n{p['bpp']:.2f}" for p in points],
    )
    axes.set_xlabel("quality, and bits per pixel")
    axes.set_ylabel("share of the bits [%]")
    axes.set_xlim(-0.55, len(points) - 0.45)
    axes.set_ylim(0, 100)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="x", visible=False)
    return figure

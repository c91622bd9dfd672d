"""`curves.svg` of a run: loss, rate and distortion of the crops, and what validation measured."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rdae.files import atomic_write

WINDOW = 15  # records that a running mean spans: every crop has its own random quality
OLDER_CURVES = 4  # validations drawn besides the last one
# On white: the mean and the newest validation, single records, and older validations from the first
# to the last but one, each darker than the one before.
BLUE, PALE = "#0b5394", "#8fb8de"
OLDER = ("#b5833a", "#9a6a24", "#7d5214", "#5f3b08")
INK, MUTED = "#1a1a1a", "#595959"

_LOOK = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rdae",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "figure.facecolor": "white",
}
_NOTE = (
    "Crops: what training sees, noise in the place of rounding, each at a random quality, so their "
    "PSNR is a mean over all qualities (pale: single records, blue: running mean).\n"
    "Held-out: photos that are not trained on, coded to real files at fixed qualities: a curve for "
    "each validation. Their numbers are not to be compared with those of the crops."
)
_LOSSLESS_NOTE = (
    "Crops: what training sees, a share of them coded with small errors (pale: single records, "
    "blue: running mean).\n"
    "Held-out: photos that are not trained on, shrunk to half of their size and really coded. "
    "Their numbers are not to be compared with those of the crops."
)


def write_curves(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Draw the curves of a run.

    Args:
        path: the SVG file; it is replaced in one step.
        records: those of metrics.jsonl.
    """
    with mpl.rc_context(_LOOK):
        buffer = BytesIO()
        draw_curves(records).savefig(buffer, format="svg", metadata={"Date": None})
    with atomic_write(path, overwrite=True) as file:
        file.write(buffer.getvalue())


def draw_curves(records: Sequence[dict[str, Any]]) -> Figure:
    """Make the figure: loss, rate and PSNR of the crops, and the held-out photos' curves.

    Crops of a lossless model have no PSNR.
    """
    trained = [r for r in records if "loss" in r and r["loss"] is not None]
    validations = [r for r in records if "validation" in r]
    is_lossless = bool(trained) and not any("psnr" in r for r in trained)
    unit = "[bits per sample]" if is_lossless else "(normalised Lagrangian)"
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    for ax, key, label in (
        (axes[0, 0], "loss", f"loss of the crops {unit}"),
        (axes[0, 1], "bpp", "rate of the crops [bpp]"),
        (axes[1, 0], "psnr", "PSNR of the crops, all qualities [dB]"),
    ):
        if is_lossless and key == "psnr":
            ax.set_visible(False)
            continue
        _draw_running_mean(ax, [r for r in trained if key in r], key)
        ax.set(xlabel="step", ylabel=label)
    if any("max_error" in point for r in validations for point in r["validation"]):
        _draw_lossless(axes[1, 1], validations)
    else:
        _draw_validations(axes[1, 1], validations)
    for ax in axes.flat:
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    note = _LOSSLESS_NOTE if is_lossless else _NOTE
    figure.supxlabel(note, fontsize=8, color=MUTED, x=0.01, ha="left")
    return figure


def _draw_running_mean(ax: Axes, records: Sequence[dict[str, Any]], key: str) -> None:
    """Draw all records, and their mean; a record outside of the axes stands at their edge."""
    steps = np.array([r["step"] for r in records])
    values = np.array([r[key] for r in records], float)
    if len(values) >= WINDOW:
        mean = np.convolve(values, np.full(WINDOW, 1 / WINDOW), mode="valid")
        # The first steps, a hundred times the rest, would leave nothing to see; the mean stays in.
        settled = mean[len(mean) // 20 :]
        low = min(float(np.quantile(values, 0.01)), float(settled.min()))
        high = max(float(np.quantile(values, 0.99)), float(settled.max()))
        margin = 0.05 * (high - low) or 1.0
        low, high = low - margin, high + margin
        if outside := int(((values < low) | (values > high)).sum()):
            ax.set_title(f"{outside} records beyond, drawn at the edge", fontsize=8, color=MUTED)
        values, mean = np.clip(values, low, high), np.clip(mean, low, high)
        ax.set_ylim(low, high)
    ax.plot(steps, values, color=PALE, linewidth=0.6)
    if len(values) >= WINDOW:
        ax.plot(steps[WINDOW - 1 :], mean, color=BLUE, linewidth=1.8)
    hard = [r["step"] for r in records if r["hard"]]
    if hard:
        ax.axvline(hard[0], color=INK, linewidth=0.8, linestyle=":")
        # On the side where there is room for it.
        left = hard[0] > 0.5 * steps[-1]
        ax.annotate(
            "rounded latents " if left else " rounded latents",
            (hard[0], 1),
            xycoords=("data", "axes fraction"),
            va="top",
            ha="right" if left else "left",
        )


def _draw_lossless(ax: Axes, validations: Sequence[dict[str, Any]]) -> None:
    """Draw the rate over the steps, for each largest error."""
    ax.set(xlabel="step", ylabel="rate of held-out photos, really coded [bpp]")
    steps = [r["step"] for r in validations]
    for i, point in enumerate(validations[-1]["validation"]):
        rates = [r["validation"][i]["bpp"] for r in validations]
        label = f"errors up to {point['max_error']}" if point["max_error"] else "exact"
        ax.plot(steps, rates, marker="o", color=(BLUE, *OLDER)[i % 5], label=label)
    ax.legend(loc="upper right", frameon=False)


def _draw_validations(ax: Axes, validations: Sequence[dict[str, Any]]) -> None:
    ax.set(xlabel="rate of held-out photos, real files [bpp]", ylabel="PSNR, held-out photos [dB]")
    if not validations:
        ax.annotate("no validation yet", (0.5, 0.5), xycoords="axes fraction", ha="center")
        return
    chosen = np.unique(np.linspace(0, len(validations) - 1, OLDER_CURVES + 1).round().astype(int))
    older = OLDER[len(OLDER) - (len(chosen) - 1) :]
    for at, colour in zip(chosen, [*older, BLUE], strict=True):
        points = validations[at]["validation"]
        newest = at == len(validations) - 1
        ax.plot(
            [p["bpp"] for p in points],
            [p["psnr"] for p in points],
            marker="o",
            markersize=3.5 if newest else 2.5,
            color=colour,
            linewidth=2.0 if newest else 1.0,
            zorder=3 if newest else 2,
            label=f"step {validations[at]['step']}",
        )
    ax.legend(loc="lower right", frameon=False)

"""`curves.svg` of a run: loss, rate and distortion of the crops, and what validation measured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WINDOW = 15  # records that a running mean spans: every crop has its own random quality
OLDER_CURVES = 4  # validations drawn besides the last one
BLUE, GREY = "#0072B2", "0.6"


def write_curves(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Draw the curves of a run.

    Args:
        path: the SVG file; it is replaced in one step.
        records: those of metrics.jsonl.
    """
    trained = [r for r in records if "loss" in r and r["loss"] is not None]
    validations = [r for r in records if "validation" in r]
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "rdae", "font.size": 9}):
        figure = Figure(figsize=(10, 6.4), layout="constrained")
        axes = figure.subplots(2, 2)
        for ax, key, label in (
            (axes[0, 0], "loss", "loss (normalised Lagrangian)"),
            (axes[0, 1], "bpp", "rate of the crops [bpp]"),
            (axes[1, 0], "psnr", "PSNR of the crops [dB]"),
        ):
            _draw_running_mean(ax, trained, key)
            ax.set(xlabel="step", ylabel=label)
        _draw_validations(axes[1, 1], validations)
        for ax in axes.flat:
            ax.grid(alpha=0.3)
            ax.spines[["top", "right"]].set_visible(False)
        part = path.with_suffix(".part")
        figure.savefig(part, format="svg", metadata={"Date": None})
    os.replace(part, path)


def _draw_running_mean(ax: Axes, records: Sequence[dict[str, Any]], key: str) -> None:
    steps = np.array([r["step"] for r in records])
    values = np.array([r[key] for r in records], float)
    ax.plot(steps, values, color=GREY, linewidth=0.5, alpha=0.6)
    if len(values) >= WINDOW:
        mean = np.convolve(values, np.full(WINDOW, 1 / WINDOW), mode="valid")
        ax.plot(steps[WINDOW - 1 :], mean, color=BLUE, linewidth=1.6)
        low, high = np.quantile(values, [0.01, 0.99])
        ax.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    hard = [r["step"] for r in records if r["hard"]]
    if hard:
        ax.axvline(hard[0], color="black", linewidth=0.8, linestyle=":")
        ax.annotate(" rounded latents", (hard[0], 1), xycoords=("data", "axes fraction"), va="top")


def _draw_validations(ax: Axes, validations: Sequence[dict[str, Any]]) -> None:
    ax.set(xlabel="rate [bpp], real files", ylabel="PSNR [dB], held-out photos")
    if not validations:
        ax.annotate("no validation yet", (0.5, 0.5), xycoords="axes fraction", ha="center")
        return
    chosen = np.unique(np.linspace(0, len(validations) - 1, OLDER_CURVES + 1).round().astype(int))
    for at in chosen:
        points = validations[at]["validation"]
        newest = at == len(validations) - 1
        ax.plot(
            [p["bpp"] for p in points],
            [p["psnr"] for p in points],
            marker="o",
            markersize=3,
            color=BLUE if newest else str(0.85 - 0.4 * at / len(validations)),
            linewidth=1.8 if newest else 1.0,
            label=f"step {validations[at]['step']}",
        )
    ax.legend(loc="lower right", frameon=False)

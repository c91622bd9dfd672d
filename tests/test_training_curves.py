"""`curves.svg` of a run: what is drawn can be read, stays in its axes, and says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the figure needs the extra [train]")

from matplotlib.colors import to_rgb

from rdae.training.curves import draw_curves, write_curves


def records(count: int) -> list[dict[str, Any]]:
    """A run whose first steps are far from where it ends, and five validations of it."""
    chance = np.random.default_rng(0)
    found: list[dict[str, Any]] = []
    for at in range(count):
        start = float(np.exp(-at / 6))
        loss, bpp, psnr = 1 + 80 * start, 0.6 + 3 * start, 30 - 15 * start
        noise = chance.normal(size=3)
        found.append(
            {
                "step": 20 * at,
                "loss": loss + 0.1 * noise[0],
                "bpp": bpp + 0.1 * noise[1],
                "psnr": psnr + noise[2],
                "hard": at > 0.9 * count,
            }
        )
        if at % 50 == 49:
            points = [
                {"quality": 20.0 * k, "bpp": 0.1 * 2**k, "psnr": 22 + 3.0 * k} for k in range(5)
            ]
            found.append({"step": 20 * at, "validation": points})
    return found


def luminance(colour: Any) -> float:
    """Relative luminance of WCAG 2.1: 0 is black, 1 white."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("count", [1, 14, 15, 300])
def test_no_line_leaves_its_axes(count: int) -> None:
    figure = draw_curves(records(count))
    for ax in figure.axes:
        low, high = ax.get_ylim()
        for line in ax.lines:
            if line.get_transform() == ax.transData:
                y = np.asarray(line.get_ydata(), float)
                assert y.min() >= low and y.max() <= high


def test_every_line_stands_out_from_the_paper() -> None:
    lines = [line for ax in draw_curves(records(300)).axes for line in ax.lines]
    assert len(lines) >= 10
    contrast = [1.05 / (luminance(line.get_color()) + 0.05) for line in lines]
    assert min(contrast) > 2  # single records, behind their mean
    assert sum(value > 3 for value in contrast) >= len(lines) - 3


def test_what_crops_and_held_out_photos_are_is_said(tmp_path: Path) -> None:
    for count in (0, 1, 300):
        write_curves(tmp_path / "curves.svg", records(count))
        text = (tmp_path / "curves.svg").read_text(encoding="utf-8")
        assert "Crops: what training sees" in text and "Held-out: photos that are not" in text
    assert "rounded latents" in text and "step 980" in text
    assert [path.name for path in tmp_path.iterdir()] == ["curves.svg"]


def test_curves_of_a_lossless_model_speak_of_bits_alone() -> None:
    crops = [{k: v for k, v in r.items() if k != "psnr"} for r in records(40) if "loss" in r]
    points = [{"max_error": error, "bpp": 9.0 - error, "psnr": None} for error in (0, 2)]
    figure = draw_curves([*crops, {"step": 780, "validation": points}])
    loss, _, psnr, held_out = figure.axes
    assert loss.get_ylabel() == "loss of the crops [bits per sample]"
    assert not psnr.get_visible() and len(held_out.lines) == 2
    assert "qualit" not in figure.get_supxlabel() and "really coded" in figure.get_supxlabel()

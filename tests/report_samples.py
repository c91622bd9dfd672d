"""A scene of a report, three versions of a random picture."""

from __future__ import annotations

import pytest

pytest.importorskip("matplotlib", reason="the report needs the extra [eval]")
import numpy as np

from rdae.evaluation.report import scenes
from rdae.evaluation.report.scenes import Scene, Version


def scene(name: str = "kodim01") -> Scene:
    """Three versions of a random picture."""
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    dark, darker = (np.asarray(pixels // n, np.uint8) for n in (2, 4))
    versions = [
        Version(None, "original", None, None, 0.0, {}, pixels),
        Version("rdae", "rdae", 60.0, 0.8, 0.0, {"psnr": 31.25, "ssimulacra2": -3.0}, pixels),
        Version("avif", "AVIF", 50.0, 0.87, 0.0875, {"psnr": 30.0}, dark, -1.25, ("rate",)),
        Version("avif", "AVIF", 60.0, 1.0, 0.25, {"psnr": 31.5}, darker, 0.25, ("quality",)),
    ]
    bare = Scene(name, 768, 512, (100, 50, 160, 90), "worst", 3.25, b"small", tuple(versions))
    return scenes.fitted([bare])[0]

"""Run folders and folders of pictures that tests of training begin with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from rdae.images.picture import Picture
from rdae.training.data import build_cache


def run_of_three(folder: Path, photo: Picture) -> Path:
    """A run folder with the cache of three photos, one of them held out."""
    photos = folder / "photos"
    photos.mkdir()
    Image.fromarray(photo.rgb).save(photos / "a.png")
    Image.fromarray(photo.rgb[::-1]).save(photos / "b.jpg", quality=95)
    see_through = np.dstack([photo.rgb[:90, :120], np.full((90, 120), 255, np.uint8)])
    see_through[:, 60:, 3] = 0
    Image.fromarray(see_through).save(photos / "c.png")
    (photos / "d.png").write_bytes(b"not an image")
    Image.new("RGB", (200, 20)).save(photos / "e.png")
    run = folder / "run"
    run.mkdir()
    report = build_cache(photos, run / "photos.u8", 0.1)
    assert (report.training, report.held_out) == (2, 1)
    assert ["d.png" in report.skipped[0], "smaller than 64" in report.skipped[1]] == [True, True]
    return run


def of_noise(folder: Path, count: int = 2) -> str:
    """A folder of small pictures."""
    folder.mkdir()
    rng = np.random.default_rng(len(folder.name))
    for k in range(count):
        pixels = rng.integers(0, 256, (70, 80, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    return str(folder)

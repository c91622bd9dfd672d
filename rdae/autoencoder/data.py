"""Training crops: photos decoded once into one memory-mapped file, then random crops of it.

Decoding a JPEG for every crop would cost more than the training step; a flat uint8 file costs
3 bytes a pixel of disk and is shared by all processes through the page cache.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdae.errors import ImageError, RdaeError
from rdae.picture import read_picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
MIN_SIDE = 64


class PhotoCache:
    """All photos of a folder as uint8 arrays `(H, W, 3)` on one memory map."""

    def __init__(self, path: Path) -> None:
        index = json.loads(path.with_suffix(".json").read_text())
        self.names: list[str] = [entry["name"] for entry in index]
        self._map = np.memmap(path, np.uint8, mode="r")
        self.photos: list[NDArray[np.uint8]] = []
        for entry in index:
            h, w, at = entry["height"], entry["width"], entry["offset"]
            self.photos.append(self._map[at : at + 3 * h * w].reshape(h, w, 3))
        pixels = np.array([p.shape[0] * p.shape[1] for p in self.photos], float)
        self._share = pixels / pixels.sum()

    def crops(self, rng: np.random.Generator, count: int, size: int) -> NDArray[np.uint8]:
        """Random crops, flipped and transposed at random: `(count, size, size, 3)`.

        Photos are drawn in proportion to their pixels; one smaller than `size` is repeated at
        its edge.
        """
        out = np.empty((count, size, size, 3), np.uint8)
        for k, i in enumerate(rng.choice(len(self.photos), count, p=self._share)):
            photo = self.photos[i]
            h, w = photo.shape[:2]
            y, x = rng.integers(0, max(h - size, 0) + 1), rng.integers(0, max(w - size, 0) + 1)
            crop = photo[y : y + size, x : x + size]
            missing = (0, size - crop.shape[0]), (0, size - crop.shape[1]), (0, 0)
            crop = np.pad(crop, missing, mode="edge")
            if rng.random() < 0.5:
                crop = crop[:, ::-1]
            if rng.random() < 0.5:
                crop = crop.transpose(1, 0, 2)
            out[k] = crop
        return out


def build_cache(folder: Path, path: Path) -> tuple[int, list[str]]:
    """Decode every photo of `folder` (recursively) into the cache file `path`.

    Returns:
        The number of photos in the cache, and a line for each file that was left out and why.

    Raises:
        FileNotFoundError: no usable photo in the folder.
    """
    index, skipped, offset = [], [], 0
    part = path.with_suffix(".part")
    with part.open("wb") as out:
        for file in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
            try:
                rgb = read_picture(file).rgb
            except (ImageError, OSError) as error:
                skipped.append(f"{file}: {error}")
                continue
            h, w = rgb.shape[:2]
            if min(h, w) < MIN_SIDE:
                skipped.append(f"{file}: smaller than {MIN_SIDE} pixels")
                continue
            out.write(rgb.tobytes())
            name = str(file.relative_to(folder))
            index.append({"name": name, "height": h, "width": w, "offset": offset})
            offset += rgb.size
    if not index:
        part.unlink()
        raise FileNotFoundError(f"{folder}: no photos to train on")
    path.with_suffix(".json").write_text(json.dumps(index))
    os.replace(part, path)
    return len(index), skipped


def prepare_cache(run: Path, photos: Path, *, build: bool) -> None:
    """Make sure that a run folder holds the cache of a folder of photos; say what is built.

    Which photos an existing cache holds stands in the folder's config.json. It is removed before
    a cache is built, so that it never speaks of other photos than those of the cache.

    Raises:
        RdaeError: the cache is of other photos, or is missing and `build` is off.
        FileNotFoundError: no usable photo in the folder.
    """
    cache, config = run / "photos.u8", run / "config.json"
    if not cache.exists():
        if not build:
            raise RdaeError(f"{cache} is missing", hint="run once without torchrun to build it")
        config.unlink(missing_ok=True)
        count, skipped = build_cache(photos, cache)
        print(f"{count} photos", *skipped, sep="\n")
    elif config.exists():
        before = json.loads(config.read_text())["photos"]
        if Path(before).resolve() != photos.resolve():
            raise RdaeError(
                f"{cache} holds the photos of {before}, not of {photos}",
                hint=f"choose another output folder, or delete {cache} to change the photos",
            )

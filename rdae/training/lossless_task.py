"""The lossless networks in training: the bits of random crops, exact or with small errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from rdae.lossless.stream import encode_pixels
from rdae.training.camera import developed, developed_crops
from rdae.training.config import TrainConfig
from rdae.training.data import PHOTO_CACHE, SCREENS_CACHE, PhotoCache, Pixels
from rdae.training.lossless_export import exact_model, from_weights_file
from rdae.training.lossless_fit import TILE_RATIOS
from rdae.training.lossless_networks import PRESETS, LosslessNetworks
from rdae.training.validation import middle
from rdae.training.warm_start import read_weights_to_start_from

NEAR_SHARE = 0.12  # of the steps whose crops are coded with errors
MAX_ERROR = 4  # the largest of those
CALIBRATION_CROPS, CALIBRATION_SIDE = 8, 256
VALIDATION_ERRORS = (0, 2)
MAX_PHOTOS, VALIDATION_SIDE = 4, 512


class LosslessTask:
    """Trains `LosslessNetworks`; as of `rdae.training.task.Task`."""

    has_hard_phase = False

    def __init__(self, config: TrainConfig, run: Path) -> None:
        self._config = config
        self.model = LosslessNetworks(*PRESETS[config.preset])
        self.cache = PhotoCache(run / PHOTO_CACHE)
        self._screens = PhotoCache(run / SCREENS_CACHE) if config.screens else None

    def read_start(self, path: Path) -> dict[str, Tensor]:
        """Weights of a run, a checkpoint or a file."""
        return read_weights_to_start_from(path, from_weights_file)

    def draw_crops(self, rng: np.random.Generator) -> Pixels:
        """Crops of photos as cameras make them, and of screens as they are."""
        config = self._config
        of_screens = rng.binomial(config.batch, config.screen_share) if self._screens else 0
        parts = [developed_crops(self.cache, rng, config.batch - of_screens, config.crop)]
        if self._screens and of_screens:
            parts.append(self._screens.crops(rng, of_screens, config.crop))
        return np.concatenate(parts)

    def measure(self, x: Tensor, *, hard: bool) -> dict[str, Tensor]:
        """Bits per sample, in some of the steps of crops that are coded with small errors."""
        near = bool(torch.rand(()) < NEAR_SHARE)
        max_error = int(torch.randint(1, MAX_ERROR + 1, ())) if near else 0
        tile_ratio = TILE_RATIOS[int(torch.randint(len(TILE_RATIOS), ()))]
        bits = torch.stack(list(self.model.bits(x.float(), max_error, tile_ratio))).sum()
        loss = bits / x.numel()
        return {"loss": loss, "bpp": loss * x.shape[3]}

    def harden(self, model: LosslessNetworks) -> None:
        """There is no other phase."""

    def validate(self, model: LosslessNetworks) -> list[dict[str, Any]]:
        """Rate, and PSNR where there are errors, of held-out photos, shrunk to half of their size.

        Tiles are really coded; what a file has beside them is not counted.
        """
        exact = exact_model(model, calibration_crops(self.cache))
        rng = np.random.default_rng(0)
        photos = []
        for photo in self.cache.held_out[:MAX_PHOTOS]:
            side = min(2 * VALIDATION_SIDE, *photo.shape[:2])
            photos.append(developed(middle(photo, side), side // 2, rng))
        totals = torch.zeros(len(VALIDATION_ERRORS), 2, dtype=torch.float64)
        for photo in photos[dist.get_rank() :: dist.get_world_size()]:
            for row, max_error in zip(totals, VALIDATION_ERRORS, strict=True):
                stream, decoded = encode_pixels(exact, photo, max_error=max_error)
                row[0] += 8 * len(stream) / (photo.size / 3)
                row[1] += np.mean((decoded.astype(np.float64) - photo) ** 2)
        totals = totals.to(next(model.parameters()).device)  # where the process group computes
        dist.all_reduce(totals)
        if not photos:
            return []
        found = []
        for max_error, row in zip(VALIDATION_ERRORS, totals / len(photos), strict=True):
            psnr = 10 * float(torch.log10(255**2 / row[1])) if row[1] > 0 else None
            found.append({"max_error": max_error, "bpp": float(row[0]), "psnr": psnr})
        return found

    def to_json(self) -> str:
        """Its widths."""
        return json.dumps({"channels": self.model.channels, "hidden": self.model.hidden})


def calibration_crops(photos: PhotoCache) -> Pixels:
    """The same crops every time: `(N, 256, 256, 3)`."""
    rng = np.random.default_rng(0)
    return developed_crops(photos, rng, CALIBRATION_CROPS, CALIBRATION_SIDE)

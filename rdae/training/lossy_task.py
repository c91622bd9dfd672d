"""The autoencoder in training: rate and distortion of random crops at random qualities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rdae.autoencoder.autoencoder import Autoencoder
from rdae.autoencoder.objective import evaluate
from rdae.model.presets import PRESETS
from rdae.model.spec import NUM_ANCHORS
from rdae.training.augmentation import odd_size
from rdae.training.config import TrainConfig
from rdae.training.data import PHOTO_CACHE, SCREENS_CACHE, PhotoCache, Pixels
from rdae.training.export import calibration_crops
from rdae.training.validation import validate
from rdae.training.warm_start import read_weights_to_start_from, widened


class LossyTask:
    """Trains an `Autoencoder`; as of `rdae.training.task.Task`.

    In the last phase the analysis is frozen and everything that a decoder runs is trained on
    rounded latents and their true discrete likelihood: scales trained on noise are too wide at low
    rates.
    """

    has_hard_phase = True

    def __init__(self, config: TrainConfig, run: Path) -> None:
        self._config = config
        self.model = Autoencoder(PRESETS[config.preset]())
        self.cache = PhotoCache(run / PHOTO_CACHE)
        self._screens = PhotoCache(run / SCREENS_CACHE) if config.screens else None

    def read_start(self, path: Path) -> dict[str, Tensor]:
        """Weights of a run, a checkpoint or a file, grown to our latent channels."""
        return widened(read_weights_to_start_from(path), self.model)

    def draw_crops(self, rng: np.random.Generator) -> Pixels:
        """Crops of photos and screens, in steps whose sides may end anywhere in a cell."""
        config = self._config
        of_screens = rng.binomial(config.batch, config.screen_share) if self._screens else 0
        parts = [
            self.cache.crops(
                rng, config.batch - of_screens, config.crop, config.downscale, config.recolour
            )
        ]
        if self._screens and of_screens:
            parts.append(self._screens.crops(rng, of_screens, config.crop))
        height = width = config.crop
        if rng.random() < config.odd_sizes:
            height, width = odd_size(rng, config.crop)
        return np.ascontiguousarray(np.concatenate(parts)[:, :height, :width])

    def measure(self, x: Tensor, *, hard: bool) -> dict[str, Tensor]:
        """The Lagrangian at one random quality from each of equal parts of the range.

        That is less noise than all from the whole range.
        """
        batch = len(x)
        strata = torch.randperm(batch) + torch.rand(batch)
        anchors = strata * ((NUM_ANCHORS - 1) / batch)
        if x.is_cuda:
            anchors = anchors.pin_memory()
        anchors = anchors.to(x.device, non_blocking=True)
        pixels = x.permute(0, 3, 1, 2).float() / 255
        terms = evaluate(self.model, pixels, anchors, noisy=not hard, tune=self._config.tune)
        return {
            "loss": terms.loss,
            "bpp": terms.bpp.mean(),
            "psnr": (10 * torch.log10(255**2 / terms.mse)).mean(),
            "elbo_bits": -terms.negative_elbo_bits(x.shape[1] * x.shape[2]).mean(),
        }

    def harden(self, model: Autoencoder) -> None:
        """Freeze the analysis; what is learned now is smaller than the noise of bfloat16."""
        model.use_bfloat16(False)
        for part in (model.analysis, model.hyper_analysis):
            part.requires_grad_(False)
        model.z_log_gain.requires_grad_(False)

    def validate(self, model: Autoencoder) -> list[dict[str, Any]]:
        """Rate and PSNR of held-out photos at five qualities."""
        points = validate(model, self.cache.held_out, calibration_crops(self.cache))
        return [vars(point) for point in points]

    def to_json(self) -> str:
        """The spec."""
        return self.model.spec.to_json()

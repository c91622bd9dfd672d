"""What a run trains: everything of a step that depends on the kind of model.

`rdae.training.trainer` has the loop, its schedule, the optimizer and the checkpoints; a task has
the networks, draws crops, measures a loss, and says what the networks are worth.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from rdae.training.data import PhotoCache, Pixels


class Task(Protocol):
    """A kind of model in training.

    Attributes:
        model: the networks that are trained, a module with `use_bfloat16`.
        cache: the photos of the run.
        has_hard_phase: whether the last tenth of a run trains something else, as of `harden`.
    """

    model: Any
    cache: PhotoCache
    has_hard_phase: bool

    def read_start(self, path: Path) -> dict[str, Tensor]:
        """Trained tensors to start from, as far as they fit.

        Raises:
            RdaeError: there are none.
        """

    def draw_crops(self, rng: np.random.Generator) -> Pixels:
        """The crops of one step, all of one size: `(batch, H, W, 3)` uint8."""

    def measure(self, x: Tensor, *, hard: bool) -> dict[str, Tensor]:
        """What a step trains, and what its record tells; single numbers.

        Args:
            x: `(batch, H, W, 3)` uint8, on the device of the run.
            hard: the run is in its last phase.

        Returns:
            At least "loss", which has gradients, and "bpp".
        """

    def harden(self, model: Any) -> None:
        """Change a model for the last phase of a run."""

    def validate(self, model: Any) -> list[dict[str, Any]]:
        """Code held-out photos to real files; all processes call this and share the work.

        Returns:
            A record for each setting: "bpp", "psnr", and what the setting is; none without photos.

        Raises:
            ModelError: a weight is not finite or does not fit 16 bits.
            WeightsMismatchError: a layer could leave the exact range.
        """

    def to_json(self) -> str:
        """The architecture, for a checkpoint."""

"""Weights to start a run from: a checkpoint of another run, or a weights file.

A weights file is turned back into floats, the inverse of `export`. Rounding to 16 bits has cost
almost nothing; only the density of z is known by its tables alone and is fitted to them anew.
"""

from __future__ import annotations

import math
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdae.autoencoder.autoencoder import Autoencoder
from rdae.autoencoder.from_integers import state_of_networks
from rdae.errors import RdaeError
from rdae.model.spec import NUM_ANCHORS
from rdae.model.weights_file import read_weights
from rdae.scales import LAMBDA_RANGE, NUM_POINTS
from rdae.training.checkpoint import checkpoints

PRIOR_FIT_STEPS = 400
PRIOR_FIT_REACH = 64  # largest magnitude of z that the fit looks at

Array = NDArray[Any]


def read_weights_to_start_from(path: Path) -> dict[str, Tensor]:
    """Trained tensors by name.

    Args:
        path: a run folder, a checkpoint folder, its model.pt, or a weights file.

    Raises:
        RdaeError: there are no weights.
        ModelError: the weights file is damaged.
    """
    if path.suffix == ".safetensors":
        return from_weights_file(path)
    file = path
    if path.is_dir():
        file = (checkpoints(path) or [path])[-1] / "model.pt"
    if not file.is_file():
        raise RdaeError(
            f"{path} holds no weights to start from",
            hint="--init takes a run folder, a checkpoint or a .safetensors file",
        )
    try:
        state: dict[str, Tensor] = torch.load(file, weights_only=True, map_location="cpu")["ema"]
    except (UnpicklingError, RuntimeError, KeyError, TypeError, EOFError) as error:
        raise RdaeError(f"{file} is not a checkpoint of rdae, or a damaged one") from error
    return state


def from_weights_file(path: Path) -> dict[str, Tensor]:
    """The state of an `Autoencoder` that exports to the tensors of a weights file."""
    description, tensors = read_weights(path)
    model = Autoencoder(description.spec)
    low, high = description.provenance.get("lambda_range", LAMBDA_RANGE)
    points = _anchor_points(low, high)
    model.load_state_dict(state_of_networks(model, tensors, points))
    _fit_prior(model, tensors, points)
    return model.state_dict()


def _anchor_points(low: float, high: float) -> Array:
    """The quality points, in the scale of a file, that have the lambdas of our anchors."""
    first, last = (math.log(rd_lambda) for rd_lambda in LAMBDA_RANGE)
    ours = np.linspace(first, last, NUM_ANCHORS)
    return (ours - math.log(low)) / (math.log(high) - math.log(low)) * (NUM_POINTS - 1)


def _fit_prior(model: Autoencoder, tensors: dict[str, Array], points: Array) -> None:
    """Fit the density of z to its tables: least cross entropy, channel by channel."""
    n, reach = model.spec.hyper_channels, PRIOR_FIT_REACH
    starts = np.concatenate([[0], np.cumsum(tensors["z.sizes"])])
    wanted = np.zeros((NUM_ANCHORS * n, 2 * reach + 1))
    anchor_of = tensors["z.anchor"]
    for anchor, point in enumerate(points):
        nearest = int(anchor_of[int(np.clip(np.rint(point), 0, NUM_POINTS - 1))])
        for channel in range(n):
            i = nearest * n + channel
            freqs = tensors["z.freqs"][starts[i] : starts[i + 1] - 1].astype(float)  # no escape
            values = tensors["z.lows"][i] + np.arange(len(freqs))
            inside = abs(values) <= reach
            wanted[anchor * n + channel, values[inside] + reach] = freqs[inside] / freqs.sum()
    target = torch.from_numpy(wanted).float()
    values = torch.arange(-reach, reach + 1.0).expand(len(target), 1, -1)
    parameters = [p for p in model.z_prior.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters)
    for step in range(PRIOR_FIT_STEPS):
        optimizer.param_groups[0]["lr"] = 0.03 * min(1.0, 2 * (1 - step / PRIOR_FIT_STEPS))
        likelihood, _, _ = model.z_prior._likelihood(values)
        loss = -(target * torch.log2(likelihood[:, 0].clamp_min(1e-9))).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

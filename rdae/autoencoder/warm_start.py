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

from rdae.autoencoder.autoencoder import (
    LAMBDA_MAX,
    LAMBDA_MIN,
    LN_SCALE_RATIO,
    SCALE_MIN,
    Autoencoder,
)
from rdae.autoencoder.checkpoint import checkpoints
from rdae.errors import RdaeError
from rdae.exact.network import UNIT_BITS
from rdae.model import PIXEL_BITS, ROW_BITS
from rdae.rate import NUM_POINTS
from rdae.spec import NUM_ANCHORS
from rdae.weights_file import read_weights

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
    low, high = description.provenance.get("lambda_range", [LAMBDA_MIN, LAMBDA_MAX])
    points = _anchor_points(low, high)
    state = dict(model.state_dict())
    for name in [n.removesuffix(".mantissa") for n in tensors if n.endswith(".mantissa")]:
        _put_affine(state, tensors, name)
    for name in [n.removesuffix(".table") for n in tensors if n.endswith(".table")]:
        scale = 2.0 ** -float(tensors[f"{name}.shift"][0])
        state[f"{name}.log_gain"] = _at_anchors(tensors[f"{name}.table"] * scale, points)
    step_bits = -float(tensors["y.step_shift"][0]) - UNIT_BITS
    state["y_log_gain"] = _at_anchors(tensors["y.gain"], points)
    state["y_log_step"] = _at_anchors(tensors["y.step"] * 2.0**step_bits, points)
    state["z_log_gain"] = _at_anchors(tensors["z.gain"], points)
    _unfold_units(state, model)
    model.load_state_dict(state)
    _fit_prior(model, tensors, points)
    return model.state_dict()


def _anchor_points(low: float, high: float) -> Array:
    """The quality points, in the scale of a file, that have the lambdas of our anchors."""
    ours = np.linspace(math.log(LAMBDA_MIN), math.log(LAMBDA_MAX), NUM_ANCHORS)
    return (ours - math.log(low)) / (math.log(high) - math.log(low)) * (NUM_POINTS - 1)


def _at_anchors(table: Array, points: Array) -> Tensor:
    """Logarithms of factors `(256, C)` at the anchors, extrapolated where they reach beyond."""
    logs = np.log(table.astype(np.float64))
    per_anchor = (NUM_POINTS - 1) // (NUM_ANCHORS - 1)  # the tables are straight between anchors
    lower = np.clip(points // per_anchor, 0, NUM_ANCHORS - 2).astype(int) * per_anchor
    share = ((points - lower) / per_anchor)[:, None]
    rows = (1 - share) * logs[lower] + share * logs[lower + per_anchor]
    return torch.from_numpy(rows).float()


def _put_affine(state: dict[str, Tensor], tensors: dict[str, Array], name: str) -> None:
    scale = np.ldexp(1.0, -tensors[f"{name}.shift"].astype(int))
    weight = torch.from_numpy(tensors[f"{name}.mantissa"] * scale)
    weight = weight.T if weight.ndim == 2 else weight.permute(2, 0, 1)[:, None]
    state[f"{name}.weight"] = weight.float()
    state[f"{name}.bias"] = torch.from_numpy(tensors[f"{name}.bias"] * scale).float()
    state[f"{name}.bias"] *= 2.0**-UNIT_BITS


def _unfold_units(state: dict[str, Tensor], model: Autoencoder) -> None:
    """The inverse of `export.fold_units`."""
    m = model.spec.latent_channels
    row = 2.0**ROW_BITS * 2.0**-UNIT_BITS / LN_SCALE_RATIO
    heads = [model.spec.first, *model.spec.outputs]
    for name, layers in zip(["first", *(f"outputs.{k}" for k in range(3))], heads, strict=True):
        last = f"{name}.{len(layers) - 1}"
        state[f"{last}.weight"][m:] /= row
        state[f"{last}.bias"][m:] = state[f"{last}.bias"][m:] / row + math.log(SCALE_MIN)
    level = 255 * 2.0**PIXEL_BITS * 2.0**-UNIT_BITS
    last = f"synthesis.{len(model.spec.synthesis) - 2}"  # before the last shuffle
    state[f"{last}.weight"] /= level
    state[f"{last}.bias"] = state[f"{last}.bias"] / level - 0.5


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

"""The integers of a weights file back to floats: the inverse of `export`, without the densities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdae.autoencoder.networks import LN_SCALE_RATIO, SCALE_MIN, Networks
from rdae.exact.network import UNIT_BITS
from rdae.model.model import PIXEL_BITS, ROW_BITS
from rdae.model.spec import NUM_ANCHORS, NUM_PASSES
from rdae.network_spec import final_linear
from rdae.scales import NUM_POINTS

Array = NDArray[Any]


def state_of_networks(
    model: Networks, tensors: dict[str, Array], points: Array
) -> dict[str, Tensor]:
    """The state of a model's networks; what else is in its state stays as it is.

    Args:
        model: of the weights file's spec.
        tensors: of the weights file.
        points: `(16,)` the quality points that the anchors are to stand for, maybe fractional.
    """
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
    return state


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


def _unfold_units(state: dict[str, Tensor], model: Networks) -> None:
    """The inverse of `export.fold_units`."""
    m = model.spec.latent_channels
    row = 2.0**ROW_BITS * 2.0**-UNIT_BITS / LN_SCALE_RATIO
    sections = model.spec.sections()
    for name in ("first", *(f"outputs.{k}" for k in range(NUM_PASSES - 1))):
        last = final_linear(sections[name], name)
        state[f"{last}.weight"][m:] /= row
        state[f"{last}.bias"][m:] = state[f"{last}.bias"][m:] / row + math.log(SCALE_MIN)
    level = 255 * 2.0**PIXEL_BITS * 2.0**-UNIT_BITS
    last = final_linear(model.spec.synthesis, "synthesis")
    state[f"{last}.weight"] /= level
    state[f"{last}.bias"] = state[f"{last}.bias"] / level - 0.5

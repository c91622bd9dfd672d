"""The integers of a weights file back to floats: the inverse of `export`, without the densities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdae.autoencoder.networks import LN_SCALE_RATIO, SCALE_MIN, Networks
from rdae.exact.arithmetic import MEAN_BITS, PIXEL_BITS, PIXELS_OF_ONE, ROW_BITS
from rdae.model.spec import HEADS, NUM_ANCHORS
from rdae.model.values import ValueFlow
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
    units = _Units(model, tensors)
    for path, layer in model.spec.layers():
        if layer[0] == "gain":
            shift = float(tensors[f"{path}.shift"][0])
            relative = units.of_input[path] - units.of_output(path)
            factors = tensors[f"{path}.table"] * np.exp2(relative - shift)
            state[f"{path}.log_gain"] = _at_anchors(factors, points)
        else:
            weight, bias = _affine(tensors, path, units)
            weight = weight.T if weight.ndim == 2 else weight.permute(2, 0, 1)[:, None]
            state[f"{path}.weight"], state[f"{path}.bias"] = weight.float(), bias.float()
    steps = tensors["y.step"] * np.exp2(-float(tensors["y.step_shift"][0]) - units.y_hat)
    state["y_log_gain"] = _at_anchors(tensors["y.gain"], points)
    state["y_log_shrink"] = _at_anchors(steps, points) + state["y_log_gain"]
    state["z_log_gain"] = _at_anchors(tensors["z.gain"], points)
    _unfold_units(state, model)
    return state


class _Units:
    """Bits behind the point of what layers read and give."""

    def __init__(self, model: Networks, tensors: dict[str, Array]) -> None:
        self._tensors = tensors
        self.y_hat = tensors["y.unit"].astype(np.float64)
        spec = model.spec
        flow = self._flow = ValueFlow(spec)
        self._y = -np.log2(tensors["analysis.scale"].astype(np.float64))
        features = np.full(spec.features, self._of(flow.features))
        self.of_input = {
            path: np.concatenate([features, self.y_hat])
            if value == "features + y_hat"
            else self._of(value)
            for path, value in flow.inputs.items()
        }
        sections = spec.sections()
        rows = np.full(spec.latent_channels, ROW_BITS)
        heads = np.concatenate([self.y_hat + MEAN_BITS, rows])
        self._ends = {final_linear(sections[name], name): heads for name in HEADS}
        self._ends[final_linear(spec.synthesis, "synthesis")] = np.asarray(PIXEL_BITS)

    def _of(self, value: str) -> Array:
        group, flow = self._flow.group(value), self._flow
        if value == "y_hat":
            return self.y_hat if flow.y_is_read_by_channel else self.y_hat[0]
        if group == flow.group(flow.y):
            return self._y if flow.y_is_by_channel else self._y[0]
        if group == flow.group("pixels"):
            return np.asarray(math.log2(PIXELS_OF_ONE))
        name = "z.unit" if value == "z_hat" else f"{value}.unit"
        return np.asarray(float(self._tensors[name][0]))

    def of_output(self, path: str) -> Array:
        return self._ends[path] if path in self._ends else self._of(path)


def _at_anchors(table: Array, points: Array) -> Tensor:
    """Logarithms of factors `(256, C)` at the anchors, extrapolated where they reach beyond."""
    logs = np.log(table.astype(np.float64))
    per_anchor = (NUM_POINTS - 1) // (NUM_ANCHORS - 1)  # the tables are straight between anchors
    lower = np.clip(points // per_anchor, 0, NUM_ANCHORS - 2).astype(int) * per_anchor
    share = ((points - lower) / per_anchor)[:, None]
    rows = (1 - share) * logs[lower] + share * logs[lower + per_anchor]
    return torch.from_numpy(rows).float()


def _affine(tensors: dict[str, Array], path: str, units: _Units) -> tuple[Tensor, Tensor]:
    """Weight, as the file has its axes, and bias in real units."""
    mantissa, bias = tensors[f"{path}.mantissa"], tensors[f"{path}.bias"].astype(np.float64)
    shift = tensors[f"{path}.shift"].astype(np.float64)
    unit_in, unit_out = units.of_input[path], units.of_output(path)
    if mantissa.ndim == 2:
        unit_in = np.broadcast_to(unit_in, mantissa.shape[:1])[:, None]
    weight = mantissa * np.exp2(unit_in - unit_out - shift)
    bias = (bias - np.exp2(shift - 1)) * np.exp2(-shift - unit_out)
    return torch.from_numpy(weight), torch.from_numpy(bias)


def _unfold_units(state: dict[str, Tensor], model: Networks) -> None:
    """The inverse of `export.fold_units`."""
    m = model.spec.latent_channels
    sections = model.spec.sections()
    for name in HEADS:
        last = final_linear(sections[name], name)
        state[f"{last}.weight"][m:] *= LN_SCALE_RATIO
        state[f"{last}.bias"][m:] *= LN_SCALE_RATIO
        state[f"{last}.bias"][m:] += math.log(SCALE_MIN)
    last = final_linear(model.spec.synthesis, "synthesis")
    state[f"{last}.weight"] /= 255
    state[f"{last}.bias"] = state[f"{last}.bias"] / 255 - 0.5

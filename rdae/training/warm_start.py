"""Weights to start a run from: a checkpoint of another run, or a weights file.

A weights file is turned back into floats, the inverse of `export`. Rounding to 16 bits has cost
almost nothing; only the density of z is known by its tables alone and is fitted to them anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdae.autoencoder.autoencoder import Autoencoder
from rdae.autoencoder.from_integers import state_of_networks
from rdae.autoencoder.initialisation import LATENT_GAIN, colour_dct, dct_order, quarter_order
from rdae.errors import RdaeError
from rdae.model.model import Model
from rdae.model.spec import NUM_ANCHORS, NUM_PASSES
from rdae.network_spec import final_linear
from rdae.scales import LAMBDA_RANGE, NUM_POINTS
from rdae.training.checkpoint import checkpoints

FRESH_STEP = 0.7  # ln of how much coarser new latent channels begin
FALL = 1.2  # amplitudes of photographs fall about as frequency^-FALL
PRIOR_FIT_STEPS = 400
PRIOR_FIT_REACH = 64  # largest magnitude of z that the fit looks at

Array = NDArray[Any]


def read_weights_to_start_from(
    path: Path, from_file: Callable[[Path], dict[str, Tensor]] | None = None
) -> dict[str, Tensor]:
    """Trained tensors by name.

    Args:
        path: a run folder, a checkpoint folder, its model.pt, or a weights file.
        from_file: reads a weights file; `from_weights_file` if None.

    Raises:
        RdaeError: there are no weights.
        ModelError: the weights file is damaged.
    """
    if path.suffix == ".safetensors":
        return (from_file or from_weights_file)(path)
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
    exported = Model.load(path)
    exported.check()
    description, tensors = exported.description, exported.tensors
    model = Autoencoder(description.spec)
    low, high = description.provenance.get("lambda_range", LAMBDA_RANGE)
    points = _anchor_points(low, high)
    inside = np.clip(points, 0, NUM_POINTS - 1)
    state = state_of_networks(model, tensors, inside)
    # Beyond the file's range its last gains go on, and those of the quantisers as they begin in a
    # new model: steps fall with the root of lambda.
    beyond = torch.from_numpy((points - inside) * math.log(high / low) / (NUM_POINTS - 1)).float()
    state["y_log_gain"] += 0.5 * beyond[:, None]
    state["z_log_gain"] += 0.25 * beyond[:, None]
    model.load_state_dict(state)
    _fit_prior(model, tensors, inside)
    return model.state_dict()


def _anchor_points(low: float, high: float) -> Array:
    """The quality points, in the scale of a file, that have the lambdas of our anchors."""
    first, last = (math.log(rd_lambda) for rd_lambda in LAMBDA_RANGE)
    ours = np.linspace(first, last, NUM_ANCHORS)
    return (ours - math.log(low)) / (math.log(high) - math.log(low)) * (NUM_POINTS - 1)


@torch.no_grad()
def widened(state: dict[str, Tensor], model: Autoencoder) -> dict[str, Tensor]:
    """The state of a model with fewer latent channels, as one of `model`, a new one.

    Old channels keep their place in their group. The new ones begin as the rows of the DCT that
    follow, expected to be 0 and about as large as the nearest old one; no other network sees them.

    Args:
        state: of an `Autoencoder`.
        model: with the initial weights of its skips.

    Returns:
        A state of `model`; `state` itself, if it differs in other things than latent channels.
    """
    m = model.spec.latent_channels
    old_m = state["y_log_gain"].shape[1] if "y_log_gain" in state else m
    others = {
        name
        for name, new in model.state_dict().items()
        if name not in state or state[name].ndim != new.ndim
    }
    if old_m >= m or others or not model.spec.roles:
        return state
    group, old_group = m // NUM_PASSES, old_m // NUM_PASSES
    old = torch.arange(old_m)
    kept = (old // old_group) * group + old % old_group
    fresh = torch.arange(m).reshape(NUM_PASSES, group)[:, old_group:].T.flatten()
    places = {  # where the old entries go along a dimension that has grown
        old_m: kept,
        2 * old_m: torch.cat([kept, kept + m]),
        model.spec.features + old_m: torch.cat(
            [torch.arange(model.spec.features), model.spec.features + kept]
        ),
    }
    result = {}
    for name, new in model.state_dict().items():
        value = state[name]
        if name not in ("y_log_gain", "y_log_shrink") and value.shape != new.shape:
            new = torch.zeros_like(new)
        else:
            new = new.clone()
        sizes = list(zip(new.shape, value.shape, strict=True))
        if any(n != k and (k not in places or len(places[k]) != k) for n, k in sizes):
            return state
        where = [torch.arange(n) if n == k else places[k] for n, k in sizes]
        new[torch.meshgrid(*where, indexing="ij") if where else ...] = value
        result[name] = new
    rows = colour_dct(m)[old_m:]
    for path in model.spec.roles["analysis_skip"]:
        result[f"{path}.weight"][fresh] = rows * LATENT_GAIN
    for path in model.spec.roles["synthesis_skip"]:
        result[f"{path}.weight"][:, fresh] = rows.T[quarter_order()] / LATENT_GAIN
    sections = model.spec.sections()
    like, narrower = _nearest_rows(m, old_m)
    for name in ("first", *(f"outputs.{k}" for k in range(NUM_PASSES - 1))):
        head = final_linear(sections[name], name)
        weight, bias = result[f"{head}.weight"], result[f"{head}.bias"]
        weight[m + fresh] = weight[m + kept[like]]
        bias[m + fresh] = bias[m + kept[like]] + narrower
    for name, change in (("y_log_gain", -FRESH_STEP), ("y_log_shrink", 0.0)):
        result[name][:, fresh] = result[name][:, kept[like]] + change
    return result


def _nearest_rows(m: int, old_m: int) -> tuple[Tensor, Tensor]:
    """For each row of the DCT from `old_m` on, the old row most like it, and ln of the ratio."""
    rows = dct_order(m)
    like, ratio = [], []
    for _, u, v, c in rows[old_m:]:
        same = [i for i in range(old_m) if rows[i][3] == c]
        best = min(same, key=lambda i: math.hypot(rows[i][1] - u, rows[i][2] - v))
        own, other = (math.hypot(*pair) + 1 for pair in ((u, v), rows[best][1:3]))
        like.append(best)
        ratio.append(-FALL * math.log(own / other))
    return torch.tensor(like), torch.tensor(ratio)


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

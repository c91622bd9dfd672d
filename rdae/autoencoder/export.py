"""From a trained autoencoder to a weights file: floats become the decoder's integers.

Each weight W of a layer becomes a mantissa m = rint(W * 2^shift) of 16 bits with one shift per
output channel; features become multiples of 2^-12. Two changes of unit are folded into last
layers: table rows instead of ln(scale), and sixteenths of a pixel level instead of [0, 1].
Densities become integer tables, so that no machine ever evaluates an exponential to decode.
"""

from __future__ import annotations

import argparse
import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdae.autoencoder.autoencoder import (
    LN_SCALE_RATIO,
    NUM_ANCHORS,
    NUM_POINTS,
    NUM_SCALES,
    SCALE_MAX,
    SCALE_MIN,
    Autoencoder,
)
from rdae.autoencoder.layers import Depthwise, Gain, Linear
from rdae.exact.network import MAX_SHIFT, UNIT_BITS
from rdae.model import PIXEL_BITS
from rdae.spec import ModelSpec
from rdae.weights_file import Description, write_weights

MANTISSA_MAX = 32767
TOTAL = 1 << 24  # frequencies of a table sum to this
ESCAPE_SHARE = 2.0**-18  # least probability of the escape
TAIL_PROBABILITY = 2.0**-21  # a table ends where its symbols become rarer than this

Array = NDArray[Any]


def export(model: Autoencoder, path: Path, description: Description) -> None:
    """Write the weights file of a trained model."""
    write_weights(path, description, integer_tensors(model))


def integer_tensors(model: Autoencoder) -> dict[str, Array]:
    """All tensors of the weights file of a trained model."""
    model = fold_units(model)
    tensors: dict[str, Array] = {}
    for path, module in model.named_modules():
        if isinstance(module, Linear):
            _put_affine(tensors, path, module.weight.T, module.bias)
        elif isinstance(module, Depthwise):
            _put_affine(tensors, path, module.weight[:, 0].permute(1, 2, 0), module.bias)
        elif isinstance(module, Gain):
            _put_table(tensors, f"{path}.table", f"{path}.shift", at_points(module.log_gain).exp())
    log_gain = at_points(model.y_log_gain)
    tensors["y.gain"] = log_gain.exp().float().numpy()
    tensors["y.offset"] = (log_gain / LN_SCALE_RATIO).round().to(torch.int16).numpy()
    unit = 2.0**UNIT_BITS
    _put_table(tensors, "y.step", "y.step_shift", unit * at_points(model.y_log_step).exp())
    z_log_gain = at_points(model.z_log_gain)
    tensors["z.gain"] = z_log_gain.exp().float().numpy()
    _put_table(tensors, "z.step", "z.step_shift", unit * (-z_log_gain).exp())
    # the same nearest anchor as `Points.nearest`
    position = np.arange(NUM_POINTS) * (NUM_ANCHORS - 1) / (NUM_POINTS - 1)
    tensors["z.anchor"] = np.floor(position + 0.5).astype(np.uint8)
    _put_tables(tensors, "y", gaussian_tables())
    _put_tables(tensors, "z", prior_tables(model))
    return tensors


def fold_units(model: Autoencoder) -> Autoencoder:
    """A float64 copy whose heads give table rows and whose synthesis gives 1/16 levels.

    Outputs are scaled so that the integer, a multiple of 2^-12, is the row or the 1/16 level.
    """
    model = copy.deepcopy(model).double().requires_grad_(False)
    unit = 2.0**-UNIT_BITS
    m = model.spec.latent_channels
    for head in [model.first, *model.outputs]:
        head[-1].weight[m:] *= unit / LN_SCALE_RATIO
        head[-1].bias[m:] = (head[-1].bias[m:] - math.log(SCALE_MIN)) * (unit / LN_SCALE_RATIO)
    level = 255 * 2.0**PIXEL_BITS * unit
    for branch in model.synthesis[0]:
        last = [layer for layer in branch if isinstance(layer, Linear)][-1]
        last.weight *= level
        last.bias *= level
    last.bias += 0.5 * level  # pixels are centred on 0 inside the networks
    return model


def at_points(anchors: Tensor) -> Tensor:
    """Rows `(16, C)` at the anchors, interpolated linearly to all points: `(256, C)`."""
    position = torch.linspace(0, NUM_ANCHORS - 1, NUM_POINTS, dtype=torch.float64)
    lower = position.floor().long().clamp(max=NUM_ANCHORS - 2)
    fraction = (position - lower)[:, None]
    table = anchors.detach().double()
    return torch.lerp(table[lower], table[lower + 1], fraction)


def shifts(largest: Array) -> Array:
    """The largest shift in 0..30 with which each magnitude still fits 16 bits: int8."""
    with np.errstate(divide="ignore"):
        free = np.floor(np.log2(MANTISSA_MAX / largest))
    if free.min() < 0:
        raise ValueError(f"a weight of magnitude {largest.max():.6g} does not fit 16 bits")
    return np.minimum(free, MAX_SHIFT).astype(np.int8)


def _put_affine(tensors: dict[str, Array], path: str, weight: Tensor, bias: Tensor) -> None:
    w, b = weight.detach().double().numpy(), bias.detach().double().numpy()
    shift = shifts(np.abs(w).reshape(-1, w.shape[-1]).max(0))
    scale = np.ldexp(1.0, shift.astype(int))
    tensors[f"{path}.mantissa"] = np.rint(w * scale).astype(np.int16)
    tensors[f"{path}.bias"] = np.rint(b * scale * 2.0**UNIT_BITS).astype(np.int64)
    tensors[f"{path}.shift"] = shift


def _put_table(tensors: dict[str, Array], table: str, shift: str, values: Tensor) -> None:
    """Positive factors as int32 of about 24 significant bits."""
    v = values.numpy()
    bits = int(np.clip(np.floor(np.log2((1 << 24) / v.max())), 0, MAX_SHIFT))
    tensors[table] = np.rint(np.ldexp(v, bits)).astype(np.int32)
    tensors[shift] = np.array([bits], np.int8)


def _put_tables(tensors: dict[str, Array], latent: str, tables: list[tuple[int, Array]]) -> None:
    tensors[f"{latent}.lows"] = np.array([low for low, _ in tables], np.int32)
    tensors[f"{latent}.sizes"] = np.array([len(freqs) for _, freqs in tables], np.int32)
    tensors[f"{latent}.freqs"] = np.concatenate([freqs for _, freqs in tables]).astype(np.int32)


def frequencies(pmf: Array) -> Array:
    """Integer frequencies, escape last, that sum to 2^24.

    Args:
        pmf: `(n,)` probabilities of the table's symbols; what is missing to 1 goes to the escape.
    """
    escape = max(1.0 - pmf.sum(), ESCAPE_SHARE)
    p = np.append(pmf / pmf.sum() * (1.0 - escape), escape)
    freqs = np.maximum(1, np.floor(p * TOTAL)).astype(np.int64)
    freqs[np.argmax(freqs)] += TOTAL - freqs.sum()
    return freqs


def gaussian_tables() -> list[tuple[int, Array]]:
    """`(low, frequencies)` of the 128 zero-mean Gaussians, integrated over unit bins."""
    tables = []
    for row in range(NUM_SCALES):
        sigma = SCALE_MIN * (SCALE_MAX / SCALE_MIN) ** (row / (NUM_SCALES - 1))
        reach = math.ceil(6 * sigma) + 1
        edge = torch.arange(-reach, reach + 1, dtype=torch.float64).abs()
        # both ends seen from the nearer tail, where differences of erfc keep their digits
        upper = torch.special.erfc((edge - 0.5) / (sigma * math.sqrt(2)))
        lower = torch.special.erfc((edge + 0.5) / (sigma * math.sqrt(2)))
        pmf = (0.5 * (upper - lower)).numpy()
        tables.append(_trim(-reach, pmf))
    return tables


def prior_tables(model: Autoencoder) -> list[tuple[int, Array]]:
    """`(low, frequencies)` of z for each anchor and channel, anchor-major."""
    reach = 512
    values = torch.arange(-reach, reach + 1, dtype=torch.float64)
    prior = model.z_prior.double()
    channels = NUM_ANCHORS * model.spec.hyper_channels
    likelihood, _, _ = prior._likelihood(values.expand(channels, 1, -1))
    return [_trim(-reach, pmf) for pmf in likelihood[:, 0].numpy()]


def _trim(low: int, pmf: Array) -> tuple[int, Array]:
    """Cut the tails that are not worth an entry."""
    kept = np.flatnonzero(pmf >= min(TAIL_PROBABILITY, pmf.max()))
    first, last = int(kept[0]), int(kept[-1])
    return low + first, frequencies(pmf[first : last + 1])


def main() -> None:
    """Entry point of `python -m rdae.autoencoder.export`."""
    parser = argparse.ArgumentParser(description="Export a checkpoint to a weights file.")
    parser.add_argument("checkpoint", type=Path, help="model.pt of a checkpoint folder")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--id", type=int, required=True, help="permanent number, 1 to 255")
    parser.add_argument("--name", required=True)
    args = parser.parse_args()
    content = torch.load(args.checkpoint, weights_only=True)
    model = Autoencoder(ModelSpec.from_json(content["spec"]))
    model.load_state_dict(content["ema"])
    provenance = {"steps": content["step"], "hours": round(content["seconds"] / 3600, 2)}
    export(model, args.output, Description(args.id, args.name, model.spec, provenance))


if __name__ == "__main__":
    main()

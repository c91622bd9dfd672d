"""From a trained autoencoder to a weights file: floats become the decoder's integers.

Each weight W of a layer becomes a mantissa m = rint(W * 2^shift) of 16 bits with one shift per
output channel; features become multiples of 2^-12. Two changes of unit are folded into last
layers: sixteenths of a table row instead of ln(scale), and sixteenths of a pixel level instead of
[0, 1]. Densities become integer tables, so that no machine ever evaluates an exponential to decode.
"""

from __future__ import annotations

import copy
import datetime
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdae.autoencoder.autoencoder import Autoencoder
from rdae.autoencoder.layers import Depthwise, Gain, Linear
from rdae.autoencoder.networks import LN_SCALE_RATIO, SCALE_MIN
from rdae.errors import RdaeError
from rdae.exact.network import MAX_SHIFT, UNIT_BITS
from rdae.model.model import PIXEL_BITS, ROW_BITS, Model
from rdae.model.spec import NUM_ANCHORS, NUM_PASSES, ModelSpec
from rdae.model.weights_file import Description, write_weights
from rdae.network_spec import final_linear
from rdae.scales import LAMBDA_RANGE, NUM_POINTS
from rdae.training.checkpoint import checkpoints
from rdae.training.data import PHOTO_CACHE, PhotoCache
from rdae.training.log import read_metrics
from rdae.training.tables import (
    Table,
    fitted_tables,
    gaussian_tables,
    prior_tables,
    symbol_histograms,
)

MANTISSA_MAX = 32767
TABLE_CROPS = 400  # crops that the tables of y are fitted to

Array = NDArray[Any]


def export(
    model: Autoencoder, path: Path, description: Description, photos: PhotoCache | None = None
) -> None:
    """Write the weights file of a trained model.

    Args:
        model: the trained model.
        path: the file to write.
        description: what the file says of itself.
        photos: photos to fit the tables of y to; without them they stay Gaussian.

    Raises:
        ValueError: a weight is not finite or does not fit 16 bits.
        WeightsMismatchError: a layer could leave the exact range.
    """
    tensors = integer_tensors(model)
    if photos is not None:
        counts = symbol_histograms(Model(description, tensors), photos, TABLE_CROPS)
        put_tables(tensors, "y", fitted_tables(counts))
    Model(description, tensors).check()  # the proof of exactness
    write_weights(path, description, tensors)


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
    tensors["y.offset"] = (2**ROW_BITS * log_gain / LN_SCALE_RATIO).round().to(torch.int16).numpy()
    unit = 2.0**UNIT_BITS
    _put_table(tensors, "y.step", "y.step_shift", unit * at_points(model.y_log_step).exp())
    z_log_gain = at_points(model.z_log_gain)
    tensors["z.gain"] = z_log_gain.exp().float().numpy()
    _put_table(tensors, "z.step", "z.step_shift", unit * (-z_log_gain).exp())
    # the same nearest anchor as `Points.nearest`
    position = np.arange(NUM_POINTS) * (NUM_ANCHORS - 1) / (NUM_POINTS - 1)
    tensors["z.anchor"] = np.floor(position + 0.5).astype(np.uint8)
    put_tables(tensors, "y", gaussian_tables())
    put_tables(tensors, "z", prior_tables(model))
    return tensors


def fold_units(model: Autoencoder) -> Autoencoder:
    """A float64 copy whose heads give 1/16 table rows and whose synthesis gives 1/16 levels.

    Outputs are scaled so that the integer, a multiple of 2^-12, is the 1/16 row or the 1/16 level.
    """
    model = copy.deepcopy(model).cpu().double().requires_grad_(False)
    unit = 2.0**-UNIT_BITS
    m = model.spec.latent_channels
    row = 2.0**ROW_BITS * unit / LN_SCALE_RATIO
    sections = model.spec.sections()
    for name in ("first", *(f"outputs.{k}" for k in range(NUM_PASSES - 1))):
        head = model.linear(final_linear(sections[name], name))
        head.weight[m:] *= row
        head.bias[m:] = (head.bias[m:] - math.log(SCALE_MIN)) * row
    level = 255 * 2.0**PIXEL_BITS * unit
    last = model.linear(final_linear(model.spec.synthesis, "synthesis"))
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
    if not np.isfinite(largest).all():
        raise ValueError("the model has weights that are not finite")
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


def put_tables(tensors: dict[str, Array], latent: str, tables: list[Table]) -> None:
    """Put the tables of "y" or "z" among the tensors."""
    tensors[f"{latent}.lows"] = np.array([low for low, _ in tables], np.int32)
    tensors[f"{latent}.sizes"] = np.array([len(freqs) for _, freqs in tables], np.int32)
    tensors[f"{latent}.freqs"] = np.concatenate([freqs for _, freqs in tables]).astype(np.int32)


def export_run(
    run: Path, output: Path, *, name: str, model_id: int, provenance: dict[str, Any] | None = None
) -> Description:
    """Export the newest checkpoint of a run.

    The description gets steps, hours, date and what the last validation measured; the tables of y
    are fitted to the photos of the run.

    Args:
        run: a run folder, or one of its checkpoints.
        output: the weights file to write.
        name: of the model.
        model_id: its permanent number, 1 to 255.
        provenance: what else to say of it: data, licences, rate-distortion points.

    Returns:
        What the file says of itself.

    Raises:
        RdaeError: there is no checkpoint, or no photo cache.
        ValueError: as of `export`.
    """
    folder = (checkpoints(run) or [run])[-1]
    if not (folder / "model.pt").is_file():
        raise RdaeError(f"{run} holds no checkpoint", hint="rdae train makes one")
    cache = folder.parent / PHOTO_CACHE
    if not cache.is_file():
        raise RdaeError(f"{cache} is missing", hint="rdae train --resume builds it again")
    content = torch.load(folder / "model.pt", weights_only=True, map_location="cpu")
    model = Autoencoder(ModelSpec.from_json(content["spec"]))
    model.load_state_dict(content["ema"])
    found = {
        "steps": content["step"],
        "hours": round(content["seconds"] / 3600, 2),
        "lambda_range": list(LAMBDA_RANGE),
        "date": datetime.date.today().isoformat(),
    }
    for record in read_metrics(folder.parent):
        if "validation" in record and record["step"] <= content["step"]:
            found["rd_points"] = record["validation"]
    photos = PhotoCache(cache)
    found["photo_sha256"] = photos.sha256  # `rdae eval` warns of pictures that are among them
    description = Description(model_id, name, model.spec, {**found, **(provenance or {})})
    export(model, output, description, photos)
    return description

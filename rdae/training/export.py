"""From a trained autoencoder to a weights file: floats become integers.

The networks get int16 mantissas and units from calibration (`rdae.training.quantise`).
Two changes of unit are folded into last layers: table rows instead of ln(scale), and pixel levels
instead of [0, 1]. Densities become integer tables, so that no machine ever evaluates an exponential
to decode.
"""

from __future__ import annotations

import copy
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdae.autoencoder.autoencoder import Autoencoder
from rdae.autoencoder.layers import Depthwise, Gain, Linear
from rdae.autoencoder.networks import LN_SCALE_RATIO, SCALE_MIN
from rdae.exact.arithmetic import (
    LARGEST,
    MAX_SHIFT,
    MEAN_BITS,
    PIXEL_BITS,
    PIXEL_LARGEST,
    ROW_BITS,
)
from rdae.model.model import Model
from rdae.model.spec import HEADS, NUM_ANCHORS, ModelSpec
from rdae.model.values import ValueFlow
from rdae.model.weights_file import Description, write_weights
from rdae.network_spec import final_linear, first_layers
from rdae.scales import NUM_POINTS
from rdae.training.data import PhotoCache
from rdae.training.quantise import (
    Units,
    calibrate,
    check_weights,
    choose_units,
    quantise_gains,
    quantise_layer,
)
from rdae.training.tables import (
    Table,
    fitted_tables,
    gaussian_tables,
    prior_tables,
    symbol_histograms,
)

CALIBRATION_CROPS, CALIBRATION_SIDE = 24, 256
TABLE_CROPS = 400  # crops that the tables of y are fitted to

Array = NDArray[Any]


def export(
    model: Autoencoder,
    path: Path,
    description: Description,
    photos: PhotoCache,
    *,
    fit_tables: bool = True,
) -> None:
    """Write the weights file of a trained model.

    Args:
        model: the trained model.
        path: the file to write.
        description: what the file says of itself.
        photos: photos to calibrate features with and to fit the tables of y to.
        fit_tables: otherwise the tables of y stay Gaussian.

    Raises:
        ModelError: a weight is not finite or does not fit 16 bits.
        WeightsMismatchError: a layer could leave the exact range.
    """
    tensors = integer_tensors(model, calibration_crops(photos))
    if fit_tables:
        counts = symbol_histograms(Model(description, tensors), photos, TABLE_CROPS)
        put_tables(tensors, "y", fitted_tables(counts))
    Model(description, tensors).check()  # the proof of exactness
    write_weights(path, description, tensors)


def calibration_crops(photos: PhotoCache) -> NDArray[np.uint8]:
    """The same crops every time: `(N, 256, 256, 3)`."""
    return photos.crops(np.random.default_rng(0), CALIBRATION_CROPS, CALIBRATION_SIDE)


def integer_tensors(model: Autoencoder, pixels: NDArray[np.uint8]) -> dict[str, Array]:
    """All tensors of the weights file of a trained model.

    Args:
        model: the trained model.
        pixels: `(N, H, W, 3)` crops of photographs, to see how large features become.

    Raises:
        ModelError: a weight is not finite or does not fit 16 bits.
    """
    model = copy.deepcopy(model).cpu().requires_grad_(False)
    model.use_bfloat16(False)
    check_weights(model)
    units = choose_units(model.spec, calibrate(model, pixels))
    fold_units(model.double())
    tensors: dict[str, Array] = {}
    for path, module in model.named_modules():
        put = partial(_put_layer, model.spec, units)
        if isinstance(module, Linear):
            put(tensors, path, module.weight.T, module.bias, module.leak)
        elif isinstance(module, Depthwise):
            put(tensors, path, module.weight[:, 0].permute(1, 2, 0), module.bias, 0)
        elif isinstance(module, Gain):
            _put_gain(model.spec, units, tensors, path, at_points(module.log_gain).exp().numpy())
    log_gain = at_points(model.y_log_gain)
    tensors["y.gain"] = log_gain.exp().float().numpy()
    tensors["y.offset"] = (2**ROW_BITS * log_gain / LN_SCALE_RATIO).round().to(torch.int16).numpy()
    z_log_gain = at_points(model.z_log_gain)
    tensors["z.gain"] = z_log_gain.exp().float().numpy()
    _put_step(tensors, "y", at_points(model.y_log_step).exp().numpy() * np.exp2(units.y_hat))
    _put_step(tensors, "z", (-z_log_gain).exp().numpy() * 2.0**units.z_hat)
    tensors["y.unit"] = units.y_hat.astype(np.int8)
    tensors["z.unit"] = np.array([units.z_hat], np.int8)
    tensors["analysis.scale"] = np.exp2(-units.y).astype(np.float32)
    tensors["hyper_analysis.scale"] = np.exp2(-np.array([units.z])).astype(np.float32)
    # the same nearest anchor as `Points.nearest`
    position = np.arange(NUM_POINTS) * (NUM_ANCHORS - 1) / (NUM_POINTS - 1)
    tensors["z.anchor"] = np.floor(position + 0.5).astype(np.uint8)
    put_tables(tensors, "y", gaussian_tables())
    put_tables(tensors, "z", prior_tables(model))
    return tensors


@torch.no_grad()
def fold_units(model: Autoencoder) -> None:
    """Make heads give table rows, and the synthesis pixel levels on 0..255, in place."""
    m = model.spec.latent_channels
    sections = model.spec.sections()
    for name in HEADS:
        head = model.linear(final_linear(sections[name], name))
        head.weight[m:] /= LN_SCALE_RATIO
        head.bias[m:] = (head.bias[m:] - math.log(SCALE_MIN)) / LN_SCALE_RATIO
    last = model.linear(final_linear(model.spec.synthesis, "synthesis"))
    last.weight *= 255
    last.bias *= 255
    last.bias += 127.5  # pixels are centred on 0 inside the networks


def at_points(anchors: Tensor) -> Tensor:
    """Rows `(16, C)` at the anchors, interpolated linearly to all points: `(256, C)`."""
    position = torch.linspace(0, NUM_ANCHORS - 1, NUM_POINTS, dtype=torch.float64)
    lower = position.floor().long().clamp(max=NUM_ANCHORS - 2)
    fraction = (position - lower)[:, None]
    table = anchors.detach().double()
    return torch.lerp(table[lower], table[lower + 1], fraction)


def _put_layer(
    spec: ModelSpec,
    units: Units,
    tensors: dict[str, Array],
    path: str,
    weight: Tensor,
    bias: Tensor,
    leak: int,
) -> None:
    w, b = weight.detach().numpy(), bias.detach().numpy()
    unit_in = np.asarray(units.of_input[path])
    if w.ndim == 2:
        unit_in = np.broadcast_to(unit_in, w.shape[:1])[:, None]
    unit_out = units.of_output[path]
    sections = spec.sections()
    if path == final_linear(spec.synthesis, "synthesis"):
        unit_out = np.asarray(PIXEL_BITS)
    elif any(path == final_linear(sections[name], name) for name in HEADS):
        rows = np.full(spec.latent_channels, ROW_BITS)
        unit_out = np.concatenate([units.y_hat + MEAN_BITS, rows])
    else:
        _put_unit(spec, units, tensors, path)
    is_first = path in first_layers(spec.analysis, "analysis")
    largest = PIXEL_LARGEST if is_first else LARGEST
    mantissa, whole, shift = quantise_layer(path, w, b, unit_in, unit_out, leak, largest)
    tensors[f"{path}.mantissa"], tensors[f"{path}.bias"] = mantissa, whole
    tensors[f"{path}.shift"] = np.array([shift], np.int8)


def _put_gain(
    spec: ModelSpec, units: Units, tensors: dict[str, Array], path: str, factors: Array
) -> None:
    relative = np.exp2(units.of_output[path] - units.of_input[path])
    tensors[f"{path}.table"], shift = quantise_gains(path, factors * relative)
    tensors[f"{path}.shift"] = np.array([shift], np.int8)
    _put_unit(spec, units, tensors, path)


def _put_unit(spec: ModelSpec, units: Units, tensors: dict[str, Array], path: str) -> None:
    """Say what a layer's output stands for, if no other tensor does."""
    if ValueFlow(spec).has_unit_of_its_own(path):
        tensors[f"{path}.unit"] = np.array([units.of_output[path]], np.int8)


def _put_step(tensors: dict[str, Array], latent: str, steps: Array) -> None:
    """Steps of a quantiser, in units of its latent, as int32 of about 24 significant bits."""
    bits = int(np.clip(np.floor(np.log2((1 << 24) / steps.max())), 1, MAX_SHIFT))
    tensors[f"{latent}.step"] = np.rint(np.ldexp(steps, bits)).astype(np.int32)
    tensors[f"{latent}.step_shift"] = np.array([bits], np.int8)


def put_tables(tensors: dict[str, Array], latent: str, tables: list[Table]) -> None:
    """Put the tables of "y" or "z" among the tensors."""
    tensors[f"{latent}.lows"] = np.array([low for low, _ in tables], np.int32)
    tensors[f"{latent}.sizes"] = np.array([len(freqs) for _, freqs in tables], np.int32)
    tensors[f"{latent}.freqs"] = np.concatenate([freqs for _, freqs in tables]).astype(np.int32)

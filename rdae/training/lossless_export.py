"""The lossless networks from floats to the integers of a weights file, and back.

What features are made of - pixels, differences, errors - has a fixed unit, as has what heads and
generic filters give; only hidden features choose theirs (`rdae.training.quantise`).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.linalg import LinAlgError  # type: ignore[attr-defined]

from rdae.autoencoder.layers import Depthwise, Linear, Residual
from rdae.bitstream.tables import PRECISION_BITS
from rdae.exact.arithmetic import LARGEST
from rdae.lossless.colour import NORMALISED_BITS, NORMALISED_FRACTION
from rdae.lossless.fit import SCALES
from rdae.lossless.model import FORMAT, LosslessModel
from rdae.lossless.networks import (
    ADDED,
    AROUND,
    ERROR_FEATURES,
    NUM_COLOURS,
    NUM_PASSES,
    STATISTICS,
)
from rdae.lossless.parameters import FACTOR_BITS
from rdae.lossless.pyramid import FRACTION_BITS
from rdae.lossless.tables import BETWEEN_BITS, EDGE_BITS, MAX_RESIDUAL, STEP_BITS
from rdae.tensor_file import read_tensors, write_tensors
from rdae.training.lossless_networks import (
    WIDE_RATIO,
    WIDE_WEIGHTS,
    LosslessNetworks,
)
from rdae.training.quantise import check_weights, free_bits, quantise_layer, unexportable

FIXED_UNIT = 11  # of all but hidden features
REACH = 9.0  # standard deviations, and two levels more, that a table has entries for
NORMAL_REACH = 6.02  # standard deviations beyond which the normal distribution is full

Array = NDArray[Any]


def export_lossless(
    net: LosslessNetworks,
    path: Path,
    crops: NDArray[np.uint8],
    *,
    name: str,
    model_id: int,
    provenance: dict[str, Any],
) -> None:
    """Write the weights file of trained networks.

    Args:
        net: the networks.
        path: the file to write.
        crops: `(N, H, W, 3)`, to see how large features become.
        name: of the model.
        model_id: its permanent number.
        provenance: how it was trained.

    Raises:
        ModelError: a weight is not finite or does not fit 16 bits.
        WeightsMismatchError: a layer could leave the exact range.
    """
    content = _description(net, name, model_id, provenance)
    tensors = integer_tensors(net, crops)
    LosslessModel(content, tensors)  # the proof of exactness
    write_tensors(path, content, tensors)


def exact_model(net: LosslessNetworks, crops: NDArray[np.uint8]) -> LosslessModel:
    """The integer model that networks export to, without a file; errors as of the export."""
    return LosslessModel(_description(net, "training", 255, {}), integer_tensors(net, crops))


def _description(
    net: LosslessNetworks, name: str, model_id: int, provenance: dict[str, Any]
) -> dict[str, Any]:
    """What a weights file says of itself."""
    return {
        "format": FORMAT,
        "id": model_id,
        "name": name,
        "channels": net.channels,
        "hidden": net.hidden,
        "provenance": provenance,
    }


def integer_tensors(net: LosslessNetworks, crops: NDArray[np.uint8]) -> dict[str, Array]:
    """All tensors of a weights file.

    Args:
        net: the networks.
        crops: `(N, H, W, 3)`, to see how large features become.

    Raises:
        ModelError: a weight is not finite or does not fit 16 bits.
    """
    check_weights(net)
    try:
        units = _units(net, _largest(net, crops))
    except LinAlgError as error:
        raise unexportable("with these weights no filters can be fitted") from error
    tensors = _tables()
    for path, (unit_in, unit_out) in units.items():
        module = net.get_submodule(path)
        assert isinstance(module, Linear | Depthwise)
        weight = module.weight.detach().double().cpu().numpy()
        bias = module.bias.detach().double().cpu().numpy()
        if isinstance(module, Depthwise):
            weight, leak = weight[:, 0].transpose(1, 2, 0), 0
        else:
            weight = weight.T
            unit_in = np.broadcast_to(unit_in, weight.shape[:1])[:, None]
            leak = module.leak
        found = quantise_layer(path, weight, bias, unit_in, np.asarray(unit_out), leak)
        tensors[f"{path}.mantissa"], tensors[f"{path}.bias"] = found[:2]
        tensors[f"{path}.shift"] = np.array([found[2]], np.int8)
    for number, level in enumerate(net.levels()):
        same = level.same.detach().double().cpu().numpy() * (1 << FACTOR_BITS)
        if not (np.abs(same) < LARGEST).all():
            raise unexportable(f"level {number}: a factor between colours does not fit 16 bits")
        tensors[f"level.{number}.same"] = np.rint(same).astype(np.int16)
    return tensors


def from_weights_file(path: Path) -> dict[str, Tensor]:
    """The state of `LosslessNetworks` that exports to the tensors of a weights file.

    Hidden features may be in other units there; that changes nothing of what networks give.

    Raises:
        ModelError: the file is damaged, or of another kind of model.
    """
    LosslessModel.load(path)  # checks all
    _, tensors = read_tensors(path, only_metadata=False)
    state = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        if kind == "same":
            state[name] = torch.from_numpy(tensor / 2.0**FACTOR_BITS).float()
        elif kind in ("mantissa", "bias") and f"{layer}.shift" in tensors:
            shift = float(tensors[f"{layer}.shift"][0])
            if kind == "bias":
                bias = (tensor - 2.0 ** (shift - 1)) * 2.0 ** -(shift + FIXED_UNIT)
                state[f"{layer}.bias"] = torch.from_numpy(bias).float()
            else:
                weight = torch.from_numpy(tensor * 2.0**-shift).float()
                weight = weight.T if weight.ndim == 2 else weight.permute(2, 0, 1)[:, None]
                state[f"{layer}.weight"] = weight.contiguous()
    return state


@torch.no_grad()
def _largest(net: LosslessNetworks, crops: NDArray[np.uint8]) -> dict[str, float]:
    """The largest magnitudes of hidden features on crops, by the path of what gives them."""
    found: dict[str, float] = {}

    def note(path: str, value: Tensor) -> None:
        found[path] = max(found.get(path, 0.0), float(value.abs().max()))

    hooks = []
    for path, module in net.named_modules():
        if isinstance(module, Linear | Depthwise | Residual):

            def see(_: nn.Module, given: tuple[Tensor], out: Tensor, path: str = path) -> None:
                note(path, out)
                if isinstance(net.get_submodule(path), Residual):
                    note(path, given[0])

            hooks.append(module.register_forward_hook(see))
    try:
        for crop in crops:
            list(net.bits(torch.from_numpy(crop)[None].to(net.level[0].same).contiguous()))  # type: ignore[arg-type]
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _units(net: LosslessNetworks, largest: dict[str, float]) -> dict[str, tuple[Array, int]]:
    """Bits behind the point of what each layer reads, by input, and of what it gives."""
    units: dict[str, tuple[Array, int]] = {}

    def unit(path: str) -> int:
        return int(free_bits(largest[path]))

    for number in range(len(net.level)):
        level = f"level.{number}"
        blocks = [f"{level}.begin.1", *(f"{level}.block.{p}.0" for p in range(NUM_PASSES))]
        h = min(unit(block) for block in blocks)  # what they give is added up
        features = np.full(net.channels, h)

        def and_fixed(count: int, features: Array = features) -> Array:
            return np.concatenate([features, np.full(count, FIXED_UNIT)])

        for block in blocks:
            wide, wider = unit(f"{block}.0"), unit(f"{block}.1")
            units[f"{block}.0"] = np.asarray(h), wide
            units[f"{block}.1"] = np.asarray(wide), wider
            units[f"{block}.2"] = np.asarray(wider), h
        units[f"{level}.begin.0"] = np.asarray(FIXED_UNIT), h
        for p in range(NUM_PASSES):
            units[f"{level}.linear.{p}.0"] = np.asarray(FIXED_UNIT), FIXED_UNIT
            units[f"{level}.pass.{p}.0"] = and_fixed(AROUND * ADDED if p else 0), h
            for k in range(NUM_COLOURS):
                head = f"{level}.head.{p}.{k}"
                units[f"{head}.0"] = and_fixed(STATISTICS + ERROR_FEATURES * k), unit(f"{head}.0")
                units[f"{head}.1"] = np.asarray(unit(f"{head}.0")), FIXED_UNIT
    return units


def _tables() -> dict[str, Array]:
    """What the tables of residuals are made of (`rdae.lossless.tables.Mixtures`)."""
    both = np.stack([SCALES, WIDE_RATIO * SCALES], axis=1)
    steps = np.arange(math.ceil(NORMAL_REACH * (1 << STEP_BITS)))
    normal = [0.5 * math.erf(step / (1 << STEP_BITS) / math.sqrt(2)) for step in steps]
    whole = np.rint(np.array(normal) * (1 << PRECISION_BITS)).astype(np.int32)
    inverse = (1 << (STEP_BITS + BETWEEN_BITS - EDGE_BITS)) / both
    error = (1 << (NORMALISED_FRACTION - FRACTION_BITS + NORMALISED_BITS)) / SCALES
    return {
        "tables.normal": whole,
        "tables.inverse": np.rint(inverse).astype(np.int32),
        "tables.weight": np.array(WIDE_WEIGHTS, np.int32),
        "tables.reach": np.minimum(np.ceil(REACH * SCALES + 2), MAX_RESIDUAL).astype(np.int32),
        "scales.error": np.rint(error).astype(np.int16),
    }

"""A trained model's floats to int16: units from calibration, mantissas with proven sums.

A feature stands for a number by a unit, 2^-u. Values that are added to each other have one unit;
all others choose theirs so that what photographs reach fills an int16 but for `HEADROOM` bits:
synthetic pictures go further. A unit for each channel of y_hat, folded into the layers that read
it, keeps the few channels that carry brightness from making all others coarse; y has such units,
too. A layer's mantissas are rint(w * 2^(e + u_out - u_in)), with the largest shift e with which
every sum provably stays in 32 bits (`rdae.exact.arithmetic.prove`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rdae.autoencoder.autoencoder import Autoencoder
from rdae.autoencoder.layers import Depthwise, Gain, Linear, Residual, Sum
from rdae.errors import ModelError
from rdae.exact.arithmetic import (
    HIGHEST,
    LARGEST,
    MAX_SHIFT,
    MEAN_BITS,
    PIXELS_OF_ONE,
    SUM_LIMIT,
)
from rdae.model.quarters import phases
from rdae.model.spec import NUM_ANCHORS, ModelSpec
from rdae.model.values import ValueFlow

MAX_LOG_GAIN = 40.0  # of a trained gain; exported ones are smaller by far
HEADROOM = 2  # bits beyond what calibration has seen
# The same of means, which have finer bits than y_hat. One that saturates costs bits, and no pixel
# is wrong; coarser units of y_hat would cost pixels at high qualities (1.9 % of the error at 100).
MEAN_HEADROOM = 1
MAX_UNIT = 20  # of values that are nearly 0
CHANNEL_UNITS = 4  # bits that a channel of y_hat may be finer than the coarsest one
ANALYSIS_UNITS = 3  # the same of y: finer ones would leave less of the weights of coarse channels
PIXEL_UNIT = math.log2(PIXELS_OF_ONE)  # the only one that is no whole number
CALIBRATED_ANCHORS = range(0, NUM_ANCHORS, 3)

Array = NDArray[Any]


@dataclass
class Ranges:
    """The largest magnitudes that calibration has seen, in real units.

    Attributes:
        values: by the path of what gives a value; "z_hat" is one.
        y: `(M,)`.
        y_hat: `(M,)`.
        mean: `(M,)`.
    """

    values: dict[str, float] = field(default_factory=dict)
    y: Array = field(default_factory=lambda: np.zeros(0))
    y_hat: Array = field(default_factory=lambda: np.zeros(0))
    mean: Array = field(default_factory=lambda: np.zeros(0))

    def note(self, path: str, value: Tensor) -> None:
        """Remember how large a value is."""
        self.values[path] = max(self.values.get(path, 0.0), float(value.abs().max()))


def check_weights(model: nn.Module) -> None:
    """See that features can be computed at all.

    Raises:
        ModelError: a weight or gain is not finite, or a gain is so large that features are not.
    """
    for name, parameter in model.named_parameters():
        most = MAX_LOG_GAIN if name.endswith("log_gain") else math.inf
        if not (parameter.isfinite().all() and (parameter <= most).all()):
            raise unexportable(f"{name} is not finite, or too large")


@torch.no_grad()
def calibrate(model: Autoencoder, pixels: NDArray[np.uint8]) -> Ranges:
    """See how large features become on crops `(N, H, W, 3)`."""
    ranges = Ranges()
    m = model.spec.latent_channels
    ranges.y, ranges.y_hat, ranges.mean = np.zeros(m), np.zeros(m), np.zeros(m)
    predict = model.predict

    def watch(k: int, *args: Any) -> tuple[Tensor, Tensor]:
        mean, log_scale = predict(k, *args)
        for phase, (_, group) in enumerate(phases(k, m)):
            largest = mean[phase].abs().amax((0, 1, 2)).numpy()
            ranges.mean[group] = np.maximum(ranges.mean[group], largest)
        return mean, log_scale

    def see_y_hat(module: Any, args: tuple[Tensor, Any]) -> None:
        largest = args[0].abs().amax((0, 1, 2)).numpy()
        ranges.y_hat = np.maximum(ranges.y_hat, largest)

    def see_y(module: Any, args: Any, y: Tensor) -> None:
        ranges.y = np.maximum(ranges.y, y.abs().amax((0, 1, 2)).numpy())

    hooks = [model.synthesis.register_forward_pre_hook(see_y_hat)]
    hooks.append(model.analysis.register_forward_hook(see_y))
    first = model.hyper_synthesis.register_forward_pre_hook(
        lambda _, args: ranges.note("z_hat", args[0])
    )
    hooks.append(first)
    for path, module in model.named_modules():
        if isinstance(module, Linear | Depthwise | Gain | Residual | Sum):
            hooks.append(
                module.register_forward_hook(
                    lambda _, args, out, path=path: ranges.note(path, out)  # type: ignore[misc]
                )
            )
    model.predict = watch  # type: ignore[method-assign, assignment]
    try:
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(model.y_log_gain.dtype) / 255
        for anchor in CALIBRATED_ANCHORS:
            model(x, torch.full((len(x),), float(anchor), dtype=x.dtype), noisy=False)
    finally:
        del model.predict
        for hook in hooks:
            hook.remove()
    return ranges


@dataclass
class Units:
    """Bits behind the point of every value of a model.

    Attributes:
        of_input: of what each layer reads, by the layer's path: a number, or one for each channel.
        of_output: of what each layer gives, likewise, but for heads and pixels.
        y_hat: `(M,)`.
        z_hat: of z_hat.
        y: `(M,)`.
        z: of z.
    """

    of_input: dict[str, Array]
    of_output: dict[str, Array]
    y_hat: Array
    z_hat: int
    y: Array
    z: float


def choose_units(spec: ModelSpec, ranges: Ranges) -> Units:
    """Units of all values of a model, from what calibration has seen."""
    flow = ValueFlow(spec)
    largest: dict[str, float] = {}
    for path, value in ranges.values.items():
        group = flow.group(path)
        largest[group] = max(largest.get(group, 0.0), value)

    pixels, y, y_hat = (flow.group(value) for value in ("pixels", flow.y, "y_hat"))
    by_channel = {y: flow.y_is_by_channel, y_hat: flow.y_is_read_by_channel}
    units = {}
    free_of_means = free_bits(ranges.mean, MEAN_HEADROOM) - MEAN_BITS
    free = np.minimum(free_bits(ranges.y_hat), free_of_means)
    if by_channel[y_hat]:
        units[y_hat] = np.minimum(free, free.min() + CHANNEL_UNITS)
    else:
        units[y_hat] = np.full(len(free), min(free.min(), free_bits(largest.get(y_hat, 0.0))))
    free = free_bits(ranges.y)
    if by_channel[y]:
        units[y] = np.minimum(free, free.min() + ANALYSIS_UNITS)
    elif y == pixels:
        units[y] = np.full(len(free), PIXEL_UNIT)
    else:
        units[y] = np.full(len(free), min(free.min(), free_bits(largest.get(y, 0.0))))

    def unit(value: str) -> Array:
        group = flow.group(value)
        if value == "features + y_hat":
            return np.concatenate([np.full(spec.features, unit(flow.features)), units[y_hat]])
        if group in units:
            return units[group] if by_channel[group] else np.asarray(units[group][0])
        if group == pixels:
            return np.asarray(PIXEL_UNIT)
        return np.asarray(free_bits(largest.get(group, 0.0)))

    return Units(
        {path: unit(value) for path, value in flow.inputs.items()},
        {path: unit(path) for path in flow.inputs},
        units[y_hat].astype(int),
        int(unit("z_hat")),
        np.broadcast_to(unit(flow.y), spec.latent_channels),
        float(unit(flow.z)),
    )


def free_bits(largest: Any, headroom: int = HEADROOM) -> Any:
    """The unit with which a magnitude leaves so many bits of an int16 unused."""
    with np.errstate(divide="ignore"):
        bits = np.floor(np.log2(HIGHEST / np.asarray(largest, float))) - headroom
    return np.minimum(bits, MAX_UNIT)


def quantise_layer(
    path: str,
    weight: Array,
    bias: Array,
    unit_in: Array,
    unit_out: Array,
    leak: int,
    largest: int = LARGEST,
) -> tuple[NDArray[np.int16], NDArray[np.int32], int]:
    """Mantissas, bias with the half of the rounding, and shift of a linear or depthwise layer.

    Args:
        path: of the layer; errors name it.
        weight: `(..., inputs, outputs)`, or `(size, size, channels)` with `unit_in` by channel.
        bias: `(outputs,)`.
        unit_in: by input, to be multiplied with `weight`.
        unit_out: a number, or one for each output.
        leak: k of a leaky ReLU, 0 for none.
        largest: magnitude of the input.

    Raises:
        ModelError: a weight is too large for any shift, or not a number.
    """
    relative = unit_out - unit_in
    inputs = tuple(range(weight.ndim - 1))
    for shift in range(min(MAX_SHIFT, 31 - leak), 0, -1):
        m = np.rint(weight * np.exp2(shift + relative))
        b = np.rint(bias * np.exp2(shift + unit_out)) + 2.0 ** (shift - 1)
        worst = np.abs(m).sum(inputs) * largest + np.abs(b)
        worst = worst.max() + (2.0 ** (shift + leak - 1) if leak else 0)
        if np.abs(m).max() <= HIGHEST and worst < SUM_LIMIT:
            return m.astype(np.int16), b.astype(np.int32), shift
    most = np.abs(weight).max()
    raise unexportable(f"layer {path}: a weight of magnitude {most:.6g} does not fit 16 bits")


def quantise_gains(path: str, factors: Array) -> tuple[NDArray[np.int16], int]:
    """A table of positive factors as int16 with one shift; errors name the layer.

    Raises:
        ModelError: a factor is too large.
    """
    if not 0 < factors.max() <= HIGHEST / 2:
        raise unexportable(f"layer {path}: a gain of {factors.max():.6g} does not fit 16 bits")
    shift = min(math.floor(math.log2(HIGHEST / factors.max())), 15)
    return np.rint(factors * 2.0**shift).astype(np.int16), shift


def unexportable(problem: str) -> ModelError:
    """The error of weights that no integers can stand for."""
    return ModelError(
        f"the model cannot be exported: {problem}",
        hint="an older checkpoint may do; or train it again with a lower --learning-rate",
    )

"""Distortions for the eye that gradients pass through: SSIMULACRA2, MS-SSIM and SSIM.

Both are made for one source and compare decoded pictures with it, so that a search that tries many
looks at the source once. Pictures are `(B, 3, H, W)` in 0..1, sRGB; results `(B,)`, 0 for equal
pictures.

Gaussian means are products with banded matrices: processors run them far faster than depthwise
filters of eleven taps.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_TAPS, _SIGMA = 11, 1.5

# The weights of SSIMULACRA2 2.1 (Cloudinary, BSD-3) that are 0.2 or more: (scale, channel of XYB):
# L1 norms of the maps of SSIM, ringing and blur, then their L4 norms. The others change a sum by
# less than a ten-thousandth.
_WEIGHTS = {
    (0, 1): (0, 0, 0, 7.466890328078848, 0, 17.445833984131262),
    (1, 0): (0, 0, 0, 1.1041726426657346, 0, 0),
    (1, 1): (0, 0, 0, 6.683678146179332, 0, 1.027889937768264),
    (2, 0): (0, 0, 0, 1.8422455520539298, 11.441172603757666, 0),
    (2, 1): (225.20515300849274, 0, 0, 19.213238186143016, 0, 0),
    (3, 0): (0, 0, 0, 1.8787594979546387, 10.94906990605142, 0),
    (3, 1): (176.39317598450694, 0, 0, 24.43300999870476, 0.28520802612117757, 0),
    (3, 2): (0, 0, 0, 8.826982764996862, 23.19243343998926, 0),
    (4, 0): (0, 0.9677937080626833, 0.9981766977854967, 0, 0, 0),
    (4, 1): (0, 0, 0, 34.77906344483772, 44.835625328877896, 0),
    (4, 2): (
        *(95.1080498811086, 0.9863978034400702, 0.9834382792465353),
        *(0, 171.2667255897307, 0.9807858872435379),
    ),
}
_SUM_FACTOR = 0.9562382616834844
_SSIM_C2 = 0.0009
_OPSIN = ((0.3, 0.622, 0.078), (0.23, 0.692, 0.078), (0.24342269, 0.20476744, 0.55180987))
_OPSIN_BIAS = 0.00379307
_LEAST_SIDE = 8
_TINY = 1e-20  # keeps the slope of a fourth root finite

_MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_MS_C1, _MS_C2 = 1e-4, 9e-4


class Ssimulacra2:
    """The weighted sum of SSIMULACRA2's error maps, before it is bent to a score of 100 to 0.

    XYB at six scales; at each an SSIM error map and two edge maps (ringing, blur), pooled by L1 and
    L4 norms. As the package `ssimulacra2` has it, but pictures are mirrored at all four borders;
    the package has zeros beyond the left and right ones, which hides what is near them.

    Args:
        source: `(B, 3, H, W)`; scales whose sides are below 8 are left out.
    """

    class _Scale(NamedTuple):
        channels: list[int]
        weights: Tensor  # (channels, 6)
        source: Tensor
        mean: Tensor
        variance: Tensor
        edge: Tensor

    def __init__(self, source: Tensor) -> None:
        self._scales: list[Ssimulacra2._Scale] = []
        with torch.no_grad():
            linear = _to_linear(source)
            for scale in range(1 + max(scale for scale, _ in _WEIGHTS)):
                if min(linear.shape[2:]) < _LEAST_SIDE:
                    break
                channels = [c for c in range(3) if (scale, c) in _WEIGHTS]
                weights = linear.new_tensor([_WEIGHTS[scale, c] for c in channels])
                x = _to_xyb(linear, channels)
                mean, square = _mirrored_mean(torch.cat([x, x * x], 1)).split(len(channels), 1)
                self._scales.append(
                    self._Scale(
                        channels, weights, x, mean, square - mean * mean, 1 + (x - mean).abs()
                    )
                )
                linear = _halved(linear)

    def __call__(self, decoded: Tensor) -> Tensor:
        """The sum for each picture: 0 for the source itself, about 3 at a score of 70."""
        linear = _to_linear(decoded)
        total = torch.zeros(len(decoded), device=decoded.device)
        for channels, weights, x, mean, variance, edge in self._scales:
            y = _to_xyb(linear, channels)
            maps = torch.cat([y, y * y, x * y], 1)
            y_mean, square, product = _mirrored_mean(maps).split(len(channels), 1)
            structure = 2 * (product - mean * y_mean) + _SSIM_C2
            energy = variance + (square - y_mean * y_mean) + _SSIM_C2
            error = (1 - (1 - (mean - y_mean).square()) * structure / energy).clamp_min(0)
            edges = (1 + (y - y_mean).abs()) / edge - 1
            for k, errors in enumerate((error, edges, -edges)):
                total = total + _pooled(errors, weights[:, k], weights[:, k + 3])
            linear = _halved(linear)
        return _SUM_FACTOR * total


class MsSsim:
    """1 - MS-SSIM of RGB, per channel and then the mean (Wang, Simoncelli and Bovik 2003, eq. 7).

    As `rdae.evaluation.metrics.ms_ssim`; a picture that is too small for all five scales is
    compared on those that it has, whose weights are then scaled to the same sum.

    MS-SSIM gives full resolution a weight of 0.04, so a model that is trained for it alone smooths
    weak texture. What full resolution lacks by itself therefore comes along.

    Args:
        source: `(B, 3, H, W)`, sides of 11 or more.
    """

    def __init__(self, source: Tensor) -> None:
        self._scales: list[tuple[Tensor, Tensor, Tensor]] = []
        with torch.no_grad():
            for _ in _MS_WEIGHTS:
                if min(source.shape[2:]) < _TAPS:
                    break
                mean, square = _inner_mean(torch.cat([source, source * source], 1)).split(3, 1)
                self._scales.append((source, mean, square))
                source = F.avg_pool2d(source, 2, padding=_odd(source), count_include_pad=True)
        used = _MS_WEIGHTS[: len(self._scales)]
        self._weights = [weight / sum(used) for weight in used]

    def __call__(self, decoded: Tensor) -> tuple[Tensor, Tensor]:
        """1 - MS-SSIM of each picture, and 1 - contrast and structure at the first scale alone.

        Both are 0 for the source itself, and about 1 for what has nothing to do with it.
        """
        log = torch.zeros(len(decoded), 3, device=decoded.device)
        last = len(self._scales) - 1
        finest = torch.zeros(len(decoded), device=decoded.device)
        for scale, (x, mean, square) in enumerate(self._scales):
            maps = torch.cat([decoded, decoded * decoded, x * decoded], 1)
            own_mean, own_square, product = _inner_mean(maps).split(3, 1)
            means, squares = mean * own_mean, mean * mean + own_mean * own_mean
            term = (2 * (product - means) + _MS_C2) / (square + own_square - squares + _MS_C2)
            if scale == 0:
                finest = 1 - term.mean((1, 2, 3))
            if scale == last:
                term = term * (2 * means + _MS_C1) / (squares + _MS_C1)
            log = log + self._weights[scale] * term.mean((2, 3)).clamp_min(1e-3).log()
            decoded = F.avg_pool2d(decoded, 2, padding=_odd(decoded), count_include_pad=True)
        return 1 - log.exp().mean(1), finest


class _ToLinear(torch.autograd.Function):
    """The sRGB curve, with no slope outside 0..1; its own since `pow` costs three times as much."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        inside = x.clamp(0, 1)
        base = (inside + 0.055) / 1.055
        low = inside <= 0.04045
        power = torch.exp(1.4 * torch.log(base))
        ctx.save_for_backward(torch.where(low, 1 / 12.92, 2.4 / 1.055 * power) * (x == inside))
        return torch.where(low, inside / 12.92, power * base)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return grad * ctx.saved_tensors[0]


class _CubeRoot(torch.autograd.Function):
    """x^(1/3) of positive x, from one logarithm and one exponential."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        y = torch.exp(torch.log(x) / 3)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        x, y = ctx.saved_tensors
        return grad * y / (3 * x)


def _to_linear(x: Tensor) -> Tensor:
    result: Tensor = _ToLinear.apply(x)  # type: ignore[no-untyped-call]
    return result


def _to_xyb(linear: Tensor, channels: list[int]) -> Tensor:
    """Some channels of SSIMULACRA2's positive XYB; blue's cones only where they are used."""
    cones = 3 if 2 in channels else 2
    mixed = linear.new_tensor(_OPSIN[:cones]) @ linear.flatten(2)
    root = _CubeRoot.apply((mixed + _OPSIN_BIAS).clamp_min(1e-6))  # type: ignore[no-untyped-call]
    v = (root - _OPSIN_BIAS ** (1 / 3)).unflatten(2, linear.shape[2:])
    luma = 0.5 * (v[:, 0] + v[:, 1])
    planes = []
    for channel in channels:
        if channel == 0:
            planes.append(7 * (v[:, 0] - v[:, 1]) + 0.42)
        else:
            planes.append(luma + 0.01 if channel == 1 else v[:, 2] - luma + 0.55)
    return torch.stack(planes, 1)


def _pooled(errors: Tensor, weights: Tensor, fourth_weights: Tensor) -> Tensor | float:
    """Weighted L1 and L4 norms of the positive part of `(B, C, H, W)`, summed over channels."""
    if not (weights.any() or fourth_weights.any()):
        return 0.0
    errors = errors.clamp_min(0)
    total = errors.mean((2, 3)) @ weights
    fourth = errors.square().square().mean((2, 3))
    return total + (fourth + _TINY).sqrt().sqrt() @ fourth_weights


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, ceil_mode=True)


def _odd(x: Tensor) -> list[int]:
    """Padding of odd sides, which counts as zeros: what implementations of MS-SSIM do."""
    return [side % 2 for side in x.shape[2:]]


def _mirrored_mean(x: Tensor) -> Tensor:
    rows, columns = (_mirrored(side).to(x.device) for side in x.shape[2:])
    return rows @ (x @ columns.T)


def _inner_mean(x: Tensor) -> Tensor:
    """Gaussian means of all whole windows."""
    rows, columns = (_inner(side).to(x.device) for side in x.shape[2:])
    return rows @ (x @ columns.T)


def _window() -> Tensor:
    offsets = torch.arange(_TAPS, dtype=torch.float64) - _TAPS // 2
    weights = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    return weights / weights.sum()


@lru_cache(maxsize=64)
def _inner(size: int) -> Tensor:
    """`(size - 10, size)`: each row is the window, one further."""
    matrix = torch.zeros(size - _TAPS + 1, size, dtype=torch.float64)
    for offset, weight in enumerate(_window()):
        matrix.diagonal(offset).add_(weight)
    return matrix.float()


@lru_cache(maxsize=64)
def _mirrored(size: int) -> Tensor:
    """`(size, size)`: the window around each place; beyond the ends are mirror images."""
    reach = _TAPS // 2
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for place in range(size):
        for offset, weight in zip(range(place - reach, place + reach + 1), _window(), strict=True):
            inside = -1 - offset if offset < 0 else min(offset, 2 * size - 1 - offset)
            matrix[place, inside] += weight
    return matrix.float()

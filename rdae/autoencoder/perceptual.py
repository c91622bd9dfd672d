"""Distortions for the eye that gradients pass through: SSIMULACRA2, MS-SSIM and SSIM.

`Ssimulacra2` and `MsSsim` are made for one source and compare decoded pictures with it, so that a
search that tries many looks at the source once. Pictures are `(B, 3, H, W)` in 0..1, sRGB; results
`(B,)`, 0 for equal pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from rdae.autoencoder.ssim_windows import TAPS, Window, inner, mirrored

_C2 = 9e-4  # of SSIM

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
_BEND = 0.04045  # of the sRGB curve, straight below it
_OPSIN = ((0.3, 0.622, 0.078), (0.23, 0.692, 0.078), (0.24342269, 0.20476744, 0.55180987))
_OPSIN_BIAS = 0.00379307
_XYB, _XYB_OFFSET = ((7, -7, 0), (0.5, 0.5, 0), (-0.5, -0.5, 1)), (0.42, 0.01, 0.55)
_LEAST_SIDE = 8
_TINY = 1e-20  # keeps the slope of a fourth root finite

_MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_MS_C1 = 1e-4


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
        source: _Source
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
                x = _Source(_to_xyb(linear, channels), mirrored)
                self._scales.append(
                    self._Scale(channels, weights, x, 1 + (x.values - x.mean).abs())
                )
                linear = _halved(linear)

    def __call__(self, decoded: Tensor) -> Tensor:
        """The sum for each picture: 0 for the source itself, about 3 at a score of 70."""
        linear = _to_linear(decoded)
        total = torch.zeros(len(decoded), device=decoded.device)
        for channels, weights, x, edge in self._scales:
            y = _to_xyb(linear, channels)
            y_mean, structure = x.compared(y)
            error = 1 - (1 - (x.mean - y_mean).square()) * structure
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
        self._scales: list[_Source] = []
        with torch.no_grad():
            for _ in _MS_WEIGHTS:
                if min(source.shape[2:]) < TAPS:
                    break
                self._scales.append(_Source(source, inner))
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
        for scale, x in enumerate(self._scales):
            mean, term = x.compared(decoded)
            if scale == 0:
                finest = 1 - term.mean((1, 2, 3))
            if scale == last:
                squares = x.mean.square() + mean.square()
                term = term * (2 * x.mean * mean + _MS_C1) / (squares + _MS_C1)
            log = log + self._weights[scale] * term.mean((2, 3)).clamp_min(1e-3).log()
            decoded = F.avg_pool2d(decoded, 2, padding=_odd(decoded), count_include_pad=True)
        return 1 - log.exp().mean(1), finest


class _Source:
    """Maps of a source that maps of decoded pictures are compared with, by their Gaussian means.

    Attributes:
        values: `(B, C, H, W)`.
        mean: of `values`; of all places, or of those whose windows are whole.
        energy: variance + C2.
    """

    def __init__(self, values: Tensor, window: Callable[[int, torch.device], Window]) -> None:
        self.values = values
        self.windows = [window(side, values.device) for side in values.shape[2:]]
        self.mean, square = self.means(torch.stack([values, values * values]))
        self.energy = square.addcmul_(self.mean, self.mean, value=-1).add_(_C2)

    def means(self, maps: Tensor) -> Tensor:
        """Gaussian means of maps `(..., H, W)`."""
        rows, columns = self.windows
        return rows.means.times(columns.means.times(maps, -1), -2)

    def means_backward(self, grad: Tensor) -> Tensor:
        """The gradient of maps, from that of their means."""
        rows, columns = self.windows
        return columns.backward.times(rows.backward.times(grad, -2), -1)

    def compared(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Means of decoded maps, and contrast and structure of SSIM, 1 where both are equal."""
        mean, structure = _Compared.apply(y, self)  # type: ignore[no-untyped-call]
        return mean, structure


class _Compared(torch.autograd.Function):
    """`_Source.compared`, with a third of the passes over memory that autograd would need."""

    @staticmethod
    def forward(ctx, y: Tensor, x: _Source):  # type: ignore[no-untyped-def]
        maps = y.new_empty(3, *y.shape)
        maps[0].copy_(y)
        torch.mul(y, y, out=maps[1])
        torch.mul(y, x.values, out=maps[2])
        mean, square, product = x.means(maps)
        energy = square.addcmul_(mean, mean, value=-1).add_(x.energy)
        covariance = product.addcmul_(mean, x.mean, value=-1)
        structure = covariance.mul_(2).add_(_C2).div_(energy)
        ctx.save_for_backward(y, mean, structure, energy)
        ctx.x = x
        ctx.set_materialize_grads(False)
        return mean, structure

    @staticmethod
    def backward(ctx, grad_mean: Tensor | None, grad: Tensor):  # type: ignore[no-untyped-def]
        (y, mean, structure, energy), x = ctx.saved_tensors, ctx.x
        grads = energy.new_empty(3, *energy.shape)
        of_mean, of_square, of_product = grads
        torch.div(grad, energy, out=of_product).mul_(2)
        torch.mul(of_product, structure, out=of_square).neg_()  # twice of it
        torch.mul(mean, structure, out=of_mean).sub_(x.mean).mul_(of_product)
        if grad_mean is not None:
            of_mean += grad_mean
        result, of_square, of_product = x.means_backward(grads)
        return result.addcmul_(of_square, y).addcmul_(of_product, x.values), None


class _ToLinear(torch.autograd.Function):
    """The sRGB curve, with no slope outside 0..1.

    The sum of its straight part and its power, each with its argument clamped to where it counts:
    `where` costs five passes, and `pow` three logarithms.
    """

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        bent = x.clamp(_BEND, 1)
        base = (bent + 0.055).div_(1.055)
        power = base.log().mul_(1.4).exp_()
        straight = x.clamp(0, _BEND)
        if ctx.needs_input_grad[0]:
            slope = torch.eq(x, bent, out=bent).mul_(power).mul_(2.4 / 1.055)
            inside = torch.eq(x, straight, out=torch.empty_like(x))
            ctx.save_for_backward(slope.add_(inside, alpha=1 / 12.92))
        return straight.sub_(_BEND).div_(12.92).addcmul_(power, base)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return grad * ctx.saved_tensors[0]


class _CubeRoot(torch.autograd.Function):
    """x^(1/3) of positive x, from one logarithm and one exponential."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        y = x.log().div_(3).exp_()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        (y,) = ctx.saved_tensors
        return grad / y.square().mul_(3)


def _to_linear(x: Tensor) -> Tensor:
    result: Tensor = _ToLinear.apply(x)  # type: ignore[no-untyped-call]
    return result


def _to_xyb(linear: Tensor, channels: list[int]) -> Tensor:
    """Some channels of SSIMULACRA2's positive XYB; blue's cones only where they are used."""
    cones = 3 if 2 in channels else 2
    bias = linear.new_full((cones, 1), _OPSIN_BIAS)
    mixed = torch.baddbmm(bias, _matrix(_OPSIN[:cones], linear), linear.flatten(2))
    root = _CubeRoot.apply(mixed)  # type: ignore[no-untyped-call]
    xyb = _matrix([_XYB[channel][:cones] for channel in channels], linear)
    offset = linear.new_tensor([_XYB_OFFSET[channel] for channel in channels])[:, None]
    offset = offset - _OPSIN_BIAS ** (1 / 3) * xyb[0].sum(1, keepdim=True)
    return torch.baddbmm(offset, xyb, root).unflatten(2, linear.shape[2:])


def _matrix(rows: Sequence[Sequence[float]], pictures: Tensor) -> Tensor:
    """One for each picture."""
    return pictures.new_tensor(rows).expand(len(pictures), -1, -1)


def _pooled(errors: Tensor, weights: Tensor, fourth_weights: Tensor) -> Tensor | float:
    """Weighted L1 and L4 norms of the positive part of `(B, C, H, W)`, summed over channels."""
    if not (weights.any() or fourth_weights.any()):
        return 0.0
    errors = errors.relu()
    total = errors.mean((2, 3)) @ weights
    fourth = errors.square().square().mean((2, 3))
    return total + (fourth + _TINY).sqrt().sqrt() @ fourth_weights


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, ceil_mode=True)


def _odd(x: Tensor) -> list[int]:
    """Padding of odd sides, which counts as zeros: what implementations of MS-SSIM do."""
    return [side % 2 for side in x.shape[2:]]

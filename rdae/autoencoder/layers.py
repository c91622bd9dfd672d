"""Torch layers, built from a spec; the twins of `rdae.exact.layers`.

Every layer is called as `layer(x, points)` with `x` of shape `(B, rows, columns, channels)`
(channels last, so that a pointwise layer is one matrix product) and `points`, the quality points
of the batch, which only gains read.

A layer computes in one of two arithmetics. As trained: plain floats. After `make_exact`: the
integers of FORMAT.md section "Exact arithmetic", carried in float64; then the results equal the
NumPy decoder's bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rdae import network_spec as specs
from rdae.exact.arithmetic import HIGHEST, LOWEST


class Points:
    """The quality points of a batch, as positions between trained anchors.

    Attributes:
        anchors: `(B,)` float in [0, num_anchors - 1].
    """

    def __init__(self, anchors: Tensor, num_anchors: int) -> None:
        self.anchors = anchors
        self.lower = anchors.floor().long().clamp(0, num_anchors - 2)
        self.fraction = anchors - self.lower

    def interpolate(self, table: Tensor) -> Tensor:
        """Linear interpolation of `(num_anchors, C)` rows: `(B, 1, 1, C)`."""
        f = self.fraction[:, None]
        return torch.lerp(table[self.lower], table[self.lower + 1], f)[:, None, None, :]

    def nearest(self) -> Tensor:
        """The nearest anchor of each sample, `(B,)` int; halves go up."""
        return self.lower + (self.fraction >= 0.5).long()


def settle(acc: Tensor) -> Tensor:
    """Round down, and saturate as an int16."""
    return acc.floor().clamp(LOWEST, HIGHEST)


class ExactMixin:
    """State of a layer that computes in exact integers."""

    scale: float | None = None  # 2^-shift


class LowPrecisionLinear(torch.autograd.Function):
    """A linear layer with its leak in bfloat16; gradients of weights and bias in float32.

    The result stays in bfloat16 for the layers of a branch; what adds a branch to its trunk goes
    on in float32. Keeps the input in bfloat16 and the result, and no value before the leak.
    """

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, x: Tensor, weight: Tensor, bias: Tensor, slope: float | None
    ) -> Tensor:
        low, low_weight = x.bfloat16(), weight.bfloat16()
        y = F.linear(low, low_weight, bias.bfloat16())
        if slope is not None:
            F.leaky_relu(y, slope, inplace=True)
        ctx.save_for_backward(low, low_weight, None if slope is None else y)
        ctx.slope, ctx.dtype = slope, x.dtype
        return y

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[no-untyped-def]
        x, weight, y = ctx.saved_tensors
        grad = grad.bfloat16()
        if y is not None:  # a leak keeps the sign, so its result tells which slope it was
            grad = torch.ops.aten.leaky_relu_backward(grad, y, ctx.slope, True)
        flat = grad.reshape(-1, grad.shape[-1])
        back = (grad @ weight).to(ctx.dtype) if ctx.needs_input_grad[0] else None
        of_weight = (flat.T @ x.reshape(-1, x.shape[-1])).float()
        return back, of_weight, flat.sum(0, dtype=torch.float32), None


class Linear(ExactMixin, nn.Module):
    """Pointwise linear layer; with `leak` k followed by a leaky ReLU of slope 2^-k.

    Attributes:
        leak: k, 0 for none.
        low_precision: compute in bfloat16, also the result; weights and their gradients stay in
            float32.
    """

    def __init__(self, inputs: int, outputs: int, leak: int | None = None) -> None:
        super().__init__()
        reference = nn.Linear(inputs, outputs)
        self.weight, self.bias = reference.weight, reference.bias  # (outputs, inputs), (outputs,)
        self.leak = leak or 0
        self.slope = None if leak is None else 2.0**-leak
        self.low_precision = False

    def forward(self, x: Tensor, points: Points) -> Tensor:
        if self.low_precision:
            low: Tensor = LowPrecisionLinear.apply(x, self.weight, self.bias, self.slope)
            return low
        x = F.linear(x.to(self.weight.dtype), self.weight, self.bias)
        if self.scale is not None:
            return self._settled(x)
        return x if self.slope is None else F.leaky_relu(x, self.slope, inplace=True)

    def _settled(self, acc: Tensor) -> Tensor:
        assert self.scale is not None
        x = acc * self.scale
        if self.slope is not None:  # the larger shift rounds by its own half
            x = torch.maximum(x, x * self.slope + (1 - self.slope) / 2)
        return settle(x)

    def in_phases(self, x: Tensor, wanted: Tensor) -> Tensor:
        """Some of the outputs in each phase of the cells, without a leak.

        Args:
            x: `(4, B, rows, columns, inputs)`, phase by phase.
            wanted: `(4, outputs)` which outputs.
        """
        weight, bias = self.weight[wanted].transpose(1, 2), self.bias[wanted][:, None]
        flat = x.reshape(4, -1, x.shape[-1])
        if self.low_precision:
            out = torch.baddbmm(bias.bfloat16(), flat.bfloat16(), weight.bfloat16()).float()
        else:
            out = torch.baddbmm(bias, flat.to(weight.dtype), weight)
        if self.scale is not None:
            out = self._settled(out)
        return out.reshape(*x.shape[:-1], -1)


class Depthwise(ExactMixin, nn.Module):
    """One size x size filter per channel, zero padding."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        reference = nn.Conv2d(channels, channels, size, groups=channels)
        self.weight, self.bias = reference.weight, reference.bias  # (C, 1, size, size), (C,)

    def forward(self, x: Tensor, points: Points) -> Tensor:
        # in the precision of the branch: bfloat16 behind a layer of low precision
        dtype = x.dtype if x.dtype == torch.bfloat16 else self.weight.dtype
        x = F.conv2d(
            x.to(dtype).permute(0, 3, 1, 2),
            self.weight.to(dtype),
            self.bias.to(dtype),
            padding=self.weight.shape[-1] // 2,
            groups=self.weight.shape[0],
        ).permute(0, 2, 3, 1)
        return x if self.scale is None else settle(x * self.scale)


class Gain(ExactMixin, nn.Module):
    """Per-channel factor that depends on the quality point, interpolated in the log domain."""

    def __init__(self, channels: int, num_anchors: int) -> None:
        super().__init__()
        self.log_gain = nn.Parameter(torch.zeros(num_anchors, channels))
        self.table: Tensor | None = None  # (256, C) integers, exact arithmetic only

    def forward(self, x: Tensor, points: Points) -> Tensor:
        if self.table is None or self.scale is None:
            return x * points.interpolate(self.log_gain).exp().to(x.dtype)
        rows = (points.anchors * ((len(self.table) - 1) / (len(self.log_gain) - 1))).round().long()
        return settle(x * self.table[rows][:, None, None, :] * self.scale + 0.5)


class Shuffle(nn.Module):
    """Depth to space: channel (i * r + j) * c + k goes to row y * r + i, column x * r + j."""

    def __init__(self, r: int) -> None:
        super().__init__()
        self.r = r

    def forward(self, x: Tensor, points: Points) -> Tensor:
        b, h, w, c = x.shape
        r, c = self.r, c // self.r**2
        x = x.reshape(b, h, w, r, r, c).permute(0, 1, 3, 2, 4, 5)
        return x.reshape(b, h * r, w * r, c)


class Unshuffle(nn.Module):
    """Space to depth, the inverse of `Shuffle`."""

    def __init__(self, r: int) -> None:
        super().__init__()
        self.r = r

    def forward(self, x: Tensor, points: Points) -> Tensor:
        b, h, w, c = x.shape
        r = self.r
        x = x.reshape(b, h // r, r, w // r, r, c).permute(0, 1, 3, 2, 4, 5)
        return x.reshape(b, h // r, w // r, r * r * c)


class Sequence(nn.ModuleList):
    """Layers in order; children are named by their index, as in a layer's path."""

    def forward(self, x: Tensor, points: Points) -> Tensor:
        for layer in self:
            x = layer(x, points)
        return x


class Residual(Sequence):
    """x + f(x), saturating in exact arithmetic."""

    exact = False

    def forward(self, x: Tensor, points: Points) -> Tensor:
        x = x + super().forward(x, points)
        return settle(x) if self.exact else x


class Sum(nn.ModuleList):
    """f(x) + g(x), saturating in exact arithmetic."""

    exact = False

    def forward(self, x: Tensor, points: Points) -> Tensor:
        x = self[0](x, points) + self[1](x, points)
        return settle(x) if self.exact else x


def build(layers: specs.Layers, num_anchors: int) -> Sequence:
    """Build the torch network of a spec, with torch's default initialisation."""
    return Sequence(_build_layer(layer, num_anchors) for layer in layers)


def _build_layer(layer: specs.Layer, num_anchors: int) -> nn.Module:
    match layer:
        case ["linear", *sizes]:
            return Linear(*sizes)
        case ["depthwise", channels, size]:
            return Depthwise(channels, size)
        case ["gain", channels]:
            return Gain(channels, num_anchors)
        case ["shuffle", r]:
            return Shuffle(r)
        case ["unshuffle", r]:
            return Unshuffle(r)
        case ["residual", inner]:
            return Residual(_build_layer(each, num_anchors) for each in inner)
        case ["sum", first, second]:
            return Sum([build(first, num_anchors), build(second, num_anchors)])
    raise ValueError(f"unknown layer {layer!r}")

"""The networks of the autoencoder in torch, built from a spec, without densities.

Importing this module costs torch alone; compressai, whose densities train the priors, is several
times as slow to import.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rdae.autoencoder.layers import Linear, Points, build
from rdae.model.spec import NUM_ANCHORS, NUM_ROWS, PASS_OF, WHOLE_ROLES, ModelSpec
from rdae.scales import LAMBDA_RANGE

LAMBDA_MIN, LAMBDA_MAX = LAMBDA_RANGE
LAMBDA_UNIT = 0.013  # where gains start at one

SCALE_MIN, SCALE_MAX = 0.11, 256.0  # standard deviations in symbol units
LN_SCALE_RATIO = math.log(SCALE_MAX / SCALE_MIN) / (NUM_ROWS - 1)


def pass_map(channels: int, rows: int, columns: int) -> Tensor:
    """The pass, 0 to 3, that codes each latent: `(rows, columns, channels)` int64."""
    phase = 2 * (torch.arange(rows)[:, None] % 2) + torch.arange(columns)[None] % 2
    return torch.tensor(PASS_OF)[:, phase].permute(1, 2, 0).repeat_interleave(channels // 4, 2)


class ClampInward(torch.autograd.Function):
    """clamp whose gradient also passes outside the range where it points back into it."""

    @staticmethod
    def forward(ctx, x: Tensor, low: float, high: float) -> Tensor:  # type: ignore[no-untyped-def] # noqa: D102
        ctx.save_for_backward(x)
        ctx.bounds = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[no-untyped-def] # noqa: D102
        (x,), (low, high) = ctx.saved_tensors, ctx.bounds
        return grad * (((x >= low) | (grad < 0)) & ((x <= high) | (grad > 0))), None, None


class Networks(nn.Module):
    """All networks of a `ModelSpec`, with the gains and steps of its quantisers."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        sections = spec.sections()
        self.analysis = build(sections["analysis"], NUM_ANCHORS)
        self.hyper_analysis = build(sections["hyper_analysis"], NUM_ANCHORS)
        self.hyper_synthesis = build(sections["hyper_synthesis"], NUM_ANCHORS)
        self.first = build(sections["first"], NUM_ANCHORS)
        self.inputs = nn.ModuleList(build(layers, NUM_ANCHORS) for layers in spec.inputs)
        self.shared = build(sections["shared"], NUM_ANCHORS)
        self.outputs = nn.ModuleList(build(layers, NUM_ANCHORS) for layers in spec.outputs)
        self.synthesis = build(sections["synthesis"], NUM_ANCHORS)
        start = torch.linspace(math.log(LAMBDA_MIN), math.log(LAMBDA_MAX), NUM_ANCHORS)
        start = 0.5 * (start - math.log(LAMBDA_UNIT))[:, None]
        self.y_log_gain = nn.Parameter(start.repeat(1, spec.latent_channels))
        self.y_log_step = nn.Parameter(-start.repeat(1, spec.latent_channels))
        self.z_log_gain = nn.Parameter(0.5 * start.repeat(1, spec.hyper_channels))

    def use_bfloat16(self, enabled: bool) -> None:
        """Let matrix products run in bfloat16, or in float32 again.

        Not those of `straight_layers`.
        """
        straight = self.straight_layers()
        for module in self.modules():
            if isinstance(module, Linear):
                module.low_precision = enabled and module not in straight

    def straight_layers(self) -> set[nn.Module]:
        """Those that carry latents and pixels whole.

        They stay in float32: 8 significant bits would change them by whole symbols and levels.
        """
        return {layer for role in WHOLE_ROLES for layer in self.with_role(role)}

    def with_role(self, role: str) -> list[Linear]:
        """The layers that have a role (`rdae.model.spec.ROLES`)."""
        return [self.linear(path) for path in self.spec.roles.get(role, [])]

    def linear(self, path: str) -> Linear:
        """The linear layer at a path."""
        layer = self.get_submodule(path)
        assert isinstance(layer, Linear)
        return layer

    def predict(
        self, k: int, features: Tensor, y_hat: Tensor, points: Points
    ) -> tuple[Tensor, Tensor]:
        """Mean and ln(scale), both in base units, of all latents as pass `k` sees them."""
        if k == 0:
            out = self.first(features, points)
        else:
            seen = torch.cat([features, y_hat], -1)
            out = self.outputs[k - 1](self.shared(self.inputs[k - 1](seen, points), points), points)
        mean, log_scale = out.chunk(2, -1)
        return mean, log_scale

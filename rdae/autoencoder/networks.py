"""The networks of the autoencoder in torch, built from a spec, without densities.

Importing this module costs torch alone; compressai, whose densities train the priors, is several
times as slow to import.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rdae.autoencoder.layers import Linear, Points, Sequence, build
from rdae.geometry import HYPER_CELLS, PATCH
from rdae.model.quarters import phases
from rdae.model.spec import NUM_ANCHORS, NUM_PASSES, NUM_ROWS, WHOLE_ROLES, ModelSpec
from rdae.scales import LAMBDA_RANGE

LAMBDA_MIN, LAMBDA_MAX = LAMBDA_RANGE
LAMBDA_UNIT = 0.013  # where gains start at one

SCALE_MIN, SCALE_MAX = 0.11, 256.0  # standard deviations in symbol units
LN_SCALE_RATIO = math.log(SCALE_MAX / SCALE_MIN) / (NUM_ROWS - 1)


def in_phases(x: Tensor) -> Tensor:
    """`(B, rows, columns, C)` phase by phase: `(4, B, rows / 2, columns / 2, C)`."""
    b, rows, columns, channels = x.shape
    x = x.reshape(b, rows // 2, 2, columns // 2, 2, channels).permute(2, 4, 0, 1, 3, 5)
    return x.reshape(4, b, rows // 2, columns // 2, channels)


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
        m = spec.latent_channels
        for k in range(NUM_PASSES):
            groups = [torch.arange(group.start, group.stop) for _, group in phases(k, m)]
            wanted = torch.stack([torch.cat([group, group + m]) for group in groups])
            self.register_buffer(f"wanted_{k}", wanted, persistent=False)
        start = torch.linspace(math.log(LAMBDA_MIN), math.log(LAMBDA_MAX), NUM_ANCHORS)
        start = 0.5 * (start - math.log(LAMBDA_UNIT))[:, None]
        self.y_log_gain = nn.Parameter(start.repeat(1, m))
        self.y_log_shrink = nn.Parameter(torch.zeros(NUM_ANCHORS, m))
        self.z_log_gain = nn.Parameter(0.5 * start.repeat(1, spec.hyper_channels))

    @property
    def y_log_step(self) -> Tensor:
        """Logarithms of what a symbol of y is worth in base units, by anchor: `(16, M)`.

        Symbols are worth somewhat less than 1 / gain where they are mostly 0, since values are
        denser towards the mean; `y_log_shrink` says how much. At the finest anchor, where it is 0,
        y_hat has the scale of y: a mean can only be right in both.
        """
        return self.y_log_shrink - self.y_log_gain

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

    def heads(self) -> list[Sequence]:
        """The networks that give what each pass expects."""
        return [self.first, *self.outputs]

    def with_role(self, role: str) -> list[Linear]:
        """The layers that have a role (`rdae.model.spec.ROLES`)."""
        return [self.linear(path) for path in self.spec.roles.get(role, [])]

    def linear(self, path: str) -> Linear:
        """The linear layer at a path."""
        layer = self.get_submodule(path)
        assert isinstance(layer, Linear)
        return layer

    def analyse(self, x: Tensor, points: Points) -> tuple[Tensor, Tensor]:
        """The latent of pictures of any size, as the encoder of a file has it.

        Pixels are repeated up to whole cells; y, not the pixels, is padded to whole cells of the
        hyper-latent: the last coded cells have no neighbours that the decoder does not have.

        Args:
            x: `(B, 3, H, W)` in [0, 1].
            points: quality points of the batch.

        Returns:
            y `(B, rows, columns, M)`, rows and columns multiples of 4, 0 in cells that are not
            coded; and which are, 0 or 1, as a quarter `(4, 1, rows / 2, columns / 2, 1)`.
        """
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % PATCH, 0, -height % PATCH), "replicate")
        y = self.analysis(x.permute(0, 2, 3, 1) - 0.5, points)
        rows, columns = y.shape[1:3]
        y = F.pad(y, (0, 0, 0, -columns % HYPER_CELLS, 0, -rows % HYPER_CELLS))
        is_coded = y.new_zeros(1, y.shape[1], y.shape[2], 1)
        is_coded[:, :rows, :columns] = 1
        return y, in_phases(is_coded)

    def synthesise(self, y_hat: Tensor, points: Points, height: int, width: int) -> Tensor:
        """The pixels `(B, 3, height, width)`, unclipped, of the coded cells of y_hat."""
        y_hat = y_hat[:, : -(-height // PATCH), : -(-width // PATCH)]
        return self.synthesis(y_hat, points).permute(0, 3, 1, 2)[:, :, :height, :width] + 0.5

    def predict(
        self, k: int, features: Tensor, y_hat: Tensor | None, points: Points
    ) -> tuple[Tensor, Tensor]:
        """What pass `k` expects of the latents that it codes.

        Args:
            k: the pass, 0 to 3.
            features: `(B, rows, columns, F)`.
            y_hat: `(B, rows, columns, M)`, 0 where not yet decoded; not read by pass 0.
            points: quality points of the batch.

        Returns:
            Mean and ln(scale), both in base units: quarters `(4, B, rows / 2, columns / 2, M / 4)`
            as of `rdae.autoencoder.passes`.
        """
        x = features
        if y_hat is not None:
            seen = torch.cat([features, y_hat], -1)
            x = self.shared(self.inputs[k - 1](seen, points), points)
        head = self.heads()[k]
        *body, last = head
        for layer in body:
            x = layer(x, points)
        assert isinstance(last, Linear)  # by the spec
        mean, log_scale = last.in_phases(in_phases(x), self.get_buffer(f"wanted_{k}")).chunk(2, -1)
        return mean, log_scale

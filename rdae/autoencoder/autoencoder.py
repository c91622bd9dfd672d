"""The rate-distortion autoencoder in torch: a variable-rate hyperprior with a four-pass context.

      x ──unshuffle 16──> analysis ──> y ──────────────┬─────────────> quantise ──> y symbols
                                       │               │ mean, gain        │
                                       v               │                   v
                              hyper_analysis ──> z ──> z symbols     y_hat ──> synthesis ──> x_hat
                                                       │                   ^
                                                       v                   │ passes 0..3
                                              hyper_synthesis ──> features ┘

Networks see latents in base units at every rate; the rate enters at the quantiser only:
symbol = round((y - mean) * gain), y_hat = mean + symbol * step, with per-channel gains and steps
that depend on the quality point (Cui et al. 2021, arXiv:2003.02012, normalised).

Papers: Ballé et al. 2018 (arXiv:1802.01436, hyperprior), Minnen et al. 2018 (arXiv:1809.02736,
mean and scale, context). Deviates: the context is coded in four passes over channel groups and
2x2 phases instead of pixel by pixel; the table index comes straight from the network's output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from compressai.entropy_models import EntropyBottleneck, GaussianConditional
from torch import Tensor

from rdae.autoencoder.initialisation import start_as_transform_codec
from rdae.autoencoder.layers import Points
from rdae.autoencoder.neighbours import start_with_neighbours
from rdae.autoencoder.networks import (
    LAMBDA_MAX,
    LAMBDA_MIN,
    LN_SCALE_RATIO,
    SCALE_MAX,
    SCALE_MIN,
    ClampInward,
    Networks,
)
from rdae.autoencoder.passes import by_channel, follow_passes, split
from rdae.autoencoder.relaxed_rounding import add_noise, round_straight_through, round_to_symbols
from rdae.model.spec import NUM_ANCHORS, NUM_PASSES, NUM_ROWS, ModelSpec
from rdae.rounding import REACH, dead_zones


@dataclass(frozen=True)
class Estimate:
    """What one forward pass predicts.

    Attributes:
        x_hat: `(B, 3, H, W)` reconstruction, pixels / 255, unclipped.
        y_bits: `(B,)` bits of all latent symbols.
        z_bits: `(B,)` bits of all hyper-latent symbols.
    """

    x_hat: Tensor
    y_bits: Tensor
    z_bits: Tensor


class Autoencoder(Networks):
    """The trainable model of a `ModelSpec`, all quality points in one."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        # One factorised prior per anchor: its channels are (anchor, channel), anchor-major.
        self.z_prior = EntropyBottleneck(NUM_ANCHORS * spec.hyper_channels)
        self.z_prior.quantiles.requires_grad_(False)  # medians stay 0: z is rounded to integers
        self.y_conditional = GaussianConditional(None, scale_bound=SCALE_MIN)
        self.y_log_shrink.register_hook(_all_but_the_finest)
        self.register_buffer("dead_zones", self._gaussian_dead_zones(), persistent=False)
        start_as_transform_codec(self)
        start_with_neighbours(self)

    def rd_lambda(self, anchors: Tensor) -> Tensor:
        """The Lagrange multiplier at (fractional) anchors: bits per pixel per MSE on 0..255."""
        return LAMBDA_MIN * (LAMBDA_MAX / LAMBDA_MIN) ** (anchors / (NUM_ANCHORS - 1))

    def forward(self, x: Tensor, anchors: Tensor, *, noisy: bool) -> Estimate:
        """Reconstruct a batch and estimate its bits.

        Args:
            x: `(B, 3, H, W)` float in [0, 1], any H and W.
            anchors: `(B,)` float in [0, 15], the quality of each sample.
            noisy: rate of noisy latents (differentiable relaxation) and a reconstruction from
                the nearest integers, instead of both from the symbols that an encoder sends.
        """
        points = Points(anchors, NUM_ANCHORS)
        y, is_coded = self.analyse(x, points)
        z = self.hyper_analysis(y, points) * points.interpolate(self.z_log_gain).exp()
        z_bits = self._z_bits(z, points, noisy=noisy)
        z_hat = round_straight_through(z) * points.interpolate(-self.z_log_gain).exp()
        features = self.hyper_synthesis(z_hat, points)

        log_gain = points.interpolate(self.y_log_gain)
        step = points.interpolate(self.y_log_step).exp()
        quarters = split(y)
        sent: list[Tensor] = []  # in symbol units, as the scales
        log_scales: list[Tensor] = []

        def code(k: int, mean: Tensor, log_scale: Tensor) -> Tensor:
            own = by_channel(k, log_gain)
            log_scale = log_scale + own
            v = (quarters[k] - mean) * own.exp()
            symbol = round_straight_through(v) if noisy else self.round_to_symbols(v, log_scale)
            sent.append(add_noise(v) if noisy else symbol)
            log_scales.append(log_scale)
            return mean + symbol * is_coded * by_channel(k, step)

        y_hat = follow_passes(self, features, points, code)
        bits = self.y_bits(torch.cat(sent), torch.cat(log_scales))
        y_bits = (bits * is_coded.repeat(NUM_PASSES, 1, 1, 1, 1)).sum((0, 2, 3, 4))
        x_hat = self.synthesise(y_hat, points, x.shape[2], x.shape[3])
        return Estimate(x_hat, y_bits, z_bits.sum((1, 2, 3)))

    def y_bits(self, v: Tensor, log_scale: Tensor) -> Tensor:
        """Bits of zero-mean values `v` in symbol units under N(0, exp(log_scale)^2)."""
        scale = ClampInward.apply(log_scale, math.log(SCALE_MIN), math.log(SCALE_MAX)).exp()
        # GaussianConditional.forward would round (without gradient) or add noise once more
        likelihood = self.y_conditional._likelihood(v, scale)
        return -torch.log2(self.y_conditional.likelihood_lower_bound(likelihood))

    def round_to_symbols(self, v: Tensor, log_scale: Tensor) -> Tensor:
        """Symbols that are worth their bits under Gaussian tables, with straight gradients."""
        row = (log_scale.detach() - math.log(SCALE_MIN)) / LN_SCALE_RATIO
        return round_to_symbols(v, row.clamp(0, NUM_ROWS - 1), self.dead_zones)

    def _gaussian_dead_zones(self) -> Tensor:
        magnitudes = torch.arange(REACH + 1.0).expand(NUM_ROWS, -1)
        log_scale = math.log(SCALE_MIN) + LN_SCALE_RATIO * torch.arange(NUM_ROWS)[:, None]
        with torch.no_grad():
            bits = self.y_bits(magnitudes, log_scale.expand(-1, REACH + 1))
        return torch.from_numpy(dead_zones(bits.numpy()))

    def _z_bits(self, z: Tensor, points: Points, *, noisy: bool) -> Tensor:
        b, h, w, n = z.shape
        rows = (points.nearest()[:, None] * n + torch.arange(n, device=z.device)).flatten()
        parameters = {name: value[rows] for name, value in self.z_prior.named_parameters()}
        # samples become channels, each with its anchor's parameters
        folded = z.permute(0, 3, 1, 2).reshape(1, b * n, h, w)
        _, likelihood = torch.func.functional_call(self.z_prior, parameters, (folded, noisy))
        return -torch.log2(likelihood).reshape(b, n, h, w).permute(0, 2, 3, 1)


def _all_but_the_finest(grad: Tensor) -> Tensor:
    """The gradient of a table over anchors whose last row stays."""
    return torch.cat([grad[:-1], torch.zeros_like(grad[-1:])])

"""Where training starts: a transform codec, if a spec's roles say where its skips are.

The linear skips begin as an orthonormal colour DCT and its inverse, the networks beside them nearly
silent, so that the first steps have a codec to improve. The presets (`rdae.model.presets`) name the
layers; a spec without roles starts as torch initialises its layers.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from rdae.autoencoder.layers import Linear, Residual
from rdae.autoencoder.networks import Networks
from rdae.geometry import PATCH

RESIDUAL = 0.3  # of torch's initial weights, in the last linear layer of a residual
QUIET = 0.1
LATENT_GAIN = 12.0  # of the DCT of pixels in -0.5..0.5: latents in base units


@torch.no_grad()
def start_as_transform_codec(model: Networks) -> None:
    """Set the weights of a new model, in place."""
    for module in model.modules():
        if isinstance(module, Residual) and (inner := [m for m in module if isinstance(m, Linear)]):
            inner[-1].weight.mul_(RESIDUAL)
    for layer in model.with_role("quiet"):
        layer.weight.mul_(QUIET)
        layer.bias.zero_()
    for layer in model.with_role("synthesis_input"):  # networks start on values around one
        layer.weight.div_(LATENT_GAIN)
    basis = colour_dct(model.spec.latent_channels)
    for layer in model.with_role("analysis_skip"):
        layer.weight.copy_(basis * LATENT_GAIN)
        layer.bias.zero_()
    for layer in model.with_role("synthesis_skip"):
        layer.weight.copy_(basis.T[quarter_order()] / LATENT_GAIN)
        layer.bias.zero_()
    for layer in model.with_role("pixels"):
        layer.weight.copy_(torch.eye(len(layer.weight)))
        layer.bias.zero_()


def quarter_order() -> Tensor:
    """Where two shuffles by 4 take what one shuffle by 16 takes: `(768,)` indices."""
    # one shuffle: (row / 4, row % 4, column / 4, column % 4, colour)
    order = torch.arange(3 * PATCH**2).reshape(4, 4, 4, 4, 3)
    return order.permute(0, 2, 1, 3, 4).flatten()


def dct_order(channels: int) -> list[tuple[float, int, int, int]]:
    """The first rows of the colour DCT: when they come, vertical and horizontal frequency, colour.

    Low frequencies and luma come first.
    """
    weights = (1, 4, 6)  # how much later a chroma row of the same frequency comes
    return sorted(
        ((math.hypot(u, v) + 1) * weights[c], u, v, c)
        for u in range(PATCH)
        for v in range(PATCH)
        for c in range(3)
    )[:channels]


def colour_dct(channels: int) -> Tensor:
    """The first rows of an orthonormal colour x 16x16 DCT: `(channels, 768)`.

    Columns are ordered as `Unshuffle` orders pixels.
    """
    colour = np.array([[1, 1, 1], [1, 0, -1], [-0.5, 1, -0.5]])
    colour /= np.linalg.norm(colour, axis=1, keepdims=True)
    k, i = np.arange(PATCH)[:, None], np.arange(PATCH)[None]
    dct = np.cos(np.pi * (2 * i + 1) * k / (2 * PATCH)) * math.sqrt(2 / PATCH)
    dct[0] /= math.sqrt(2)
    rows = [
        (dct[u][:, None, None] * dct[v][None, :, None] * colour[c]).reshape(-1)
        for _, u, v, c in dct_order(channels)
    ]
    return torch.tensor(np.array(rows), dtype=torch.float32)

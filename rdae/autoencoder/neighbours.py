"""Where the context starts: brightness and colour of a cell are those of its neighbours.

The mean of a 16x16 patch varies far more than any other latent, and nine tenths of its variance are
known from the patches around it. Training alone does not find that out: the weights that it takes
are a hundred times as large as those that networks start with, and what they gain is small beside
the noise of all other latents. So the last features of the context network start as sums and
differences of neighbouring cells' means, in brightness and both colours, and the heads as the
prediction from them.

A pass knows the neighbours left and right (pass 1), above, below and at the corners (pass 2), or
all eight (pass 3); those that it does not know are 0. Pairs of opposite sign undo a residual's
leak: leaky(u) - leaky(-u) = (1 + slope) u.
"""

from __future__ import annotations

import torch

from rdae.autoencoder.initialisation import dct_order
from rdae.autoencoder.layers import Depthwise, Linear, Residual
from rdae.autoencoder.networks import Networks
from rdae.model.spec import HEADS, NUM_PASSES
from rdae.network_spec import final_linear

FEATURES = 16  # how many of the context's features, the last ones, start so
SIZE = 1 / 32  # of these features, in relation to latents: means are that much larger than others
SIDES = ((0, 1, 0), (1, 0, 1), (0, 1, 0))
CORNERS = ((1, 0, 1), (0, 0, 0), (1, 0, 1))
ACROSS = ((0, 0, 0), (-1, 0, 1), (0, 0, 0))
DOWN = ((0, -1, 0), (0, 0, 0), (0, 1, 0))
# of which colour's mean, 0 for brightness, and of which neighbours
FILTERS = (
    (0, SIDES),
    (1, SIDES),
    (2, SIDES),
    (0, CORNERS),
    (1, CORNERS),
    (2, CORNERS),
    (0, ACROSS),
    (0, DOWN),
)
# what each of the sides and of the corners counts in passes 1 to 3 (least squares on photographs)
WEIGHTS = ((0.48, 0.0), (0.45, 0.02), (0.35, -0.11))


def mean_channels(latent_channels: int) -> dict[int, int]:
    """The latents that start as means of patches, by colour: 0 is brightness.

    A model of few latents may lack those of colour.
    """
    order = enumerate(dct_order(latent_channels))
    return {c: channel for channel, (_, u, v, c) in order if u == v == 0}


@torch.no_grad()
def start_with_neighbours(model: Networks) -> None:
    """Set the last features of the context, in place, if the spec has the role "neighbours"."""
    means = mean_channels(model.spec.latent_channels)
    sections = model.spec.sections()
    for path in model.spec.roles.get("neighbours", []):
        residual = model.get_submodule(path.rpartition(".")[0])
        layer, filters, last = residual.children()
        assert isinstance(layer, Linear)
        assert isinstance(filters, Depthwise) and isinstance(last, Linear)
        first = len(layer.weight) - FEATURES
        sources = [first + colour for colour in range(3)]
        sums = [first + 3 + i for i in range(len(FILTERS))]
        slope = layer.slope or 0.0
        layer.weight[first:] = 0
        layer.bias[first:] = filters.bias[first:] = 0
        for module in model.shared.modules():  # the features as they are go through all of it
            if isinstance(module, Residual):
                module[-1].weight[first:] = module[-1].bias[first:] = 0
        last.weight[:, first:] = 0
        for i, (colour, taps) in enumerate(FILTERS):
            for sign, hidden in ((1, first + 2 * i), (-1, first + 2 * i + 1)):
                layer.weight[hidden, sources[colour]] = sign
                filters.weight[hidden, 0] = torch.tensor(taps)
                last.weight[sums[i], hidden] = sign / (1 + slope)
        for k in range(NUM_PASSES - 1):
            given = model.linear(final_linear(sections[f"inputs.{k}"], f"inputs.{k}"))
            head = model.linear(final_linear(sections[HEADS[k + 1]], HEADS[k + 1]))
            given.weight[first : sums[-1] + 1] = given.bias[first : sums[-1] + 1] = 0
            head.weight[:, first:] = 0
            for colour, channel in means.items():
                given.weight[sources[colour], model.spec.features + channel] = SIZE
                head.weight[channel] = 0
                head.weight[channel, [sums[colour], sums[3 + colour]]] = (
                    torch.tensor(WEIGHTS[k]) / SIZE
                )

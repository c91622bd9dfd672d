"""A loaded model in torch: float32 networks, and a differentiable rate under the integer tables.

A weights file holds everything that the networks need; its densities are tables. Between two
integers a table is continued linearly, which is no approximation in one reading: linear
interpolation of the probabilities is the density of a symbol with uniform noise of width 1, if
the prior is taken to be flat in every bin (its cumulative distribution straight between
half-integers). At the integers the rate is what the coder writes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rdae.autoencoder.from_integers import state_of_networks
from rdae.autoencoder.layers import Points
from rdae.autoencoder.networks import Networks
from rdae.bitstream.tables import TableFamily
from rdae.model.model import Model
from rdae.model.spec import NUM_ANCHORS
from rdae.scales import NUM_POINTS

Y_REACH = 1536  # larger symbols cost what this one does
Z_REACH = 512


def float_decoder(model: Model) -> Networks:
    """A trainable copy of a model's networks in real units."""
    decoder = Networks(model.spec)
    points = np.linspace(0, NUM_POINTS - 1, NUM_ANCHORS)
    decoder.load_state_dict(state_of_networks(decoder, model.tensors, points))
    return decoder


def at_point(point: int) -> Points:
    """A quality point as the decoder's networks take it, for a batch of one."""
    anchor = point * (NUM_ANCHORS - 1) / (NUM_POINTS - 1)
    return Points(torch.tensor([anchor]), NUM_ANCHORS)


class TableRate(nn.Module):
    """Bits of symbols under a family of integer tables.

    Attributes:
        bits: `(tables, 2 * reach + 1)` float32, of the symbols from -reach to reach.
    """

    bits: Tensor

    def __init__(self, tables: TableFamily, reach: int) -> None:
        super().__init__()
        symbols = np.arange(-reach, reach + 1)
        rows = [tables.symbol_bits(symbols, np.full(symbols.shape, i)) for i in range(len(tables))]
        self.register_buffer("bits", torch.from_numpy(np.array(rows, np.float32)))
        self.reach = reach

    def forward(self, table: Tensor, symbol: Tensor) -> Tensor:
        """Bits of integer symbols (as floats), each under its table (an integer as a float)."""
        column = symbol.clamp(-self.reach, self.reach) + self.reach
        return self.bits.flatten()[(table * self.bits.shape[1] + column).long()]

    def mixed(self, table: Tensor, low: Tensor, share: Tensor) -> Tensor:
        """Bits of a symbol that is `low + 1` with probability `share`, otherwise `low`.

        Args:
            table: integers as floats.
            low: integers as floats, of the same shape.
            share: in 0 to 1; the result is linear in it.
        """
        return torch.lerp(self(table, low), self(table, low + 1), share)

    def between(self, table: Tensor, low: Tensor, share: Tensor) -> Tensor:
        """`mixed` under tables of a fraction: linear in `table` as well, which may have gradients.

        Tables are clamped to those that there are.
        """
        result: Tensor = _Between.apply(self.bits, table, low, share)  # type: ignore[no-untyped-call]
        return result

    def noisy(self, table: Tensor, value: Tensor) -> Tensor:
        """-log2 of the density of values with uniform noise of width 1, each under its table."""
        low = value.detach().floor()
        first, second = (torch.exp2(-self(table, symbol)) for symbol in (low, low + 1))
        return -torch.log2(torch.lerp(first, second, value - low))


class _Between(torch.autograd.Function):
    """Bilinear interpolation in a table of bits, with both slopes from the one look-up."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, bits: Tensor, table: Tensor, low: Tensor, share: Tensor
    ) -> Tensor:
        count, width = bits.shape
        inside = table.clamp(0, count - 1)
        row = inside.floor().clamp(max=count - 2)
        fraction = inside - row
        column = (low + width // 2).clamp(0, width - 2)
        index = (row * width + column).long()
        flat = bits.flatten()
        here, above = flat[index], flat[index + width]
        step, step_above = flat[index + 1] - here, flat[index + width + 1] - above
        across = torch.lerp(step, step_above, fraction)
        down = (above - here) + share * (step_above - step)
        ctx.save_for_backward(down * (inside == table), across)
        return torch.lerp(here, above, fraction) + share * across

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[no-untyped-def]
        down, across = ctx.saved_tensors
        return None, grad * down, None, grad * across

"""Rounding in torch; gradients pass it unchanged.

Theis et al. 2017, arXiv:1703.00395.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rdae.rounding import MAX_SYMBOL, REACH


def straight_through(value: Tensor, rounded: Tensor) -> Tensor:
    """`rounded`, with the gradient of `value`."""
    return value + (rounded - value).detach()


def round_straight_through(v: Tensor) -> Tensor:
    """The nearest integers, those that a symbol can have."""
    return straight_through(v, v.detach().round().clamp(-MAX_SYMBOL, MAX_SYMBOL))


def round_to_symbols(v: Tensor, table: Tensor, zones: Tensor) -> Tensor:
    """`rdae.rounding.round_to_symbols`: integers that are worth their bits.

    Args:
        v: latents in symbol units.
        table: the table of each, as a whole or fractional number within those that there are.
        zones: `(tables, REACH + 1)`, from `rdae.rounding.dead_zones`.
    """
    magnitude = v.detach().abs()
    symbol = magnitude.round()
    zone = zones[table.detach().round().long(), symbol.clamp(max=REACH).long()]
    symbol = symbol - (magnitude < symbol - 0.5 + zone).to(symbol.dtype)
    return straight_through(v, torch.copysign(symbol.clamp(max=MAX_SYMBOL), v))


def add_noise(v: Tensor) -> Tensor:
    """Add uniform noise of width 1, the relaxation of rounding (Ballé et al. 2017)."""
    return v + torch.empty_like(v).uniform_(-0.5, 0.5)

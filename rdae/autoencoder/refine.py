"""Variational refinement: better latents for one tile than the analysis network's guess.

The analysis is an amortised inference model: one network for all pictures, so for any single one
there is a better y. It is found by minimising

    bits(z) + bits(y | z) + lambda / 3 * squared error

over y through the float twin of the exact decoder, with all four passes in the objective. Rounding
is relaxed as in stochastic Gumbel annealing (Yang, Bamler and Mandt 2020, arXiv:2006.04240,
section 3.1): each latent goes to the integer below or above it with probabilities that depend on
how near they are, sampled from a relaxed Bernoulli distribution whose temperature falls. The rate
is the expected number of bits of the coder's own tables, so at the end of the annealing the
objective is what a file costs.

Deviates: starts near the symbols that plain encoding sends, which already weigh rate against
distortion (`rdae.rounding`), which saves the hundred steps that a start at y takes to get there; z
stays as it is, since its noise costs more than what it could gain (measured).

The result is a y. Its symbols are chosen by the exact networks, like those of any other y, and are
sent only where they are really better: that is for the caller to see.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdae.autoencoder.float_twin import Y_REACH, TableRate, at_point, frozen_twin
from rdae.autoencoder.networks import (
    LN_SCALE_RATIO,
    SCALE_MIN,
    ClampInward,
    pass_map,
)
from rdae.autoencoder.precision import bfloat16_pays
from rdae.exact.network import UNIT_BITS
from rdae.latents import TileSymbols
from rdae.model import Model
from rdae.spec import NUM_PASSES, NUM_ROWS, PATCH

# Steps of the annealing. On two cores a step of 768x512 pixels takes a fifth of a second.
STEPS = {3: 20, 4: 30, 5: 45, 6: 90, 7: 200, 8: 450, 9: 1000}
SHORT = 60  # up to here every step counts: less momentum, more forgetting

HOT, COLD = 0.5, 0.15  # temperatures of the relaxed Bernoulli distribution
RATE = 0.05  # of Adam, in symbols
PULL = 0.8  # where between a plain symbol and y the search starts
NEAREST = 0.45  # and how far from the symbol at most

Array = NDArray[Any]


@dataclass(frozen=True)
class Tile:
    """One tile to refine, with what surrounds it.

    Attributes:
        y: `(rows, columns, M)` float32 from the analysis, padded to multiples of 4.
        symbols: what plain encoding sends.
        y_hat: `(Rows, Columns, M)` the decoder's integers in all cells that matter, the tile's own
            among them; the others stay as they are.
        top, left: where the tile's first cell is in `y_hat`.
        rows, columns: the tile's coded cells.
        seen: the cells of `y_hat`, as slices, whose pixels the objective looks at.
        pixels: `(H, W, 3)` uint8, what those pixels should be; cut at the picture's true edge.
    """

    y: NDArray[np.float32]
    symbols: TileSymbols
    y_hat: Array
    top: int
    left: int
    rows: int
    columns: int
    seen: tuple[slice, slice]
    pixels: NDArray[np.uint8]


Report = Callable[[int, int, float, float], None]


def refine(
    model: Model, tile: Tile, point: int, effort: int, *, threads: int, report: Report
) -> NDArray[np.float32]:
    """A better y for a tile.

    Args:
        model: the model.
        tile: what to refine.
        point: quality point, 0 to 255.
        effort: 3 to 9, how long to search.
        threads: how many threads torch may use.
        report: is called with each step's number, the number of steps, and the estimated bits and
            squared error.

    Returns:
        `(rows, columns, M)` float32, in place of `tile.y`.
    """
    # gradients even where the caller has switched them off
    with _torch_threads(threads), torch.inference_mode(False), torch.enable_grad():
        return _anneal(_Objective(model, tile, point), STEPS[effort], report)


def _anneal(objective: _Objective, steps: int, report: Report) -> NDArray[np.float32]:
    momentum, memory = (0.7, 0.92) if steps <= SHORT else (0.8, 0.95)
    generator = torch.Generator().manual_seed(0)  # the same file every time
    start = objective.start()
    moved = torch.zeros_like(start, requires_grad=True)  # in symbols
    optimizer = torch.optim.Adam([moved], betas=(momentum, memory))
    for step in range(steps):
        done = step / steps
        temperature = HOT * (COLD / HOT) ** done
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, 1.25 * (1 - done))
        bits, error = objective(start + moved / objective.gain, temperature, generator)
        optimizer.zero_grad()
        (bits + objective.error_weight * error).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        report(step + 1, steps, bits.item(), error.item())
    with torch.no_grad():
        return (start + moved / objective.gain)[0].numpy()


class _Objective:
    """Bits and squared error of a tile under relaxed rounding, differentiable in y."""

    def __init__(self, model: Model, tile: Tile, point: int) -> None:
        self._twin, self._point = frozen_twin(model), at_point(point)
        self._twin.use_bfloat16(bfloat16_pays())
        self._rate = _y_rate(model)
        self._tile = tile
        self.error_weight = model.rd_lambda(point) / 3  # bits per squared error of one sample
        with torch.no_grad():
            self._log_gain = self._point.interpolate(self._twin.y_log_gain)
            self.gain = self._log_gain.exp()
            self._step = self._point.interpolate(self._twin.y_log_step).exp()
            z_step = self._point.interpolate(-self._twin.z_log_gain).exp()
            z = torch.from_numpy(tile.symbols.z).float()[None]
            self._features = self._twin.hyper_synthesis(z * z_step, self._point)
        indexes = (np.arange(z.shape[3]) + np.zeros(z.shape[1:], int)).ravel()
        self._z_bits = model.z_tables(point).bits(tile.symbols.z.ravel(), indexes)
        rows, columns, channels = tile.y.shape
        self._pass = pass_map(channels, rows, columns)
        self._coded = torch.zeros(rows, columns, 1)
        self._coded[: tile.rows, : tile.columns] = 1
        self._around = torch.from_numpy(tile.y_hat * 2.0**-UNIT_BITS).float()[None]
        self._pixels = torch.from_numpy(tile.pixels.astype(np.float32))[None]

    def start(self) -> Tensor:
        """A y whose symbols are those of plain encoding, some way from them towards y."""
        y = torch.from_numpy(self._tile.y)[None]
        sent = torch.from_numpy(self._tile.symbols.y).float()[None]
        means = torch.zeros_like(y)
        y_hat = torch.zeros_like(y)
        with torch.no_grad():
            for k in range(NUM_PASSES):
                mean, _ = self._twin.predict(k, self._features, y_hat, self._point)
                means = torch.where(self._pass == k, mean, means)
                y_hat = torch.where(self._pass == k, mean + sent * self._step, y_hat)
        off = (y - means) * self.gain - sent
        return means + (sent + (PULL * off).clamp(-NEAREST, NEAREST)) / self.gain

    def __call__(
        self, y: Tensor, temperature: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Bits, and squared error over all samples on 0..255, of one draw of the rounding."""
        y_hat = torch.zeros_like(y)
        lows, shares, tables = y_hat, y_hat, y_hat
        for k in range(NUM_PASSES):
            mean, log_scale = self._twin.predict(k, self._features, y_hat, self._point)
            table = (log_scale + self._log_gain - math.log(SCALE_MIN)) / LN_SCALE_RATIO
            low, share = relaxed((y - mean) * self.gain, temperature, generator)
            now = self._pass == k
            y_hat = torch.where(now, mean + (low + share) * self._step, y_hat)
            lows, shares = torch.where(now, low, lows), torch.where(now, share, shares)
            tables = torch.where(now, table, tables)
        tables = ClampInward.apply(tables, 0.0, NUM_ROWS - 1.0)
        bits = (self._rate.between(tables, lows, shares) * self._coded).sum() + self._z_bits
        return bits, self._squared_error(y_hat)

    def _squared_error(self, y_hat: Tensor) -> Tensor:
        tile = self._tile
        around = self._around
        if around.shape[1:3] == (tile.rows, tile.columns):
            around = y_hat[:, : tile.rows, : tile.columns]
        else:
            around = around.clone()
            down = slice(tile.top, tile.top + tile.rows)
            across = slice(tile.left, tile.left + tile.columns)
            around[:, down, across] = y_hat[:, : tile.rows, : tile.columns]
        x_hat = 255 * (self._twin.synthesis(around, self._point) + 0.5)
        down, across = tile.seen
        x_hat = x_hat[:, PATCH * down.start :, PATCH * across.start :]
        x_hat = x_hat[:, : self._pixels.shape[1], : self._pixels.shape[2]]
        return (x_hat - self._pixels).square().sum()


def relaxed(v: Tensor, temperature: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Round at random: the integer below, and how much of the step to the one above is taken.

    The odds of the two depend on the distances by atanh; the step is a sample of the relaxed
    Bernoulli distribution, differentiable in v.
    """
    low = v.detach().floor()
    part = (v - low).clamp(1e-3, 1 - 1e-3)
    odds = (torch.atanh(part) - torch.atanh(1 - part)) / temperature
    uniform = torch.rand(v.shape, generator=generator).clamp_(1e-6, 1 - 1e-6)
    return low, torch.sigmoid((odds + torch.logit(uniform)) / temperature)


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    """Let torch use so many threads for a while; the number belongs to the process."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _y_rate(model: Model) -> TableRate:
    return TableRate(model.y_tables, Y_REACH)

"""Variational refinement: better latents for one tile than the analysis network's guess.

The analysis is an amortised inference model: one network for all pictures, so for any single one
there are better y and z. They are found by minimising

    bits(z) + bits(y | z) + the cost of the distortion in bits

(lambda / 3 times the squared error, or what `distortion_cost` has for the eye) over y and z through
the float decoder of the exact decoder, with all four passes in the objective. Rounding is relaxed
as in stochastic Gumbel annealing (Yang, Bamler and Mandt 2020, arXiv:2006.04240, against what they
call the discretization gap): each latent goes to the integer below or above it with probabilities
that depend on how near they are, sampled from a relaxed Bernoulli distribution whose temperature
falls. The rate is the expected number of bits of the coder's own tables, and pixels are clipped as
a decoder clips them, so at the end of the annealing the objective is what a file costs.

Deviates: starts near the symbols that plain encoding sends, which already weigh rate against
distortion (`rdae.rounding`), which saves the hundred steps that a start at y takes to get there. z
is searched for along with y, but rounded without noise, with straight-through gradients: it has few
symbols that matter much, and noise on them cost more than the search gained (measured).

The result is a y and z. The symbols of y are chosen by the exact networks, like those of any other
y, and are sent only where they are really better: that is for the caller to see.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rdae.autoencoder.adam import Adam
from rdae.autoencoder.distortion_cost import distortion_cost
from rdae.autoencoder.float_decoder import Y_REACH, Z_REACH, TableRate
from rdae.autoencoder.networks import ClampInward, in_phases
from rdae.autoencoder.passes import assemble, split
from rdae.autoencoder.relaxed_rounding import round_straight_through
from rdae.autoencoder.search_decoder import SearchDecoder
from rdae.geometry import PATCH
from rdae.model.model import Model
from rdae.model.spec import NUM_PASSES, NUM_ROWS
from rdae.model.symbols import TileSymbols

# Steps of the annealing. On one core a step of 768x512 pixels takes about half a second.
STEPS = {3: 20, 4: 35, 5: 60, 6: 90, 7: 130, 8: 200, 9: 300}
SHORT = 60  # up to here every step counts: less momentum, more forgetting

HOT, WARM, COLD = 0.5, 0.4, 0.15  # temperatures: where short and long searches begin, and end
ROW_COLD, ROW_HOT = 0.0, 20.0  # table rows, of scales 0.11 and 0.37, that are cold and follow
LEARNING_RATE = 0.05  # of Adam, in symbols
Z_LEARNING_RATE, Z_SHORT_LEARNING_RATE = 0.02, 0.03
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

# Torch's number of threads belongs to the process, so there is one search at a time.
_one_search = threading.RLock()


def refine(
    model: Model, tile: Tile, point: int, effort: int, tune: str, *, threads: int, report: Report
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Better latents for a tile.

    Args:
        model: the model.
        tile: what to refine.
        point: quality point, 0 to 255.
        effort: 3 to 9, how long to search.
        tune: the distortion, one of `rdae.scales.TUNES`.
        threads: how many threads torch may use.
        report: is called with each step's number, the number of steps, and the estimated bits and
            squared error.

    Returns:
        y `(rows, columns, M)`, to be rounded to the nearest symbols, and the symbols of z.
    """
    with _own_torch(threads):
        return _anneal(_Objective(model, tile, point, tune), STEPS[effort], report)


def distortion_bits(
    tune: str,
    rd_lambda: float,
    pixels: NDArray[np.uint8],
    decoded: NDArray[np.uint8],
    threads: int = 1,
) -> float:
    """What decoded pixels cost in bits beside those of the file, as the search counts it.

    Args:
        tune: one of `rdae.scales.TUNES`.
        rd_lambda: bits per pixel per MSE.
        pixels: `(H, W, 3)`, what they should be.
        decoded: `(H, W, 3)`.
        threads: how many threads torch may use.
    """
    with _own_torch(threads), torch.no_grad():
        return float(_distortion(tune, rd_lambda, pixels)(_as_tensor(decoded)))


def _distortion(
    tune: str, rd_lambda: float, pixels: NDArray[np.uint8]
) -> Callable[[Tensor], Tensor]:
    """The same as a function of the decoded pixels, `(1, H, W, 3)` in 0..1."""
    cost = distortion_cost(tune, _as_tensor(pixels).permute(0, 3, 1, 2))
    multiplier, count = torch.tensor([rd_lambda]), pixels.shape[0] * pixels.shape[1]
    return lambda decoded: count * cost(decoded.permute(0, 3, 1, 2), multiplier).sum()


def _as_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """`(1, H, W, 3)` in 0..1."""
    return torch.from_numpy(pixels.astype(np.float32))[None] / 255


def _anneal(
    objective: _Objective, steps: int, report: Report
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    short = steps <= SHORT
    momentum, memory = (0.7, 0.92) if short else (0.8, 0.95)
    hot, z_peak = (HOT, Z_SHORT_LEARNING_RATE) if short else (WARM, Z_LEARNING_RATE)
    generator = torch.Generator().manual_seed(0)  # the same file every time in a process
    start, gain = objective.start(), objective.decoder.gain
    moved = [torch.zeros_like(quarter, requires_grad=True) for quarter in start]  # in symbols
    z = objective.z.clone().requires_grad_()
    peaks = {**dict.fromkeys(moved, LEARNING_RATE), z: z_peak}
    optimizer = Adam(momentum, memory)

    def latents() -> list[Tensor]:
        return [start[k] + moved[k] / gain[k] for k in range(NUM_PASSES)]

    for step in range(steps):
        done = step / steps
        share = min(1.0, 1.25 * (1 - done))
        temperature = hot * (COLD / hot) ** done
        bits, x_hat = objective(latents(), z, temperature, generator)
        (bits + objective.distortion(x_hat)).backward()  # type: ignore[no-untyped-call]
        optimizer.step({x: share * peak for x, peak in peaks.items()})
        report(step + 1, steps, bits.item(), objective.squared_error(x_hat))
    with torch.no_grad():
        y = assemble(latents())[0].numpy()
        return y, z.round()[0].numpy().astype(np.int32)


class _Objective:
    """Bits and pixels of a tile under relaxed rounding, differentiable in y and z.

    Attributes:
        decoder: the networks.
        z: `(1, rows, columns, N)` the symbols of plain encoding.
        distortion: what pixels cost, in bits.
    """

    def __init__(self, model: Model, tile: Tile, point: int, tune: str) -> None:
        rows, columns, _ = tile.y.shape
        self.decoder = SearchDecoder(model, point)
        self.z = torch.from_numpy(tile.symbols.z).float()[None]
        self.distortion = _distortion(tune, model.rd_lambda(point), tile.pixels)
        self._tile = tile
        self._y_rate = _y_rate(model)
        self._z_rate = TableRate(model.z_tables(point), Z_REACH)
        self._z_tables = torch.arange(self.z.shape[3]).expand_as(self.z)
        coded = torch.zeros(1, rows, columns, 1)
        coded[:, : tile.rows, : tile.columns] = 1
        self._coded = in_phases(coded)
        self._around = torch.from_numpy(tile.y_hat * model.encoder_half.y_unit)[None]
        self._pixels = _as_tensor(tile.pixels)

    def start(self) -> list[Tensor]:
        """Quarters of a y whose symbols are those of plain encoding, some way from them to y."""
        y = split(torch.from_numpy(self._tile.y)[None])
        sent = split(torch.from_numpy(self._tile.symbols.y).float()[None])
        quarters: list[Tensor] = []

        def code(k: int, mean: Tensor, table: Tensor) -> Tensor:
            gain = self.decoder.gain[k]
            off = (y[k] - mean) * gain - sent[k]
            quarters.append(mean + (sent[k] + (PULL * off).clamp(-NEAREST, NEAREST)) / gain)
            return mean + sent[k] * self.decoder.step[k]

        with torch.no_grad():
            self.decoder.follow_passes(self.decoder.features(self.z), code)
        return quarters

    def __call__(
        self, y: list[Tensor], z: Tensor, temperature: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Bits, and pixels `(1, H, W, 3)` in 0..1, of one draw of the rounding."""
        low = z.detach().floor()
        bits = [self._z_rate.mixed(self._z_tables, low, z - low).sum()]

        def code(k: int, mean: Tensor, table: Tensor) -> Tensor:
            v = (y[k] - mean) * self.decoder.gain[k]
            low, share = relaxed(v, cooled(table.detach(), temperature), generator)
            table = ClampInward.apply(table, 0.0, NUM_ROWS - 1.0)
            # Other cells are free here, and 0 in a file; to hold them to 0 gains nothing
            bits.append((self._y_rate.between(table, low, share) * self._coded).sum())
            return mean + (low + share) * self.decoder.step[k]

        features = self.decoder.features(round_straight_through(z))
        y_hat = self.decoder.follow_passes(features, code)
        return torch.stack(bits).sum(), self._decoded(y_hat)

    @torch.no_grad()
    def squared_error(self, x_hat: Tensor) -> float:
        """Squared error of pixels on 0..255, over all samples."""
        return 255**2 * F.mse_loss(x_hat, self._pixels, reduction="sum").item()

    def _decoded(self, y_hat: Tensor) -> Tensor:
        tile = self._tile
        around = self._around
        if around.shape[1:3] == (tile.rows, tile.columns):
            around = y_hat[:, : tile.rows, : tile.columns]
        else:
            around = around.clone()
            down = slice(tile.top, tile.top + tile.rows)
            across = slice(tile.left, tile.left + tile.columns)
            around[:, down, across] = y_hat[:, : tile.rows, : tile.columns]
        x_hat = self.decoder.synthesis(around)
        down, across = tile.seen
        x_hat = x_hat[:, PATCH * down.start :, PATCH * across.start :]
        x_hat = x_hat[:, : self._pixels.shape[1], : self._pixels.shape[2]]
        # a decoder clips, so what is blacker than black or whiter than white costs nothing
        clipped: Tensor = ClampInward.apply(0.5 + x_hat, 0.0, 1.0)
        return clipped


def cooled(table: Tensor, temperature: float) -> Tensor:
    """The temperature of each latent: near the last one from the start where a table is narrow.

    Most of hundreds of channels are 0 with near certainty. At a high temperature some of them leave
    it in each draw, at many bits each, and of so many the noise would hide what all others cost.
    """
    share = (table - ROW_COLD) / (ROW_HOT - ROW_COLD)
    return COLD + (temperature - COLD) * share.clamp(0, 1)


def relaxed(
    v: Tensor, temperature: Tensor | float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Round at random: the integer below, and how much of the step to the one above is taken.

    The odds of the two depend on the distances by atanh; the step is a sample of the relaxed
    Bernoulli distribution, differentiable in v.
    """
    low = v.detach().floor()
    uniform = torch.rand(v.shape, generator=generator).clamp_(1e-6, 1 - 1e-6)
    return low, _Share.apply(v, low, uniform, temperature)  # type: ignore[no-untyped-call]


class _Share(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, v: Tensor, low: Tensor, uniform: Tensor, temperature: Tensor | float
    ) -> Tensor:
        part = (v - low).clamp_(1e-3, 1 - 1e-3)
        rest = 1 - part
        # atanh(part) - atanh(rest), and its slope
        odds = 0.5 * torch.log((1 + part) * part / ((1 + rest) * rest))
        slope = 1 / (1 - part * part) + 1 / (1 - rest * rest)
        share = torch.sigmoid((odds / temperature + torch.logit(uniform)) / temperature)
        ctx.save_for_backward(share * (1 - share) * slope / temperature**2)
        return share

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[no-untyped-def]
        (slope,) = ctx.saved_tensors
        return grad * slope, None, None, None


@contextmanager
def _own_torch(threads: int) -> Iterator[None]:
    """Have torch to oneself for a while, with so many threads.

    Gradients, default type and device, autocast and random state are as where nobody has set them,
    and as the caller had them in the end.
    """
    with (
        _one_search,
        torch.random.fork_rng(devices=[]),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast("cpu", enabled=False),
        torch.device("cpu"),
    ):
        count, dtype = torch.get_num_threads(), torch.get_default_dtype()
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_num_threads(count)


@lru_cache(maxsize=1)
def _y_rate(model: Model) -> TableRate:
    return TableRate(model.y_tables, Y_REACH)

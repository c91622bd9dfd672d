"""The integer tables of a weights file: densities of symbols, rounded to frequencies.

Tables of y form a family over rows, one per standard deviation. Given the row, real symbols are
not quite Gaussian: they have a sharper peak and heavier tails. So each row's table is a mixture of
two zero-mean Gaussians, integrated over unit bins, whose widths and shares are fitted to symbols of
training photos, smoothly from row to row.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdae.autoencoder.autoencoder import Autoencoder
from rdae.autoencoder.networks import SCALE_MAX, SCALE_MIN
from rdae.bitstream.tiles import Grid
from rdae.codec.encoder import quantise
from rdae.images.picture import Picture
from rdae.model.model import Model
from rdae.model.spec import NUM_ANCHORS, NUM_ROWS
from rdae.scales import NUM_POINTS
from rdae.training.data import PhotoCache

TOTAL = 1 << 24  # frequencies of a table sum to this
ESCAPE_SHARE = 2.0**-18  # least probability of the escape
TAIL_PROBABILITY = 2.0**-21  # a table ends where its symbols become rarer than this
REACH = 1536  # largest magnitude that histograms and tables of y hold
PRIOR_REACH = 512  # the same for z
FIT_STEPS = 150
STIFFNESS = (
    3000.0  # symbols that a step of 1 between neighbouring rows' parameters weighs as much as
)

Array = NDArray[Any]
Table = tuple[int, Array]  # lowest value, frequencies with the escape last


def gaussian_tables() -> list[Table]:
    """Tables of y as the networks were trained: one zero-mean Gaussian for each row."""
    zero = torch.zeros(NUM_ROWS, 1, dtype=torch.float64)
    return [_trim(-REACH, pmf) for pmf in _mixture(zero, zero, zero - 50).numpy()]


def fitted_tables(histograms: Array) -> list[Table]:
    """Tables of y fitted to real symbols.

    Args:
        histograms: `(128, 2 * REACH + 1)` counts of each row's symbols, from -REACH to REACH.
    """
    counts = torch.from_numpy(histograms).double()
    # ln of both widths relative to the row's, and logit of the second one's share
    parameters = torch.tensor([-0.1, 0.4, -1.5], dtype=torch.float64).repeat(NUM_ROWS, 1)
    parameters.requires_grad_(True)
    optimizer = torch.optim.Adam([parameters], lr=0.06)
    for _ in range(FIT_STEPS):
        pmf = _mixture(*(p[:, None] for p in parameters.T))
        bits = -(counts * torch.log2(pmf + 1e-12)).sum()
        bend = parameters.diff(dim=0).square().sum()
        loss = (bits + STIFFNESS * bend) / counts.sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        pmf = _mixture(*(p[:, None] for p in parameters.T))
    return [_trim(-REACH, row) for row in pmf.numpy()]


def symbol_histograms(model: Model, photos: PhotoCache, crops: int, size: int = 256) -> Array:
    """Count the symbols of each table row on random crops at random quality points."""
    rng = np.random.default_rng(0)
    counts = np.zeros((NUM_ROWS, 2 * REACH + 1), np.int64)
    for rgb in photos.crops(rng, crops, size):
        picture = Picture(np.ascontiguousarray(rgb), None, False)
        (symbols,) = quantise(picture, model, int(rng.integers(NUM_POINTS)), 1)
        (tile,) = Grid(size, size).tiles()
        values = np.clip(symbols.y[: tile.rows, : tile.columns], -REACH, REACH) + REACH
        np.add.at(counts, (symbols.indexes[: tile.rows, : tile.columns].astype(np.intp), values), 1)
    return counts


def prior_tables(model: Autoencoder) -> list[Table]:
    """Tables of z for each anchor and channel, anchor-major, from the trained density."""
    values = torch.arange(-PRIOR_REACH, PRIOR_REACH + 1, dtype=torch.float64)
    channels = NUM_ANCHORS * model.spec.hyper_channels
    with torch.no_grad():
        likelihood, _, _ = model.z_prior.double()._likelihood(values.expand(channels, 1, -1))
    return [_trim(-PRIOR_REACH, pmf) for pmf in likelihood[:, 0].numpy()]


def frequencies(pmf: Array) -> Array:
    """Integer frequencies, each at least 1, escape last, that sum to 2^24.

    Args:
        pmf: `(n,)` probabilities of the table's symbols; what is missing to 1 goes to the escape.
    """
    escape = max(1.0 - pmf.sum(), ESCAPE_SHARE)
    p = np.append(pmf / pmf.sum() * (1.0 - escape), escape)
    freqs = np.maximum(1, np.floor(p * TOTAL)).astype(np.int64)
    freqs[np.argmax(freqs)] += TOTAL - freqs.sum()
    return freqs


def _mixture(narrow: Tensor, wide: Tensor, share: Tensor) -> Tensor:
    """Probabilities `(128, 2 * REACH + 1)` of the mixture of each row; arguments `(128, 1)`."""
    rows = torch.arange(NUM_ROWS, dtype=torch.float64)[:, None] / (NUM_ROWS - 1)
    sigma = SCALE_MIN * (SCALE_MAX / SCALE_MIN) ** rows
    magnitude = torch.arange(0, REACH + 1, dtype=torch.float64)[None]

    def gaussian(log_width: Tensor) -> Tensor:
        # tails from the nearer side, where differences of erfc keep their digits
        scale = 1 / (sigma * log_width.exp() * math.sqrt(2))
        upper = torch.special.erfc((magnitude - 0.5) * scale)
        return 0.5 * (upper - torch.special.erfc((magnitude + 0.5) * scale))

    second = torch.sigmoid(share)
    half = (1 - second) * gaussian(narrow) + second * gaussian(wide)
    return torch.cat([half[:, 1:].flip(1), half], 1)


def _trim(low: int, pmf: Array) -> Table:
    """Cut the tails that are not worth an entry."""
    kept = np.flatnonzero(pmf >= min(TAIL_PROBABILITY, pmf.max()))
    first, last = int(kept[0]), int(kept[-1])
    return low + first, frequencies(pmf[first : last + 1])

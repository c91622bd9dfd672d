"""The codec as a differentiable torch module, for pipelines that learn through compression.

    from rdae.torch import Codec

    codec = Codec(quality=60)
    x_hat, bits = codec(x)                   # x of shape (B, 3, H, W) in [0, 1]
    loss = task(x_hat) + weight * bits.sum()

It computes what `rdae.compress` and `rdae.decompress` do, with an installed model, in the float
arithmetic of torch instead of exact integers. Gradients pass all roundings unchanged (Theis et al.
2017, arXiv:1703.00395).

* In `eval()` mode symbols, bits and pixels are those of a file, but for a few roundings that fall
  the other way. Tables in between two rows, and symbols in between two integers, have the bits of
  a mixture of both, which is what gradients follow.
* In `train()` mode the rate is that of Gaussian latents with additive uniform noise, the relaxation
  that the networks were trained with (Ballé et al. 2017, arXiv:1611.01704), latents are rounded to
  the nearest symbol, and pixels are not rounded to levels. This rate is smooth, but more than a
  file needs: the lower the quality, the more symbols are nearly sure to be 0, which cost nothing
  until noise is added.

The tables are those of the weights file, constants that training leaves as they are.
"""

from __future__ import annotations

import math
from pathlib import Path

from rdae.errors import MissingDependencyError

try:
    import rdae.autoencoder  # noqa: F401 (says what is missing; settles how OpenMP waits)
except MissingDependencyError as error:
    raise MissingDependencyError(
        f"rdae.torch needs what {error.hint} installs ({error})", hint=error.hint
    ) from error

import torch
from torch import Tensor, nn

from rdae.autoencoder.float_decoder import Y_REACH, Z_REACH, TableRate, float_decoder
from rdae.autoencoder.layers import Points
from rdae.autoencoder.networks import LN_SCALE_RATIO, SCALE_MIN, ClampInward, in_phases
from rdae.autoencoder.passes import by_channel, follow_passes, split
from rdae.autoencoder.relaxed_rounding import (
    add_noise,
    round_straight_through,
    round_to_symbols,
    straight_through,
)
from rdae.bitstream.tiles import Grid, Tile
from rdae.geometry import PATCH, padded
from rdae.model.installed import load_model
from rdae.model.spec import NUM_ANCHORS, NUM_PASSES, NUM_ROWS
from rdae.rounding import REACH, dead_zones
from rdae.scales import DEFAULT_QUALITY, NUM_POINTS, quality_to_point

__all__ = ["Codec"]

ESCAPE_BITS = 34.0  # 18 of the escape's own probability and 16 of the value behind it


class Codec(nn.Module):
    """An installed model as a module: pixels in, decoded pixels and their bits out.

    Parameters are frozen at first; `requires_grad_()` makes them trainable. Weights that have been
    trained here serve here: files are written with those of the weights file.

    Args:
        model: name of an installed model or path of a weights file; the default model if None.
        quality: 0 (fewest bits) to 100 (best), for calls that do not say.

    Raises:
        rdae.errors.ModelError: there is no such model, or its file is damaged.
        ValueError: quality is out of range.
    """

    dead_zones: Tensor
    z_family: Tensor

    def __init__(
        self, model: str | Path | None = None, *, quality: float = DEFAULT_QUALITY
    ) -> None:
        super().__init__()
        quality_to_point(quality)  # raises if it is out of range
        loaded = load_model(model)
        self.name = loaded.description.name
        self.quality = quality
        self.networks = float_decoder(loaded).requires_grad_(False)
        self.y_rate = TableRate(loaded.y_tables, Y_REACH)
        # The tables of z, one per channel, are those of the nearest anchor: one family after the
        # other, and for each quality point the number of its family.
        points = [loaded.z_tables(point) for point in range(NUM_POINTS)]
        families = list(dict.fromkeys(points))
        self.z_rate = TableRate(families[0], Z_REACH)
        self.z_rate.bits = torch.cat([TableRate(family, Z_REACH).bits for family in families])
        self.register_buffer("z_family", torch.tensor([families.index(f) for f in points]))
        middle = self.y_rate.bits[:, Y_REACH - REACH : Y_REACH + REACH + 1].numpy()
        bits = (middle[:, REACH:] + middle[:, REACH::-1]) / 2
        self.register_buffer("dead_zones", torch.from_numpy(dead_zones(bits)))

    def extra_repr(self) -> str:
        """What `repr` says besides the submodules."""
        return f"model={self.name!r}, quality={self.quality}"

    def forward(self, x: Tensor, quality: float | Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Code a batch of pictures.

        Args:
            x: `(B, 3, H, W)` of the parameters' type, float32 or float64, in [0, 1]; any H and W.
            quality: 0 to 100, for all pictures or `(B,)` for each; that of the module if None.

        Returns:
            `(B, 3, H, W)` decoded pixels in [0, 1], and `(B,)` the bits of z and y. A file has the
            header, a checksum for each tile, alpha and metadata on top.

        Raises:
            ValueError: x has another shape, or quality is out of range.
            TypeError: x or the parameters are not float32 or float64, or differ.
        """
        self._check(x)
        height, width = x.shape[2:]
        points = self._points(x, quality)
        at = Points((points * (NUM_ANCHORS - 1) / (NUM_POINTS - 1)).to(x.dtype), NUM_ANCHORS)
        y, _ = self.networks.analyse(x, at)
        bits = x.new_zeros(len(x))
        y_hat = y.new_zeros(y.shape)[:, : -(-height // PATCH), : -(-width // PATCH)]
        for tile in Grid(width, height).tiles():
            down, across = slice(tile.cells.top, None), slice(tile.cells.left, None)
            cells = y[:, down, across][:, : padded(tile.rows), : padded(tile.columns)]
            part, part_bits = self._code(cells, tile, points, at)
            y_hat[:, down, across][:, : tile.rows, : tile.columns] = part
            bits = bits + part_bits
        x_hat = self.networks.synthesise(y_hat, at, height, width)
        x_hat = ClampInward.apply(x_hat, 0.0, 1.0)
        if not self.training:
            x_hat = straight_through(x_hat, (255 * x_hat).round() / 255)
        return x_hat, bits

    def _check(self, x: Tensor) -> None:
        wanted = self.networks.y_log_gain.dtype
        if wanted not in (torch.float32, torch.float64):
            raise TypeError(f"the parameters are {wanted}, which cannot hold symbols: use float32")
        if x.dtype != wanted:
            raise TypeError(f"x is {x.dtype}, the parameters are {wanted}")
        if x.ndim != 4 or x.shape[1] != 3 or 0 in x.shape:
            raise ValueError(f"x has shape {tuple(x.shape)}, wanted (B, 3, H, W)")

    def _points(self, x: Tensor, quality: float | Tensor | None) -> Tensor:
        """The quality point of each picture, `(B,)` int64."""
        if not isinstance(quality, Tensor):
            qualities = [self.quality if quality is None else quality] * len(x)
        elif quality.shape == x.shape[:1]:
            qualities = quality.tolist()
        else:
            raise ValueError(f"quality has shape {tuple(quality.shape)}, wanted ({len(x)},)")
        return torch.tensor([quality_to_point(q) for q in qualities], device=x.device)

    def _code(self, y: Tensor, tile: Tile, points: Tensor, at: Points) -> tuple[Tensor, Tensor]:
        """y_hat of a tile's coded cells, and the bits of its z and y, `(B,)`.

        `y` is padded to whole cells of the hyper-latent; symbols of the padding are 0 and free.
        """
        net = self.networks
        z = net.hyper_analysis(y, at) * at.interpolate(net.z_log_gain).exp()
        z_symbol = round_straight_through(z)
        z_bits = self._z_bits(z, z_symbol, points)
        features = net.hyper_synthesis(z_symbol * at.interpolate(-net.z_log_gain).exp(), at)

        log_gain = at.interpolate(net.y_log_gain)
        step = at.interpolate(net.y_log_step).exp()
        is_coded = y.new_zeros(1, y.shape[1], y.shape[2], 1)
        is_coded[:, : tile.rows, : tile.columns] = 1
        quarters, is_coded = split(y), in_phases(is_coded)
        values: list[Tensor] = []
        symbols: list[Tensor] = []
        tables: list[Tensor] = []

        def code(k: int, mean: Tensor, log_scale: Tensor) -> Tensor:
            own = by_channel(k, log_gain)
            table = (log_scale + own - math.log(SCALE_MIN)) / LN_SCALE_RATIO
            tables.append(ClampInward.apply(table, 0.0, NUM_ROWS - 1.0))
            values.append((quarters[k] - mean) * own.exp())
            symbols.append(self._sent(values[k], tables[k]) * is_coded)
            return mean + symbols[k] * by_channel(k, step)

        y_hat = follow_passes(net, features, at, code)
        y_bits = self._y_bits(*(torch.cat(parts) for parts in (values, symbols, tables)))
        y_bits = (y_bits * is_coded.repeat(NUM_PASSES, 1, 1, 1, 1)).sum((0, 2, 3, 4))
        return y_hat[:, : tile.rows, : tile.columns], z_bits.sum((1, 2, 3)) + y_bits

    def _sent(self, value: Tensor, table: Tensor) -> Tensor:
        """The symbols of values: the nearest in training, otherwise those that an encoder sends."""
        if self.training:
            return round_straight_through(value)
        return round_to_symbols(value, table, self.dead_zones)

    def _z_bits(self, z: Tensor, symbol: Tensor, points: Tensor) -> Tensor:
        channels = z.shape[3]
        table = self.z_family[points][:, None] * channels + torch.arange(channels, device=z.device)
        table = table[:, None, None].expand(z.shape).to(z.dtype)
        if self.training:
            return self.z_rate.noisy(table, add_noise(z))
        low = z.detach().floor()
        return self.z_rate.mixed(table, low, symbol - low)

    def _y_bits(self, value: Tensor, symbol: Tensor, table: Tensor) -> Tensor:
        if self.training:
            return _gaussian_bits(add_noise(value), table * LN_SCALE_RATIO + math.log(SCALE_MIN))
        low = value.detach().floor()
        return self.y_rate.between(straight_through(table, table.round()), low, symbol - low)


def _gaussian_bits(value: Tensor, log_scale: Tensor) -> Tensor:
    """-log2 of the density of N(0, exp(log_scale)^2) plus uniform noise of width 1, at most 34.

    Beyond that an escape is cheaper, whose cost does not grow with the value.
    """
    scale = log_scale.exp()
    magnitude = torch.minimum(value.abs(), 0.5 + 8 * scale)  # there it has 50 bits already
    upper = torch.special.log_ndtr((0.5 - magnitude) / scale)
    lower = torch.special.log_ndtr((-0.5 - magnitude) / scale)
    bits: Tensor = -(upper + torch.log(-torch.expm1(lower - upper))) / math.log(2)
    return bits.clamp(max=ESCAPE_BITS)

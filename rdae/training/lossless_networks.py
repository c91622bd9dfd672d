"""The networks of the lossless layer in torch, and the bits that they expect a picture to take.

The same computation as `rdae.lossless.walk`, in floats and for a batch. Values are in units of 16
levels, so that a weights file's integers are these numbers times 2^11; heads give means, rows of
scales and shapes in the same unit. The prior of a residual is the mixture of two normals of
`rdae.lossless.tables`, censored at black and white, without its rounding of mean, row and shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rdae.autoencoder.layers import Depthwise, Linear, Points, build
from rdae.autoencoder.networks import ClampInward
from rdae.lossless.colour import LARGEST_NORMALISED, NORMALISED_FRACTION
from rdae.lossless.fit import SCALES, kind_of
from rdae.lossless.networks import NUM_COLOURS, NUM_PASSES, OWN_LEVELS, networks
from rdae.lossless.parameters import NONE, factor_index
from rdae.lossless.pyramid import COLOURS, PHASES
from rdae.lossless.stream import FITTED_CELLS
from rdae.lossless.tables import NUM_SCALES, NUM_SHAPES
from rdae.training.lossless_fit import UNIT, Fit, tap_values

PRESETS = {"photo": (40, 24), "tiny": (8, 8)}  # channels, and those of heads
LEVELS = 5  # that are trained: coarser ones have few pixels, and the weights of the last
SCALE_MIN = float(SCALES[0])
LN_SCALE_RATIO = math.log(SCALES[1] / SCALES[0])
WIDE_RATIO = 2.7  # of the wide normal's standard deviation to the narrow one's
WIDE_WEIGHTS = (7, 20, 45, 80)  # of the wide normal in 1/256, for each shape
LEAST_PROBABILITY = 2.0**-20
BEYOND = 1e4  # levels, more than any scale reaches
MAX_NORMALISED = LARGEST_NORMALISED / (1 << NORMALISED_FRACTION)
# where a new model begins: errors of four levels, the colours of a pixel nearly alike
FIRST_ROW, FIRST_SHAPE, FIRST_SAME = 26.0, 1.0, (0.9, 0.7, 0.2)


class Level(nn.ModuleDict):
    """The networks of one level; their names are those of a weights file."""

    def __init__(self, channels: int, hidden: int) -> None:
        made = {name: build(layers, 2) for name, layers in networks(channels, hidden).items()}
        passes = range(NUM_PASSES)
        parts: dict[str, nn.Module] = {"begin": made["begin"]}
        for name in ("linear", "pass", "block"):
            parts[name] = nn.ModuleList(made[f"{name}.{p}"] for p in passes)
        parts["head"] = nn.ModuleList(
            nn.ModuleList(made[f"head.{p}.{k}"] for k in range(NUM_COLOURS)) for p in passes
        )
        super().__init__(parts)
        self.same = nn.Parameter(torch.tensor(FIRST_SAME).repeat(NUM_PASSES, 1))
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        for path, module in self.named_modules():
            name = path.split(".")[0]
            if name == "linear" and isinstance(module, Linear):
                module.weight.zero_()
                module.bias.zero_()
            elif name == "head" and isinstance(module, Linear) and module.slope is None:
                module.weight *= 0.2
                module.bias.zero_()
                module.bias[1:3] = torch.tensor([FIRST_ROW, FIRST_SHAPE]) / UNIT
            elif isinstance(module, Depthwise):  # nearly the cell itself
                middle = module.weight.shape[-1] // 2
                module.weight *= 0.5
                module.weight[:, 0, middle, middle] += 1
            elif name in ("begin", "block") and isinstance(module, Linear) and module.slope is None:
                module.weight *= 0.3
                module.bias.zero_()

    def start(self, centred: Tensor) -> Tensor:
        """Features from the references around each cell."""
        first, block = self["begin"]
        h: Tensor = block(over_cells(first, centred), _NO_POINTS)
        return h

    def advance(self, p: int, h: Tensor, added: Tensor | None) -> Tensor:
        """The features for a pass, from those before and what the last pass added."""
        (layer,) = self["pass"][p]
        channels = h.shape[-1]
        x = F.linear(h, layer.weight[:, :channels], layer.bias)
        if added is not None:
            x = x + _over_cells(added, layer.weight[:, channels:])
        h = self["block"][p](h + F.leaky_relu(x, layer.slope), _NO_POINTS)
        return h


class LosslessNetworks(nn.Module):
    """The networks of all levels, and the bits of a batch.

    Attributes:
        channels: of the features.
        hidden: of a head.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.channels, self.hidden = channels, hidden
        self.level = nn.ModuleList(Level(channels, hidden) for _ in range(OWN_LEVELS))
        self.register_buffer("_wide", torch.tensor(WIDE_WEIGHTS) / 256, persistent=False)

    def levels(self) -> list[Level]:
        """The networks of each level that has its own."""
        return [level for level in self.level if isinstance(level, Level)]

    def use_bfloat16(self, enabled: bool) -> None:
        """Let the blocks compute in bfloat16, or in float32 again; means need more digits."""
        for level in self.levels():
            for part in ("begin", "block"):
                for module in level[part].modules():
                    if isinstance(module, Linear):
                        module.low_precision = enabled

    def bits(self, x: Tensor, max_error: int = 0, tile_ratio: float = 1) -> Iterator[Tensor]:
        """The bits of each level of a batch, from the coarsest, one after the other.

        Args:
            x: `(B, H, W, 3)` whole levels, 0 to 255; sides are multiples of 2^LEVELS.
            max_error: how far a decoded sample may be from that of `x`.
            tile_ratio: `x` stands for tiles of so many times its cells, and has their filters.

        Yields:
            A number for all of the batch. Nothing of one needs gradients of another.
        """
        decoded = x.clone()
        for number in reversed(range(LEVELS)):
            step = 1 << number
            net = self.levels()[min(number, OWN_LEVELS - 1)]
            here = decoded[:, ::step, ::step]
            yield self._level_bits(net, number, x[:, ::step, ::step], here, max_error, tile_ratio)

    def _level_bits(
        self,
        net: Level,
        number: int,
        x: Tensor,
        decoded: Tensor,
        max_error: int,
        tile_ratio: float,
    ) -> Tensor:
        known = decoded[:, ::2, ::2].clone()
        quarters = reference(known)
        local = local_mean(quarters)
        centred = ((quarters - local[..., None, :]) / UNIT).flatten(-2)
        h = net.start(centred)
        cells = tile_ratio * known.shape[1] * known.shape[2]
        width = 2 * max_error + 1
        differences: list[Tensor] = []
        added: Tensor | None = None
        total = x.new_zeros(())
        for p, (row, column) in enumerate(PHASES):
            h = net.advance(p, h, added)
            target, base = x[:, row::2, column::2], quarters[..., 2 * row + column, :]
            (linear,) = net["linear"][p]  # type: ignore[index]
            generic = base + UNIT * over_cells(linear, torch.cat([*differences, centred], -1))
            kind = kind_of(cells, number)
            fit = None
            statistic = x.new_zeros(len(x), NUM_COLOURS)
            if cells >= FITTED_CELLS:
                inputs = tap_values(p, kind, known / UNIT, local / UNIT, differences)
                fit = Fit(inputs, target, base, generic, net.same[p])
                statistic = fit.statistic
            settled = _Settled(base)
            features = [statistic[:, None, None].expand(*known.shape[:3], -1)]
            for k, c in enumerate(COLOURS):
                layers = net["head"][p][k]  # type: ignore[index]
                head = UNIT * layers(torch.cat([h, *features], -1), _NO_POINTS)
                mean = generic[..., c] + head[..., 0]
                for j, (difference, error) in enumerate(settled.before()):
                    mean = mean + error * (head[..., 3 + j] / (2 * UNIT))
                    mean = mean + difference * net.same[p, factor_index(k, j)]
                if fit is not None and kind != NONE:
                    mean = mean + fit.own(k, [difference for difference, _ in settled.before()])
                mean = _clamped(mean, 255)
                scale = SCALE_MIN * (LN_SCALE_RATIO * _clamped(head[..., 1], NUM_SCALES - 1)).exp()
                pixels = target[..., c]
                if max_error:
                    rounded = torch.floor(mean.detach() + 0.5)
                    bins = torch.floor((pixels - rounded + max_error) / width)
                    pixels = rounded + bins * width
                shape = _clamped(head[..., 2], NUM_SHAPES - 1)
                edges = pixels - width < -max_error, pixels + width > 255 + max_error
                total = total + self._mixture_bits(pixels - mean, width, scale, shape, edges).sum()
                pixels = pixels.clamp(0, 255)
                decoded[:, row::2, column::2, c] = pixels
                features.append(settled.settle(c, pixels, mean.detach(), scale.detach()))
            differences.append(settled.differences())
            added = torch.cat([differences[-1], settled.errors()], -1)
        return total

    def _mixture_bits(
        self, d: Tensor, width: int, scale: Tensor, shape: Tensor, edges: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Bits of residuals `d` beside their means, in bins of `width` levels.

        A sample has black for all that would be darker, and white for all that would be brighter:
        of the bins in `edges`, the least and the greatest that are possible, all beyond is a part.
        """
        lower = shape.detach().floor().clamp(max=NUM_SHAPES - 2).long()
        low, high = self._wide[lower], self._wide[lower + 1]  # type: ignore[index]
        wide = low + (high - low) * (shape - lower)
        # mirrored to the side where small probabilities have all their digits
        least, most = edges
        near, far = torch.where(d > 0, least, most), torch.where(d > 0, most, least)
        d = d.abs()
        begin = (-0.5 * width - d).masked_fill(far, -BEYOND)
        end = (0.5 * width - d).masked_fill(near, BEYOND)

        def mass(inverse: Tensor) -> Tensor:
            return torch.special.ndtr(end * inverse) - torch.special.ndtr(begin * inverse)

        p = (1 - wide) * mass(1 / scale) + wide * mass(1 / (WIDE_RATIO * scale))
        return -torch.log2(p * (1 - 2.0**-12) + LEAST_PROBABILITY)


class _Settled:
    """What is known of the pixels of a pass, colour by colour."""

    def __init__(self, base: Tensor) -> None:
        self._base = base
        self._known: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def settle(self, c: int, pixels: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        """Take the pixels of colour `c`; returns what the heads of later colours see."""
        error = pixels - mean
        normalised = (error / scale).clamp(-MAX_NORMALISED, MAX_NORMALISED)
        self._known[c] = pixels - self._base[..., c], error, normalised
        e, n = error / UNIT, 2 * normalised
        return torch.stack([e, e.abs(), n, n.abs()], -1)

    def before(self) -> list[tuple[Tensor, Tensor]]:
        """Differences and errors of the colours so far, in the order of coding, in levels."""
        return [self._known[c][:2] for c in COLOURS if c in self._known]

    def differences(self) -> Tensor:
        """Of all colours, as features `(B, rows, columns, 3)`."""
        return torch.stack([self._known[c][0] for c in range(NUM_COLOURS)], -1) / UNIT

    def errors(self) -> Tensor:
        """Plain ones, then normalised ones, as features `(B, rows, columns, 6)`."""
        plain = [self._known[c][1] / UNIT for c in range(NUM_COLOURS)]
        return torch.stack([*plain, *(2 * self._known[c][2] for c in range(NUM_COLOURS))], -1)


def reference(known: Tensor) -> Tensor:
    """Bilinear interpolation of a level from its known pixels: `(B, rows, columns, 4, 3)`."""
    x = torch.cat([known, known[:, -1:]], 1)
    x = torch.cat([x, x[:, :, -1:]], 2)
    here, right, down, across = x[:, :-1, :-1], x[:, :-1, 1:], x[:, 1:, :-1], x[:, 1:, 1:]
    quarters = [here, (here + right) / 2, (here + down) / 2, (here + right + down + across) / 4]
    return torch.stack(quarters, 3)


def local_mean(quarters: Tensor) -> Tensor:
    """Mean of a reference over 3x3 cells, which are repeated at the edges."""
    x = F.pad(quarters.mean(3).permute(0, 3, 1, 2), (1, 1, 1, 1), "replicate")
    return F.avg_pool2d(x, 3, 1).permute(0, 2, 3, 1)


def over_cells(layer: Linear, x: Tensor) -> Tensor:
    """A layer that sees the 3x3 cells around each, zeros beyond the edges."""
    out = _over_cells(x, layer.weight, layer.bias)
    return out if layer.slope is None else F.leaky_relu(out, layer.slope)


def _over_cells(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    kernel = weight.view(len(weight), 3, 3, -1).permute(0, 3, 1, 2)
    return F.conv2d(x.permute(0, 3, 1, 2), kernel, bias, padding=1).permute(0, 2, 3, 1)


def _clamped(x: Tensor, most: int) -> Tensor:
    inside: Tensor = ClampInward.apply(x, 0.0, float(most))
    return inside


_NO_POINTS = Points(torch.zeros(1), 2)  # these networks have no gains

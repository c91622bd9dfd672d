"""The decoder in torch for a search over the latents of one picture at one quality point.

The same networks as `rdae.autoencoder.float_decoder` makes, arranged so that a step of a search is
cheap: a pass computes only the quarter of the latents that it codes, as the exact decoder does
(`rdae.model.passes`), and where the processor multiplies bfloat16 faster, features stay in bfloat16
from layer to layer, since moving them takes longer than multiplying them. Only what carries
latents, means and pixels whole is float32: 8 significant bits would move them by whole symbols and
levels.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

from rdae.autoencoder.float_decoder import at_point, float_decoder
from rdae.autoencoder.layers import Depthwise, Linear, Points, Sequence
from rdae.autoencoder.networks import LN_SCALE_RATIO, SCALE_MIN
from rdae.autoencoder.precision import bfloat16_pays
from rdae.model.model import Model
from rdae.model.passes import phases, put, take
from rdae.model.spec import NUM_PASSES


class SearchDecoder:
    """A model's decoder for one tile at a quality point, differentiable in its latents.

    Attributes:
        gain, step: symbols per unit of y, and back, for the quarter of each pass:
            `(1, rows, columns, M/4)`.
        z_step: `(N,)` units of z per symbol.
    """

    def __init__(self, model: Model, point: int, rows: int, columns: int) -> None:
        """Take a model, a quality point, 0 to 255, and the size of the tile in cells."""
        self._networks = _networks(model)
        self._points = points = at_point(point)
        whole = self._networks.whole
        log_gain = points.interpolate(whole.y_log_gain)
        log_step = points.interpolate(whole.y_log_step)
        self.z_step = points.interpolate(-whole.z_log_gain).exp().flatten()

        def quarters(values: Tensor) -> list[Tensor]:
            wide = values.expand(1, rows, columns, -1)
            return [take_quarter(k, wide) for k in range(NUM_PASSES)]

        self.gain, self.step = quarters(log_gain.exp()), quarters(log_step.exp())
        self._offsets = quarters((log_gain - math.log(SCALE_MIN)) / LN_SCALE_RATIO)

    def features(self, z_symbols: Tensor) -> Tensor:
        """What the hyper-latent says: `(1, 4 * rows, 4 * columns, features)`.

        Args:
            z_symbols: `(1, rows, columns, N)`.
        """
        features: Tensor = self._networks.whole.hyper_synthesis(
            z_symbols * self.z_step, self._points
        )
        return features

    def predict(self, k: int, features: Tensor, y_hat: list[Tensor]) -> tuple[Tensor, Tensor]:
        """What pass `k` expects of its quarter, `(1, rows, columns, M/4)`.

        Args:
            k: the pass, 0 to 3.
            features: from the hyper-latent.
            y_hat: the quarters of all passes before.

        Returns:
            Means in units of y; tables of symbols, as fractions and not yet clamped.
        """
        x = torch.cat([features, assemble(y_hat)], -1) if k else features
        mean, log_scale = self._networks.passes[k](x, self._points).float().chunk(2, -1)
        return mean, log_scale / LN_SCALE_RATIO + self._offsets[k]

    def synthesis(self, y_hat: Tensor) -> Tensor:
        """Pixels `(1, 16 * rows, 16 * columns, 3)` on -0.5..0.5, neither rounded nor clipped."""
        pixels: Tensor = self._networks.whole.synthesis(y_hat, self._points)
        return pixels


def take_quarter(k: int, latents: Tensor) -> Tensor:
    """The quarter of pass `k` of `(1, rows, columns, M)`, without gradients."""
    return torch.from_numpy(take(k, latents[0].numpy()))[None]


def assemble(quarters: list[Tensor]) -> Tensor:
    """`(1, rows, columns, M)` with the quarters of the first passes, and 0 elsewhere."""
    result: Tensor = _Assemble.apply(*quarters)  # type: ignore[no-untyped-call]
    return result


class _Assemble(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *quarters: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        _, rows, columns, group = quarters[0].shape
        whole = quarters[0].new_zeros(1, rows, columns, NUM_PASSES * group)
        for k, quarter in enumerate(quarters):
            put(k, quarter[0].numpy(), whole[0].numpy())
        ctx.count = len(quarters)
        return whole

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[no-untyped-def]
        return tuple(take_quarter(k, grad) for k in range(ctx.count))


class _ByPhase(nn.Module):
    """The last layer of pass `k` for the channels that it codes in each of the four phases."""

    def __init__(self, k: int, layer: Linear) -> None:
        super().__init__()
        channels = layer.weight.shape[0] // 2
        wanted = [
            torch.cat([torch.arange(group.start, group.stop) + half for half in (0, channels)])
            for _, group in phases(k, channels)
        ]
        self.weight = torch.stack([layer.weight[some].T for some in wanted])
        self.bias = torch.stack([layer.bias[some][None] for some in wanted])

    def forward(self, x: Tensor, points: Points) -> Tensor:
        _, rows, columns, inputs = x.shape
        x = x.float().reshape(rows // 2, 2, columns // 2, 2, inputs).permute(1, 3, 0, 2, 4)
        x = torch.baddbmm(self.bias, x.reshape(4, -1, inputs), self.weight)
        x = x.reshape(2, 2, rows // 2, columns // 2, -1).permute(2, 0, 3, 1, 4)
        return x.reshape(1, rows, columns, -1)


class _Networks:
    """A model's networks as they are searched through."""

    def __init__(self, model: Model) -> None:
        self.whole = decoder = float_decoder(model).requires_grad_(False)
        outputs = [decoder.first, *decoder.outputs]
        bodies = [Sequence(), *([net, decoder.shared] for net in decoder.inputs)]
        self.passes = [
            Sequence([*body, *last[:-1], _ByPhase(k, last[-1])])
            for k, (body, last) in enumerate(zip(bodies, outputs, strict=True))
        ]
        if bfloat16_pays():
            straight = decoder.straight_layers()
            for module in decoder.modules():
                if isinstance(module, Linear | Depthwise) and module not in straight:
                    module.bfloat16()


@lru_cache(maxsize=1)
def _networks(model: Model) -> _Networks:
    return _Networks(model)

"""The decoder in torch for a search over the latents of one picture at one quality point.

The same networks as `rdae.autoencoder.float_decoder` makes, arranged so that a step of a search is
cheap: where the processor multiplies bfloat16 faster, features stay in bfloat16 from layer to
layer, since moving them takes longer than multiplying them. Only what carries latents, means and
pixels whole is float32: 8 significant bits would move them by whole symbols and levels.
"""

from __future__ import annotations

import math
from functools import lru_cache

from torch import Tensor

from rdae.autoencoder.float_decoder import at_point, float_decoder
from rdae.autoencoder.layers import Depthwise, Linear
from rdae.autoencoder.networks import LN_SCALE_RATIO, SCALE_MIN, Networks
from rdae.autoencoder.passes import Code, by_channel, follow_passes
from rdae.autoencoder.precision import bfloat16_pays
from rdae.model.model import Model
from rdae.model.spec import NUM_PASSES


class SearchDecoder:
    """A model's decoder for one tile at a quality point, differentiable in its latents.

    Attributes:
        gain, step: symbols per unit of y, and back, for each pass: `(4, 1, 1, 1, M / 4)`.
        z_step: `(N,)` units of z per symbol.
    """

    def __init__(self, model: Model, point: int) -> None:
        """Take a model and a quality point, 0 to 255."""
        self._networks = networks = _networks(model)
        self._points = points = at_point(point)
        log_gain = points.interpolate(networks.y_log_gain)
        log_step = points.interpolate(networks.y_log_step)
        passes = range(NUM_PASSES)
        self.z_step = points.interpolate(-networks.z_log_gain).exp().flatten()
        self.gain = [by_channel(k, log_gain.exp()) for k in passes]
        self.step = [by_channel(k, log_step.exp()) for k in passes]
        offset = (log_gain - math.log(SCALE_MIN)) / LN_SCALE_RATIO
        self._offsets = [by_channel(k, offset) for k in passes]

    def features(self, z_symbols: Tensor) -> Tensor:
        """What the hyper-latent says: `(1, 4 * rows, 4 * columns, features)`.

        Args:
            z_symbols: `(1, rows, columns, N)`.
        """
        features: Tensor = self._networks.hyper_synthesis(z_symbols * self.z_step, self._points)
        return features

    def follow_passes(self, features: Tensor, code: Code) -> Tensor:
        """Go through the passes; see `rdae.autoencoder.passes`.

        Args:
            features: from the hyper-latent.
            code: y_hat of a pass from its number, means in units of y, and tables of symbols, as
                fractions and not yet clamped.
        """

        def with_table(k: int, mean: Tensor, log_scale: Tensor) -> Tensor:
            return code(k, mean.float(), log_scale.float() / LN_SCALE_RATIO + self._offsets[k])

        return follow_passes(self._networks, features, self._points, with_table)

    def synthesis(self, y_hat: Tensor) -> Tensor:
        """Pixels `(1, 16 * rows, 16 * columns, 3)` on -0.5..0.5, neither rounded nor clipped."""
        pixels: Tensor = self._networks.synthesis(y_hat, self._points)
        return pixels


@lru_cache(maxsize=1)
def _networks(model: Model) -> Networks:
    networks = float_decoder(model).requires_grad_(False)
    if bfloat16_pays():
        whole = networks.straight_layers() | {head[-1] for head in networks.heads()}
        for module in networks.modules():
            if isinstance(module, Linear | Depthwise) and module not in whole:
                module.bfloat16()
    return networks

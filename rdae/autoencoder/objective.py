"""The objective: rate + lambda * distortion, which is -ELBO up to constants.

Read as a variational autoencoder, the codec's hidden variables are (y, z). With additive uniform
noise of width 1 the encoder's own entropy is log 1 = 0, so the KL term of the ELBO is the prior's
cross entropy: the rate, E[-log2 P(z)] + E[-log2 P(y | z)] bits. An isotropic Gaussian decoder makes
E[-log2 P(x | y)] proportional to MSE, up to a constant: the distortion, with the weight lambda that
its variance fixes (`rdae.distortion`). Minimising

    L = bpp + lambda * MSE   (MSE on 0..255 over all samples)

maximises the ELBO. For the eye another distortion takes the place of MSE, whose density has no name
(`distortion_cost`). Papers: Ballé et al. 2018 (arXiv:1802.01436, section 3), Minnen et al. 2018
(arXiv:1809.02736), Townsend et al. 2019 (arXiv:1901.04866, bits-back reading), Yang et al. 2020
(arXiv:2006.04240, refining inference).

One model serves all rates: each sample has its own quality, and its L is divided by what a sample
of that quality is expected to cost, so that no rate dominates the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from rdae.autoencoder.autoencoder import Autoencoder
from rdae.autoencoder.distortion_cost import distortion_cost, mse
from rdae.autoencoder.networks import LAMBDA_UNIT, ClampInward

# L at the optimum grows about as lambda^0.5 over the trained range (measured on photographs: 0.15,
# 1.07, 3.0 and 8.7 at lambda 0.0004, 0.013, 0.16 and 1.6).
COST_EXPONENT = 0.5


@dataclass(frozen=True)
class Objective:
    """The terms of the objective, one entry per sample.

    Attributes:
        loss: scalar, mean of the normalised Lagrangians; what training minimises.
        bpp: `(B,)` rate of y and z in bits per pixel.
        z_bpp: `(B,)` the part of z.
        mse: `(B,)` mean squared error on 0..255.
        rd_lambda: `(B,)`.
    """

    loss: Tensor
    bpp: Tensor
    z_bpp: Tensor
    mse: Tensor
    rd_lambda: Tensor

    def negative_elbo_bits(self, pixels: int) -> Tensor:
        """Rate + lambda * distortion in bits per image of `pixels`, without constants: `(B,)`."""
        return pixels * (self.bpp + self.rd_lambda * self.mse)


def evaluate(
    model: Autoencoder, x: Tensor, anchors: Tensor, *, noisy: bool, tune: str = "psnr"
) -> Objective:
    """Evaluate the objective on a batch.

    Args:
        model: the autoencoder, or a wrapper that is called the same way.
        x: `(B, 3, H, W)` float in [0, 1], any H and W.
        anchors: `(B,)` quality of each sample, in [0, 15].
        noisy: see `Autoencoder.forward`.
        tune: the distortion, one of `rdae.scales.TUNES`.
    """
    estimate = model(x, anchors, noisy=noisy)
    pixels = x.shape[2] * x.shape[3]
    z_bpp = estimate.z_bits / pixels
    bpp = estimate.y_bits / pixels + z_bpp
    rd_lambda = model.rd_lambda(anchors)
    weight = (rd_lambda / LAMBDA_UNIT) ** -COST_EXPONENT
    x_hat = ClampInward.apply(estimate.x_hat, 0.0, 1.0)  # as a decoder clips
    cost = distortion_cost(tune, x)(x_hat, rd_lambda)
    loss = (weight * (bpp + cost)).mean()
    return Objective(loss, bpp, z_bpp, mse(x, x_hat), rd_lambda)

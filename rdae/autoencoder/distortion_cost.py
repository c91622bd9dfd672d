"""What the distortion of a decoded picture costs, in bits per pixel: for squared error, or the eye.

Rate-distortion theory asks for one distortion and its Lagrange multiplier. For squared error that
is lambda * MSE, the Gaussian decoder of `rdae.distortion`. For the eye it is a mix,

    m lambda MSE + s lambda_S S + d lambda_D D + f lambda_F F,

of squared error, the sum S of SSIMULACRA2, D = 1 - MS-SSIM, and F, which is what the contrast and
structure of SSIM (Wang et al. 2004, eq. 13) lack of 1 at full resolution. S and D hardly look
there: without F a model leaves out weak texture that people see where bits suffice for it, and all
three forgive at edges what squared error does not. So m and f grow with lambda. Each multiplier is
what a unit of its distortion costs in bits along the curve of a model that was trained for squared
error, so a mix whose shares add up to 1 leaves the rates of the quality points about where they
are.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rdae.autoencoder.perceptual import MsSsim, Ssimulacra2

# Shares of squared error, SSIMULACRA2, MS-SSIM and SSIM at full resolution: up to the lower lambda
# (0.15 bits a pixel of Kodak), and from the higher one on (0.5); linear in ln lambda between them.
_FEW_BITS, _MANY_BITS = (0.1, 0.35, 0.2, 0.35), (0.15, 0.2, 0.25, 0.4)
_LN_FEW, _LN_MANY = math.log(0.002), math.log(0.012)

# ln of the multipliers, as polynomials in ln lambda (power 2, 1, 0): fitted to the slopes between
# the 16 anchors of the 512-channel model on 32 crops of training photographs.
_LN_SSIMULACRA2 = (-0.0238624, 0.89629863, 1.85329033)
_LN_MS_SSIM = (-0.02905837, 0.72439825, 6.86527529)
_LN_FINEST = (-0.00104656, 0.77401713, 5.52193926)

_LEAST_SIDE = 11  # that both metrics can say something of

DistortionCost = Callable[[Tensor, Tensor], Tensor]


def distortion_cost(tune: str, source: Tensor) -> DistortionCost:
    """The cost of decoded pictures of a source.

    Args:
        tune: one of `rdae.scales.TUNES`.
        source: `(B, 3, H, W)` in 0..1; with a side below 11, only squared error counts.

    Returns:
        A function of the decoded picture `(B, 3, H, W)` and lambda `(B,)`, in bits per pixel for
        MSE on 0..255, that gives `(B,)` bits per pixel.
    """
    if tune == "psnr" or min(source.shape[2:]) < _LEAST_SIDE:
        return lambda decoded, rd_lambda: rd_lambda * mse(source, decoded)
    source = source.contiguous()  # plane by plane, as all of it is computed
    ssimulacra2, ms_ssim = Ssimulacra2(source), MsSsim(source)

    def for_the_eye(decoded: Tensor, rd_lambda: Tensor) -> Tensor:
        decoded, ln_lambda = decoded.contiguous(), rd_lambda.log()
        all_scales, finest = ms_ssim(decoded)
        costs = (
            rd_lambda * mse(source, decoded),
            _multiplier(_LN_SSIMULACRA2, ln_lambda) * ssimulacra2(decoded),
            _multiplier(_LN_MS_SSIM, ln_lambda) * all_scales,
            _multiplier(_LN_FINEST, ln_lambda) * finest,
        )
        many = ((ln_lambda - _LN_FEW) / (_LN_MANY - _LN_FEW)).clamp(0, 1)
        terms = zip(_FEW_BITS, _MANY_BITS, costs, strict=True)
        return torch.stack([(few + many * (most - few)) * cost for few, most, cost in terms]).sum(0)

    return for_the_eye


def mse(source: Tensor, decoded: Tensor) -> Tensor:
    """Mean squared error on 0..255 of pictures in 0..1: `(B,)`."""
    return 255.0**2 * (decoded - source).square().mean((1, 2, 3))


def _multiplier(polynomial: tuple[float, float, float], ln_lambda: Tensor) -> Tensor:
    square, slope, constant = polynomial
    return ((square * ln_lambda + slope) * ln_lambda + constant).exp()

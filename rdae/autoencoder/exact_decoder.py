"""The exact decoder in torch: an autoencoder whose decoder computes the shipped integers.

After `make_exact` the hyper-synthesis, the passes and the synthesis hold the integer tensors of a
weights file in float64 and round as FORMAT.md says: the same integers as the NumPy decoder's, bit
for bit, on features and latents that are integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdae.autoencoder.autoencoder import Autoencoder
from rdae.autoencoder.layers import Depthwise, Gain, Linear, Residual, Sum
from rdae.model.spec import ENCODER_SECTIONS


def make_exact(model: Autoencoder, tensors: dict[str, NDArray[Any]]) -> None:
    """Replace the decoder's weights by the integers of a weights file, in place."""
    model.double().requires_grad_(False)
    for path, module in model.named_modules():
        if path.split(".")[0] in ENCODER_SECTIONS:
            continue
        if isinstance(module, Linear | Depthwise):
            mantissa = _double(tensors[f"{path}.mantissa"])
            is_linear = isinstance(module, Linear)
            module.weight.data = mantissa.T if is_linear else mantissa.permute(2, 0, 1)[:, None]
            assert module.bias is not None
            module.bias.data = _double(tensors[f"{path}.bias"])
        elif isinstance(module, Gain):
            module.table = _double(tensors[f"{path}.table"])
        if isinstance(module, Linear | Depthwise | Gain):
            module.scale = 2.0 ** -int(tensors[f"{path}.shift"][0])
        elif isinstance(module, Residual | Sum):
            module.exact = True


def _double(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(array.astype(np.float64))

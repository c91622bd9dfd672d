"""What a machine's matrix products reach, and whether bfloat16 pays on it.

Gradients of a few crops are so noisy (86 % of their norm, measured) that the noise of bfloat16
products (14 %) does not show, as long as the linear skips from pixels to latents and back stay in
float32. On processors with bfloat16 instructions the products run about twice as fast.
"""

from __future__ import annotations

import time
from functools import lru_cache

import torch
import torch.distributed as dist

from rdae.model.spec import ModelSpec

WORTH_IT = 1.3  # how much faster bfloat16 must be: conversions eat some of it
CPU = torch.device("cpu")
PRODUCT = (1152, 512, 512)  # rows, inputs, outputs: a block of the default preset, 8 crops of 192


def matmul_gflops(dtype: torch.dtype, device: torch.device, seconds: float = 0.2) -> float:
    """Billions of floating point operations per second of a matrix product of `PRODUCT`."""
    rows, inputs, outputs = PRODUCT
    a = torch.randn(rows, inputs, device=device).to(dtype)
    b = torch.randn(inputs, outputs, device=device).to(dtype)
    result = a @ b  # the first one is slow
    # waiting takes time on a GPU; a processor without bfloat16 needs half a second for a product
    together = 10 if device.type == "cuda" else 1
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for _ in range(together):
            result = a @ b
        count += together
        result[0, 0].item()  # waits for a GPU
    return 2e-9 * count * rows * inputs * outputs / (time.perf_counter() - began)


@lru_cache
def bfloat16_pays(device: torch.device = CPU) -> bool:
    """Whether products in bfloat16 are enough faster than in float32; measured once a process."""
    low = matmul_gflops(torch.bfloat16, device)
    return low > WORTH_IT * matmul_gflops(torch.float32, device)


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether a run computes in bfloat16; all processes call this and get the same answer.

    Args:
        precision: "float32", "bfloat16", or "auto" to measure in process 0.
        device: where the products run.
    """
    if precision != "auto":
        return precision == "bfloat16"
    answer = torch.zeros(1)
    if dist.get_rank() == 0:
        answer[0] = bfloat16_pays(device)
    dist.broadcast(answer := answer.to(device), 0)
    return bool(answer.item())


def step_flops(spec: ModelSpec, pixels: int) -> float:
    """Floating point operations of the layers in a forward and a backward pass over `pixels`.

    A multiply-accumulate counts two; the backward pass has two products for each of the forward
    pass. The optimizer's own products are left out.
    """
    return 6.0 * pixels * (spec.encoder_macs_per_pixel() + spec.decoder_macs_per_pixel())

"""Adam for a search: the import of torch's own optimizers takes longer than a short search."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-8


class Adam:
    """Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.

    Args:
        momentum: beta 1.
        memory: beta 2.
    """

    def __init__(self, momentum: float, memory: float) -> None:
        self._momentum, self._memory = momentum, memory
        self._steps = 0
        self._moments: dict[Tensor, tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def step(self, learning_rates: dict[Tensor, float]) -> None:
        """Move tensors against their gradients, which are taken away.

        Args:
            learning_rates: the same tensors in every step, and how far each goes.
        """
        self._steps += 1
        for x, learning_rate in learning_rates.items():
            if x not in self._moments:
                self._moments[x] = torch.zeros_like(x), torch.zeros_like(x)
            first, second = self._moments[x]
            assert x.grad is not None
            first.lerp_(x.grad, 1 - self._momentum)
            second.mul_(self._memory).addcmul_(x.grad, x.grad, value=1 - self._memory)
            size = second.div(1 - self._memory**self._steps).sqrt_().add_(EPSILON)
            x.addcdiv_(first, size, value=-learning_rate / (1 - self._momentum**self._steps))
            x.grad = None

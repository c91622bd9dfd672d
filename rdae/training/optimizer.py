"""SOAP for matrices, Adam for the rest, shared out between the processes of a run.

SOAP runs Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv:2409.11321);
its rotations cost about half of a backward pass of eight crops. All processes hold the same
weights and the same averaged gradients, so each steps only the matrices that it owns and sends
them to the others. Adam's part is so small that every process computes all of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from pytorch_optimizer import SOAP
from torch import Tensor, nn

from rdae.model.spec import NUM_ANCHORS

SOAP_MIN_SIDE = NUM_ANCHORS + 1  # smaller matrices are tables over quality points
ADAM_SHARE = 0.5  # of the learning rate


class RotatingSOAP(SOAP):
    """SOAP for matrices, whose first moments stay in the eigenbasis.

    The published algorithm keeps them in the basis of the weights and rotates them in every step;
    since rotations are linear it is the same to rotate them when the eigenvectors change.
    Rotations of gradients may run in bfloat16: 8 significant bits are far more precise than
    gradients of a few crops. Eigenvectors, moments and weights stay in float32.
    """

    def __init__(self, matrices: Sequence[Tensor], *, low_precision: bool, **settings: Any) -> None:
        self.low_precision = low_precision
        super().__init__(matrices, **settings)

    def project(
        self,
        grad: Tensor,
        state: dict[str, Any],
        merge_dims: bool = False,
        max_precondition_dim: int = 10000,
        project_type: str = "forward",
    ) -> Tensor:
        """Rotate a matrix into the eigenbasis, or back."""
        rows, columns = state["Q"]
        if project_type == "backward":
            rows, columns = rows.T, columns.T
        if self.low_precision:
            rotated = rows.T.bfloat16() @ grad.bfloat16() @ columns.bfloat16()
            return rotated.float()
        return rows.T @ grad @ columns

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update the matrices; the first step only begins their preconditioners."""
        for group in self.param_groups:
            self.init_group(group)
            group["step"] += 1
            step = group["step"] - 1
            if step == 0:
                continue
            beta1, beta2 = group["betas"]
            rate = group["lr"] * math.sqrt(1 - beta2**step) / (1 - beta1**step)
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "exp_avg" in state:  # new, or of a checkpoint that had it in the weights' basis
                    state["moment"] = rotated(state.pop("exp_avg"), state["Q"])
                grad = self.project(p.grad, state)
                moment = state["moment"].lerp_(grad, 1 - beta1)
                square = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                direction = moment / square.sqrt().add_(group["eps"])
                p.sub_(self.project(direction, state, project_type="backward"), alpha=rate)
                before = state["Q"]
                self.update_pre_conditioner(p.grad, state, step=step)
                if state["Q"] is not before:
                    back = rotated(state["moment"], [q.T for q in before])
                    state["moment"] = rotated(back, state["Q"])


def rotated(matrix: Tensor, basis: Sequence[Tensor]) -> Tensor:
    """A matrix in the basis whose vectors are the columns of `basis`, for its rows and columns."""
    rows, columns = basis
    return rows.T @ matrix @ columns


def soap_matrices(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that SOAP trains, by name."""
    return {
        n: p
        for n, p in model.named_parameters()
        if p.requires_grad and p.ndim == 2 and min(p.shape) >= SOAP_MIN_SIDE
    }


def share_out(matrices: dict[str, nn.Parameter], world: int) -> list[list[str]]:
    """Split matrices between processes so that SOAP's work is about even."""
    # projections and QR of both sides: about mn(m + n) and m^3 + n^3
    cost = {n: p.numel() * sum(p.shape) + sum(s**3 for s in p.shape) for n, p in matrices.items()}
    owned: list[list[str]] = [[] for _ in range(world)]
    loads = [0] * world
    for name in sorted(cost, key=lambda n: (-cost[n], n)):
        least = loads.index(min(loads))
        owned[least].append(name)
        loads[least] += cost[name]
    return owned


class SharedOptimizer:
    """One process's part of the optimizer of a model that all processes hold.

    Attributes:
        parameters: what is trained, by name.
    """

    def __init__(
        self, model: nn.Module, learning_rate: float, *, every: int, low_precision: bool
    ) -> None:
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._world = dist.get_world_size()
        self._learning_rate = learning_rate
        matrices = soap_matrices(model)
        self._owned = share_out(matrices, self._world)
        mine = self._owned[dist.get_rank()]
        rest = [n for n in self.parameters if n not in matrices]
        adam = torch.optim.Adam([self.parameters[n] for n in rest], betas=(0.9, 0.99))
        # what each is called in a checkpoint: itself, its parameters, its share of the rate
        self._parts: dict[str, tuple[torch.optim.Optimizer, list[str], float]] = {
            "adam": (adam, rest, ADAM_SHARE)
        }
        if mine:  # with more processes than matrices some own none
            soap = RotatingSOAP(
                [self.parameters[n] for n in mine],
                low_precision=low_precision,
                lr=learning_rate,
                betas=(0.95, 0.95),
                weight_decay=0.0,
                precondition_frequency=every,
            )
            self._parts["soap"] = (soap, mine, 1.0)

    def set_rate(self, factor: float) -> None:
        """Set the learning rates to `factor` times their base."""
        for optimizer, _, share in self._parts.values():
            for group in optimizer.param_groups:
                group["lr"] = self._learning_rate * share * factor

    def average_gradients(self) -> None:
        """Replace every gradient by its mean over the processes; all of them call this."""
        trained = self._trained()
        flat = torch.cat([p.grad.flatten() for p in trained])  # type: ignore[union-attr]
        dist.all_reduce(flat)
        flat /= self._world
        for p, part in zip(trained, flat.split([p.numel() for p in trained]), strict=True):
            p.grad = part.view_as(p)

    def clip(self, norm: float) -> Tensor:
        """Scale the gradients so that their norm is at most `norm`; returns what it was."""
        return torch.nn.utils.clip_grad_norm_(self._trained(), norm)

    def step(self) -> None:
        """Update the weights of all processes; all of them call this."""
        for optimizer, _, _ in self._parts.values():
            optimizer.step()
        if self._world > 1:
            self._exchange_matrices()

    @torch.no_grad()
    def _exchange_matrices(self) -> None:
        for owner, names in enumerate(self._owned):
            theirs = [self.parameters[n] for n in names if self.parameters[n].grad is not None]
            if not theirs:
                continue
            flat = torch.cat([p.flatten() for p in theirs])
            dist.broadcast(flat, owner)
            for p, part in zip(theirs, flat.split([p.numel() for p in theirs]), strict=True):
                p.copy_(part.view_as(p))

    def _trained(self) -> list[nn.Parameter]:
        return [p for p in self.parameters.values() if p.grad is not None]

    def content(self) -> dict[str, Any]:
        """What a checkpoint keeps: states by parameter, and what each group holds besides."""
        states, groups = {}, {}
        for part, (optimizer, names, _) in self._parts.items():
            whole = optimizer.state_dict()
            states.update({names[i]: state for i, state in whole["state"].items()})
            (group,) = whole["param_groups"]  # SOAP keeps its step counter here
            groups[part] = {k: v for k, v in group.items() if k not in ("params", "lr")}
        return {"optimizers": states, "groups": groups}

    def restore(self, processes: Sequence[dict[str, Any]]) -> None:
        """Put the `content` of all processes of a checkpoint back.

        There may have been another number of processes, which owned other matrices.
        """
        states = {n: state for process in processes for n, state in process["optimizers"].items()}
        groups = {part: g for process in processes for part, g in process["groups"].items()}
        for part, (optimizer, names, _) in self._parts.items():
            whole = optimizer.state_dict()
            whole["param_groups"][0].update(groups[part])
            whole["state"] = {i: states[n] for i, n in enumerate(names) if n in states}
            optimizer.load_state_dict(whole)

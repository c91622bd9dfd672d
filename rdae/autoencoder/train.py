"""The training loop: SOAP for matrices, Adam for the rest, on all cores, resumable.

    python -m rdae.autoencoder.train PHOTOS/ -o RUN/ --hours 2

starts one process per core (or runs as one of torchrun's). Processes average their gradients;
SOAP's work is shared out between them, each steps the matrices that it owns and sends them to the
others. RUN/ holds checkpoints, metrics.jsonl and the photo cache; the same command goes on from
the newest checkpoint.

The schedule follows the share of `--hours` (or `--steps`) that has passed: warm-up, constant,
cosine to zero. In the last tenth the analysis is frozen and everything that a decoder runs is
trained on rounded latents and their true discrete likelihood: scales trained on noise are too wide
at low rates. A run that is continued with more hours is in the soft phase again until its new last
tenth.

Paper: SOAP, Vyas et al. 2024 (arXiv:2409.11321).
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from pytorch_optimizer import SOAP
from torch import nn
from torch.multiprocessing.spawn import ProcessRaisedException, spawn

from rdae.autoencoder.autoencoder import Autoencoder
from rdae.autoencoder.checkpoint import (
    NamedOptimizer,
    checkpoints,
    cut_metrics,
    load_matching,
    optimizer_content,
    read_checkpoint,
    restore_optimizers,
    write_checkpoint,
)
from rdae.autoencoder.data import PhotoCache, prepare_cache
from rdae.autoencoder.objective import evaluate
from rdae.errors import RdaeError
from rdae.exact.parallel import default_threads
from rdae.presets import preset
from rdae.spec import NUM_ANCHORS, ModelSpec

WARM_UP_STEPS = 100
CONSTANT_SHARE = 0.4  # of the run; then cosine to zero
HARD_SHARE = 0.9  # from here on rounded latents, analysis frozen
EMA_DECAY = 0.999
SOAP_MIN_SIDE = NUM_ANCHORS + 1  # smaller matrices are tables over quality points
MAX_SKIPS = 50  # steps in a row without finite gradients, after which a run has failed
RECORD_STEPS = 20  # steps between two records of metrics.jsonl

log = logging.getLogger("rdae")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a run depends on; written to RUN/config.json.

    Raises:
        ValueError: not exactly one of `hours` and `steps` is given.
    """

    photos: str  # absolute path
    hours: float | None = None  # length of the run, over all its sessions
    steps: int | None = None  # the same in steps
    batch: int = 8  # crops per process and step
    crop: int = 192  # pixels, a multiple of 64
    learning_rate: float = 2e-3
    seed: int = 0
    checkpoint_minutes: float = 4.0

    def __post_init__(self) -> None:
        if (self.hours is None) == (self.steps is None):
            raise ValueError("a run has either hours or steps")


def learning_rate_factor(step: int, progress: float) -> float:
    """Warm-up, constant, cosine to zero; `progress` in [0, 1] is the share of the run."""
    decay = 1.0
    if progress > CONSTANT_SHARE:
        share = (progress - CONSTANT_SHARE) / (1 - CONSTANT_SHARE)
        decay = 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return min(1.0, (step + 1) / WARM_UP_STEPS) * decay


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


class Trainer:
    """One process of a run: model, optimizers, data, and their checkpoints."""

    def __init__(self, config: TrainConfig, run: Path, spec: ModelSpec) -> None:
        self.config, self.run = config, run
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        torch.manual_seed(config.seed)
        self.model = Autoencoder(spec)
        self.ema = copy.deepcopy(self.model).requires_grad_(False)
        self.parameters = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        matrices = soap_matrices(self.model)
        self.owned = share_out(matrices, self.world)
        mine = self.owned[self.rank]
        rest = [n for n in self.parameters if n not in matrices]
        lr = config.learning_rate
        self.optimizers: list[NamedOptimizer] = [
            (
                SOAP(
                    [self.parameters[n] for n in mine],
                    lr=lr,
                    betas=(0.95, 0.95),
                    weight_decay=0.0,
                    precondition_frequency=10,
                ),
                mine,
                lr,
            ),
            (
                torch.optim.Adam([self.parameters[n] for n in rest], lr=lr / 2, betas=(0.9, 0.99)),
                rest,
                lr / 2,
            ),
        ]
        self.step, self.seconds, self.hard = 0, 0.0, False
        self.skipped, self.skipped_in_a_row = 0, 0
        self.rng = np.random.default_rng([config.seed, self.rank])
        torch.manual_seed(config.seed + 1000 + self.rank)
        self.cache = PhotoCache(run / "photos.u8")

    def start_from(self, init: Path) -> None:
        """Start with the weights of another run's `model.pt`, as far as they fit.

        Raises:
            ValueError: none fits.
        """
        unfit = load_matching(self.model, torch.load(init, weights_only=True)["ema"])
        self.ema.load_state_dict(self.model.state_dict())
        if unfit and self.rank == 0:
            log.warning("%s: %d tensors do not fit and start afresh", init, len(unfit))

    def train(self) -> None:
        """Train until the hours or steps are used up; checkpoints on the way."""
        saved = last = time.monotonic()
        while self.progress < 1:
            record = self.take_step()
            if self.rank == 0 and self.step % RECORD_STEPS == 0:
                with (self.run / "metrics.jsonl").open("a") as out:
                    out.write(json.dumps(record, allow_nan=False) + "\n")
            now = time.monotonic()
            due = now - saved > 60 * self.config.checkpoint_minutes
            # every process must follow the same schedule
            clock = torch.tensor([now - last, due], dtype=torch.float64)
            dist.broadcast(clock, 0)
            self.seconds += clock[0].item()
            last = now
            if clock[1].item():
                self.save()
                saved = time.monotonic()
        self.save()

    @property
    def progress(self) -> float:
        """The share of the run that is done; past 1 when its hours were exceeded."""
        if self.config.steps is not None:
            return self.step / self.config.steps
        assert self.config.hours is not None  # by TrainConfig
        return self.seconds / (3600 * self.config.hours)

    def take_step(self) -> dict[str, Any]:
        """Train on one batch.

        Returns:
            The step's record for metrics.jsonl.

        Raises:
            RdaeError: the gradients have not been finite for `MAX_SKIPS` steps.
        """
        config = self.config
        if self.progress >= HARD_SHARE and not self.hard:
            self.model.load_state_dict(self.ema.state_dict())
            self._freeze_analysis()
        factor = learning_rate_factor(self.step, self.progress)
        for optimizer, _, base in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = base * factor
        crops = torch.from_numpy(self.cache.crops(self.rng, config.batch, config.crop))
        x = crops.permute(0, 3, 1, 2).float() / 255
        anchors = torch.rand(config.batch) * (NUM_ANCHORS - 1)
        terms = evaluate(self.model, x, anchors, noisy=not self.hard)
        self.model.zero_grad(set_to_none=True)
        terms.loss.backward()
        trained = [p for p in self.parameters.values() if p.grad is not None]
        self._average_gradients(trained)
        norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
        if torch.isfinite(norm):  # the same on all processes: gradients are equal
            for optimizer, _, _ in self.optimizers:
                optimizer.step()
            self._exchange_matrices()
            self._update_ema()
            self.skipped_in_a_row = 0
        else:
            self.skipped += 1
            self.skipped_in_a_row += 1
            if self.skipped_in_a_row >= MAX_SKIPS:
                raise diverged(f"gradients of {MAX_SKIPS} steps in a row")
        self.step += 1
        measured = {
            "loss": terms.loss.item(),
            "bpp": terms.bpp.mean().item(),
            "psnr": (10 * torch.log10(255**2 / terms.mse)).mean().item(),
            "gradient_norm": norm.item(),
        }
        return {
            "step": self.step,
            "seconds": round(self.seconds, 1),
            # JSON has no NaN
            **{name: v if math.isfinite(v) else None for name, v in measured.items()},
            "skipped": self.skipped,
            "hard": self.hard,
        }

    def _average_gradients(self, trained: list[nn.Parameter]) -> None:
        flat = torch.cat([p.grad.flatten() for p in trained])  # type: ignore[union-attr]
        dist.all_reduce(flat)
        flat /= self.world
        for p, part in zip(trained, flat.split([p.numel() for p in trained]), strict=True):
            p.grad = part.view_as(p)

    @torch.no_grad()
    def _exchange_matrices(self) -> None:
        for owner, names in enumerate(self.owned):
            theirs = [self.parameters[n] for n in names if self.parameters[n].grad is not None]
            if self.world == 1 or not theirs:
                continue
            flat = torch.cat([p.flatten() for p in theirs])
            dist.broadcast(flat, owner)
            for p, part in zip(theirs, flat.split([p.numel() for p in theirs]), strict=True):
                p.copy_(part.view_as(p))

    @torch.no_grad()
    def _update_ema(self) -> None:
        weight = 1 - min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.model.parameters()), weight)

    def _freeze_analysis(self) -> None:
        self.hard = True
        for part in (self.model.analysis, self.model.hyper_analysis):
            part.requires_grad_(False)
        self.model.z_log_gain.requires_grad_(False)

    def save(self) -> None:
        """Write a checkpoint; all processes call this.

        Raises:
            RdaeError: the weights are not finite.
        """
        model, ema = self.model.state_dict(), self.ema.state_dict()
        if not all(t.isfinite().all() for t in (*model.values(), *ema.values())):
            raise diverged("weights")
        content = None
        if self.rank == 0:
            counters = {"step": self.step, "seconds": self.seconds, "skipped": self.skipped}
            spec = self.model.spec.to_json()
            content = {"model": model, "ema": ema, "hard": self.hard, **counters, "spec": spec}
        rng = {"numpy": json.dumps(self.rng.bit_generator.state), "torch": torch.get_rng_state()}
        process = {**optimizer_content(self.optimizers), "rng": rng}
        write_checkpoint(self.run, self.step, content, process)

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint folder, written by any number of processes."""
        content, processes = read_checkpoint(folder)
        self.model.load_state_dict(content["model"])
        self.ema.load_state_dict(content["ema"])
        self.step, self.seconds = content["step"], content["seconds"]
        self.skipped = content["skipped"]
        # a run with more hours than before is back in the soft phase
        if content["hard"] and self.progress >= HARD_SHARE:
            self._freeze_analysis()
        restore_optimizers(self.optimizers, processes, self.step - self.skipped)
        if self.rank < len(processes):
            rng = processes[self.rank]["rng"]
            self.rng.bit_generator.state = json.loads(rng["numpy"])
            torch.set_rng_state(rng["torch"])


def diverged(what: str) -> RdaeError:
    """The error of a run that cannot go on."""
    return RdaeError(
        f"the {what} are not finite",
        hint="the same command with a lower --learning-rate goes on from the last checkpoint",
    )


def run_process(
    rank: int, world: int, config: TrainConfig, run: Path, spec: ModelSpec, init: Path | None
) -> None:
    """Train as process `rank` of `world`."""
    if "RANK" not in os.environ:
        os.environ.update(RANK=str(rank), WORLD_SIZE=str(world))
    dist.init_process_group("gloo")
    torch.set_num_threads(1 if dist.get_world_size() > 1 else default_threads())
    torch.set_flush_denormal(True)
    trainer = Trainer(config, run, spec)
    if saved := checkpoints(run):
        trainer.load(saved[-1])
    elif init is not None:
        trainer.start_from(init)
    if trainer.rank == 0:
        cut_metrics(run / "metrics.jsonl", trainer.step)
    trainer.train()
    dist.destroy_process_group()


def _run_spawned(rank: int, errors: Any, *args: Any) -> None:
    try:
        run_process(rank, *args)
    except (RdaeError, OSError) as error:
        errors.put(error)
        raise


def start_processes(
    count: int, config: TrainConfig, run: Path, spec: ModelSpec, init: Path | None = None
) -> None:
    """Train with up to `count` processes of this machine; returns when the run has ended.

    Raises:
        RdaeError, OSError: as a process raised it.
        ProcessRaisedException: a process raised something else.
    """
    count = min(count, len(soap_matrices(Autoencoder(spec))))  # each must own a matrix
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()))
    errors = torch.multiprocessing.get_context("spawn").SimpleQueue()
    args = (errors, count, config, run, spec, init)
    try:
        spawn(_run_spawned, args, nprocs=count)
    except ProcessRaisedException as failure:
        if errors.empty():
            raise
        raise errors.get() from failure


def free_port() -> int:
    """A TCP port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Entry point of `python -m rdae.autoencoder.train`."""
    parser = argparse.ArgumentParser(description="Train the default model on a folder of photos.")
    parser.add_argument("photos", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RUN")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--hours", type=float, help="length of the run")
    length.add_argument("--steps", type=int, help="length of the run in steps instead")
    parser.add_argument("--init", type=Path, help="model.pt of a checkpoint to start from")
    parser.add_argument("--procs", type=int, default=default_threads())
    parser.add_argument("--batch", type=int, default=8, help="crops per process and step")
    parser.add_argument("--learning-rate", type=float, default=TrainConfig.learning_rate)
    args = parser.parse_args()
    config = TrainConfig(
        photos=str(args.photos.resolve()),
        hours=args.hours,
        steps=args.steps,
        batch=args.batch,
        learning_rate=args.learning_rate,
    )
    rank = os.environ.get("RANK")  # of torchrun
    try:
        if rank in (None, "0"):  # one process writes
            args.output.mkdir(parents=True, exist_ok=True)
            prepare_cache(args.output, args.photos, build=rank is None)
            (args.output / "config.json").write_text(json.dumps(vars(config), indent=2))
        if rank is None:
            start_processes(args.procs, config, args.output, preset(), args.init)
        else:
            run_process(int(rank), 0, config, args.output, preset(), args.init)
    except (RdaeError, OSError) as error:
        hint = getattr(error, "hint", "")
        sys.exit(f"rdae: {error}" + (f"\nhint: {hint}" if hint else ""))


if __name__ == "__main__":
    main()

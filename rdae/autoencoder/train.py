"""The training loop: SOAP for matrices, Adam for the rest, on all cores, resumable.

    python -m rdae.autoencoder.train PHOTOS/ -o RUN/ --hours 2

starts one process per core (or runs as one of torchrun's). Processes average their gradients;
SOAP's work is shared out between them, each steps the matrices that it owns and sends them to the
others. RUN/ holds checkpoints, metrics.jsonl and the photo cache; the same command goes on from
the newest checkpoint.

The schedule follows the share of `--hours` that has passed: warm-up, constant, cosine to zero. In
the last tenth the analysis is frozen and everything that a decoder runs is trained on rounded
latents and their true discrete likelihood: scales trained on noise are too wide at low rates.

Paper: SOAP, Vyas et al. 2024 (arXiv:2409.11321).
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from pytorch_optimizer import SOAP
from torch import nn

from rdae.autoencoder.autoencoder import NUM_ANCHORS, Autoencoder
from rdae.autoencoder.data import PhotoCache, build_cache
from rdae.autoencoder.objective import evaluate
from rdae.spec import ModelSpec, preset

WARM_UP_STEPS = 100
CONSTANT_SHARE = 0.4  # of the run; then cosine to zero
HARD_SHARE = 0.9  # from here on rounded latents, analysis frozen
EMA_DECAY = 0.999
SOAP_MIN_SIDE = NUM_ANCHORS + 1  # smaller matrices are tables over quality points


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a run depends on; written to RUN/config.json."""

    photos: str
    hours: float
    batch: int = 8  # crops per process and step
    crop: int = 192  # pixels, a multiple of 64
    learning_rate: float = 2e-3
    seed: int = 0
    checkpoint_minutes: float = 4.0


def learning_rate_factor(step: int, progress: float) -> float:
    """Warm-up, constant, cosine to zero; `progress` in [0, 1] is the share of the run."""
    decay = 1.0
    if progress > CONSTANT_SHARE:
        share = (progress - CONSTANT_SHARE) / (1 - CONSTANT_SHARE)
        decay = 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return min(1.0, (step + 1) / WARM_UP_STEPS) * decay


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

    def __init__(self, config: TrainConfig, run: Path, spec: ModelSpec, init: Path | None) -> None:
        self.config, self.run = config, run
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        torch.manual_seed(config.seed)
        self.model = Autoencoder(spec)
        if init is not None:
            load_matching(self.model, torch.load(init, weights_only=True)["ema"])
        self.ema = copy.deepcopy(self.model).requires_grad_(False)
        self.parameters = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        matrices = {
            n: p
            for n, p in self.parameters.items()
            if p.ndim == 2 and min(p.shape) >= SOAP_MIN_SIDE
        }
        self.owned = share_out(matrices, self.world)
        mine = self.owned[self.rank]
        rest = [n for n in self.parameters if n not in matrices]
        lr = config.learning_rate
        # (optimizer, names of its parameters in order, base learning rate)
        self.optimizers: list[tuple[torch.optim.Optimizer, list[str], float]] = [
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
        self.step, self.seconds, self.skipped, self.hard = 0, 0.0, 0, False
        self.rng = np.random.default_rng([config.seed, self.rank])
        torch.manual_seed(config.seed + 1000 + self.rank)
        self.cache = PhotoCache(run / "photos.u8")

    def train(self) -> None:
        """Train until the hours are used up; checkpoints on the way."""
        last, saved = time.monotonic(), time.monotonic()
        while True:
            clock = torch.tensor([time.monotonic() - last], dtype=torch.float64)
            dist.broadcast(clock, 0)  # every process must follow the same schedule
            self.seconds += clock.item()
            last = time.monotonic()
            progress = self.seconds / (3600 * self.config.hours)
            if progress >= 1:
                break
            if progress >= HARD_SHARE and not self.hard:
                self._start_hard_phase()
            record = self._step(progress)
            if self.rank == 0 and self.step % 20 == 0:
                with (self.run / "metrics.jsonl").open("a") as out:
                    out.write(json.dumps(record) + "\n")
            due = torch.tensor([time.monotonic() - saved > 60 * self.config.checkpoint_minutes])
            dist.broadcast(due, 0)
            if due.item():
                self.save()
                saved = time.monotonic()
        self.save()

    def _step(self, progress: float) -> dict[str, Any]:
        config = self.config
        factor = learning_rate_factor(self.step, progress)
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
        else:
            self.skipped += 1
        self.step += 1
        return {
            "step": self.step,
            "seconds": round(self.seconds, 1),
            "loss": terms.loss.item(),
            "bpp": terms.bpp.mean().item(),
            "psnr": (10 * torch.log10(255**2 / terms.mse)).mean().item(),
            "gradient_norm": norm.item(),
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

    def _start_hard_phase(self) -> None:
        self.hard = True
        self.model.load_state_dict(self.ema.state_dict())
        frozen = (self.model.analysis, self.model.hyper_analysis)
        for part in frozen:
            part.requires_grad_(False)
        self.model.z_log_gain.requires_grad_(False)

    def save(self) -> None:
        """Write a checkpoint folder; it appears under its name only when it is complete."""
        part, final = self.run / "checkpoint.part", self.run / f"checkpoint-{self.step:08d}"
        if self.rank == 0:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
        dist.barrier()
        states = {}
        for optimizer, names, _ in self.optimizers:
            state = optimizer.state_dict()["state"]
            states.update({n: state[i] for i, n in enumerate(names) if i in state})
        rng = {"numpy": json.dumps(self.rng.bit_generator.state), "torch": torch.get_rng_state()}
        save_file({"optimizers": states, "rng": rng}, part / f"process-{self.rank}.pt")
        if self.rank == 0:
            counters = {"step": self.step, "seconds": self.seconds, "skipped": self.skipped}
            model, ema = self.model.state_dict(), self.ema.state_dict()
            content = {"model": model, "ema": ema, "hard": self.hard, **counters}
            save_file({**content, "spec": self.model.spec.to_json()}, part / "model.pt")
        dist.barrier()
        if self.rank == 0:
            if final.exists():
                shutil.rmtree(part)
            else:
                part.rename(final)
            for old in checkpoints(self.run)[:-2]:
                shutil.rmtree(old)
        dist.barrier()

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint folder, written by any number of processes."""
        content = torch.load(folder / "model.pt", weights_only=True)
        self.model.load_state_dict(content["model"])
        self.ema.load_state_dict(content["ema"])
        self.step, self.seconds = content["step"], content["seconds"]
        self.skipped = content["skipped"]
        if content["hard"]:
            ema = copy.deepcopy(self.model.state_dict())
            self._start_hard_phase()
            self.model.load_state_dict(ema)
        states: dict[str, Any] = {}
        for file in sorted(folder.glob("process-*.pt")):
            states.update(torch.load(file, weights_only=True)["optimizers"])
        for optimizer, names, _ in self.optimizers:
            whole = optimizer.state_dict()
            whole["state"] = {i: states[n] for i, n in enumerate(names) if n in states}
            optimizer.load_state_dict(whole)
        mine = folder / f"process-{self.rank}.pt"
        if mine.exists():
            rng = torch.load(mine, weights_only=True)["rng"]
            self.rng.bit_generator.state = json.loads(rng["numpy"])
            torch.set_rng_state(rng["torch"])


def save_file(content: dict[str, Any], path: Path) -> None:
    """torch.save, and on disk before this returns."""
    with path.open("wb") as out:
        torch.save(content, out)
        out.flush()
        os.fsync(out.fileno())


def checkpoints(run: Path) -> list[Path]:
    """The complete checkpoint folders of a run, oldest first."""
    return sorted(run.glob("checkpoint-????????"))


def load_matching(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Copy every tensor of `state` whose name and shape fit."""
    own = model.state_dict()
    fits = {n: t for n, t in state.items() if n in own and own[n].shape == t.shape}
    model.load_state_dict({**own, **fits})


def run_process(
    rank: int, world: int, config: TrainConfig, run: Path, spec: ModelSpec, init: Path | None
) -> None:
    """Train as process `rank` of `world`."""
    if "RANK" not in os.environ:
        os.environ.update(RANK=str(rank), WORLD_SIZE=str(world))
    dist.init_process_group("gloo")
    torch.set_num_threads(1 if dist.get_world_size() > 1 else (os.cpu_count() or 1))
    torch.set_flush_denormal(True)
    trainer = Trainer(config, run, spec, init)
    if saved := checkpoints(run):
        trainer.load(saved[-1])
    trainer.train()
    dist.destroy_process_group()


def start_processes(
    count: int, config: TrainConfig, run: Path, spec: ModelSpec, init: Path | None = None
) -> None:
    """Train with `count` processes of this machine; returns when the run has ended."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()))
    torch.multiprocessing.spawn(run_process, (count, config, run, spec, init), nprocs=count)


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
    parser.add_argument("--hours", type=float, required=True)
    parser.add_argument("--init", type=Path, help="model.pt of a checkpoint to start from")
    parser.add_argument("--procs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batch", type=int, default=8, help="crops per process and step")
    args = parser.parse_args()
    config = TrainConfig(photos=str(args.photos), hours=args.hours, batch=args.batch)
    args.output.mkdir(parents=True, exist_ok=True)
    cache = args.output / "photos.u8"
    launched = "RANK" in os.environ
    if not cache.exists():
        if launched:
            parser.error(f"{cache} is missing; run once without torchrun to build it")
        photos, skipped = build_cache(args.photos, cache)
        print(f"{photos} photos", *skipped, sep="\n")
    (args.output / "config.json").write_text(json.dumps(vars(config), indent=2))
    if launched:
        run_process(int(os.environ["RANK"]), 0, config, args.output, preset(), args.init)
    else:
        start_processes(args.procs, config, args.output, preset(), args.init)


if __name__ == "__main__":
    main()

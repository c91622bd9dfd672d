"""One process of a training run: the step, its schedule, and what a checkpoint holds.

Processes hold the same weights; each draws its own crops, gradients are averaged, and the work of
the optimizer is shared out (see `optimizer`).

Hours are those of computing: on a machine that is shared with others, or while a run is suspended,
they pass as slowly as the run does. The next crops are drawn by a thread while a step computes.

The schedule follows the share of `hours` (or `steps`) that has passed: warm-up, constant, cosine to
zero. The last tenth is the hard phase of a task that has one. A run that is continued with more
hours is in the soft phase again until its new last tenth.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from rdae.autoencoder.precision import use_bfloat16
from rdae.errors import ModelError, RdaeError
from rdae.training.checkpoint import (
    broadcast_state,
    equal_everywhere,
    load_matching,
    read_checkpoint,
    write_checkpoint,
)
from rdae.training.config import TrainConfig
from rdae.training.curves import write_curves
from rdae.training.data import Ahead
from rdae.training.log import append_metrics, read_metrics
from rdae.training.lossless_task import LosslessTask
from rdae.training.lossy_task import LossyTask
from rdae.training.optimizer import SharedOptimizer
from rdae.training.progress import ProgressLine, rate_and_psnr
from rdae.training.task import Task

WARM_UP_STEPS = 100
CONSTANT_SHARE = 0.4  # of the run; then cosine to zero
HARD_SHARE = 0.9  # from here on the hard phase
EMA_DECAY = 0.999
MEASURED = {"loss", "bpp", "psnr", "elbo_bits", "gradient_norm"}  # in the record of a step
MAX_SKIPS = 50  # steps in a row without finite gradients, after which a run has failed
RECORD_STEPS = 20  # steps between two records of metrics.jsonl

log = logging.getLogger("rdae")


def learning_rate_factor(step: int, progress: float) -> float:
    """Warm-up, constant, cosine to zero; `progress` in [0, 1] is the share of the run."""
    decay = 1.0
    if progress > CONSTANT_SHARE:
        share = (progress - CONSTANT_SHARE) / (1 - CONSTANT_SHARE)
        decay = 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return min(1.0, (step + 1) / WARM_UP_STEPS) * decay


class Trainer:
    """One process of a run: model, optimizer, data, and their checkpoints.

    Attributes:
        stop: set it to end the run, with a checkpoint, after the step that is running.
    """

    def __init__(
        self, config: TrainConfig, run: Path, device: torch.device, *, quiet: bool = True
    ) -> None:
        self.config, self.run, self.device = config, run, device
        self.rank = dist.get_rank()
        self.stop = False
        self.progress_line = ProgressLine(quiet=quiet or self.rank > 0)
        self.low_precision = use_bfloat16(config.precision, device)
        torch.manual_seed(config.seed)
        self.task: Task
        if config.model == "lossless":
            self.task = LosslessTask(config, run)
        else:
            self.task = LossyTask(config, run)
        self.model: Any = self.task.model.to(device)
        self.model.use_bfloat16(self.low_precision)
        self.ema: Any = copy.deepcopy(self.model).requires_grad_(False)
        self.optimizer = SharedOptimizer(
            self.model,
            config.learning_rate,
            every=config.precondition_every,
            low_precision=self.low_precision,
        )
        self.step, self.seconds, self.hard = 0, 0.0, False
        self.skipped, self.skipped_in_a_row = 0, 0
        self.disagreed = False  # have the weights of processes come to differ?
        rng = np.random.default_rng([config.seed, self.rank])
        torch.manual_seed(config.seed + 1000 + self.rank)
        self.crops = Ahead(self.task.draw_crops, rng)

    def start_from(self, path: Path) -> None:
        """Start with the weights of another run, as far as they fit; process 0 calls this.

        Raises:
            RdaeError: there are no weights, or none fits.
        """
        unfit = load_matching(self.model, self.task.read_start(path))
        if unfit:
            log.warning("%s: %d tensors do not fit and start afresh", path, len(unfit))

    def share_start(self) -> None:
        """Give all processes the weights of process 0; all of them call this before a run."""
        broadcast_state(self.model)
        self.ema.load_state_dict(self.model.state_dict())

    def train(self) -> None:
        """Train until the hours or steps are used up; checkpoints and validations on the way.

        Raises:
            RdaeError: the gradients are not finite any more, or the processes disagree.
            SystemExit: the process that started this one is gone.
        """
        if self.progress >= 1:
            return
        parent = os.getppid()
        saved = validated = time.monotonic()
        last = self._clock()
        checked = 1 if self.device.type == "cpu" else RECORD_STEPS  # a check waits for a GPU
        records: list[dict[str, Any]] = []
        while self.progress < 1:
            records = [*records[1 - RECORD_STEPS :], self.take_step()]
            if self.rank == 0:
                self.progress_line.update(mean_record(records), self.progress)
                if self.step % RECORD_STEPS == 0:
                    append_metrics(self.run, mean_record(records))
            if os.getppid() != parent:  # killed: another run may go on in this folder
                raise SystemExit(1)
            if self.step % checked:
                continue
            now, before, last = time.monotonic(), last, self._clock()
            elapsed = min(last[0] - before[0], last[1] - before[1])
            save_due = now - saved > 60 * self.config.checkpoint_minutes
            validation_due = now - validated > 60 * self.config.validation_minutes
            # every process must follow the same schedule: the largest of all answers
            clock = torch.tensor([elapsed, save_due, validation_due, self.stop], dtype=torch.float)
            dist.all_reduce(clock := clock.to(self.device), dist.ReduceOp.MAX)
            elapsed, save_due, validation_due, stop = clock.tolist()
            self.seconds += elapsed
            if stop:
                self.save()
                return
            if validation_due:
                self.validate()
                validated = time.monotonic()
            if save_due:
                self.save()
                saved = time.monotonic()
        if self.rank == 0 and (rest := self.step % RECORD_STEPS):
            append_metrics(self.run, mean_record(records[-rest:]))
        self.validate()
        self.save()

    def _clock(self) -> tuple[float, float]:
        """Seconds that have passed, and that this process has computed if it does so on cores."""
        wall = time.monotonic()
        if self.device.type != "cpu":
            return wall, wall
        return wall, time.process_time() / torch.get_num_threads()

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
        if self.task.has_hard_phase and self.progress >= HARD_SHARE and not self.hard:
            self.model.load_state_dict(self.ema.state_dict())
            self._begin_hard_phase()
        factor = learning_rate_factor(self.step, self.progress)
        self.optimizer.set_rate(factor)
        crops = torch.from_numpy(self.crops.next())
        if self.device.type == "cuda":
            crops = crops.pin_memory()
        measured = self.task.measure(crops.to(self.device, non_blocking=True), hard=self.hard)
        self.model.zero_grad(set_to_none=True)
        measured["loss"].backward()  # type: ignore[no-untyped-call]
        self.optimizer.average_gradients()
        measured["gradient_norm"] = self.optimizer.clip(1.0)
        # one wait for a GPU, before the optimizer's work rather than behind it
        values = torch.stack([v.detach().float() for v in measured.values()]).tolist()
        if math.isfinite(values[-1]):  # the same on all processes: gradients are equal
            self.optimizer.step()
            self._update_ema()
            self.skipped_in_a_row = 0
        else:
            self.skipped += 1
            self.skipped_in_a_row += 1
            if self.skipped_in_a_row >= MAX_SKIPS:
                raise diverged(f"gradients of {MAX_SKIPS} steps in a row")
        self.step += 1
        return {
            "step": self.step,
            "seconds": round(self.seconds, 1),
            "rate_factor": round(factor, 4),
            # JSON has no NaN
            **{n: v if math.isfinite(v) else None for n, v in zip(measured, values, strict=True)},
            "skipped": self.skipped,
            "hard": self.hard,
        }

    @torch.no_grad()
    def _update_ema(self) -> None:
        weight = 1 - min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.model.parameters()), weight)

    def _begin_hard_phase(self) -> None:
        self.hard = True
        self.task.harden(self.model)

    def validate(self) -> None:
        """Code held-out photos with the average weights; record it and draw the curves."""
        self.ema.use_bfloat16(False)
        try:
            points = self.task.validate(self.ema)
        except ModelError as error:  # of the export, so the same in all processes
            self.progress_line.say(f"step {self.step}: no validation: {error}")
            return
        if self.rank == 0 and points:
            found = [{k: v and round(v, 5) for k, v in point.items()} for point in points]
            append_metrics(self.run, {"step": self.step, "validation": found})
            write_curves(self.run / "curves.svg", read_metrics(self.run))
            line = " · ".join(rate_and_psnr(point) for point in points)
            self.progress_line.say(f"step {self.step}, held-out photos: {line}")

    def save(self) -> None:
        """Write a checkpoint; all processes call this.

        Raises:
            RdaeError: the weights are not finite, or differ between processes.
        """
        model, ema = self.model.state_dict(), self.ema.state_dict()
        if not all(t.isfinite().all() for t in (*model.values(), *ema.values())):
            raise diverged("weights")
        if not equal_everywhere([*self.model.parameters(), *self.ema.parameters()]):
            if self.disagreed:
                raise RdaeError(
                    "the processes of the run hold different weights once more",
                    hint="the same command with --resume goes on from the last checkpoint",
                )
            self.disagreed = True
            self.progress_line.say(
                f"step {self.step}: the processes hold different weights; all take those of the "
                "first and go on"
            )
            for module in (self.model, self.ema):
                broadcast_state(module)
        content = None
        if self.rank == 0:
            counters = {"step": self.step, "seconds": self.seconds, "skipped": self.skipped}
            spec = self.task.to_json()
            content = {"model": model, "ema": ema, "hard": self.hard, **counters, "spec": spec}
        rng = {"numpy": json.dumps(self.crops.state), "torch": torch.get_rng_state()}
        if self.device.type == "cuda":
            rng["cuda"] = torch.cuda.get_rng_state(self.device)
        write_checkpoint(self.run, self.step, content, {**self.optimizer.content(), "rng": rng})
        self.progress_line.say(f"step {self.step}: checkpoint written")

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint folder, written by any number of processes.

        Raises:
            RdaeError: the checkpoint is of another architecture, for example the preset of an
                earlier version.
        """
        content, processes = read_checkpoint(folder)
        if content["spec"] != self.task.to_json():
            raise RdaeError(
                f"{folder} has another architecture than its preset has in this version",
                hint=f"rdae train PHOTOS -o NEW --init {folder} starts a new run from its weights",
            )
        self.model.load_state_dict(content["model"])
        self.ema.load_state_dict(content["ema"])
        self.step, self.seconds = content["step"], content["seconds"]
        self.skipped = content["skipped"]
        # a run with more hours than before is back in the soft phase
        if content["hard"] and self.progress >= HARD_SHARE:
            self._begin_hard_phase()
        self.optimizer.restore(processes)
        if self.rank < len(processes):
            rng = processes[self.rank]["rng"]
            self.crops.start_at(json.loads(rng["numpy"]))
            torch.set_rng_state(rng["torch"])
            if self.device.type == "cuda" and "cuda" in rng:
                torch.cuda.set_rng_state(rng["cuda"], self.device)


def mean_record(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The last record, with the means of what all of them measured: each has its own qualities."""
    means = {}
    for name in MEASURED & records[-1].keys():
        values = [record[name] for record in records if record[name] is not None]
        means[name] = sum(values) / len(values) if values else None
    return {**records[-1], **means}


def diverged(what: str) -> RdaeError:
    """The error of a run that cannot go on."""
    return RdaeError(
        f"the {what} are not finite",
        hint="--resume with a lower --learning-rate goes on from the last checkpoint",
    )

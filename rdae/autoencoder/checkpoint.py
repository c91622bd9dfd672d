"""A run folder on disk: checkpoints that are complete or absent, and the metrics beside them.

A folder `RUN/checkpoint-00001000/` holds `model.pt` (weights, their moving average, spec, counters)
and for each process a `process-0.pt` (states of the optimizers of what it owns, generators).
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from rdae.files import atomic_write

KEEP = 2  # newest checkpoints of a run that stay on disk

# (optimizer, names of its parameters in order, base learning rate)
NamedOptimizer = tuple[torch.optim.Optimizer, list[str], float]


def checkpoints(run: Path) -> list[Path]:
    """The complete checkpoint folders of a run, oldest first."""
    return sorted(run.glob("checkpoint-????????"))


def write_checkpoint(
    run: Path, step: int, model: dict[str, Any] | None, process: dict[str, Any]
) -> None:
    """Write a checkpoint folder; all processes call this.

    The folder appears under its name only when it is complete and on disk.

    Args:
        run: the run folder.
        step: number of the checkpoint.
        model: content of `model.pt`; None except in process 0.
        process: content of this process's own file.
    """
    rank = dist.get_rank()
    part, final = run / "checkpoint.part", run / f"checkpoint-{step:08d}"
    if rank == 0:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
    dist.barrier()
    _save(process, part / f"process-{rank}.pt")
    if model is not None:
        _save(model, part / "model.pt")
    dist.barrier()
    if rank == 0:
        if final.exists():
            shutil.rmtree(part)
        else:
            _sync_folder(part)
            part.rename(final)
            _sync_folder(run)
        for old in checkpoints(run)[:-KEEP]:
            shutil.rmtree(old)
    dist.barrier()


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The content of `model.pt`, and that of each process's file in the order of their ranks."""
    files = sorted(folder.glob("process-*.pt"), key=lambda f: int(f.stem.partition("-")[2]))
    model = torch.load(folder / "model.pt", weights_only=True)
    return model, [torch.load(file, weights_only=True) for file in files]


def optimizer_content(optimizers: list[NamedOptimizer]) -> dict[str, Any]:
    """States by the name of the parameter, and for each optimizer what its group holds besides."""
    states, groups = {}, []
    for optimizer, names, _ in optimizers:
        whole = optimizer.state_dict()
        states.update({names[i]: state for i, state in whole["state"].items()})
        (group,) = whole["param_groups"]  # SOAP keeps its step counter here
        groups.append({k: v for k, v in group.items() if k not in ("params", "lr")})
    return {"optimizers": states, "groups": groups}


def restore_optimizers(
    optimizers: list[NamedOptimizer], processes: list[dict[str, Any]], updates: int
) -> None:
    """Put the `optimizer_content` of all processes of a checkpoint back.

    Args:
        optimizers: those of this process; it may own other parameters than before.
        processes: the contents of the process files.
        updates: how often the weights have been updated, for checkpoints from before `groups`.
    """
    states = {n: state for process in processes for n, state in process["optimizers"].items()}
    groups = processes[0].get("groups", [{"step": updates}, {}])  # the same in all processes
    for (optimizer, names, _), group in zip(optimizers, groups, strict=True):
        whole = optimizer.state_dict()
        whole["state"] = {i: states[n] for i, n in enumerate(names) if n in states}
        whole["param_groups"][0].update(group)
        optimizer.load_state_dict(whole)


def _save(content: dict[str, Any], path: Path) -> None:
    with path.open("wb") as out:
        torch.save(content, out)
        out.flush()
        os.fsync(out.fileno())


def _sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to disk: a rename is not safe before."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cut_metrics(path: Path, step: int) -> None:
    """Drop the records behind `step`: a run that goes on from there writes them again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines(keepends=True):
        try:
            if json.loads(line)["step"] > step:
                break
        except ValueError:  # the process was killed while it wrote this line
            break
        kept.append(line)
    with atomic_write(path, overwrite=True) as out:
        out.write("".join(kept).encode())


def load_matching(model: nn.Module, state: dict[str, torch.Tensor]) -> list[str]:
    """Copy every tensor of `state` whose name and shape fit.

    Returns:
        The names of the model's tensors that stay as they were.

    Raises:
        ValueError: none fits.
    """
    own = model.state_dict()
    fits = {n: t for n, t in state.items() if n in own and own[n].shape == t.shape}
    if not fits:
        raise ValueError(f"none of the {len(state)} tensors fits the model")
    model.load_state_dict({**own, **fits})
    return [n for n in own if n not in fits]

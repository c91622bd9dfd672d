"""The checkpoints of a run, each complete or absent.

A folder `RUN/checkpoint-00001000/` holds `model.pt` (weights, their moving average, spec, counters)
and for each process a `process-0.pt` (states of the optimizers of what it owns, generators).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rdae.errors import RdaeError

KEEP = 2  # newest checkpoints of a run that stay on disk


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
    model = torch.load(folder / "model.pt", weights_only=True, map_location="cpu")
    return model, [torch.load(file, weights_only=True, map_location="cpu") for file in files]


def equal_everywhere(tensors: list[Tensor]) -> bool:
    """Whether all processes hold the same bits; all of them call this."""
    # sums of the bits read as integers: any difference of one weight changes them
    digest = torch.stack([t.detach().contiguous().view(torch.int32).long().sum() for t in tensors])
    lowest, highest = digest.clone(), digest.clone()
    dist.all_reduce(lowest, dist.ReduceOp.MIN)
    dist.all_reduce(highest, dist.ReduceOp.MAX)
    return bool(torch.equal(lowest, highest))


@torch.no_grad()
def broadcast_state(module: nn.Module) -> None:
    """Give all processes the parameters and buffers of process 0; all of them call this."""
    for tensor in (*module.parameters(), *module.buffers()):
        dist.broadcast(tensor.data, 0)


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


def load_matching(model: nn.Module, state: dict[str, Tensor]) -> list[str]:
    """Copy every tensor of `state` whose name and shape fit.

    Returns:
        The names of the model's tensors that stay as they were.

    Raises:
        RdaeError: none fits.
    """
    own = model.state_dict()
    fits = {n: t for n, t in state.items() if n in own and own[n].shape == t.shape}
    if not fits:
        raise RdaeError(
            f"none of the {len(state)} tensors to start from fits the model",
            hint="--init takes weights of the same --model",
        )
    model.load_state_dict({**own, **fits})
    return [n for n in own if n not in fits]

"""Starting a training run: on all cores or GPUs of a machine, or as a process of torchrun.

    rdae train PHOTOS/ -o RUN/ --hours 2
    torchrun --nproc-per-node 2 -m rdae.training PHOTOS/ -o RUN/ --hours 2

do the same. RUN/ holds config.json, the photo cache, checkpoints, metrics.jsonl, curves.svg and, in
the end, report.md. Ctrl-C ends a run with a checkpoint; `--resume` goes on from the newest one.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import (
    ProcessExitedException,
    ProcessRaisedException,
    spawn,
)

from rdae.errors import RdaeError
from rdae.folder_lock import FolderLock
from rdae.threads import default_threads
from rdae.training import require_training
from rdae.training.checkpoint import checkpoints
from rdae.training.config import TrainConfig, read_config, write_config
from rdae.training.data import (
    PHOTO_CACHE,
    SCREENS_CACHE,
    CacheReport,
    build_cache,
    has_cache,
)
from rdae.training.log import cut_metrics, read_metrics
from rdae.training.report import write_report

STOP_SIGNALS = [signal.SIGINT, signal.SIGTERM]
if hasattr(signal, "SIGHUP"):  # Windows has none
    STOP_SIGNALS.append(signal.SIGHUP)


def default_processes() -> int:
    """One for each GPU, or one for each core."""
    return torch.cuda.device_count() or default_threads()


def prepare_run(
    run: Path,
    config: TrainConfig,
    *,
    resume: bool,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[CacheReport]:
    """Make the run folder ready: caches of photos and screens, and config.json.

    Returns:
        What became of the photos and of the screens; nothing of those whose cache was there.

    Raises:
        RdaeError: the folder holds a run that is not to be resumed, or caches of other pictures;
            or there are no usable ones.
        OSError: the folder cannot be written.
    """
    if not resume and checkpoints(run):
        raise RdaeError(
            f"{run} holds a run already", hint="--resume goes on with it; or choose another folder"
        )
    wanted = {"photos": (run / PHOTO_CACHE, config.photos, config.held_out)}
    if config.screens is not None:
        wanted["screens"] = run / SCREENS_CACHE, config.screens, config.screens_held_out
    before = _before(run, config)
    missing = [  # all are looked at before the first one is made, which may take an hour
        kind
        for kind, (path, folder, share) in wanted.items()
        if not has_cache(path, Path(folder), share, kind=kind, before=before.get(kind))
    ]
    reports = []
    for kind in missing:
        path, folder, share = wanted[kind]
        reports.append(build_cache(Path(folder), path, share, progress, kind=kind))
    write_config(run, config)
    return reports


def _before(run: Path, config: TrainConfig) -> dict[str, tuple[str, float]]:
    """Folders and shares of the pictures in a run folder, by kind, as its config.json has them."""
    path = run / "config.json"
    found = {**vars(config), **json.loads(path.read_text())} if path.exists() else {}
    shares = {"photos": "held_out", "screens": "screens_held_out"}
    return {kind: (found[kind], found[share]) for kind, share in shares.items() if found.get(kind)}


def train(
    run: Path,
    config: TrainConfig,
    *,
    processes: int | None = None,
    quiet: bool = False,
    lock: FolderLock | None = None,
) -> bool:
    """Train with several processes of this machine, in a folder that `prepare_run` made ready.

    Goes on from the newest checkpoint of the folder, if there is one.

    Args:
        run: the run folder.
        config: what to train.
        processes: how many; one for each GPU or core if None.
        quiet: no progress line.
        lock: of the run folder. The processes that write to it hold it, too: should this one be
            killed, they go on until their next step.

    Returns:
        Whether the run has reached its end; False if a signal has stopped it.

    Raises:
        RdaeError, OSError, ValueError: as a process raised it; also where one was killed.
        ProcessRaisedException: a process raised something else.
    """
    count = processes or default_processes()
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()))
    queue = torch.multiprocessing.get_context("spawn").SimpleQueue()
    stopping = False

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        for process in context.processes:
            if process.is_alive():
                process.terminate()  # SIGTERM: it ends with a checkpoint

    # A terminal sends SIGINT to all processes; they inherit that it is ignored and hear of it here.
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    arguments = (queue, count, lock, config, run, quiet)
    context = spawn(_run_spawned, arguments, nprocs=count, join=False)
    for number in STOP_SIGNALS:
        signal.signal(number, pass_on)
    try:
        while not context.join():
            pass
    except ProcessExitedException as failure:
        if stopping:  # before the first step, when there is nothing to keep
            return False
        raise RdaeError(
            f"{failure}",
            hint="for lack of memory? --resume goes on, with fewer --procs or a smaller --batch",
        ) from failure
    except ProcessRaisedException as failure:
        if queue.empty():
            raise
        outcome = queue.get()
        if isinstance(outcome, bool):  # another process was done before this one failed
            raise
        raise outcome from failure
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return bool(queue.get())


def _run_spawned(rank: int, queue: Any, world: int, lock: Any, *args: Any) -> None:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world))
    try:
        finished = run_process(*args)
    except (RdaeError, OSError, ValueError) as error:
        queue.put(error)
        raise
    if rank == 0:
        queue.put(finished)


def run_process(
    config: TrainConfig,
    run: Path,
    quiet: bool,
    prepare: Callable[[], None] = lambda: None,
) -> bool:
    """Train as the process that RANK, LOCAL_RANK and WORLD_SIZE in the environment say.

    Args:
        config: what to train.
        run: the run folder.
        quiet: no progress line.
        prepare: makes the folder ready; process 0 calls it while the others wait.

    Returns:
        Whether the run has reached its end.
    """
    # compressai takes seconds to import: a process that only starts others need not wait for it
    from rdae.training.trainer import Trainer

    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    world = dist.get_world_size()
    if dist.get_rank() == 0:
        prepare()
    dist.barrier()
    torch.set_num_threads(1 if world > 1 else default_threads())
    torch.set_flush_denormal(True)
    trainer = Trainer(config, run, device, quiet=quiet)

    def stop(number: int, frame: FrameType | None) -> None:
        trainer.stop = True

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    if saved := checkpoints(run):
        trainer.load(saved[-1])
    else:
        if config.init is not None and trainer.rank == 0:
            trainer.start_from(Path(config.init))
        trainer.share_start()
    if trainer.rank == 0:
        cut_metrics(run, trainer.step)
    trainer.train()
    finished = trainer.progress >= 1
    if trainer.rank == 0 and finished:
        write_report(run, config, read_metrics(run), world, device)
    dist.destroy_process_group()
    return finished


def free_port() -> int:
    """A TCP port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Entry point of `python -m rdae.training`, for torchrun."""
    parser = argparse.ArgumentParser(description="Train a model on a folder of photos.")
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RUN")
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN")
    kinds = {"int": int, "float": float, "str": str}
    for setting in dataclasses.fields(TrainConfig)[1:]:
        kind = kinds[str(setting.type).split(" ")[0]]
        option = "--" + setting.name.replace("_", "-")
        parser.add_argument(option, type=kind, help=setting.metadata["help"])
    options = vars(parser.parse_args())
    run, photos = options.pop("output"), options.pop("photos")
    resume = options.pop("resume")
    os.environ.setdefault("RANK", "0")
    for name, value in {"LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("MASTER_PORT", str(free_port()))
    try:
        require_training()
        config = make_config(run, photos, resume=resume, **options)

        def prepare() -> None:
            for report in prepare_run(run, config, resume=resume):
                sys.stderr.write("\n".join([summary(report), *report.skipped, ""]))

        is_first = os.environ["RANK"] == "0"  # which holds the folder for all of them
        with FolderLock(run) if is_first else contextlib.nullcontext():
            finished = run_process(config, run, False, prepare)
        if not finished:
            sys.exit("rdae: stopped; --resume goes on")
    except (RdaeError, OSError, ValueError) as error:
        hint = getattr(error, "hint", "")
        sys.exit(f"rdae: {error}" + (f"\nhint: {hint}" if hint else ""))


def make_config(run: Path, photos: Path | None, *, resume: bool, **settings: Any) -> TrainConfig:
    """The configuration that a command line asks for; settings that are None are not given.

    Raises:
        RdaeError: no photos are named, or there is no run to resume.
        ValueError: a setting is out of its range.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    if photos is not None:
        given["photos"] = str(photos.resolve())
    if "screens" in given:
        given["screens"] = str(Path(given["screens"]).resolve())
    if resume:
        return read_config(run, **given)
    if photos is None:
        raise RdaeError("no folder of photos was named", hint="rdae train PHOTOS/ -o RUN/")
    return TrainConfig(**given)


def summary(report: CacheReport) -> str:
    """A line that says what a cache of a run holds."""
    return (
        f"{report.training} {report.kind} to train on, {report.held_out} to validate on, "
        f"{len(report.skipped)} left out"
    )

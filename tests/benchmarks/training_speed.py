"""How fast a training step is, against what the machine's matrix products reach.

    python tests/benchmarks/training_speed.py [--photos FOLDER] [--steps 20]

Every row is a training of the default preset with one setting changed, by one and by several
processes; the table has crops per second, GFLOP/s of the layers (forward and backward pass, see
`step_flops`) and their share of what float32 matrix products reach with as many processes in the
same run. A row is the median of its steps behind the first ones. With --compile the modules also
go through torch.compile, which takes minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from torch.multiprocessing.spawn import spawn

from rdae.autoencoder.precision import matmul_gflops, step_flops
from rdae.model.presets import preset
from rdae.training.config import TrainConfig
from rdae.training.data import build_cache
from rdae.training.launch import default_processes, free_port

WARM_UP = 11  # steps: SOAP builds its eigenvectors in the first ones
BASE = TrainConfig(photos="", steps=10**6, precision="bfloat16")
VARIANTS = {
    "default": {},
    "float32": {"precision": "float32"},
    "batch 4": {"batch": 4},
    "batch 16": {"batch": 16},
    "crop 128, batch 32": {"crop": 128, "batch": 32},
    "crop 192, batch 14": {"crop": 192, "batch": 14},
    "eigenvectors every 5": {"precondition_every": 5},
    "eigenvectors every 20": {"precondition_every": 20},
}


def measure(rank: int, world: int, run: str, settings: dict, steps: int, compiled: bool) -> None:
    """Time the steps of one process of a run; process 0 prints a row of the table."""
    from rdae.training.trainer import Trainer

    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world))
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    cpu = torch.device("cpu")
    product = torch.tensor(matmul_gflops(torch.float32, cpu, 1.0))
    dist.all_reduce(product)
    config = dataclasses.replace(BASE, **settings)
    trainer = Trainer(config, Path(run), cpu)
    if compiled:
        trainer.model.compile()
    times = []
    for _ in range(WARM_UP + steps):
        began = time.perf_counter()
        trainer.take_step()
        times.append(time.perf_counter() - began)
    # a mean would hide in its noise what one slow step does, a median the regular slow ones
    tens = [sum(times[i : i + 10]) / 10 for i in range(WARM_UP, len(times) - 9)]
    step = statistics.median(tens)
    if rank == 0:
        pixels = world * config.batch * config.crop**2
        gflops = step_flops(preset(), pixels) / step / 1e9
        print(
            f"{world} | {step:.3f} | {pixels / step / 1e6:.3f} | {gflops:.0f} "
            f"| {product.item():.0f} | {100 * gflops / product.item():.0f} % |",
            flush=True,
        )
    dist.destroy_process_group()


def main() -> None:
    """Measure every variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS))
    parser.add_argument("--procs", type=int, nargs="*", default=[1, default_processes()])
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = args.photos
        if photos is None:
            photos = Path(folder) / "photos"
            photos.mkdir()
            noise = np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8)
            Image.fromarray(noise).save(photos / "noise.png")
        build_cache(photos, Path(folder) / "photos.u8")
        print("| variant | processes | s/step | MP/s | GFLOP/s | of float32 products | share |")
        print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
        for name in args.only:
            for world in args.procs:
                print(f"| {name} | ", end="", flush=True)
                os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()))
                spawn(
                    measure,
                    (world, folder, VARIANTS[name], args.steps, args.compile),
                    nprocs=world,
                )


if __name__ == "__main__":
    main()

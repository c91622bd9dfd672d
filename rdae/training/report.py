"""`report.md` of a run that has ended: what was trained, how fast, and what came of it."""

from __future__ import annotations

import itertools
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rdae.autoencoder.precision import matmul_gflops, step_flops
from rdae.files import atomic_write, utf8
from rdae.model.presets import PRESETS
from rdae.model.spec import ModelSpec
from rdae.training.config import TrainConfig
from rdae.training.progress import duration


def write_report(
    run: Path,
    config: TrainConfig,
    records: Sequence[dict[str, Any]],
    processes: int,
    device: torch.device,
) -> None:
    """Write `RUN/report.md`.

    Args:
        run: the run folder.
        config: its configuration.
        records: those of metrics.jsonl.
        processes: how many processes trained.
        device: where they did; its matrix products are measured for comparison.
    """
    spec = None if config.model == "lossless" else PRESETS[config.preset]()
    trained = [r for r in records if "loss" in r]
    lines = ["# A training run", ""]
    settings = {
        "photos": config.photos,
        "preset": f"{config.preset}, {_size(spec)}" if spec else f"{config.preset}, lossless",
        "a step": f"{processes} processes x {config.batch} crops of {config.crop}x{config.crop}",
        "machine": f"{platform.processor() or platform.machine()}, {device.type}, torch "
        f"{torch.__version__}",
    }
    if trained:
        last = trained[-1]
        settings["trained"] = f"{last['step']} steps, {duration(last['seconds'])}"
        settings["skipped steps"] = str(last["skipped"])
    if speed := steps_per_second(trained):
        pixels = processes * config.batch * config.crop**2
        settings["speed"] = f"{speed:.2f} steps/s, {speed * pixels / 1e6:.2f} MP/s"
        if spec:
            gflops = speed * step_flops(spec, pixels) / 1e9
            product = processes * matmul_gflops(torch.float32, device)
            settings["speed"] += (
                f"; layers {gflops:.0f} GFLOP/s, {100 * gflops / product:.0f} % of {product:.0f} "
                "GFLOP/s of a float32 matrix product"
            )
    lines += ["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in settings.items()), ""]
    validations = [r for r in records if "validation" in r]
    lines += _validation_table(validations) if spec else _lossless_table(validations)
    lines += [
        "![curves](curves.svg)",
        "",
        "Ship it:",
        "",
        f"    rdae export {run} -o mine.safetensors",
        "",
    ]
    with atomic_write(run / "report.md", overwrite=True) as out:
        out.write(utf8("\n".join(lines)))


def steps_per_second(records: Sequence[dict[str, Any]]) -> float | None:
    """The median speed between records, without checkpoints and validations."""
    gaps = [
        (b["step"] - a["step"]) / (b["seconds"] - a["seconds"])
        for a, b in itertools.pairwise(records)
        if b["seconds"] > a["seconds"]
    ]
    return float(np.median(gaps)) if gaps else None


def _size(spec: ModelSpec) -> str:
    encoder, decoder = spec.encoder_macs_per_pixel(), spec.decoder_macs_per_pixel()
    return (
        f"{spec.num_parameters() / 1e6:.1f} million parameters, {encoder / 1000:.1f} + "
        f"{decoder / 1000:.1f} kMAC per pixel"
    )


def _lossless_table(validations: Sequence[dict[str, Any]]) -> list[str]:
    if not validations:
        return []
    first, last = validations[0], validations[-1]
    lines = [
        "Held-out photos, shrunk to half of their size, really coded:",
        "",
        f"| largest error | bpp | bpp at step {first['step']} |",
        "|---:|---:|---:|",
    ]
    for before, now in zip(first["validation"], last["validation"], strict=True):
        lines.append(f"| {now['max_error']} | {now['bpp']:.4f} | {before['bpp']:.4f} |")
    return [*lines, ""]


def _validation_table(validations: Sequence[dict[str, Any]]) -> list[str]:
    if not validations:
        return []
    first, last = validations[0], validations[-1]
    lines = [
        "Held-out photos, real files:",
        "",
        f"| quality | bpp | PSNR, dB | at step {first['step']} | |",
        "|---:|---:|---:|---:|---:|",
    ]
    for before, now in zip(first["validation"], last["validation"], strict=True):
        lines.append(
            f"| {now['quality']:g} | {now['bpp']:.4f} | {now['psnr']:.3f} "
            f"| {before['bpp']:.4f} | {before['psnr']:.3f} |"
        )
    return [*lines, ""]

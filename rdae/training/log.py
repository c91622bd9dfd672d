"""`metrics.jsonl` of a run: a record every few steps, and one for each validation.

A record of a step has its number, the seconds so far, the factor of the learning rate, the steps
skipped so far, whether latents are rounded, and means over the steps since the one before: loss,
bpp, PSNR, ELBO in bits per crop, norm of the gradient. One of a validation has its step and a list
of quality, bpp and PSNR.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rdae.files import atomic_write


def append_metrics(run: Path, record: Mapping[str, Any]) -> None:
    """Append a record."""
    with (run / "metrics.jsonl").open("a") as out:
        out.write(json.dumps(record, allow_nan=False) + "\n")


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """All complete records, in order; a process that was killed may have left half of one."""
    path = run / "metrics.jsonl"
    records = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def cut_metrics(run: Path, step: int) -> None:
    """Drop the records behind `step`: a run that goes on from there writes them again."""
    path = run / "metrics.jsonl"
    if not path.exists():
        return
    kept = [record for record in read_metrics(run) if record["step"] <= step]
    with atomic_write(path, overwrite=True) as out:
        out.write("".join(json.dumps(record) + "\n" for record in kept).encode())

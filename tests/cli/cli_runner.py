"""Runs the command as a user would, and makes small pictures for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Result:
    """What a run of the command left behind."""

    code: int
    out: bytes
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """The JSON lines on standard output."""
        return [json.loads(line) for line in self.out.decode().splitlines()]


Run = Callable[..., Result]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without what changes rdae's behaviour, and with `extra`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RDAE_") and name not in ("NO_COLOR", "COLUMNS")
    }
    return {**kept, "PYTHONWARNINGS": "error", **(extra or {})}


def run_rdae(
    folder: Path, *arguments: str | bytes | Path, stdin: bytes = b"", **extra: str
) -> Result:
    """Run `python -m rdae` in a folder, as a user would: in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "rdae", *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        env=environment(extra),
        timeout=300,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr.decode("utf-8", "backslashreplace"))


def pixels(height: int = 24, width: int = 40, channels: int = 3) -> np.ndarray[Any, Any]:
    """A small smooth picture, different in every channel: `(height, width, channels)` uint8."""
    y, x = np.mgrid[:height, :width]
    waves = [127 + 100 * np.sin((x + y * c) / (6 + 3 * c)) for c in range(1, channels + 1)]
    return np.stack(waves, axis=-1).astype(np.uint8)


def save(path: Path, **options: int) -> Path:
    """Save that picture as a file of the kind that its extension names."""
    Image.fromarray(pixels(**options)).save(path)
    return path


def names(folder: Path) -> list[str]:
    """All files below a folder, hidden ones too, as sorted relative names."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

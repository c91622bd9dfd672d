"""What is to be measured, and `results.jsonl`: what has been, safe from our being killed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdae.evaluation.dataset import Image
from rdae.evaluation.metrics import Metric

ROW_SCHEMA = "rdae.eval-row/1"
COLD_SCHEMA = "rdae.eval-cold/1"
# What rows, points of curves and definitions call other things than metrics.
NOT_METRICS = frozenset(
    (
        *("schema", "image", "sha256", "width", "height", "codec", "spec", "settings", "quality"),
        *("bytes", "bpp", "bpp_of", "bits", "y_bits", "z_bits", "header_bits", "ms_ssim_db"),
        *("identical", "skipped", "encode_s", "decode_s", "load_s", "ok", "error", "reused"),
        *("mean", "bd_rate", "interval", "pictures", "transparency", "overlap", "speed"),
        "cold_start",
    )
)

Row = dict[str, Any]
Key = tuple[str, str, str, float]


@dataclass(frozen=True)
class Job:
    """One picture through one codec at one quality.

    Attributes:
        image: the picture.
        codec: a codec's name, which is its spec.
        settings: what the codec said of itself.
        quality: on the codec's scale.
        metrics: what to measure.
        reps: how often to time; the median counts.
    """

    image: Image
    codec: str
    settings: str
    quality: float
    metrics: tuple[Metric, ...]
    reps: int = 1

    @property
    def key(self) -> Key:
        """What a row has, too, that is the result of this job."""
        return (self.image.sha256, self.codec, self.settings, self.quality)


class Results:
    """`results.jsonl`: one JSON object a line, appended and never changed.

    Attributes:
        rows: all that is in the file, in order.
    """

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one; what is left of a line that was cut off does not count.

        Raises:
            OSError: it cannot be read.
        """
        self._path = path
        data = path.read_bytes() if path.exists() else b""
        self._whole = data.rfind(b"\n") + 1
        self._cut = self._whole < len(data)
        self.rows: list[Row] = []
        for line in data[: self._whole].splitlines():
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict) and row.get("schema") in (ROW_SCHEMA, COLD_SCHEMA):
                    self.rows.append(row)

    def append(self, row: Row) -> None:
        """Add a row; once this returns, our being killed cannot lose it.

        Raises:
            OSError: the file cannot be written.
        """
        if self._cut:
            os.truncate(self._path, self._whole)
            self._cut = False
        with self._path.open("ab") as file:
            file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
        self.rows.append(row)

    def latest(self) -> dict[Key, Row]:
        """The last row of each job."""
        return {row_key(row): row for row in self.rows if row["schema"] == ROW_SCHEMA}

    def missing(self, jobs: Iterable[Job]) -> list[Job]:
        """The jobs without a good row that has all their metrics; failed ones are tried again."""
        latest = self.latest()

        def is_done(job: Job) -> bool:
            row = latest.get(job.key)
            return row is not None and row["ok"] and all(m.name in row for m in job.metrics)

        return [job for job in jobs if not is_done(job)]

    def cold_starts(self) -> dict[tuple[str, str], float]:
        """Seconds by codec and settings."""
        rows = [row for row in self.rows if row["schema"] == COLD_SCHEMA]
        return {(row["codec"], row["spec"]): row["cold_start_s"] for row in rows}


def row_key(row: Row) -> Key:
    """What makes two rows results of the same job: picture, codec, settings, quality."""
    return (row["sha256"], row["codec"], row["spec"], row["quality"])

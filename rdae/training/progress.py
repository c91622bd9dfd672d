"""How a run is going, in one line: steps per second, rate, distortion, loss, time left."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any

LINE_SECONDS = 60.0  # between lines where there is no terminal


class ProgressLine:
    """Writes the state of a run to stderr: one line that is renewed, or one a minute to a file."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._shown = 0.0
        self._steps: list[tuple[float, int]] = []  # (time, step), the last minute's

    def update(self, record: Mapping[str, Any], progress: float) -> None:
        """Say how far the run is.

        Args:
            record: as in metrics.jsonl.
            progress: share of the run that is done.
        """
        now = time.monotonic()
        self._steps = [(t, s) for t, s in self._steps if now - t < 60] + [(now, record["step"])]
        (began, first), steps = self._steps[0], record["step"]
        rate = (steps - first) / (now - began) if now > began else 0.0
        if self._quiet or not (self._terminal or now - self._shown > LINE_SECONDS):
            return
        self._shown = now
        left = record["seconds"] * (1 - progress) / progress if progress > 0 else 0.0
        parts = [f"step {steps}", f"{rate:.2f} steps/s"]
        if record["loss"] is not None:
            parts += [f"loss {record['loss']:.4f}", rate_and_psnr(record)]
        if record["skipped"]:
            parts.append(f"{record['skipped']} skipped")
        parts.append(f"{100 * progress:.1f} %, {duration(left)} left")
        self._write(" · ".join(parts), keep=not self._terminal)

    def say(self, line: str) -> None:
        """Write a line that stays."""
        if not self._quiet:
            self._write(line, keep=True)

    def _write(self, line: str, *, keep: bool) -> None:
        if self._terminal:
            line = "\r\x1b[2K" + line[: shutil.get_terminal_size().columns - 1]
        sys.stderr.write(line + ("\n" if keep else ""))
        sys.stderr.flush()


def rate_and_psnr(record: Mapping[str, Any]) -> str:
    """Of a step or a validation: `0.512 bpp 33.10 dB`; no PSNR where there is no error."""
    psnr = record.get("psnr")
    return f"{record['bpp']:.3f} bpp" + ("" if psnr is None else f" {psnr:.2f} dB")


def duration(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds: `1 h 05 min`, `3 min 20 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"

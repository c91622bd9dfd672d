"""What `rdae eval` prints of a summary: the table, and the lines around it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rdae.cli.console import human_seconds, shown, table

Summary = Mapping[str, Any]

_NAMES = {"psnr": "psnr", "ms_ssim": "ms-ssim"}


def metric_name(metric: str) -> str:
    """Return a metric's name as options and headings have it: `ms-ssim`."""
    return _NAMES.get(metric, metric)


def heading(summary: Summary) -> str:
    """Return the line over the table: what was measured, against what, how."""
    dataset, anchor = summary["dataset"], _codec(summary, summary["anchor"])
    count, jobs = len(dataset["images"]), summary["machine"]["jobs"]
    parts = [
        f"{count} image{'' if count == 1 else 's'}, {dataset['megapixels']:.1f} MP",
        f"anchor {shown(anchor['label'])} ({anchor['settings'] or anchor['source']})",
        f"{jobs} job{'' if jobs == 1 else 's'}, one thread each",
    ]
    return " · ".join(parts)


def results(summary: Summary) -> str:
    """Return the table: ours first, then the others from the best BD-rate to the worst."""
    metrics = summary["metrics"]
    rows = [
        (
            *("CODEC", "POINTS", "BPP RANGE"),
            *(f"BD-RATE {metric_name(m)}" for m in metrics),
            *("ENC MP/s", "DEC MP/s", "FAILED"),
        )
    ]
    codecs = sorted(summary["codecs"], key=lambda codec: _rank(codec, metrics[0]))
    cells = {m: _bd_cells(codecs, m, summary["anchor"]) for m in metrics}
    for index, codec in enumerate(codecs):
        published = codec["kind"] == "published"
        rows.append(
            (
                shown(codec["label"]) + (" *" if published else ""),
                str(len(codec["points"])),
                _range(codec["points"]),
                *(cells[m][index] for m in metrics),
                *(_speed(codec[key]) for key in ("encode_mps", "decode_mps")),
                "" if published else str(codec["failed"]),
            )
        )
    text = table(rows, left=frozenset({0, 2}))
    if any(codec["kind"] == "published" for codec in codecs):
        text += "\n* published, not re-run"
    return text


def remarks(summary: Summary) -> list[str]:
    """Return the lines under the table: extremes, times, what is not comparable."""
    metric = summary["metrics"][0]
    lines = []
    for codec in summary["codecs"]:
        if codec["kind"] == "ours":
            lines += _extremes(codec, metric)
            lines += _times(codec)
    lines += _refusals(summary)
    for name, reasons in summary["skipped"].items():
        count = len(reasons)
        more = f", and {count - 1} more" if count > 1 else ""
        lines.append(f"no {metric_name(name)} for {shown(reasons[0])}{more}")
    return lines


def _codec(summary: Summary, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(c for c in summary["codecs"] if c["name"] == name)
    return found


def _rank(codec: Mapping[str, Any], metric: str) -> tuple[bool, float]:
    rate = codec["bd"][metric]["rate"]
    return codec["kind"] != "ours", math.inf if rate is None else rate


def _bd_cells(codecs: list[Any], metric: str, anchor: str) -> list[str]:
    """One column, with the signs of percent under each other."""
    halves = []
    for codec in codecs:
        bd = codec["bd"][metric]
        if codec["name"] == anchor and bd["rate"] is not None:
            halves.append(("0.0 %", ""))
        elif bd["rate"] is None:
            halves.append(("-", ""))
        else:
            spread = bd["interval"]
            after = f" ± {(spread[1] - spread[0]) / 2:.1f}" if spread else ""
            halves.append((f"{bd['rate']:+.1f} %", after))
    width = max(len(after) for _, after in halves)
    return [before + after.ljust(width) for before, after in halves]


def _range(points: list[Any]) -> str:
    if not points:
        return "-"
    low, high = points[0]["bpp"], points[-1]["bpp"]
    return f"{low:.2f}-{high:.2f}" if len(points) > 1 else f"{low:.2f}"


def _speed(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _extremes(codec: Mapping[str, Any], metric: str) -> list[str]:
    known = sorted(
        (rate, image) for image, rate in codec["bd"][metric]["images"].items() if rate is not None
    )
    if len(known) < 3:
        return []

    def named(pairs: list[tuple[float, str]]) -> str:
        return ", ".join(f"{shown(image)} {rate:+.1f} %" for rate, image in pairs)

    count = 2 if len(known) > 3 else 1
    return [
        f"worst for {shown(codec['label'])}: {named(known[::-1][:count])}     "
        f"best: {named(known[:count])}"
    ]


def _times(codec: Mapping[str, Any]) -> list[str]:
    parts = []
    if codec["load_s"] is not None:
        parts.append(f"model load {human_seconds(codec['load_s'])}")
    if codec["cold_start_s"] is not None:
        parts.append(
            f"cold decompress, process start to PNG, {human_seconds(codec['cold_start_s'])}"
        )
    return [f"{shown(codec['label'])}: {' · '.join(parts)}"] if parts else []


def _refusals(summary: Summary) -> list[str]:
    lines = []
    for codec in summary["codecs"]:
        if codec["lossless"]:
            continue
        why: dict[str, list[str]] = {}
        for metric, bd in codec["bd"].items():
            unknown = all(point.get(metric) is None for point in codec["points"])
            if bd["why_not"] and not (codec["kind"] == "published" and unknown):
                why.setdefault(bd["why_not"], []).append(metric_name(metric))
        lines += [
            f"{shown(codec['label'])} is not comparable in {', '.join(metrics)}: {reason}"
            for reason, metrics in why.items()
        ]
    return lines

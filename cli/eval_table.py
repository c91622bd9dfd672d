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
    """Return the lines over the tables: what was measured, and against what."""
    dataset, anchor = summary["dataset"], _codec(summary, summary["anchor"])
    extents = {metric_name(m): extent for m, extent in dataset["extent"].items()}
    images = next(iter(extents.values()))
    if len(set(extents.values())) > 1:
        images = ", ".join(f"{extent} in {name}" for name, extent in extents.items())
    return (
        f"{shown(dataset['name'])}: {images}, {dataset['megapixels']:.1f} MP\n"
        f"anchor: {shown(anchor['label'])} ({anchor['settings'] or anchor['source']})"
    )


def rates(summary: Summary) -> str:
    """Return the table of BD-rates: ours first, then the others from the best to the worst.

    Nothing can be compared with a lossless anchor, and there is no table.
    """
    if _codec(summary, summary["anchor"])["lossless"]:
        return ""
    codecs = _in_order(summary)
    columns = [_rate_cells(codecs, metric, summary["anchor"]) for metric in summary["metrics"]]
    rows = [("BD-RATE %", *map(metric_name, summary["metrics"]))]
    rows += [
        (_label(codec), *(column[index] for column in columns))
        for index, codec in enumerate(codecs)
    ]
    text = table(rows, left=frozenset(range(len(rows[0]))))
    text += "\nmore (+) or fewer (-) bits than the anchor at equal quality [95 % interval]"
    if any(codec["kind"] == "published" for codec in codecs):
        text += "\n* published, not re-run"
    return text


def facts(summary: Summary) -> str:
    """Return the table of what was run, in the order of the other."""
    rows = [("CODEC", "IMAGES", "POINTS", "BPP RANGE", "ENC MP/s", "DEC MP/s", "FAILED")]
    for codec in _in_order(summary):
        published = codec["kind"] == "published"
        rows.append(
            (
                _label(codec),
                "" if published else str(codec["images"]),
                str(len(codec["points"])),
                _range(codec["points"]),
                _speed(codec["encode_mps"]),
                _speed(codec["decode_mps"]),
                "" if published else str(codec["failed"]),
            )
        )
    return table(rows, left=frozenset({0}))


def remarks(summary: Summary) -> list[str]:
    """Return the lines under the table: extremes, times, what is not comparable."""
    metric = summary["metrics"][0]
    lines = []
    for codec in summary["codecs"]:
        if codec["kind"] == "ours":
            lines += _extremes(codec, metric)
            lines += _times(codec)
    lines += _lossless_rates(summary)
    lines += _refusals(summary)
    lines += _reused(summary)
    for name, reasons in summary["skipped"].items():
        count = len(reasons)
        more = f", and {count - 1} more" if count > 1 else ""
        lines.append(f"no {metric_name(name)} for {shown(reasons[0])}{more}")
    return lines


def _lossless_rates(summary: Summary) -> list[str]:
    """What lossless codecs take for each sample of red, green and blue, the fewest bits first."""
    rates = sorted(
        (float(codec["points"][0]["bpp"]) / 3, shown(codec["label"]))
        for codec in summary["codecs"]
        if codec["lossless"] and codec["points"]
    )
    said = " · ".join(f"{label} {rate:.3f}" for rate, label in rates)
    return [f"lossless, bits per subpixel: {said}"] if rates else []


def _codec(summary: Summary, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(c for c in summary["codecs"] if c["name"] == name)
    return found


def _label(codec: Mapping[str, Any]) -> str:
    return shown(codec["label"]) + (" *" if codec["kind"] == "published" else "")


def _in_order(summary: Summary) -> list[Mapping[str, Any]]:
    return sorted(summary["codecs"], key=lambda codec: _rank(codec, summary["metrics"][0]))


def _rank(codec: Mapping[str, Any], metric: str) -> tuple[bool, float]:
    rate = codec["bd"][metric]["rate"]
    return codec["kind"] != "ours", math.inf if rate is None else rate


def _rate_cells(codecs: list[Mapping[str, Any]], metric: str, anchor: str) -> list[str]:
    """One column: numbers under each other, and the interval of each behind it."""
    halves = []
    for codec in codecs:
        bd = codec["bd"][metric]
        ends = ""
        if codec["name"] == anchor and bd["rate"] is not None:
            number = "0"
        elif bd["rate"] is None:
            number = "-"
        else:
            number = _percent(bd["rate"])
            if bd["rate_interval"]:
                ends = " [" + ", ".join(map(_percent, bd["rate_interval"])) + "]"
        halves.append((number, ends))
    width = max(len(number) for number, _ in halves)
    return [number.rjust(width) + ends for number, ends in halves]


def _percent(value: float) -> str:
    """A percentage: tenths, from a hundred on whole ones."""
    return f"{value:+.0f}" if abs(value) >= 99.95 else f"{value:+.1f}"


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
        f"worst for {shown(codec['label'])}: {named(known[::-1][:count])}",
        f" best for {shown(codec['label'])}: {named(known[:count])}",
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


def _reused(summary: Summary) -> list[str]:
    labels = [shown(codec["label"]) for codec in summary["codecs"] if codec["reused"]]
    return [f"measured earlier, and not again: {', '.join(labels)}"] if labels else []


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

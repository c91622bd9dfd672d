"""A summary as files for other programs: JSON, CSV, and the form of CompressAI's results."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rdae.files import atomic_write, utf8

_COLUMNS = (
    *("dataset", "anchor", "codec", "kind", "metric"),
    *("bd_rate_percent", "bd_rate_low", "bd_rate_high", "akima_percent", "bd_gain"),
    *("image_mean_percent", "image_mean_low", "image_mean_high", "images"),
    *("overlap_low", "overlap_high", "overlap_share", "why_not"),
)
_NAME_CHARACTERS = 40  # of a file's name
_COMPRESSAI_NAMES = {"psnr": "psnr-rgb", "ms_ssim": "ms-ssim-rgb"}


def bd_rate_csv(summary: Mapping[str, Any]) -> str:
    """One line a codec and metric."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for codec in summary["codecs"]:
        for metric, bd in codec["bd"].items():
            counted = sum(value is not None for value in bd["images"].values())
            numbers = [bd["rate"], *(bd["rate_interval"] or [None, None]), bd["akima"], bd["gain"]]
            numbers += [bd["image_mean"], *(bd["interval"] or [None, None])]
            after = [*(bd["overlap"] or [None, None]), bd["overlap_share"]]
            writer.writerow(
                [
                    summary["dataset"]["name"],
                    summary["anchor"],
                    codec["name"],
                    codec["kind"],
                    metric,
                ]
                + [_cell(v) for v in numbers]
                + [counted]
                + [_cell(v) for v in after]
                + [bd["why_not"] or ""]
            )
    return file.getvalue()


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def compressai_json(codec: Mapping[str, Any], metrics: Sequence[str]) -> str:
    """A codec's mean curve in the form that `python -m compressai.utils.plot` reads."""
    points = codec["points"]
    results: dict[str, list[float | None]] = {"bpp": [point["bpp"] for point in points]}
    for metric in metrics:
        if all(point.get(metric) is not None for point in points):
            name = _COMPRESSAI_NAMES.get(metric, metric)
            results[name] = [point[metric] for point in points]
    content = {"name": codec["label"], "description": codec["settings"], "results": results}
    return json.dumps(content, indent=2) + "\n"


def write_files(summary: Mapping[str, Any], folder: Path) -> None:
    """Write summary.json, bd_rate.csv and, for each measured codec, compressai/NAME.json."""
    _replace(folder / "summary.json", json.dumps(summary, indent=1, allow_nan=False) + "\n")
    _replace(folder / "bd_rate.csv", bd_rate_csv(summary))
    (folder / "compressai").mkdir(exist_ok=True)
    taken: Counter[str] = Counter()
    for codec in summary["codecs"]:
        if codec["kind"] != "published" and codec["points"]:
            text = compressai_json(codec, summary["metrics"])
            name = file_name(codec["name"])
            taken[name] += 1
            name += f"-{taken[name]}" if taken[name] > 1 else ""
            _replace(folder / "compressai" / f"{name}.json", text)


def file_name(name: str) -> str:
    """A name as a part of a file's name, at most 40 characters: `avif-speed-4`."""
    kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
    return "-".join(part for part in kept.split("-") if part)[:_NAME_CHARACTERS]


def _replace(path: Path, text: str) -> None:
    with atomic_write(path, overwrite=True) as file:
        file.write(utf8(text))

"""What a run is, written down before it begins: `run.json`.

With the rows of `results.jsonl` it is all that summary, figures and report are made from, so these
can be made again at any time, with another anchor or other published curves.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rdae import __version__
from rdae.bitstream.header import VERSION
from rdae.errors import RdaeError
from rdae.evaluation.codecs import Rdae
from rdae.evaluation.dataset import Image, warnings
from rdae.evaluation.metrics import Metric
from rdae.evaluation.protocol import Codec
from rdae.files import atomic_write

SCHEMA = "rdae.eval-run/1"
RUN_FILE, ROWS_FILE = "run.json", "results.jsonl"
ANCHORS = ("avif", "webp", "jpeg")  # what others are compared with if nobody says, in this order

_KEYS = (
    *("date", "command", "versions", "machine", "definitions", "dataset", "metrics"),
    *("anchor", "codecs", "published", "warnings"),
)
_PACKAGES = (
    *("numpy", "pillow", "pillow-heif", "pillow-jxl-plugin", "ssimulacra2"),
    *("matplotlib", "torch", "compressai"),
)
_DEFINITIONS = {
    "bpp": "8 x bytes of the whole file / pixels of the original, the same for every codec; the "
    "pictures are given to all of them without metadata",
    "mean": "a curve is the mean bpp and the mean quality over the pictures at each setting; "
    "MS-SSIM is put in dB after the mean",
    "bd_rate": "percent more (+) or fewer (-) bits than the anchor at equal quality: ln(rate) as a "
    "function of quality, PCHIP, averaged over the qualities that both curves reach; of the mean "
    "curves, and beside it as the mean over the single pictures, each with its own interval",
    "interval": "95 % bootstrap over the pictures: of the BD-rates of mean curves over pictures "
    "drawn with replacement, the middle 95 %",
    "pictures": "all codecs are compared over the same pictures, those that every codec has "
    "complete; one that cannot hold transparency does without the pictures that have it",
    "transparency": "a picture with transparent pixels is judged on black and on white, and the "
    "worse value counts",
    "overlap": "the common interval's share of the narrower curve; below 50 % there is no number",
    "speed": "megapixels a second, wall clock, one thread, in memory, after a warm-up, over all "
    "points; loading of a model is not part of it",
    "cold_start": "seconds from the start of a process to the decoded PNG on disk, for one picture "
    "at the middle quality; median of three",
}


class RunFileError(RdaeError):
    """A folder that holds no evaluation, or a damaged one."""

    code = "eval-run"


def describe(
    *,
    command: str,
    jobs: int,
    dataset: str,
    found: int,
    whole: bool,
    images: Sequence[Image],
    unreadable: Sequence[Mapping[str, str]],
    codecs: Sequence[Codec],
    metrics: Sequence[Metric],
    anchor: str,
    published: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Describe a run: a dict of schema `rdae.eval-run/1`.

    Args:
        command: the command line.
        jobs: processes that work at a time.
        dataset: its name.
        found: how many pictures it has, of which some may have been chosen.
        whole: its pictures are all here, so that published means of it can be compared with.
        images: its pictures.
        unreadable: `path` and `error` of the files that are no such pictures.
        codecs: what is measured.
        metrics: how.
        anchor: name of the codec that others are compared with.
        published: curves of `rdae.evaluation.published`.
    """
    provenance = {codec.label: codec.provenance for codec in codecs if isinstance(codec, Rdae)}
    now = datetime.datetime.now(datetime.timezone.utc).astimezone()
    return {
        "schema": SCHEMA,
        "date": now.isoformat(timespec="seconds"),
        "command": command,
        "versions": _versions(),
        "machine": {
            "cpu": _processor(),
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "jobs": jobs,
        },
        "definitions": {**_DEFINITIONS, **{metric.name: metric.definition for metric in metrics}},
        "dataset": {
            "name": dataset,
            "found": found,
            "whole": whole,
            "images": [image.record() for image in images],
            "unreadable": list(unreadable),
        },
        "metrics": [metric.name for metric in metrics],
        "anchor": anchor,
        "codecs": [
            {
                **{key: getattr(codec, key) for key in ("name", "label", "kind", "settings")},
                "lossless": codec.lossless,
                "holds_alpha": codec.holds_alpha,
                "qualities": list(codec.qualities),
            }
            for codec in codecs
        ],
        "published": list(published),
        "warnings": warnings(images, provenance),
    }


def choose_anchor(wanted: str | None, names: Sequence[str]) -> str:
    """The name of the anchor among the codecs of a run.

    Raises:
        RunFileError: the wanted one is not among them.
    """
    if wanted is None:
        return next((name for name in (*ANCHORS, *names[1:]) if name in names), names[0])
    if wanted not in names:
        raise RunFileError(
            f"the anchor {wanted} is not among the codecs", hint=f"these are: {', '.join(names)}"
        )
    return wanted


def save(run: Mapping[str, Any], folder: Path) -> None:
    """Write run.json; it is complete under its name or not there."""
    with atomic_write(folder / RUN_FILE, overwrite=True) as file:
        file.write(json.dumps(run, indent=1).encode() + b"\n")


def load(folder: Path) -> dict[str, Any]:
    """Read run.json; what an early version did not write yet is filled in.

    Raises:
        RunFileError: the folder has none, or not of this kind.
    """
    path = folder / RUN_FILE
    if not path.is_file() or not (folder / ROWS_FILE).is_file():
        raise RunFileError(
            f"{folder} holds no evaluation", hint="rdae eval PHOTOS/ -o DIR makes one"
        )
    try:
        run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if run["schema"] != SCHEMA:
            raise ValueError(f"its schema is {run['schema']}, not {SCHEMA}")
        run.setdefault("anchor", choose_anchor(None, [codec["name"] for codec in run["codecs"]]))
        dataset = run["dataset"]
        dataset.setdefault("whole", False)  # nobody knows
        dataset.setdefault("found", len(dataset["images"]) + len(dataset["unreadable"]))
        for image in dataset["images"]:
            image.setdefault("alpha", False)  # such were refused
        for codec in run["codecs"]:
            codec.setdefault("holds_alpha", True)
        if missing := [key for key in _KEYS if key not in run]:
            raise ValueError(f"it has no {', '.join(missing)}")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunFileError(f"{path} cannot be used: {error}") from error
    return run


def _versions() -> dict[str, str]:
    found = {
        "rdae": __version__,
        "bitstream": str(VERSION),
        "python": platform.python_version(),
    }
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """The processor's name; Linux alone says it in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

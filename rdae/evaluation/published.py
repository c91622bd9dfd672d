"""Curves that others have published, to be shown beside measured ones as what they are.

Two forms are read. A collection: per data set a mapping from codec to `bpp`, `psnr` and
`ms_ssim` lists, with `source`. And CompressAI's result files: `name`, `description` and `results`
with `bpp`, `psnr-rgb` and `ms-ssim-rgb`. Values must be means over the pictures of the very data
set that is evaluated; nothing here can check that, so the source is always shown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rdae.errors import RdaeError

_KEYS = {"psnr": ("psnr", "psnr-rgb"), "ms_ssim": ("ms_ssim", "ms-ssim-rgb", "ms-ssim")}
_NOTE = "published, not re-run"
_LISTED = 12  # names in a hint
# Names of CompressAI's result files, as people write them.
_LABELS = {
    "av1": "AV1",
    "bpg_444_x265_ycbcr": "BPG 4:4:4",
    "hm": "HM",
    "jpeg": "JPEG (published)",
    "jpeg2000": "JPEG 2000 (published)",
    "vtm": "VTM",
    "webp": "WebP (published)",
}

Curve = dict[str, Any]


class ImportFileError(RdaeError):
    """A file of published curves that cannot be used, or does not have what is asked for."""

    code = "import"


def read_published(argument: str, dataset: str) -> list[Curve]:
    """Read the curves that `FILE` or `FILE:codec1,codec2` names.

    A codec is named in full or by the beginning of its name, if no other begins so; of a
    collection as `set/codec` where the set is not the dataset's namesake.

    Args:
        argument: of --import.
        dataset: name of the dataset that is evaluated; picks the data set of a collection.

    Returns:
        Curves with `name`, `label`, `settings`, `source` and `points` (bpp, and psnr and ms_ssim
        where known), by rate.

    Raises:
        ImportFileError: not such a file, or it has no such codec.
        OSError: it cannot be read.
    """
    path, wanted = _split(argument)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        sets = _sets(content, path)
    except (ValueError, TypeError, AttributeError) as error:
        raise ImportFileError(f"{path} has no rate-distortion curves ({error})") from error
    known = {
        f"{name}/{codec}": curve for name, group in sets.items() for codec, curve in group.items()
    }
    namesake = next((name for name in sets if name.lower() == dataset.lower()), None)
    if namesake is None and len(sets) == 1:
        namesake = next(iter(sets))
    here = {} if namesake is None else sets[namesake]
    if not wanted and not here:
        raise ImportFileError(
            f"{path} has no data set {dataset}",
            hint=f"it has {', '.join(sets)}; name codecs as SET/CODEC",
        )
    return list(here.values()) if not wanted else [_find(n, here, known, path) for n in wanted]


def _split(argument: str) -> tuple[Path, list[str]]:
    """Divide `FILE:codec,codec`; the file's name may have colons itself, as on Windows."""
    parts = argument.split(":")
    for count in range(len(parts), 0, -1):
        path = Path(":".join(parts[:count]))
        if path.is_file():
            names = ":".join(parts[count:])
            return path, [name.strip() for name in names.split(",") if name.strip()]
    raise FileNotFoundError(2, "no such file", parts[0])


def _find(name: str, here: Mapping[str, Curve], known: Mapping[str, Curve], path: Path) -> Curve:
    for curves in (here, known):
        if name in curves:
            return curves[name]
        beginning = [key for key in curves if key.lower().startswith(name.lower())]
        if len(beginning) == 1:
            return curves[beginning[0]]
        if beginning:
            raise ImportFileError(
                f"{path}: {name} could be any of {len(beginning)} curves",
                hint=", ".join(beginning[:_LISTED]),
            )
    if here:
        names, form = list(here), ""
    else:
        names, form = sorted({key.partition("/")[0] for key in known}), " as SET/CODEC, SET one of"
    listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    raise ImportFileError(f"{path} has no codec {name}", hint=f"name it{form}: {listed}")


def _sets(content: Any, path: Path) -> dict[str, dict[str, Curve]]:
    """All curves of a file by data set and codec."""
    if "results" in content:
        curve = _curve(path.stem, content["results"])
        curve["label"] = str(content.get("name") or path.stem)
        curve["source"] = str(content.get("description") or path.name)
        return {path.stem: {path.stem: curve}}
    sets = {
        str(name): {
            str(codec): _curve(str(codec), facts)
            for codec, facts in group.items()
            if isinstance(facts, dict) and facts.get("bpp")
        }
        for name, group in content.items()
        if isinstance(group, dict)
    }
    sets = {name: group for name, group in sets.items() if group}
    if not sets:
        raise ValueError("no lists called bpp")
    return sets


def _curve(name: str, facts: Mapping[str, Any]) -> Curve:
    rates = [float(value) for value in facts.get("bpp") or ()]
    if not rates:
        raise ValueError(f"{name}: no list called bpp")
    points: list[dict[str, float]] = [{"bpp": rate} for rate in rates]
    for metric, keys in _KEYS.items():
        values = next((facts[key] for key in keys if facts.get(key)), None)
        if values is not None and len(values) != len(rates):
            raise ValueError(f"{name}: {len(rates)} rates and {len(values)} of {metric}")
        for point, value in zip(points, values or [], strict=False):
            if value is not None and math.isfinite(value):
                point[metric] = float(value)
    points = [point for point in points if 0 < point["bpp"] < math.inf]
    source = str(facts.get("source") or "")
    return {
        "name": name,
        "label": _LABELS.get(name, name),
        "settings": _NOTE,
        "source": source,
        "points": sorted(points, key=lambda point: point["bpp"]),
    }

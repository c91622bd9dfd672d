"""The pictures of the report that is about to be replaced.

The page has them in itself, or beside it, so they are not lost when the files that they were made
of are gone, or a codec is: what cannot be taken again, or only with fewer versions, stays.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from rdae.evaluation.report.figure_parts import Summary
from rdae.evaluation.report.pictures import Choice
from rdae.evaluation.report.scenes import FOLDER
from rdae.evaluation.report.viewer import EMBEDDED, Record, codec_keys, scene_title

_SCRIPT = re.compile(r'<script type="application/json" id="scenes">(.*?)</script>', re.DOTALL)
_SCENE = {"title": str, "image": str, "width": int, "height": int, "box": list, "overview": str}
_VERSION = {"key": str, "label": str, "goals": list, "numbers": list, "src": str}

_log = logging.getLogger("rdae")


def read_pictures(page: Path, summary: Summary) -> list[Record]:
    """The pictures of an earlier page that belong to a summary's images and codecs.

    Args:
        page: report.html; without it, or if it has none, there are none.
        summary: of schema `rdae.eval-summary/1`, of the page to be made.
    """
    try:
        script = _SCRIPT.search(page.read_text(encoding="utf-8"))
        found = json.loads(script[1]) if script else []
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as error:
        _log.warning("the pictures of %s cannot be kept: %s", page, error)
        return []
    names = {entry["image"] for entry in summary["dataset"]["images"]}
    keys = codec_keys(summary)
    key_of = {codec["label"]: keys[codec["name"]] for codec in summary["codecs"]}
    records = []
    for record in found if isinstance(found, list) else []:
        if not _has(record, _SCENE) or record["image"] not in names:
            continue
        versions = [
            {**version, "key": key_of.get(version["label"], "original")}
            for version in record.get("versions", [])
            if _has(version, _VERSION)
            and (version["key"] == "original" or version["label"] in key_of)
            and _is_there(version["src"], page.parent)
        ]
        if len(versions) > 1 and versions[0]["key"] == "original":
            records.append({**record, "versions": versions})
    return records


def _has(record: Any, fields: Mapping[str, type]) -> bool:
    return isinstance(record, dict) and all(
        isinstance(record.get(name), kind) for name, kind in fields.items()
    )


def _is_there(src: str, folder: Path) -> bool:
    if src.startswith(EMBEDDED):
        return True
    path = Path(unquote(src))
    return path.parts[:1] == (FOLDER,) and ".." not in path.parts and (folder / path).is_file()


def merge(
    new: Sequence[Record],
    before: Sequence[Record],
    chosen: Sequence[Choice],
    *,
    prefer_before: bool = False,
) -> tuple[list[Record], list[str], list[str]]:
    """The pictures of the page to be made: new ones, and earlier ones where those are poorer.

    Args:
        new: that could be taken.
        before: of `read_pictures`.
        chosen: what should be on the page, of `pictures.choose_images`.
        prefer_before: keep earlier ones anyway, since the new ones are not of what was measured.

    Returns:
        The pictures; names of the images whose earlier ones were kept; names of those without any.
        Where one is without any, earlier ones of other images stay, too.
    """
    fresh, old = ({record["image"]: record for record in some} for some in (new, before))
    records, kept, lost = [], [], []
    for entry, why, percent in chosen:
        name = entry["image"]
        taken, earlier = fresh.get(name), old.pop(name, None)
        poorer = not taken or (earlier and len(taken["versions"]) < len(earlier["versions"]))
        if earlier and (poorer or prefer_before):
            records.append({**earlier, "title": scene_title(name, why, percent)})
            kept.append(name)
        elif taken is not None:
            records.append(taken)
        else:
            lost.append(name)
    if lost:
        records += [{**record, "title": name} for name, record in old.items()]
        kept += list(old)
    return records, kept, lost

"""The viewer of the report: two versions of a picture under one line, and their numbers.

The page gets a section of controls and, as JSON, the pictures or where they are; report.js does
the rest.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from rdae.evaluation.report.figure_parts import Summary, metric_name, percent_text
from rdae.evaluation.report.matching import MATCHED
from rdae.evaluation.report.pictures import our_codec
from rdae.evaluation.report.scenes import Scene, Version
from rdae.evaluation.report.tables import DIGITS, UNITS

EMBEDDED = "data:image/webp;base64,"

Record = dict[str, Any]  # a scene as report.js has it


def package_text(name: str) -> str:
    """A template, style sheet or script of this package."""
    return files("rdae.evaluation.report").joinpath(name).read_text(encoding="utf-8")


def ours_label(summary: Summary) -> str:
    """The label of the codec that the page is about."""
    ours = our_codec(summary)
    return str(ours["label"]) if ours else "Codecs"


def viewer_section(summary: Summary, records: Sequence[Record]) -> str:
    """The section of the page, with ours against the anchor to begin with; empty for no records."""
    if not records:
        return ""
    ours = our_codec(summary)
    keys = codec_keys(summary)
    anchor = keys.get(summary["anchor"], "original")
    present = {version["key"] for version in records[0]["versions"]}
    mine = keys[ours["name"]] if ours else "original"
    other = anchor if anchor in present and anchor != mine else "original"
    which = (
        "All images, whole, from the folder beside this page."
        if has_files(records)
        else "The images where {{ours}} is worst, middling and best against the anchor, cut around "
        "its largest error."
    )
    return (
        package_text("viewer.html")
        .replace("{{which}}", which)
        .replace("{{start}}", f'data-a="{escape(other)}" data-b="{escape(mine)}"')
        .replace("{{ours}}", escape(ours_label(summary)))
    )


def has_files(records: Sequence[Record]) -> bool:
    """Whether pictures of the viewer lie beside the page."""
    return any(
        not version["src"].startswith(EMBEDDED)
        for record in records
        for version in record["versions"]
    )


def codec_keys(summary: Summary) -> dict[str, str]:
    """What the script calls the codecs, by their names."""
    return {codec["name"]: f"codec-{i}" for i, codec in enumerate(summary["codecs"])}


def records_of(summary: Summary, scenes: Sequence[Scene]) -> list[Record]:
    """What the script shows: texts, and pictures as data URIs or names of files."""
    keys, ours = codec_keys(summary), ours_label(summary)
    return [
        {
            "title": scene_title(scene.image, scene.why, scene.percent),
            "image": scene.image,
            "width": scene.width,
            "height": scene.height,
            "box": scene.box,
            "overview": _data_uri(scene.overview) if scene.overview else "",
            "versions": [
                {
                    "key": "original" if version.codec is None else keys[version.codec],
                    "label": version.label,
                    "goals": version.goals,
                    "numbers": _numbers(version, ours),
                    "src": quote(version.file) or _data_uri(version.webp),
                }
                for version in scene.versions
            ],
        }
        for scene in scenes
    ]


def records_json(records: Sequence[Record]) -> str:
    """Records as JSON that is safe in a script element."""
    # No text in it may end the element that it stands in, or begin a comment there.
    return json.dumps(records, separators=(",", ":")).replace("<", "\\u003c")


def scene_title(image: str, why: str, percent: float | None) -> str:
    """A picture's name in the viewer, with our BD-rate on it."""
    if percent is None:
        return image
    return f"{image} ({why}{', ' * bool(why)}{percent_text(percent)} %)"


def _numbers(version: Version, ours: str) -> list[list[str]]:
    """Name and text, and the goal that a difference misses so far that it is shown in red."""
    if version.bpp is None:
        return [["as it is", ""]]
    numbers = [["quality", f"{version.quality:g}"], ["bits per pixel", f"{version.bpp:.3f}"]]
    if version.difference or version.label != ours:
        percent, decibels = version.difference, version.decibels
        missed = "rate" if abs(percent) > MATCHED["rate"] else ""
        numbers.append([f"bytes to {ours}", f"{percent_text(100 * percent)} %", missed])
        if decibels is not None:
            missed = "quality" if abs(decibels) > MATCHED["quality"] else ""
            text = f"{decibels:+.2f} dB".replace("-", "−")
            numbers.append([f"PSNR to {ours}", text, missed])
    for name, value in version.values.items():
        text = f"{value:.{DIGITS.get(name, 2)}f}".replace("-", "−")
        numbers.append([metric_name(name), text + UNITS.get(name, "")])
    return numbers


def _data_uri(webp: bytes) -> str:
    return EMBEDDED + base64.b64encode(webp).decode("ascii")

"""Pictures for the report: the original, and each codec at about our size and about our PSNR.

Chosen are the pictures where our codec is worst, middling and best against the anchor, and of each
the detail around its largest error: what is shown is not what flatters. These stand in the page
itself. On request it is all pictures, whole, in files beside the page.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.errors import RdaeError
from rdae.evaluation.codecs import parse_spec
from rdae.evaluation.dataset import SourceError, find_source
from rdae.evaluation.metrics import BUILT_IN, Metric, MetricError
from rdae.evaluation.report.matching import GOALS, Coding, Codings, match
from rdae.evaluation.report.scenes import (
    Box,
    Scene,
    Version,
    cut,
    fitted,
    overview,
    saved,
    worst_box,
)
from rdae.images.pillow import read_picture
from rdae.images.transparency import Pixels, pixels_of

Rgb = NDArray[np.uint8]
Row = Mapping[str, Any]

# Where the differences between codecs are seen without a magnifying glass.
_USUAL_BPP = 0.4
_WORST, _BEST = 3, 3


_log = logging.getLogger("rdae")


def take_pictures(
    summary: Mapping[str, Any],
    rows: Sequence[Row],
    folder: Path,
    on_picture: Callable[[int, int], None] = lambda done, total: None,
    *,
    every: bool = False,
) -> list[Scene]:
    """Encode and decode pictures of an evaluation again, to be looked at.

    A picture or codec that fails is left out, with a warning in the log: the figures are there.

    Args:
        summary: of schema `rdae.eval-summary/1`; its images are read from their paths.
        rows: of schema `rdae.eval-row/1`, from which qualities are guessed.
        folder: that of the page.
        on_picture: told how many are done, of how many.
        every: take all pictures, whole, as files in `pictures/` beside the page; without it,
            details of a few that fit into the page.
    """
    ours = our_codec(summary)
    if ours is None:
        return []
    good = [row for row in rows if row.get("bpp") and row.get("ok")]
    chosen = choose_images(summary, ours, every=every)
    scenes: list[Scene] = []
    gone: list[str] = []
    with ThreadPoolExecutor(max(1, int(summary["machine"].get("jobs") or 1))) as pool:
        try:
            taken = pool.map(
                lambda choice: _take_scene(summary, ours, choice, good, folder, every), chosen
            )
            for done, scene in enumerate(taken, 1):
                on_picture(done, len(chosen))
                if isinstance(scene, SourceError):
                    gone.append(str(scene))
                elif scene is not None:
                    scenes.append(scene)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # nobody waits for the others any more
            raise
    if gone:
        more = f", and {len(gone) - 1} more" if len(gone) > 1 else ""
        _log.warning("no new pictures of some images: %s%s", gone[0], more)
    return scenes if every else fitted(scenes)


def changed(summary: Mapping[str, Any]) -> list[str]:
    """Which codecs are no longer what was measured, and how: their pictures will not be, either."""
    found = []
    for codec in summary["codecs"]:
        if codec["kind"] == "published":
            continue
        try:
            settings = parse_spec(codec["name"]).settings
        except RdaeError:
            continue  # it will be said why, of every picture
        if settings != codec["settings"]:
            found.append(
                f"{codec['label']}: new pictures are of {settings}; "
                f"measured was {codec['settings']}"
            )
    return found


def our_codec(summary: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The codec that a report is about: ours, or else the first that was run and has points."""
    found = [c for c in summary["codecs"] if c["points"] and c["kind"] != "published"]
    found = [c for c in found if not c.get("lossless")]
    found.sort(key=lambda c: (c["kind"] != "ours", c["name"] == summary["anchor"]))
    return found[0] if found else None


Choice = tuple[Mapping[str, Any], str, float | None]


def choose_images(
    summary: Mapping[str, Any], ours: Mapping[str, Any] | None, *, every: bool = False
) -> list[Choice]:
    """The worst three images for a codec, one in the middle, and the best three; worst first.

    With `every` it is all images, in the order of the dataset.

    Returns:
        Each image's entry of the summary, "worst", "middle", "best" or "", and its BD-rate.
    """
    if ours is None:
        return []
    entries = {entry["image"]: entry for entry in summary["dataset"]["images"]}
    singles = (ours["bd"].get(summary["metrics"][0]) or {}).get("images") or {}
    known = {k: v for k, v in singles.items() if v is not None and k in entries}
    if every:
        shown = {} if ours["name"] == summary["anchor"] else known
        return [(entry, "", shown.get(name)) for name, entry in entries.items()]
    if not known or ours["name"] == summary["anchor"]:
        return [(entry, "", None) for entry in list(entries.values())[: _WORST + 1 + _BEST]]
    order = sorted(known, key=lambda name: (-known[name], name))
    if len(order) > _WORST + 1 + _BEST:
        order = [*order[:_WORST], order[len(order) // 2], *order[-_BEST:]]
    middle = (len(order) - 1) / 2
    words = [
        "worst" if i < middle else "best" if i > middle else "middle" for i in range(len(order))
    ]
    return [(entries[n], word, known[n]) for n, word in zip(order, words, strict=True)]


def _take_scene(
    summary: Mapping[str, Any],
    ours: Mapping[str, Any],
    choice: Choice,
    rows: Sequence[Row],
    folder: Path,
    every: bool,
) -> Scene | SourceError | None:
    """One picture; None if something fails, which is logged; an error if its file is gone."""
    entry, why, percent = choice
    try:
        path = find_source(entry, folder)
        original = pixels_of(read_picture(path))
        codings = Codings(ours["name"], path, original)
        mine = codings.at(_usual_quality(summary, ours))
        height, width = original.shape[:2]
        box = (0, 0, width, height) if every else worst_box(original, mine.decoded)
        versions = [Version(None, "original", None, None, 0.0, {}, cut(original, box))]
        versions += [
            _version(codec, coding, mine, goals, original, box, summary["metrics"])
            for codec, coding, goals in [
                (ours, mine, GOALS),
                *_matched(summary, ours, entry, path, original, mine, rows),
            ]
        ]
        small = b"" if every else overview(original)
        image = entry["image"]
        scene = Scene(image, width, height, box, why, percent, small, tuple(versions))
        return saved(scene, summary, folder) if every else scene
    except SourceError as error:
        return error
    except (RdaeError, OSError, ValueError) as error:  # the last: larger than WebP can be
        _log.warning("%s: left out of the report's pictures: %s", entry["image"], error)
        return None


def _matched(
    summary: Mapping[str, Any],
    ours: Mapping[str, Any],
    entry: Mapping[str, Any],
    path: Path,
    original: Pixels,
    mine: Coding,
    rows: Sequence[Row],
) -> list[tuple[Mapping[str, Any], Coding, tuple[str, ...]]]:
    """The other codecs' files that are matched to ours, and in what; one may be in both."""
    found = []
    for codec in summary["codecs"]:
        if codec is ours or codec["kind"] == "published" or codec.get("lossless"):
            continue
        measured = [
            row
            for row in rows
            if row["sha256"] == entry["sha256"] and row["codec"] == codec["name"]
        ]
        codings = Codings(codec["name"], path, original)
        try:
            nearest = {goal: match(goal, mine, codings, measured) for goal in GOALS}
        except Exception as error:  # a codec may raise anything; the report is worth having
            _log.warning(
                "%s: %s left out of the pictures: %s", entry["image"], codec["name"], error
            )
            continue
        for coding in codings.made.values():
            goals = tuple(goal for goal in GOALS if nearest[goal] is coding)
            found += [(codec, coding, goals)] if goals else []
    return found


def _usual_quality(summary: Mapping[str, Any], ours: Mapping[str, Any]) -> float:
    """Our quality with about the usual rate, among those whose rate everybody can reach."""
    run = [c for c in summary["codecs"] if c["kind"] != "published" and not c.get("lossless")]
    lowest = max(c["points"][0]["bpp"] for c in run if c["points"])
    reachable = [p for p in ours["points"] if p["bpp"] >= lowest] or ours["points"]
    best = min(reachable, key=lambda point: abs(math.log(point["bpp"] / _USUAL_BPP)))
    return float(best["quality"])


def _version(
    codec: Mapping[str, Any],
    coding: Coding,
    mine: Coding,
    goals: tuple[str, ...],
    original: Pixels,
    box: Box,
    metrics: Sequence[str],
) -> Version:
    values = {}
    for name in metrics:
        if name not in BUILT_IN:
            continue
        try:
            value = Metric(name)(original, coding.decoded)
        except MetricError:
            continue
        if math.isfinite(value):
            values[name] = value
    bpp = 8 * len(coding.data) / (original.shape[0] * original.shape[1])
    both_lossy = math.isfinite(coding.psnr) and math.isfinite(mine.psnr)
    return Version(
        codec["name"],
        codec["label"],
        coding.quality,
        bpp,
        len(coding.data) / len(mine.data) - 1,
        values,
        cut(coding.decoded, box),
        coding.psnr - mine.psnr if both_lossy else None,
        goals,
    )

"""Pictures for the report: the original, and each codec at about our size and about our PSNR.

Chosen are the pictures where our codec is worst, middling and best against the anchor, and of each
the detail around its largest error: what is shown is not what flatters. These stand in the page
itself. On request it is all pictures, whole, in files beside the page.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rdae.errors import RdaeError
from rdae.evaluation.codecs import parse_spec
from rdae.evaluation.metrics import BUILT_IN, Metric, MetricError
from rdae.evaluation.report.exports import file_name
from rdae.evaluation.report.matching import GOALS, Coding, Codings, match
from rdae.evaluation.transparency import WHITE, Pixels, on, pixels_of
from rdae.files import atomic_write
from rdae.images.picture import read_picture

Rgb = NDArray[np.uint8]
Row = Mapping[str, Any]

FOLDER = "pictures"  # beside the page, for whole pictures
# Where the differences between codecs are seen without a magnifying glass.
_USUAL_BPP = 0.4
_WORST, _BEST = 3, 3

_SIDE = 512
_BLOCK = 64  # the detail is centred on the block of this size with the largest error
_OVERVIEW_SIDE = 360
# Of all details; in base64 they take a third more, and the page should stay below 15 MB.
_BUDGET_BYTES = 9_500_000
_NAME_CHARACTERS = 40  # of a file's name; numbers before it make it the only one

_log = logging.getLogger("rdae")


@dataclass(frozen=True)
class Version:
    """One picture as a codec left it.

    Attributes:
        codec: name in the summary; None for the original.
        label: for people.
        quality: on the codec's scale; None for the original.
        bpp: of the whole file; None for the original.
        difference: of the bpp to that of our file, as a fraction.
        values: metrics of the whole picture, by name.
        detail: `(h, w, 3)` pixels; none once they are in a file.
        decibels: difference of the PSNR to that of our file; None if one of them lost nothing.
        goals: in what it is matched to our file; the original and ours are in both.
        webp: the detail as a lossless WebP file.
        file: path of such a file, relative to the page, which is used instead.
    """

    codec: str | None
    label: str
    quality: float | None
    bpp: float | None
    difference: float
    values: Mapping[str, float]
    detail: Rgb
    decibels: float | None = 0.0
    goals: tuple[str, ...] = GOALS
    webp: bytes = b""
    file: str = ""


@dataclass(frozen=True)
class Scene:
    """A picture, and a detail of it in several versions, the original first.

    Attributes:
        image: name in the summary.
        width: of the whole, in pixels.
        height: likewise.
        box: left, top, right, bottom of the detail.
        why: "worst", "middle" or "best" for us; "" if that is not known.
        percent: our BD-rate on it; None if that is not known.
        overview: the whole, small, as a WebP file; empty if the detail is the whole.
        versions: with ours second.
    """

    image: str
    width: int
    height: int
    box: tuple[int, int, int, int]
    why: str
    percent: float | None
    overview: bytes
    versions: tuple[Version, ...]


def take_pictures(
    summary: Mapping[str, Any],
    rows: Sequence[Row],
    folder: Path | None = None,
    on_picture: Callable[[int, int], None] = lambda done, total: None,
) -> list[Scene]:
    """Encode and decode pictures of an evaluation again, to be looked at.

    A picture or codec that fails is left out, with a warning in the log: the figures are there.

    Args:
        summary: of schema `rdae.eval-summary/1`; its images are read from their paths.
        rows: of schema `rdae.eval-row/1`, from which qualities are guessed.
        folder: that of the page, to get all pictures, whole, as files in `pictures/`; without it,
            details of a few are made that fit into the page.
        on_picture: told how many are done, of how many.
    """
    ours = our_codec(summary)
    if ours is None:
        return []
    _warn_of_changes(summary)
    good = [row for row in rows if row.get("bpp") and row.get("ok")]
    chosen = choose_images(summary, ours, every=folder is not None)
    scenes: list[Scene] = []
    with ThreadPoolExecutor(max(1, int(summary["machine"].get("jobs") or 1))) as pool:
        try:
            taken = pool.map(
                lambda choice: _take_scene(summary, ours, choice, good, folder), chosen
            )
            for done, scene in enumerate(taken, 1):
                on_picture(done, len(chosen))
                scenes += [scene] if scene is not None else []
        except BaseException:
            pool.shutdown(cancel_futures=True)  # nobody waits for the others any more
            raise
    return scenes if folder is not None else _fitted(scenes)


def _warn_of_changes(summary: Mapping[str, Any]) -> None:
    """Say which codecs are no longer what was measured: their pictures will not be, either."""
    for codec in summary["codecs"]:
        if codec["kind"] == "published":
            continue
        try:
            settings = parse_spec(codec["name"]).settings
        except RdaeError:
            continue  # it will be said why, of every picture
        if settings != codec["settings"]:
            _log.warning(
                "%s: the pictures are of %s; measured was %s",
                *(codec["label"], settings, codec["settings"]),
            )


def our_codec(summary: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The codec that a report is about: ours, or else the first that was run and has points."""
    found = [c for c in summary["codecs"] if c["points"] and c["kind"] != "published"]
    found = [c for c in found if not c.get("lossless")]
    found.sort(key=lambda c: (c["kind"] != "ours", c["name"] == summary["anchor"]))
    return found[0] if found else None


def choose_images(
    summary: Mapping[str, Any], ours: Mapping[str, Any], *, every: bool = False
) -> list[tuple[Mapping[str, Any], str, float | None]]:
    """The worst three images for a codec, one in the middle, and the best three; worst first.

    With `every` it is all images, in the order of the dataset.

    Returns:
        Each image's entry of the summary, "worst", "middle", "best" or "", and its BD-rate.
    """
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
    choice: tuple[Mapping[str, Any], str, float | None],
    rows: Sequence[Row],
    folder: Path | None,
) -> Scene | None:
    entry, why, percent = choice
    try:
        original = pixels_of(read_picture(Path(entry["path"])))
        codings = Codings(ours["name"], Path(entry["path"]), original)
        mine = codings.at(_usual_quality(summary, ours))
        height, width = original.shape[:2]
        box = (0, 0, width, height) if folder else _worst_box(original, mine.decoded)
        versions = [Version(None, "original", None, None, 0.0, {}, _cut(original, box))]
        versions += [
            _version(codec, coding, mine, goals, original, box, summary["metrics"])
            for codec, coding, goals in [
                (ours, mine, GOALS),
                *_matched(summary, ours, entry, original, mine, rows),
            ]
        ]
        overview = b"" if folder else _overview(original)
        image = entry["image"]
        scene = Scene(image, width, height, box, why, percent, overview, tuple(versions))
        return _saved(scene, summary, folder) if folder else scene
    except (RdaeError, OSError, ValueError) as error:  # the last: larger than WebP can be
        _log.warning("%s: left out of the report's pictures: %s", entry["image"], error)
        return None


def _matched(
    summary: Mapping[str, Any],
    ours: Mapping[str, Any],
    entry: Mapping[str, Any],
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
        codings = Codings(codec["name"], Path(entry["path"]), original)
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
    box: tuple[int, int, int, int],
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
        _cut(coding.decoded, box),
        coding.psnr - mine.psnr if both_lossy else None,
        goals,
    )


def _worst_box(original: Pixels, decoded: Pixels) -> tuple[int, int, int, int]:
    """The detail around the block with the largest squared error, inside the picture."""
    error = np.square(on(original, WHITE).astype(np.int32) - on(decoded, WHITE)).sum(axis=2)
    height, width = error.shape
    rows, columns = -(-height // _BLOCK), -(-width // _BLOCK)
    padded = np.zeros((rows * _BLOCK, columns * _BLOCK), np.int64)
    padded[:height, :width] = error
    blocks = padded.reshape(rows, _BLOCK, columns, _BLOCK).sum(axis=(1, 3))
    row, column = divmod(int(blocks.argmax()), columns)
    return _box_around(
        (column * _BLOCK + _BLOCK // 2, row * _BLOCK + _BLOCK // 2), _SIDE, width, height
    )


def _box_around(
    centre: tuple[int, int], side: int, width: int, height: int
) -> tuple[int, int, int, int]:
    left = max(0, min(centre[0] - side // 2, width - side))
    top = max(0, min(centre[1] - side // 2, height - side))
    return (left, top, min(left + side, width), min(top + side, height))


def _cut(pixels: Pixels, box: tuple[int, int, int, int]) -> Rgb:
    left, top, right, bottom = box
    return np.ascontiguousarray(on(pixels[top:bottom, left:right], WHITE))


def _overview(pixels: Pixels) -> bytes:
    image = Image.fromarray(on(pixels, WHITE))
    image.thumbnail((_OVERVIEW_SIDE, _OVERVIEW_SIDE))
    return _webp(image, quality=75)


def _lossless(rgb: Rgb) -> bytes:
    return _webp(Image.fromarray(rgb), lossless=True, quality=40, method=3)


def _webp(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", **options)
    return buffer.getvalue()


def _fitted(scenes: Sequence[Scene]) -> list[Scene]:
    """Write the details as files, cut smaller until all of them stay within the budget."""
    side = _SIDE
    while True:
        done = [_written(scene, side) for scene in scenes]
        total = sum(len(version.webp) for scene in done for version in scene.versions)
        if total <= _BUDGET_BYTES or side <= _BLOCK:
            return done
        # A little less than the square root says, since details of busy blocks are busier.
        side = min(side - 16, int(0.96 * side * math.sqrt(_BUDGET_BYTES / total))) // 16 * 16


def _written(scene: Scene, side: int) -> Scene:
    left, top, right, bottom = scene.box
    width, height = right - left, bottom - top
    inner = _box_around((width // 2, height // 2), side, width, height)
    versions = []
    for version in scene.versions:
        webp = _lossless(_cut(version.detail, inner))
        versions.append(replace(version, webp=webp))
    box = (left + inner[0], top + inner[1], left + inner[2], top + inner[3])
    return replace(scene, box=box, versions=tuple(versions))


def _saved(scene: Scene, summary: Mapping[str, Any], folder: Path) -> Scene:
    """Write every version as a file of its own, and let go of its pixels."""
    numbers = {entry["image"]: i for i, entry in enumerate(summary["dataset"]["images"], 1)}
    orders = {codec["name"]: i for i, codec in enumerate(summary["codecs"], 1)}
    digits = len(str(len(numbers)))
    place = Path(FOLDER, f"{numbers[scene.image]:0{digits}}-{_short(scene.image)}")
    (folder / place).mkdir(parents=True, exist_ok=True)
    versions = []
    for version in scene.versions:
        name = "0-original"
        if version.codec is not None:
            name = f"{orders[version.codec]}-{_short(version.label)}-q{version.quality:g}"
        path = place / f"{name}.webp"
        with atomic_write(folder / path, overwrite=True) as file:
            file.write(_lossless(version.detail))
        empty = np.empty((0, 0, 3), np.uint8)
        versions.append(replace(version, detail=empty, file=path.as_posix()))
    return replace(scene, versions=tuple(versions))


def _short(name: str) -> str:
    return file_name(name)[:_NAME_CHARACTERS]

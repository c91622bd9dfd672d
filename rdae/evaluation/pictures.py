"""Details of a few pictures for the report: the original, and each codec at about the same size.

Chosen are the pictures where our codec is worst, middling and best against the anchor, and of each
the detail around its largest error: what is shown is not what flatters. All codecs get the same
number of bits for a picture, as nearly as their qualities allow; what is left is told.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Mapping, Sequence
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
from rdae.evaluation.runner import round_trip
from rdae.picture import read_picture

Rgb = NDArray[np.uint8]
Row = Mapping[str, Any]

MATCHED = 0.05  # of the rate: files that differ by less count as equally large
_CLOSE = 0.02  # a search for a quality ends here, or
_TRIES = 3  # after so many files
# Where the differences between codecs are seen without a magnifying glass.
_USUAL_BPP = 0.4
# Twice or half the bits is no comparison; a codec that gets no nearer is left out.
_FAR = 2.0
_WORST, _BEST = 3, 3

_SIDE = 512
_BLOCK = 64  # the detail is centred on the block of this size with the largest error
_OVERVIEW_SIDE = 360
# Of all details; in base64 they take a third more, and the page should stay below 15 MB.
_BUDGET_BYTES = 9_500_000

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
        detail: `(h, w, 3)` pixels.
        webp: the detail as a lossless WebP file.
    """

    codec: str | None
    label: str
    quality: float | None
    bpp: float | None
    difference: float
    values: Mapping[str, float]
    detail: Rgb
    webp: bytes = b""


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
        overview: the whole, small, as a WebP file.
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


def take_pictures(summary: Mapping[str, Any], rows: Sequence[Row]) -> list[Scene]:
    """Encode and decode a few pictures of an evaluation again, to be looked at.

    A picture or codec that fails is left out, with a warning in the log: the figures are there.

    Args:
        summary: of schema `rdae.eval-summary/1`; its images are read from their paths.
        rows: of schema `rdae.eval-row/1`, from which qualities are guessed.
    """
    ours = our_codec(summary)
    if ours is None:
        return []
    good = [row for row in rows if row.get("bpp") and row.get("ok")]
    chosen = choose_images(summary, ours)
    with ThreadPoolExecutor(max(1, int(summary["machine"].get("jobs") or 1))) as pool:
        scenes = list(pool.map(lambda choice: _take_scene(summary, ours, choice, good), chosen))
    return _fitted([scene for scene in scenes if scene is not None])


def our_codec(summary: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The codec that a report is about: ours, or else the first that was run and has points."""
    found = [c for c in summary["codecs"] if c["points"] and c["kind"] != "published"]
    found = [c for c in found if not c.get("lossless")]
    found.sort(key=lambda c: (c["kind"] != "ours", c["name"] == summary["anchor"]))
    return found[0] if found else None


def choose_images(
    summary: Mapping[str, Any], ours: Mapping[str, Any]
) -> list[tuple[Mapping[str, Any], str, float | None]]:
    """The worst three images for a codec, one in the middle, and the best three; worst first.

    Returns:
        Each image's entry of the summary, "worst", "middle", "best" or "", and its BD-rate.
    """
    entries = {entry["image"]: entry for entry in summary["dataset"]["images"]}
    singles = (ours["bd"].get(summary["metrics"][0]) or {}).get("images") or {}
    known = {k: v for k, v in singles.items() if v is not None and k in entries}
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
) -> Scene | None:
    entry, why, percent = choice
    path = Path(entry["path"])
    metrics = [name for name in summary["metrics"] if name in BUILT_IN]
    usual = _usual_quality(summary, ours)
    try:
        original = read_picture(path).rgb
        data, decoded = round_trip(ours["name"], path, usual)
        target = len(data)
        box = _worst_box(original, decoded)
        versions = [Version(None, "original", None, None, 0.0, {}, _cut(original, box))]
        versions.append(_version(ours, usual, data, target, original, decoded, box, metrics))
    except (RdaeError, OSError) as error:
        _log.warning("%s: left out of the report's pictures: %s", entry["image"], error)
        return None
    for codec in summary["codecs"]:
        if codec is ours or codec["kind"] == "published" or codec.get("lossless"):
            continue
        points = {
            8 * row["bytes"]: row["quality"]
            for row in rows
            if row["sha256"] == entry["sha256"] and row["codec"] == codec["name"]
        }
        try:
            found = _match(codec["name"], path, 8 * target, points)
        except Exception as error:  # a codec may raise anything; the report is worth having
            _log.warning(
                "%s: %s left out of the pictures: %s", entry["image"], codec["name"], error
            )
            continue
        if found is not None:
            quality, data, decoded = found
            versions.append(_version(codec, quality, data, target, original, decoded, box, metrics))
    height, width = original.shape[:2]
    return Scene(
        entry["image"], width, height, box, why, percent, _overview(original), tuple(versions)
    )


def _usual_quality(summary: Mapping[str, Any], ours: Mapping[str, Any]) -> float:
    """Our quality with about the usual rate, among those whose rate everybody can reach."""
    run = [c for c in summary["codecs"] if c["kind"] != "published" and not c.get("lossless")]
    lowest = max(c["points"][0]["bpp"] for c in run if c["points"])
    reachable = [p for p in ours["points"] if p["bpp"] >= lowest] or ours["points"]
    best = min(reachable, key=lambda point: abs(math.log(point["bpp"] / _USUAL_BPP)))
    return float(best["quality"])


def _match(
    spec: str, path: Path, target: float, points: dict[float, float]
) -> tuple[float, bytes, Rgb] | None:
    """Find the quality whose file is as long as `target` bits, from `points` bits: quality."""
    best: tuple[float, bytes, Rgb] | None = None
    best_error = math.log(_FAR)
    tried: set[float] = set()
    for _ in range(_TRIES if points else 0):
        sizes = sorted(points)
        guess = np.interp(math.log(target), np.log(sizes), [points[size] for size in sizes])
        quality = _allowed(spec, float(guess))
        if quality in tried:
            break
        tried.add(quality)
        data, decoded = round_trip(spec, path, quality)
        points[8 * len(data)] = quality
        error = abs(math.log(8 * len(data) / target))
        if error < best_error:
            best, best_error = (quality, data, decoded), error
        if error < _CLOSE:
            break
    return best


def _allowed(spec: str, quality: float) -> float:
    """The nearest quality that a codec has: to a tenth, or whole."""
    quality = round(quality, 1)
    try:
        parse_spec(spec).check_quality(quality)
    except RdaeError:
        return float(round(quality))
    return quality


def _version(
    codec: Mapping[str, Any],
    quality: float,
    data: bytes,
    target: int,
    original: Rgb,
    decoded: Rgb,
    box: tuple[int, int, int, int],
    metrics: Sequence[str],
) -> Version:
    values = {}
    for name in metrics:
        try:
            value = Metric(name)(original, decoded)
        except MetricError:
            continue
        if math.isfinite(value):
            values[name] = value
    bpp = 8 * len(data) / (original.shape[0] * original.shape[1])
    difference = len(data) / target - 1
    detail = _cut(decoded, box)
    return Version(codec["name"], codec["label"], quality, bpp, difference, values, detail)


def _worst_box(original: Rgb, decoded: Rgb) -> tuple[int, int, int, int]:
    """The detail around the block with the largest squared error, inside the picture."""
    error = np.square(original.astype(np.int32) - decoded).sum(axis=2)
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


def _cut(rgb: Rgb, box: tuple[int, int, int, int]) -> Rgb:
    left, top, right, bottom = box
    return np.ascontiguousarray(rgb[top:bottom, left:right])


def _overview(rgb: Rgb) -> bytes:
    image = Image.fromarray(rgb)
    image.thumbnail((_OVERVIEW_SIDE, _OVERVIEW_SIDE))
    return _webp(image, quality=75)


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
        detail = _cut(version.detail, inner)
        webp = _webp(Image.fromarray(detail), lossless=True, quality=40, method=3)
        versions.append(replace(version, webp=webp))
    box = (left + inner[0], top + inner[1], left + inner[2], top + inner[3])
    return replace(scene, box=box, versions=tuple(versions))

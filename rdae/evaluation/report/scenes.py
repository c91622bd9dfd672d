"""A scene of the report: a detail of a picture in several versions, and how these become files.

In the page itself they are lossless WebP within a budget, cut smaller until they fit; whole
pictures are files of their own beside it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rdae.evaluation.report.exports import file_name
from rdae.evaluation.report.matching import GOALS
from rdae.files import atomic_write
from rdae.images.transparency import WHITE, Pixels, on

Rgb = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, right, bottom

FOLDER = "pictures"  # beside the page, for whole pictures

_SIDE = 512
_BLOCK = 64  # the detail is centred on the block of this size with the largest error
_OVERVIEW_SIDE = 360
# Of all details; in base64 they take a third more, and the page should stay below 15 MB.
_BUDGET_BYTES = 9_500_000


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
    box: Box
    why: str
    percent: float | None
    overview: bytes
    versions: tuple[Version, ...]


def worst_box(original: Pixels, decoded: Pixels) -> Box:
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


def _box_around(centre: tuple[int, int], side: int, width: int, height: int) -> Box:
    left = max(0, min(centre[0] - side // 2, width - side))
    top = max(0, min(centre[1] - side // 2, height - side))
    return (left, top, min(left + side, width), min(top + side, height))


def cut(pixels: Pixels, box: Box) -> Rgb:
    """The pixels of a detail, `(h, w, 3)`; what is transparent lies on white."""
    left, top, right, bottom = box
    return np.ascontiguousarray(on(pixels[top:bottom, left:right], WHITE))


def overview(pixels: Pixels) -> bytes:
    """A whole picture, small, as a WebP file."""
    image = Image.fromarray(on(pixels, WHITE))
    image.thumbnail((_OVERVIEW_SIDE, _OVERVIEW_SIDE))
    return _webp(image, quality=75)


def _lossless(rgb: Rgb) -> bytes:
    return _webp(Image.fromarray(rgb), lossless=True, quality=40, method=3)


def _webp(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", **options)
    return buffer.getvalue()


def fitted(scenes: Sequence[Scene]) -> list[Scene]:
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
        webp = _lossless(cut(version.detail, inner))
        versions.append(replace(version, webp=webp))
    box = (left + inner[0], top + inner[1], left + inner[2], top + inner[3])
    return replace(scene, box=box, versions=tuple(versions))


def saved(scene: Scene, summary: Mapping[str, Any], folder: Path) -> Scene:
    """Write every version as a file of its own, and let go of its pixels."""
    numbers = {entry["image"]: i for i, entry in enumerate(summary["dataset"]["images"], 1)}
    orders = {codec["name"]: i for i, codec in enumerate(summary["codecs"], 1)}
    digits = len(str(len(numbers)))
    place = Path(FOLDER, f"{numbers[scene.image]:0{digits}}-{file_name(scene.image)}")
    (folder / place).mkdir(parents=True, exist_ok=True)
    versions = []
    for version in scene.versions:
        name = "0-original"
        if version.codec is not None:
            name = f"{orders[version.codec]}-{file_name(version.label)}-q{version.quality:g}"
        path = place / f"{name}.webp"
        with atomic_write(folder / path, overwrite=True) as file:
            file.write(_lossless(version.detail))
        empty = np.empty((0, 0, 3), np.uint8)
        versions.append(replace(version, detail=empty, file=path.as_posix()))
    return replace(scene, versions=tuple(versions))

"""Thumbnails: the whole picture, made small while it is decoded.

A lossy picture is decoded in bands of one row of tiles, and each band is reduced before the next
one is decoded, so memory is that of a band whatever the height; a lossless one is held whole. All
pixels count: what comes out is, to the bit, the decoded picture reduced by Pillow's `reduce` and
resized. (The latent alone, through a linear map to one colour a cell, would take 40 % of the time,
but gives 37 dB at best and another map for every model.)
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rdae.bitstream.container import read_container
from rdae.bitstream.header import read_header
from rdae.bitstream.salvage import Parts
from rdae.bitstream.tiles import Grid
from rdae.bitstream.varint import ByteReader
from rdae.codec.decoder import decode_latents
from rdae.codec.rendering import render
from rdae.geometry import PATCH, Rectangle
from rdae.images.picture import Picture
from rdae.images.pillow import from_pillow, to_pillow
from rdae.limits import MAX_PIXELS
from rdae.model.installed import find_model
from rdae.model.model import Model
from rdae.network_spec import halo
from rdae.threads import default_threads

__all__ = ["decode_thumbnail", "shrink"]

# What is resized in the end has at least so many times the thumbnail's sides: then the boxes that
# were averaged before it cannot be seen.
_MARGIN = 2


def decode_thumbnail(
    data: bytes,
    side: int,
    *,
    max_pixels: int = MAX_PIXELS,
    weights: Path | None = None,
    threads: int | None = None,
    lossy: bool = False,
) -> Picture:
    """Decode the bytes of a .rd file to a picture that fits into a square.

    Args:
        data: the whole file.
        side: of the square, in pixels; a picture that fits already keeps its size, and is exact
            if its file is.
        max_pixels: refuse larger pictures before anything is allocated for them.
        weights: a weights file to use instead of the installed ones; it must be the file's model.
        threads: how many threads to use; one per core if None.
        lossy: as of `decode`, also of a picture that fits already.

    Returns:
        The small picture, with the ICC profile as its only metadata.

    Raises:
        BitstreamError: the bytes are not a valid .rd file.
        TooLargeError: the picture has more than `max_pixels` pixels.
        ModelError: the file's model is not there.
        ValueError: `side` is below 1.
    """
    _check_side(side)
    header = read_header(ByteReader(data))
    # What makes a lossy picture exact is left out where pixels are averaged anyway.
    lossy |= max(header.width, header.height) > side
    parts = Parts.of(read_container(data, max_pixels=max_pixels, only_lossy=lossy))
    if header.is_lossless:
        from rdae.codec.lossless import decode_lossless

        rgb = decode_lossless(parts, weights, threads or default_threads())
        return shrink(Picture(rgb, parts.alpha, header.is_grey, **parts.metadata), side)
    if parts.rest is not None:
        from rdae.codec.rest import decode_exact

        rgb = decode_exact(parts, weights, threads or default_threads())
        return shrink(Picture(rgb, parts.alpha, header.is_grey, **parts.metadata), side)
    model = find_model(header.model_id, header.fingerprint, weights)
    factor = _factor(header.width, header.height, side)
    reduced = Image.new(
        ("L" if header.is_grey else "RGB") + "A" * header.has_alpha,
        (-(-header.width // factor), -(-header.height // factor)),
    )
    waiting: list[Picture] = []  # rows that do not fill a row of boxes yet
    rows = done = 0
    for band in _bands(parts, model, threads or default_threads()):
        waiting.append(band)
        rows += band.height
        if rows < factor and done * factor + rows < header.height:
            continue
        joined = _joined(waiting)
        whole = rows if done * factor + rows == header.height else rows // factor * factor
        reduced.paste(to_pillow(_cut(joined, 0, whole)).reduce(factor), (0, done))
        waiting = [_cut(joined, whole, rows)] if whole < rows else []
        done, rows = done + -(-whole // factor), rows - whole
    return _fitted(reduced, (header.width, header.height), side, parts.metadata.get("icc", b""))


def shrink(picture: Picture, side: int) -> Picture:
    """A decoded picture made to fit into a square, as `decode_thumbnail` does it.

    Raises:
        ValueError: `side` is below 1.
    """
    _check_side(side)
    size = picture.width, picture.height
    return _fitted(to_pillow(picture).reduce(_factor(*size, side)), size, side, picture.icc)


def _check_side(side: int) -> None:
    try:
        operator.index(side)
    except TypeError:
        wanted = "the side of a thumbnail is a whole number of pixels"
        raise TypeError(f"{wanted}, got {side!r}") from None
    if side < 1:
        raise ValueError(f"the side of a thumbnail is 1 pixel or more, not {side}")


def _factor(width: int, height: int, side: int) -> int:
    """The side of the boxes of pixels that become one before the rest is resized."""
    return max(1, max(width, height) // (_MARGIN * side))


def _fitted(reduced: Image.Image, size: tuple[int, int], side: int, icc: bytes) -> Picture:
    """Resize what was reduced from a picture of `size` so that it fits."""
    share = min(1.0, side / max(size))
    fitting = max(1, round(size[0] * share)), max(1, round(size[1] * share))
    if fitting != reduced.size:
        # Of the boxes at the right and lower edges only a part lies in the picture.
        factor = _factor(*size, side)
        whole = (0, 0, size[0] / factor, size[1] / factor)
        reduced = reduced.resize(fitting, Image.Resampling.LANCZOS, box=whole)
    limit = math.prod(reduced.size)  # whoever decoded the picture has compared its size
    return replace(from_pillow(reduced, max_pixels=limit), icc=icc, exif=b"", xmp=b"")


def _bands(parts: Parts, model: Model, threads: int) -> Iterator[Picture]:
    """Decode a picture from top to bottom in bands of whole columns, each tile once.

    The synthesis sees some rows of cells above and below those whose pixels it makes. So the last
    rows of a band's cells wait for the next band, and the rows above them are kept for both.
    """
    header = parts.header
    grid = Grid.of(header)
    cells = grid.cells
    reach = math.ceil(halo(model.spec.synthesis))
    kept: NDArray[np.int16] = np.empty((0, cells.columns, model.spec.latent_channels), np.int16)
    done = 0  # rows of cells whose pixels are made
    for row in range(grid.rows):
        tile = grid.tile(row * grid.columns)
        band = replace(tile.cells, left=0, right=cells.columns)
        decoded = decode_latents(parts, band, model, threads, best_effort=False)
        y_hat = np.concatenate([kept, decoded])
        top = band.bottom - y_hat.shape[0]
        last = band.bottom == cells.bottom
        ready = band.bottom if last else max(done, band.bottom - reach)
        region = Rectangle(done, ready, 0, cells.columns).scaled(PATCH, 1)
        region = region.common(Rectangle.whole(header.width, header.height))
        if region.rows:
            rgb = render(
                model,
                y_hat,
                header.quality_point,
                threads,
                area=region.moved(-top * PATCH, 0),
                is_grey=header.is_colourless,
            )
            alpha = None if parts.alpha is None else parts.alpha[region.slices()]
            yield Picture(rgb, alpha, header.is_grey)
        kept = y_hat[max(0, ready - reach - top) :]
        done = ready


def _joined(bands: list[Picture]) -> Picture:
    """Bands below each other as one."""
    if len(bands) == 1:
        return bands[0]
    planes = [band.alpha for band in bands if band.alpha is not None]
    alpha = np.concatenate(planes) if planes else None
    return Picture(np.concatenate([band.rgb for band in bands]), alpha, bands[0].is_grey)


def _cut(band: Picture, top: int, bottom: int) -> Picture:
    """Rows `top` to `bottom` (exclusive) of a band."""
    alpha = None if band.alpha is None else band.alpha[top:bottom]
    return Picture(band.rgb[top:bottom], alpha, band.is_grey)

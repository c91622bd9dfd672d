"""Lossless and near-lossless files: a picture's tiles as pixels, exactly or within a bound.

There is no synthesis and nothing overlaps, so each tile is a picture of its own: regions, threads
and damage stop at its edges. A picture that takes fewer bytes in one piece as WebP, as drawings do,
and with its alpha, has none of that: all of it is one tile.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.container import Container, TilePayload, write_container
from rdae.bitstream.damage import Damage
from rdae.bitstream.graphics import MOST_SIDE
from rdae.bitstream.header import Header, check_sides
from rdae.bitstream.salvage import Parts
from rdae.bitstream.tiles import Grid, Tile, pixels_crc
from rdae.codec.damaged_tiles import damaged_tiles, with_way_out
from rdae.codec.progress import Counter, Report
from rdae.errors import CorruptError
from rdae.geometry import PATCH
from rdae.images.picture import Picture
from rdae.limits import MAX_UNDIVIDED_PIXELS
from rdae.lossless.coding import (
    GRAPHICS,
    decode_tile,
    decode_undivided,
    encode_tile,
    encode_undivided,
)
from rdae.lossless.estimate import has_copies
from rdae.lossless.model import LosslessModel
from rdae.model.installed import find_lossless
from rdae.threads import parallel_map

GREY = 128  # of what cannot be saved


def encode_lossless(
    picture: Picture,
    model: LosslessModel,
    *,
    max_error: int = 0,
    threads: int = 1,
    progress: Report | None = None,
) -> bytes:
    """The file of a picture.

    Args:
        picture: what to encode.
        model: the model.
        max_error: how far a decoded sample may be from the picture's, 0 to 15.
        threads: how many threads to use.
        progress: is called after each tile, from any thread, one at a time.

    Raises:
        TooLargeError: a side is longer than a header can say.
    """
    check_sides(picture.width, picture.height)
    header = Header(
        width=picture.width,
        height=picture.height,
        quality_point=max_error,
        model_id=model.model_id,
        fingerprint=model.fingerprint,
        is_grey=picture.is_grey,
        has_alpha=picture.alpha is not None,
        is_neutral=picture.is_colourless and not picture.is_grey,
        is_lossless=True,
    )
    payloads = encode_tiles(picture, header, model, max_error, threads, progress)
    p = picture
    packed: dict[str, bytes] = {}  # metadata of both files
    data = write_container(Container(header, payloads, p.alpha, p.icc, p.exif, p.xmp), packed)
    is_drawn = len(payloads) > 1 and any(payload.y[0] == GRAPHICS for payload in payloads)
    is_small = p.width * p.height <= MAX_UNDIVIDED_PIXELS and max(p.width, p.height) <= MOST_SIDE
    if is_small and (is_drawn or header.has_alpha or has_copies(p.rgb)):
        try:
            return min(data, _encode_undivided(picture, header, packed, len(data)), key=len)
        except MemoryError:  # a large picture takes more of it in one piece
            return data
    return data


def _encode_undivided(
    picture: Picture, header: Header, packed: dict[str, bytes], most: int
) -> bytes:
    """The file of a picture in one piece; all else is of the file of its tiles, `most` its size."""
    header = replace(header, quality_point=0, is_undivided=True)
    pixels = picture.rgb
    if picture.alpha is not None:
        pixels = np.concatenate([pixels, picture.alpha[..., None]], 2)
    payload = TilePayload(b"", encode_undivided(pixels, most), pixels_crc(header, 0, pixels))
    p = picture
    return write_container(Container(header, (payload,), None, p.icc, p.exif, p.xmp), packed)


def encode_tiles(
    picture: Picture,
    header: Header,
    model: LosslessModel,
    max_error: int,
    threads: int,
    progress: Report | None = None,
    base: NDArray[np.uint8] | None = None,
) -> tuple[TilePayload, ...]:
    """Code the pixels of all tiles.

    Args:
        picture: what to encode.
        header: of the file.
        model: the model.
        max_error: how far a decoded sample may be off.
        threads: how many threads to use.
        progress: is called after each tile.
        base: `(H, W, 3)` the lossy picture that a decoder has first, if there is one.
    """
    tiles = Grid.of(header).tiles()
    counter = Counter(progress, len(tiles))

    def code(tile: Tile) -> TilePayload:
        place = tile.pixels(picture.width, picture.height).slices()
        payload, decoded = encode_tile(
            model,
            np.ascontiguousarray(picture.rgb[place]),
            is_grey=header.is_colourless,
            max_error=max_error,
            threads=threads // len(tiles),
            base=None if base is None else base[place],
        )
        counter.add(1)
        return TilePayload(b"", payload, pixels_crc(header, tile.index, decoded))

    return tuple(parallel_map(code, tiles, threads))


def decode_lossless(
    parts: Parts,
    weights: Path | None,
    threads: int,
    *,
    best_effort: bool = False,
    progress: Report | None = None,
) -> NDArray[np.uint8]:
    """The colour pixels of the region that a lossless file's parts were read for.

    Args:
        parts: what the file holds. Its list of damage is corrected, as by `decode_region`, and
            the alpha of an undivided picture is put in.
        weights: a weights file to use instead of the installed one.
        threads: how many threads to use.
        best_effort: leave broken tiles grey and say which; otherwise they are errors.
        progress: is called after each tile, from any thread, one at a time.

    Returns:
        `(region.rows, region.columns, 3)`.

    Raises:
        BitstreamError: a tile that is needed is damaged or not there, and must not be.
    """
    header, region = parts.header, parts.region
    model = find_lossless(header.model_id, header.fingerprint, weights)
    tiles = Grid.of(header).touching(region.scaled(1, PATCH))
    needed = {tile.index for tile in tiles}
    lost = {d.tile.index: d for d in parts.damage if d.tile and d.tile.index in needed}
    if lost and not best_effort:
        raise with_way_out(lost[min(lost)].error, header)
    rgb = np.full((region.rows, region.columns, 3), GREY, np.uint8)
    if header.has_alpha and header.is_undivided:
        parts.alpha = np.full((region.rows, region.columns), 255, np.uint8)
    counter = Counter(progress, len(tiles))

    def place(tile: Tile) -> Damage | None:
        damage = lost.get(tile.index)
        if damage is None:
            try:
                pixels = decode_one(
                    parts.tiles[tile.index],
                    tile,
                    header,
                    model,
                    threads // len(tiles),
                    max_error=header.quality_point,
                )
            except CorruptError as error:
                if not best_effort:
                    raise with_way_out(error, header)  # noqa: B904 - it is the same error
                damage = Damage("tile", error, tile)
            else:
                area = tile.pixels(header.width, header.height)
                both = area.common(region)
                here, there = both.seen_from(region).slices(), both.seen_from(area).slices()
                rgb[here] = pixels[there][..., :3]
                if header.is_undivided and parts.alpha is not None:
                    parts.alpha[here] = pixels[there][..., 3]
        counter.add(1)
        return None if damage is None else replace(damage, filled_with="grey")

    damaged = [d for d in parallel_map(place, tiles, threads) if d is not None]
    parts.damage = damaged + [d for d in parts.damage if d.tile is None]
    return rgb


def find_damaged_pixels(
    parts: Parts, weights: Path | None, threads: int, progress: Report | None = None
) -> list[Damage]:
    """All tiles of a lossless file that are broken or not there."""
    header = parts.header
    model = find_lossless(header.model_id, header.fingerprint, weights)
    own_threads = threads // Grid.of(header).num_tiles

    def decode(tile: Tile) -> None:
        payload = parts.tiles[tile.index]
        decode_one(payload, tile, header, model, own_threads, max_error=header.quality_point)

    return damaged_tiles(parts, decode, threads, progress)


def decode_one(
    payload: TilePayload,
    tile: Tile,
    header: Header,
    model: LosslessModel,
    threads: int,
    *,
    max_error: int,
    base: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """The pixels of a tile, `(rows, columns, 3)`, or 4 of an undivided picture with alpha.

    Args:
        payload: of the tile.
        tile: where it lies.
        header: of the file.
        model: the lossless model.
        threads: how many threads to use.
        max_error: how far samples may be off.
        base: the pixels of the lossy picture in its place, if there is one.

    Raises:
        CorruptError: their checksum does not match, or no encoder writes these bytes.
    """
    area = tile.pixels(header.width, header.height)
    shape, is_grey = (area.rows, area.columns), header.is_colourless
    try:
        if header.is_undivided:
            pixels = decode_undivided(
                payload.y, *shape, is_grey=is_grey, has_alpha=header.has_alpha
            )
        else:
            pixels = decode_tile(
                model,
                payload.y,
                *shape,
                is_grey=is_grey,
                max_error=max_error,
                threads=threads,
                base=base,
            )
    except CorruptError as error:
        raise CorruptError(f"tile {tile.index}: {error}") from error
    if pixels_crc(header, tile.index, pixels) != payload.crc:
        raise CorruptError(f"tile {tile.index}: the checksum of its pixels does not match")
    return pixels

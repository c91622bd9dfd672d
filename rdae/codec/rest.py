"""Exact files with a lossy picture first: z, then x given z.

The lossy tiles are those of an ordinary file. What they decode to is the same on every machine, so
it can be predicted from: the pixels of each tile are coded given those of the lossy picture in its
place. Whoever wants no more than that picture needs neither these chunks nor their model. A tile of
exact pixels needs the lossy tiles that the synthesis of its own pixels sees, so damage to one of
them costs its neighbours their exactness, too, unless they are coded without it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.container import read_container, write_container
from rdae.bitstream.damage import Damage
from rdae.bitstream.rest import Rest
from rdae.bitstream.salvage import Parts
from rdae.bitstream.tiles import Grid, Tile
from rdae.codec.decoder import cells_seen, decode_pixels, decode_region
from rdae.codec.lossless import decode_one, encode_tiles
from rdae.codec.progress import Counter, Report, share_of
from rdae.errors import BitstreamError, CorruptError, UnknownModelError, option
from rdae.geometry import PATCH, Rectangle
from rdae.images.picture import Picture
from rdae.lossless.coding import GRAPHICS
from rdae.lossless.model import LosslessModel, is_lossless
from rdae.model.installed import find_lossless, find_model
from rdae.model.model import Model
from rdae.threads import parallel_map

LOSSY_SHARE = 0.2  # of the time that decoding takes
MOST_AT_ONCE = 1 << 24  # lossy pixels that a smaller region may need at a time


def encode_rest(
    picture: Picture,
    lossy: bytes,
    model: Model,
    lossless: LosslessModel,
    *,
    max_error: int = 0,
    threads: int = 1,
    progress: Report | None = None,
) -> bytes:
    """The exact file that has a lossy file of the same picture first.

    Args:
        picture: what to encode.
        lossy: the bytes of its lossy file.
        model: the model of that.
        lossless: the lossless model.
        max_error: how far a decoded sample may be from the picture's, 0 to 15.
        threads: how many threads to use.
        progress: is called after each tile, from any thread, one at a time.
    """
    container = read_container(lossy, max_pixels=picture.width * picture.height)
    base = decode_pixels(container, model, threads)
    exact = encode_tiles(
        picture, container.header, lossless, max_error, threads, progress, base=base
    )
    rest = Rest(lossless.model_id, lossless.fingerprint, max_error)
    return write_container(replace(container, rest=rest, exact=exact))


def decode_exact(
    parts: Parts,
    weights: Path | None,
    threads: int,
    *,
    best_effort: bool = False,
    progress: Report | None = None,
) -> NDArray[np.uint8]:
    """The exact colour pixels of the region that a file's parts were read for.

    Args:
        parts: what the file holds, with a `rest`. Its list of damage is corrected, as by
            `decode_region`.
        weights: a weights file to use instead of the installed lossy or lossless model.
        threads: how many threads to use.
        best_effort: leave lossy what cannot be made exact, and say which tiles; otherwise they are
            errors.
        progress: is called now and then, from any thread, one at a time.

    Returns:
        `(region.rows, region.columns, 3)`.

    Raises:
        BitstreamError: a tile that is needed is damaged or not there, and must not be.
    """
    header, region = parts.header, parts.region
    tiles = Grid.of(header).touching(region.scaled(1, PATCH))
    # All of each tile: the filters of its pixels see its lossy ones.
    areas = [tile.pixels(header.width, header.height) for tile in tiles]
    around = areas[0].hull(areas[-1])
    if len(tiles) == 1 or around.area <= max(MOST_AT_ONCE, 4 * region.area):
        return _decode_at_once(parts, around, weights, threads, progress, best_effort=best_effort)
    # Of a region that is long and thin, tile by tile: memory is to be that of the region.
    rgb = np.empty((region.rows, region.columns, 3), np.uint8)
    found: dict[int, Damage] = {}
    for i, (tile, area) in enumerate(zip(tiles, areas, strict=True)):
        part = replace(parts, region=area.common(region))
        share = share_of(progress, i / len(tiles), (i + 1) / len(tiles))
        rgb[part.region.seen_from(region).slices()] = _decode_at_once(
            part, area, weights, threads, share, best_effort=best_effort
        )
        for damage in part.damage:
            if damage.tile == tile:
                found[tile.index] = damage
            elif damage.tile is not None:  # of a neighbour, which may not be in the region
                found.setdefault(damage.tile.index, damage)
    parts.damage = [found[index] for index in sorted(found)] + [
        damage for damage in parts.damage if damage.tile is None
    ]
    return rgb


def _decode_at_once(
    parts: Parts,
    around: Rectangle,
    weights: Path | None,
    threads: int,
    progress: Report | None,
    *,
    best_effort: bool,
) -> NDArray[np.uint8]:
    """The same of a region whose tiles have few lossy pixels, those of `around`, or no others."""
    header = parts.header
    tiles = Grid.of(header).touching(around.scaled(1, PATCH))
    needed = {tile.index for tile in tiles}
    lost = {d.tile.index: d for d in parts.exact_damage if d.tile and d.tile.index in needed}
    if lost and not best_effort:
        error = lost[min(lost)].error
        is_lossy_whole = all(damage.tile is None for damage in parts.damage)
        raise _with_way_out(error) if is_lossy_whole else error
    model, lossless = _models(parts, weights, is_needed=bool(needed & parts.exact.keys()))
    own_threads = threads // len(tiles)
    beneath = replace(parts, region=around)
    rgb = decode_region(
        beneath,
        model,
        threads,
        best_effort=best_effort,
        progress=share_of(progress, 0, LOSSY_SHARE),
    )
    holes = {d.tile.index: d for d in beneath.damage if d.tile is not None}
    counter = Counter(share_of(progress, LOSSY_SHARE, 1), len(tiles))

    def place(tile: Tile) -> Damage | None:
        try:
            here = tile.pixels(header.width, header.height).seen_from(around).slices()
            rgb[here] = _exact_tile(parts, tile, model, lossless, rgb[here], holes, own_threads)
        except BitstreamError as error:
            if not best_effort:
                raise _with_way_out(error)  # noqa: B904 - it is the same error
            return holes.get(tile.index) or Damage("tile", error, tile, filled_with="lossy")
        finally:
            counter.add(1)
        hole = holes.get(tile.index)
        return None if hole is None else replace(hole, filled_with="exact")

    found = {d.tile.index: d for d in parallel_map(place, tiles, threads) if d and d.tile}
    found = {index: hole for index, hole in holes.items() if index not in needed} | found
    parts.damage = [found[index] for index in sorted(found)]
    parts.damage += [d for d in beneath.damage if d.tile is None]
    return np.ascontiguousarray(rgb[parts.region.seen_from(around).slices()])


def find_inexact(
    parts: Parts, weights: Path | None, threads: int, progress: Report | None = None
) -> list[Damage]:
    """All tiles of a file with a `rest` whose lossy or whose exact pixels are broken."""
    decode_exact(parts, weights, threads, best_effort=True, progress=progress)

    def found(damage: Damage) -> Damage:
        is_left = damage.is_partly_there or damage.filled_with in ("lossy", "exact")
        return replace(damage, filled_with="", is_partly_there=is_left)

    return [found(damage) for damage in parts.damage if damage.tile is not None]


def _exact_tile(
    parts: Parts,
    tile: Tile,
    model: Model,
    lossless: LosslessModel | None,
    base: NDArray[np.uint8],
    holes: dict[int, Damage],
    threads: int,
) -> NDArray[np.uint8]:
    """The exact pixels of a tile, given its lossy ones.

    Raises:
        BitstreamError: they are damaged, or what they are coded given is.
    """
    header, payload = parts.header, parts.exact.get(tile.index)
    if payload is None or lossless is None or parts.rest is None:
        lost = (d.error for d in parts.exact_damage if d.tile and d.tile.index == tile.index)
        raise next(lost)
    if payload.y[:1] != bytes([GRAPHICS]):
        seen = cells_seen(tile.pixels(header.width, header.height), header, model)
        for other in Grid.of(header).touching(seen):
            if other.index in holes:
                whose = f"those of tile {other.index}, which is damaged"
                raise CorruptError(f"the exact pixels of tile {tile.index} need {whose}")
    return decode_one(
        payload,
        tile,
        header,
        lossless,
        threads,
        max_error=parts.rest.max_error,
        base=base,
    )


def _models(
    parts: Parts, weights: Path | None, *, is_needed: bool
) -> tuple[Model, LosslessModel | None]:
    """The lossy model, and the lossless one if that is needed."""
    header, rest = parts.header, parts.rest
    is_for_rest = weights is not None and is_lossless(weights)
    model = find_model(header.model_id, header.fingerprint, None if is_for_rest else weights)
    if rest is None or not is_needed:
        return model, None
    try:
        exact_weights = weights if is_for_rest else None
        return model, find_lossless(rest.model_id, rest.fingerprint, exact_weights)
    except UnknownModelError as error:
        error.hint += f"; {option('lossy')} shows the lossy picture"
        raise


def _with_way_out(error: BitstreamError) -> BitstreamError:
    """The error of a tile; its hint says that there is a lossy picture."""
    error.hint = (
        f"copy or download it again; {option('lossy')} shows the lossy picture, "
        f"{option('best_effort')} saves what is left"
    )
    return error

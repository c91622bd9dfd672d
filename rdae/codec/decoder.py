"""The decoding half of the codec: tiles to y_hat, y_hat to the pixels of a picture or a part of it.

A region needs the tiles that it touches and as much of their neighbours as the synthesis sees.
Their cells are put on one grid; nothing outside of it is ever held.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.container import Container
from rdae.bitstream.damage import Damage
from rdae.bitstream.header import Header
from rdae.bitstream.salvage import Parts
from rdae.bitstream.tiles import Grid, Tile
from rdae.codec import coarse
from rdae.codec.concealment import fill
from rdae.codec.damaged_tiles import damaged_tiles, with_way_out
from rdae.codec.progress import Counter, Report
from rdae.codec.rendering import render
from rdae.codec.tile import decode_beginning, decode_tile
from rdae.errors import CorruptError
from rdae.geometry import PATCH, Rectangle
from rdae.model.model import Model
from rdae.network_spec import halo
from rdae.threads import parallel_map


def decode_pixels(container: Container, model: Model, threads: int) -> NDArray[np.uint8]:
    """The colour pixels `(H, W, 3)` of a parsed file.

    Raises:
        CorruptError: a tile is damaged.
    """
    return decode_region(Parts.of(container), model, threads)


def decode_region(
    parts: Parts,
    model: Model,
    threads: int,
    *,
    best_effort: bool = False,
    progress: Report | None = None,
) -> NDArray[np.uint8]:
    """The colour pixels of the region that a file's parts were read for.

    Args:
        parts: what the file holds. Its list of damage is corrected: broken tiles are added, and
            tiles that the region does not need are taken out.
        model: the file's model.
        threads: how many threads to use.
        best_effort: decode tiles of which there is a beginning as far as it goes; fill others from
            their neighbours, or with grey where nothing intact is beside them; and say which in
            the list of damage. Otherwise they are errors.
        progress: is called after each tile and each window of the synthesis, from any thread, one
            at a time.

    Returns:
        `(region.rows, region.columns, 3)`.

    Raises:
        BitstreamError: a tile that is needed is damaged or not there, and must not be.
    """
    region = parts.region
    header, window = parts.header, cells_seen(region, parts.header, model)
    tiles = Grid.of(header).touching(window)
    counter = Counter(progress, sum(tile.cells.area for tile in tiles) + window.area)
    return render(
        model,
        decode_latents(parts, window, model, threads, counter, best_effort=best_effort),
        header.quality_point,
        threads,
        area=region.seen_from(window.scaled(PATCH, 1)),
        is_grey=header.is_colourless,
        progress=counter.add,
    )


def decode_latents(
    parts: Parts,
    window: Rectangle,
    model: Model,
    threads: int,
    counter: Counter | None = None,
    *,
    best_effort: bool,
) -> NDArray[np.int16]:
    """Decode y_hat of a window of cells, `(rows, columns, M)`; judge the damage in its tiles."""
    header = parts.header
    tiles = Grid.of(header).touching(window)
    needed = {tile.index for tile in tiles}
    parts.damage = [d for d in parts.damage if d.tile is None or d.tile.index in needed]
    lost = {damage.tile.index: damage for damage in parts.damage if damage.tile is not None}
    if lost and not best_effort:
        raise with_way_out(lost[min(lost)].error, header)
    grid = _Latents(window, model.spec.latent_channels, has_gaps=bool(parts.beginnings))

    def decode_one(tile: Tile) -> Damage | None:
        try:
            return place(tile)
        except CorruptError as error:
            if best_effort:
                return lost.get(tile.index) or Damage("tile", error, tile)
            raise with_way_out(error, header)  # noqa: B904 - it is the same error
        finally:
            if counter is not None:
                counter.add(tile.cells.area)

    def place(tile: Tile) -> Damage | None:
        own_threads = threads // len(tiles)
        if tile.index not in lost:
            payload = parts.tiles[tile.index]
            grid.put(tile, decode_tile(model, header, tile, payload, own_threads)[1])
            return None
        if tile.index not in parts.beginnings:
            return lost[tile.index]
        beginning = parts.beginnings[tile.index]
        grid.put(tile, *decode_beginning(model, header, tile, beginning, own_threads))
        return replace(lost[tile.index], filled_with="coarse")

    damaged = [d for d in parallel_map(decode_one, tiles, threads) if d is not None]
    if damaged:
        grid.smooth()
        lost_cells = [d for d in damaged if d.tile is not None and not d.filled_with]
        holes = [d.tile.cells.common(window).seen_from(window) for d in lost_cells if d.tile]
        has_neighbours = iter(fill(grid.y_hat, holes))
        filled = [
            d
            if d.filled_with
            else replace(d, filled_with="neighbours" if next(has_neighbours) else "grey")
            for d in damaged
        ]
        parts.damage = filled + [d for d in parts.damage if d.tile is None]
    return grid.y_hat


class _Latents:
    """The latents of a window of cells, put together tile by tile, from any thread.

    Attributes:
        y_hat: `(rows, columns, M)`.
    """

    def __init__(self, window: Rectangle, channels: int, *, has_gaps: bool) -> None:
        self._window = window
        shape = window.rows, window.columns, channels
        self.y_hat: NDArray[np.int16] = np.empty(shape, np.int16)
        self._known = np.zeros(shape, bool) if has_gaps else None
        self._doubts: dict[int, tuple[NDArray[np.float64], NDArray[np.intp]]] = {}

    def put(
        self,
        tile: Tile,
        cells: NDArray[np.int16],
        known: NDArray[np.bool_] | None = None,
        doubt: NDArray[np.float64] | None = None,
    ) -> None:
        """Put a tile in its place: all of it, or as `decode_beginning` returns it."""
        both = tile.cells.common(self._window)
        here, there = both.seen_from(self._window).slices(), both.seen_from(tile.cells).slices()
        self.y_hat[here] = cells[there]
        if self._known is not None:
            self._known[here] = True if known is None else known[there]
        if known is not None and doubt is not None:
            self._doubts[tile.index] = doubt, (~known).sum((0, 1))

    def smooth(self) -> None:
        """Bring what the beginnings of tiles lack nearer to the truth."""
        if self._known is not None and self._doubts:
            # in the order of tiles, so that threads do not change a sum
            in_order = [self._doubts[index] for index in sorted(self._doubts)]
            doubts, gaps = zip(*in_order, strict=True)
            coarse.refine(self.y_hat, self._known, sum(doubts) / np.maximum(sum(gaps), 1))


def find_damaged_tiles(
    parts: Parts, model: Model, threads: int, progress: Report | None = None
) -> list[Damage]:
    """All tiles of a file that are broken or not there, found without making pixels of them."""

    def decode(tile: Tile) -> None:
        decode_tile(model, parts.header, tile, parts.tiles[tile.index])

    return damaged_tiles(parts, decode, threads, progress)


def cells_seen(region: Rectangle, header: Header, model: Model) -> Rectangle:
    """The latent cells that the synthesis must see to make these pixels."""
    reach = math.ceil(halo(model.spec.synthesis))
    every = Grid.of(header).cells
    return region.scaled(1, PATCH).grown(reach, every.rows, every.columns)

"""Tiles: the independently coded rectangles of the latent grid (FORMAT.md, Tiles)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.header import Header
from rdae.errors import RegionError

__all__ = [
    "Region",
    "TileRect",
    "symbols_crc",
    "tile_counts",
    "tile_grid",
    "tile_rect",
    "tile_region",
    "tiles_in",
]

_CELL = 16  # pixels that a latent cell spans
_TILE = 64  # latent cells that a tile spans: 1024 pixels
_HYPER = 4  # latent cells that a hyper-latent cell spans


@dataclass(frozen=True)
class Region:
    """A rectangle of a picture.

    Attributes:
        left: first column, in pixels.
        top: first row, in pixels.
        width: in pixels.
        height: in pixels.
    """

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The column after the last one."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The row after the last one."""
        return self.top + self.height

    def check_inside(self, width: int, height: int) -> None:
        """Check that the region is a part of a picture of `width` x `height` pixels.

        Raises:
            RegionError: it has no pixels, or some that the picture does not have.
        """
        name = f"{self.left},{self.top},{self.width},{self.height}"
        if self.width < 1 or self.height < 1:
            fault = "has no pixels"
        elif min(self.left, self.top) < 0 or self.right > width or self.bottom > height:
            fault = "does not lie inside of the picture"
        else:
            return
        raise RegionError(
            f"the region {name} {fault}; the picture is {width}x{height}",
            hint="a region is X,Y,W,H: the left and upper edge, width and height, in pixels",
        )


@dataclass(frozen=True)
class TileRect:
    """One tile.

    Attributes:
        index: position in raster order of tiles.
        top: first row, in latent cells of the picture.
        left: first column, in latent cells of the picture.
        rows: coded latent rows, 1 to 64.
        columns: coded latent columns, 1 to 64.
    """

    index: int
    top: int
    left: int
    rows: int
    columns: int

    @property
    def hyper_rows(self) -> int:
        """Rows of the tile's hyper-latent, all of them coded."""
        return -(-self.rows // _HYPER)

    @property
    def hyper_columns(self) -> int:
        """Columns of the tile's hyper-latent, all of them coded."""
        return -(-self.columns // _HYPER)


def tile_region(width: int, height: int, tile: TileRect) -> Region:
    """Return the pixels that a tile holds of a picture of `width` x `height` pixels."""
    left, top = tile.left * _CELL, tile.top * _CELL
    return Region(
        left,
        top,
        min(tile.columns * _CELL, width - left),
        min(tile.rows * _CELL, height - top),
    )


def tile_counts(width: int, height: int) -> tuple[int, int]:
    """Return (tile rows, tile columns) of a picture of `width` x `height` pixels."""
    return -(-height // (_CELL * _TILE)), -(-width // (_CELL * _TILE))


def tile_rect(width: int, height: int, index: int) -> TileRect:
    """Return tile number `index` of a picture of `width` x `height` pixels."""
    tile_rows, tile_columns = tile_counts(width, height)
    if not 0 <= index < tile_rows * tile_columns:
        raise ValueError(f"there is no tile {index} of {tile_rows * tile_columns}")
    row, column = divmod(index, tile_columns)
    top, left = row * _TILE, column * _TILE
    return TileRect(
        index=index,
        top=top,
        left=left,
        rows=min(_TILE, -(-height // _CELL) - top),
        columns=min(_TILE, -(-width // _CELL) - left),
    )


def tile_grid(width: int, height: int) -> list[TileRect]:
    """Return all tiles of a picture of `width` x `height` pixels, in raster order."""
    tile_rows, tile_columns = tile_counts(width, height)
    return [tile_rect(width, height, index) for index in range(tile_rows * tile_columns)]


def tiles_in(width: int, height: int, rows: range, columns: range) -> list[TileRect]:
    """Return the tiles that have latent cells in these rows and columns, in raster order."""
    across = tile_counts(width, height)[1]
    return [
        tile_rect(width, height, row * across + column)
        for row in range(rows.start // _TILE, -(-rows.stop // _TILE))
        for column in range(columns.start // _TILE, -(-columns.stop // _TILE))
    ]


def symbols_crc(
    header: Header,
    tile_index: int,
    z_symbols: NDArray[np.int32],
    y_symbols: NDArray[np.int32],
) -> int:
    """Return the CRC-32 that a tile carries.

    It covers the header too, so that a tile never passes in another picture or place.

    Args:
        header: of the file.
        tile_index: position in raster order of tiles.
        z_symbols: the hyper-latent's symbols, any shape whose C order is (row, column, channel).
        y_symbols: the symbols of the coded latent cells, in the same order.
    """
    crc = zlib.crc32(tile_index.to_bytes(4, "little"), zlib.crc32(header.pack()))
    for symbols in (z_symbols, y_symbols):
        crc = zlib.crc32(np.ascontiguousarray(symbols, dtype="<i4").tobytes(), crc)
    return crc

"""Tiles: the independently coded rectangles of the latent grid (FORMAT.md, Tiles)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.header import Header
from rdae.geometry import HYPER_CELLS, PATCH, Rectangle, padded

__all__ = [
    "TILE_CELLS",
    "Tile",
    "latent_cells",
    "pixels_crc",
    "symbols_crc",
    "tile_at",
    "tile_counts",
    "tile_grid",
    "tiles_in",
]

TILE_CELLS = 64  # latent cells that a tile spans, along each axis: 1024 pixels


@dataclass(frozen=True)
class Tile:
    """One tile.

    Attributes:
        index: position in raster order of tiles.
        cells: the latent cells of the picture that it codes, 1 to 64 rows and columns.
    """

    index: int
    cells: Rectangle

    @property
    def rows(self) -> int:
        """Coded rows of the latent."""
        return self.cells.rows

    @property
    def columns(self) -> int:
        """Coded columns of the latent."""
        return self.cells.columns

    @property
    def hyper_rows(self) -> int:
        """Rows of the tile's hyper-latent, all of them coded."""
        return padded(self.rows) // HYPER_CELLS

    @property
    def hyper_columns(self) -> int:
        """Columns of the tile's hyper-latent, all of them coded."""
        return padded(self.columns) // HYPER_CELLS

    def pixels(self, width: int, height: int) -> Rectangle:
        """The pixels that it holds of a picture of `width` x `height`."""
        return self.cells.scaled(PATCH, 1).common(Rectangle.whole(width, height))


def latent_cells(width: int, height: int) -> Rectangle:
    """Return the latent cells that are coded of a picture of `width` x `height` pixels."""
    return Rectangle.whole(width, height).scaled(1, PATCH)


def tile_counts(width: int, height: int) -> tuple[int, int]:
    """Return (tile rows, tile columns) of a picture of `width` x `height` pixels."""
    side = PATCH * TILE_CELLS
    return -(-height // side), -(-width // side)


def tile_at(width: int, height: int, index: int) -> Tile:
    """Return tile number `index` of a picture of `width` x `height` pixels."""
    tile_rows, tile_columns = tile_counts(width, height)
    if not 0 <= index < tile_rows * tile_columns:
        raise ValueError(f"there is no tile {index} of {tile_rows * tile_columns}")
    row, column = divmod(index, tile_columns)
    square = Rectangle.at(column * TILE_CELLS, row * TILE_CELLS, TILE_CELLS, TILE_CELLS)
    return Tile(index, square.common(latent_cells(width, height)))


def tile_grid(width: int, height: int) -> list[Tile]:
    """Return all tiles of a picture of `width` x `height` pixels, in raster order."""
    return tiles_in(width, height, latent_cells(width, height))


def tiles_in(width: int, height: int, cells: Rectangle) -> list[Tile]:
    """Return the tiles that have some of these latent cells, in raster order."""
    across = tile_counts(width, height)[1]
    touched = cells.scaled(1, TILE_CELLS)
    return [
        tile_at(width, height, row * across + column)
        for row in range(touched.top, touched.bottom)
        for column in range(touched.left, touched.right)
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


def pixels_crc(header: Header, tile_index: int, pixels: NDArray[np.uint8]) -> int:
    """Return the CRC-32 that a tile of a lossless file carries.

    Args:
        header: of the file.
        tile_index: position in raster order of tiles.
        pixels: `(rows, columns, 3)` of the tile, as a decoder returns them.
    """
    crc = zlib.crc32(tile_index.to_bytes(4, "little"), zlib.crc32(header.pack()))
    return zlib.crc32(np.ascontiguousarray(pixels).tobytes(), crc)

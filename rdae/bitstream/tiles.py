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
    "Grid",
    "Tile",
    "pixels_crc",
    "symbols_crc",
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


@dataclass(frozen=True)
class Grid:
    """The tiles of a picture.

    Attributes:
        width: of the picture in pixels.
        height: of the picture in pixels.
        is_undivided: all of it is one tile.
    """

    width: int
    height: int
    is_undivided: bool = False

    @classmethod
    def of(cls, header: Header) -> Grid:
        """The tiles of a file."""
        return cls(header.width, header.height, header.is_undivided)

    @property
    def cells(self) -> Rectangle:
        """The latent cells that are coded of the picture."""
        return Rectangle.whole(self.width, self.height).scaled(1, PATCH)

    @property
    def rows(self) -> int:
        """Rows of tiles."""
        return -(-self.cells.rows // self._side)

    @property
    def columns(self) -> int:
        """Columns of tiles."""
        return -(-self.cells.columns // self._side)

    @property
    def num_tiles(self) -> int:
        """How many tiles there are."""
        return self.rows * self.columns

    @property
    def _side(self) -> int:
        """Latent cells that a tile spans; 1 where there is no picture, in a damaged header."""
        return max(1, self.cells.rows, self.cells.columns) if self.is_undivided else TILE_CELLS

    def tile(self, index: int) -> Tile:
        """Return a tile by its position in raster order.

        Raises:
            ValueError: there is none.
        """
        if not 0 <= index < self.num_tiles:
            raise ValueError(f"there is no tile {index} of {self.num_tiles}")
        row, column = divmod(index, self.columns)
        square = Rectangle.at(column * self._side, row * self._side, self._side, self._side)
        return Tile(index, square.common(self.cells))

    def tiles(self) -> list[Tile]:
        """Return all tiles, in raster order."""
        return self.touching(self.cells)

    def touching(self, cells: Rectangle) -> list[Tile]:
        """Return the tiles that have some of these latent cells, in raster order."""
        touched = cells.scaled(1, self._side)
        return [
            self.tile(row * self.columns + column)
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
        pixels: `(rows, columns, 3)` of the tile, as a decoder returns them; `(rows, columns, 4)`
            of an undivided picture with alpha.
    """
    crc = zlib.crc32(tile_index.to_bytes(4, "little"), zlib.crc32(header.pack()))
    return zlib.crc32(np.ascontiguousarray(pixels).tobytes(), crc)

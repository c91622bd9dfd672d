"""One tile's latents: quantised to symbols, coded to bytes, and back to y_hat.

Order of symbols (FORMAT.md, section 8): z, then the four passes of y. Each pass predicts mean and
table of every latent from the hyper-latent's features and from what the passes before it decoded,
and codes a quarter of each channel group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.container import TilePayload
from rdae.bitstream.header import Header
from rdae.bitstream.range_coder import SymbolDecoder, SymbolEncoder
from rdae.bitstream.tiles import TileRect, symbols_crc
from rdae.errors import CorruptError
from rdae.model import Model
from rdae.spec import HYPER_PATCH, NUM_PASSES, PATCH

HYPER_CELLS = HYPER_PATCH // PATCH  # latent cells per hyper-latent cell, along each axis

Array = NDArray[Any]


@dataclass(frozen=True)
class TileSymbols:
    """What is sent of one tile.

    Attributes:
        z: `(hyper rows, hyper columns, N)` int32.
        y: `(rows, columns, M)` int32, rows and columns multiples of 4; 0 in cells not coded.
        indexes: table of each latent, as `y`, uint8.
    """

    z: NDArray[np.int32]
    y: NDArray[np.int32]
    indexes: NDArray[np.uint8]


def padded(cells: int) -> int:
    """`cells` rounded up to a whole number of hyper-latent cells."""
    return -(-cells // HYPER_CELLS) * HYPER_CELLS


def passes(
    model: Model, tile: TileRect
) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.bool_]]]:
    """For each pass k: `(k, turn, coded)`, masks of shape `(rows, columns, M)`.

    `turn` holds the latents that the pass fixes, `coded` those of them that lie in a cell of the
    picture; the others, in the padding to multiples of 4, have symbol 0 and are not coded.
    """
    which = model.pass_map(padded(tile.rows), padded(tile.columns))
    for k in range(NUM_PASSES):
        turn = which == k
        coded = turn.copy()
        coded[tile.rows :] = False
        coded[:, tile.columns :] = False
        yield k, turn, coded


def quantise_tile(
    model: Model, tile: TileRect, y: NDArray[np.float32], point: int, threads: int = 1
) -> TileSymbols:
    """Choose a tile's symbols, pass by pass, from what the decoder will predict.

    Args:
        model: the model.
        tile: where the tile lies.
        y: `(rows, columns, M)` of this tile, padded to multiples of 4.
        point: quality point, 0 to 255.
        threads: how many threads work on this tile.
    """
    z = model.quantise_z(y, point)
    features = model.features(z, point)
    y_hat = np.zeros(y.shape)
    symbols, indexes = np.zeros(y.shape, np.int32), np.zeros(y.shape, np.uint8)
    for k, turn, coded in passes(model, tile):
        mean, rows = model.predict(k, features, y_hat, point, threads)
        np.copyto(symbols, model.quantise_y(y, mean, rows, point), where=coded)
        np.copyto(indexes, rows, where=coded)
        np.copyto(y_hat, model.dequantise_y(symbols, mean, point), where=turn)
    return TileSymbols(z, symbols, indexes)


def encode_tile(model: Model, header: Header, tile: TileRect, symbols: TileSymbols) -> TilePayload:
    """Code a tile's symbols."""
    point = header.quality_point
    z_encoder = SymbolEncoder()
    z_encoder.put(symbols.z.ravel(), _channels(symbols.z), model.z_tables(point))
    y_encoder = SymbolEncoder()
    for _, _, coded in passes(model, tile):
        y_encoder.put(symbols.y[coded], symbols.indexes[coded], model.y_tables)
    crc = symbols_crc(header, tile.index, symbols.z, symbols.y[: tile.rows, : tile.columns])
    return TilePayload(z_encoder.finish(), y_encoder.finish(), crc)


def decode_tile(
    model: Model, header: Header, tile: TileRect, payload: TilePayload, threads: int = 1
) -> tuple[TileSymbols, Array]:
    """Decode a tile, with `threads` threads of its own.

    Returns:
        Its symbols, and y_hat `(rows, columns, M)` of the coded cells, integers in float64.

    Raises:
        CorruptError: the checksum of the symbols does not match, or no encoder writes these bytes.
    """
    point = header.quality_point
    try:
        z = np.empty((tile.hyper_rows, tile.hyper_columns, model.spec.hyper_channels), np.int32)
        decoder = SymbolDecoder(payload.z)
        z[:] = decoder.get(_channels(z), model.z_tables(point)).reshape(z.shape)
        decoder.finish()
        features = model.features(z, point)
        decoder = SymbolDecoder(payload.y)
        shape = (*features.shape[:2], model.spec.latent_channels)
        y_hat = np.zeros(shape)
        symbols, indexes = np.zeros(shape, np.int32), np.zeros(shape, np.uint8)
        for k, turn, coded in passes(model, tile):
            mean, rows = model.predict(k, features, y_hat, point, threads)
            np.copyto(indexes, rows, where=coded)
            symbols[coded] = decoder.get(rows[coded], model.y_tables)
            np.copyto(y_hat, model.dequantise_y(symbols, mean, point), where=turn)
        decoder.finish()
    except CorruptError as error:
        raise CorruptError(f"tile {tile.index}: {error}") from error
    if symbols_crc(header, tile.index, z, symbols[: tile.rows, : tile.columns]) != payload.crc:
        raise CorruptError(f"tile {tile.index}: the checksum of its symbols does not match")
    return TileSymbols(z, symbols, indexes), y_hat[: tile.rows, : tile.columns]


def ideal_bits(
    model: Model, tile: TileRect, symbols: TileSymbols, point: int
) -> tuple[float, float]:
    """Bits of z and of y that a perfect coder would need under the model's integer tables."""
    coded = (slice(tile.rows), slice(tile.columns))
    z = model.z_tables(point).bits(symbols.z.ravel(), _channels(symbols.z))
    y = model.y_tables.bits(symbols.y[coded].ravel(), symbols.indexes[coded].ravel())
    return z, y


def _channels(z: NDArray[np.int32]) -> NDArray[np.intp]:
    """The table of each hyper-latent symbol in raster order: its channel."""
    return np.tile(np.arange(z.shape[2]), z.shape[0] * z.shape[1])

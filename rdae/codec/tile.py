"""One tile's latents: quantised to symbols, coded to bytes, and back to y_hat.

Order of symbols (FORMAT.md, section 8): z, then the four passes of y. Each pass predicts mean and
table of every latent from the hyper-latent's features and from what the passes before it decoded,
and codes a quarter of each channel group.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.container import TilePayload
from rdae.bitstream.header import Header
from rdae.bitstream.range_coder import SymbolDecoder, SymbolEncoder
from rdae.bitstream.salvage import Beginning
from rdae.bitstream.tiles import Tile, symbols_crc
from rdae.errors import CorruptError
from rdae.model.model import Model
from rdae.model.quarters import put, take
from rdae.model.spec import NUM_PASSES
from rdae.model.symbols import TileSymbols

Array = NDArray[Any]


def quantise_tile(
    model: Model,
    tile: Tile,
    y: NDArray[np.float32],
    point: int,
    threads: int = 1,
    *,
    rate_aware: bool = True,
    z: NDArray[np.int32] | None = None,
) -> tuple[TileSymbols, Array]:
    """Choose a tile's symbols, pass by pass, from what the decoder will predict.

    Args:
        model: the model.
        tile: where the tile lies.
        y: `(rows, columns, M)` of this tile, padded to multiples of 4.
        point: quality point, 0 to 255.
        threads: how many threads work on this tile.
        rate_aware: see `EncoderHalf.quantise_y`.
        z: symbols of the hyper-latent; those that belong to `y` if None.

    Returns:
        As of `follow_passes`.
    """
    encoder = model.encoder_half

    def choose(k: int, mean: Array, rows: NDArray[np.uint8]) -> NDArray[np.int32]:
        return encoder.quantise_y(k, take(k, y), mean, rows, point, rate_aware=rate_aware)

    z = encoder.quantise_z(y, point) if z is None else z
    return follow_passes(model, tile, z, choose, point, threads)


def follow_passes(
    model: Model,
    tile: Tile,
    z: Array,
    symbols_of: Callable[[int, Array, NDArray[np.uint8]], Array],
    point: int,
    threads: int = 1,
) -> tuple[TileSymbols, Array]:
    """Go through the passes of a tile, the same way for encoder, decoder and estimates.

    Args:
        model: the model.
        tile: where the tile lies.
        z: `(hyper rows, hyper columns, N)` symbols of the hyper-latent: int32, or floats for
            symbols with noise, as those of y are then.
        symbols_of: the symbols of a pass from its number, means and table indexes; all of them are
            quarters `(rows, columns, M/4)`. In cells that are not coded, the symbols are not used.
        point: quality point, 0 to 255.
        threads: how many threads work on this tile.

    Returns:
        The symbols, and y_hat `(rows, columns, M)` of the coded cells, int16.
    """
    features = model.features(z, point, threads)
    shape = (*features.shape[:2], model.spec.latent_channels)
    y_hat = np.zeros(shape, np.int16)
    symbols, indexes = np.zeros(shape, z.dtype), np.zeros(shape, np.uint8)
    coded = slice(tile.rows), slice(tile.columns)
    for k in range(NUM_PASSES):
        mean, rows = model.predict(k, features, y_hat, point, threads)
        quarter = np.zeros(mean.shape, z.dtype)
        quarter[coded] = symbols_of(k, mean, rows)[coded]
        put(k, quarter[coded], symbols[coded])
        put(k, rows[coded], indexes[coded])
        put(k, model.dequantise_y(k, quarter, mean, point), y_hat)
    return TileSymbols(z, symbols, indexes), y_hat[coded]


def encode_tile(model: Model, header: Header, tile: Tile, symbols: TileSymbols) -> TilePayload:
    """Code a tile's symbols."""
    point = header.quality_point
    z_encoder = SymbolEncoder()
    z_encoder.put(symbols.z.ravel(), channel_tables(symbols.z), model.z_tables(point))
    y_encoder = SymbolEncoder()
    coded = slice(tile.rows), slice(tile.columns)
    y, indexes = symbols.y[coded], symbols.indexes[coded]
    for k in range(NUM_PASSES):
        y_encoder.put(take(k, y).ravel(), take(k, indexes).ravel(), model.y_tables)
    crc = symbols_crc(header, tile.index, symbols.z, y)
    return TilePayload(z_encoder.finish(), y_encoder.finish(), crc)


def decode_tile(
    model: Model, header: Header, tile: Tile, payload: TilePayload, threads: int = 1
) -> tuple[TileSymbols, Array]:
    """Decode a tile, with `threads` threads of its own.

    Returns:
        Its symbols, and y_hat `(rows, columns, M)` of the coded cells, int16.

    Raises:
        CorruptError: the checksum of the symbols does not match, or no encoder writes these bytes.
    """
    point = header.quality_point
    try:
        z = np.empty((tile.hyper_rows, tile.hyper_columns, model.spec.hyper_channels), np.int32)
        decoder = SymbolDecoder(payload.z)
        z[:] = decoder.get(channel_tables(z), model.z_tables(point)).reshape(z.shape)
        decoder.finish()
        decoder = SymbolDecoder(payload.y)

        def decode_quarter(k: int, mean: Array, rows: NDArray[np.uint8]) -> NDArray[np.int32]:
            coded = rows[: tile.rows, : tile.columns]
            return decoder.get(coded.ravel(), model.y_tables).reshape(coded.shape)

        symbols, y_hat = follow_passes(model, tile, z, decode_quarter, point, threads)
        decoder.finish()
    except CorruptError as error:
        raise CorruptError(f"tile {tile.index}: {error}") from error
    if symbols_crc(header, tile.index, z, symbols.y[: tile.rows, : tile.columns]) != payload.crc:
        raise CorruptError(f"tile {tile.index}: the checksum of its symbols does not match")
    return symbols, y_hat


def decode_beginning(
    model: Model, header: Header, tile: Tile, beginning: Beginning, threads: int = 1
) -> tuple[Array, NDArray[np.bool_], NDArray[np.float64]]:
    """Decode a tile as far as it goes. What is not there is what the passes expect: their means.

    Returns:
        y_hat `(rows, columns, M)` of the coded cells, int16; which of it is known, likewise; and
        the square error that the model expects of the rest, `(M,)`, summed over the cells.
    """
    point = header.quality_point
    z = np.empty((tile.hyper_rows, tile.hyper_columns, model.spec.hyper_channels), np.int32)
    decoder = SymbolDecoder(beginning.z, is_cut=not beginning.is_whole_z)
    z[:] = decoder.get(channel_tables(z), model.z_tables(point)).reshape(z.shape)
    decoder = SymbolDecoder(beginning.y, is_cut=True)
    known = np.zeros((tile.rows, tile.columns, model.spec.latent_channels), bool)

    def decode_quarter(k: int, mean: Array, rows: NDArray[np.uint8]) -> NDArray[np.int32]:
        coded = rows[: tile.rows, : tile.columns]
        symbols, is_there = decoder.get_known(coded.ravel(), model.y_tables)
        put(k, is_there.reshape(coded.shape), known)
        return symbols.reshape(coded.shape)

    symbols, y_hat = follow_passes(model, tile, z, decode_quarter, point, threads)
    power = model.y_tables.powers[symbols.indexes[: tile.rows, : tile.columns]]
    return y_hat, known, (power * ~known).sum((0, 1)) * model.y_step(point) ** 2


def ideal_bits(model: Model, tile: Tile, symbols: TileSymbols, point: int) -> tuple[float, float]:
    """Bits of z and of y that a perfect coder would need under the model's integer tables."""
    coded = (slice(tile.rows), slice(tile.columns))
    z = model.z_tables(point).bits(symbols.z.ravel(), channel_tables(symbols.z))
    y = model.y_tables.bits(symbols.y[coded].ravel(), symbols.indexes[coded].ravel())
    return z, y


def channel_tables(z: Array) -> NDArray[np.intp]:
    """The table of each hyper-latent symbol in raster order: its channel."""
    return np.tile(np.arange(z.shape[2]), z.shape[0] * z.shape[1])

"""The codec's story on one page: a Picture to the bytes of a .rd file, and back.

    Picture ─> analysis ─> y ─> per tile: z, four passes ─> symbols ─> range coder ─> bytes
    bytes ─> per tile: symbols, y_hat ─> synthesis over the whole grid ─> Picture

Tiles are coded independently, on several threads; only the synthesis runs over the assembled
grid, so there are no seams. Decoding is exact: the same bytes give the same pixels everywhere.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.container import Container, Info, parse_info, read_container, write_container
from rdae.bitstream.header import Header
from rdae.bitstream.limits import MAX_DIMENSION, MAX_PIXELS
from rdae.bitstream.tiles import TileRect, tile_grid
from rdae.errors import TooLargeError
from rdae.exact.parallel import default_threads, parallel_map
from rdae.latents import TileSymbols, decode_tile, encode_tile, padded, quantise_tile
from rdae.model import Model
from rdae.picture import Picture
from rdae.rate import DEFAULT_QUALITY, quality_to_point
from rdae.spec import HYPER_PATCH, PATCH
from rdae.store import find_model, load_model

__all__ = ["DEFAULT_QUALITY", "MAX_PIXELS", "Encoded", "decode", "encode", "read_info"]


@dataclass(frozen=True)
class Encoded:
    """An encoded picture.

    Attributes:
        data: the bytes of the .rd file.
        info: its size in parts, as `read_info` gives it.
        encode_s: wall time of the encoding in seconds, without loading the model.
    """

    data: bytes
    info: Info
    encode_s: float


def encode(
    picture: Picture,
    *,
    quality: float = DEFAULT_QUALITY,
    model: Model | None = None,
    threads: int | None = None,
) -> Encoded:
    """Encode a picture.

    Args:
        picture: what to encode.
        quality: 0 (smallest) to 100 (best).
        model: the model; the default one if None.
        threads: how many threads to use; one per core if None.

    Raises:
        ValueError: quality is out of range.
        TooLargeError: a side is longer than a header can say.
        WeightsNotFoundError: there is no default model.
    """
    point = quality_to_point(quality)
    if max(picture.width, picture.height) > MAX_DIMENSION:
        raise TooLargeError(
            f"the picture is {picture.width}x{picture.height}, a side may have {MAX_DIMENSION}",
            hint="cut it into pieces",
        )
    model = model or load_model()
    start = time.perf_counter()
    threads = threads or default_threads()
    header = Header(
        width=picture.width,
        height=picture.height,
        quality_point=point,
        model_id=model.description.model_id,
        fingerprint=model.fingerprint,
        is_grey=picture.is_grey,
        has_alpha=picture.alpha is not None,
    )
    tiles = tile_grid(header.width, header.height)
    symbols = quantise(picture, model, point, threads)
    payloads = parallel_map(
        lambda i: encode_tile(model, header, tiles[i], symbols[i]), range(len(tiles)), threads
    )
    data = write_container(
        Container(header, tuple(payloads), picture.alpha, picture.icc, picture.exif, picture.xmp)
    )
    return Encoded(data, parse_info(data), time.perf_counter() - start)


def quantise(picture: Picture, model: Model, point: int, threads: int) -> list[TileSymbols]:
    """The symbols of every tile of a picture at a quality point."""
    tiles = tile_grid(picture.width, picture.height)
    y = model.analyse(_pad_to_hyper_patches(picture.rgb), point, threads)

    def quantise_one(tile: TileRect) -> TileSymbols:
        bottom, right = tile.top + padded(tile.rows), tile.left + padded(tile.columns)
        cells = y[tile.top : bottom, tile.left : right]
        return quantise_tile(model, tile, cells, point, threads // len(tiles))

    return parallel_map(quantise_one, tiles, threads)


def decode(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    weights: Path | None = None,
    threads: int | None = None,
) -> Picture:
    """Decode the bytes of a .rd file.

    Args:
        data: the whole file.
        max_pixels: refuse larger pictures before anything is allocated for them.
        weights: a weights file to use instead of the installed ones; it must be the file's model.
        threads: how many threads to use; one per core if None.

    Raises:
        BitstreamError: the bytes are not a valid .rd file.
        TooLargeError: the picture has more than `max_pixels` pixels.
        ModelError: the file's model is not there.
    """
    container = read_container(data, max_pixels=max_pixels)
    header = container.header
    model = find_model(header.model_id, header.fingerprint, weights)
    threads = threads or default_threads()
    rgb = decode_pixels(container, model, threads)
    if header.is_grey:
        grey = ((rgb.sum(axis=2, dtype=np.uint16) + 1) // 3).astype(np.uint8)
        rgb = np.repeat(grey[:, :, None], 3, axis=2)
    return Picture(
        rgb=rgb,
        alpha=container.alpha,
        is_grey=header.is_grey,
        icc=container.icc,
        exif=container.exif,
        xmp=container.xmp,
    )


def decode_pixels(container: Container, model: Model, threads: int) -> NDArray[np.uint8]:
    """The colour pixels `(H, W, 3)` of a parsed file.

    Raises:
        CorruptError: a tile is damaged.
    """
    header = container.header
    tiles = tile_grid(header.width, header.height)
    rows, columns = -(-header.height // PATCH), -(-header.width // PATCH)
    # float32 holds every integer below 2^24
    y_hat = np.empty((rows, columns, model.spec.latent_channels), np.float32)

    def decode_one(tile: TileRect) -> None:
        bottom, right = tile.top + tile.rows, tile.left + tile.columns
        payload = container.tiles[tile.index]
        _, cells = decode_tile(model, header, tile, payload, threads // len(tiles))
        y_hat[tile.top : bottom, tile.left : right] = cells

    parallel_map(decode_one, tiles, threads)
    rgb = model.synthesise(y_hat, header.quality_point, threads)
    return np.ascontiguousarray(rgb[: header.height, : header.width])


def read_info(data: bytes) -> Info:
    """Read what a .rd file contains without decoding it; no weights are needed.

    Raises:
        BitstreamError: the bytes are not a valid .rd file.
    """
    return parse_info(data)


def _pad_to_hyper_patches(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row and column until both sides are multiples of 64."""
    height, width = rgb.shape[:2]
    return np.pad(rgb, ((0, -height % HYPER_PATCH), (0, -width % HYPER_PATCH), (0, 0)), mode="edge")

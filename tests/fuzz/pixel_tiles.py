"""Tiles of lossless files with any pixels and parameters: legal, but no encoder's choice.

Filters, corrections and samples are random, so sums, tables, escapes and clipping meet values that
no photo leads to. What is coded here is a valid tile: a decoder must give its pixels.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from anatomy import Anatomy, Piece
from numpy.typing import NDArray

from rdae.bitstream.graphics import encode_graphics
from rdae.bitstream.header import Header
from rdae.bitstream.tiles import Grid, Tile, pixels_crc
from rdae.bitstream.varint import pack_varint
from rdae.errors import CorruptError
from rdae.lossless import stream as pixel_stream
from rdae.lossless.coding import GRAPHICS, NETWORK, decode_tile, decode_undivided
from rdae.lossless.fit import Fitted
from rdae.lossless.parameters import BASE, LARGEST_FACTOR, NONE, WINDOWS, Parameters, num_taps
from rdae.model.installed import load_lossless

Pixels = NDArray[np.uint8]

R = ord("R")
_ALWAYS, _NEVER = 0, 1 << 30  # cells from which on a level has parameters


def wild_samples(
    rows: int, columns: int, rng: random.Random, *, is_grey: bool, has_alpha: bool = False
) -> Pixels:
    """Pixels of noise, of a ramp, of extremes, of one colour, or of few; or four channels."""
    if has_alpha:
        both = [wild_samples(rows, columns, rng, is_grey=grey) for grey in (is_grey, True)]
        return np.concatenate([both[0], both[1][..., :1]], axis=2)
    chance, shape = np.random.default_rng(rng.getrandbits(32)), (rows, columns, 3)
    kind = rng.randrange(5)
    if kind == 0:
        samples = chance.integers(0, 256, shape)
    elif kind == 1:
        slopes = chance.integers(-20, 20, (2, 3))
        samples = np.indices((rows, columns)).transpose(1, 2, 0) @ slopes
        samples = samples + chance.integers(0, 8, shape)
    elif kind == 2:
        samples = chance.choice((0, 255), shape)
    elif kind == 3:
        samples = np.broadcast_to(chance.integers(0, 256, 3), shape)
    else:
        samples = chance.integers(0, 256, (4, 3))[chance.integers(0, 4, (rows, columns))]
    pixels = samples.astype(np.uint8)
    return np.repeat(pixels[..., 1:2], 3, axis=2) if is_grey else np.ascontiguousarray(pixels)


def wild_parameters(number: int, rng: random.Random, *, has_base: bool = False) -> Parameters:
    """Any legal parameters of a pass."""
    chance = np.random.default_rng(rng.getrandbits(32))
    found = Parameters(kind=rng.choice((NONE, *WINDOWS, *([BASE] if has_base else []))))
    most = rng.choice((0, 1, 8, 127))
    for name in ("slope", "row", "shape", "statistic"):
        setattr(found, name, chance.integers(-most - 1, most + 1, 3).astype(np.int32))
    if found.kind != NONE:
        count = num_taps(number, found.kind, has_base=has_base)
        most = rng.choice((1, 10, 300))  # with 300 the sums come near 32 bits
        found.filter = chance.integers(-most, most + 1, (count, 3)).astype(np.int32)
        found.offset = chance.integers(-32768, 32768, 3).astype(np.int32) >> rng.randrange(16)
        for name in ("factors", "gain"):
            most = rng.choice((1, 100, LARGEST_FACTOR))
            setattr(found, name, chance.integers(-most, most + 1, 3).astype(np.int32))
    return found


@contextmanager
def _wild_fit(rng: random.Random) -> Iterator[None]:
    """Let the encoder draw parameters instead of fitting them, at all levels or at none."""

    def draw(walk: Any, *_: Any) -> Fitted:
        return Fitted(wild_parameters(walk.number, rng, has_base=walk.has_base), [])

    cells = rng.choice((_ALWAYS, _ALWAYS, _NEVER))
    with (
        mock.patch.object(pixel_stream, "fit_pass", draw),
        mock.patch.object(pixel_stream, "FITTED_CELLS", cells),
        mock.patch.object(pixel_stream, "FITTED_ON_BASE", cells),
    ):
        yield


def coded(
    header: Header,
    tile: Tile,
    pixels: Pixels,
    rng: random.Random,
    max_error: int,
    base: Pixels | None = None,
) -> Piece:
    """The chunk of a tile with these pixels, or others as near as the largest error allows."""
    if header.is_undivided or rng.random() < 0.3:
        payload, decoded = bytes([GRAPHICS]) + encode_graphics(pixels), pixels
    else:
        with _wild_fit(rng):
            stream, decoded = pixel_stream.encode_pixels(
                load_lossless(),
                pixels,
                is_grey=header.is_colourless,
                max_error=max_error,
                base=base,
            )
        payload = bytes([NETWORK]) + stream
    return Piece(R, payload, pixels_crc(header, tile.index, decoded))


def wild_tiles(
    header: Header,
    rng: random.Random,
    max_error: int | None = None,
    base: Pixels | None = None,
) -> list[Piece]:
    """The chunks of all tiles of a picture that nobody has seen.

    Args:
        header: of the file.
        rng: chooses.
        max_error: the largest error, if that is not the header's.
        base: the lossy picture that they are coded given, if there is one.
    """
    pieces, most = [], header.quality_point if max_error is None else max_error
    for tile in Grid.of(header).tiles():
        area = tile.pixels(header.width, header.height)
        has_alpha = header.has_alpha and header.is_undivided
        pixels = wild_samples(
            area.rows, area.columns, rng, is_grey=header.is_colourless, has_alpha=has_alpha
        )
        beneath = None if base is None else base[area.slices()]
        pieces.append(coded(header, tile, pixels, rng, most, beneath))
    return pieces


def alpha_tiles(width: int, height: int, rng: random.Random, *, is_legal: bool) -> bytes:
    """The tiles of an alpha plane as WebP with their lengths; some broken if not legal."""
    tiles, out = Grid(width, height).tiles(), b""  # a damaged header may say 0 rows or columns
    is_wrong_number = bool(tiles) and not is_legal and rng.random() >= 0.7
    for tile in rng.choices(tiles, k=2) if is_wrong_number else tiles:
        area = tile.pixels(width, height)
        is_grey = is_legal or rng.random() < 0.7
        stream = encode_graphics(wild_samples(area.rows, area.columns, rng, is_grey=is_grey))
        if not is_legal and rng.random() < 0.5:
            stream = changed_payload(bytes([GRAPHICS]) + stream, rng)[1:]
        length = len(stream) + (not is_legal and rng.random() < 0.2)
        out += pack_varint(length) + stream
    return out


def decoded(header: Header, tile: Tile, payload: bytes) -> Pixels | None:
    """What the library makes of the payload of a tile, whatever its checksum says."""
    area, is_grey = tile.pixels(header.width, header.height), header.is_colourless
    shape = area.rows, area.columns
    try:
        if header.is_undivided:
            return decode_undivided(payload, *shape, is_grey=is_grey, has_alpha=header.has_alpha)
        most = header.quality_point
        return decode_tile(load_lossless(), payload, *shape, is_grey=is_grey, max_error=most)
    except CorruptError:
        return None


def with_true_checks(anatomy: Anatomy) -> None:
    """Give every tile that decodes to anything the checksum of that."""
    header = anatomy.header
    places = [i for i, piece in enumerate(anatomy.chunks) if piece.letter == R]
    for tile, at in zip(Grid.of(header).tiles(), places, strict=False):
        pixels = decoded(header, tile, anatomy.chunks[at].payload)
        if pixels is not None:
            crc = pixels_crc(header, tile.index, pixels)
            anatomy.chunks[at] = Piece(R, anatomy.chunks[at].payload, crc)


def changed_payload(payload: bytes, rng: random.Random) -> bytes:
    """Another method, or other fields of WebP's header, or words put in or taken away."""
    method, stream = payload[:1], payload[1:]
    kind = rng.randrange(5)
    if kind == 0:
        method = bytes([rng.choice((0, 1, 2, 255))])
    elif kind == 1 and len(stream) >= 5:  # size, alpha_is_used, version
        fields = int.from_bytes(stream[1:5], "little") ^ 1 << rng.randrange(32)
        stream = stream[:1] + fields.to_bytes(4, "little") + stream[5:]
    elif kind == 2:
        stream = stream[: 4 * rng.randint(0, len(stream) // 4)]
    elif kind == 3:
        stream += rng.choice((bytes(4), b"\xff" * 4, rng.randbytes(4 * rng.randint(1, 9))))
    else:  # the beginning is that of the pixel at the top, and then of parameters
        at = 4 * rng.randrange(min(4, len(stream) // 4 + 1))
        stream = stream[:at] + rng.randbytes(4) + stream[at + 4 :]
    return method + stream

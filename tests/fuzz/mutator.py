"""Damage with a plan: a .rd file taken apart, changed, and put together so that checksums hold.

A tile's CRC is of decoded symbols or pixels, so wild ones are really encoded: their file is valid,
and a decoder must give a picture of it, whatever they are.

All choices come from a `random.Random`: the same seed makes the same file.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

import numpy as np
import pixel_tiles
from anatomy import ALPHA, GREY, LOSSLESS, NEUTRAL, UNDIVIDED, Anatomy, Piece, assemble, dissect
from numpy.typing import NDArray

from rdae.bitstream.container import TilePayload, read_container
from rdae.bitstream.header import Header
from rdae.bitstream.tiles import Grid, Tile
from rdae.codec import decode
from rdae.codec.tile import decode_tile, encode_tile, follow_passes
from rdae.errors import RdaeError
from rdae.geometry import padded
from rdae.model.installed import find_model, load_lossless, load_model
from rdae.model.model import Model
from rdae.model.quarters import take
from rdae.scales import MAX_ERROR

MAX_PIXELS = 1 << 15  # of pictures that are made here; they decode in milliseconds

_BOMB = zlib.compress(bytes(9 << 20), 9)  # 9 kB that inflate to more than metadata may have
_SIZES = (0, 1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 1024, 1025, 16383, (1 << 24) - 1, 1 << 24)
_EXTREMES = (-32768, -32767, -256, -129, -2, -1, 0, 1, 2, 128, 255, 32766, 32767)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change a file in one to three places; the result is mostly damaged, sometimes valid."""
    anatomy = dissect(data)
    if anatomy is None or rng.random() < 0.02:
        return rng.choice((wild_file, wild_lossless_file, wild_base_file))(rng)
    for _ in range(rng.randint(1, 3)):
        rng.choice(_MUTATIONS)(anatomy, rng)
    result = assemble(anatomy)
    return _scratched(result, rng) if rng.random() < 0.1 else result


def wild_file(rng: random.Random, *, longest: int = 100) -> bytes:
    """A valid file of the default model, with symbols that no picture has.

    Args:
        rng: chooses.
        longest: side in pixels; but if it is 100 or more, some files have several tiles.
    """
    model = load_model()
    width, height = _wild_size(rng, longest)
    flags = rng.choice((0, GREY, NEUTRAL)) | rng.choice((0, ALPHA))
    point = rng.choice((0, 255, rng.randrange(256)))
    model_id = model.description.model_id
    anatomy = Anatomy(0x20 | flags, model_id, model.fingerprint, point, width, height)
    if flags & ALPHA:
        anatomy.chunks.append(_alpha_chunk(anatomy, rng))
    payloads = []
    for tile in Grid(width, height).tiles():
        z, y = _shapes(model, tile)
        payloads.append(_coded(model, anatomy.header, tile, _wild(z, rng), _wild(y, rng)))
    anatomy.chunks += _layered(payloads)
    return assemble(anatomy)


def wild_lossless_file(rng: random.Random, *, longest: int = 100) -> bytes:
    """A valid lossless or near-lossless file, with pixels and parameters as no encoder has them.

    Arguments as of `wild_file`.
    """
    model = load_lossless()
    width, height = _wild_size(rng, longest)
    flags = LOSSLESS | rng.choice((0, GREY, NEUTRAL)) | rng.choice((0, ALPHA))
    most = rng.choice((0, 0, 1, rng.randint(0, MAX_ERROR), UNDIVIDED))
    anatomy = Anatomy(0x20 | flags, model.model_id, model.fingerprint, most, width, height)
    if flags & ALPHA and not anatomy.is_undivided:
        anatomy.chunks.append(_alpha_chunk(anatomy, rng))
    anatomy.chunks += pixel_tiles.wild_tiles(anatomy.header, rng)
    return assemble(anatomy)


def wild_base_file(rng: random.Random, *, longest: int = 100) -> bytes:
    """The same with a lossy picture first, of symbols that no picture has.

    Arguments as of `wild_file`.
    """
    lossy = wild_file(rng, longest=longest)
    anatomy, model = dissect(lossy), load_lossless()
    assert anatomy is not None
    most = rng.choice((0, 0, 1, rng.randint(0, MAX_ERROR)))
    base = decode(lossy, threads=1).rgb
    anatomy.chunks += pixel_tiles.wild_tiles(anatomy.header, rng, most, base)
    anatomy.chunks.insert(0, _exact_chunk(model.model_id, model.fingerprint, most))
    return assemble(anatomy)


def _exact_chunk(model_id: int, fingerprint: bytes, max_error: int) -> Piece:
    """A chunk L."""
    return Piece(ord("L"), bytes((model_id,)) + fingerprint + bytes((max_error,)))


def _wild_size(rng: random.Random, longest: int) -> tuple[int, int]:
    if longest >= 100 and rng.random() < 0.15:
        width, height = rng.sample([rng.randint(1025, 2100), rng.randint(1, 7)], 2)
        return width, height
    return rng.randint(1, longest), rng.randint(1, longest)


def _shapes(model: Model, tile: Tile) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of z and y."""
    z = (tile.hyper_rows, tile.hyper_columns, model.spec.hyper_channels)
    return z, (padded(tile.rows), padded(tile.columns), model.spec.latent_channels)


def _coded(
    model: Model, header: Header, tile: Tile, z: NDArray[np.int32], y: NDArray[np.int32]
) -> TilePayload:
    """Code any symbols of a tile, under the tables that the decoder will predict from them."""
    symbols, _ = follow_passes(model, tile, z, lambda k, *_: take(k, y), header.quality_point)
    return encode_tile(model, header, tile, symbols)


def _layered(payloads: list[TilePayload]) -> list[Piece]:
    """The chunks of all tiles in the order of a file: Z, of several tiles C, and Y."""
    begins = [4 * -(-len(p.y) // 32) if len(payloads) > 1 else 0 for p in payloads]
    both = list(zip(payloads, begins, strict=True))
    coarse = [Piece(ord("C"), p.y[:begin]) for p, begin in both if len(payloads) > 1]
    rest = [Piece(ord("Y"), p.y[begin:], p.crc) for p, begin in both]
    return [*(Piece(ord("Z"), p.z) for p in payloads), *coarse, *rest]


def _wild(shape: tuple[int, ...], rng: random.Random) -> NDArray[np.int32]:
    """Symbols that no analysis gives: constant, extreme, of full range, or lone spikes."""
    chance = np.random.default_rng(rng.getrandbits(32))
    kind = rng.randrange(5)
    if kind == 0:
        symbols = np.full(shape, rng.choice(_EXTREMES))
    elif kind == 1:
        symbols = chance.choice(_EXTREMES, shape)
    elif kind == 2:
        symbols = chance.integers(-32768, 32768, shape)
    elif kind == 3:
        symbols = np.rint(chance.laplace(0, 2.0 ** rng.randint(-2, 8), shape)).astype(np.int64)
    else:
        symbols = chance.choice(_EXTREMES, shape) * (chance.random(shape) < 0.01)
    return np.clip(symbols, -32768, 32767).astype(np.int32)


def _bend_symbols(anatomy: Anatomy, rng: random.Random) -> None:
    """Decode a tile, change some of its symbols, perhaps the quality point, and code it anew."""
    if anatomy.version_flags & LOSSLESS:
        _bend_pixels(anatomy, rng)
        return
    try:
        container = read_container(assemble(anatomy), max_pixels=MAX_PIXELS)
        header = container.header
        model = find_model(header.model_id, header.fingerprint, None)
        tiles = Grid.of(header).tiles()
        decoded = [
            decode_tile(model, header, tile, container.tiles[tile.index])[0] for tile in tiles
        ]
    except RdaeError:
        return  # damaged already: there are no symbols
    if rng.random() < 0.5:
        anatomy.quality_point = rng.randrange(256)
    if rng.random() < 0.2:
        anatomy.version_flags &= ~(GREY | NEUTRAL)
        anatomy.version_flags |= rng.choice((0, GREY, NEUTRAL))
    bent = rng.choice(tiles).index
    front = [piece for piece in anatomy.chunks if piece.letter not in b"ZCYR"]
    exact = [piece for piece in anatomy.chunks if piece.letter == pixel_tiles.R]
    payloads = []
    for tile in tiles:
        z, y = decoded[tile.index].z.copy(), decoded[tile.index].y.copy()
        if tile.index == bent:
            for symbols in rng.choice(((z,), (y,), (z, y))):
                flat = symbols.reshape(-1)
                for _ in range(rng.choice((1, 1, 5, 100))):
                    flat[rng.randrange(flat.size)] = rng.choice(_EXTREMES)
        payloads.append(_coded(model, anatomy.header, tile, z, y))
    anatomy.chunks = front + _layered(payloads) + exact


def _bend_pixels(anatomy: Anatomy, rng: random.Random) -> None:
    """The same for a lossless file: change pixels, or what the header says, and code it anew.

    Or leave the tiles as they are, and give those that still decode checksums that match.
    """
    if rng.random() < 0.3:
        anatomy.quality_point = rng.randint(0, UNDIVIDED)
    if rng.random() < 0.3:
        anatomy.version_flags &= ~(GREY | NEUTRAL)
        anatomy.version_flags |= rng.choice((0, GREY, NEUTRAL))
    if not 1 <= anatomy.width * anatomy.height <= MAX_PIXELS:
        return
    try:
        header = anatomy.header
    except ValueError:
        return  # no file has this header
    if rng.random() < 0.5:
        pixel_tiles.with_true_checks(anatomy)
        return
    unwanted = b"AZCYR" if header.is_undivided else b"ZCYR"
    front = [piece for piece in anatomy.chunks if piece.letter not in unwanted]
    anatomy.chunks = front + pixel_tiles.wild_tiles(header, rng)


def _change_size(anatomy: Anatomy, rng: random.Random) -> None:
    name = rng.choice(("width", "height"))
    near = getattr(anatomy, name) + rng.choice((-16, -1, 1, 16, 64))
    setattr(anatomy, name, max(0, rng.choice((near, rng.choice(_SIZES), rng.getrandbits(32)))))


def _change_header(anatomy: Anatomy, rng: random.Random) -> None:
    kind = rng.randrange(6)
    if kind == 0:
        anatomy.quality_point = rng.choice((rng.randrange(256), rng.randrange(UNDIVIDED + 2)))
    elif kind == 1:
        anatomy.version_flags ^= 1 << rng.randrange(8)
    elif kind == 2:
        lossless = load_lossless().model_id
        anatomy.model_id = rng.choice((0, 1, 2, lossless, 255, rng.randrange(256)))
    elif kind == 3:
        anatomy.fingerprint = rng.randbytes(4)
    elif kind == 4:
        anatomy.check = rng.getrandbits(16)
    else:
        anatomy.width, anatomy.height = anatomy.height, anatomy.width


def _move_chunks(anatomy: Anatomy, rng: random.Random) -> None:
    """Remove, double, swap or insert a chunk, or give one another type."""
    chunks = anatomy.chunks
    at, kind = rng.randrange(len(chunks) + 1), rng.randrange(5)
    letter = rng.choice((*b"AZCYRLQQiexqz", rng.randrange(256)))
    if kind == 0 or at == len(chunks):
        chunks.insert(at, Piece(letter, rng.randbytes(rng.choice((0, 1, 4, 40)))))
    elif kind == 1:
        del chunks[at]
    elif kind == 2:
        many = 65 if rng.random() < 0.2 else 1  # one more than a file may have
        chunks[at:at] = [chunks[at]] * many
    elif kind == 3:
        other = rng.randrange(len(chunks))
        chunks[at], chunks[other] = chunks[other], chunks[at]
    else:
        chunks[at] = Piece(letter, chunks[at].payload, chunks[at].crc)


def _lie_about_a_chunk(anatomy: Anatomy, rng: random.Random) -> None:
    """Announce another length, or give another CRC."""
    if not anatomy.chunks:
        return
    at = rng.randrange(len(anatomy.chunks))
    piece = anatomy.chunks[at]
    true = len(piece.payload) + 4 * (piece.letter not in b"ZC")
    length, crc = piece.length, piece.crc
    if rng.random() < 0.7:
        off = rng.choice((-4, -1, 1, 4))
        length = max(0, rng.choice((0, 3, 4, true + off, rng.getrandbits(32), (1 << 32) - 1)))
    else:
        crc = rng.getrandbits(32)
    anatomy.chunks[at] = Piece(piece.letter, piece.payload, crc, length)


def _change_stream(anatomy: Anatomy, rng: random.Random) -> None:
    """Flip, cut, lengthen or replace the words of a tile's stream."""
    places = [i for i, piece in enumerate(anatomy.chunks) if piece.letter in b"ZCYR"]
    if not places:
        return
    at = rng.choice(places)
    piece = anatomy.chunks[at]
    stream, kind = piece.payload, rng.randrange(5)
    if piece.letter == pixel_tiles.R and rng.random() < 0.6:
        stream = pixel_tiles.changed_payload(stream, rng)
    elif kind == 0 and stream:
        stream = _scratched(stream, rng)
    elif kind == 1:
        stream = stream[: 4 * rng.randint(0, len(stream) // 4)]
    elif kind == 2:
        stream += rng.choice((bytes(4), b"\xff" * 4, rng.randbytes(4 * rng.randint(1, 20))))
    elif kind == 3:
        stream = rng.choice((bytes(len(stream)), b"\xff" * len(stream), rng.randbytes(len(stream))))
    else:
        stream = rng.randbytes(rng.randint(0, 64))
    anatomy.chunks[at] = Piece(piece.letter, stream, piece.crc)


def _change_metadata(anatomy: Anatomy, rng: random.Random) -> None:
    """Put a metadata chunk in front: sound, empty, cut, a bomb, or followed by more bytes."""
    data = rng.choice((b"", b"II*\0\x08\0\0\0\xff\xff", b"Exif\0\0MM\0*", rng.randbytes(30)))
    packed = zlib.compress(data)
    payload = rng.choice((packed, _BOMB, packed[:-1], packed + b"\0", data, b""))
    letter = rng.choice(b"iexk")
    anatomy.chunks = [piece for piece in anatomy.chunks if piece.letter != letter]
    anatomy.chunks.insert(0, Piece(letter, payload))


def _change_exact(anatomy: Anatomy, rng: random.Random) -> None:
    """Put a chunk L in front, or another one in the place of that which is there."""
    model = load_lossless()
    model_id = rng.choice((model.model_id, model.model_id, 0, rng.randrange(256)))
    fingerprint = rng.choice((model.fingerprint, model.fingerprint, rng.randbytes(4)))
    anatomy.chunks = [piece for piece in anatomy.chunks if piece.letter != ord("L")]
    piece = _exact_chunk(model_id, fingerprint, rng.randrange(MAX_ERROR + 2))
    anatomy.chunks.insert(rng.randrange(2) and len(anatomy.chunks) // 4, piece)


def _change_alpha(anatomy: Anatomy, rng: random.Random) -> None:
    """Put an alpha plane in front, sound or not, and say in the header that there is one."""
    if anatomy.width * anatomy.height > MAX_PIXELS:
        return
    anatomy.chunks = [piece for piece in anatomy.chunks if piece.letter != ord("A")]
    anatomy.chunks.insert(0, _alpha_chunk(anatomy, rng, off=rng.choice((0, 0, -1, 1, 1000))))
    if rng.random() < 0.9:
        anatomy.version_flags |= ALPHA


def _alpha_chunk(anatomy: Anatomy, rng: random.Random, off: int = 0) -> Piece:
    """An alpha plane of noise, `off` samples too long, or as WebP; legal if `off` is 0."""
    if rng.random() < 0.4:
        tiles = pixel_tiles.alpha_tiles(anatomy.width, anatomy.height, rng, is_legal=off == 0)
        return Piece(ord("A"), b"\3" + tiles)
    samples = rng.randbytes(max(0, anatomy.width * anatomy.height + off))
    filter_byte = rng.randrange(3) if off == 0 else rng.choice((0, 1, 2, 3, 255))
    return Piece(ord("A"), bytes((filter_byte,)) + zlib.compress(samples, 1))


def _cut_or_lengthen(anatomy: Anatomy, rng: random.Random) -> None:
    if rng.random() < 0.5:
        anatomy.rest = rng.randbytes(rng.randint(1, 9))
    elif anatomy.chunks:
        last = anatomy.chunks.pop()
        whole = last.pack(anatomy.canonical_header)
        anatomy.rest = whole[: rng.randrange(len(whole))]


def _scratched(data: bytes, rng: random.Random) -> bytes:
    """Flip a bit, or replace a few bytes."""
    scratched, at = bytearray(data), rng.randrange(len(data))
    if rng.random() < 0.5:
        scratched[at] ^= 1 << rng.randrange(8)
    else:
        scratched[at : at + rng.randint(0, 4)] = rng.randbytes(rng.randint(0, 4))
    return bytes(scratched)


_MUTATIONS: tuple[Callable[[Anatomy, random.Random], None], ...] = (
    _bend_symbols,
    _change_size,
    _change_header,
    _move_chunks,
    _lie_about_a_chunk,
    _change_stream,
    _change_metadata,
    _change_exact,
    _change_alpha,
    _cut_or_lengthen,
)

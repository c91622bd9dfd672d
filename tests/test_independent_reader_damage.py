"""What is damaged is refused alike by the library and by a reader written from FORMAT.md alone.

What `read_container` checks needs no model, and both readers must see all of it.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from itertools import accumulate

import numpy as np
import pytest

from rdae.bitstream import container as library
from rdae.bitstream import tiles
from rdae.bitstream.range_coder import SymbolDecoder, SymbolEncoder
from rdae.bitstream.tables import TableFamily
from rdae.bitstream.tiles import Tile
from rdae.bitstream.varint import pack_varint
from rdae.codec import tile as latents
from rdae.errors import UnknownModelError
from rdae.model.installed import find_model
from rdae.model.model import Model
from rdae.model.quarters import put, take
from tests import independent_reader as reader
from tests.independent_reader import FormatError, Grid
from tests.reader_pair import (
    BY_PIXELS,
    FILES,
    GOLDEN,
    SMALL,
    checked,
    code_of,
    compare,
    damaged,
    framed,
    models_of,
    with_header_check,
)


@pytest.mark.parametrize("name", SMALL)
def test_both_readers_refuse_every_truncation_alike(name):
    data = GOLDEN[name]
    ends = {*range(min(len(data), 150)), *range(0, len(data), 23)}
    assert compare([data[:end] for end in sorted(ends)]) == {"truncated"}


@pytest.mark.parametrize("name", SMALL)
def test_both_readers_judge_damaged_bytes_alike(name):
    rng = random.Random(1)
    front = 60  # where header and framing are; most of the rest is streams
    files = []
    for _ in range(300):
        data = bytearray(GOLDEN[name])
        at = rng.randrange(front if rng.random() < 0.7 else len(data)) % len(data)
        match rng.randrange(4):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at] = rng.randrange(256)
            case 2:
                del data[at : at + rng.randint(1, 8)]
            case _:
                data[at:at] = rng.randbytes(rng.randint(1, 8))
        files.append(bytes(data))
    assert compare(files) >= {"", "not-rdae", "corrupt"}


@pytest.mark.parametrize("name", SMALL)
def test_both_readers_judge_header_fields_alike(name):
    data, end = GOLDEN[name], len(FILES[name].header.pack())
    files = []
    for at in range(4, end):
        for value in {*range(0, 256, 17), 1, 2, 0x10, 0x13, *range(0x20, 0x30), 0x30, data[at]}:
            files.append(with_header_check(data[:at] + bytes([value]) + data[at + 1 :], end))
    sizes = (0, 1, 1 << 14, (1 << 24) - 1, 1 << 24, (1 << 32) - 1)
    odd = [b"\x80\x00", b"\x81\x00", b"\xff" * 4 + b"\x0f", b"\xff" * 4 + b"\x10"]
    odd += [b"\x81" + b"\x80" * 3 + b"\x10", b"\x80" * 4 + b"\x81\x01"]
    files += [data[:11] + width for width in odd]  # illegal before the file ends
    for width in (*map(pack_varint, sizes), *odd):
        for height in (*map(pack_varint, sizes), *odd):
            front = data[:11] + width + height
            files.append(with_header_check(front + bytes(2) + data[end + 2 :], len(front)))
    expected = {"", "corrupt", "unsupported-version", "too-large", "truncated"}
    assert compare(files) >= expected


@pytest.mark.parametrize("at", [5, 6, 9])  # Model_Id, Fingerprint
def test_both_readers_refuse_a_file_of_another_model(at):
    name = BY_PIXELS[0]
    model = models_of(name)[1]
    data = bytearray(GOLDEN[name])
    data[at] ^= 1 << 6
    file = with_header_check(bytes(data), len(FILES[name].header.pack()))
    header = library.read_container(file).header
    with pytest.raises(UnknownModelError):
        find_model(header.model_id, header.fingerprint)
    with pytest.raises(FormatError) as caught:
        model.require_of(reader.Container(file))
    assert caught.value.code == UnknownModelError.code


def test_both_readers_tell_files_of_other_kinds_alike():
    others = [
        b"",
        b"\x93",
        b"R",
        b"\x93R\0",
        b"\x93RDA",
        b"\x93RDA\x10",
        b"\x93RDA\x30",
        b"\x89PNG\r\n\x1a\n",
        b"RD",
    ]
    assert compare(others) == {"truncated", "not-rdae", "unsupported-version"}


@pytest.mark.parametrize("name", SMALL)
def test_both_readers_judge_rearranged_chunks_alike(name):
    rng = random.Random(2)
    file = reader.Container(GOLDEN[name])
    front = with_header_check(file.canonical, len(file.canonical))
    chunks = [framed(kind.encode(), body) for kind, body in file.chunks]
    size = file.width * file.height
    extra = [checked(kind, zlib.compress(b"data")) for kind in (b"i", b"e", b"x")]
    extra += [
        checked(b"q", b""),
        framed(b"Q", b""),
        framed(b"C", b""),
        b"",
        b"5",
        b"\xe9\0",
        b"Z",
        b"Y\x80",
    ]
    extra += [
        checked(b"A", bytes([k]) + zlib.compress(bytes(size)), file.canonical) for k in (0, 4)
    ]
    files = []
    for _ in range(400):
        parts = list(chunks)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(parts)) if parts else 0
            match rng.randrange(4):
                case 0:
                    parts.insert(at, rng.choice(extra + chunks))
                case 1:
                    parts.append(rng.choice(extra))
                case 2:
                    del parts[at : at + 1]
                case _:
                    other = rng.randrange(len(parts)) if parts else 0
                    parts[at : at + 1], parts[other : other + 1] = (
                        parts[other : other + 1],
                        parts[at : at + 1],
                    )
        files.append(front + b"".join(parts))
    found = compare(files)
    assert found >= {"", "corrupt", "truncated", "unsupported-feature"}


@pytest.mark.parametrize("name", SMALL)
def test_both_readers_judge_chunks_with_matching_checksums_alike(name):
    file = reader.Container(GOLDEN[name])
    front = with_header_check(file.canonical, len(file.canonical))
    chunks = [framed(kind.encode(), body) for kind, body in file.chunks]
    leading = [kind for kind, _ in file.chunks if kind not in "ZCY"]
    streams = chunks[len(leading) :]
    size = file.width * file.height
    good = zlib.compress(b"data" * 9)
    flagged = bytearray(file.canonical)
    flagged[4] |= 2
    alpha_front = with_header_check(bytes(flagged), len(flagged))
    files = [
        front + b"".join([*chunks[: len(leading)], checked(kind, payload), *streams])
        for kind in (b"i", b"e", b"x", b"q")
        for payload in (
            good,
            good[:-1],
            good[:-1] + b"\0",
            good + b"\0",
            b"",
            b"nonsense",
            zlib.compress(b""),
            b"\x78\xbb" + bytes(9),  # wants a preset dictionary
        )
    ]
    for payload in (zlib.compress(bytes(8_388_608)), zlib.compress(bytes(8_388_609))):
        files.append(front + checked(b"x", payload) + b"".join(streams))
    ramp = bytes(i * 7 % 256 for i in range(size))
    for kind in range(5):
        for data in (ramp, ramp[:-1], ramp + b"\0", bytes(size)):
            plane = checked(b"A", bytes([kind]) + zlib.compress(data), bytes(flagged))
            files.append(alpha_front + plane + b"".join(streams))
    files += [alpha_front + framed(b"A", b"1234"[:n]) + b"".join(streams) for n in range(5)]
    files += [front + framed(b"q", b"1234"[:n]) + b"".join(chunks) for n in range(5)]
    files += [front + b"q" + pack_varint(n) for n in range(6)]  # illegal before the file ends
    files.append(alpha_front + checked(b"A", b"", bytes(flagged)) + b"".join(streams))
    for name, most in ((b"x", 8_388_608 * 257 // 256 + 1028), (b"A", size + size // 256 + 1029)):
        files += [alpha_front + name + pack_varint(most + n) for n in range(-2, 3)]
    for count in (64 - len(leading), 65, 66):
        files.append(front + checked(b"q", b"") * count + b"".join(chunks))
    rows, columns = file.tile_shapes()[0]
    head = front + b"".join(chunks[: len(leading)])
    for cells in (rows * columns, -(-rows // 4) * -(-columns // 4)):
        most = 4 * (41 * 4096 * cells // 32 + 2)
        for length in range(most - 10, most + 12):  # around the greatest legal ones
            files.append(head + b"Z" + pack_varint(length))
            files.append(head + streams[0] + b"Y" + pack_varint(length))
    assert compare(files) >= {"", "corrupt", "truncated"}


# Damaged streams. Table indices depend on the symbols before, so the networks of the library run
# between the passes of both readers; they need not see the damage, Tile_Check has to.


def library_indexes(
    model: Model, point: int, tile: Tile, z: list[int]
) -> Callable[[int, Grid], Grid]:
    """What the networks of the library make of any symbols."""
    z_symbols = np.array(z, np.int32).reshape(tile.hyper_rows, tile.hyper_columns, -1)
    features = model.features(z_symbols, point)
    y_hat = np.zeros((*features.shape[:2], model.spec.latent_channels), np.int16)
    mean = np.zeros(())

    def indexes(number: int, y: Grid) -> Grid:
        nonlocal mean
        symbols = np.zeros(y_hat.shape, np.int32)
        symbols[: tile.rows, : tile.columns] = y
        if number > 0:
            before = take(number - 1, symbols)
            put(number - 1, model.dequantise_y(number - 1, before, mean, point), y_hat)
        mean, rows = model.predict(number, features, y_hat, point)
        all_rows = np.zeros(y_hat.shape, np.uint8)
        put(number, rows, all_rows)
        grid: Grid = all_rows.tolist()
        return grid

    return indexes


def test_both_readers_judge_damaged_streams_alike():
    name = BY_PIXELS[0]
    model, other = models_of(name)
    theirs = reader.Container(GOLDEN[name])
    (tile,) = tiles.Grid(theirs.width, theirs.height).tiles()
    chunks = dict(theirs.chunks)

    def symbols_of_library(data: bytes) -> tuple[list[int], Grid]:
        ours = library.read_container(data)
        symbols, _ = latents.decode_tile(model, ours.header, tile, ours.tiles[0])
        return symbols.z.ravel().tolist(), symbols.y[: tile.rows, : tile.columns].tolist()

    def symbols_of_reader(data: bytes) -> tuple[list[int], Grid]:
        file = reader.Container(data)
        z = other.decode_z(file, 0)
        indexes = library_indexes(model, file.quality_point, tile, z)
        return z, other.decode_y(file, 0, z, indexes)

    front = with_header_check(theirs.canonical, len(theirs.canonical))
    rng, codes = random.Random(3), set()
    for turn in range(200):
        z, y, check = chunks["Z"], chunks["Y"][:-4], chunks["Y"][-4:]
        if turn % 2:
            z = damaged(z, rng)
        else:
            y = damaged(y, rng)
        data = front + framed(b"Z", z) + framed(b"Y", y + check)
        code = code_of(symbols_of_library, data)
        assert code == code_of(symbols_of_reader, data), data.hex()
        assert code or symbols_of_library(data) == symbols_of_reader(data)
        codes.add(code)
    assert codes >= {"corrupt"}


def test_both_range_decoders_judge_any_stream_alike():
    rng, codes = random.Random(4), set()
    freqs = [np.array([1 << 22, 1 << 23, 3 << 20, 1 << 20]), np.array([1 << 20, 15 << 20])]
    written, other = TableFamily(freqs, np.array([-1, 7])), TableFamily(freqs, np.array([1, 8]))
    for turn in range(400):
        tables = (written, other)[turn % 2]  # the other one has entries for some of the escapes
        indexes = [rng.randrange(2) for _ in range(rng.choice([0, 1, 5, 20]))]
        symbols = [rng.choice([-1, 0, 1, 7, 8, 300]) for _ in indexes]
        encoder = SymbolEncoder()
        encoder.put(np.array(symbols, int), np.array(indexes, int), written)
        stream = encoder.finish()
        if turn % 3 == 0:
            stream = damaged(stream, rng)

        def ours(stream: bytes, indexes=indexes, tables=tables) -> list[int]:
            decoder = SymbolDecoder(stream)
            found: list[int] = decoder.get(np.array(indexes, int), tables).tolist()
            decoder.finish()
            return found

        def theirs(stream: bytes, indexes=indexes, tables=tables) -> list[int]:
            cdfs = [(0, *accumulate(table.tolist())) for table in freqs]
            decoder = reader.RangeDecoder(stream)
            found = decoder.group(indexes, list(zip(cdfs, tables.lows.tolist(), strict=True)))
            decoder.end()
            return found

        code = code_of(ours, stream)
        assert code == code_of(theirs, stream), (stream.hex(), indexes)
        assert code or ours(stream) == theirs(stream)
        codes.add(code)
    assert codes == {"", "corrupt"}

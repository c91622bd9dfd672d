"""The library and a reader written from FORMAT.md alone agree: FORMAT.md says all there is to know.

`independent_reader` ends at the symbols; `independent_networks` goes on to pixels. Lossless files
are the business of `test_independent_lossless`.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable
from dataclasses import astuple
from functools import cache, partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdae.bitstream import container as library
from rdae.bitstream.range_coder import SymbolDecoder, SymbolEncoder
from rdae.bitstream.tables import TableFamily
from rdae.bitstream.tiles import Tile, tile_grid
from rdae.bitstream.varint import pack_varint
from rdae.codec import decode
from rdae.codec import tile as latents
from rdae.errors import RdaeError, UnknownModelError
from rdae.model.installed import find_model
from rdae.model.model import Model
from rdae.model.quarters import put, take
from tests import independent_reader as reader
from tests.independent_networks import Networks
from tests.independent_reader import FormatError, Grid
from tests.test_bitstream_format import example_file, section

EVERY = {path.stem: path.read_bytes() for path in Path(__file__).parent.glob("golden/*.rd")}
FILES = {name: library.read_container(data) for name, data in EVERY.items()}
GOLDEN = {
    name: data
    for name, data in EVERY.items()
    if not FILES[name].header.is_lossless and FILES[name].rest is None
}
BY_PIXELS = sorted(GOLDEN, key=lambda name: FILES[name].header.width * FILES[name].header.height)
SMALL = sorted(GOLDEN, key=lambda name: len(GOLDEN[name]))[:4]  # fast to read many times


@cache
def read_model(path: Path) -> reader.Model:
    return reader.Model(path.read_bytes())


def models_of(name: str) -> tuple[Model, reader.Model]:
    """The model of a golden file, as both readers know it."""
    header = FILES[name].header
    model = find_model(header.model_id, header.fingerprint)
    assert model.path is not None
    return model, read_model(model.path)


# Undamaged files.


def agree(ours: library.Container, theirs: reader.Container) -> bool:
    """Whether both readers took a file apart into the same parts."""
    header = ours.header
    metadata = {"i": ours.icc, "e": ours.exif, "x": ours.xmp}
    tiles = [(b"", body) for body in theirs.pixels] if theirs.is_lossless else theirs.tiles
    return (
        header.pack() == theirs.canonical
        and (header.model_id, header.fingerprint) == (theirs.model_id, theirs.fingerprint)
        and (header.width, header.height) == (theirs.width, theirs.height)
        and (header.has_alpha, header.is_grey, header.is_neutral)
        == (theirs.has_alpha, theirs.is_grey, theirs.is_neutral)
        and header.quality_point == theirs.quality_point
        and {kind: block for kind, block in metadata.items() if block} == theirs.metadata
        and (None if ours.alpha is None else ours.alpha.tobytes()) == theirs.alpha
        and [(t.z, t.y + t.crc.to_bytes(4, "little")) for t in ours.tiles] == tiles
        and header.is_lossless == theirs.is_lossless
        and (None if ours.rest is None else astuple(ours.rest)) == theirs.exact
        and [t.y + t.crc.to_bytes(4, "little") for t in (ours.exact or ours.tiles)]
        == (theirs.pixels or [y for _, y in theirs.tiles])
        and [(t.rows, t.columns) for t in tile_grid(header.width, header.height)]
        == theirs.tile_shapes()
    )


@pytest.mark.parametrize("name", GOLDEN)
def test_both_readers_find_the_same_parts_in_a_file(name):
    assert agree(FILES[name], reader.Container(GOLDEN[name]))


@pytest.mark.parametrize("name", GOLDEN)
def test_both_readers_compute_the_same_fingerprint(name):
    model, other = models_of(name)
    assert model.fingerprint == other.fingerprint
    other.require_of(reader.Container(GOLDEN[name]))


def given(planes: list[Any], number: int, y: object) -> list[Any]:
    """The tables of all latents, instead of those that a pass predicts."""
    return planes


@pytest.mark.parametrize("name", GOLDEN)
def test_both_readers_decode_the_same_symbols(name):
    model, other = models_of(name)
    ours, theirs = FILES[name], reader.Container(GOLDEN[name])
    for tile in tile_grid(ours.header.width, ours.header.height):
        symbols, _ = latents.decode_tile(model, ours.header, tile, ours.tiles[tile.index])
        planes = symbols.indexes.tolist()
        z = other.decode_z(theirs, tile.index)
        y = other.decode_y(theirs, tile.index, z, partial(given, planes))
        assert z == symbols.z.ravel().tolist()
        assert y == symbols.y[: tile.rows, : tile.columns].tolist()


def test_the_example_file_of_the_document_is_read_as_described():
    file = reader.Container(example_file())
    assert (file.width, file.height, file.quality_point, file.model_id) == (33, 20, 153, 1)
    assert file.fingerprint.hex() == "aabbccdd"
    assert file.tile_shapes() == [(2, 3)]
    assert file.tiles == [(b"\1\2\3\4", b"\5\6\7\x08" * 2 + b"\x78\x56\x34\x12")]


def test_the_example_group_of_the_document_is_decoded_as_described():
    found = re.search(r"three words `([0-9a-f ]+)`", section(12))
    assert found
    coder = reader.RangeDecoder(bytes.fromhex(found[1]))
    tables = [((0, 4 << 20, 12 << 20, 15 << 20, 16 << 20), -1), ((0, (1 << 24) - 1, 1 << 24), 0)]
    assert coder.group([0, 0, 0, 1, 1, 1, 0], tables) == [0, 1, -1, 0, 0, 300, -5]
    coder.end()


# Damaged files. What read_container checks needs no model, and both readers must see all of it.


def code_of(read: Callable[[bytes], object], data: bytes) -> str:
    """The code of the error that a file is refused with, "" for none."""
    try:
        read(data)
    except (RdaeError, FormatError) as error:
        return error.code
    return ""


def compare(files: list[bytes]) -> set[str]:
    """Have both readers judge files; returns the codes that they gave."""
    codes = set()
    for data in files:
        code = code_of(library.read_container, data)
        assert code == code_of(reader.Container, data), data[:200].hex()
        assert code or agree(library.read_container(data), reader.Container(data))
        codes.add(code)
    return codes


def with_header_check(data: bytes, end: int) -> bytes:
    """The file with a check that matches the first `end` bytes."""
    check = zlib.crc32(data[:end]) & 0xFFFF
    return data[:end] + check.to_bytes(2, "little") + data[end + 2 :]


def framed(kind: bytes, body: bytes) -> bytes:
    return kind + pack_varint(len(body)) + body


def checked(kind: bytes, payload: bytes, prefix: bytes = b"") -> bytes:
    """A chunk whose CRC-32 matches."""
    return framed(kind, payload + zlib.crc32(kind + prefix + payload).to_bytes(4, "little"))


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
        checked(b"A", bytes([k]) + zlib.compress(bytes(size)), file.canonical) for k in (0, 3)
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
    for kind in range(4):
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
    (tile,) = tile_grid(theirs.width, theirs.height)
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


def damaged(stream: bytes, rng: random.Random) -> bytes:
    """A stream with a flipped bit, or with other words at its beginning or its end."""
    words = rng.choice([b"", bytes(4), b"\1\0\0\0", rng.randbytes(4), rng.randbytes(8)])
    kind = rng.randrange(5)
    if kind < 2 and stream:
        at = rng.randrange(len(stream))
        return stream[:at] + bytes([stream[at] ^ 1 << rng.randrange(8)]) + stream[at + 1 :]
    return (words + stream[4:], stream[:-4] + words, stream + words)[kind % 3]


@pytest.mark.parametrize("name", BY_PIXELS[:2])
def test_plain_python_computes_the_same_pixels(name):
    networks = Networks(models_of(name)[1], reader.Container(GOLDEN[name]))
    assert networks.pixels() == decode(GOLDEN[name]).rgb.tolist()

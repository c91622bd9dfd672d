"""Golden lossy files, and what two readers say of files: the library and `independent_reader`."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import astuple
from functools import cache
from pathlib import Path

from rdae.bitstream import container as library
from rdae.bitstream.tiles import Grid
from rdae.bitstream.varint import pack_varint
from rdae.errors import RdaeError
from rdae.model.installed import find_model
from rdae.model.model import Model
from tests import independent_reader as reader
from tests.independent_reader import FormatError

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
        and (16 if header.is_undivided else header.quality_point) == theirs.quality_point
        and {kind: block for kind, block in metadata.items() if block} == theirs.metadata
        and (None if ours.alpha is None else ours.alpha.tobytes()) == theirs.alpha
        and [(t.z, t.y + t.crc.to_bytes(4, "little")) for t in ours.tiles] == tiles
        and header.is_lossless == theirs.is_lossless
        and (None if ours.rest is None else astuple(ours.rest)) == theirs.exact
        and [t.y + t.crc.to_bytes(4, "little") for t in (ours.exact or ours.tiles)]
        == (theirs.pixels or [y for _, y in theirs.tiles])
        and [(t.rows, t.columns) for t in Grid.of(header).tiles()] == theirs.tile_shapes()
    )


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


def damaged(stream: bytes, rng: random.Random) -> bytes:
    """A stream with a flipped bit, or with other words at its beginning or its end."""
    words = rng.choice([b"", bytes(4), b"\1\0\0\0", rng.randbytes(4), rng.randbytes(8)])
    kind = rng.randrange(5)
    if kind < 2 and stream:
        at = rng.randrange(len(stream))
        return stream[:at] + bytes([stream[at] ^ 1 << rng.randrange(8)]) + stream[at + 1 :]
    return (words + stream[4:], stream[:-4] + words, stream + words)[kind % 3]

"""The library and a reader of lossless files written from FORMAT.md alone agree on every pixel."""

from __future__ import annotations

import random
import zlib
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rdae.bitstream import container as library
from rdae.bitstream.varint import pack_varint
from rdae.codec import decode
from rdae.model.installed import load_lossless, load_model
from tests import independent_reader as reader
from tests.independent_levels import Model, Tables
from tests.independent_lossless import Reader
from tests.independent_networks import Networks
from tests.reader_pair import (
    EVERY,
    FILES,
    agree,
    checked,
    code_of,
    compare,
    damaged,
    framed,
    read_model,
    with_header_check,
)

LOSSLESS = {
    name: data
    for name, data in EVERY.items()
    if FILES[name].header.is_lossless or FILES[name].rest is not None
}
WHOLE = [name for name in LOSSLESS if name != "lossless-tiles"]  # that one takes half a minute
WEIGHTS = Path(__file__).parent.parent / "weights" / "lossless.safetensors"


@cache
def model() -> Model:
    return Model(WEIGHTS.read_bytes())


def pixels(data: bytes) -> list[list[list[int]]]:
    """The pixels of a file, by the reader in plain Python."""
    file = reader.Container(data)
    path = load_model().path
    assert path is not None
    lossy = read_model(path) if file.exact else None
    return Reader(model(), file, lossy).pixels()


def repacked(data: bytes, pixel_streams: list[bytes], canonical: bytes = b"") -> bytes:
    """The file with other bodies of its chunks R, or also with another header."""
    file = reader.Container(data)
    canonical = canonical or file.canonical
    front = with_header_check(canonical, len(canonical))
    front += b"".join(framed(kind.encode(), body) for kind, body in file.chunks if kind != "R")
    return front + b"".join(framed(b"R", body) for body in pixel_streams)


@pytest.mark.parametrize("name", LOSSLESS)
def test_both_readers_find_the_same_parts_in_a_file(name: str) -> None:
    assert agree(FILES[name], reader.Container(LOSSLESS[name]))


@pytest.mark.parametrize("name", WHOLE)
def test_both_readers_decode_the_same_pixels(name: str) -> None:
    picture, found = decode(LOSSLESS[name]), np.array(pixels(LOSSLESS[name]))
    assert np.array_equal(found[..., :3], picture.rgb)
    if FILES[name].header.is_undivided and picture.alpha is not None:
        assert np.array_equal(found[..., 3], picture.alpha)


def test_both_readers_compute_the_same_fingerprint() -> None:
    assert model().fingerprint == load_lossless().fingerprint
    assert model().id == load_lossless().model_id


@pytest.mark.parametrize("w", [1, 3, 31])
def test_both_readers_compute_the_same_tables(w: int) -> None:
    family, tables = load_lossless().mixtures.family(w), Tables(model(), w)
    for index in range(0, 1536, 37):
        start, size = int(family.starts[index]), int(family.sizes[index])
        cdf, low = tables[index]
        freqs = [b - a for a, b in pairwise(cdf)]
        assert freqs == family.freqs[start : start + size].tolist()
        assert low == family.lows[index]


def test_a_file_of_another_model_is_refused() -> None:
    data = bytearray(LOSSLESS["lossless-pixel"])
    data[6] ^= 1
    file = with_header_check(bytes(data), len(FILES["lossless-pixel"].header.pack()))
    assert code_of(pixels, file) == code_of(decode, file) == "unknown-model"


@pytest.mark.parametrize("name", ["lossless-pixel", "lossless-alpha", "base-grey"])
def test_both_readers_refuse_every_truncation_alike(name: str) -> None:
    data = LOSSLESS[name]
    assert compare([data[:end] for end in range(len(data))]) == {"truncated"}


def test_both_readers_judge_damaged_alpha_of_webp_alike() -> None:
    rng, file = random.Random(4), reader.Container(LOSSLESS["lossless-alpha-webp"])
    (_, body), *tiles = file.chunks
    front = with_header_check(file.canonical, len(file.canonical))
    behind = b"".join(framed(kind.encode(), body) for kind, body in tiles)
    payload, payloads = body[:-4], []
    for at in range(len(payload)):
        for byte in (payload[at] ^ 1 << rng.randrange(8), rng.randrange(256)):
            payloads.append(payload[:at] + bytes([byte]) + payload[at + 1 :])
        payloads += [payload[:at], payload[:at] + b"\0" + payload[at:]]
    payloads += [payload, payload + b"\0", b"\3\x80\0" + payload[2:]]
    files = [front + checked(b"A", data, file.canonical) + behind for data in payloads if data]
    assert compare(files) == {"", "corrupt"}


@pytest.mark.parametrize(
    "name",
    ["lossless-grey", "lossless-alpha", "lossless-alpha-webp", "lossless-two-methods", "base-grey"],
)
def test_both_readers_judge_headers_lengths_and_order_alike(name: str) -> None:
    rng, data = random.Random(name), LOSSLESS[name]
    file = reader.Container(data)
    end = len(file.canonical)
    files = []
    for at in range(4, end):
        for value in {*range(0, 256, 17), *range(0x20, 0x30), 15, 16, data[at]}:
            files.append(with_header_check(data[:at] + bytes([value]) + data[at + 1 :], end))
    front = with_header_check(file.canonical, end)
    chunks = [framed(kind.encode(), body) for kind, body in file.chunks]
    rows, columns = file.pixel_shape(0)
    most = 4 * (41 * (3 * rows * columns + 32768) // 32 + 2) + 5
    begin = front + b"".join(chunks[: len(chunks) - len(file.pixels)])
    files += [begin + framed(b"R", bytes(length)) for length in range(8)]
    for length in (most - 1, most, most + 1, 2**32 - 1):  # legal ones are truncated
        files.append(begin + b"R" + pack_varint(length))
    others = [framed(letter, bytes(8)) for letter in (b"R", b"Z", b"C", b"Y", b"Q")]
    fields = [bytes([id, 1, 2, 3, 4, most]) for id, most in ((1, 0), (0, 0), (9, 15), (9, 16))]
    others += [checked(b"L", six, file.canonical) for six in fields]
    others += [checked(b"L", fields[0]), framed(b"L", bytes(9))]
    others += [checked(b"q", b""), b"R", b"5", b"", framed(b"R", b"")]
    for _ in range(200):
        parts = list(chunks)
        at = rng.randrange(len(parts) + 1)
        parts[at : at + rng.randrange(2)] = rng.choices(others + chunks, k=rng.randrange(3))
        files.append(front + b"".join(parts))
    assert compare(files) >= {"", "corrupt", "truncated", "unsupported-feature"}


@pytest.mark.parametrize("name", ["lossless-pixel", "lossless-webp", "lossless-grey"])
def test_both_readers_judge_damaged_tiles_alike(name: str) -> None:
    """Damage that keeps the checksum of what a reader decodes, where it decodes anything."""
    rng, codes = random.Random(name), set()
    (body,) = reader.Container(LOSSLESS[name]).pixels
    for turn in range(12 if name == "lossless-grey" else 60):
        method, stream = body[:1], damaged(body[1:-4], rng)
        if turn % 6 == 5:
            method = bytes([rng.choice((0, 1, 2, 255))])
        file = repacked(LOSSLESS[name], [method + stream + body[-4:]])
        code = code_of(decode, file)
        assert code == code_of(pixels, file), file.hex()
        assert code or pixels(file) == decode(file).rgb.tolist()
        codes.add(code)
    assert "corrupt" in codes


def test_both_readers_refuse_another_tile_in_the_place_of_one() -> None:
    data = LOSSLESS["lossless-two-methods"]
    first, second = reader.Container(data).pixels
    for bodies in ([second, first], [first, first], [first, second[:-1] + b"\0"]):
        file = repacked(data, bodies)
        assert code_of(pixels, file) == code_of(decode, file) == "corrupt"


def test_both_readers_refuse_tiles_under_another_largest_error() -> None:
    """Residuals in bins of another width: mostly samples out of range, or a wrong checksum."""
    data = LOSSLESS["max-error-1"]
    canonical = bytearray(reader.Container(data).canonical)
    for most in (0, 2, 15):
        canonical[10] = most
        file = repacked(data, reader.Container(data).pixels, bytes(canonical))
        assert library.read_container(file).header.quality_point == most
        assert code_of(decode, file) == code_of(pixels, file) == "corrupt"


def test_a_colourless_file_has_no_coloured_tile() -> None:
    """The same tile of WebP is legal in a file with colours."""
    data = LOSSLESS["lossless-webp"]
    file = reader.Container(data)
    samples = bytes(value for line in pixels(data) for pixel in line for value in pixel)
    for flag, code in ((0, ""), (1, "corrupt"), (4, "corrupt")):
        canonical = bytearray(file.canonical)
        canonical[4] |= flag
        check = zlib.crc32(bytes(canonical) + bytes(4) + samples).to_bytes(4, "little")
        other = repacked(data, [file.pixels[0][:-4] + check], bytes(canonical))
        assert code_of(decode, other) == code_of(pixels, other) == code


def test_both_readers_decode_the_same_lossy_picture_of_a_file_that_has_both() -> None:
    data, path = LOSSLESS["base-grey"], load_model().path
    assert path is not None
    found = Networks(read_model(path), reader.Container(data)).pixels()
    assert found == decode(data, lossy=True).rgb.tolist() != decode(data).rgb.tolist()

"""The library and a reader written from FORMAT.md alone agree: FORMAT.md says all there is to know.

`independent_reader` ends at the symbols; `independent_networks` goes on to pixels. Lossless files
are the business of `test_independent_lossless`.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest

from rdae.bitstream.tiles import Grid
from rdae.codec import decode
from rdae.codec import tile as latents
from tests import independent_reader as reader
from tests.independent_networks import Networks
from tests.reader_pair import (
    BY_PIXELS,
    FILES,
    GOLDEN,
    agree,
    models_of,
)
from tests.test_bitstream_format import example_file, section


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
    for tile in Grid.of(ours.header).tiles():
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


@pytest.mark.parametrize("name", BY_PIXELS[:2])
def test_plain_python_computes_the_same_pixels(name):
    networks = Networks(models_of(name)[1], reader.Container(GOLDEN[name]))
    assert networks.pixels() == decode(GOLDEN[name]).rgb.tolist()

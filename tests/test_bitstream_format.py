"""FORMAT.md and the code say the same: examples, limits, error codes, table of passes."""

from __future__ import annotations

import importlib.resources
import re

import numpy as np
import pytest

from rdae import errors, limits
from rdae.bitstream.chunks import METADATA_KINDS
from rdae.bitstream.container import TilePayload, read_container, write_container
from rdae.bitstream.header import MAGIC, VERSION
from rdae.bitstream.range_coder import SymbolDecoder, SymbolEncoder
from rdae.bitstream.tables import TableFamily

FORMAT = importlib.resources.files("rdae.bitstream") / "FORMAT.md"
TEXT = FORMAT.read_text(encoding="utf-8")


def section(number: int) -> str:
    """The text of a numbered section."""
    found = re.search(rf"^## {number} .*?(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found
    return found[0]


def example_file() -> bytes:
    """The bytes of the first example."""
    lines = re.findall(r"^    ((?:[0-9a-f]{2} )*[0-9a-f]{2})(?:  .*)?$", section(12), re.MULTILINE)
    return bytes.fromhex(" ".join(lines))


def test_the_example_file_is_read_as_described() -> None:
    container = read_container(example_file())
    header = container.header
    assert (header.width, header.height, header.quality_point) == (33, 20, 153)
    assert (header.model_id, header.fingerprint.hex()) == (1, "aabbccdd")
    assert container.tiles == (TilePayload(b"\1\2\3\4", b"\5\6\7\x08" * 2, 0x12345678),)
    assert write_container(container) == example_file()


def test_the_example_group_is_coded_as_described() -> None:
    found = re.search(r"three words `([0-9a-f ]+)`", section(12))
    assert found
    stream = bytes.fromhex(found[1])
    tables = TableFamily(
        [np.array([1 << 22, 1 << 23, 3 << 20, 1 << 20]), np.array([(1 << 24) - 1, 1])],
        np.array([-1, 0]),
    )
    symbols, indexes = np.array([0, 1, -1, 0, 0, 300, -5]), np.array([0, 0, 0, 1, 1, 1, 0])
    encoder = SymbolEncoder()
    encoder.put(symbols, indexes, tables)
    assert encoder.finish() == stream
    assert (SymbolDecoder(stream).get(indexes, tables) == symbols).all()


def test_version_and_magic_are_the_codes() -> None:
    assert f"Version of the bitstream: **{VERSION}**" in TEXT
    assert f"| `Magic_Number` | 4 bytes | {MAGIC.hex(' ')} |" in TEXT


@pytest.mark.parametrize(
    "value",
    [
        limits.MAX_DIMENSION,
        limits.MAX_ANCILLARY_CHUNKS,
        limits.MAX_METADATA_BYTES,
        limits.MAX_CHANNELS,
        limits.MAX_PIXELS,
    ],
)
def test_every_limit_is_the_codes(value: int) -> None:
    written = f"{value:,}".replace(",", " ") if value > 9999 else str(value)
    assert re.search(rf"(?<!\d)(?<!\d ){written}(?! ?\d)", section(11))


@pytest.mark.parametrize("n", [1, 255, 256, 100_003])
def test_the_formulas_of_lengths_are_the_codes(n: int) -> None:
    formulas = dict(re.findall(r"^    (\w+)\(n\) +?= (.*)$", section(11), re.MULTILINE))
    assert set(formulas) == {"deflated", "stream"}
    by_name = {"deflated": limits.max_deflated_bytes, "stream": limits.max_stream_bytes}
    for name, formula in formulas.items():
        assert eval(formula.replace("div", "//"), {"n": n}) == by_name[name](n)


def test_every_error_of_the_format_is_one_of_ours() -> None:
    named = set(re.findall(r"^\| `([a-z-]+)` \|", section(10), re.MULTILINE))
    classes = [getattr(errors, name) for name in errors.__all__]
    codes = {error.code for error in classes}
    raised_by_readers = {
        error.code for error in classes if issubclass(error, errors.BitstreamError)
    } - {"bitstream"}
    assert raised_by_readers < named <= codes


def test_every_metadata_chunk_is_in_the_table_of_types() -> None:
    rows = re.findall(r"^\| `([a-zA-Z])` \| (.*?) \|", section(4), re.MULTILINE)
    assert {letter for letter, _ in rows} == {*METADATA_KINDS, "A", "L", "Z", "C", "Y", "R"}


def test_each_pass_codes_every_group_and_phase_once() -> None:
    rows = re.findall(r"^\| group (\d) \| (\d) \| (\d) \| (\d) \| (\d) \|", TEXT, re.MULTILINE)
    table = np.array(rows, int)[:, 1:]
    assert table.tolist() == [[0, 1, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1], [1, 0, 3, 2]]
    assert (np.sort(table, axis=0) == np.arange(4)[:, None]).all()
    assert (np.sort(table, axis=1) == np.arange(4)).all()


def test_every_link_inside_of_the_document_has_a_target() -> None:
    titles = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    anchors = {title.lower().replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#(.*?)\)", TEXT)) == anchors

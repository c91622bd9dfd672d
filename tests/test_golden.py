"""Golden files decode to the pixels and symbols that they decoded to when they were made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rdae.bitstream.chunks import scan
from rdae.bitstream.container import read_container
from rdae.bitstream.header import read_header
from rdae.bitstream.varint import ByteReader
from rdae.codec import Rectangle, decode
from rdae.exact import kernel
from tests.golden.make import digests, main, makers

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
LOSSLESS = [name for name, parts in EXPECTED.items() if "symbols" not in parts]


@pytest.fixture(params=["kernel", "numpy"])
def carrier(request: pytest.FixtureRequest) -> Iterator[str]:
    before = kernel.selected()
    if request.param == "kernel" and before == "numpy":
        pytest.skip("no kernel was built, or it was not asked for")
    if request.param == "numpy":
        kernel.select("no")
    yield request.param
    kernel.select("no" if before == "numpy" else before)


def test_every_golden_file_is_listed():
    assert {path.stem for path in GOLDEN.glob("*.rd")} == set(EXPECTED)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", EXPECTED)
def test_a_golden_file_decodes_to_the_same_integers(name, threads):
    data = (GOLDEN / f"{name}.rd").read_bytes()
    assert {"bytes": len(data), **digests(data, threads)} == EXPECTED[name]


def test_a_golden_file_decodes_window_by_window_to_the_same_integers(monkeypatch):
    monkeypatch.setattr("rdae.exact.windows.WINDOW_CELLS", 3)
    data = (GOLDEN / "detail-q95.rd").read_bytes()
    assert digests(data)["pixels"] == EXPECTED["detail-q95"]["pixels"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", LOSSLESS)
def test_a_lossless_golden_file_decodes_by_every_carrier_whole_and_by_region(
    name, threads, carrier
):
    data = (GOLDEN / f"{name}.rd").read_bytes()
    assert {"bytes": len(data), **digests(data, threads)} == EXPECTED[name]
    whole = decode(data, threads=threads)
    rows, columns = whole.rgb.shape[:2]
    middle = max(0, columns - 20)  # of several tiles some columns on both sides of the edge
    for area in (
        Rectangle(0, rows, middle, columns),
        Rectangle(rows // 2, rows, 0, 1),
        Rectangle(rows - 1, rows, columns - 1, columns),
    ):
        part = decode(data, region=area, threads=threads)
        assert np.array_equal(part.rgb, whole.rgb[area.slices()])
        assert (part.alpha is None) == (whole.alpha is None)
        if part.alpha is not None and whole.alpha is not None:
            assert np.array_equal(part.alpha, whole.alpha[area.slices()])


def filter_of(name: str) -> int:
    """The filter of a file's alpha."""
    data = (GOLDEN / f"{name}.rd").read_bytes()
    reader = ByteReader(data)
    header = read_header(reader)
    return next(chunk.payload[0] for chunk in scan(reader, header) if chunk.type == "A")


def test_lossless_golden_files_have_what_they_are_to_show():
    headers = {
        name: read_container((GOLDEN / f"{name}.rd").read_bytes())
        for name in LOSSLESS
        if "lossy" not in EXPECTED[name]
    }
    methods = {name: [tile.y[0] for tile in file.tiles] for name, file in headers.items()}
    assert methods["lossless-two-methods"] == [1, 0] and methods["lossless-webp"] == [1]
    assert methods["lossless-tiles"] == [0, 0] and methods["lossless-rgb"] == [0]
    assert {file.header.quality_point for file in headers.values()} == {0, 1, 3}
    with_plane = [name for name, file in headers.items() if file.alpha is not None]
    alphas = {name: filter_of(name) for name in with_plane}
    assert alphas == {"lossless-alpha": 2, "lossless-alpha-webp": 3}
    undivided = [name for name, file in headers.items() if file.header.is_undivided]
    assert undivided == ["lossless-undivided", "lossless-undivided-alpha"]
    flags = {(f.header.is_grey, f.header.is_neutral, f.header.has_alpha) for f in headers.values()}
    assert {(True, False, False), (False, True, False), (False, False, True)} <= flags


def test_only_the_golden_files_that_are_named_are_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.golden.make.HERE", tmp_path)
    (tmp_path / "expected.json").write_text(json.dumps(EXPECTED | {"lossless-pixel": {}}))
    (tmp_path / "photo-q5.rd").write_bytes(b"as it was")
    main(["lossless-pixel"])
    assert json.loads((tmp_path / "expected.json").read_text()) == EXPECTED
    assert (tmp_path / "photo-q5.rd").read_bytes() == b"as it was"
    assert sorted(path.name for path in tmp_path.glob("*.rd")) == [
        "lossless-pixel.rd",
        "photo-q5.rd",
    ]
    with pytest.raises(SystemExit, match="nonsense"):
        main(["lossless-pixel", "nonsense"])
    assert list(makers()) == list(EXPECTED)

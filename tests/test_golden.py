"""Golden files decode to the pixels and symbols that they decoded to when they were made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.golden.make import digests

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


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

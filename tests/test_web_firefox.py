"""The decoder in Firefox: the same pixels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.browsers import FIREFOX, ROOT, found_in
from tests.test_web import CORPUS, GOLDEN, by_python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "web").is_dir(), reason="needs the checkout"),
    pytest.mark.skipif(
        FIREFOX is None, reason="needs Firefox (Debian: apt-get install firefox-esr)"
    ),
]


def test_firefox_finds_the_same_pixels_in_all_golden_files(tmp_path: Path) -> None:
    expected = json.loads((GOLDEN / "expected.json").read_text())
    paths = [GOLDEN / f"{name}.rd" for name in expected] + sorted(CORPUS.glob("alpha-*"))
    browser, found = found_in(str(FIREFOX), [path.read_bytes() for path in paths], tmp_path)
    assert "Firefox" in browser
    for path, one in zip(paths, found, strict=True):
        assert one == by_python(path), path.name

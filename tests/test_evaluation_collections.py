"""Files of published curves."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from rdae.evaluation.published import ImportFileError, read_published

MADE_UP = Path(__file__).parent / "published_curves.json"
PUBLISHED = Path(__file__).parents[2] / "shared" / "anchors" / "rd_anchors.json"  # not in a clone


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    lists = {"bpp": [0.4, 0.1, 0.2, 0.8], "psnr": [32.0, 26, 29, 35], "source": "a paper"}
    kodak = {"vtm": lists, "av1": {**lists, "ms_ssim": [0.97, 0.9, 0.94, None]}, "av1-slow": lists}
    other = {"vtm": lists, "note": "text"}
    path = tmp_path / "curves.json"
    path.write_text(json.dumps({"meta": {"made": "today"}, "kodak": kodak, "clic": other}))
    return path


def test_a_collection_is_read(collection: Path) -> None:
    found = read_published(str(collection), "Kodak")
    assert [c["name"] for c in found] == ["vtm", "av1", "av1-slow"]
    assert [point["bpp"] for point in found[0]["points"]] == [0.1, 0.2, 0.4, 0.8]
    assert found[0]["points"][0] == {"bpp": 0.1, "psnr": 26.0}
    assert (found[0]["label"], found[0]["source"]) == ("VTM", "a paper")
    assert "ms_ssim" not in found[1]["points"][-1]
    some = read_published(f"{collection}:av1-s, av1,clic/vtm", "kodak")
    assert [c["name"] for c in some] == ["av1-slow", "av1", "vtm"]


def test_rates_that_are_none_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    lists = {"bpp": [math.nan, 0, 0.5, math.inf, 1], "psnr": [1, 2, 3, 4, 5]}
    path.write_text(json.dumps({"kodak": {"vtm": lists}}))
    (found,) = read_published(str(path), "kodak")
    assert found["points"] == [{"bpp": 0.5, "psnr": 3.0}, {"bpp": 1.0, "psnr": 5.0}]


@pytest.mark.parametrize(
    ("wanted", "dataset", "why"),
    [
        (":hevc", "kodak", "no codec hevc"),
        (":a", "kodak", "could be any of 2"),
        ("", "photos", "no data set photos"),
        (":vtm", "photos", "no codec vtm"),
    ],
)
def test_what_a_collection_does_not_have(
    collection: Path, wanted: str, dataset: str, why: str
) -> None:
    with pytest.raises(ImportFileError, match=why) as caught:
        read_published(f"{collection}{wanted}", dataset)
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "7", '{"a": {"b": {"bpp": [1, 2], "psnr": [3]}}}'),
        *('{"results": {"psnr-rgb": [30]}}', '{"results": [1]}'),
    ],
)
def test_files_that_hold_no_curves(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ImportFileError, match="no rate-distortion curves"):
        read_published(str(path), "kodak")
    with pytest.raises(FileNotFoundError):
        read_published(str(tmp_path / "no.json"), "kodak")


@pytest.mark.parametrize(
    ("path", "least", "names"),
    [
        (MADE_UP, 5, "vtm made-up-better made-up-worse"),
        (PUBLISHED, 51, "vtm hm bpg_444_x265_ycbcr av1 jpeg webp paper-elic2022_mse"),
    ],
)
def test_a_collection_of_curves_loads(path: Path, least: int, names: str) -> None:
    if not path.exists():
        pytest.skip("the collection of published curves is not there")
    found = {c["name"]: c for c in read_published(str(path), "kodak")}
    assert len(found) >= least
    for name in names.split():
        assert len(found[name]["points"]) >= 6, name
    assert all(c["source"] for c in found.values())

"""The pictures of a report: which are chosen, how they are cut, matched, written and kept."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="the report needs the extra [eval]")
import numpy as np
from PIL import Image

from rdae.evaluation.metrics import psnr
from rdae.evaluation.report import kept, pictures, scenes
from rdae.evaluation.report import page as report
from rdae.evaluation.report.matching import MATCHED, Coding, Codings, match
from rdae.evaluation.report.scenes import Scene, Version
from rdae.evaluation.report.viewer import records_of
from tests.evaluation_sample import CODECS, summary
from tests.report_samples import scene


def test_the_worst_the_middle_and_the_best_are_chosen() -> None:
    full = summary()
    ours = pictures.our_codec(full)
    assert ours is not None and ours["label"] == "rdae"
    singles = ours["bd"]["psnr"]["images"]
    chosen = pictures.choose_images(full, ours)
    assert [word for _, word, _ in chosen] == ["worst"] * 3 + ["middle"] + ["best"] * 3
    order = sorted(singles.values(), reverse=True)
    assert [percent for *_, percent in chosen] == [*order[:3], order[12], *order[-3:]]
    few = summary(images=2)
    assert len(pictures.choose_images(few, few["codecs"][0])) == 2
    every = pictures.choose_images(full, ours, every=True)
    assert [entry["image"] for entry, _, _ in every] == [f"kodim{i:02}" for i in range(1, 25)]
    assert every[4] == (full["dataset"]["images"][4], "", singles["kodim05"])


def test_the_detail_is_cut_around_the_largest_error() -> None:
    original = np.zeros((700, 900, 3), np.uint8)
    decoded = original.copy()
    decoded[600:640, 500:520] = 90
    left, top, right, bottom = scenes.worst_box(original, decoded)
    assert (right - left, bottom - top) == (512, 512)
    assert left <= 500 and right >= 520 and bottom == 700
    assert scenes.worst_box(original[:30, :50], decoded[:30, :50]) == (0, 0, 50, 30)


def test_details_are_cut_smaller_until_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (512, 512, 3), np.uint8)
    big = Scene("n", 512, 512, (0, 0, 512, 512), "", None, b"",
                (Version(None, "original", None, None, 0.0, {}, noise),))  # fmt: skip
    monkeypatch.setattr(scenes, "_BUDGET_BYTES", 200_000)
    (fitted,) = scenes.fitted([big])
    left, top, right, bottom = fitted.box
    assert len(fitted.versions[0].webp) <= 200_000
    assert 150 < right - left == bottom - top < 300


def test_the_budget_leaves_room_for_the_rest_of_the_page() -> None:
    assert scenes._BUDGET_BYTES * 4 / 3 < 13_000_000


@pytest.fixture(scope="module")
def crop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crop") / "crop.png"
    photo = Image.open(Path(__file__).parent.parent / "examples" / "photo.png")
    photo.convert("RGB").crop((260, 170, 452, 346)).save(path)
    return path


def row(codec: str, quality: float, size: int, psnr: float | None) -> dict[str, Any]:
    """What was measured of the crop."""
    numbers = {"bytes": size, "bpp": size * 8 / (192 * 176), "psnr": psnr}
    return {"codec": codec, "quality": quality, "sha256": "c", "ok": True, **numbers}


def test_codecs_are_matched_to_our_rate_and_to_our_quality(crop: Path) -> None:
    original = np.asarray(Image.open(crop))
    ours = Coding(60.0, bytes(7500), original, 32.0)
    known = [Codings("jpeg", crop, original).at(quality) for quality in (20.0, 60.0, 90.0)]
    rows = [row("jpeg", one.quality, len(one.data), one.psnr) for one in known]
    codings = Codings("jpeg", crop, original)
    rate = match("rate", ours, codings, rows)
    assert rate is not None and rate.quality == round(rate.quality)
    assert abs(len(rate.data) / 7500 - 1) < MATCHED["rate"]
    quality = match("quality", ours, codings, rows)
    assert quality is not None and abs(quality.psnr - 32.0) < MATCHED["quality"]
    assert quality.psnr == psnr(original, quality.decoded)
    assert {rate.quality, quality.quality} <= set(codings.made) and len(codings.made) <= 6


def test_what_is_far_away_or_unknown_is_not_matched(crop: Path) -> None:
    original = np.asarray(Image.open(crop))
    rows = [row("jpeg", 20.0, 3750, None), row("jpeg", 90.0, 15_000, None)]
    ours = Coding(60.0, bytes(7500), original, 32.0)
    assert match("quality", ours, Codings("jpeg", crop, original), rows) is None  # no PSNR
    assert match("rate", ours, Codings("jpeg", crop, original), []) is None
    for size, decibels in ((300_000, 70.0), (50, math.inf)):
        ours = Coding(60.0, bytes(size), original, decibels)
        rows = [row("jpeg", 50.0, 7000, 30.0)]
        for goal in MATCHED:
            assert match(goal, ours, Codings("jpeg", crop, original), rows) is None


def of_the_crop(crop: Path, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A summary, and the rows that its pictures need."""
    small = summary(images=1)
    digest = hashlib.sha256(crop.read_bytes()).hexdigest()
    small["dataset"]["images"][0].update(image=name, path=str(crop), sha256=digest)
    small["codecs"] = [c for c in small["codecs"] if c["name"] in ("rdae", "jpeg")]
    small["metrics"] = ["psnr"]
    points = ((5.0, 1391, 22.8), (20.0, 3378, 27.4), (90.0, 18_035, 35.5))
    rows = [row("jpeg", *point) for point in points]
    return small, [{**one, "sha256": digest} for one in rows]


def test_all_pictures_are_written_whole_beside_the_page(crop: Path, tmp_path: Path) -> None:
    small, rows = of_the_crop(crop, "../odd %41 name/é")
    told: list[tuple[int, int]] = []
    found = pictures.take_pictures(
        small, rows, tmp_path, lambda *done: told.append(done), every=True
    )
    (whole,) = found
    assert told == [(1, 1)] and whole.box == (0, 0, 192, 176) and whole.overview == b""
    files = [version.file for version in whole.versions]
    assert files[0] == "pictures/1-odd-41-name-é/0-original.webp"
    written = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.webp"))
    assert written == sorted(files) and files[1].split("/")[2].startswith("1-rdae-q")
    original = np.asarray(Image.open(crop))
    assert np.array_equal(np.asarray(Image.open(tmp_path / files[0])), original)
    for version in whole.versions[1:]:
        decoded = np.asarray(Image.open(tmp_path / version.file))
        assert psnr(original, decoded) == pytest.approx(version.values["psnr"])
        assert version.webp == b"" and version.detail.size == 0
    assert {goal for version in whole.versions[2:] for goal in version.goals} == set(MATCHED)

    text = report.write_report(small, tmp_path, [], records_of(small, found)).read_text(
        encoding="utf-8"
    )
    assert "img-src 'self' file: data:;" in text and 'href="pictures"' in text
    assert '"src":"pictures/1-odd-41-name-%C3%A9/0-original.webp"' in text
    assert "data:image" not in text
    text = report.write_report(small, tmp_path, [], []).read_text(encoding="utf-8")
    assert "img-src data:;" in text and 'href="pictures"' not in text


def test_details_stand_in_the_page_and_what_changed_is_said(
    crop: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small, rows = of_the_crop(crop, "crop")
    small["codecs"][1]["settings"] = "an encoder of old"
    (detail,) = pictures.take_pictures(small, rows, crop.parent)
    assert all(version.webp and not version.file for version in detail.versions)
    assert detail.overview and detail.box == (0, 0, 192, 176)
    assert pictures.changed(small)[1].endswith("; measured was an encoder of old")
    small["dataset"]["images"][0]["path"] = str(tmp_path / "gone.png")
    assert pictures.take_pictures(small, rows, crop.parent) == []
    assert "gone.png is not there any more" in caplog.text


# Pictures of an earlier page


def kept_of(tmp_path: Path, full: dict[str, Any]) -> list[dict[str, Any]]:
    """What a summary's page can keep of one that has two pictures of three codecs."""
    before = summary()
    records = records_of(before, [scene("kodim01"), scene("kodim02")])
    page = report.write_report(before, tmp_path, [], records)
    return kept.read_pictures(page, full)


def test_pictures_of_an_earlier_page_are_kept_as_they_are(tmp_path: Path) -> None:
    assert kept.read_pictures(tmp_path / "report.html", summary()) == []
    expected = records_of(summary(), [scene("kodim01"), scene("kodim02")])
    assert kept_of(tmp_path, summary()) == json.loads(json.dumps(expected))


def test_kept_pictures_follow_the_codecs_and_images_of_the_new_summary(tmp_path: Path) -> None:
    other = summary()
    other["codecs"] = [c for c in other["codecs"] if c["label"] != "AVIF"][::-1]
    del other["dataset"]["images"][0]
    (record,) = kept_of(tmp_path, other)
    assert record["image"] == "kodim02"
    assert [v["key"] for v in record["versions"]] == ["original", f"codec-{len(CODECS) - 2}"]


def test_files_beside_the_page_are_kept_only_where_they_are_there(tmp_path: Path) -> None:
    full = summary()
    (one,) = records_of(full, [scene()])
    sources = ["pictures/a/0%41.webp", "pictures/a/1.webp", "../x.webp", "http://evil.example/x"]
    one["versions"] = [
        {**version, "src": src} for version, src in zip(one["versions"], sources, strict=True)
    ]
    (tmp_path / "pictures" / "a").mkdir(parents=True)
    for name in ("pictures/a/0A.webp", "pictures/a/1.webp"):
        (tmp_path / name).touch()
    page = report.write_report(full, tmp_path, [], [one])
    (record,) = kept.read_pictures(page, full)
    assert [v["src"] for v in record["versions"]] == sources[:2]
    (tmp_path / "pictures/a/0A.webp").unlink()
    assert kept.read_pictures(page, full) == []


@pytest.mark.parametrize("script", ["", "{", "7", '["x"]', '[{"image": "kodim01"}]', "[" * 100_000])
def test_a_page_that_holds_no_pictures_gives_none(tmp_path: Path, script: str) -> None:
    page = tmp_path / "report.html"
    page.write_text(f'<script type="application/json" id="scenes">{script}</script>')
    assert kept.read_pictures(page, summary()) == []


def test_new_pictures_take_the_place_of_earlier_ones_unless_they_are_poorer() -> None:
    full = summary(images=3)
    one, two, three = full["dataset"]["images"]
    new = records_of(full, [scene("kodim01"), scene("kodim02")])
    before = records_of(full, [scene("kodim01"), scene("kodim02"), scene("kodim03")])
    for record in before:
        record["overview"] = "earlier"
    new[1]["versions"].pop()
    chosen = [(one, "worst", 1.0), (two, "", None), (three, "best", -1.0)]
    records, old, lost = kept.merge(new, before, chosen)
    assert (old, lost) == (["kodim02", "kodim03"], [])
    assert [r["overview"] == "earlier" for r in records] == [False, True, True]
    assert [r["title"] for r in records] == [
        *("kodim01 (worst, +3.2 %)", "kodim02", "kodim03 (best, −1.0 %)")
    ]
    records, old, _ = kept.merge(new, before, chosen, prefer_before=True)
    assert old == ["kodim01", "kodim02", "kodim03"]
    # others than before are wanted and cannot be had: those of before all stay
    records, old, lost = kept.merge([], before[:2], [(three, "best", -1.0)])
    assert (lost, old) == (["kodim03"], ["kodim01", "kodim02"])
    assert [r["title"] for r in records] == ["kodim01", "kodim02"]
    assert kept.merge(new, [], chosen)[1:] == ([], ["kodim03"])

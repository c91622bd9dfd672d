"""From rows to curves, BD-rates and files; published curves beside them."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from rdae.cli import eval_table
from rdae.evaluation import published
from rdae.evaluation.published import read_published
from rdae.evaluation.report import exports
from rdae.evaluation.results import Results
from rdae.evaluation.summary import summarise

QUALITIES = (20.0, 40.0, 60.0, 80.0, 95.0)
IMAGES = ("one", "two", "three")


def ms_ssim(psnr: float) -> float:
    return 1 - 10 ** (-psnr / 20)


def row(image: str, codec: str, quality: float, rate: float, **more: Any) -> dict[str, Any]:
    """A row on a curve whose PSNR grows by 4 dB with each doubling of the rate."""
    place = QUALITIES.index(quality)
    psnr = 27 + 3 * place + IMAGES.index(image)
    return {
        "schema": "rdae.eval-row/1",
        "image": image,
        "sha256": f"hash of {image}",
        "width": 100,
        "height": 50,
        "codec": codec,
        "spec": "settings",
        "quality": quality,
        "bpp": rate * 0.1 * 2 ** (0.75 * place),
        "bits": {"y": 80, "z": 15, "header": 5} if codec == "rdae" else None,
        "psnr": float(psnr),
        "ms_ssim": ms_ssim(psnr),
        "identical": False,
        "skipped": {},
        "encode_s": 0.01,
        "decode_s": 0.005,
        "load_s": 0.5 if place == 0 else None,
        "ok": True,
        "error": None,
        **more,
    }


def run_of(codecs: dict[str, str], curves: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "date": "2026-01-01",
        "command": "rdae eval",
        "versions": {},
        "definitions": {},
        "machine": {"cpu": "?", "cores": 1, "jobs": 1},
        "dataset": {
            "name": "three",
            "found": 3,
            "whole": True,
            "images": [
                {
                    "image": name,
                    "sha256": f"hash of {name}",
                    "width": 100,
                    "height": 50,
                    "alpha": False,
                }
                for name in IMAGES
            ],
            "unreadable": [],
        },
        "metrics": ["psnr", "ms_ssim"],
        "codecs": [
            {
                "name": name,
                "label": name.upper(),
                "kind": kind,
                "settings": "settings",
                "lossless": False,
                "holds_alpha": name != "jpeg",
                "qualities": list(QUALITIES),
            }
            for name, kind in codecs.items()
        ],
        "published": curves or [],
        "warnings": [],
    }


TWO = {"rdae": "ours", "webp": "codec"}
SHARE = {"one": 0.8, "two": 0.9, "three": 1.0}  # of the anchor's bits


def rows_of_two() -> list[dict[str, Any]]:
    return [
        row(image, codec, quality, SHARE[image] if codec == "rdae" else 1.0)
        for image in IMAGES
        for codec in TWO
        for quality in QUALITIES
    ]


def results_of(folder: Path, rows: list[dict[str, Any]]) -> Results:
    results = Results(folder / "results.jsonl")
    for one in rows:
        results.append(one)
    return results


def codec_of(summary: dict[str, Any], name: str) -> dict[str, Any]:
    return next(codec for codec in summary["codecs"] if codec["name"] == name)


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("rows")
    return summarise(run_of(TWO), results_of(folder, rows_of_two()), "webp")


def test_points_are_means_over_the_pictures(summary: dict[str, Any]) -> None:
    ours = codec_of(summary, "rdae")
    first = ours["points"][0]
    assert [point["quality"] for point in ours["points"]] == list(QUALITIES)
    assert first["bpp"] == pytest.approx(0.09)
    assert first["psnr"] == pytest.approx(28)
    mean = sum(ms_ssim(psnr) for psnr in (27, 28, 29)) / 3
    assert first["ms_ssim"] == pytest.approx(mean)
    assert first["ms_ssim_db"] == pytest.approx(-10 * math.log10(1 - mean))
    assert first["bits"] == {"y": 80, "z": 15, "header": 5}
    assert codec_of(summary, "webp")["points"][0]["bits"] is None
    json.dumps(summary, allow_nan=False)


def test_bd_rates_of_single_pictures_are_kept(summary: dict[str, Any]) -> None:
    bd = codec_of(summary, "rdae")["bd"]["psnr"]
    assert bd["images"] == {
        "one": pytest.approx(-20),
        "two": pytest.approx(-10),
        "three": pytest.approx(0, abs=1e-9),
    }
    assert bd["image_mean"] == pytest.approx(-10)
    assert bd["interval"][0] < -10 < bd["interval"][1]
    assert bd["rate_interval"][0] < bd["rate"] < bd["rate_interval"][1]
    assert bd["rate"] == pytest.approx(-10)
    assert bd["akima"] == pytest.approx(-10)
    assert bd["overlap"] == [pytest.approx(28), pytest.approx(40)]
    assert bd["overlap_share"] == 1
    assert bd["saving"]["percent"][0] == pytest.approx(-10)
    own = codec_of(summary, "webp")["bd"]["psnr"]
    assert own["rate"] == pytest.approx(0) and own["gain"] == pytest.approx(0)


def test_nothing_is_compared_with_a_lossless_anchor(tmp_path: Path) -> None:
    run = run_of(TWO)
    run["codecs"][1]["lossless"] = True
    summary = summarise(run, results_of(tmp_path, rows_of_two()), "webp")
    assert [codec_of(summary, name)["bd"]["psnr"]["why_not"] for name in TWO] == [
        "the anchor is lossless",
        "lossless",
    ]
    assert eval_table.rates(summary) == ""
    assert "RDAE is not comparable in psnr, ms-ssim: the anchor is lossless" in (
        eval_table.remarks(summary)
    )


def test_times_are_over_all_points(summary: dict[str, Any]) -> None:
    ours = codec_of(summary, "rdae")
    assert ours["encode_mps"] == pytest.approx(0.005 / 0.01)
    assert ours["decode_mps"] == pytest.approx(0.005 / 0.005)
    assert ours["load_s"] == 0.5 and ours["cold_start_s"] is None


def test_a_failed_picture_leaves_the_curve_and_the_comparison(tmp_path: Path) -> None:
    rows = rows_of_two()
    bad = next(i for i, r in enumerate(rows) if (r["image"], r["codec"]) == ("one", "rdae"))
    rows[bad] = {**rows[bad], "ok": False, "bpp": None, "psnr": None, "error": "broke"}
    summary = summarise(run_of(TWO), results_of(tmp_path, rows), "webp")
    ours = codec_of(summary, "rdae")
    assert (ours["failed"], ours["images"], summary["failed"]) == (1, 2, 1)
    assert ours["failures"] == [{"image": "one", "quality": 20.0, "error": "broke"}]
    assert ours["points"][0]["bpp"] == pytest.approx(0.095)
    # of the anchor, too, only the pictures that both have
    assert ours["bd"]["psnr"]["rate"] == pytest.approx(-5)
    assert any("1 failed, the first one at quality 20: broke" in w for w in summary["warnings"])


def test_a_metric_that_some_pictures_lack(tmp_path: Path) -> None:
    skipped = {"ms_ssim": None, "skipped": {"ms_ssim": "too small"}}
    rows = [{**r, **(skipped if r["image"] == "three" else {})} for r in rows_of_two()]
    summary = summarise(run_of(TWO), results_of(tmp_path, rows), "webp")
    point = codec_of(summary, "rdae")["points"][0]
    assert point["bpp"] == pytest.approx(0.09)
    assert point["bpp_of"] == {"ms_ssim": pytest.approx(0.085)}
    assert summary["skipped"] == {"ms_ssim": ["three: too small"]}
    bd = codec_of(summary, "rdae")["bd"]
    assert bd["ms_ssim"]["rate"] == pytest.approx(-15)
    assert bd["psnr"]["rate"] == pytest.approx(-10)


def test_a_run_that_was_cut_short_compares_what_all_codecs_have(tmp_path: Path) -> None:
    summary = summarise(run_of(TWO), results_of(tmp_path, rows_of_two()[:-2]), "webp")
    assert any("2 not measured" in warning for warning in summary["warnings"])
    assert any(w.startswith("compared over 2 of 3 images") for w in summary["warnings"])
    assert summary["dataset"]["extent"] == {"psnr": "2 of 3 images", "ms_ssim": "2 of 3 images"}
    assert summary["dataset"]["compared"]["psnr"] == ["one", "two"]
    assert summary["dataset"]["megapixels"] == pytest.approx(0.01)
    # ours has the third one, too, but a mean over three does not belong beside one over two
    for name in TWO:
        assert codec_of(summary, name)["images"] == 2
    assert codec_of(summary, "rdae")["points"][0]["bpp"] == pytest.approx(0.085)


def test_a_part_that_was_chosen_is_called_one(tmp_path: Path) -> None:
    run = run_of(TWO)
    run["dataset"] |= {"found": 24, "whole": False}
    summary = summarise(run, results_of(tmp_path, rows_of_two()), "webp")
    assert summary["dataset"]["extent"]["psnr"] == "3 of 24 images"


def test_a_codec_without_a_single_picture_does_not_empty_the_comparison(tmp_path: Path) -> None:
    run = run_of({**TWO, "avif": "codec"})
    summary = summarise(run, results_of(tmp_path, rows_of_two()), "webp")
    assert summary["dataset"]["extent"]["psnr"] == "3 images"
    assert codec_of(summary, "avif")["points"] == []
    assert codec_of(summary, "rdae")["bd"]["psnr"]["rate"] == pytest.approx(-10)


def test_transparency_is_left_out_only_where_it_cannot_be_held(tmp_path: Path) -> None:
    """The second picture has it, and JPEG does without that one; the others do not."""
    run = run_of({**TWO, "jpeg": "codec"})
    run["dataset"]["images"][1]["alpha"] = True
    jpeg = [
        row(image, "jpeg", quality, 2 * SHARE[image])
        for image in ("one", "three")
        for quality in QUALITIES
    ]
    results = results_of(tmp_path, [*rows_of_two(), *jpeg])
    summary = summarise(run, results, "webp")
    assert summary["dataset"]["extent"]["psnr"] == "3 images"
    images = {codec["name"]: codec["images"] for codec in summary["codecs"]}
    assert images == {"rdae": 3, "webp": 3, "jpeg": 2}
    assert [codec["transparent"] for codec in summary["codecs"]] == [[], [], ["two"]]
    assert "JPEG cannot hold transparency: compared without two" in str(summary["warnings"])
    assert not any("not measured" in warning for warning in summary["warnings"])
    assert codec_of(summary, "rdae")["bd"]["psnr"]["rate"] == pytest.approx(-10)
    assert codec_of(summary, "jpeg")["bd"]["psnr"]["rate"] == pytest.approx(80)
    assert set(codec_of(summary, "jpeg")["bd"]["psnr"]["images"]) == {"one", "three"}
    turned = summarise(run, results, "jpeg")
    assert set(codec_of(turned, "rdae")["bd"]["psnr"]["images"]) == {"one", "three"}


def test_nothing_measured_is_no_reason_to_fall_over(tmp_path: Path) -> None:
    summary = summarise(run_of(TWO), results_of(tmp_path, []), "webp")
    assert codec_of(summary, "rdae")["points"] == []
    assert codec_of(summary, "rdae")["bd"]["psnr"]["why_not"]
    exports.write_files(summary, tmp_path)


def test_rows_of_other_settings_do_not_count(tmp_path: Path) -> None:
    rows = rows_of_two()
    old = [{**r, "spec": "an older version", "bpp": 9.0} for r in rows]
    summary = summarise(run_of(TWO), results_of(tmp_path, rows + old), "webp")
    assert codec_of(summary, "rdae")["points"][0]["bpp"] == pytest.approx(0.09)


# Published curves


def curve(rate: float) -> dict[str, Any]:
    points = [{"bpp": rate * 0.1 * 2 ** (0.75 * k), "psnr": 28.0 + 3 * k} for k in range(5)]
    named = {"name": "published:vtm", "label": "VTM", "settings": "published, not re-run"}
    return {**named, "source": "a paper", "points": points}


def test_published_curves_are_compared_with_the_mean(tmp_path: Path) -> None:
    results = results_of(tmp_path, rows_of_two())
    summary = summarise(run_of(TWO, [curve(0.6)]), results, "webp")
    vtm = codec_of(summary, "published:vtm")
    assert (vtm["kind"], vtm["source"], vtm["failed"]) == ("published", "a paper", 0)
    assert vtm["bd"]["psnr"]["rate"] == pytest.approx(-40)
    assert vtm["bd"]["psnr"]["interval"] is None and vtm["bd"]["psnr"]["images"] == {}
    assert vtm["bd"]["psnr"]["saving"]["percent"][0] == pytest.approx(-40)
    assert vtm["bd"]["ms_ssim"]["rate"] is None
    assert vtm["points"][0]["ms_ssim"] is None

    turned = summarise(run_of(TWO, [curve(0.6)]), results, "published:vtm")
    assert codec_of(turned, "rdae")["bd"]["psnr"]["rate"] == pytest.approx(50)


def test_a_part_of_a_data_set_is_not_compared_with_means_of_the_whole(tmp_path: Path) -> None:
    run = run_of(TWO, [curve(0.6)])
    run["dataset"]["whole"] = False
    summary = summarise(run, results_of(tmp_path, rows_of_two()), "webp")
    bd = codec_of(summary, "published:vtm")["bd"]["psnr"]
    assert bd["rate"] is None and "part" in bd["why_not"]
    assert codec_of(summary, "rdae")["bd"]["psnr"]["rate"] == pytest.approx(-10)


# Files


def test_the_csv_has_a_line_a_codec_and_metric(summary: dict[str, Any]) -> None:
    lines = list(csv.DictReader(io.StringIO(exports.bd_rate_csv(summary))))
    assert [(line["codec"], line["metric"]) for line in lines] == [
        (codec, metric) for codec in ("rdae", "webp") for metric in ("psnr", "ms_ssim")
    ]
    assert float(lines[0]["bd_rate_percent"]) == pytest.approx(-10)
    assert lines[0]["images"] == "3" and lines[0]["why_not"] == ""


def test_our_files_are_published_curves_in_their_turn(
    summary: dict[str, Any], tmp_path: Path
) -> None:
    exports.write_files(summary, tmp_path)
    path = tmp_path / "compressai" / "webp.json"
    (again,) = read_published(str(path), "any")
    assert again["label"] == "WEBP"
    assert [p["psnr"] for p in again["points"]] == [28.0, 31.0, 34.0, 37.0, 40.0]
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert exports.file_name("jpeg:subsampling=420") == "jpeg-subsampling-420"
    assert len(exports.file_name("rdae:model=" + "x" * 300)) <= 40
    assert again["settings"] == published._NOTE


def test_codecs_of_like_names_have_files_of_their_own(
    summary: dict[str, Any], tmp_path: Path
) -> None:
    webp = next(codec for codec in summary["codecs"] if codec["name"] == "webp")
    alike = [{**webp, "name": name, "label": name} for name in ("a:b=1.0", "a:b=1-0")]
    exports.write_files({**summary, "codecs": alike}, tmp_path)
    labels = {json.loads(path.read_text())["name"] for path in (tmp_path / "compressai").iterdir()}
    assert labels == {"a:b=1.0", "a:b=1-0"}


@pytest.mark.filterwarnings("ignore")  # of torch, on deprecations
def test_compressai_plots_our_files(summary: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = pytest.importorskip("compressai.utils.plot.__main__")
    exports.write_files(summary, tmp_path)
    path = str(tmp_path / "compressai" / "rdae.json")
    for metric in ("psnr", "ms-ssim"):
        read = plot.parse_json_file(path, metric)
        assert read["name"] == "RDAE" and len(read["xs"]) == len(read["ys"]) == 5
    plot.main(["-f", path, "-o", str(tmp_path / "plot.png")])
    assert (tmp_path / "plot.png").stat().st_size > 1000

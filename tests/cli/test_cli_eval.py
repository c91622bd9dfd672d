"""`rdae eval` and `rdae compare`, as a user runs them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rdae.extras import install_hint
from rdae.folder_lock import FolderLock
from tests.cli.cli_runner import InProcess, Result, environment, names, run_rdae, save
from tests.processes import has_members, wait_until

TIMES = ("encode_s", "decode_s", "load_s")
CHEAP = ("--metric", "psnr", "--no-report")
POINTS = ("-q", "10:100:30", "--against", "jpeg:quality=20/40/60/80,png")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A folder with photos/ and the evaluation of them, out/."""
    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "photos").mkdir()
    save(folder / "photos" / "large.png", width=70, height=60)
    save(folder / "photos" / "small.png")
    result = run_rdae(folder, "eval", "photos", *POINTS, *CHEAP, "-o", "out")
    return folder, result


@pytest.fixture
def out(finished: tuple[Path, Result], tmp_path: Path) -> Path:
    """A copy of that evaluation."""
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    return tmp_path / "out"


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of an evaluation without their times, in one order."""
    lines = (folder / "results.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["schema"] == "rdae.eval-row/1"]
    rows.sort(key=lambda row: (row["image"], row["codec"], row["quality"]))
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def test_a_folder_is_evaluated(finished: tuple[Path, Result]) -> None:
    folder, result = finished
    assert result.code == 0, result.err
    heading, rates, facts = (part.splitlines() for part in result.out.decode().split("\n\n"))
    assert heading[0] == "photos: 2 images, 0.0 MP"
    assert heading[1].startswith("anchor: JPEG (4:4:4, optimize, pillow ")
    assert rates[0].split() == ["BD-RATE", "%", "psnr"]
    assert re.fullmatch(r"rdae +[+-][\d.]+ \[[+-][\d.]+, [+-][\d.]+\]", rates[1])
    assert rates[2].split() == ["JPEG", "0"] and rates[3].split() == ["PNG", "-"]
    assert rates[4].endswith("than the anchor at equal quality [95 % interval]")
    headings = "CODEC IMAGES POINTS BPP RANGE ENC MP/s DEC MP/s FAILED"
    assert " ".join(facts[0].split()) == headings
    assert [line.split()[:2] for line in facts[1:]] == [["rdae", "2"], ["JPEG", "2"], ["PNG", "2"]]
    assert all(line.endswith(" 0") for line in facts[1:])
    assert max(map(len, result.out.decode().splitlines())) <= 80
    assert "rdae: model load " in result.err and "process start to PNG" in result.err
    assert names(folder / "out") == [
        "bd_rate.csv",
        "compressai/jpeg.json",
        "compressai/png.json",
        "compressai/rdae.json",
        "results.jsonl",
        "rows.tsv",
        "run.json",
        "summary.json",
    ]


def test_every_row_is_a_real_file(finished: tuple[Path, Result]) -> None:
    rows = rows_of(finished[0] / "out")
    assert len(rows) == 2 * (4 + 4 + 1)
    assert all(row["ok"] and row["bytes"] > 0 for row in rows)
    for row in rows:
        assert row["bpp"] == 8 * row["bytes"] / (row["width"] * row["height"])
        assert (row["psnr"] is None) == (row["codec"] == "png") == row["identical"]


def test_the_summary_says_what_was_done(finished: tuple[Path, Result]) -> None:
    summary = json.loads((finished[0] / "out" / "summary.json").read_text())
    assert summary["schema"] == "rdae.eval-summary/1"
    assert summary["command"].startswith("rdae eval photos ")
    assert summary["dataset"]["name"] == "photos" and summary["anchor"] == "jpeg"
    assert {"bpp", "bd_rate", "psnr"} <= set(summary["definitions"])
    assert summary["versions"]["rdae"] and summary["machine"]["cores"]
    ours = summary["codecs"][0]
    assert [point["quality"] for point in ours["points"]] == [10, 40, 70, 100]
    assert ours["load_s"] > 0 and ours["cold_start_s"] > 0
    assert ours["points"][0]["bits"]["y"] > 0


def test_an_evaluation_that_was_killed_goes_on(finished: tuple[Path, Result], out: Path) -> None:
    """SIGKILL after the first rows: no process stays behind, and nothing is measured twice."""
    folder = out.parent
    arguments = ("photos", *POINTS, *CHEAP, "-o", "killed", "-j", "2")
    process = subprocess.Popen(
        [sys.executable, "-m", "rdae", "eval", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    rows = folder / "killed" / "results.jsonl"
    wait_until(lambda: rows.exists() and rows.read_bytes().count(b"\n") >= 2)
    process.kill()
    process.wait()
    wait_until(lambda: not has_members(process.pid))
    rows.write_bytes(rows.read_bytes() + b'{"schema": "rdae.ev')
    before = rows.read_bytes().count(b"\n")

    result = run_rdae(folder, "eval", *arguments, "--resume")
    assert result.code == 0, result.err
    assert result.err.startswith(f"{min(before, 18)} of 18 results are there already\n")
    assert rows_of(folder / "killed") == rows_of(out)


def test_earlier_results_are_taken_where_nothing_has_changed(
    call: InProcess, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but ours, and those of a codec of which another version is here."""
    lines = (out / "rows.tsv").read_text().replace("libjpeg-turbo", "libjpeg 6b, once").splitlines()
    (out.parent / "kept").mkdir()
    (out.parent / "kept" / "rows.tsv").write_text("\n".join(lines) + "\n")
    arguments = ("photos", *POINTS, *CHEAP, "--reuse", "kept", "-o", "again")
    code, printed, said = call("eval", *arguments)
    assert code == 0
    assert said.startswith("2 of 18 results are taken from kept\njpeg is measured again: here ")
    assert "there 4:4:4, optimize, " in said and "libjpeg 6b, once" in said
    assert "measured earlier, and not again: PNG\n" in said
    again = rows_of(out.parent / "again")
    assert {row["codec"] for row in again if "reused" in row} == {"png"}
    for row, before in zip(again, rows_of(out), strict=True):
        assert row.pop("reused", "kept/rows.tsv").startswith("kept/rows.tsv")
        assert row.pop("psnr") == pytest.approx(before.pop("psnr"), abs=1e-6)
        assert row == before
    assert (out.parent / "again" / "rows.tsv").read_text() == (out / "rows.tsv").read_text()
    facts = {line.split()[0]: line.split() for line in printed.split("\n\n")[2].splitlines()}
    assert len(facts["JPEG"]) == len(facts["PNG"]) + 2  # times are not taken over


def test_a_second_evaluation_does_not_come_into_the_folder(call: InProcess, out: Path) -> None:
    before = rows_of(out)
    with FolderLock(out):
        code, _, said = call("eval", "photos", *POINTS, *CHEAP, "-o", "out", "--resume")
    assert code == 1
    assert said.startswith("rdae: folder-in-use: out is in use by process ")
    assert rows_of(out) == before
    with FolderLock(out.parent / "new"):
        code, _, said = call("eval", "photos", *POINTS, *CHEAP, "-o", "new")
        assert code == 1 and "new is in use by process " in said
    assert not (out.parent / "new").exists() and "rdae.lock" not in names(out)


def test_a_run_goes_on_with_its_own_pictures(call: InProcess, out: Path) -> None:
    before = (out / "run.json").read_bytes()
    code, _, said = call("eval", "photos/small.png", *POINTS, *CHEAP, "-o", "out", "--resume")
    assert code == 2 and "out is about other pictures: large is not among these" in said
    assert "--reuse out" in said and (out / "run.json").read_bytes() == before
    arguments = ("photos", "-q", "10:100:30", "--against", "png", *CHEAP, "-o", "out", "--resume")
    code, _, said = call("eval", *arguments)
    assert code == 0 and said.startswith("not in the report any more: JPEG; results stay\n")
    assert "\tjpeg\t" in (out / "rows.tsv").read_text()


def test_a_run_goes_on_with_its_own_commands(call: InProcess, out: Path) -> None:
    run = json.loads((out / "run.json").read_text())
    run["definitions"]["mine"] = "mine: the last number that this prints: true"
    (out / "run.json").write_text(json.dumps(run))
    again = ("eval", "photos", *POINTS, *CHEAP, "-o", "out", "--resume", "--metric-cmd")
    code, printed, said = call(*again, "mine:false")
    assert (code, printed) == (2, "") and "results of another command" in said
    assert json.loads((out / "run.json").read_text()) == run


def test_table_and_summary_can_be_had_again(call: InProcess, out: Path) -> None:
    code, printed, said = call("eval", "--plot-only", "out", "--no-report", "--anchor", "rdae")
    assert code == 0 and printed.splitlines()[1].startswith("anchor: rdae (rdae ")
    assert "model load" in said and said.endswith("results: out\n")
    assert json.loads((out / "summary.json").read_text())["anchor"] == "rdae"
    code, printed, said = call("eval", "--plot-only", "out", "--no-report", "--json", "--quiet")
    assert (code, said) == (0, "")
    assert json.loads(printed)["anchor"] == "jpeg"


def test_figures_and_report_can_be_had_again(call: InProcess, out: Path) -> None:
    pytest.importorskip("matplotlib", reason="the report needs the extra [eval]")
    before = (out / "results.jsonl").read_bytes()
    code, _, said = call("eval", "--plot-only", "out", "--all-images")
    assert code == 0 and said.endswith("report: out/report.html\n")
    assert (out / "results.jsonl").read_bytes() == before
    text = (out / "report.html").read_text(encoding="utf-8")
    assert 'id="viewer"' in text and (out / "curves-psnr.svg").is_file()
    pictures = sorted(path.name for path in (out / "pictures").iterdir())
    assert pictures == ["1-large", "2-small"]
    for name in pictures:
        files = [path.name for path in (out / "pictures" / name).iterdir()]
        assert "0-original.webp" in files and any("1-rdae-q" in file for file in files)
        assert all(f'"src":"pictures/{name}/{file}"' in text for file in files)


def test_a_report_keeps_its_pictures(
    call: InProcess, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made again from another folder, and when the photos are gone."""
    pytest.importorskip("matplotlib", reason="the report needs the extra [eval]")
    from rdae.evaluation.report import plots

    monkeypatch.setattr(plots, "draw_figures", lambda summary: [])  # which takes most of the time
    shutil.rmtree(out)
    arguments = ("-q", "10:100:30", "--against", "jpeg:quality=20/40/60/80", "--metric", "psnr")
    assert call("eval", "photos", *arguments, "-o", "out")[0] == 0
    page = out / "report.html"

    def pictures() -> int:
        return page.read_text(encoding="utf-8").count("data:image/webp;base64,")

    before = pictures()
    assert before >= 6
    (out.parent / "elsewhere").mkdir()
    again = ("--plot-only", "../out", "--anchor", "rdae")
    code, _, said = call("eval", *again, folder=out.parent / "elsewhere")
    assert code == 0 and said.endswith("report: ../out/report.html\n")
    assert "pictures" not in said and pictures() == before
    shutil.rmtree(out.parent / "photos")
    code, _, said = call("eval", "--plot-only", "out")
    assert code == 0 and "pictures of the report before stay: " in said
    assert pictures() == before
    code, _, said = call("eval", "--plot-only", "out", "--no-images")
    assert code == 0 and pictures() == 0
    code, _, said = call("eval", "--plot-only", "out")
    assert code == 0 and "warning: the report has no pictures of " in said


def test_an_evaluation_of_an_earlier_version_can_be_plotted(call: InProcess, out: Path) -> None:
    run = json.loads((out / "run.json").read_text())
    del run["anchor"], run["dataset"]["whole"]
    (out / "run.json").write_text(json.dumps(run))
    code, printed, _ = call("eval", "--plot-only", "out", "--no-report", "--json")
    assert code == 0 and json.loads(printed)["anchor"] == "jpeg"


@pytest.mark.parametrize("damage", ["[]", "{", '{"schema": "rdae.eval-run/1"}', "metrics"])
def test_a_damaged_run_file_is_said(call: InProcess, out: Path, damage: str) -> None:
    path = out / "run.json"
    if damage == "metrics":
        run = json.loads(path.read_text())
        del run[damage]
        damage = json.dumps(run)
    path.write_text(damage)
    code, _, said = call("eval", "--plot-only", "out", "--no-report")
    assert code == 1 and said.startswith("rdae: ") and "run.json cannot be used: " in said


def test_without_matplotlib_there_is_a_table(
    call: InProcess, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdae.cli.eval_results.find_spec", lambda name: None)
    code, printed, said = call("eval", "--plot-only", "out")
    assert code == 0 and "\nrdae " in printed
    assert said.endswith(
        "rdae: no figures and no report: missing-dependency: figures need matplotlib\n"
        f"hint: {install_hint('eval')}\n"
        "results: out\n"
    )


def test_published_curves_come_in_afterwards(call: InProcess, out: Path) -> None:
    lists = {"bpp": [0.5, 1, 2, 4], "psnr": [25, 30, 35, 40], "source": "a paper"}
    Path(out.parent, "curves.json").write_text(json.dumps({"photos": {"vtm": lists}}))
    arguments = ("--plot-only", "out", "--no-report", "--import", "curves.json:vtm")
    code, printed, _ = call("eval", *arguments, "--anchor", "vtm")
    assert code == 0
    assert printed.count("\nVTM *") == 2 and "\n* published, not re-run\n\n" in printed


def test_a_limit_on_the_bd_rate_sets_the_exit_code(call: InProcess, out: Path) -> None:
    arguments = ("eval", "--plot-only", "out", "--no-report", "--quiet", "--fail-above")
    assert call(*arguments, "1000")[0] == 0
    code, _, said = call(*arguments, "-99.5")
    assert code == 1
    assert said.startswith("rdae: fail-above: rdae has a BD-rate of ")
    assert "against jpeg in psnr; the limit is -99.5 %" in said
    code, _, said = call(*arguments, "1000", "--anchor", "png")
    assert code == 1 and "has no BD-rate against png" in said


def test_rows_that_failed_make_the_exit_code_1(call: InProcess, out: Path) -> None:
    path = out / "results.jsonl"
    row = json.loads(path.read_text().splitlines()[0])
    with path.open("a") as file:
        file.write(json.dumps({**row, "ok": False, "error": "lost its way"}) + "\n")
    code, printed, said = call("eval", "--plot-only", "out", "--no-report")
    assert code == 1
    assert "1 failed, the first " in said and "lost its way" in said
    facts = printed.split("\n\n")[2].splitlines()[1:]
    assert sorted(line.split()[-1] for line in facts) == ["0", "0", "1"]


def test_a_codec_that_fails_has_no_cold_start(call: InProcess, tmp_path: Path) -> None:
    save(tmp_path / "wide.png", width=16_400, height=1)  # more than WebP can hold
    arguments = ("eval", "wide.png", "-q", "10", "--against", "webp:quality=10", *CHEAP)
    code, printed, said = call(*arguments, "-o", "out")
    assert code == 1 and "internal" not in said
    assert "WebP: 1 failed, the first wide at quality 10: " in said
    assert "process start to PNG" in said and "BD-RATE" in printed


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "no pictures given"),
        (("photos", "--against", "tiff"), "no codec 'tiff'"),
        (("photos", "--against", "avif:speed=11"), "speed cannot be 11"),
        (("photos", "--against", "webp:quality=200"), "from 0 to 100, not 200"),
        (("photos", "-q", "10,101"), "from 0 to 100, not 101"),
        (("photos", "-q", "10:0:5"), "not a list of qualities"),
        (("photos", "-q", "high"), "not a list of qualities"),
        (("photos", "-m", "nobody"), "there is no model nobody"),
        (("photos", "-m", "no.safetensors"), "no weights file"),
        (("photos", "--metric", "vmaf"), "no metric vmaf"),
        (("photos", "--metric", ","), "names no metric"),
        (("photos", "--metric-cmd", "psnr:true"), "new name"),
        (("photos", "--metric-cmd", "true"), "NAME:COMMAND"),
        (("photos", "--metric-cmd", "bpp:true"), "new name"),
        (("photos", "--metric-cmd", "mine:my 'metric"), "NAME:COMMAND"),
        (("photos", "--anchor", "avif:speed=1"), "is not among the codecs"),
        (("photos", "--import", "no.json:vtm"), "--import no.json: no such file"),
        (("photos", "--resume"), "--resume needs the folder"),
        (("photos", "--resume", "-o", "nowhere"), "no such folder to go on with"),
        (("photos", "-o", "out"), "is not empty"),
        (("photos", "-o", "photos/large.png"), "not a folder"),
        (("photos", "--plot-only", "out"), "--plot-only takes no pictures"),
        (("--plot-only", "out", "--reuse", "out"), "no --reuse"),
        (("photos", "--reuse", "photos"), "--reuse photos: there is no rows.tsv"),
        (("photos", "--reuse", "out/run.json"), "holds no rows of an evaluation"),
        (("photos", "--all-images", "--no-images"), "--all-images takes no"),
        (("--plot-only", "out", "--all-images", "--no-report"), "--all-images takes no"),
        (("--plot-only", "out", "--anchor", "heic"), "is not among the codecs"),
        (("-", "--quick"), "not standard input"),
    ],
)
def test_a_wrong_call_is_found_before_any_work(
    call: InProcess, out: Path, arguments: tuple[str, ...], why: str
) -> None:
    before = names(out.parent)
    code, printed, said = call("eval", *arguments)
    assert (code, printed) == (2, "")
    assert said.startswith("rdae: ") and why in said
    assert names(out.parent) == before


@pytest.mark.skipif(sys.platform != "linux", reason="names there are not bytes")
def test_a_name_that_is_no_utf_8_is_measured_and_written(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    save(tmp_path / "photos" / "caf\udce9.png")
    found = run_rdae(tmp_path, "eval", "photos", *POINTS, "--metric", "psnr", "-o", "out")
    assert found.code == 0, found.err
    for name in ("rows.tsv", "report.html"):
        assert "caf\\udce9" in (tmp_path / "out" / name).read_text(), name
    again = run_rdae(tmp_path, "eval", "--plot-only", "out")
    assert again.code == 0, again.err

"""Jobs and their rows: what is measured, what fails, what survives."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from rdae.errors import MissingDependencyError
from rdae.evaluation import dataset, experiment, rows_file, runner
from rdae.evaluation.codecs import parse_spec
from rdae.evaluation.metrics import BUILT_IN, Metric, psnr
from rdae.evaluation.results import NOT_METRICS, Job, Results, row_key
from rdae.images.picture import Picture
from rdae.images.transparency import on

TIMES = ("encode_s", "decode_s", "load_s")


@pytest.fixture(scope="module")
def image(photo: Picture, tmp_path_factory: pytest.TempPathFactory) -> dataset.Image:
    path = tmp_path_factory.mktemp("photos") / "bird.png"
    Pillow.fromarray(photo.rgb[100:276, 200:392]).save(path)
    return dataset.read_image(path, "bird")


def job(image: dataset.Image, spec: str, quality: float, *metrics: str) -> Job:
    codec = parse_spec(spec)
    chosen = tuple(Metric(name) for name in metrics or ("psnr", "ms_ssim"))
    return Job(image, codec.name, codec.settings, quality, chosen)


class Fake:
    """A codec that does what a test tells it."""

    qualities = (50.0,)
    name = label = settings = kind = "fake"
    lossless = has_model = False

    def __init__(self, decoded: Any) -> None:
        self.decoded = decoded

    def load(self) -> None: ...
    def encode(self, rgb: NDArray[np.uint8], quality: float) -> bytes:
        return b"12345"

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = self.decoded()
        return found

    def bits(self, data: bytes) -> None: ...


def fake_row(image: dataset.Image, monkeypatch: pytest.MonkeyPatch, fake: Fake) -> dict[str, Any]:
    monkeypatch.setitem(runner._codecs, "fake", fake)
    row = runner.run_job(Job(image, "fake", "fake", 50, (Metric("psnr"),)))
    runner._warm.clear()
    json.dumps(row, allow_nan=False)
    return row


def test_a_row_says_what_the_file_is(image: dataset.Image) -> None:
    row = runner.run_job(job(image, "rdae", 40))
    data, decoded = runner.round_trip("rdae", image.path, 40)
    assert row["ok"] and row["error"] is None
    assert (row["image"], row["width"], row["height"]) == ("bird", 192, 176)
    assert row["bytes"] == len(data)
    assert row["bpp"] == 8 * len(data) / (192 * 176)
    assert row["psnr"] == psnr(np.asarray(Pillow.open(image.path)), decoded)
    assert 0.5 < row["ms_ssim"] < 1
    assert sum(row["bits"].values()) == 8 * len(data)
    assert row["encode_s"] > 0 and row["decode_s"] > 0
    assert json.loads(json.dumps(row, allow_nan=False)) == row


def test_a_model_is_loaded_once_and_that_is_timed(
    image: dataset.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_codecs", {})
    rows = [runner.run_job(job(image, spec, 30)) for spec in ("rdae", "rdae", "jpeg")]
    assert rows[0]["load_s"] > 0
    assert rows[1]["load_s"] is None and rows[2]["load_s"] is None


def test_what_a_metric_cannot_judge_is_skipped_and_said(tmp_path: Path) -> None:
    path = tmp_path / "tiny.png"
    Pillow.new("RGB", (20, 10), (9, 8, 7)).save(path)
    row = runner.run_job(job(dataset.read_image(path, "tiny"), "png", 100))
    assert row["ok"] and row["identical"]
    assert row["psnr"] is None and row["ms_ssim"] is None
    assert list(row["skipped"]) == ["ms_ssim"] and "161" in row["skipped"]["ms_ssim"]


def test_a_decoder_that_raises_fails(image: dataset.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("lost\nits way")

    row = fake_row(image, monkeypatch, Fake(fail))
    assert not row["ok"] and row["error"] == "RuntimeError: lost its way"
    assert row["bpp"] is None


def test_a_decoder_that_gives_another_size_fails(
    image: dataset.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def black(*shape: int, dtype: Any = np.uint8) -> Fake:
        return Fake(lambda: np.zeros(shape, dtype))

    shape = (image.height, image.width, 3)
    assert fake_row(image, monkeypatch, black(*shape))["ok"]
    assert "not (176, 192, 3)" in fake_row(image, monkeypatch, black(175, 192, 3))["error"]
    assert not fake_row(image, monkeypatch, black(176, 192))["ok"]
    assert not fake_row(image, monkeypatch, black(*shape, dtype=np.float32))["ok"]


def test_a_lossless_codec_must_be_lossless(
    image: dataset.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake(lambda: np.zeros((image.height, image.width, 3), np.uint8))
    fake.lossless = True
    assert "other pixels" in fake_row(image, monkeypatch, fake)["error"]


def test_a_changed_source_fails(image: dataset.Image, tmp_path: Path) -> None:
    gone = dataclasses.replace(image, path=tmp_path / "gone.png")
    row = runner.run_job(job(gone, "jpeg", 50))
    assert not row["ok"] and "FileNotFoundError" in row["error"]


# Many jobs


def test_results_do_not_depend_on_the_number_of_processes(image: dataset.Image) -> None:
    jobs = [job(image, spec, q) for spec in ("rdae", "webp") for q in (20, 70)]

    def rows(workers: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        runner.run(jobs, workers, found.append)
        stripped = [{k: v for k, v in row.items() if k not in TIMES} for row in found]
        return sorted(stripped, key=lambda row: (row["codec"], row["quality"]))

    here = [runner.run_job(one) for one in jobs]
    alone, together = rows(1), rows(3)
    assert alone == together
    assert [row["bytes"] for row in alone] == [row["bytes"] for row in here]


class _Killer:
    """Ends any process that it arrives in."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (3,)


def test_a_crash_costs_one_row(image: dataset.Image) -> None:
    jobs = [job(image, "jpeg", quality) for quality in (20, 40, 60, 80)]
    bomb: Any = _Killer()
    jobs.insert(1, dataclasses.replace(jobs[0], settings=bomb))
    rows: list[dict[str, Any]] = []
    runner.run(jobs, 2, rows.append)
    assert len(rows) == 5
    (failed,) = [row for row in rows if not row["ok"]]
    assert "crashed" in failed["error"]
    assert sorted(row["quality"] for row in rows if row["ok"]) == [20, 40, 60, 80]


def test_a_pool_that_breaks_before_it_takes_a_job_costs_no_row(
    image: dataset.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pool:
        """Takes one job in all, and is broken from then on."""

        taken = 0

        def submit(self, work: Any, job: Job) -> Future[Any]:
            if self.taken:
                raise BrokenProcessPool
            self.taken += 1
            future: Future[Any] = Future()
            future.set_result({"quality": job.quality})
            return future

    monkeypatch.setattr(runner, "_pool", lambda workers: contextlib.nullcontext(Pool()))
    rows: list[dict[str, Any]] = []
    runner.run([job(image, "jpeg", quality) for quality in (20, 40, 60)], 1, rows.append)
    assert [row["quality"] for row in rows] == [20, 40, 60]


def test_no_metric_can_have_the_name_of_something_else(image: dataset.Image) -> None:
    row = runner.run_job(Job(image, "jpeg", "", 50, ()))
    names = {*row, *rows_file._KEYS, *rows_file._TAIL, *experiment._DEFINITIONS, "reused"}
    assert names <= NOT_METRICS and not NOT_METRICS & set(BUILT_IN)


def test_cold_starts_are_measured(image: dataset.Image) -> None:
    row = runner.cold_start(parse_spec("jpeg"), image)
    assert row is not None and row["cold_start_s"] > 0.01


# The file of rows


def a_row(**more: Any) -> dict[str, Any]:
    row = {"schema": "rdae.eval-row/1", "sha256": "0", "codec": "webp", "spec": "s", "ok": True}
    return {**row, "quality": 5.0, "psnr": 30.0, **more}


def test_a_line_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    Results(path).append(a_row())
    path.write_bytes(path.read_bytes() + b'{"schema": "rdae.eval-row/1", "sha2')
    results = Results(path)
    assert results.rows == [a_row()]
    results.append(a_row(quality=6.0))
    assert [row["quality"] for row in Results(path).rows] == [5.0, 6.0]
    assert path.read_bytes().count(b"\n") == 2


def test_lines_that_are_no_rows_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(b"nonsense\n[1]\n{}\n\xff\n")
    assert Results(path).rows == []


def test_what_is_missing(tmp_path: Path, image: dataset.Image) -> None:
    results = Results(tmp_path / "results.jsonl")
    jobs = [job(image, "webp", quality, "psnr") for quality in (10, 20, 30, 40)]
    good = runner.run_job(jobs[0])
    assert row_key(good) == jobs[0].key
    results.append(good)
    results.append({**good, "quality": 20.0, "ok": False})
    results.append({**good, "quality": 30.0, "spec": "of another version"})
    assert [one.quality for one in results.missing(jobs)] == [20, 30, 40]
    more = [dataclasses.replace(one, metrics=(Metric("psnr"), Metric("ms_ssim"))) for one in jobs]
    assert len(results.missing(more)) == 4


@pytest.fixture(scope="module")
def faded(photo: Picture, tmp_path_factory: pytest.TempPathFactory) -> dataset.Image:
    """A detail of the photo that fades to nothing."""
    path = tmp_path_factory.mktemp("faded") / "faded.png"
    alpha = np.tile(np.linspace(0, 255, 192).astype(np.uint8), (176, 1))
    Pillow.fromarray(np.dstack([photo.rgb[100:276, 200:392], alpha])).save(path)
    return dataset.read_image(path, "faded")


@pytest.mark.parametrize("spec", ["rdae", "webp", "avif", "jpeg2000", "heic", "jxl"])
def test_transparency_comes_back(faded: dataset.Image, spec: str) -> None:
    try:
        codec = parse_spec(spec)
    except MissingDependencyError:
        pytest.skip(f"{spec} is not installed")
    row = runner.run_job(job(faded, spec, codec.qualities[len(codec.qualities) // 2]))
    assert row["ok"], row["error"]
    assert 25 < row["psnr"] < 60 and row["ms_ssim"] > 0.9 and not row["identical"]


@pytest.mark.parametrize(
    "spec",
    # WebP's method 6 takes 13 seconds for this picture
    ["png", "webp-lossless:method=4", "jxl-lossless", "rdae-lossless"],
)
def test_transparency_comes_back_without_loss(faded: dataset.Image, spec: str) -> None:
    """WebP changes the colours of what cannot be seen, and that is no loss."""
    try:
        parse_spec(spec)
    except MissingDependencyError:
        pytest.skip(f"{spec} is not installed")
    row = runner.run_job(job(faded, spec, 100))
    assert row["ok"] and row["identical"], row["error"]


def test_transparency_is_judged_on_the_worse_ground() -> None:
    clear = np.full((16, 16, 4), 255, np.uint8)
    clear[..., 3] = 0
    filled = clear.copy()
    filled[..., 3] = 255  # white: the same on white, the worst on black
    assert Metric("psnr")(clear, filled) == 0
    invisible = clear.copy()
    invisible[..., :3] = 9
    assert Metric("psnr")(clear, invisible) == math.inf
    half = clear.copy()
    half[..., 3] = 128
    assert (on(half, 0)[0, 0] == 128).all() and (on(half, 255)[0, 0] == 255).all()


def test_rows_as_text_come_back_but_for_their_times(image: dataset.Image, tmp_path: Path) -> None:
    jobs = [job(image, "rdae", 40), job(image, "jpeg", 60), job(image, "png", 100)]
    rows = [runner.run_job(one) for one in jobs]
    failed = {**rows[0], "ok": False, "quality": 41.0}
    rows_file.write_rows([*rows, failed], ["psnr", "ms_ssim"], tmp_path)
    lines = (tmp_path / "rows.tsv").read_text().splitlines()
    assert len(lines) == 4 and lines[0].startswith("image\tsha256\twidth\theight\tcodec\tsettings")
    again = {row_key(row): row for row in rows_file.read_rows(tmp_path)}
    assert list(rows_file.fitting(again.values(), jobs)) == [jobs[1].key, jobs[2].key]  # not ours
    for one, row in zip(jobs, rows, strict=True):
        found = again[one.key]
        assert found.pop("reused").startswith(f"{tmp_path}/rows.tsv:")
        for name in ("psnr", "ms_ssim"):
            assert found[name] == pytest.approx(row[name], abs=1e-6)
        ignored = {*TIMES, "psnr", "ms_ssim"}
        assert {k: v for k, v in found.items() if k not in ignored} == {
            k: v for k, v in row.items() if k not in ignored
        }
        assert all(found[name] is None for name in TIMES)


def test_only_rows_that_answer_the_whole_job_fit(image: dataset.Image, tmp_path: Path) -> None:
    known = job(image, "jpeg", 60, "psnr")
    rows_file.write_rows([runner.run_job(known)], ["psnr"], tmp_path)
    rows = rows_file.read_rows(tmp_path / "rows.tsv")
    assert list(rows_file.fitting(rows, [known])) == [known.key]
    named = dataclasses.replace(known, image=dataclasses.replace(image, image="another name"))
    assert rows_file.fitting(rows, [named])[known.key]["image"] == "another name"
    own = dataclasses.replace(known, metrics=(Metric("psnr", ("a-program",)),))
    other_image = dataclasses.replace(image, sha256="f" * 64)
    for wanted in (
        job(image, "jpeg", 61, "psnr"),
        job(image, "jpeg", 60, "psnr", "ms_ssim"),
        job(image, "jpeg:subsampling=420", 60, "psnr"),
        dataclasses.replace(known, settings="another version"),
        dataclasses.replace(known, image=other_image),
        own,
    ):
        assert rows_file.fitting(rows, [wanted]) == {}
    newer = dataclasses.replace(known, settings="another version")
    assert rows_file.outdated(rows, [newer]) == {"jpeg": (known.settings, "another version")}
    assert rows_file.outdated(rows, [known, job(image, "webp", 60)]) == {}


@pytest.mark.parametrize(
    "damage", ["", "image\tsha256\n", "{head}\n1\t2\n", "{head}\n{row}x", "{head}\n{none}", "\0"]
)
def test_a_file_that_holds_no_rows_is_said(
    image: dataset.Image, tmp_path: Path, damage: str
) -> None:
    rows_file.write_rows([runner.run_job(job(image, "png", 100))], ["psnr"], tmp_path)
    head, row = (tmp_path / "rows.tsv").read_text().splitlines()
    none = row.replace("\t192\t", "\t0\t")
    (tmp_path / "rows.tsv").write_text(
        damage.format(head=head, row=row.replace("\t192\t", "\twide\t"), none=none)
    )
    with pytest.raises(rows_file.RowsFileError, match="holds no rows of an evaluation"):
        rows_file.read_rows(tmp_path)


def test_a_picture_of_a_run_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "results" / "out").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    Pillow.new("RGB", (20, 10), (9, 8, 7)).save(tmp_path / "photos" / "a.png")
    monkeypatch.chdir(tmp_path)
    entry = dataset.read_image(Path("photos/a.png"), "a").record()
    assert entry["path"] == str(tmp_path / "photos" / "a.png")
    early = {**entry, "path": "photos/a.png"}  # as an early version wrote it
    monkeypatch.chdir(tmp_path / "elsewhere")
    near = Path("../results/out")
    assert dataset.find_source(entry, near).samefile(entry["path"])
    assert dataset.find_source(early, near).samefile(entry["path"])
    with pytest.raises(dataset.SourceError, match="has changed since"):
        dataset.find_source({**entry, "sha256": "0" * 64}, near)
    Path(entry["path"]).unlink()
    with pytest.raises(dataset.SourceError, match="is not there any more"):
        dataset.find_source(early, near)

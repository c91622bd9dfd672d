"""The trainer in one process: steps, checkpoints, schedules, tables, weights to start from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("compressai")
pytest.importorskip("pytorch_optimizer")

from rdae.autoencoder.autoencoder import Autoencoder  # noqa: E402
from rdae.autoencoder.networks import LAMBDA_MAX, LAMBDA_MIN  # noqa: E402
from rdae.autoencoder.objective import evaluate  # noqa: E402
from rdae.autoencoder.precision import use_bfloat16  # noqa: E402
from rdae.codec import decode, encode  # noqa: E402
from rdae.errors import ModelError, RdaeError  # noqa: E402
from rdae.images.picture import Picture  # noqa: E402
from rdae.model.model import Model  # noqa: E402
from rdae.model.presets import PRESETS, preset  # noqa: E402
from rdae.model.weights_file import Description  # noqa: E402
from rdae.training import trainer as training  # noqa: E402
from rdae.training.checkpoint import (  # noqa: E402
    checkpoints,
    equal_everywhere,
    load_matching,
)
from rdae.training.config import TrainConfig, read_config, write_config  # noqa: E402
from rdae.training.data import (  # noqa: E402
    PhotoCache,
    build_cache,
    difference_hash,
    evaluation_hashes,
    same_picture,
)
from rdae.training.export import calibration_crops, export, integer_tensors  # noqa: E402
from rdae.training.launch import free_port, prepare_run, summary  # noqa: E402
from rdae.training.log import read_metrics  # noqa: E402
from rdae.training.report import write_report  # noqa: E402
from rdae.training.run_export import export_run  # noqa: E402
from rdae.training.trainer import Trainer  # noqa: E402
from rdae.training.validation import validate  # noqa: E402
from rdae.training.warm_start import read_weights_to_start_from  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch and its optimizers, on deprecations
CPU = torch.device("cpu")


@pytest.fixture
def run(tmp_path: Path, photo: Picture) -> Path:
    """A run folder with the cache of three photos, one of them held out."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(photo.rgb).save(folder / "a.png")
    Image.fromarray(photo.rgb[::-1]).save(folder / "b.jpg", quality=95)
    see_through = np.dstack([photo.rgb[:90, :120], np.full((90, 120), 255, np.uint8)])
    see_through[:, 60:, 3] = 0
    Image.fromarray(see_through).save(folder / "c.png")
    (folder / "d.png").write_bytes(b"not an image")
    Image.new("RGB", (200, 20)).save(folder / "e.png")
    run = tmp_path / "run"
    run.mkdir()
    report = build_cache(folder, run / "photos.u8", 0.1)
    assert (report.training, report.held_out) == (2, 1)
    assert ["d.png" in report.skipped[0], "smaller than 64" in report.skipped[1]] == [True, True]
    return run


@pytest.fixture
def alone() -> Iterator[None]:
    """A process group of this process only."""
    address = f"tcp://127.0.0.1:{free_port()}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def config(steps: int = 20, **settings: object) -> TrainConfig:
    given: dict[str, Any] = {"precision": "float32", "batch": 2, "crop": 64, **settings}
    return TrainConfig(photos="", preset="tiny", steps=steps, **given)


def loss_of(model: Autoencoder, photo: Picture) -> float:
    torch.manual_seed(0)
    x = torch.tensor(photo.rgb[:256, 300:556]).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        return evaluate(model, x, torch.tensor([6.0]), noisy=False).loss.item()


@pytest.mark.parametrize("start", [0, 8], ids=["soft phase", "across the phases"])
def test_a_resumed_run_ends_as_if_it_had_not_been_interrupted(run, alone, start):
    def trainer(steps: int) -> Trainer:
        trainer = Trainer(config(), run, CPU)
        trainer.step = start
        for _ in range(steps):
            trainer.take_step()
        return trainer

    whole, half = trainer(12), trainer(6)
    half.save()
    resumed = Trainer(config(), run, CPU)
    resumed.load(checkpoints(run)[-1])
    for _ in range(6):
        resumed.take_step()
    assert resumed.step == whole.step
    for part in ("model", "ema"):
        expected = getattr(whole, part).state_dict()
        for name, tensor in getattr(resumed, part).state_dict().items():
            torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_the_loss_falls_in_either_precision(run, alone, photo):
    for precision in ("float32", "bfloat16"):
        trainer = Trainer(config(1000, precision=precision, batch=4), run, CPU)
        before = loss_of(trainer.model, photo)
        for _ in range(25):
            trainer.take_step()
        assert loss_of(trainer.ema, photo) < 0.95 * before, precision


def test_bfloat16_changes_the_objective_little_and_ends_with_the_soft_phase(run, alone, photo):
    trainer = Trainer(config(precision="bfloat16"), run, CPU)
    low = loss_of(trainer.model, photo)
    trainer.step = 18
    trainer.take_step()
    assert trainer.hard
    layers = [m for m in trainer.model.modules() if hasattr(m, "low_precision")]
    assert layers and not any(layer.low_precision for layer in layers)
    full = loss_of(Trainer(config(), run, CPU).model, photo)
    assert low != full and low == pytest.approx(full, rel=0.01)


@pytest.mark.parametrize("pays", [True, False])
def test_auto_precision_is_bfloat16_where_that_pays(alone, monkeypatch, pays):
    monkeypatch.setattr("rdae.autoencoder.precision.bfloat16_pays", lambda device: pays)
    assert use_bfloat16("auto", CPU) is pays
    assert use_bfloat16("bfloat16", CPU) and not use_bfloat16("float32", CPU)


def test_a_run_that_is_not_finite_any_more_ends_with_an_error(run, alone, monkeypatch):
    monkeypatch.setattr(training, "MAX_SKIPS", 3)
    monkeypatch.setattr(training, "RECORD_STEPS", 1)
    trainer = Trainer(config(), run, CPU)
    next(trainer.model.synthesis.parameters()).data.fill_(float("nan"))
    with pytest.raises(RdaeError, match="gradients of 3 steps in a row are not finite") as caught:
        trainer.train()
    assert "learning-rate" in caught.value.hint
    assert "NaN" not in (run / "metrics.jsonl").read_text()
    with pytest.raises(RdaeError, match="weights are not finite"):
        trainer.save()
    assert not checkpoints(run)


def test_steps_without_finite_gradients_are_skipped_and_counted(run, alone, monkeypatch):
    trainer = Trainer(config(), run, CPU)
    before = {n: p.clone() for n, p in trainer.model.named_parameters()}
    monkeypatch.setattr(trainer.optimizer, "clip", lambda norm: torch.tensor(float("inf")))
    assert trainer.take_step()["skipped"] == 1
    assert all(torch.equal(p, before[n]) for n, p in trainer.model.named_parameters())
    monkeypatch.undo()
    assert trainer.take_step()["skipped"] == 1
    assert not all(torch.equal(p, before[n]) for n, p in trainer.model.named_parameters())


def test_a_record_has_the_means_since_the_one_before(run, alone, monkeypatch):
    trainer = Trainer(config(25), run, CPU)

    def take_step() -> dict[str, Any]:
        trainer.step += 1
        return {"step": trainer.step, "seconds": 0.0, "loss": float(trainer.step), "skipped": 0}

    monkeypatch.setattr(trainer, "take_step", take_step)
    monkeypatch.setattr(trainer, "validate", lambda: None)
    trainer.train()
    found = [(record["step"], record["loss"]) for record in read_metrics(run)]
    assert found == [(20, 10.5), (25, 23.0)]


def test_a_stopped_run_leaves_a_checkpoint(run, alone):
    trainer = Trainer(config(1000), run, CPU)
    trainer.stop = True
    trainer.train()
    assert trainer.step == 1 and trainer.progress < 1
    assert [c.name for c in checkpoints(run)] == ["checkpoint-00000001"]


def test_a_run_of_another_architecture_is_refused(run, alone):
    trainer = Trainer(config(1), run, CPU)
    trainer.train()
    trainer.task.model.spec = preset(width=16)
    with pytest.raises(RdaeError, match="another architecture") as raised:
        trainer.load(checkpoints(run)[-1])
    assert "--init" in raised.value.hint


def test_a_run_survives_one_disagreement_of_its_processes_and_no_second(run, alone, monkeypatch):
    trainer = Trainer(config(), run, CPU)
    answers = iter([False, True, False])
    monkeypatch.setattr("rdae.training.trainer.equal_everywhere", lambda tensors: next(answers))
    trainer.save()
    assert checkpoints(run)  # with the weights of process 0
    trainer.save()
    with pytest.raises(RdaeError, match="different weights once more"):
        trainer.save()


def test_half_a_checkpoint_is_never_loaded_and_two_stay(run, alone):
    trainer = Trainer(config(), run, CPU)
    for _ in range(3):
        trainer.take_step()
        trainer.save()
    (run / "checkpoint.part").mkdir()
    (run / "checkpoint.part" / "model.pt").write_bytes(b"half")
    assert [c.name for c in checkpoints(run)] == ["checkpoint-00000002", "checkpoint-00000003"]


def what_each_process_sees(rank: int, address: str, folder: Path) -> None:
    """One of two processes: equal weights, then weights of which one bit differs."""
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    weights = [torch.ones(3), torch.zeros(2, 2)]
    equal = equal_everywhere(weights)
    bits = weights[1].view(torch.int32)
    bits[1, 0] += rank  # the smallest number above 0
    differing = equal_everywhere(weights)
    (folder / f"{rank}.json").write_text(json.dumps([equal, differing]))
    torch.distributed.destroy_process_group()


@pytest.mark.slow  # two processes that import torch
def test_weights_that_differ_are_seen_by_both_processes(tmp_path):
    address = f"tcp://127.0.0.1:{free_port()}"
    torch.multiprocessing.spawn(what_each_process_sees, (address, tmp_path), nprocs=2)
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == [True, False]


def test_a_run_starts_from_the_tensors_that_fit(run, alone, tmp_path, caplog):
    other = Autoencoder(preset(width=24, latent=32, hyper=8, features=16, context=32, render=4))
    torch.save({"ema": other.state_dict()}, tmp_path / "model.pt")
    trainer = Trainer(config(), run, CPU)
    trainer.start_from(tmp_path)
    assert "tensors do not fit" in caplog.text
    shared = "y_log_gain"
    assert torch.equal(trainer.ema.state_dict()[shared], other.state_dict()[shared])
    with pytest.raises(RdaeError, match="none of the 1 tensors to start from fits") as caught:
        load_matching(trainer.model, {"no": torch.zeros(1)})
    assert "--model" in caught.value.hint
    with pytest.raises(RdaeError, match="not a checkpoint of rdae"):
        read_weights_to_start_from(tmp_path / "photos" / "b.jpg")
    with pytest.raises(RdaeError, match="holds no weights"):
        read_weights_to_start_from(run)


def test_a_weights_file_becomes_the_model_it_was_exported_from(run, alone, photo, tmp_path):
    trainer = Trainer(config(60), run, CPU)
    for _ in range(20):
        trainer.take_step()
    path = tmp_path / "tiny.safetensors"
    given = {"lambda_range": [LAMBDA_MIN, LAMBDA_MAX]}
    description = Description(200, "tiny", trainer.ema.spec, given)
    export(trainer.ema, path, description, trainer.task.cache, fit_tables=False)
    restored = Autoencoder(trainer.ema.spec)
    restored.load_state_dict(read_weights_to_start_from(path))
    for name, tensor in trainer.ema.named_parameters():
        if not name.startswith("z_prior"):
            found = restored.get_parameter(name)
            torch.testing.assert_close(found, tensor, rtol=2e-3, atol=2e-3, msg=name)
    assert loss_of(restored, photo) == pytest.approx(loss_of(trainer.ema, photo), rel=0.01)


def test_validation_codes_real_files_of_held_out_photos(run, alone):
    trainer = Trainer(config(), run, CPU)
    points = validate(
        trainer.ema, trainer.task.cache.held_out, calibration_crops(trainer.task.cache)
    )
    assert [p.quality for p in points] == [5, 25, 45, 65, 85]
    assert all(a.bpp < b.bpp for a, b in pairwise(points))
    trainer.validate()
    (record,) = read_metrics(run)
    assert [p["bpp"] for p in record["validation"]] == pytest.approx([p.bpp for p in points], 1e-3)
    assert "held-out" in (run / "curves.svg").read_text()


@pytest.mark.parametrize("model", ["lossy", "lossless"])
def test_without_held_out_photos_nothing_is_validated(run, alone, model):
    build_cache(run.parent / "photos", run / "photos.u8", 0.0)
    Trainer(config(model=model), run, CPU).validate()
    assert not (run / "metrics.jsonl").exists()


def test_a_finished_run_reports_and_exports_a_working_model(
    run, alone, photo, tmp_path, monkeypatch
):
    monkeypatch.setattr("rdae.training.export.TABLE_CROPS", 20)
    monkeypatch.setattr("rdae.training.tables.FIT_STEPS", 10)
    screens = tmp_path / "screens"
    screens.mkdir()
    Image.fromarray(photo.rgb[:100, :100]).save(screens / "screen.png")
    build_cache(screens, run / "screens.u8")
    settings = config(20, screens=str(screens))
    trainer = Trainer(settings, run, CPU)
    trainer.train()
    write_config(run, settings)
    write_report(run, settings, read_metrics(run), 1, CPU)
    report = (run / "report.md").read_text()
    assert "20 steps" in report and "| 85 |" in report
    path = tmp_path / "tiny.safetensors"
    found = export_run(run, path, name="tiny", model_id=200, provenance={"data": "two"})
    assert found["data"] == "two" and len(found["rd_points"]) == 5
    assert len(set(found["photo_sha256"])) == 3  # the screen, too, is no picture to judge it by
    model = Model.load(path)
    picture = Picture(np.ascontiguousarray(photo.rgb[100:200, 300:420]), None, False)
    data = encode(picture, quality=70, model=model).data
    decoded = decode(data, weights=path).rgb
    mse = np.mean((decoded.astype(float) - picture.rgb) ** 2)
    assert 10 * np.log10(255**2 / mse) > 15
    with pytest.raises(RdaeError, match="no checkpoint"):
        export_run(tmp_path, path, name="tiny", model_id=200)


def of_noise(folder: Path, count: int = 2) -> str:
    """A folder of small pictures."""
    folder.mkdir()
    rng = np.random.default_rng(len(folder.name))
    for k in range(count):
        pixels = rng.integers(0, 256, (70, 80, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    return str(folder)


def test_a_run_folder_keeps_to_its_pictures(tmp_path):
    run = tmp_path / "run"
    photos, photos_2 = of_noise(tmp_path / "photos"), of_noise(tmp_path / "photos_2")
    screens, screens_2 = of_noise(tmp_path / "screens"), of_noise(tmp_path / "screens_2")

    def prepare(photos: str, screens: str | None, **settings: Any) -> None:
        settings = {"held_out": 0.5, "screens_held_out": 0.5, **settings}
        config = TrainConfig(photos=photos, screens=screens, steps=1, **settings)
        prepare_run(run, config, resume=False)
        assert read_config(run) == config

    prepare(photos, screens)
    prepare(photos, screens)
    with pytest.raises(RdaeError, match="holds the photos of") as caught:
        prepare(photos_2, screens)
    assert "delete" in caught.value.hint
    with pytest.raises(RdaeError, match=r"was made with --held-out 0\.5, not 0\.1") as caught:
        prepare(photos, screens, held_out=0.1)
    assert "delete" in caught.value.hint
    prepare(photos, None)  # config.json has other screens now: none
    with pytest.raises(RdaeError, match="holds the screens of") as caught:
        prepare(photos, screens_2)
    assert "delete" in caught.value.hint
    with pytest.raises(RdaeError, match=r"was made with --screens-held-out 0\.5, not 0\.2"):
        prepare(photos, screens, screens_held_out=0.2)
    (run / "photos.u8").unlink()  # as a hint says, to change the photos
    with pytest.raises(RdaeError, match="holds the screens of"):
        prepare(photos_2, screens_2)
    assert not (run / "photos.u8").exists()
    prepare(photos_2, screens)
    (run / "screens.u8").unlink()
    prepare(photos_2, screens_2)
    (run / "config.json").unlink()
    with pytest.raises(RdaeError, match="holds the photos of"):
        prepare(photos, screens_2)


def test_of_caches_of_early_versions_the_configuration_says_what_they_hold(tmp_path):
    run, photos, other = tmp_path / "run", of_noise(tmp_path / "photos"), of_noise(tmp_path / "b")
    config = TrainConfig(photos=photos, steps=1)
    prepare_run(run, config, resume=False)
    index = json.loads((run / "photos.json").read_text())
    (run / "photos.json").write_text(json.dumps(index["pictures"]))
    assert len(PhotoCache(run / "photos.u8").training) == 1
    assert prepare_run(run, config, resume=False) == []
    for changed, said in (({"photos": other}, "photos of"), ({"held_out": 0.1}, "--held-out 0.03")):
        with pytest.raises(RdaeError, match=said):
            prepare_run(run, replace(config, **changed), resume=False)
    (run / "config.json").unlink()  # nobody knows
    assert prepare_run(run, config, resume=False) == []


def test_pictures_that_cannot_be_used_are_called_by_their_kind(tmp_path):
    run, photos = tmp_path / "run", of_noise(tmp_path / "photos")
    config = TrainConfig(photos=photos, screens=str(tmp_path / "none"), steps=1)
    with pytest.raises(RdaeError, match="none is not a folder of screens"):
        prepare_run(run, config, resume=False)
    assert not run.exists()  # said before an hour of work on photos
    one = of_noise(tmp_path / "one", 1)
    with pytest.raises(RdaeError, match="1 screens to train on, 1 of them") as caught:
        prepare_run(run, replace(config, screens=one), resume=False)
    assert "--screens-held-out 0 holds out none" in caught.value.hint
    assert not list(run.glob("*.part"))


def test_pictures_that_are_left_out_are_listed_by_their_kind(tmp_path):
    photos, screens = of_noise(tmp_path / "photos"), of_noise(tmp_path / "screens")
    (tmp_path / "screens" / "broken.png").write_bytes(b"no PNG")
    config = TrainConfig(photos=photos, screens=screens, steps=1)
    about_photos, about_screens = prepare_run(tmp_path / "run", config, resume=False)
    assert summary(about_photos) == "1 photos to train on, 1 to validate on, 0 left out"
    assert summary(about_screens) == "1 screens to train on, 1 to validate on, 1 left out"
    assert "broken.png" in about_screens.skipped[0]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("synthesis.2.weight", 1e12, "layer synthesis.2: a weight of magnitude"),
        ("synthesis.2.weight", np.nan, "synthesis.2.weight is not finite"),
        ("y_log_gain", 100, "y_log_gain is not finite, or too large"),
    ],
)
def test_weights_that_do_not_fit_are_no_weights_file(name, value, said):
    model = Autoencoder(PRESETS["tiny"]())
    model.get_parameter(name).data[0, 0] = value
    with pytest.raises(ModelError, match=f"exported: {said}") as caught:
        integer_tensors(model, np.zeros((1, 64, 64, 3), np.uint8))
    assert "an older checkpoint may do" in caught.value.hint


def test_a_cache_never_stands_beside_the_index_of_another(tmp_path, monkeypatch):
    first, second = of_noise(tmp_path / "first"), of_noise(tmp_path / "second", 3)
    path = tmp_path / "photos.u8"
    build_cache(Path(first), path)

    def killed(source: Path, target: Path) -> None:
        if target == path:
            raise KeyboardInterrupt
        source.rename(target)

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        build_cache(Path(second), path)
    assert not path.exists()


def test_what_is_held_out_depends_on_the_photos_alone(run, tmp_path):
    def held_out(run: Path) -> list[str]:
        index = json.loads((run / "photos.json").read_text())
        return [entry["sha256"] for entry in index["pictures"] if entry.get("held_out")]

    moved = tmp_path / "moved"
    (tmp_path / "photos").rename(moved)
    (moved / "a.png").rename(moved / "z.png")
    build_cache(moved, tmp_path / "photos.u8", 0.1)
    assert held_out(tmp_path) == held_out(run)
    cache = PhotoCache(run / "photos.u8")
    assert (len(cache.training), len(cache.held_out)) == (2, 1)
    see_through = next(p for p in cache.training + cache.held_out if p.shape == (90, 120, 3))
    assert (see_through[:, 60:] == 255).all() and not (see_through[:, :60] == 255).all()


def test_evaluation_images_are_left_out_even_when_changed(tmp_path, photo, monkeypatch):
    from rdae.training import data

    assert len(evaluation_hashes()) == 24
    monkeypatch.setattr(
        data, "evaluation_hashes", lambda: {"the photo": difference_hash(photo.rgb)}
    )
    for name in ("a.png", "b.png"):
        Image.fromarray(photo.rgb[:256, 256:]).save(tmp_path / name)
    small = Image.fromarray(photo.rgb).resize((300, 200))
    small.save(tmp_path / "again.jpg", quality=60)
    report = build_cache(tmp_path, tmp_path / "photos.u8", 0.1)
    assert (report.training, report.held_out) == (1, 1)
    assert "again.jpg: shows the same as the photo" in report.skipped[0]
    assert not same_picture(photo.rgb, evaluation_hashes())


@pytest.mark.parametrize("downscale", [0, 0.5, 1])
def test_crops_have_their_size_whatever_that_of_the_photo(run, downscale):
    crops = PhotoCache(run / "photos.u8").crops(np.random.default_rng(0), 20, 128, downscale)
    assert crops.shape == (20, 128, 128, 3)

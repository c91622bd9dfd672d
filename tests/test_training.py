"""The trainer in one process: steps, checkpoints, schedules, tables, weights to start from."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
from rdae.training.config import TrainConfig, write_config  # noqa: E402
from rdae.training.data import build_cache  # noqa: E402
from rdae.training.export import calibration_crops, export, integer_tensors  # noqa: E402
from rdae.training.launch import free_port  # noqa: E402
from rdae.training.log import read_metrics  # noqa: E402
from rdae.training.report import write_report  # noqa: E402
from rdae.training.run_export import export_run  # noqa: E402
from rdae.training.trainer import Trainer  # noqa: E402
from rdae.training.validation import validate  # noqa: E402
from rdae.training.warm_start import read_weights_to_start_from  # noqa: E402
from tests.training_samples import run_of_three  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch and its optimizers, on deprecations
CPU = torch.device("cpu")


@pytest.fixture
def run(tmp_path: Path, photo: Picture) -> Path:
    return run_of_three(tmp_path, photo)


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

"""Training end to end: photos, a run that is resumed, export, a real file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("compressai")
pytest.importorskip("pytorch_optimizer")

from rdae.autoencoder import train  # noqa: E402
from rdae.autoencoder.autoencoder import Autoencoder  # noqa: E402
from rdae.autoencoder.checkpoint import checkpoints, cut_metrics, load_matching  # noqa: E402
from rdae.autoencoder.data import PhotoCache, build_cache, prepare_cache  # noqa: E402
from rdae.autoencoder.export import export  # noqa: E402
from rdae.autoencoder.objective import evaluate  # noqa: E402
from rdae.autoencoder.tables import fitted_tables, frequencies, gaussian_tables  # noqa: E402
from rdae.codec import decode, encode  # noqa: E402
from rdae.errors import RdaeError  # noqa: E402
from rdae.model import Model  # noqa: E402
from rdae.picture import Picture  # noqa: E402
from rdae.presets import preset  # noqa: E402
from rdae.spec import ModelSpec  # noqa: E402
from rdae.weights_file import Description  # noqa: E402

TINY = preset(width=24, latent=32, hyper=8, context=16, render=8, analysis_blocks=1)


@pytest.fixture
def run(tmp_path: Path, photo: Picture) -> Path:
    """A run folder with the cache of two photos; a third file is no image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(photo.rgb).save(folder / "a.png")
    Image.fromarray(photo.rgb[::-1, :100]).save(folder / "b.jpg", quality=95)
    (folder / "c.png").write_bytes(b"not an image")
    run = tmp_path / "run"
    run.mkdir()
    count, skipped = build_cache(folder, run / "photos.u8")
    assert count == 2
    assert len(skipped) == 1 and "c.png" in skipped[0]
    return run


@pytest.fixture
def alone() -> Iterator[None]:
    """A process group of this process only."""
    port = train.free_port()
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def config(steps: int, learning_rate: float = 2e-3) -> train.TrainConfig:
    return train.TrainConfig(photos="", steps=steps, batch=2, crop=64, learning_rate=learning_rate)


@pytest.mark.filterwarnings("ignore")  # of torch and its optimizers, on deprecations
def test_a_run_learns_resumes_and_exports_a_working_model(run, photo, tmp_path):
    train.start_processes(2, config(40), run, TINY)
    train.start_processes(2, config(120), run, TINY)
    first, last = checkpoints(run)
    before, after = (torch.load(c / "model.pt", weights_only=True) for c in (first, last))
    assert (before["step"], after["step"]) == (40, 120)
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    # the last tenth is trained on rounded latents; with more steps it begins later
    assert [r["step"] for r in records if not r["hard"]] == [20, 60, 80, 100]
    assert [r["step"] for r in records if r["hard"]] == [40, 120]

    trained = Autoencoder(ModelSpec.from_json(after["spec"]))
    fresh_loss = loss_of(trained, photo)
    trained.load_state_dict(after["ema"])
    assert loss_of(trained, photo) < fresh_loss

    path = tmp_path / "tiny.safetensors"
    export(trained, path, Description(200, "tiny", trained.spec, {}))
    model = Model.load(path)
    picture = Picture(np.ascontiguousarray(photo.rgb[100:200, 300:420]), None, False)
    data = encode(picture, quality=70, model=model).data
    decoded = decode(data, weights=path).rgb
    mse = np.mean((decoded.astype(float) - picture.rgb) ** 2)
    assert 10 * np.log10(255**2 / mse) > 15


def loss_of(model: Autoencoder, photo: Picture) -> float:
    torch.manual_seed(0)
    x = torch.tensor(photo.rgb[:256, 300:556]).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        return evaluate(model, x, torch.tensor([6.0]), noisy=False).loss.item()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("start", [0, 8], ids=["soft phase", "across the phases"])
def test_a_resumed_run_ends_as_if_it_had_not_been_interrupted(run, alone, start):
    def trainer(steps: int) -> train.Trainer:
        trainer = train.Trainer(config(20), run, TINY)
        trainer.step = start
        for _ in range(steps):
            trainer.take_step()
        return trainer

    whole, half = trainer(12), trainer(6)
    half.save()
    resumed = train.Trainer(config(20), run, TINY)
    resumed.load(checkpoints(run)[-1])
    for _ in range(6):
        resumed.take_step()
    assert resumed.step == whole.step
    for part in ("model", "ema"):
        expected = getattr(whole, part).state_dict()
        for name, tensor in getattr(resumed, part).state_dict().items():
            torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_of_old_gives_soap_its_step_counter(run, alone):
    trainer = train.Trainer(config(20), run, TINY)
    for _ in range(3):
        trainer.take_step()
    trainer.save()
    (folder,) = checkpoints(run)
    content = torch.load(folder / "process-0.pt", weights_only=True)
    del content["groups"]
    torch.save(content, folder / "process-0.pt")
    resumed = train.Trainer(config(20), run, TINY)
    resumed.load(folder)
    assert resumed.optimizers[0][0].param_groups[0]["step"] == 3


@pytest.mark.filterwarnings("ignore")
def test_a_run_that_is_not_finite_any_more_ends_with_an_error(run, alone, monkeypatch):
    monkeypatch.setattr(train, "MAX_SKIPS", 3)
    monkeypatch.setattr(train, "RECORD_STEPS", 1)
    trainer = train.Trainer(config(20), run, TINY)
    next(trainer.model.synthesis.parameters()).data.fill_(float("nan"))
    with pytest.raises(RdaeError, match="gradients of 3 steps in a row are not finite") as caught:
        trainer.train()
    assert "learning-rate" in caught.value.hint
    assert "NaN" not in (run / "metrics.jsonl").read_text()
    with pytest.raises(RdaeError, match="weights are not finite"):
        trainer.save()
    assert not checkpoints(run)


@pytest.mark.filterwarnings("ignore")
def test_an_error_of_a_process_reaches_the_caller(run):
    with pytest.raises(RdaeError, match="weights are not finite"):
        train.start_processes(1, config(1, learning_rate=float("inf")), run, TINY)
    assert not checkpoints(run)


@pytest.mark.filterwarnings("ignore")
def test_a_run_starts_from_the_tensors_that_fit(run, alone, tmp_path, caplog):
    other = Autoencoder(preset(width=24, latent=32, hyper=8, context=16, render=4))
    torch.save({"ema": other.state_dict()}, tmp_path / "model.pt")
    trainer = train.Trainer(config(20), run, TINY)
    trainer.start_from(tmp_path / "model.pt")
    assert "tensors do not fit" in caplog.text
    shared = "y_log_gain"
    assert torch.equal(trainer.ema.state_dict()[shared], other.state_dict()[shared])
    with pytest.raises(ValueError, match="none of the 1 tensors fits"):
        load_matching(trainer.model, {"no": torch.zeros(1)})


def test_records_behind_the_checkpoint_are_cut(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 20}\n{"step": 40}\n{"step": 60}\n{"st')
    cut_metrics(path, 40)
    assert path.read_text() == '{"step": 20}\n{"step": 40}\n'
    cut_metrics(tmp_path / "none.jsonl", 40)


def test_a_run_folder_keeps_to_its_photos(run, tmp_path):
    photos, other = tmp_path / "photos", tmp_path / "other"
    other.mkdir()
    (run / "config.json").write_text(json.dumps({"photos": str(photos)}))
    prepare_cache(run, photos, build=True)
    with pytest.raises(RdaeError, match="holds the photos of") as caught:
        prepare_cache(run, other, build=True)
    assert "delete" in caught.value.hint
    (run / "photos.u8").unlink()
    with pytest.raises(RdaeError, match="is missing"):
        prepare_cache(run, photos, build=False)
    prepare_cache(run, photos, build=True)
    assert len(PhotoCache(run / "photos.u8").photos) == 2


def test_training_without_its_packages_says_what_to_install(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['torch'] = None")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def python(*args: str) -> str:
        run = subprocess.run(
            [sys.executable, *args], env=environment, capture_output=True, text=True
        )
        assert run.returncode == 1
        return run.stderr

    lines = python("-m", "rdae.autoencoder.train", "--help").splitlines()
    assert lines == ["rdae: training and export need torch", "hint: pip install 'rdae[train]'"]
    assert "MissingDependencyError: training" in python("-c", "import rdae.autoencoder")


def test_a_run_has_either_hours_or_steps():
    with pytest.raises(ValueError, match="hours or steps"):
        train.TrainConfig(photos="")


def test_the_objective_adds_up(photo):
    torch.manual_seed(0)
    model = Autoencoder(TINY)
    x = torch.tensor(photo.rgb[:64, 300:428]).permute(2, 0, 1)[None].float() / 255
    terms = evaluate(model, x.expand(2, -1, -1, -1), torch.tensor([0.0, 15.0]), noisy=True)
    terms.loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert terms.rd_lambda.tolist() == pytest.approx([0.001, 0.16])
    assert (terms.bpp > terms.z_bpp).all()
    elbo = terms.negative_elbo_bits(64 * 128)
    assert torch.allclose(elbo, 64 * 128 * (terms.bpp + terms.rd_lambda * terms.mse))
    assert terms.mse[1] < terms.mse[0]


def test_crops_of_photos_smaller_than_the_crop_are_filled(run):
    crops = PhotoCache(run / "photos.u8").crops(np.random.default_rng(0), 20, 128)
    assert crops.shape == (20, 128, 128, 3)


def test_the_learning_rate_warms_up_and_ends_at_zero():
    assert train.learning_rate_factor(0, 0) == pytest.approx(0.01)
    assert train.learning_rate_factor(500, 0.2) == 1
    assert train.learning_rate_factor(500, 1) == pytest.approx(0)


def test_processes_share_the_matrices_without_overlap():
    matrices = dict(Autoencoder(TINY).named_parameters())
    owned = train.share_out(matrices, 3)
    assert sorted(n for names in owned for n in names) == sorted(matrices)
    assert all(owned)


def test_frequencies_are_positive_and_sum_to_the_total():
    pmf = np.array([0.0, 1e-12, 0.3, 0.6999])
    freqs = frequencies(pmf)
    assert freqs.sum() == 1 << 24 and freqs.min() >= 1 and len(freqs) == 5


def test_gaussian_tables_have_the_mass_of_the_density():
    low, freqs = gaussian_tables()[40]
    sigma = 0.11 * (256 / 0.11) ** (40 / 127)
    values = low + np.arange(len(freqs) - 1)
    mean = (values * freqs[:-1]).sum() / (1 << 24)
    variance = (values**2 * freqs[:-1]).sum() / (1 << 24)
    assert mean == pytest.approx(0, abs=1e-4)
    assert variance == pytest.approx(sigma**2 + 1 / 12, rel=1e-3)


def test_fitted_tables_code_heavy_tails_in_fewer_bits():
    from rdae.autoencoder.tables import REACH
    from rdae.bitstream.range_coder import TableFamily

    rng = np.random.default_rng(0)
    counts = np.zeros((128, 2 * REACH + 1), np.int64)
    symbols = np.rint(rng.laplace(0, 1.5, 20000)).astype(np.int32)
    np.add.at(counts[45], symbols + REACH, 1)

    def bits(tables) -> float:
        family = TableFamily([f for _, f in tables], np.array([low for low, _ in tables]))
        return family.bits(symbols, np.full(len(symbols), 45))

    assert bits(fitted_tables(counts)) < 0.99 * bits(gaussian_tables())

"""Training end to end: photos, a run that is resumed, export, a real file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("compressai")
pytest.importorskip("pytorch_optimizer")

from rdae.autoencoder import train  # noqa: E402
from rdae.autoencoder.autoencoder import Autoencoder  # noqa: E402
from rdae.autoencoder.data import PhotoCache, build_cache  # noqa: E402
from rdae.autoencoder.export import export  # noqa: E402
from rdae.autoencoder.objective import evaluate  # noqa: E402
from rdae.autoencoder.tables import fitted_tables, frequencies, gaussian_tables  # noqa: E402
from rdae.codec import decode, encode  # noqa: E402
from rdae.model import Model  # noqa: E402
from rdae.picture import Picture  # noqa: E402
from rdae.spec import ModelSpec, preset  # noqa: E402
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


@pytest.mark.filterwarnings("ignore")  # of torch and its optimizers, on deprecations
def test_a_run_learns_resumes_and_exports_a_working_model(run, photo, tmp_path):
    def config(hours: float) -> train.TrainConfig:
        return train.TrainConfig(photos="", hours=hours, batch=2, crop=64)

    train.start_processes(2, config(5 / 3600), run, TINY)
    (first,) = train.checkpoints(run)
    train.start_processes(2, config(14 / 3600), run, TINY)
    last = train.checkpoints(run)[-1]
    before, after = (torch.load(c / "model.pt", weights_only=True) for c in (first, last))
    assert after["step"] > before["step"] > 5
    assert after["hard"]  # the last tenth of the hours is trained on rounded latents
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records] == sorted({r["step"] for r in records})

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
    x = torch.from_numpy(photo.rgb[:256, 300:556]).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        return evaluate(model, x, torch.tensor([6.0]), noisy=False).loss.item()


def test_the_objective_adds_up(photo):
    torch.manual_seed(0)
    model = Autoencoder(TINY)
    x = torch.from_numpy(photo.rgb[:64, 300:428]).permute(2, 0, 1)[None].float() / 255
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

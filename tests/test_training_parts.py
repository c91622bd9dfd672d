"""Parts of a trainer by themselves: objective, products, learning rate, configuration, log."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("compressai")
pytest.importorskip("pytorch_optimizer")
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from rdae.autoencoder import precision as products  # noqa: E402
from rdae.autoencoder.autoencoder import Autoencoder  # noqa: E402
from rdae.autoencoder.networks import LAMBDA_MAX, LAMBDA_MIN  # noqa: E402
from rdae.autoencoder.objective import evaluate  # noqa: E402
from rdae.autoencoder.precision import matmul_gflops, step_flops  # noqa: E402
from rdae.errors import RdaeError  # noqa: E402
from rdae.model.presets import tiny  # noqa: E402
from rdae.scales import TUNES  # noqa: E402
from rdae.training import trainer as training  # noqa: E402
from rdae.training.config import TrainConfig, read_config, write_config  # noqa: E402
from rdae.training.log import append_metrics, cut_metrics, read_metrics  # noqa: E402
from rdae.training.optimizer import share_out, soap_matrices  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch and its optimizers, on deprecations
CPU = torch.device("cpu")


@pytest.mark.parametrize(("low", "pays"), [(1.2, False), (1.4, True)])
def test_bfloat16_pays_if_its_products_are_enough_faster(monkeypatch, low, pays):
    speeds = {torch.bfloat16: low, torch.float32: 1.0}
    monkeypatch.setattr(products, "matmul_gflops", lambda dtype, device: speeds[dtype])
    assert products.bfloat16_pays.__wrapped__(CPU) is pays


def test_the_speed_of_products_is_measured():
    assert 0 < matmul_gflops(torch.float32, CPU, seconds=0.01) < 1e6


def test_records_behind_the_checkpoint_are_cut(tmp_path):
    for step in (20, 40, 60):
        append_metrics(tmp_path, {"step": step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"st')
    cut_metrics(tmp_path, 40)
    assert read_metrics(tmp_path) == [{"step": 20}, {"step": 40}]
    assert (tmp_path / "metrics.jsonl").read_text().endswith("}\n")
    cut_metrics(tmp_path / "none", 40)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "hours or --steps is missing"),
        ({"steps": 1, "hours": 1.0}, "hours and --steps exclude"),
        ({"steps": 1, "crop": 100}, "multiple of 64"),
        ({"steps": 1, "preset": "huge"}, "no preset huge, only photo, tiny"),
        ({"steps": 1, "precision": "int8"}, "precision is one of"),
        ({"hours": -1.0}, "hours must be above 0"),
        ({"hours": float("nan")}, "hours must be above 0"),
        ({"steps": 1, "held_out": 2.0}, "held-out is a share"),
        ({"steps": 1, "checkpoint_minutes": float("nan")}, "checkpoint-minutes must be 0 or more"),
        ({"steps": 1, "validation_minutes": -1.0}, "validation-minutes must be 0 or more"),
        ({"steps": 1, "seed": -1}, "seed must be from 0"),
        ({"steps": 1, "seed": 1 << 64}, "seed must be from 0"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(photos="", **settings)


def test_a_resumed_run_keeps_its_configuration_but_for_what_is_given(tmp_path):
    write_config(tmp_path, TrainConfig(photos="p", hours=2.0, batch=3))
    assert read_config(tmp_path, seed=None) == TrainConfig(photos="p", hours=2.0, batch=3)
    assert read_config(tmp_path, steps=9) == TrainConfig(photos="p", steps=9, batch=3)
    with pytest.raises(ValueError, match="a run keeps its --preset: photo"):
        read_config(tmp_path, preset="tiny")
    both = {"screens": "s", "screens_held_out": 0.5}
    assert read_config(tmp_path, **both).screens_held_out == 0.5
    write_config(tmp_path, TrainConfig(photos="p", hours=2.0, screens="s"))
    with pytest.raises(ValueError, match="a run keeps its --screens-held-out"):
        read_config(tmp_path, **both)
    with pytest.raises(RdaeError, match="holds no run to resume"):
        read_config(tmp_path / "none")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(RdaeError, match="not the configuration of a run"):
        read_config(tmp_path)


def test_the_objective_adds_up(photo):
    torch.manual_seed(0)
    model = Autoencoder(tiny())
    x = torch.tensor(photo.rgb[:64, 300:428]).permute(2, 0, 1)[None].float() / 255
    terms = evaluate(model, x.expand(2, -1, -1, -1), torch.tensor([0.0, 15.0]), noisy=True)
    terms.loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert terms.rd_lambda.tolist() == pytest.approx([LAMBDA_MIN, LAMBDA_MAX])
    assert (terms.bpp > terms.z_bpp).all()
    elbo = terms.negative_elbo_bits(64 * 128)
    assert torch.allclose(elbo, 64 * 128 * (terms.bpp + terms.rd_lambda * terms.mse))
    assert terms.mse[1] < terms.mse[0]


def test_tuned_for_the_eye_only_the_distortion_is_another(photo):
    model = Autoencoder(tiny())
    x = torch.tensor(photo.rgb[:64, 300:428]).permute(2, 0, 1)[None].float() / 255
    anchor = torch.tensor([7.0])
    plain, eye = (evaluate(model, x, anchor, noisy=False, tune=tune) for tune in TUNES)
    assert eye.bpp == plain.bpp and eye.mse == plain.mse and eye.loss != plain.loss
    eye.loss.backward()
    assert all(p.grad is not None for p in model.synthesis.parameters() if p.requires_grad)


@pytest.mark.parametrize(("level", "goes_on"), [(1.0, False), (0.5, True)])
def test_what_is_whiter_than_white_is_white(monkeypatch, level, goes_on):
    """A decoder clips: beside white it is no error; beside grey it is one, of half the range."""
    x, anchors = torch.full((1, 3, 16, 16), level), torch.tensor([7.0])
    model = Autoencoder(tiny())
    overshoot = torch.full_like(x, 1.25, requires_grad=True)
    monkeypatch.setattr(model, "synthesise", lambda *_: overshoot)
    terms = evaluate(model, x, anchors, noisy=False, tune="psnr")
    assert terms.mse.item() == pytest.approx((255 * (1 - level)) ** 2)
    terms.loss.backward()
    assert bool((overshoot.grad > 0).all()) is goes_on


def test_the_operations_of_a_step_are_those_of_the_spec():
    model, pixels = Autoencoder(tiny()), 64 * 128
    with FlopCounterMode(display=False) as counter:  # which does not see gains
        model(torch.rand(1, 3, 64, 128), torch.tensor([7.0]), noisy=True)
    gains = sum(layer[1] for _, layer in model.spec.layers() if layer[0] == "gain")
    wanted = step_flops(model.spec, pixels) / 3
    assert wanted - 2 * gains * pixels <= counter.get_total_flops() <= wanted


def test_the_learning_rate_warms_up_and_ends_at_zero():
    assert training.learning_rate_factor(0, 0) == pytest.approx(0.01)
    assert training.learning_rate_factor(500, 0.2) == 1
    assert training.learning_rate_factor(500, 1) == pytest.approx(0)


def test_processes_share_the_matrices_without_overlap():
    matrices = soap_matrices(Autoencoder(tiny()))
    owned = share_out(matrices, 3)
    assert sorted(n for names in owned for n in names) == sorted(matrices)
    assert all(owned)

"""The lossless networks in training: the numbers of the integers, a falling loss, an export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("compressai")
pytest.importorskip("pytorch_optimizer")

from rdae.errors import ModelError  # noqa: E402
from rdae.images.picture import Picture  # noqa: E402
from rdae.lossless.fit import kind_of  # noqa: E402
from rdae.lossless.model import LosslessModel  # noqa: E402
from rdae.lossless.parameters import MIDDLE, NEAR, NONE, WIDE, Parameters  # noqa: E402
from rdae.lossless.pyramid import COLOURS, FRACTION_BITS, PHASES, added  # noqa: E402
from rdae.lossless.stream import FITTED_CELLS, decode_pixels, encode_pixels  # noqa: E402
from rdae.lossless.walk import LevelWalk  # noqa: E402
from rdae.model.installed import load_lossless  # noqa: E402
from rdae.tensor_file import read_tensors  # noqa: E402
from rdae.training import lossless_networks  # noqa: E402
from rdae.training.camera import developed  # noqa: E402
from rdae.training.checkpoint import checkpoints  # noqa: E402
from rdae.training.config import TrainConfig, write_config  # noqa: E402
from rdae.training.curves import write_curves  # noqa: E402
from rdae.training.data import build_cache  # noqa: E402
from rdae.training.launch import free_port  # noqa: E402
from rdae.training.log import read_metrics  # noqa: E402
from rdae.training.lossless_export import (  # noqa: E402
    export_lossless,
    from_weights_file,
    integer_tensors,
)
from rdae.training.lossless_fit import TILE_RATIOS, UNIT, _solve, tap_values  # noqa: E402
from rdae.training.lossless_networks import PRESETS, LosslessNetworks  # noqa: E402
from rdae.training.report import write_report  # noqa: E402
from rdae.training.run_export import export_run  # noqa: E402
from rdae.training.trainer import Trainer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch and its optimizers, on deprecations
CPU = torch.device("cpu")
SHIPPED = Path(__file__).parent.parent / "weights" / "lossless.safetensors"


@pytest.fixture
def run(tmp_path: Path, photo: Picture) -> Iterator[Path]:
    """A run folder with two photos, one of them held out, in a process group of its own."""
    folder, run = tmp_path / "photos", tmp_path / "run"
    folder.mkdir()
    Image.fromarray(photo.rgb[:192, :256]).save(folder / "a.png")
    Image.fromarray(photo.rgb[192:384, 256:512]).save(folder / "b.png")
    build_cache(folder, run / "photos.u8", 0.5)
    address = f"tcp://127.0.0.1:{free_port()}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=0, world_size=1)
    yield run
    torch.distributed.destroy_process_group()


def config(steps: int) -> TrainConfig:
    return TrainConfig(
        photos="",
        model="lossless",
        preset="tiny",
        steps=steps,
        batch=1,
        crop=64,
        precision="float32",
        learning_rate=0.04,
    )


def shipped() -> LosslessNetworks:
    net = LosslessNetworks(*PRESETS["photo"])
    net.load_state_dict(from_weights_file(SHIPPED))
    return net


@pytest.mark.parametrize("kind", [NEAR, MIDDLE, WIDE])
def test_filters_see_in_training_what_those_of_a_file_see(photo: Picture, kind: int) -> None:
    """Networks that were trained with other taps took 3 % more bits in files than in training."""
    x = np.ascontiguousarray(photo.rgb[100:140, 200:252])
    walk = LevelWalk(load_lossless(), 0, x[::2, ::2], 1)
    known = torch.from_numpy(x[::2, ::2].astype(np.float32))[None]
    quarters = lossless_networks.reference(known)
    local = lossless_networks.local_mean(quarters)
    differences: list[Any] = []
    for p, (row, column) in enumerate(PHASES):
        walk.begin_pass(p)
        ours = tap_values(p, kind, known / UNIT, local / UNIT, differences)[0]
        theirs = walk.tap_values(kind, np.arange(len(x) // 2)) / 2.0**FRACTION_BITS
        assert np.abs(UNIT * ours.numpy() - theirs).max() < 0.01
        target = added(x, p)
        for k, colour in enumerate(COLOURS):
            prediction = walk.predict(k, walk.head(k, Parameters()), None, Parameters())
            walk.settle(k, target[..., colour], prediction)
        walk.end_pass()
        pixels = torch.from_numpy(target.astype(np.float32))
        differences.append((pixels - quarters[:, :, :, 2 * row + column]) / UNIT)


def test_filters_of_many_coefficients_are_fitted_with_several_threads() -> None:
    """As many as wide ones have; MKL fails to solve a batch of these at once."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(4, 500, 250, generator=generator)
    solution = torch.randn(4, 250, 1, generator=generator)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = _solve(matrix, matrix @ solution, torch.ones(4, 500, 1))
    finally:
        torch.set_num_threads(threads)
    assert torch.allclose(found, solution, atol=1e-2)


def test_every_level_is_trained_behind_the_filters_that_its_tiles_have() -> None:
    """Networks that had seen wide ones alone took up to a third more bits of small pictures."""
    side = 256  # of crops
    seen = {
        level: {kind_of(int(ratio * (side >> level + 1) ** 2), level) for ratio in TILE_RATIOS}
        for level in range(3)
    }
    assert seen == {0: {NONE, NEAR, MIDDLE, WIDE}, 1: {NONE, NEAR, MIDDLE}, 2: {NONE, NEAR}}
    finest = min(TILE_RATIOS) * (side >> 1) ** 2
    assert finest < FITTED_CELLS  # and without any parameters


@pytest.mark.parametrize("max_error", [0, 2])
@pytest.mark.parametrize("brightness", [0, 60])  # which leaves a fifth white
def test_the_networks_expect_the_bits_that_the_integers_take(
    photo: Picture, max_error: int, brightness: int
) -> None:
    # Too small to fit filters to. In smooth places other roundings lead to other errors.
    levels = photo.rgb[160:192, 300:364].astype(int) + brightness
    crop = np.minimum(levels, 255).astype(np.uint8)
    with torch.no_grad():
        found = shipped().bits(torch.from_numpy(crop.copy())[None].float(), max_error)
        expected = float(sum(found))
    stream, _ = encode_pixels(load_lossless(), crop, max_error=max_error)
    beside = 8 * (3 + 6 + 4)  # the top, a flag for each level, the coder's last bytes
    assert 8 * len(stream) == pytest.approx(expected + beside, rel=0.03)


@pytest.mark.parametrize("max_error", [0, 1, 4])
def test_the_probabilities_of_all_samples_sum_to_one(max_error: int) -> None:
    """Also of means at black and white, with scales that reach far beyond; so do gradients."""
    net, width = LosslessNetworks(*PRESETS["tiny"]), 2 * max_error + 1
    mean, scale = (
        each.flatten()
        for each in torch.meshgrid(
            torch.tensor([0.0, 0.4, 3.5, 128.0, 254.0, 255.0]),
            torch.tensor([0.1, 2.0, 80.0]),
            indexing="ij",
        )
    )
    scale = scale.requires_grad_()
    mean = mean.requires_grad_()
    bins = torch.arange(-256.0, 257.0)[:, None]
    pixels = torch.floor(mean.detach() + 0.5) + bins * width
    edges = pixels - width < -max_error, pixels + width > 255 + max_error
    legal = (pixels >= -max_error) & (pixels <= 255 + max_error)
    shape = torch.full_like(mean, 1.5)
    bits = net._mixture_bits(pixels - mean, width, scale, shape, edges)
    sums = torch.exp2(-bits).where(legal, torch.zeros(())).sum(0)
    assert torch.allclose(sums, torch.ones(()), atol=2e-3)
    bits.where(legal, torch.zeros(())).sum().backward()
    assert mean.grad is not None and mean.grad.isfinite().all()
    assert scale.grad is not None and scale.grad.isfinite().all()


def test_an_export_of_an_export_says_the_same(photo: Picture, tmp_path: Path) -> None:
    net, again = shipped(), LosslessNetworks(*PRESETS["photo"])
    crops = photo.rgb[None, 64:192, 64:192]
    export_lossless(net, tmp_path / "a.safetensors", crops, name="a", model_id=9, provenance={})
    again.load_state_dict(from_weights_file(tmp_path / "a.safetensors"))
    x = torch.from_numpy(photo.rgb[100:164, 200:264].copy())[None].float()
    with torch.no_grad():
        bits = [float(sum(each.bits(x))) for each in (net, again)]
    assert bits[1] == pytest.approx(bits[0], rel=2e-3)
    # what has a fixed unit is there to the last digit, as in the shipped file
    tensors, (_, expected) = (
        integer_tensors(again, crops),
        read_tensors(SHIPPED, only_metadata=False),
    )
    assert tensors.keys() == expected.keys()
    for name in expected:
        if name.startswith(("tables", "scales")) or name.endswith(".same"):
            assert np.array_equal(tensors[name], expected[name]), name


@pytest.mark.parametrize("factor", [9.0, -8.0])
def test_factors_that_do_not_fit_are_no_weights_file(factor: float) -> None:
    net = LosslessNetworks(*PRESETS["tiny"])
    net.levels()[1].same.data[0, 0] = factor
    with pytest.raises(ModelError, match="exported: level 1: a factor between colours"):
        integer_tensors(net, np.zeros((1, 64, 64, 3), np.uint8))


def test_weights_that_are_not_finite_are_no_weights_file() -> None:
    net = LosslessNetworks(*PRESETS["tiny"])
    net.levels()[0].same.data[0, 0] = np.nan
    with pytest.raises(ModelError, match=r"exported: \S*same is not finite"):
        integer_tensors(net, np.zeros((1, 64, 64, 3), np.uint8))


def test_a_lossless_model_has_no_tune() -> None:
    with pytest.raises(ValueError, match="--tune eye is for lossy models"):
        TrainConfig(photos="", model="lossless", steps=1, tune="eye")


def test_a_run_learns_resumes_reports_and_exports(
    run: Path, photo: Picture, tmp_path: Path
) -> None:
    write_config(run, config(12))
    trainer = Trainer(config(12), run, CPU)
    x = torch.from_numpy(photo.rgb[200:264, 200:264].copy())[None].float()
    with torch.no_grad():
        before = float(sum(trainer.model.bits(x)))
    for _ in range(8):
        trainer.take_step()
    trainer.save()
    resumed = Trainer(config(12), run, CPU)
    resumed.load(checkpoints(run)[-1])
    assert resumed.step == 8
    resumed.train()
    with torch.no_grad():
        assert float(sum(resumed.model.bits(x))) < 0.97 * before
    records = read_metrics(run)
    exact, near = records[-1]["validation"]
    assert (exact["max_error"], exact["psnr"]) == (0, None)
    assert near["bpp"] < exact["bpp"] and near["psnr"] > 40
    write_curves(run / "curves.svg", records)
    assert "errors up to 2" in (run / "curves.svg").read_text()
    write_report(run, config(12), records, 1, CPU)
    assert "| 0 |" in (run / "report.md").read_text()
    path = tmp_path / "mine.safetensors"
    found = export_run(run, path, name="mine", model_id=200, provenance={"data": "two"})
    assert found["steps"] == 12 and found["data"] == "two"
    model = LosslessModel.load(path)
    crop = np.ascontiguousarray(photo.rgb[40:93, 70:141])
    stream, _ = encode_pixels(model, crop)
    assert np.array_equal(decode_pixels(model, stream, *crop.shape[:2]), crop)


def test_crops_are_shrunk_and_changed_the_same_way_every_time(photo: Picture) -> None:
    square = photo.rgb[:200, :200]
    found = [developed(square, 128, np.random.default_rng(seed)) for seed in (1, 1, 2, 3, 4, 5)]
    assert all(crop.shape == (128, 128, 3) and crop.dtype == np.uint8 for crop in found)
    assert np.array_equal(found[0], found[1])
    assert len({crop.tobytes() for crop in found}) == 5
    close = [np.abs(crop.astype(int) - found[0]).mean() for crop in found]
    assert max(close) < 12  # it is still the same picture

"""`rdae.torch.Codec`: agrees with real files, has useful gradients, and is an ordinary module."""

from __future__ import annotations

import copy
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

import rdae  # noqa: E402
from rdae.errors import WeightsNotFoundError  # noqa: E402
from rdae.extras import install_hint  # noqa: E402
from rdae.model.installed import load_model  # noqa: E402
from rdae.torch import Codec, _gaussian_bits  # noqa: E402

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "python.md"
FEW_SAMPLES = 256  # whose error a single symbol near a half decides


@pytest.fixture(scope="module")
def shared() -> Codec:
    """A codec that no test changes."""
    return Codec().eval()


@pytest.fixture
def x(crop) -> Tensor:
    return as_batch(crop[:70, :130])


def as_batch(rgb: np.ndarray) -> Tensor:
    return torch.tensor(rgb).permute(2, 0, 1)[None].float() / 255


def real(rgb: np.ndarray, quality: float) -> tuple[int, np.ndarray]:
    """Bits of z and y in a real file, and its pixels."""
    # no search for better symbols, and nothing lossless, whatever the picture
    data = rdae.compress(rgb, quality=quality, effort=2, model="photo")
    info = rdae.read_info(data)
    return 8 * (info.z_bytes + info.y_bytes), np.asarray(rdae.decompress(data))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def assert_agrees(codec: Codec, rgb: np.ndarray, quality: float, bits_off: float) -> None:
    with torch.no_grad():
        x_hat, bits = codec(as_batch(rgb), quality)
    pixels = 255 * x_hat[0].permute(1, 2, 0).numpy()
    file_bits, decoded = real(rgb, quality)
    assert float(bits) == pytest.approx(file_bits, rel=bits_off)
    if rgb.size > FEW_SAMPLES:
        assert psnr(pixels, rgb) == pytest.approx(psnr(decoded, rgb), abs=0.05)
    assert np.abs(pixels.round() - pixels).max() < 1e-3
    # a file's analysis rounds its features, this one does not: symbols near a half may differ
    most = 0.9 if rgb.size > 4 * FEW_SAMPLES else 1.5
    assert np.abs(pixels.round() - decoded).mean() < most


# ------------------------------------------------------------------------------- against real files


@pytest.mark.parametrize(
    "quality",
    [pytest.param(0, marks=pytest.mark.slow), 60, pytest.param(100, marks=pytest.mark.slow)],
)
def test_bits_and_pixels_are_those_of_a_file(shared, photo, quality):
    assert_agrees(shared, photo.rgb, quality, 0.01)


@pytest.mark.parametrize("size", [(1, 1), (16, 17), (65, 63), (160, 200)])
def test_any_size_agrees_also_at_its_edges(shared, crop, size):
    height, width = size
    rgb = np.ascontiguousarray(crop[:height, :width])
    # a stream ends at a whole word, and a small one is not much longer
    words = 64 / real(rgb, 70)[0]
    assert_agrees(shared, rgb, 70, 0.01 + words)


def test_a_picture_of_several_tiles_agrees(shared, photo):
    wide = np.tile(photo.rgb[100:164], (1, 2, 1))
    words = 2 * 64 / real(wide, 30)[0]  # as above, for each of two tiles
    assert_agrees(shared, wide, 30, 0.01 + words)
    picture = as_batch(wide).requires_grad_()
    sum(output.sum() for output in shared(picture)).backward()
    assert picture.grad is not None
    assert (picture.grad.abs().sum((0, 1)) > 0).float().mean() > 0.99


def test_pictures_of_a_batch_do_not_see_each_other(shared, x):
    batch = torch.cat([x, x.flip(3), 1 - x])
    quality = torch.tensor([20.0, 60.0, 85.0])
    with torch.no_grad():
        x_hat, bits = shared(batch, quality)
        assert x_hat.shape == batch.shape and bits.shape == (3,)
        for i in range(3):
            alone, alone_bits = shared(batch[i : i + 1], float(quality[i]))
            assert float(bits[i]) == pytest.approx(float(alone_bits), rel=2e-3)
            assert (x_hat[i] - alone[0]).abs().mean() < 1e-3


def test_the_quality_of_the_module_is_that_of_calls_that_do_not_say(x, shared):
    codec = Codec("photo", quality=25).eval()
    with torch.no_grad():
        assert torch.equal(codec(x)[1], shared(x, 25)[1])
        assert shared(x)[1] == shared(x, 60)[1] < shared(x, 60.5)[1]
    assert "photo" in repr(codec) and "quality=25" in repr(codec)


# ---------------------------------------------------------------------------------------- gradients


def test_the_noisy_rate_is_random_and_an_upper_bound_in_the_mean(x, shared):
    codec = copy.deepcopy(shared).train()
    codec.quality = 95
    with torch.no_grad():
        first, second = codec(x)[1], codec(x)[1]
        assert first != second
        assert float(first) == pytest.approx(float(second), rel=0.02)
        codec.eval()
        sent = float(codec(x)[1])
        assert sent == float(codec(x)[1])
        assert sent < float(first) < 1.4 * sent


def test_the_noisy_rate_is_that_of_a_gaussian_and_finite_everywhere():
    log_scale = torch.tensor([-2.2, 0.0, 3.0], dtype=torch.float64)
    value = torch.tensor([0.3, -1.7, 40.0], dtype=torch.float64)
    normal = torch.distributions.Normal(0, log_scale.exp())
    wanted = -torch.log2(normal.cdf(value + 0.5) - normal.cdf(value - 0.5))
    assert torch.allclose(_gaussian_bits(value, log_scale), wanted)
    value = torch.tensor([0.0, 0.5, 30000.0, -30000.0, 1e-30], requires_grad=True)
    for scale in (-2.2, 5.5):
        bits = _gaussian_bits(value, torch.full((5,), scale))
        bits.sum().backward()
        assert torch.isfinite(bits).all() and torch.isfinite(value.grad).all()
        assert bits.min() >= 0 and bits.max() <= 34


@pytest.mark.parametrize("training", [True, False])
def test_the_gradient_in_x_lowers_bits_and_distortion(x, shared, training):
    codec = copy.deepcopy(shared).train(training)

    def loss(picture: Tensor) -> Tensor:
        torch.manual_seed(0)
        x_hat, bits = codec(picture, 50)
        return bits.sum() / x[0, 0].numel() + 300 * (x_hat - x).square().mean()

    picture = x.clone().requires_grad_()
    before = loss(picture)
    before.backward()
    gradient = picture.grad
    assert torch.isfinite(gradient).all()
    assert (gradient.abs().sum((0, 1)) > 0).float().mean() > 0.99
    optimizer = torch.optim.Adam([picture], lr=2e-3)
    for _ in range(8):
        optimizer.zero_grad()
        loss(picture).backward()
        optimizer.step()
    with torch.no_grad():
        assert loss(picture) < before


def test_the_gradient_in_x_is_that_of_both_outputs(x, shared):
    for output in (0, 1):
        picture = x.clone().requires_grad_()
        shared(picture)[output].sum().backward()
        assert picture.grad.abs().mean() > 0


def test_parameters_are_frozen_until_asked_for_and_then_learn(x, shared):
    codec = copy.deepcopy(shared).train()
    assert not any(p.requires_grad for p in codec.parameters())
    codec.requires_grad_()

    def loss() -> Tensor:
        torch.manual_seed(0)
        x_hat, bits = codec(x, 40)
        return bits.sum() / x[0, 0].numel() + 300 * (x_hat - x).square().mean()

    optimizer = torch.optim.Adam(codec.parameters(), lr=1e-5)
    before = loss()
    before.backward()
    names = [name for name, p in codec.named_parameters() if p.grad is None or not p.grad.any()]
    assert names == []
    for _ in range(5):
        optimizer.step()
        optimizer.zero_grad()
        loss().backward()
    with torch.no_grad():
        assert loss() < before


# ------------------------------------------------------------------------------- an ordinary module


def test_a_state_dict_carries_everything(x, shared):
    changed = copy.deepcopy(shared)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.mul_(1.001)
        assert changed(x)[1] != shared(x)[1]
        file = io.BytesIO()
        torch.save(changed.state_dict(), file)
        file.seek(0)
        again = Codec().eval()
        again.load_state_dict(torch.load(file, weights_only=True))
        for mine, wanted in zip(again(x), changed(x), strict=True):
            assert torch.equal(mine, wanted)


def test_a_deep_copy_is_a_codec_of_its_own(x, shared):
    twin = copy.deepcopy(shared)
    with torch.no_grad():
        assert torch.equal(twin(x)[1], shared(x)[1])
        for parameter in twin.parameters():
            parameter.zero_()
        assert not torch.equal(twin(x)[1], shared(x)[1])
    assert not torch.equal(shared(x)[0], torch.zeros_like(x))


def test_it_moves_to_another_type_and_is_cast_with_what_it_is_part_of(x, shared):
    pipeline = torch.nn.Sequential(torch.nn.Identity(), copy.deepcopy(shared)).double()
    with torch.no_grad():
        x_hat, bits = pipeline(x.double())
        wanted, wanted_bits = shared(x)
    assert x_hat.dtype == bits.dtype == torch.float64
    assert float(bits) == pytest.approx(float(wanted_bits), rel=2e-3)
    assert (x_hat - wanted).abs().mean() < 1e-3
    assert not pipeline.train()[1].eval().training


def test_every_tensor_moves_to_another_device(x):
    codec = Codec().to("meta")
    tensors = [*codec.parameters(), *codec.buffers()]
    assert tensors and all(tensor.device.type == "meta" for tensor in tensors)
    if torch.cuda.is_available():
        codec = Codec().cuda().eval()
        with torch.no_grad():
            x_hat, bits = codec(x.cuda())
        assert x_hat.is_cuda and bits.is_cuda


def test_a_weights_file_is_taken_by_its_path(x, shared):
    with torch.no_grad():
        assert torch.equal(Codec(load_model().path).eval()(x)[1], shared(x)[1])


def test_wrong_arguments_are_named(x, shared):
    with pytest.raises(WeightsNotFoundError, match="no-such-model"):
        Codec("no-such-model")
    for quality in (-1, 101, float("nan")):
        with pytest.raises(ValueError, match="from 0 to 100"):
            Codec(quality=quality)
        with pytest.raises(ValueError, match="from 0 to 100"):
            shared(x, quality)
    with pytest.raises(ValueError, match="quality has shape"):
        shared(x, torch.tensor([50.0, 60.0]))
    for shape in ((3, 64, 64), (1, 1, 64, 64), (1, 3, 0, 64)):
        with pytest.raises(ValueError, match=re.escape(str(shape))):
            shared(torch.zeros(shape))
    with pytest.raises(TypeError, match="uint8"):
        shared((255 * x).byte())
    with pytest.raises(TypeError, match="use float32"):
        copy.deepcopy(shared).bfloat16()(x.bfloat16())


WITHOUT = """
import sys
sys.modules["torch"] = None
import rdae
from rdae.extras import install_hint
assert rdae.compress(sys.argv[1])
try:
    import rdae.torch
except rdae.errors.MissingDependencyError as error:
    assert isinstance(error, ImportError) and error.hint == install_hint("train")
    print(error)
"""


def test_without_torch_the_import_names_the_extra():
    command = [sys.executable, "-c", WITHOUT, str(ROOT / "examples" / "photo.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert install_hint("train") in done.stdout and "torch" in done.stdout
    assert done.stdout.count("\n") == 1


@pytest.mark.skipif(not PAGE.is_file(), reason="the tests stand apart from the sources")
def test_the_examples_of_the_page_run():
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    examples = [block for block in blocks if "torch" in block]
    assert examples
    for block in examples:
        exec(compile(block, str(PAGE), "exec"), names)

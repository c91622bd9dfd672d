"""The differentiable metrics are the metrics of `rdae eval`, and gradients go where they should."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from rdae.autoencoder import ssim_windows  # noqa: E402
from rdae.autoencoder.distortion_cost import (  # noqa: E402
    _FEW_BITS,
    _MANY_BITS,
    distortion_cost,
)
from rdae.autoencoder.perceptual import MsSsim, Ssimulacra2  # noqa: E402
from rdae.evaluation import metrics  # noqa: E402

PHOTO = Path(__file__).parent.parent / "examples" / "photo.png"


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.asarray(Image.open(PHOTO).convert("RGB"))


def as_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def batch(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def score(total: float) -> float:
    """SSIMULACRA2's own bend of the sum to its scale of 100 to 0 and below."""
    bent = 2.326765642916932 * total - 0.020884521182843837 * total**2
    return 100 - 10 * (bent + 6.248496625763138e-05 * total**3) ** 0.6276336467831387


@pytest.mark.parametrize("quality", [15, 50, 90])
def test_ssimulacra2_is_that_of_the_package(photo, quality):
    pytest.importorskip("ssimulacra2")
    damaged = photo.copy()  # far from the left and right borders, where the package differs
    damaged[:, 352:416] = as_jpeg(photo, quality)[:, 352:416]
    expected = metrics.ssimulacra2(photo, damaged)
    total = Ssimulacra2(batch(photo))(batch(damaged)).item()
    assert score(total) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("size", [(512, 768), (201, 333), (161, 162)])
def test_ms_ssim_is_that_of_the_evaluation(photo, size):
    source = np.ascontiguousarray(photo[: size[0], : size[1]])
    damaged = as_jpeg(source, 20)
    expected = metrics.ms_ssim(source, damaged)
    found, _ = MsSsim(batch(source))(batch(damaged))
    assert found.item() == pytest.approx(1 - expected, abs=2e-5)


def test_finest_scale_is_contrast_and_structure_of_ssim(photo):
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    source, damaged = photo[:200, :300], as_jpeg(photo, 20)[:200, :300]
    expected = structural_similarity(
        *(source, damaged),
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        K1=1e4,  # the factor of luminance becomes 1
    )
    _, found = MsSsim(batch(source))(batch(damaged))
    assert found.item() == pytest.approx(1 - expected, abs=2e-5)


@pytest.mark.parametrize("size", [(64, 40), (16, 16), (11, 300), (5, 9), (1, 1)])
def test_small_pictures_have_a_cost_too(photo, size):
    source = batch(photo[200 : 200 + size[0], 300 : 300 + size[1]])
    cost = distortion_cost("eye", source)
    rd_lambda = torch.tensor([0.01])
    assert 0 <= cost(source, rd_lambda).item() < 1e-3
    assert cost(0.9 * source, rd_lambda).item() > 0.01


@pytest.mark.parametrize("size", [(11, 12), (64, 65), (150, 203)])
@pytest.mark.parametrize("window", [ssim_windows.inner, ssim_windows.mirrored])
def test_gaussian_means_are_those_of_filters(photo, size, window):
    """And what goes back through them is the transpose, whatever the blocks."""
    maps = batch(photo[: size[0], : size[1]]).double()
    weights = ssim_windows._weights()
    reach = ssim_windows.TAPS // 2 if window is ssim_windows.mirrored else 0
    mirrored = np.pad(maps.numpy(), ((0, 0), (0, 0), (reach, reach), (reach, reach)), "symmetric")
    kernel = torch.outer(weights, weights).expand(3, 1, -1, -1)
    expected = torch.nn.functional.conv2d(torch.from_numpy(mirrored), kernel, groups=3)
    rows, columns = (window(side, maps.device) for side in size)
    found = rows.means.times(columns.means.times(maps.float(), -1), -2)
    assert torch.allclose(found.double(), expected, atol=1e-6)
    other = torch.rand(found.shape)
    back = columns.backward.times(rows.backward.times(other, -2), -1)
    inner_products = (found * other).sum(), (maps.float() * back).sum()
    assert inner_products[0].item() == pytest.approx(inner_products[1].item(), rel=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (150, 203)])
def test_slopes_are_those_of_finite_differences(photo, size):
    place = slice(128, 128 + size[0]), slice(256, 256 + size[1])
    source = batch(photo[place]).repeat(2, 1, 1, 1)
    decoded = batch(as_jpeg(photo, 30)[place]).repeat(2, 1, 1, 1).requires_grad_()
    cost, rd_lambda = distortion_cost("eye", source), torch.tensor([0.001, 0.1])
    cost(decoded, rd_lambda).sum().backward()
    assert decoded.grad is not None
    direction = decoded.grad / decoded.grad.norm()
    with torch.no_grad():
        ahead = cost(decoded + 1e-2 * direction, rd_lambda).sum()
        behind = cost(decoded - 1e-2 * direction, rd_lambda).sum()
    found = (decoded.grad * direction).sum().item()
    assert found == pytest.approx((ahead - behind).item() / 2e-2, rel=0.02)


@pytest.mark.parametrize("shares", [_FEW_BITS, _MANY_BITS])
def test_shares_of_the_mix_add_up(shares):
    assert sum(shares) == pytest.approx(1) and min(shares) > 0


def test_a_mix_costs_about_as_much_as_squared_error_alone(photo):
    """So the quality points keep their rates."""
    source = batch(photo)
    for quality, rd_lambda in ((10, 0.002), (50, 0.012), (85, 0.06)):
        decoded = batch(as_jpeg(photo, quality))
        plain, mixed = (
            distortion_cost(tune, source)(decoded, torch.tensor([rd_lambda])).item()
            for tune in ("psnr", "eye")
        )
        assert plain / 2.5 < mixed < plain * 2.5

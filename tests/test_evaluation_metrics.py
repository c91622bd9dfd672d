"""The metrics against their docstrings, and against the packages that others use."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rdae import distortion
from rdae.errors import MissingDependencyError
from rdae.evaluation import metrics
from rdae.evaluation.metrics import Metric, MetricError, ms_ssim, ms_ssim_db, psnr, ssimulacra2
from rdae.extras import install_hint
from rdae.images.picture import Picture

Rgb = NDArray[np.uint8]


def noisy(rgb: Rgb, sigma: float = 12) -> Rgb:
    noise = np.random.default_rng(1).normal(0, sigma, rgb.shape)
    return np.clip(rgb + noise, 0, 255).astype(np.uint8)


def as_rgb(values: np.ndarray) -> Rgb:
    return np.asarray(values, np.uint8)


@pytest.fixture(scope="module")
def pattern() -> Rgb:
    """The picture of the docstring of ms_ssim."""
    y, x, c = np.mgrid[:176, :192, :3]
    return ((3 * x + 5 * y + 40 * c) % 256).astype(np.uint8)


def test_psnr_has_the_values_of_its_docstring() -> None:
    grey, lighter, darker = (np.full((10, 12, 3), level, np.uint8) for level in (100, 101, 84))
    assert psnr(grey, lighter) == pytest.approx(48.1308, abs=5e-5)
    assert psnr(grey, darker) == pytest.approx(24.0484, abs=5e-5)
    assert psnr(grey, grey) == math.inf


def test_psnr_is_that_of_scikit_image(photo: Picture) -> None:
    skimage = pytest.importorskip("skimage.metrics")
    rgb = photo.rgb[:201, :300]
    expected = skimage.peak_signal_noise_ratio(rgb, noisy(rgb), data_range=255)
    assert psnr(rgb, noisy(rgb)) == pytest.approx(expected, abs=1e-9)


def test_ms_ssim_has_the_value_of_its_docstring(pattern: Rgb) -> None:
    assert ms_ssim(pattern, as_rgb(pattern & 248)) == pytest.approx(0.998819, abs=5e-7)
    assert ms_ssim(pattern, pattern) == 1


@pytest.mark.parametrize(("height", "width"), [(161, 161), (163, 170), (201, 333), (256, 192)])
def test_ms_ssim_is_that_of_pytorch_msssim(photo: Picture, height: int, width: int) -> None:
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("pytorch_msssim")
    rgb = photo.rgb[:height, :width]

    def tensor(pixels: Rgb) -> Any:
        return torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float64))

    # the package's window is in float32, which leaves some 1e-7
    expected = package.ms_ssim(tensor(rgb), tensor(noisy(rgb)), data_range=255).item()
    assert ms_ssim(rgb, noisy(rgb)) == pytest.approx(expected, abs=1e-6)


def test_one_scale_is_the_ssim_of_scikit_image(photo: Picture) -> None:
    skimage = pytest.importorskip("skimage.metrics")
    x = photo.rgb[:300, :260, 1].astype(float)
    y = noisy(photo.rgb)[:300, :260, 1].astype(float)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = skimage.structural_similarity(x, y, data_range=255, **settings)
    assert metrics._ssim_means(x, y)[0] == pytest.approx(expected, abs=1e-9)


def test_ms_ssim_refuses_small_pictures(pattern: Rgb) -> None:
    with pytest.raises(MetricError, match="161"):
        ms_ssim(pattern[:160], pattern[:160])


def test_ms_ssim_of_opposites_is_not_complex(pattern: Rgb) -> None:
    assert 0 <= ms_ssim(pattern, as_rgb(255 - pattern)) < 0.5


def test_decibels() -> None:
    assert ms_ssim_db(0.99) == pytest.approx(20)
    assert ms_ssim_db(1) == math.inf


def test_ssimulacra2_orders_pictures(pattern: Rgb, photo: Picture) -> None:
    pytest.importorskip("ssimulacra2")
    rgb = photo.rgb[:64, :64]
    assert ssimulacra2(rgb, rgb) == 100
    assert 100 > ssimulacra2(rgb, noisy(rgb, 2)) > ssimulacra2(rgb, noisy(rgb, 20))
    with pytest.raises(MetricError, match="8 pixels"):
        ssimulacra2(rgb[:7], rgb[:7])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distortion, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="ssimulacra2") as caught:
        metrics.require(["psnr", "ssimulacra2"])
    assert caught.value.hint == install_hint("eval")


def test_pictures_of_other_sizes_are_refused(pattern: Rgb) -> None:
    for name in ("psnr", "ms_ssim"):
        with pytest.raises(MetricError, match="192x176 and 191x176"):
            Metric(name)(pattern, pattern[:, 1:])


def command(program: str, *arguments: str) -> Metric:
    return Metric("own", (sys.executable, "-c", program, *arguments))


def test_a_command_gets_both_pictures(pattern: Rgb) -> None:
    from PIL import Image  # noqa: F401 - the command needs it

    sizes = "import sys; from PIL import Image; a, b = map(Image.open, sys.argv[1:]); "
    mean = "import numpy as np; print('score 7:', np.mean(np.array(a) != np.array(b)))"
    own = command(sizes + mean)
    assert own(pattern, pattern) == 0
    assert own(pattern, as_rgb(pattern ^ 1)) == 1
    swapped = command("import sys; print(len(sys.argv), sys.argv[1][-10:])", "{b}")
    with pytest.raises(MetricError, match="no number"):
        command("print('none')")(pattern, pattern)
    assert swapped(pattern, pattern) == 2
    assert own.definition.startswith("own: ")


def test_a_command_that_fails_says_so(pattern: Rgb) -> None:
    with pytest.raises(MetricError, match=r"failed \(3\): so there"):
        command("import sys; print('so there', file=sys.stderr); sys.exit(3)")(pattern, pattern)
    with pytest.raises(MetricError, match="cannot run"):
        Metric("own", ("/no/such/program",))(pattern, pattern)

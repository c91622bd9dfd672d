"""Where a model's context starts: with what neighbouring cells tell of brightness and colour."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("compressai")

from rdae.autoencoder.autoencoder import Autoencoder  # noqa: E402
from rdae.autoencoder.layers import Points  # noqa: E402
from rdae.autoencoder.neighbours import mean_channels  # noqa: E402
from rdae.autoencoder.passes import follow_passes, split  # noqa: E402
from rdae.model.presets import preset  # noqa: E402
from rdae.model.quarters import phases  # noqa: E402


@pytest.fixture(scope="module")
def model() -> Autoencoder:
    torch.manual_seed(1)
    return Autoencoder(
        preset(width=16, latent=32, hyper=8, features=8, context=24, render=4, analysis_blocks=1)
    )


def test_a_new_model_expects_of_cells_what_their_neighbours_have(model, photo):
    x = torch.from_numpy(photo.rgb.astype(np.float32) / 255).permute(2, 0, 1)[None]
    points = Points(torch.tensor([15.0]), 16)
    m = model.spec.latent_channels
    with torch.no_grad():
        y, _ = model.analyse(x, points)
        quarters = split(y)
        expected = []

        def code(k, mean, log_scale):
            expected.append(mean)
            return quarters[k]

        features = y.new_zeros(*y.shape[:3], model.spec.features)
        follow_passes(model, features, points, code)
    for k in (1, 2, 3):
        for phase, (_, group) in enumerate(phases(k, m)):
            for colour, channel in mean_channels(m).items():
                if group.start <= channel < group.stop:
                    own = channel - group.start
                    real, mean = quarters[k][phase, ..., own], expected[k][phase, ..., own]
                    left = float((real - mean).var() / real.var())
                    assert left < 0.5, (k, colour, left)


def test_the_finest_step_stays_that_of_y(model):
    x, anchors = torch.rand(1, 3, 64, 64), torch.tensor([14.5])
    estimate = model(x, anchors, noisy=True)
    (estimate.y_bits.sum() + 1000 * (estimate.x_hat - x).square().mean()).backward()
    grad = model.y_log_shrink.grad
    assert grad[-1].abs().max() == 0 and grad[-2].abs().max() > 0
    assert torch.equal(model.y_log_step[-1], -model.y_log_gain[-1])

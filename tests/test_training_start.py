"""What a run starts from and trains on: widened weights, recoloured crops, sides of any length."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("compressai")

from rdae.autoencoder.autoencoder import Autoencoder  # noqa: E402
from rdae.autoencoder.layers import Points  # noqa: E402
from rdae.autoencoder.objective import evaluate  # noqa: E402
from rdae.model.presets import preset  # noqa: E402
from rdae.training.augmentation import odd_size, recoloured  # noqa: E402
from rdae.training.warm_start import widened  # noqa: E402

SMALL = {
    "width": 24,
    "hyper": 8,
    "features": 16,
    "context": 32,
    "render": 8,
    "detail": 8,
    "analysis_blocks": 1,
}
# Where 32 channels stand among 64: the same place in the same group
KEPT = [16 * (i // 8) + i % 8 for i in range(32)]


def trained(latent: int) -> Autoencoder:
    torch.manual_seed(2)
    model = Autoencoder(preset(latent=latent, **SMALL))
    for parameter in model.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    return model


def test_a_widened_model_says_of_its_old_latents_what_the_old_one_did():
    old, new = trained(32), Autoencoder(preset(latent=64, **SMALL))
    new.load_state_dict(widened(old.state_dict(), new))
    new_places = [i for i in range(64) if i not in KEPT]
    x = torch.rand(2, 3, 64, 128)
    points = Points(torch.tensor([2.0, 9.5]), 16)
    with torch.no_grad():
        y, wide = old.analyse(x, points)[0], new.analyse(x, points)[0]
        assert torch.allclose(wide[..., KEPT], y, atol=1e-5)
        assert wide[..., new_places].abs().max() > 0.01
        wide[..., new_places] = 5.0  # no other network sees them yet
        assert torch.allclose(
            new.hyper_analysis(wide, points), old.hyper_analysis(y, points), atol=1e-5
        )
        features = torch.rand(2, 4, 8, 16)
        for k in range(4):
            given = (y, wide) if k else (None, None)
            (mean, scale), (wide_mean, wide_scale) = (
                model.predict(k, features, latents, points)
                for model, latents in zip((old, new), given, strict=True)
            )
            assert torch.allclose(wide_mean[..., :8], mean, atol=1e-5)
            assert torch.allclose(wide_scale[..., :8], scale, atol=1e-5)
            assert (wide_mean[..., 8:] == 0).all()
        wide[..., new_places] = 0
        assert torch.allclose(
            new.synthesise(wide, points, 64, 128), old.synthesise(y, points, 64, 128), atol=1e-5
        )


def test_weights_of_another_architecture_are_not_widened():
    state = trained(32).state_dict()
    other = Autoencoder(preset(latent=64, **{**SMALL, "width": 32}))
    assert widened(state, other) is state
    assert widened(state, trained(32)) is state


def test_pixels_beyond_a_picture_have_no_part_in_the_objective():
    model = trained(32).requires_grad_(False)
    anchors = torch.tensor([7.0])
    x = torch.rand(1, 3, 64, 128)
    whole = evaluate(model, x, anchors, noisy=False)
    # 40 rows are 3 rows of cells, whose hyper-latent cell ends one row of cells further down
    cut = evaluate(model, x[:, :, :40], anchors, noisy=False)
    repeated = torch.cat([x[:, :, :40], x[:, :, 39:40].expand(-1, -1, 8, -1)], 2)
    padded = evaluate(model, repeated, anchors, noisy=False)
    assert cut.bpp * 40 == pytest.approx(float(padded.bpp * 48), rel=1e-5)  # the same symbols
    assert cut.mse != padded.mse and cut.bpp > 0
    assert cut.bpp * 40 < whole.bpp * 64
    y, is_coded = model.analyse(x[:, :, :40, :72], Points(anchors, 16))
    assert y.shape[1:3] == (4, 8)
    assert (y[:, 3:] == 0).all() and (y[:, :, 5:] == 0).all() and (y[:, :3, :5] != 0).any()
    assert is_coded.sum() == 3 * 5


def test_recolouring_keeps_grey_and_goes_from_none_to_more_colour():
    rng = np.random.default_rng(0)
    ramp = np.repeat(np.arange(0, 256, 5, np.uint8)[None, :, None], 3, axis=2)
    muted = np.clip(128 + rng.normal(0, 10, (8, 8, 3)), 0, 255).astype(np.uint8)
    saturations = []

    def colourfulness(crop):
        return np.ptp(crop.astype(int), axis=2).mean()

    for _ in range(40):
        assert np.array_equal(recoloured(ramp, rng), ramp)
        changed = recoloured(muted, rng)
        saturations.append(
            np.ptp(changed.astype(int), axis=2).mean() / np.ptp(muted, axis=2).mean()
        )
    assert min(saturations) == 0 and max(saturations) > 2


def test_odd_sizes_are_of_every_remainder():
    rng = np.random.default_rng(1)
    sizes = [odd_size(rng, 256) for _ in range(2000)]
    for axis in range(2):
        assert {size[axis] for size in sizes} == set(range(193, 257))

"""The torch autoencoder and the NumPy decoder: the same spec, the same integers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("compressai")

from rdae.autoencoder.autoencoder import Autoencoder  # noqa: E402
from rdae.autoencoder.exact_decoder import make_exact  # noqa: E402
from rdae.autoencoder.layers import Points  # noqa: E402
from rdae.autoencoder.passes import assemble, split  # noqa: E402
from rdae.codec.encoder import quantise  # noqa: E402
from rdae.geometry import Rectangle  # noqa: E402
from rdae.images.picture import Picture  # noqa: E402
from rdae.model.installed import load_model  # noqa: E402
from rdae.model.model import Model  # noqa: E402
from rdae.model.presets import preset  # noqa: E402
from rdae.model.quarters import put, take  # noqa: E402
from rdae.model.spec import NUM_ANCHORS  # noqa: E402
from rdae.model.weights_file import Description, read_weights  # noqa: E402
from rdae.training.export import integer_tensors  # noqa: E402

TINY = preset(width=16, latent=16, hyper=8, features=8, context=24, render=4, analysis_blocks=1)


def tiny_autoencoder() -> Autoencoder:
    torch.manual_seed(3)
    model = Autoencoder(TINY)
    for parameter in model.parameters():  # away from the zeros of the initialisation
        parameter.data += 0.02 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("point", [0, 100, 255])
def test_torch_float64_gives_the_decoders_integers(crop, threads, point):
    model = load_model()
    assert model.path is not None
    _, tensors = read_weights(model.path)
    decoder = Autoencoder(model.spec)
    make_exact(decoder, tensors)
    picture = Picture(rgb=crop, alpha=None, is_grey=False)
    (symbols,) = quantise(picture, model, point, 1)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        compare_decoders(model, decoder, symbols, point)
    finally:
        torch.set_num_threads(before)


def compare_decoders(model: Model, decoder: Autoencoder, symbols, point: int) -> None:
    anchors = torch.tensor([point * (NUM_ANCHORS - 1) / 255], dtype=torch.float64)
    points = Points(anchors, NUM_ANCHORS)

    def torch_layer(network, x):
        return network(torch.from_numpy(x)[None], points)[0].numpy()

    shift = model._z_shift
    z_hat = (symbols.z * model._z_step[point].astype(np.int64) + (1 << (shift - 1))) >> shift
    z_hat = z_hat.clip(-32768, 32767).astype(np.float64)
    features = model.features(symbols.z, point)
    assert np.array_equal(torch_layer(decoder.hyper_synthesis, z_hat), features)
    y_hat = np.zeros(symbols.y.shape, np.int16)
    for k in range(4):
        mean, indexes = model.predict(k, features, y_hat, point)
        as_torch = [torch.from_numpy(v.astype(float))[None] for v in (features, y_hat)]
        predicted = decoder.predict(k, as_torch[0], as_torch[1] if k else None, points)
        its_mean, its_row = (
            take(k, assemble([torch.zeros_like(v)] * k + [v])[0].numpy()) for v in predicted
        )
        assert np.array_equal(its_mean, mean)
        offset = take(k, np.broadcast_to(model._offset[point], y_hat.shape))
        assert np.array_equal(np.clip(np.floor((its_row + offset + 64) / 128), 0, 127), indexes)
        put(k, model.dequantise_y(k, take(k, symbols.y), mean, point), y_hat)
    parts = torch_layer(decoder.synthesis, y_hat.astype(float))
    pixels = np.clip(np.floor((parts + 32) / 64), 0, 255)
    assert np.array_equal(pixels, model.synthesise(y_hat, point, 1))


def test_an_exported_network_predicts_what_the_trained_one_does():
    torch.manual_seed(0)
    trained = tiny_autoencoder()
    rgb = np.random.default_rng(1).integers(0, 256, (64, 128, 3)).astype(np.uint8)
    picture = Picture(rgb, alpha=None, is_grey=False)
    tensors = integer_tensors(trained, rgb[None])
    model = Model(Description(9, "tiny", TINY, {}), tensors)
    point = 128
    anchors = torch.tensor([point * (NUM_ANCHORS - 1) / 255])
    points = Points(anchors, NUM_ANCHORS)
    x = torch.from_numpy(picture.rgb)[None].float() / 255 - 0.5
    with torch.no_grad():
        y = trained.analysis(x, points)
        z = trained.hyper_analysis(y, points) * points.interpolate(trained.z_log_gain).exp()
        z_hat = z.round() * points.interpolate(-trained.z_log_gain).exp()
        features = trained.hyper_synthesis(z_hat, points)
        pixels = 255 * (trained.synthesis(y, points) + 0.5)
    whole = Rectangle(0, y.shape[1], 0, y.shape[2])
    few_units = 4 * tensors["analysis.scale"]
    encoder = model.encoder_half
    assert (abs(encoder.analyse(picture.rgb, whole, point, 1) - y[0].numpy()) < few_units).all()
    z_symbols = encoder.quantise_z(y[0].numpy(), point)
    assert np.array_equal(z_symbols, z[0].round().int())
    unit = 2.0 ** -float(tensors["hyper_synthesis.8.unit"][0])
    assert np.allclose(model.features(z_symbols, point) * unit, features[0], atol=20 * unit)
    y_hat = np.rint(y[0].numpy() / encoder.y_unit).astype(np.int16)
    wanted = pixels[0].clamp(0, 255).numpy()
    # half a level by rounding pixels, the rest by rounding before and in the filter
    assert np.abs(model.synthesise(y_hat, point, 1) - wanted).max() < 1.5


def test_both_halves_share_the_order_of_passes():
    latents = np.arange(2 * 4 * 6 * 16).reshape(2, 4, 6, 16)
    quarters = split(torch.from_numpy(latents))
    assert np.array_equal(assemble(quarters), latents)
    for k in range(4):
        for image in range(2):
            whole = np.zeros((4, 6, 16), int)
            put(k, take(k, latents[image]), whole)
            assert np.array_equal(
                split(torch.from_numpy(whole)[None])[k][:, 0], quarters[k][:, image]
            )


def test_every_pass_codes_a_quarter_of_each_channel_group():
    for quarter in split(torch.arange(16).expand(1, 4, 4, 16)):
        assert torch.bincount(quarter.flatten() // 4).tolist() == [16, 16, 16, 16]

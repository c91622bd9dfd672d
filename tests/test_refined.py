"""Efforts from 3 on: files that cost less, and that any decoder reads."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from rdae.autoencoder import search as refine  # noqa: E402
from rdae.autoencoder import search_decoder as search_decoder  # noqa: E402
from rdae.autoencoder.adam import Adam  # noqa: E402
from rdae.autoencoder.float_decoder import Y_REACH, TableRate, _Between, at_point, float_decoder  # noqa: E402
from rdae.autoencoder.passes import assemble, split  # noqa: E402
from rdae.autoencoder.precision import bfloat16_pays  # noqa: E402
from rdae.autoencoder.search_decoder import SearchDecoder  # noqa: E402
from rdae.codec import decode, encode, read_info  # noqa: E402
from rdae.codec.encoder import Encoder, quantise  # noqa: E402
from rdae.codec.measures import PSNR  # noqa: E402
from rdae.codec.refined import RefiningEncoder  # noqa: E402
from rdae.codec.targets import encode_from, encode_within  # noqa: E402
from rdae.distortion import psnr, ssimulacra2  # noqa: E402
from rdae.errors import RateTargetError  # noqa: E402
from rdae.exact.arithmetic import MEAN_BITS  # noqa: E402
from rdae.images.picture import Picture  # noqa: E402
from rdae.model.quarters import put, take  # noqa: E402
from rdae.scales import NUM_POINTS, TUNES, point_to_quality, quality_to_point  # noqa: E402

QUALITY = 50


def cost(picture, encoded, model):
    rd_lambda = model.rd_lambda(quality_to_point(QUALITY))
    bits = 8 * (encoded.info.y_bytes + encoded.info.z_bytes)
    pixels = decode(encoded.data).rgb
    return bits + refine.distortion_bits(model.tune, rd_lambda, picture.rgb, pixels)


@pytest.fixture
def crop(crop):
    """A 96x128 detail of the photo: what is searched takes a second for each 64x64 pixels."""
    return np.ascontiguousarray(crop[:96, :128])


def test_more_effort_costs_less_and_decodes_like_any_file(crop, model):
    crop = np.ascontiguousarray(crop[:64])
    picture = Picture(crop, None, False)
    seen: list[Any] = []
    efforts = {
        effort: encode(picture, quality=QUALITY, effort=effort, progress=seen.append)
        for effort in (1, 2, 3, 5)
    }
    costs = [cost(picture, encoded, model) for encoded in efforts.values()]
    assert costs == sorted(costs, reverse=True)
    assert costs[3] < 0.97 * costs[0]
    steps = [progress for progress in seen if progress.bpp is not None]
    assert len(steps) == refine.STEPS[3] + refine.STEPS[5] and steps[-1].done == 1
    # what is reported is what comes out, as nearly as relaxed rounding knows
    assert seen[-1].bpp == pytest.approx(efforts[5].info.bpp, rel=0.05)
    assert seen[-1].psnr == pytest.approx(psnr(crop, decode(efforts[5].data).rgb), abs=0.2)


def test_what_a_decoder_clips_costs_a_search_nothing():
    page = np.full((64, 64, 3), 255, np.uint8)
    for row in range(8, 56, 12):  # lines of words
        page[row : row + 5, 6:58:2] = page[row, 6:58:5] = 0
    seen: list[Any] = []
    picture = Picture(page, None, False)
    found = encode(picture, quality=QUALITY, effort=3, tune="psnr", progress=seen.append)
    # counted beside white and black, overshoot would be most of the error
    assert seen[-1].psnr == pytest.approx(psnr(page, decode(found.data).rgb), abs=0.4)


def test_refinement_gives_the_same_file_twice_and_leaves_torch_alone(crop, monkeypatch):
    monkeypatch.setitem(refine.STEPS, 3, 4)
    search_decoder._networks.cache_clear()
    bfloat16_pays.cache_clear()
    picture = Picture(crop[:64, :64], None, False)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    files = {encode(picture, quality=QUALITY, effort=3, threads=n).data for n in (1, 1)}
    assert len(files) == 1
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)


def test_each_tune_is_best_at_what_it_is_for(crop, model):
    picture = Picture(crop, None, False)
    plain = encode(picture, quality=QUALITY)
    rd_lambda = model.rd_lambda(quality_to_point(QUALITY))
    gains = {}
    for tune in TUNES:
        found = encode(picture, quality=QUALITY, effort=4, tune=tune)
        for judge in TUNES:
            before, after = (
                8 * len(encoded.data)
                + refine.distortion_bits(judge, rd_lambda, crop, decode(encoded.data).rgb)
                for encoded in (plain, found)
            )
            gains[tune, judge] = before - after
    assert gains["psnr", "psnr"] > max(0, gains["eye", "psnr"])
    assert gains["eye", "eye"] > max(0, gains["psnr", "eye"])


def test_a_search_is_for_what_the_model_was_trained_for(crop, model):
    picture = Picture(crop[:64, :64], None, False)
    of_model = encode(picture, quality=QUALITY, effort=3, threads=1).data
    assert of_model == encode(picture, quality=QUALITY, effort=3, tune=model.tune, threads=1).data


@pytest.mark.parametrize(
    "settings", [{"tune": "ear", "effort": 5}, {"tune": "eye"}, {"tune": "psnr", "max_error": 0}]
)
def test_a_tune_that_does_not_count_is_refused(crop, settings):
    with pytest.raises(ValueError, match="tune"):
        encode(Picture(crop, None, False), **settings)


def test_tiles_are_refined_with_their_neighbours_in_view(crop, model):
    wide = np.tile(crop[:32], (1, 9, 1))[:, :1100]
    picture = Picture(np.ascontiguousarray(wide), None, False)
    plain, refined = (encode(picture, quality=QUALITY, effort=e) for e in (2, 3))
    assert refined.info.tile_columns == 2
    assert cost(picture, refined, model) < cost(picture, plain, model)


def test_what_is_not_better_is_not_taken(crop, model, monkeypatch):
    picture = Picture(crop, None, False)
    monkeypatch.setattr(
        refine, "refine", lambda model, tile, *_, **__: (tile.y + 1, tile.symbols.z)
    )
    worse, plain = (encode(picture, quality=QUALITY, effort=e) for e in (3, 2))
    assert worse.data == plain.data


@pytest.mark.slow
def test_targets_are_met_with_refinement_and_as_closely_as_the_points_allow(crop, model):
    picture = Picture(crop[:96, :128], None, False)
    encoder = RefiningEncoder(picture, model, effort=3, tune="psnr")

    def point_of(data):
        return read_info(data).quality_point

    for target_size in (700, 1000):
        sized = encode_within(encoder, target_size)
        assert len(sized) <= target_size < len(encoder.encode(point_of(sized) + 1))
    floored = encode_from(encoder, PSNR, 28)
    below = encoder.encode(point_of(floored) - 1)
    assert psnr(picture.rgb, decode(below).rgb) < 28 <= psnr(picture.rgb, decode(floored).rgb)
    assert floored == encode(picture, target_psnr=28, effort=3, threads=1).data
    assert len(floored) < len(encode(picture, target_psnr=28).data)


def test_targets_out_of_reach_are_refused_without_a_search(crop, monkeypatch):
    monkeypatch.setattr(refine, "refine", None)
    picture = Picture(crop, None, False)
    targets: list[dict[str, Any]] = [{"target_size": 60}, {"target_psnr": 60}]
    for target in targets:
        with pytest.raises(RateTargetError):
            encode(picture, effort=9, **target)


@pytest.mark.slow
def test_what_only_a_search_can_reach_is_reached(photo):
    crop = photo.rgb[170:330, 260:500]
    picture = Picture(crop, None, False)
    plain, refined = (
        psnr(crop, decode(encode(picture, quality=100, effort=e, tune=t).data).rgb)
        for e, t in ((2, None), (3, "psnr"))
    )
    assert refined > plain + 0.02
    reached = encode(picture, target_psnr=refined - 0.01, effort=3)
    assert psnr(crop, decode(reached.data).rgb) >= refined - 0.01
    with pytest.raises(RateTargetError) as error:
        encode(picture, target_psnr=refined + 0.3, effort=3)
    assert error.value.reachable == pytest.approx(refined)


@pytest.mark.slow
def test_a_search_may_be_for_a_ssimulacra2(crop):
    pytest.importorskip("ssimulacra2")
    picture = Picture(crop, None, False)
    for tune in (None, "psnr"):
        found = encode(picture, target_ssimulacra2=50, effort=3, tune=tune)
        assert ssimulacra2(picture.rgb, decode(found.data).rgb) >= 50
        below = encode(
            picture,
            quality=point_to_quality(found.info.quality_point - 1),
            effort=3,
            tune=tune or "eye",
        )
        assert ssimulacra2(picture.rgb, decode(below.data).rgb) < 50


@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.7, 1.2),
    st.integers(0, 4000),
    st.integers(0, 300),
    st.booleans(),
)
def test_larger_targets_never_end_at_lower_points_with_refinement(
    seed, factor, target, more, is_small
):
    jitter = np.random.default_rng(seed).integers(-9, 10, NUM_POINTS)

    def met(minimum, what):
        try:
            return what(Imagined(jitter, factor, is_small), minimum)[0]
        except RateTargetError:
            return None

    for what, scale in ((encode_within, 1), (good_enough, 0.01)):
        points = [met(scale * t, what) for t in (target, target + more)]
        if None not in points:
            assert points[0] <= points[1]


def good_enough(encoder, least):
    return encode_from(encoder, PSNR, least)


class Imagined(RefiningEncoder):
    """Sizes and PSNRs that grow from point to point but for some jitter, refined ones otherwise."""

    frame_bytes = 20

    def __init__(self, jitter, factor, is_small):
        side = 8 if is_small else 80
        self.picture = Picture(np.zeros((side, side, 3), np.uint8), None, False)
        self.effort, self.tune, self.jitter, self.factor = 3, "psnr", jitter, factor

    def estimate_bytes(self, point):
        return 200 + 10 * point + self.jitter[point]

    def estimate_value(self, point, measure):
        return 20 + 0.05 * point + 0.01 * self.jitter[point]

    def encode(self, point):
        size = self.factor * self.estimate_bytes(point) + self.jitter[-point]
        return bytes([point]) + bytes(int(size))

    def encode_plain(self, point):
        return bytes([point]) + bytes(self.estimate_bytes(point))

    def value_of(self, data, measure):
        return self.estimate_value(data[0], measure) + self.factor - 0.9


def test_tiny_pictures_and_alpha_are_refined_too(crop):
    alpha = np.arange(30, dtype=np.uint8).reshape(5, 6)
    for picture in (Picture(crop[:1, :1], None, False), Picture(crop[:5, :6], alpha, False)):
        decoded = decode(encode(picture, quality=QUALITY, effort=3).data)
        assert decoded.rgb.shape == picture.rgb.shape
        wanted = None if picture.alpha is None else picture.alpha.tolist()
        assert (None if decoded.alpha is None else decoded.alpha.tolist()) == wanted


def test_the_float_decoder_predicts_what_the_exact_networks_do(crop, model):
    point = quality_to_point(QUALITY)
    picture = Picture(crop, None, False)
    (symbols,) = quantise(picture, model, point)
    encoder = Encoder(picture, model)
    y = encoder.analyse(encoder.tiles[0], point)
    decoder = float_decoder(model)
    x = torch.from_numpy(crop / np.float32(255)).permute(2, 0, 1)[None]
    with torch.no_grad():
        guess = decoder.analyse(x, at_point(point))[0][0].numpy()
    assert np.abs(guess - y).max() < 1e-2 * np.abs(y).max()
    rate = TableRate(model.y_tables, Y_REACH)
    tables, values = (torch.from_numpy(a.astype(np.float32)) for a in (symbols.indexes, symbols.y))
    exact = model.y_tables.bits(symbols.y.ravel(), symbols.indexes.ravel())
    assert float(rate(tables, values).sum()) == pytest.approx(exact, rel=1e-5)
    half = torch.full_like(values, 0.5)
    mixed = rate.between(tables + 0.5, values, half)
    corners = [
        rate(t, v) for t in (tables, (tables + 1).clamp(max=127)) for v in (values, values + 1)
    ]
    inside = tables < 127
    assert torch.allclose(mixed[inside], (sum(corners) / 4)[inside], rtol=1e-4)


def test_the_search_sees_what_the_exact_decoder_will_do(crop, model):
    point = quality_to_point(QUALITY)
    picture = Picture(crop, None, False)
    (symbols,) = quantise(picture, model, point)
    decoder = SearchDecoder(model, point)
    features = model.features(symbols.z, point)
    seen = decoder.features(torch.from_numpy(symbols.z).float()[None])
    y_hat = np.zeros(symbols.y.shape, np.int16)

    def of_pass(k, quarter, unit=1.0):  # as the exact decoder has it, to as torch has it
        whole = np.zeros(symbols.y.shape)
        put(k, quarter, whole)
        return split(torch.from_numpy(whole * unit)[None])[k]

    def code(k, guess, guessed_tables):
        mean, tables = model.predict(k, features, y_hat, point)
        real = of_pass(k, mean, model.encoder_half.y_unit / 2**MEAN_BITS)
        assert np.abs(guess - real).max() < 0.02 * np.abs(real).max()
        tables = of_pass(k, tables)
        inside = (tables > 0) & (tables < 127)
        assert np.abs(guessed_tables - tables)[inside].mean() < 1
        quarter = model.dequantise_y(k, take(k, symbols.y), mean, point)
        put(k, quarter, y_hat)
        return of_pass(k, quarter, model.encoder_half.y_unit).float()

    whole = decoder.follow_passes(seen, code)
    assert np.array_equal(whole[0].numpy(), np.float32(y_hat * model.encoder_half.y_unit))
    pixels = 255 * (decoder.synthesis(whole)[0].numpy() + 0.5)
    decoded = model.synthesise(y_hat, point, 1)
    assert np.abs(np.clip(pixels, 0, 255) - decoded).mean() < 0.5


def test_slopes_of_the_search_are_those_of_its_functions():
    rng = torch.Generator().manual_seed(3)

    def numbers(*shape):
        return torch.rand(shape, generator=rng, dtype=torch.float64)

    bits = 20 * numbers(5, 9)
    low = torch.tensor([-4.0, -1, 0, 2, 3], dtype=torch.float64)
    arguments = ((0.5 + 3 * numbers(5)).requires_grad_(), low, numbers(5).requires_grad_())
    assert torch.autograd.gradcheck(partial(_Between.apply, bits), arguments)
    v = (low + 0.1 + 0.8 * numbers(5)).requires_grad_()
    assert torch.autograd.gradcheck(refine._Share.apply, (v, low, 0.1 + 0.8 * numbers(5), 0.4))
    quarters = [numbers(4, 2, 2, 3, 2).requires_grad_() for _ in range(3)]
    assert torch.autograd.gradcheck(lambda *parts: assemble(parts), quarters)
    assert torch.autograd.gradcheck(split, numbers(2, 4, 6, 8).requires_grad_())


def test_grey_pictures_are_judged_by_their_grey_pixels(crop, model):
    grey = Picture(np.repeat(crop[:64, :128, 1:2], 3, axis=2), None, True)
    plain, refined = (encode(grey, quality=QUALITY, effort=e) for e in (2, 3))
    assert cost(grey, refined, model) <= cost(grey, plain, model)


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        assert torch.get_default_dtype() is dtype
        torch.set_default_dtype(before)


def test_what_the_caller_has_set_in_torch_changes_nothing(crop, monkeypatch):
    monkeypatch.setitem(refine.STEPS, 3, 4)  # all of them are alike
    picture = Picture(crop[:48, :64], None, False)

    def search():
        return encode(picture, quality=QUALITY, effort=3).data

    # in this order, since networks are built in the first one and kept
    search_decoder._networks.cache_clear()
    refine._y_rate.cache_clear()
    with default_dtype(torch.float64):
        first = search()
    assert first != encode(picture, quality=QUALITY).data
    settings = (
        nullcontext(),
        default_dtype(torch.bfloat16),
        torch.device("meta"),
        torch.autocast("cpu", torch.bfloat16),
        torch.inference_mode(),
        torch.no_grad(),
    )
    for setting in settings:
        with setting:
            assert search() == first


def test_the_search_s_optimizer_is_adam():
    start = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    ours, theirs = (start.clone().requires_grad_() for _ in range(2))
    adam = Adam(momentum=0.7, memory=0.92)
    reference = torch.optim.Adam([theirs], lr=0.1, betas=(0.7, 0.92))
    for _ in range(20):
        for x in (ours, theirs):
            ((x - torch.arange(4)) ** 4).sum().backward()
        adam.step({ours: 0.1})
        reference.step()
        reference.zero_grad()
    assert torch.allclose(ours, theirs, atol=1e-6) and ours.grad is None

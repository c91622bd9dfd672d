"""The terms of -ELBO: densities that are densities, bits that are a file's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rdae.codec import decode, encode
from rdae.codec.elbo import NoisyPrior, RelaxedPosterior, coded_terms
from rdae.distortion import decoder_variance
from rdae.images.picture import Picture
from rdae.scales import quality_to_point


@pytest.mark.parametrize("table", [10, 20, 60, 100, 127])
def test_the_prior_of_noisy_symbols_is_a_density_that_agrees_at_the_integers(model, table):
    tables = model.y_tables
    low, entries = int(tables.lows[table]), int(tables.sizes[table]) - 1
    assert entries > 1, "between the integers of a single one there is nothing to integrate"
    prior = NoisyPrior(tables)
    symbols = np.arange(low, low + entries)
    index = np.full(symbols.shape, table)
    assert np.allclose(
        prior.bits(symbols.astype(float), index), tables.symbol_bits(symbols, index), atol=1e-6
    )
    v = np.arange(low, low + entries - 1, 1 / 64) + 1 / 128
    mass = np.exp2(-prior.bits(v, np.full(v.shape, table))).sum() / 64
    inside = np.exp2(-tables.symbol_bits(symbols, index)).sum()
    assert mass == pytest.approx(inside, abs=2e-3)


def test_symbols_beyond_a_table_cost_an_escape(model):
    bits = NoisyPrior(model.y_tables).bits(np.array([20000.3, -20000.3]), np.array([0, 127]))
    assert (bits > 16).all() and np.isfinite(bits).all()


def test_coded_terms_are_those_of_the_file(crop, model):
    picture, point = Picture(crop, None, False), quality_to_point(40)
    terms = coded_terms(picture, model, point, effort=2, threads=1)
    encoded = encode(picture, quality=40)
    assert terms.rate == 8 * (encoded.info.y_bytes + encoded.info.z_bytes)
    mse = np.square(crop.astype(float) - decode(encoded.data).rgb).mean()
    assert terms.mse == pytest.approx(mse)
    # distortion is -log2 of a Gaussian density, sample by sample
    variance = decoder_variance(model.rd_lambda(point))
    density = 0.5 * math.log2(2 * math.pi * variance) + mse / (2 * variance * math.log(2))
    assert terms.distortion == pytest.approx(crop.size * density)
    assert terms.negative_elbo == terms.rate + terms.distortion
    # up to the constant it is rate + lambda * distortion, as in training
    lagrangian = terms.rate + crop.shape[0] * crop.shape[1] * terms.rd_lambda * mse
    constant = crop.size * 0.5 * math.log2(2 * math.pi * variance)
    assert terms.negative_elbo == pytest.approx(lagrangian + constant)


def test_a_picture_without_colours_has_one_sample_a_pixel(crop, model):
    grey, point = np.repeat(crop[:64, :80, 1:2], 3, axis=2), quality_to_point(40)
    variance = decoder_variance(model.rd_lambda(point)) / 3
    for is_grey in (True, False):
        picture = Picture(grey, None, is_grey)
        coded = coded_terms(picture, model, point, effort=1, threads=1)
        decoded = decode(encode(picture, quality=40, effort=1).data).rgb[..., 0].astype(float)
        square = np.square(grey[..., 0] - decoded).sum()
        constant = 64 * 80 * 0.5 * math.log2(2 * math.pi * variance)
        assert coded.distortion == pytest.approx(constant + square / (2 * variance * math.log(2)))
        relaxed = RelaxedPosterior(picture, model, point).sample(np.random.default_rng(0))
        assert relaxed.variance == coded.variance == pytest.approx(variance)


def test_noise_costs_rate_and_distortion(crop, model):
    picture, point = Picture(crop, None, False), quality_to_point(60)
    posterior = RelaxedPosterior(picture, model, point)
    relaxed = [posterior.sample(np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert relaxed[0] == relaxed[1] != relaxed[2]
    coded = coded_terms(picture, model, point, effort=1, threads=1)
    for terms in relaxed:
        assert terms.rate > coded.rate and terms.error > coded.error

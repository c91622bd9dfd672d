"""Rounding with the rate in mind."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rdae.bitstream.container import read_container
from rdae.bitstream.tiles import Grid
from rdae.codec import encode
from rdae.codec.decoder import decode_pixels
from rdae.codec.encoder import quantise
from rdae.codec.tile import ideal_bits
from rdae.images.picture import Picture
from rdae.rounding import EXCHANGE, REACH, WIDEST, dead_zones, round_to_symbols
from rdae.scales import point_to_quality

BITS = np.stack([rate * np.arange(REACH + 1.0) for rate in (0.0, 1.0, 6.0, 60.0)])
ZONES = dead_zones(BITS)


@given(st.lists(st.tuples(st.floats(-40, 40, width=32), st.integers(0, len(BITS) - 1)), min_size=1))
def test_a_symbol_is_the_nearest_integer_or_the_next_towards_zero(cases):
    v, tables = (np.array(column) for column in zip(*cases, strict=True))
    symbols = round_to_symbols(v, tables, ZONES)
    nearest = np.rint(v)
    lower = np.sign(nearest) * np.maximum(np.abs(nearest) - 1, 0)
    assert ((symbols == nearest) | (symbols == lower)).all()
    # never worse than the nearest integer, in squared error plus what its bits are worth
    for table, zone in enumerate(ZONES):
        here = (tables == table) & (np.abs(nearest) <= REACH) & (zone[1] < WIDEST)
        bits = BITS[table][np.abs(np.array([symbols, nearest])[:, here]).astype(int)]
        cost = (v[here] - np.array([symbols, nearest])[:, here]) ** 2 + EXCHANGE * bits
        assert (cost[0] <= cost[1] + 1e-5).all()


def test_zones_are_wider_where_a_magnitude_costs_more():
    assert (ZONES[:, 0] == 0).all() and (ZONES[0] == 0).all()
    assert (ZONES[1, 1:] > 0).all() and (ZONES[1, 1:] < ZONES[2, 1:]).all()
    assert (ZONES[3, 1:] == np.float32(WIDEST)).all()
    assert round_to_symbols(np.array([0.6, -0.6]), np.array([0, 0]), ZONES).tolist() == [1, -1]
    assert round_to_symbols(np.array([0.6, -0.6]), np.array([2, 2]), ZONES).tolist() == [0, 0]


def test_the_shipped_model_saves_bits_by_it(crop, model, monkeypatch):
    picture = Picture(crop, None, False)
    (tile,) = Grid(picture.width, picture.height).tiles()

    def cost(point: int) -> tuple[float, float]:
        (symbols,) = quantise(picture, model, point, 1)
        data = encode(picture, quality=point_to_quality(point), model=model).data
        error = decode_pixels(read_container(data), model, 1).astype(float) - crop
        return sum(ideal_bits(model, tile, symbols, point)), np.mean(error**2)

    bits, mse = cost(128)
    half = model.encoder_half
    monkeypatch.setattr(half, "_dead_zones", np.zeros_like(half._dead_zones))
    plain_bits, plain_mse = cost(128)
    assert bits < plain_bits and mse > plain_mse

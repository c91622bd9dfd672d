"""Interpolation and BD-rates against scipy and the package bjontegaard."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rdae.evaluation.bd_rate import SEED, akima, bd_rate, compare, draws, pchip, saving
from rdae.evaluation.bootstrap import mean_interval, rate_interval

MADE_UP = Path(__file__).parent / "published_curves.json"
PUBLISHED = Path(__file__).parents[2] / "shared" / "anchors" / "rd_anchors.json"  # not in a clone

RATES = np.array([0.1, 0.2, 0.4, 0.8, 1.5])
QUALITIES = np.array([26.0, 28.5, 31.5, 35.0, 38.4])

steps = st.lists(st.integers(5, 500).map(lambda n: n / 100), min_size=4, max_size=12)


@settings(max_examples=100, deadline=None)
@given(steps, st.data())
def test_interpolation_is_that_of_scipy(widths: list[float], data: st.DataObject) -> None:
    scipy = pytest.importorskip("scipy.interpolate")
    x = np.cumsum(widths)
    # hundredths: differences that are nearly nothing overflow in scipy
    values = st.lists(st.integers(-800, 800), min_size=len(x), max_size=len(x))
    y = np.array(data.draw(values)) / 100
    low, high = sorted(data.draw(st.tuples(st.floats(0, 1), st.floats(0, 1))))
    a, b = x[0] + (x[-1] - x[0]) * np.array([low, high])
    grid = np.linspace(x[0], x[-1], 57)
    for ours, theirs in (
        (pchip(x, y), scipy.PchipInterpolator(x, y)),
        (akima(x, y), scipy.Akima1DInterpolator(x, y)),
    ):
        np.testing.assert_allclose(ours(grid), theirs(grid), rtol=1e-7, atol=1e-7)
        if b - a > 1e-3:
            expected = theirs.integrate(a, b) / (b - a)
            assert ours.mean(a, b) == pytest.approx(float(expected), rel=1e-6, abs=1e-6)


def test_a_curve_that_saves_a_tenth_everywhere() -> None:
    delta = compare(0.9 * RATES, QUALITIES, RATES, QUALITIES)
    assert delta.rate == pytest.approx(-10)
    assert delta.akima == pytest.approx(-10)
    assert delta.gain is not None and delta.gain > 0
    assert (delta.overlap, delta.share, delta.why_not) == ((26.0, 38.4), 1.0, None)
    back = compare(RATES, QUALITIES, 0.9 * RATES, QUALITIES)
    assert back.rate == pytest.approx(100 / 0.9 - 100)
    assert back.gain == pytest.approx(-delta.gain)


def test_a_curve_that_is_better_by_a_decibel() -> None:
    delta = compare(RATES, QUALITIES + 1.0, RATES, QUALITIES)
    assert delta.gain == pytest.approx(1)
    assert delta.rate is not None and delta.rate < 0


def test_numbers_are_those_of_the_package_bjontegaard() -> None:
    package = pytest.importorskip("bjontegaard")
    rng = np.random.default_rng(5)
    for count in (4, 5, 9):
        for _ in range(20):
            rates = [np.cumsum(rng.uniform(0.05, 0.4, count)) for _ in range(2)]
            qualities = [25 + np.cumsum(rng.uniform(0.5, 3, count)) for _ in range(2)]
            delta = compare(rates[1], qualities[1], rates[0], qualities[0])
            if delta.why_not:
                continue
            points = (rates[0], qualities[0], rates[1], qualities[1])
            for method, ours in (("pchip", delta.rate), ("akima", delta.akima)):
                expected = package.bd_rate(*points, method=method, min_overlap=0)
                assert ours == pytest.approx(expected, rel=1e-9)
            if delta.gain is not None:
                expected = package.bd_psnr(*points, method="pchip", min_overlap=0)
                assert delta.gain == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("path", "least"), [(MADE_UP, 5), (PUBLISHED, 51)])
def test_published_bd_rates_come_out_again(path: Path, least: int) -> None:
    if not path.exists():
        pytest.skip("the collection of published curves is not there")
    curves = json.loads(path.read_text())["kodak"]
    vtm = curves["vtm"]
    checked = 0
    for name, curve in curves.items():
        known = (curve.get("bd_rate_pct") or {}).get("VTM")
        if known is None:
            continue
        delta = compare(curve["bpp"], curve["psnr"], vtm["bpp"], vtm["psnr"])
        if delta.rate is not None:
            assert delta.rate == pytest.approx(known, abs=0.01), name
            checked += 1
    assert checked >= least


def test_order_doubles_and_unknown_points_do_not_matter() -> None:
    rates = np.array([0.8, 0.1, 0.45, 0.4, 1.5, 0.2, 3.0])
    qualities = np.array([35.0, 26.0, 31.5, 31.5, 38.4, 28.5, np.inf])
    delta = compare(1.2 * rates, qualities, RATES, QUALITIES)
    assert delta.rate == pytest.approx(20)


def test_dearer_and_worse_points_give_no_nonsense() -> None:
    rates = np.array([0.1, 0.2, 0.21, 0.4, 0.8])
    qualities = np.array([26.0, 28.5, 28.0, 31.5, 35.0])
    delta = compare(rates, qualities, RATES, QUALITIES)
    assert delta.rate == pytest.approx(0, abs=5)


@pytest.mark.parametrize(
    ("qualities", "why"),
    [
        (QUALITIES + 13, "no quality in common"),
        (QUALITIES + 8, "overlap 35 %, 50 % are needed"),
        (np.array([26.0, 27, 28, np.nan, np.nan]), "3 points, 4 are needed"),
    ],
)
def test_what_cannot_be_compared_has_no_number(qualities: np.ndarray, why: str) -> None:
    delta = compare(RATES, qualities, RATES, QUALITIES)
    assert delta.rate is None and delta.gain is None and delta.akima is None
    assert delta.why_not is not None and why in delta.why_not
    turned = compare(RATES, QUALITIES, RATES, qualities)
    assert turned.rate is None


def test_a_short_curve_within_a_long_one_is_compared_over_its_own_length() -> None:
    few = compare(1.1 * RATES[1:], QUALITIES[1:], RATES, QUALITIES)
    assert few.rate == pytest.approx(10, abs=0.5)
    assert few.share == 1


def test_intervals_hold_the_mean_and_are_repeatable() -> None:
    values = np.random.default_rng(2).normal(-10, 3, 24)
    low, high = mean_interval(values) or [0, 0]
    assert low < values.mean() < high
    assert 1.5 < high - low < 3.5  # 4 standard errors are 2.4
    assert mean_interval(values) == [low, high]
    assert mean_interval(values[:1]) is None


@pytest.mark.parametrize("pictures", [1, 2, 3, 24])
def test_draws_are_those_of_the_generator_each_distinct_one_once(pictures: int) -> None:
    distinct, numbers = draws(300, pictures)
    plain = np.random.default_rng(SEED).integers(0, pictures, (300, pictures))
    assert (distinct[numbers] == np.sort(plain, axis=1)).all()
    assert len(distinct) == len({tuple(draw) for draw in distinct.tolist()}) <= 300
    assert len(distinct) == min(300, math.comb(2 * pictures - 1, pictures))  # of multisets


def test_a_bd_rate_of_mean_curves_has_an_interval_of_its_own() -> None:
    """A few dear pictures rule the mean curve, so the mean over the pictures is another number."""
    sizes = np.geomspace(0.2, 5, 24)[:, None]
    rates, qualities = sizes * RATES, np.repeat(QUALITIES[None], 24, axis=0)
    ours = rates * np.linspace(1.0, 0.6, 24)[:, None]
    rate = bd_rate(ours.mean(axis=0), QUALITIES, rates.mean(axis=0), QUALITIES)
    singles = np.array([bd_rate(ours[i], QUALITIES, rates[i], QUALITIES) for i in range(24)])
    low, high = rate_interval(ours, qualities, rates, qualities) or [0, 0]
    assert rate is not None and low < rate < high
    around_mean = mean_interval(singles) or [0, 0]
    assert not around_mean[0] < rate < around_mean[1]
    assert rate_interval(ours, qualities, rates, qualities) == [low, high]
    assert rate_interval(ours[:1], qualities[:1], rates[:1], qualities[:1]) is None
    equal = rate_interval(0.9 * rates, qualities, rates, qualities)
    assert equal == pytest.approx([-10, -10])


def test_an_interval_puts_mean_qualities_on_their_scale() -> None:
    def decibels(mean: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(-10 * np.log10(1 - mean))

    rates = np.stack([0.5 * RATES, RATES, 2 * RATES])
    flat = np.stack([1 - 10 ** (-QUALITIES / 10)] * 3)
    found = rate_interval(rates, flat, 2 * rates, flat, decibels)
    assert found == pytest.approx([-50, -50])


def test_there_is_no_interval_where_draws_have_no_bd_rate() -> None:
    """Of two pictures, one reaches only qualities that the anchor does not have."""
    rates, qualities = np.stack([RATES] * 2), np.stack([QUALITIES, QUALITIES + 100])
    assert rate_interval(rates, qualities, rates, np.stack([QUALITIES] * 2)) is None


def test_a_saving_says_where_the_curves_differ() -> None:
    factors = np.array([0.8, 0.8, 0.8, 0.9, 1.0])
    rates = np.stack([RATES * factors * scale for scale in (0.9, 1, 1.1)])
    anchor = np.stack([RATES * scale for scale in (0.9, 1, 1.1)])
    both = np.stack([QUALITIES] * 3)
    found = saving(rates, both, anchor, both)
    assert found is not None
    assert found["percent"][0] == pytest.approx(-20)
    assert found["percent"][-1] == pytest.approx(0)
    assert found["low"][0] == pytest.approx(-20)
    assert found["quality"][0] == 26 and found["quality"][-1] == 38.4
    single = saving(rates[:1], both[:1], anchor[:1], both[:1])
    assert single is not None and set(single["low"]) == {None}
    assert saving(rates, both, anchor, both + 20) is None

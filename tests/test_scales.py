"""Targets: the quality point for a size or a PSNR."""

from __future__ import annotations

import math
import re
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rdae
from rdae.bitstream.payload import deflate, pack_alpha
from rdae.codec import decode, encode, most_bytes
from rdae.codec.encoder import Encoder
from rdae.codec.measures import PSNR
from rdae.codec.targets import encode_from, encode_within, highest_point, walk
from rdae.distortion import decoder_variance, psnr, ssimulacra2
from rdae.errors import RateTargetError, UnsupportedImageError
from rdae.images.picture import Picture
from rdae.scales import LAMBDA_RANGE, NUM_POINTS, point_to_quality, quality_to_point, rd_lambda_at


@pytest.fixture(scope="module")
def small(crop) -> Picture:
    return Picture(crop, None, False, exif=b"MM\0*\0\0\0\x08\0\0\0\0\0\0")


@given(st.integers(-1, NUM_POINTS - 1))
def test_the_highest_point_that_fits_is_found_in_nine_tries(wanted):
    tried = []

    def fits(point):
        tried.append(point)
        return point <= wanted

    assert highest_point(fits) == wanted
    assert len(tried) == len(set(tried)) <= 9


@given(
    st.lists(st.integers(0, 9), min_size=NUM_POINTS, max_size=NUM_POINTS),
    st.integers(0, 2000),
    st.integers(0, 500),
)
def test_a_larger_target_never_gives_a_lower_point_even_if_sizes_do_not_grow(jitter, target, more):
    sizes = [5 * point + 7 * j for point, j in enumerate(jitter)]
    small = highest_point(lambda p: sizes[p] <= target)
    large = highest_point(lambda p: sizes[p] <= target + more)
    assert small <= large
    assert small < 0 or sizes[small] <= target


@pytest.mark.parametrize("target_size", [700, 1500, 2600, 6000])
def test_a_size_is_a_ceiling_and_the_next_point_is_above_it(small, model, target_size):
    encoded = encode(small, target_size=target_size)
    point = encoded.info.quality_point
    assert len(encoded.data) <= target_size and encoded.tries <= 9
    assert encoded.data == encode(small, quality=point_to_quality(point)).data
    # streams are whole words, so sizes of so small a picture grow in steps of a percent
    above = encode(small, quality=point_to_quality(point + 2)).data
    assert len(above) > target_size - 16


def test_alpha_and_metadata_are_packed_once_for_all_files_of_a_search(small):
    alpha = small.rgb[..., 0].copy()
    picture = Picture(small.rgb, alpha, False, icc=b"profile", exif=small.exif)
    with (
        mock.patch("rdae.bitstream.container.pack_alpha", wraps=pack_alpha) as alphas,
        mock.patch("rdae.bitstream.container.deflate", wraps=deflate) as blocks,
    ):
        data = encode(picture, target_size=28_000).data
    assert alphas.call_count == 1 and blocks.call_count == 2
    found = decode(data)
    assert found.alpha is not None and np.array_equal(found.alpha, alpha)
    assert (found.icc, found.exif) == (picture.icc, picture.exif)


def test_a_size_beyond_the_best_quality_gives_the_best_quality(small):
    assert encode(small, target_size=10**7).info.quality_point == NUM_POINTS - 1


@pytest.mark.parametrize("decibels", [27, 30.3, 33])
def test_a_psnr_is_a_floor_for_the_decoded_picture(small, decibels):
    encoded = encode(small, target_psnr=decibels)
    assert psnr(small.rgb, decode(encoded.data).rgb) >= decibels
    below = encode(small, quality=point_to_quality(encoded.info.quality_point - 1))
    assert psnr(small.rgb, decode(below.data).rgb) < decibels
    assert encoded.tries <= 9


def test_a_ssimulacra2_is_a_floor_for_the_decoded_picture(small):
    pytest.importorskip("ssimulacra2")
    encoded = encode(small, target_ssimulacra2=60)
    assert ssimulacra2(small.rgb, decode(encoded.data).rgb) >= 60
    below = encode(small, quality=point_to_quality(encoded.info.quality_point - 1))
    assert ssimulacra2(small.rgb, decode(below.data).rgb) < 60
    with pytest.raises(RateTargetError, match="SSIMULACRA2 100 is out of reach") as many:
        encode(small, target_ssimulacra2=100)
    assert 80 < many.value.reachable < 100
    with pytest.raises(UnsupportedImageError, match="sides of 8 pixels or more"):
        encode(Picture(small.rgb[:7], None, False), target_ssimulacra2=60)


def test_the_psnr_of_a_grey_picture_is_that_of_its_grey_pixels(crop):
    grey = Picture(np.repeat(crop[..., 1:2], 3, axis=2), None, True)
    encoded = encode(grey, target_psnr=35)
    assert psnr(grey.rgb, decode(encoded.data).rgb) >= 35


def test_unreachable_targets_say_what_can_be_had(small):
    with pytest.raises(RateTargetError, match="300 bytes are too few") as few:
        encode(small, target_size=300)
    least = len(encode(small, quality=0).data)
    assert few.value.reachable == least
    assert encode(small, target_size=least).info.quality_point == 0
    with pytest.raises(RateTargetError, match="70 dB is out of reach") as many:
        encode(small, target_psnr=70)
    best = psnr(small.rgb, decode(encode(small, quality=100).data).rgb)
    assert many.value.reachable == pytest.approx(best)


@pytest.mark.parametrize("bpp", [1e-5, 5e-324])
def test_bits_per_pixel_that_are_less_than_a_byte_are_as_unreachable_as_any(crop, bpp):
    with pytest.raises(RateTargetError, match="too few") as few:
        rdae.compress(crop, target_bpp=bpp)
    least = len(rdae.compress(crop, quality=0))
    assert few.value.reachable == least
    (found,) = re.findall(r"--target-bpp (\S+) ", few.value.hint)
    named = float(found)
    assert len(rdae.compress(crop, target_bpp=named)) == least


@pytest.mark.parametrize("bpp", [1e307, 100])
def test_bits_per_pixel_beyond_every_file_give_the_best_quality(crop, bpp):
    assert rdae.compress(crop, target_bpp=bpp) == rdae.compress(crop, quality=100)


@pytest.mark.parametrize("bpp", [0, -1, math.inf, math.nan])
def test_bits_per_pixel_that_are_no_size_are_refused(crop, bpp):
    with pytest.raises(ValueError, match="a number above 0"):
        rdae.compress(crop, target_bpp=bpp)


@given(st.integers(2, 10**9), st.integers(1, 10**9))
def test_bits_per_pixel_of_a_file_are_a_ceiling_that_it_meets(size, pixels):
    assert most_bytes(8 * size / pixels, pixels) == size
    assert most_bytes(math.nextafter(8 * size / pixels, 0), pixels) < size


@pytest.mark.parametrize("red", [False, True])
def test_in_a_small_picture_every_point_is_tried(red, crop, model):
    rgb = np.full((1, 1, 3), (255, 0, 0), np.uint8) if red else crop[:13, :17]
    picture = Picture(rgb, None, False)
    encoder = Encoder(picture, model)
    sizes = [len(encoder.encode(point)) for point in range(NUM_POINTS)]
    psnrs = [encoder.estimate_value(point, PSNR) for point in range(NUM_POINTS)]
    for size in (min(sizes), sorted(sizes)[NUM_POINTS // 2]):
        best = max(point for point in range(NUM_POINTS) if sizes[point] <= size)
        assert encode_within(encoder, size) == encoder.encode(best)
    for floor in (sorted(psnrs)[NUM_POINTS // 2], max(psnrs)):
        least = min(point for point in range(NUM_POINTS) if psnrs[point] >= floor)
        assert encode_from(encoder, PSNR, floor) == encoder.encode(least)
    with pytest.raises(RateTargetError) as few:
        encode_within(encoder, min(sizes) - 1)
    assert few.value.reachable == min(sizes)
    with pytest.raises(RateTargetError) as many:
        encode_from(encoder, PSNR, max(psnrs) + 0.01)
    assert many.value.reachable == max(psnrs)


def test_estimates_are_what_files_have(small, photo, model):
    for picture in (small, photo):
        encoder = Encoder(picture, model, threads=2)
        for point in (0, 90, 255):
            data = encoder.encode(point)
            assert encoder.estimate_bytes(point) == pytest.approx(len(data), rel=1e-4, abs=12)
            assert encoder.estimate_value(point, PSNR) == psnr(picture.rgb, decode(data).rgb)


def test_both_targets_at_once_and_unknown_efforts_are_refused(small):
    for other in ({"target_size": 1000}, {"target_bpp": 1.0}):
        with pytest.raises(ValueError, match="exclude each other"):
            encode(small, target_psnr=30, **other)
    for effort in (0, 10):
        with pytest.raises(ValueError, match="effort must be from 1 to 9"):
            encode(small, effort=effort)


def test_the_default_effort_sends_fewer_bits_for_a_better_lagrangian(photo, model):
    costs = []
    for effort in (1, 2):
        encoded = encode(photo, quality=60, effort=effort)
        error = np.square(photo.rgb.astype(float) - decode(encoded.data).rgb).mean()
        rd_lambda = model.rd_lambda(quality_to_point(60))
        costs.append(encoded.info.bpp + rd_lambda * error)
    assert costs[1] < costs[0]


def test_every_point_has_a_quality_and_every_quality_a_point():
    qualities = [point_to_quality(point) for point in range(NUM_POINTS)]
    assert qualities[0] == 0 and qualities[-1] == 100 and sorted(set(qualities)) == qualities
    assert [quality_to_point(quality) for quality in qualities] == list(range(NUM_POINTS))
    assert len({quality_to_point(quality) for quality in range(101)}) == 101
    for outside in (-0.01, 100.01, math.nan):
        with pytest.raises(ValueError, match="quality must be"):
            quality_to_point(outside)


def test_the_multiplier_and_the_gaussian_that_it_stands_for():
    low, high = LAMBDA_RANGE
    assert rd_lambda_at(0, low, high) == low
    assert rd_lambda_at(255, low, high) == pytest.approx(high)
    # lambda squared levels cost what the Gaussian's exponent costs, in bits, for three samples
    for rd_lambda in (low, high):
        exponent = 3 / (2 * decoder_variance(rd_lambda)) / math.log(2)
        assert exponent == pytest.approx(rd_lambda)


def test_the_python_function_takes_one_goal(crop):
    data = rdae.compress(crop, target_size=2000)
    assert 1900 < len(data) <= 2000
    assert data == rdae.compress(crop, target_bpp=8 * 2000 / (crop.shape[0] * crop.shape[1]))
    assert len(rdae.compress(crop, effort=2)) < len(rdae.compress(crop, effort=1))
    pixels = np.asarray(rdae.decompress(rdae.compress(crop, target_psnr=31)))
    assert psnr(crop, pixels) >= 31
    with pytest.raises(ValueError, match="exclude each other"):
        rdae.compress(crop, quality=50, target_psnr=31)
    for target in ({"target_size": "40k"}, {"target_psnr": "33"}, {"target_size": True}):
        with pytest.raises(TypeError, match=f"^{next(iter(target))} must be a number, got "):
            rdae.compress(crop, **target)


@given(
    st.lists(st.integers(0, 9), min_size=NUM_POINTS, max_size=NUM_POINTS),
    st.lists(st.integers(-9, 9), min_size=NUM_POINTS, max_size=NUM_POINTS),
    st.integers(0, 1500),
    st.integers(0, 300),
)
def test_walks_from_rough_expectations_keep_the_order_of_targets(jitter, errors, target, more):
    sizes = [5 * point + 7 * j for point, j in enumerate(jitter)]
    expected = [size + 7 * error for size, error in zip(sizes, errors, strict=True)]

    def met(target):
        start = highest_point(lambda p: expected[p] <= target)
        return walk(start, lambda p: sizes[p] <= target, step=1)

    small, large = met(target), met(target + more)
    if small is not None:
        assert sizes[small] <= target
        assert small == NUM_POINTS - 1 or sizes[small + 1] > target
        assert large is not None and small <= large


@pytest.mark.parametrize("start", [0, 3, NUM_POINTS - 1])
def test_a_walk_where_nothing_fits_ends_with_nothing(start):
    assert walk(start, lambda point: False, step=1) is None
    assert walk(start, lambda point: False, step=-1) is None
    assert walk(-1, lambda point: True, step=1) is walk(NUM_POINTS, lambda _: True, step=-1) is None

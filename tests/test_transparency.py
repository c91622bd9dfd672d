"""What is under alpha 0 costs nothing, and is not judged; all that is seen is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rdae.codec import decode, encode
from rdae.codec.measures import PSNR
from rdae.images.picture import Picture
from rdae.images.transparency import with_hidden_smoothed


@pytest.fixture(scope="module")
def cut_out(photo: Picture) -> Picture:
    """A disc of a photo with a soft edge; what it was cut from is hidden, but there."""
    rgb = np.ascontiguousarray(photo.rgb[100:300, 200:420])
    y, x = np.indices(rgb.shape[:2])
    alpha = np.clip((80 - np.hypot(y - 100, x - 110)) * 40, 0, 255).astype(np.uint8)
    return Picture(rgb, alpha, is_grey=False)


def with_black(picture: Picture) -> Picture:
    assert picture.alpha is not None
    rgb = picture.rgb * (picture.alpha > 0)[..., None]
    return Picture(np.ascontiguousarray(rgb), picture.alpha, picture.is_grey)


def test_hidden_colours_take_no_bits(cut_out: Picture) -> None:
    found, black = (encode(picture, quality=60) for picture in (cut_out, with_black(cut_out)))
    assert found.data == black.data  # they make no difference at all
    opaque = encode(Picture(cut_out.rgb, None, is_grey=False), quality=60).info
    seen = np.mean(cut_out.alpha != 0)
    assert found.info.y_bytes < (seen + 0.2) * opaque.y_bytes


def test_lossless_files_and_those_with_a_lossy_picture_first_keep_hidden_colours(
    cut_out: Picture,
) -> None:
    for base in (None, 50):
        decoded = decode(encode(cut_out, max_error=0, base=base).data)
        assert np.array_equal(decoded.rgb, cut_out.rgb)


def test_a_target_is_met_by_what_is_seen(cut_out: Picture) -> None:
    for target in (30, 36):
        decoded = decode(encode(cut_out, target_psnr=target).data)
        value = PSNR.value(cut_out, decoded.rgb)
        assert target <= value < target + 0.6
        assert value == PSNR.value(with_black(cut_out), decoded.rgb)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([0, 0.02, 0.5, 0.98]), st.integers(0, 9)
)
def test_what_is_seen_stays_and_what_is_hidden_lies_between_it(
    height: int, width: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rgb: NDArray[np.uint8] = rng.integers(50, 200, (height, width, 3), np.uint8)
    alpha = np.where(rng.random((height, width)) < share, 7, 0).astype(np.uint8)
    picture = Picture(rgb, alpha, is_grey=False)
    smooth = with_hidden_smoothed(picture)
    seen = alpha > 0
    assert np.array_equal(smooth.rgb[seen], rgb[seen])
    low, high = (rgb[seen].min(0), rgb[seen].max(0)) if seen.any() else (0, 0)
    assert (smooth.rgb >= low).all() and (smooth.rgb <= high).all()
    grey = Picture(rgb[..., :1].repeat(3, 2), alpha, is_grey=True)
    assert (np.ptp(with_hidden_smoothed(grey).rgb, axis=2) == 0).all()
    opaque = Picture(rgb, np.full_like(alpha, 255), is_grey=False)
    assert with_hidden_smoothed(opaque) is opaque

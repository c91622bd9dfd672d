"""Thumbnails: what the whole decoded picture gives, in the memory of a band."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

import rdae
from rdae.codec import encode
from rdae.codec.thumbnail import decode_thumbnail, shrink
from rdae.errors import CorruptError, TooLargeError
from rdae.images.picture import Picture
from rdae.images.pillow import from_pillow, to_pillow
from tests.small_tiles import Coded, coded, small_tiles


@pytest.fixture(scope="module", autouse=True)
def tiles_are_small() -> Iterator[None]:
    with small_tiles():
        yield


@pytest.fixture(scope="module")
def rich(photo, tiles_are_small) -> Coded:
    """5x4 tiles with alpha, a profile and more metadata."""
    rgb = np.ascontiguousarray(photo.rgb[:500, :600])
    alpha = (np.indices(rgb.shape[:2]).prod(0) // 64 % 256).astype(np.uint8)
    return coded(Picture(rgb, alpha, False, b"profile" * 9, b"MM\0*exif", b"<x/>" * 9))


def pixels(picture: Picture) -> np.ndarray:
    return np.asarray(to_pillow(picture))


@pytest.mark.parametrize("side", [1, 7, 40, 64, 150, 299, 300, 599, 600, 1000])
def test_it_is_the_decoded_picture_made_small(rich, side):
    found = decode_thumbnail(rich.data, side)
    assert np.array_equal(pixels(found), pixels(shrink(rich.decoded, side)))
    assert max(found.width, found.height) == min(side, 600)
    assert (found.icc, found.exif, found.xmp) == (rich.decoded.icc, b"", b"")


@pytest.mark.parametrize(("height", "width"), [(700, 130), (129, 257), (1, 300), (300, 1), (1, 1)])
def test_bands_and_boxes_of_all_sizes_meet(photo, height, width):
    rgb = np.ascontiguousarray(np.resize(photo.rgb, (height, width, 3)))
    for is_grey in (False, True):
        grey = np.repeat(rgb[..., :1], 3, axis=2) if is_grey else rgb
        file = coded(Picture(grey, None, is_grey))
        for side in (3, 33, 200):
            found = decode_thumbnail(file.data, side, threads=1)
            assert np.array_equal(pixels(found), pixels(shrink(file.decoded, side)))
            assert found.is_grey is is_grey


@pytest.mark.parametrize(("width", "height"), [(582, 407), (407, 582)])
def test_sides_that_boxes_do_not_divide_move_nothing(width: int, height: int) -> None:
    rows, columns = np.indices((height, width))
    ramps = np.stack([255 * columns / width, 255 * rows / height, 0 * rows], axis=-1)
    small = shrink(Picture(ramps.round().astype(np.uint8), None, False), 37)
    rows, columns = np.indices((small.height, small.width)) + 0.5
    for channel, wanted in enumerate((columns / small.width, rows / small.height)):
        found = small.rgb[..., channel].astype(float)
        assert np.abs(found - 255 * wanted).max() < 1.6  # rounded three times


def test_transparent_pixels_lend_their_neighbours_no_colour(photo):
    rgb = np.zeros((200, 200, 3), np.uint8)
    rgb[:, 100:] = 255
    alpha = np.zeros((200, 200), np.uint8)
    alpha[:, 100:] = 255
    small = decode_thumbnail(encode(Picture(rgb, alpha, False), quality=90).data, 5)
    assert small.alpha is not None
    assert small.rgb[small.alpha > 0].min() > 200


def test_memory_does_not_grow_with_height(photo):
    def peak(copies: int) -> int:
        rgb = np.tile(photo.rgb[:, :200], (copies, 1, 1))
        data = encode(Picture(rgb, None, False)).data
        tracemalloc.start()
        try:
            decode_thumbnail(data, 64, threads=1)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)  # the model and its tables are loaded
    assert peak(8) < 1.2 * peak(2)


def test_a_limit_that_was_raised_counts_for_what_is_left_of_the_picture(photo, monkeypatch):
    monkeypatch.setitem(from_pillow.__kwdefaults__, "max_pixels", 100)
    picture = Picture(np.ascontiguousarray(photo.rgb[:64, :64]), None, False)
    assert shrink(picture, 32).rgb.shape == (32, 32, 3)


def test_damage_limits_and_nonsense_are_refused(rich):
    with pytest.raises(CorruptError, match="tile 7"):
        decode_thumbnail(rich.without(7), 64)
    with pytest.raises(TooLargeError):
        decode_thumbnail(rich.data, 64, max_pixels=999)
    for side in (0, -3):
        with pytest.raises(ValueError, match="1 pixel or more"):
            rdae.decompress(rich.data, thumbnail=side)
    for wrong in (2.5, "5"):
        with pytest.raises(TypeError, match="a thumbnail is a whole number"):
            rdae.decompress(rich.data, thumbnail=wrong)  # type: ignore[arg-type]
    for region in ((1, 2, 3), "0,0,5,5", (0, 0, 1.5, 2), 7):
        with pytest.raises(TypeError, match="region must be four whole numbers"):
            rdae.decompress(rich.data, region=region)  # type: ignore[arg-type]


def test_in_python_it_goes_with_a_region_and_with_damage(rich):
    assert rdae.decompress(rich.data, thumbnail=64).size == (64, 53)
    part = rdae.decompress(rich.data, thumbnail=64, region=(300, 200, 256, 128))
    assert (part.size, part.mode) == ((64, 32), "RGBA")
    with pytest.warns(rdae.errors.DamageWarning):
        rescued = rdae.decompress(rich.without(7), thumbnail=64, best_effort=True)
    assert rescued.size == (64, 53)

"""A picture of a single colour comes back exactly at every quality, in fewer bytes than lossily."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import rdae
from rdae.bitstream.info import parse_info
from rdae.codec import encode
from rdae.images.picture import Picture

Pixels = NDArray[np.uint8]
Call = Callable[..., tuple[int, str, str]]
WHITE, GREEN = (255, 255, 255), (12, 200, 40)


def plain(height: int, width: int, colour: tuple[int, ...]) -> Pixels:
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, len(colour))).copy()


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (720, 1280)])
@pytest.mark.parametrize("colour", [WHITE, GREEN])
def test_it_comes_back_exactly(size: tuple[int, int], colour: tuple[int, ...]) -> None:
    picture = plain(*size, colour)
    for quality in (60, 80, 100):
        data = rdae.compress(picture, quality=quality)
        assert parse_info(data).is_lossless and len(data) < (60 if max(size) <= 1024 else 120)
        assert np.array_equal(np.asarray(rdae.decompress(data)), picture)


def test_it_is_smaller_than_the_lossy_file() -> None:
    picture = Picture(plain(120, 160, GREEN), None, False)
    lossy = encode(picture, quality=60).data
    assert len(rdae.compress(picture.rgb, quality=60)) < len(lossy)


def test_alpha_may_vary() -> None:
    picture = plain(16, 20, (*GREEN, 0))
    picture[..., 3] = np.arange(20)
    data = rdae.compress(picture)
    assert parse_info(data).is_lossless
    assert np.array_equal(np.asarray(rdae.decompress(data)), picture)


def test_one_other_pixel_makes_it_a_picture_like_others() -> None:
    picture = plain(16, 16, GREEN)
    picture[9, 3] = WHITE
    assert not parse_info(rdae.compress(picture)).is_lossless


def test_who_names_a_model_or_a_search_gets_it() -> None:
    picture = plain(16, 16, GREEN)
    assert not parse_info(rdae.compress(picture, model="photo")).is_lossless
    assert not parse_info(rdae.compress(picture, target_psnr=20)).is_lossless
    with pytest.raises(ValueError, match="tune counts"):
        rdae.compress(picture, tune="eye")


def test_a_largest_size_is_kept() -> None:
    picture = plain(16, 16, GREEN)
    exact = rdae.compress(picture)
    assert rdae.compress(picture, target_size=len(exact)) == exact
    lossy = rdae.compress(picture, target_size=len(exact) - 1)
    assert not parse_info(lossy).is_lossless and len(lossy) < len(exact)


def test_wrong_values_are_refused_all_the_same() -> None:
    for wrong in ({"quality": 101}, {"effort": 0}, {"target_size": 0}):
        with pytest.raises(ValueError, match=r"must be|a number above 0"):
            rdae.compress(plain(4, 4, WHITE), **wrong)  # type: ignore[arg-type]


def test_pillow_and_the_command_line_do_the_same(call: Call, tmp_path: Path) -> None:
    rdae.register_pillow()
    image, file = Image.fromarray(plain(8, 8, GREEN)), io.BytesIO()
    image.save(file, "RDAE", quality=70)
    assert file.getvalue() == rdae.compress(image, quality=70)
    image.save(tmp_path / "green.png")
    code, out, _ = call("compress", "green.png", "-q", "70", "--json")
    record: dict[str, Any] = json.loads(out.splitlines()[0])
    assert code == 0 and record["lossless"] and record["model"] == "lossless"
    assert (tmp_path / "green.rd").read_bytes() == file.getvalue()

"""Long work says how far it has come: tile by tile, window by window."""

from __future__ import annotations

import numpy as np
import pytest

from rdae.codec import Progress, decode, encode, find_damage, rescue
from rdae.images.picture import Picture


@pytest.fixture(scope="module")
def wide() -> Picture:
    """A picture of two tiles, `(16, 1100, 3)`."""
    rgb = np.zeros((16, 1100, 3), np.uint8)
    rgb[:] = np.arange(1100)[None, :, None] % 200
    return Picture(rgb, None, False)


def shares(seen: list[Progress], search: int = 1) -> list[float]:
    return [progress.done for progress in seen if progress.search == search]


def rises_to_the_end(done: list[float], parts: int) -> bool:
    return done == sorted(done) and done[0] == 0 and done[-1] == 1 and len(done) >= parts + 1


@pytest.mark.parametrize("threads", [1, 2])
def test_encoding_and_decoding_say_how_far_they_are(model, wide, threads):
    seen: list[Progress] = []
    data = encode(wide, model=model, threads=threads, progress=seen.append).data
    assert rises_to_the_end(shares(seen), 2)
    for work in (decode, rescue, find_damage):
        seen.clear()
        work(data, threads=threads, progress=seen.append)
        assert rises_to_the_end(shares(seen), 2), work
        assert all(progress.bpp is progress.psnr is None for progress in seen)


def test_a_lossy_picture_and_what_makes_it_exact_are_one_work(model, wide):
    seen: list[Progress] = []
    encode(wide, max_error=0, base=20, model=model, threads=1, progress=seen.append)
    assert rises_to_the_end(shares(seen), 4)


def test_each_search_for_a_target_is_counted(model, wide):
    seen: list[Progress] = []
    encoded = encode(wide, target_psnr=30, model=model, threads=1, progress=seen.append)
    searches = sorted({progress.search for progress in seen})
    assert searches == list(range(1, len(searches) + 1)) and len(searches) >= encoded.tries
    assert all(rises_to_the_end(shares(seen, search), 2) for search in searches)


def test_nobody_needs_to_listen(model, wide):
    assert decode(encode(wide, model=model, threads=2).data, threads=2).width == 1100

"""`lossless="auto"`: the smaller of a picture's two files is kept, cheaply decided."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import rdae
from rdae.bitstream.graphics import encode_graphics
from rdae.bitstream.info import parse_info
from rdae.codec import Encoded, encode, smaller
from rdae.codec.smaller import encode_smaller
from rdae.errors import RateTargetError, option
from rdae.images.picture import Picture
from rdae.lossless.estimate import drawn_bytes, graphics_bytes, looks_drawn

Pixels = NDArray[np.uint8]
Call = Callable[..., tuple[int, str, str]]

BOARD = np.repeat((np.indices((64, 80)).sum(0) // 5 % 2 * 255).astype(np.uint8)[..., None], 3, 2)


def picture(pixels: Pixels) -> Picture:
    return Picture(np.ascontiguousarray(pixels), None, False)


def test_what_is_drawn_is_kept_exactly_and_a_photo_is_not(crop: Pixels) -> None:
    data = rdae.compress(BOARD, lossless="auto")
    assert parse_info(data).is_lossless
    assert np.array_equal(np.asarray(rdae.decompress(data)), BOARD)
    assert rdae.compress(crop, quality=30, lossless="auto") == rdae.compress(crop, quality=30)


def test_the_networks_are_not_asked_about_a_photo(crop: Pixels) -> None:
    choice = encode_smaller(picture(crop))
    assert not choice.kept.info.is_lossless and choice.other_bytes is None
    drawn = encode_smaller(picture(BOARD))
    assert drawn.other_bytes is not None and drawn.other_bytes > len(drawn.kept.data)


def test_alpha_that_follows_the_colours_is_not_counted_twice() -> None:
    alpha = np.random.default_rng(4).integers(0, 256, (64, 64), np.uint8)
    sprite = Picture(np.stack([alpha, 255 - alpha, alpha // 2], 2), alpha, False)
    choice, exact = encode_smaller(sprite, quality=30), encode(sprite, max_error=0)
    assert choice.kept.data == exact.data
    assert choice.other_bytes is not None and choice.other_bytes > len(exact.data)
    alone = graphics_bytes(sprite.rgb, 1e9)
    together = drawn_bytes(sprite, choice.other_bytes, 1e9)
    assert alone is not None and together is not None
    assert together < alone + 100 and abs(together - len(exact.data)) < 50


def test_within_a_largest_size_exact_pixels_are_best(crop: Pixels) -> None:
    small = crop[:48, :48]
    exact = rdae.compress(small, lossless=True)
    assert rdae.compress(small, target_size=len(exact), lossless="auto") == exact
    lossy = rdae.compress(small, target_size=len(exact) - 1, lossless="auto")
    assert not parse_info(lossy).is_lossless and len(lossy) < len(exact)


def test_a_target_that_no_quality_meets_is_met_exactly_if_it_can_be(
    crop: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = picture(crop[:32, :32])
    exact = encode(small, max_error=0).data

    def refused(picture: Picture, *, max_error: int | None = None, **others: Any) -> Encoded:
        if max_error is None:
            raise RateTargetError("no quality has it", reachable=50)
        return encode(picture, max_error=max_error, **others)

    monkeypatch.setattr(smaller, "encode", refused)
    bpp = 8 * len(exact) / 32**2
    for target in ({"target_psnr": 80}, {"target_size": len(exact)}, {"target_bpp": bpp}):
        choice = encode_smaller(small, **target)
        assert choice.kept.data == exact and choice.other_bytes is None
    for target in ({"target_size": len(exact) - 1}, {"target_bpp": 0.1}):
        with pytest.raises(RateTargetError):
            encode_smaller(small, **target)


def test_a_size_too_small_for_both_is_told_the_smaller_one() -> None:
    exact = rdae.compress(BOARD, lossless=True)
    bpp = math.ceil(80_000 * len(exact) / BOARD[..., 0].size) / 10_000
    for target, way_out in (
        ({"target_size": len(exact) - 1}, {"target_size": len(exact)}),
        ({"target_bpp": 0.01}, {"target_bpp": bpp}),
    ):
        with pytest.raises(RateTargetError, match=f"without any loss {len(exact)} bytes") as caught:
            rdae.compress(BOARD, lossless="auto", **target)
        ((name, value),) = way_out.items()
        assert caught.value.hint == f"{option(name, value)} or more"
        assert caught.value.reachable == len(exact)
        assert rdae.compress(BOARD, lossless="auto", **way_out) == exact


def test_other_words_and_a_largest_error_are_refused(crop: Pixels) -> None:
    for wrong in ("yes", None, 2):
        with pytest.raises(ValueError, match="True, False or 'auto'"):
            rdae.compress(crop, lossless=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_error and lossless exclude each other"):
        rdae.compress(crop, lossless="auto", max_error=1)


def test_pillow_passes_it_on() -> None:
    file = io.BytesIO()
    rdae.register_pillow()
    Image.fromarray(BOARD).save(file, "RDAE", lossless="auto")
    assert file.getvalue() == rdae.compress(BOARD, lossless="auto")


def test_the_estimate_is_webps_size_or_given_up(crop: Pixels) -> None:
    board, photo = len(encode_graphics(BOARD)), len(encode_graphics(crop))
    assert graphics_bytes(BOARD, board) == board and graphics_bytes(crop, photo) == photo
    assert graphics_bytes(crop, photo - 1) is None is graphics_bytes(crop, 100)
    assert looks_drawn(BOARD) and not looks_drawn(crop)


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    Image.fromarray(BOARD).save(tmp_path / "drawn.bmp")
    return tmp_path


def test_the_command_says_which_was_chosen(
    drawn: Path, crop: Pixels, call: Call, tmp_path: Path
) -> None:
    Image.fromarray(crop).save(tmp_path / "photo.png")
    code, _, err = call("compress", "--lossless=auto", "drawn.bmp", "photo.png")
    first, second, _ = err.splitlines()
    assert code == 0 and "lossless (lossy: " in first and "q60 (lossless: larger)" in second
    assert (tmp_path / "drawn.rd").read_bytes() == rdae.compress(BOARD, lossless=True)
    code, out, _ = call("compress", "drawn.bmp", "-f", "--json", "--lossless=auto", "-q", "70")
    record = json.loads(out.splitlines()[0])
    assert code == 0 and record["lossless"] and record["other_bytes"] > record["output_bytes"]
    assert (record["quality"], record["model"], record["remarks"]) == (None, "lossless", [])
    code, _, err = call("compress", "drawn.bmp", "-f", "--lossless=auto", "--target-psnr", "60")
    assert code == 0 and len(err.splitlines()) == 1 and "PSNR ∞" in err


def test_the_option_has_no_other_value_and_takes_no_name(drawn: Path, call: Call) -> None:
    code, _, err = call("compress", "drawn.bmp", "--lossless=yes")
    assert code == 2 and "--lossless takes =auto or nothing, not yes" in err
    code, _, err = call("compress", "drawn.bmp", "--lossless=auto", "--max-error", "1")
    assert code == 2 and "exclude each other" in err
    code, _, err = call("compress", "--lossless", "auto", "drawn.bmp")
    assert code == 2 and "--lossless=auto is one word" in err
    assert call("compress", "--", "--lossless=auto")[0] == 1  # there, it is the name of a file
    assert call("compress", "--lossless", "drawn.bmp")[0] == 0
    shown = call("compress", "--help")[1]
    assert "--lossless[=auto]" in shown and "lossless-if" not in shown


def test_a_lossy_file_that_is_larger_than_the_exact_one_is_remarked(
    drawn: Path, call: Call
) -> None:
    code, _, err = call("compress", "drawn.bmp")
    _, remark = err.splitlines()
    assert code == 0 and remark.startswith("  larger than its lossless form of about ")
    assert remark.endswith(" B: --lossless keeps every pixel")
    deep = (BOARD[..., 0].astype(np.uint16) * 257) ^ 1
    Image.fromarray(deep).save(drawn / "deep.png")
    code, _, err = call("compress", "deep.png", "--to-8bit")
    assert code == 0 and err.endswith(": --lossless keeps all that 8 bits hold\n")
    code, _, err = call("compress", "deep.png", "--to-8bit", "-f", "--lossless")
    assert code == 0 and "  lossless at 8 bits  " in err
    code, _, err = call("compress", "deep.png", "--to-8bit", "--to-srgb", "-f", "--max-error", "1")
    assert code == 0 and "  ±1 at 8 bits in sRGB  " in err


def test_of_a_small_photo_that_grows_nothing_lossless_is_promised(
    crop: Pixels, call: Call, tmp_path: Path
) -> None:
    Image.fromarray(crop).save(tmp_path / "x.jpg", quality=5)
    code, _, err = call("compress", "x.jpg", "-q", "90")
    _, remark = err.splitlines()
    assert code == 0
    assert remark == "  larger than the input: --keep-if-smaller leaves out such pictures"
    code, _, err = call("compress", "x.jpg", "-f", "--lossless")
    assert code == 0 and err.splitlines()[1] == remark

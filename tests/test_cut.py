"""Files that were cut off, or are not there yet: one clear error, or a picture of what is there."""

from __future__ import annotations

import warnings
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rdae
from rdae.bitstream.salvage import read_parts
from rdae.codec import Rescued, decode, find_damage, rescue
from rdae.codec.coarse import refine
from rdae.distortion import psnr
from rdae.errors import BitstreamError, CorruptError, DamageWarning, TruncatedError
from rdae.exact import kernel
from rdae.geometry import Rectangle
from rdae.images.picture import Picture
from tests.small_tiles import PIXELS, Coded, coded, small_tiles


@pytest.fixture(scope="module")
def whole(photo) -> Coded:
    """A photo of one tile."""
    return coded(Picture(np.ascontiguousarray(photo.rgb[100:420, 200:680]), None, False))


@pytest.fixture(scope="module")
def tiled(photo) -> Coded:
    """3x2 tiles, with alpha."""
    with small_tiles():
        rgb = np.ascontiguousarray(photo.rgb[20:250, 300:650])
        return coded(Picture(rgb, rgb[..., 0].copy(), False, b"profile"))


def cut(file: Coded, share: float) -> bytes:
    return file.data[: round(share * len(file.data))]


def quality_of(file: Coded, share: float) -> float:
    """PSNR of what a part of a file shows, against what all of it shows."""
    return psnr(file.rgb, rescue(cut(file, share)).picture.rgb)


def test_the_more_is_there_the_better_is_the_picture(whole):
    shares = (0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
    quality = [quality_of(whole, max(share, 40 / len(whole.data))) for share in shares]
    assert quality == sorted(quality)
    assert quality[1] > quality[0] + 3  # a tenth shows what is in the picture
    assert quality[-1] > 38


def test_a_tenth_is_a_blurred_picture(whole):
    small, coarse = (
        Picture(pixels, None, False).rgb.reshape(20, 16, 30, 16, 3).mean((1, 3))
        for pixels in (whole.rgb, rescue(cut(whole, 0.12)).picture.rgb)
    )
    assert np.abs(small - coarse).mean() < 16  # of cells, on 0..255
    assert np.corrcoef(small.ravel(), coarse.ravel())[0, 1] > 0.9


def test_several_tiles_are_coarse_before_any_is_sharp(tiled):
    with small_tiles():
        begin = tiled.begin(0)
        rescued = rescue(tiled.data[:begin])
        assert [d.filled_with for d in rescued.damage] == ["coarse"] * 6
        for top in (0, PIXELS):
            for left in (0, PIXELS, 2 * PIXELS):
                area = np.s_[top : top + PIXELS, left : left + PIXELS]
                grey = np.full_like(tiled.rgb[area], 119)
                coarse = psnr(tiled.rgb[area], rescued.picture.rgb[area])
                assert coarse > psnr(tiled.rgb[area], grey) + 2
        rescued = rescue(tiled.data[: tiled.begin(4) + 9])
        assert [d.tile.index for d in rescued.damage if d.tile] == [4, 5]
        sharp = np.s_[: PIXELS - 64]
        assert np.array_equal(rescued.picture.rgb[sharp], tiled.rgb[sharp])
        assert rescued.picture.alpha is not None and tiled.decoded.alpha is not None
        assert np.array_equal(rescued.picture.alpha, tiled.decoded.alpha)


def test_bytes_that_look_like_the_last_chunk_do_not_hide_a_cut(whole, tiled):
    for file, tile in ((whole, 0), (tiled, 2)):
        with small_tiles() if file is tiled else nullcontext():
            part = file.data[: file.begin(tile) + 900] + b"Y\x08" + bytes(8)
            rescued = rescue(part)
            assert rescued.cut is not None and rescued.cut.there == len(part)
            assert {damage.filled_with for damage in rescued.damage} == {"coarse"}
            assert isinstance(rescued.damage[0].error, TruncatedError)


def test_a_line_says_how_much_is_there(whole, tiled):
    for share in (0.1, 0.58, 0.9):
        text = f"{round(100 * share)} % of the file is there: all of the picture is coarser"
        assert rescue(cut(whole, share)).text == text
    assert rescue(whole.data[:-1]).text.startswith("99 % of the file is there")
    text = rescue(whole.data[: whole.begin(0, "Z") + 9]).text
    assert text == (
        f"only the first {whole.begin(0, 'Z') + 9} bytes of the file are there: "
        "all of the picture is coarser"
    )
    with small_tiles():
        begin = tiled.begin(0)
        for end in (begin, begin + 100, tiled.begin(5) + 4):
            told = rescue(tiled.data[:end]).cut
            assert told is not None and told.there == end
            assert told.total is not None and 0 <= told.total - len(tiled.data) <= 6 * 28
        text = rescue(tiled.data[: tiled.begin(5)]).text
        assert " % of the file is there: tile 5 of 6 (256..349, 128..229) is coarser" in text
        told = rescue(tiled.data[: begin - 1]).cut
        assert told is not None and told.total is None


@pytest.fixture(scope="module")
def tiny(photo) -> list[Coded]:
    """Files that can be cut at every byte: of one tile, of four, and with all that a file holds."""
    with small_tiles():
        rgb = np.ascontiguousarray(photo.rgb[200:248, 300:350])
        parts = {"icc": b"profile", "exif": b"MM\0*exif", "xmp": b"<x/>"}
        long = np.ascontiguousarray(photo.rgb[200:208, 100:240])
        return [
            coded(Picture(rgb, None, False), 30),
            coded(Picture(rgb[:5, :9], rgb[:5, :9, 0].copy(), False, **parts), 5),
            coded(Picture(long, None, False), 20),
        ]


@pytest.mark.parametrize("number", range(3))
def test_a_file_cut_at_any_byte_is_an_error_and_with_best_effort_a_picture(tiny, number):
    file = tiny[number]
    with small_tiles():
        header_bytes = read_parts(file.data).header.pack_with_check()
        for length in range(len(file.data)):
            data = file.data[:length]
            with pytest.raises(TruncatedError) as error:
                decode(data)
            assert "copy or download it again" in error.value.hint
            if length < len(header_bytes):
                with pytest.raises(TruncatedError):
                    rescue(data)
                continue
            rescued = rescue(data, threads=1)
            check_is_a_picture(rescued, file)
            assert {d.error.code for d in rescued.damage} == {"truncated"}
            assert [d.tile for d in find_damage(data)[1]] == [d.tile for d in rescued.damage]


def check_is_a_picture(rescued: Rescued, file: Coded) -> None:
    assert rescued.picture.rgb.shape == file.rgb.shape
    assert (rescued.picture.alpha is None) is (file.decoded.alpha is None)
    assert rescued.damage and rescued.text.isprintable() and len(rescued.text) < 400


@given(share=st.floats(0.02, 0.999), seed=st.integers(0, 3))
@settings(derandomize=True, deadline=None, max_examples=12)
def test_carriers_and_threads_show_the_same_of_a_cut_file(tiny, share, seed):
    with small_tiles():
        data = cut(tiny[2 * (seed % 2)], share)
        if len(data) < 30:
            return
        before = kernel.selected()
        shown = []
        for carrier in (
            "numpy",
            kernel.instruction_sets()[-1] if kernel.instruction_sets() else "no",
        ):
            kernel.select(carrier)
            shown += [rescue(data, threads=threads).picture.rgb for threads in (1, 3)]
        kernel.select(before)
        assert all(np.array_equal(shown[0], other) for other in shown)


def test_a_part_of_a_cut_picture_is_shown(whole):
    area = Rectangle.at(100, 80, 200, 150)
    rescued = rescue(cut(whole, 0.5), region=area)
    assert rescued.text == "50 % of the file is there: all of the picture is coarser"
    sharp = whole.rgb[area.slices()]
    assert psnr(sharp, rescued.picture.rgb) > psnr(sharp, np.full_like(sharp, 119)) + 3


def test_grey_pictures_stay_grey_however_little_is_there(photo):
    grey = np.repeat(photo.rgb[:80, :90, 1:2], 3, axis=2)
    for is_grey in (True, False):
        file = coded(Picture(grey, None, is_grey))
        shown = rescue(cut(file, 0.3)).picture
        assert shown.is_grey is is_grey
        assert (shown.rgb == shown.rgb[..., :1]).all()


def test_previews_of_a_file_that_arrives(whole, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = 0.0
        for share in (0.15, 0.6, 1):
            image = rdae.preview(cut(whole, share))
            assert image.mode == "RGB" and image.size == (480, 320)
            quality = psnr(whole.rgb, np.asarray(image))
            assert quality > before
            before = quality
    assert np.array_equal(np.asarray(image), whole.rgb)
    path = tmp_path / "part.rd"
    path.write_bytes(cut(whole, 0.4))
    assert rdae.preview(path, thumbnail=60).size == (60, 40)
    for length in (0, 3, 10, whole.begin(0, "Z")):
        with pytest.raises(TruncatedError):
            rdae.preview(whole.data[:length])


def test_a_preview_does_not_hide_damage(whole, tiled):
    with pytest.raises(CorruptError):
        rdae.preview(whole.without(0))
    with pytest.raises(CorruptError, match="bytes after the end"):
        rdae.preview(whole.data + b"junk")
    with small_tiles():
        damaged = bytearray(tiled.data[: tiled.begin(3)])
        damaged[tiled.span(1)[0] + 9] ^= 4
        with pytest.raises(CorruptError, match="tile 1"):
            rdae.preview(bytes(damaged))
        damaged = bytearray(tiled.data[: tiled.begin(3)])
        damaged[tiled.begin(2, "C")] = ord("!")
        with pytest.raises(BitstreamError):
            rdae.preview(bytes(damaged))


def test_best_effort_in_python_warns_of_how_much_is_there(whole):
    with pytest.warns(DamageWarning, match="^73 % of the file is there: all of the picture is"):
        rdae.decompress(cut(whole, 0.73), best_effort=True)
    with pytest.raises(TruncatedError) as error:
        rdae.decompress(cut(whole, 0.73))
    assert "best_effort" in error.value.hint


def test_smooth_channels_are_interpolated_and_others_keep_their_means():
    rows, columns = np.mgrid[:24, :32]
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 800, rows.shape)
    truth = np.stack([60 * rows - 40 * columns, noise], -1).astype(np.int16)
    known = np.zeros(truth.shape, bool)
    known[::2, ::2] = True
    y_hat = np.where(known, truth, 0).astype(np.int16)
    refine(y_hat, known, np.array([500.0**2, 700.0**2]))
    assert np.array_equal(y_hat[known], truth[known])
    assert np.abs(y_hat[..., 0] - truth[..., 0]).max() < 120
    assert not y_hat[..., 1][~known[..., 1]].any()


def test_nothing_is_interpolated_where_nothing_is_known():
    y_hat = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    before = y_hat.copy()
    refine(y_hat, np.zeros(y_hat.shape, bool), np.full(4, 1e9))
    assert np.array_equal(y_hat, before)

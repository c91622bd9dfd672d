"""What is left of damaged files: exact where it is whole, filled and named where it is not."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

import rdae
from rdae.bitstream.chunks import pack_chunk
from rdae.bitstream.damage import damage_record, damage_text
from rdae.codec import decode, find_damage, rescue
from rdae.codec.concealment import fill
from rdae.errors import BitstreamError, CorruptError, DamageWarning, NotRdaeError, TooLargeError
from rdae.geometry import Rectangle
from rdae.images.picture import Picture
from tests.small_tiles import PIXELS, Coded, coded, small_tiles

COLUMNS, ROWS = 3, 4
TILES = COLUMNS * ROWS
REACH = 3 * 16 + 16  # the synthesis's halo in pixels, and a cell for its own width


@pytest.fixture(scope="module", autouse=True)
def tiles_are_small() -> Iterator[None]:
    with small_tiles():
        yield


@pytest.fixture(scope="module")
def file(photo, tiles_are_small) -> Coded:
    """3x4 tiles with everything that a file can hold."""
    rgb = np.ascontiguousarray(photo.rgb[20:490, 300:650])
    alpha = (np.indices(rgb.shape[:2]).prod(0) // 64 % 256).astype(np.uint8)
    return coded(Picture(rgb, alpha, False, b"profile" * 9, b"MM\0*exif", b"<x/>" * 9))


def same_alpha(picture: Picture, other: Picture) -> bool:
    assert picture.alpha is not None and other.alpha is not None
    return np.array_equal(picture.alpha, other.alpha)


def broken_tiles(damage) -> list[int]:
    return [one.tile.index for one in damage if one.part == "tile"]


def touched(file: Coded, tiles) -> np.ndarray:
    """The pixels that may change when these tiles are broken."""
    mask = np.zeros(file.rgb.shape[:2], bool)
    for index in tiles:
        top, left = (PIXELS * i for i in divmod(index, COLUMNS))
        mask[
            max(0, top - REACH) : top + PIXELS + REACH, max(0, left - REACH) : left + PIXELS + REACH
        ] = True
    return mask


def check_rescued(file: Coded, data: bytes, tiles: list[int], *parts: str) -> Picture:
    """The file is refused; rescued, it lacks exactly these tiles and parts."""
    with pytest.raises(BitstreamError):
        decode(data)
    rescued = rescue(data)
    assert broken_tiles(rescued.damage) == tiles
    assert [one.part for one in rescued.damage if one.part != "tile"] == list(parts)
    outside = ~touched(file, tiles)
    assert np.array_equal(rescued.picture.rgb[outside], file.rgb[outside])
    found = find_damage(data)[1]
    assert [(d.part, str(d.error)) for d in found] == [
        (d.part, str(d.error)) for d in rescued.damage
    ]
    return rescued.picture


def test_a_whole_file_has_no_damage_and_nothing_to_rescue(file):
    assert find_damage(file.data)[1] == []
    rescued = rescue(file.data)
    assert (rescued.damage, rescued.text) == ((), "")
    for name in ("rgb", "alpha"):
        assert np.array_equal(getattr(rescued.picture, name), getattr(file.decoded, name))
    assert rescued.picture.exif == file.decoded.exif


@pytest.mark.parametrize("tiles", [[4], [0], [11], [3, 4], [0, 5, 7, 8]], ids=str)
def test_broken_tiles_are_filled_and_the_rest_is_exact(file, tiles):
    picture = check_rescued(file, file.without(*tiles), tiles)
    assert same_alpha(picture, file.decoded)
    assert (picture.icc, picture.exif, picture.xmp) == (
        file.decoded.icc,
        file.decoded.exif,
        file.decoded.xmp,
    )


def test_a_filled_tile_looks_like_its_neighbours_and_has_no_edges(photo):
    # a smooth picture, where everyone knows what is missing
    rows, columns = np.mgrid[: 3 * PIXELS, : 3 * PIXELS]
    rgb = np.stack([rows / 3 + 60, columns / 3 + 40, 120 + 0 * rows], -1).astype(np.uint8)
    ramp = coded(Picture(rgb, None, False))
    rescued = rescue(ramp.without(4)).picture.rgb
    error = np.abs(rescued.astype(int) - ramp.rgb)
    assert error[PIXELS : 2 * PIXELS, PIXELS : 2 * PIXELS].mean() < 8
    assert error.max() < 40


def test_all_tiles_broken_are_grey(file):
    picture = check_rescued(file, file.without(*range(TILES)), list(range(TILES)))
    assert picture.rgb.std() < 3 and 90 < picture.rgb.mean() < 140


def made_of(rescued) -> tuple[list[int], list[int]]:
    """The tiles that were filled from their neighbours, and those that are grey."""
    filled, grey = (
        [d.tile.index for d in rescued.damage if d.filled_with == what]
        for what in ("neighbours", "grey")
    )
    return filled, grey


def test_tiles_with_nothing_intact_beside_them_are_called_grey(file):
    rescued = rescue(file.without(*range(1, TILES)))
    assert made_of(rescued) == ([1, 3, 4], [2, 5, 6, 7, 8, 9, 10, 11])
    first, second = rescued.text.split("; ")
    assert first.startswith("tiles 1 (") and first.endswith("were filled from their neighbours")
    assert second.startswith("tiles 2 (") and second.endswith(
        "of 12 are damaged and were made grey"
    )
    grey = rescued.picture.rgb[-PIXELS:, -PIXELS // 2 :].astype(int)
    assert grey.std() < 8


def test_a_picture_of_which_nothing_is_left_says_so(file, photo):
    rescued = rescue(file.without(*range(TILES)))
    assert made_of(rescued) == ([], list(range(TILES)))
    assert rescued.text.endswith("were made grey: nothing of the colours is left")
    small = coded(Picture(np.ascontiguousarray(photo.rgb[:60, :80]), None, False))
    text = "tile 0 of 1 (0..79, 0..59) is damaged and was made grey: nothing of the colours is left"
    with pytest.warns(DamageWarning, match=re.escape(text)):
        rdae.decompress(small.without(0), best_effort=True)


def test_errors_offer_a_rescue_where_something_is_left(file, photo):
    small = coded(Picture(np.ascontiguousarray(photo.rgb[:60, :80]), None, False))
    for data, is_offered in (
        (file.without(4), True),
        (file.data + b"junk", True),
        (small.without(0), False),
    ):
        with pytest.raises(BitstreamError) as error:
            decode(data)
        assert ("best_effort=True in Python" in error.value.hint) is is_offered


def test_a_part_without_a_tile_that_is_left_is_grey_and_says_so(file):
    middle = Rectangle.at(PIXELS + 60, PIXELS + 60, 4, 4)  # which sees no other tile
    rescued = rescue(file.without(4), region=middle)
    assert made_of(rescued) == ([], [4]) and rescued.text.endswith("was made grey")
    assert rescued.picture.rgb.std() < 3


def test_a_cut_file_keeps_the_tiles_that_are_there(file):
    end = file.span(7)[1]
    for data, first in ((file.data[: end - 1], 7), (file.data[: end + 4], 8), (file.data[:-1], 11)):
        picture = check_rescued(file, data, list(range(first, TILES)))
        assert same_alpha(picture, file.decoded)
        assert rescue(data).damage[0].error.code == "truncated"


@pytest.mark.parametrize("letter", "ZCY")
@pytest.mark.parametrize("at", [0, 1, 2], ids=["type", "length", "length's second byte"])
def test_tiles_behind_damaged_framing_are_found_again(file, at, letter):
    data = bytearray(file.data)
    data[file.begin(5, letter) + at] ^= 0x2A
    rescued = rescue(bytes(data))
    assert set(broken_tiles(rescued.damage)) <= {5, 6}
    check_rescued(file, bytes(data), broken_tiles(rescued.damage))


def test_tiles_behind_removed_or_added_bytes_are_found_again(file):
    begin, end = file.span(5)
    middle = (begin + end) // 2
    check_rescued(file, file.data[:middle] + file.data[middle + 7 :], [5], "bytes")
    check_rescued(file, file.data[:middle] + b"1234567" + file.data[middle:], [5], "bytes")
    between = file.begin(6)
    picture = check_rescued(file, file.data[:between] + b"junk" + file.data[between:], [], "bytes")
    assert np.array_equal(picture.rgb, file.rgb)


def test_bytes_behind_the_end_lose_nothing(file):
    picture = check_rescued(file, file.data + b"junk", [], "bytes")
    assert np.array_equal(picture.rgb, file.rgb)
    assert "bytes after the end" in rescue(file.data + b"junk").text


def test_damaged_alpha_is_opaque(file):
    begin = file.chunk("A")
    damaged = bytearray(file.data)
    damaged[begin + 30] ^= 1
    picture = check_rescued(file, bytes(damaged), [], "alpha")
    assert picture.alpha is not None and (picture.alpha == 255).all()
    assert "all pixels were made opaque" in rescue(bytes(damaged)).text


@pytest.mark.parametrize(("letter", "name"), [("i", "icc"), ("e", "exif"), ("x", "xmp")])
def test_damaged_metadata_is_left_out(file, letter, name):
    damaged = bytearray(file.data)
    damaged[file.chunk(letter) + 5] ^= 1
    picture = check_rescued(file, bytes(damaged), [], name)
    assert getattr(picture, name) == b""
    others = {"icc", "exif", "xmp"} - {name}
    assert all(getattr(picture, one) == getattr(file.decoded, one) for one in others)
    assert "left out" in rescue(bytes(damaged)).text


def test_damaged_framing_before_the_tiles_loses_no_tile_and_is_named(file):
    damaged = bytearray(file.data)
    damaged[file.chunk("e")] = ord("!")
    picture = check_rescued(file, bytes(damaged), [], "chunk", "alpha")
    assert picture.icc == file.decoded.icc and picture.exif == b""
    assert "metadata may be missing" in rescue(bytes(damaged)).text


def test_a_damaged_unknown_chunk_is_damage_too(file):
    begin = file.chunk("i")
    check_rescued(
        file, file.data[:begin] + pack_chunk("q", b"bodycrc?") + file.data[begin:], [], "chunk"
    )


def test_a_damaged_header_leaves_nothing_to_rescue(file):
    for at, error in ((0, NotRdaeError), (8, CorruptError), (12, CorruptError)):
        data = bytearray(file.data)
        data[at] ^= 1
        for function in (rescue, find_damage):
            with pytest.raises(error):
                function(bytes(data))
    with pytest.raises(TooLargeError):
        rescue(file.data[:100], max_pixels=1000)


def test_a_region_of_a_damaged_file_is_rescued_with_what_it_needs(file):
    region = Rectangle.at(PIXELS + 60, PIXELS + 60, 80, 60)
    rescued = rescue(file.without(0, 4, 11), region=region)
    assert broken_tiles(rescued.damage) == [4]
    assert rescued.picture.rgb.shape == (60, 80, 3)
    assert rescue(file.without(0, 11), region=region).damage == ()


def test_lines_name_tiles_and_pixels_and_stay_short(file):
    header, damage = find_damage(file.without(4))
    assert damage_text(damage, header) == "tile 4 of 12 (128..255, 128..255) is damaged"
    header, damage = find_damage(file.without(9, 11))
    text = "tiles 9 (0..127, 384..469) and 11 (256..349, 384..469) of 12 are damaged"
    assert damage_text(damage, header) == text
    header, damage = find_damage(file.data[: file.begin(3)])
    text = damage_text(damage, header)
    assert "more of 12 are damaged" in text and len(text) < 300
    record = damage_record(damage[-1], header)
    assert (record["tile"], record["x"], record["y"]) == (11, 256, 384)
    assert (record["width"], record["height"], record["code"]) == (94, 86, "truncated")
    assert "filled_with" not in record  # as long as no picture was made


def test_the_python_function_warns_of_what_was_filled(file):
    with pytest.warns(DamageWarning, match="tile 4 of 12 .* was filled from its neighbours"):
        image = rdae.decompress(file.without(4), best_effort=True)
    assert image.mode == "RGBA" and image.size == (350, 470)
    assert rdae.decompress(file.data, best_effort=True).size == (350, 470)  # warnings are errors


def test_any_damage_is_named_exactly_when_decoding_fails(file):
    rng = np.random.default_rng(5)
    for _ in range(15):
        data = bytearray(file.data)
        at = int(rng.integers(17, len(data)))
        data[at : at + int(rng.integers(1, 9))] = rng.bytes(int(rng.integers(0, 9)))
        header, damage = find_damage(bytes(data))
        try:
            whole = decode(bytes(data))
        except BitstreamError as error:
            assert damage, str(error)
            text = damage_text(damage, header)
            assert text and len(text.splitlines()) == 1
        else:
            assert damage == []
            assert np.array_equal(whole.rgb, file.rgb)


def test_hostile_framing_is_searched_in_bounded_time(file, monkeypatch):
    # every byte could begin a run of tiles, and none ends well
    monkeypatch.setattr("rdae.bitstream.chunk_order.MAX_SEARCHED_CHUNKS", 2000)
    hostile = file.data[: file.begin(1)] + b"?" + b"Z\0Y\4abcd" * 20000 + b"!"
    _, damage = find_damage(hostile)
    assert broken_tiles(damage) == list(range(1, TILES))


def test_filling_keeps_what_is_known_and_is_smooth():
    rows, columns = np.mgrid[:40, :60]
    latent = np.stack([rows + columns, 0 * rows + 7], -1).astype(np.float32) * 100
    noise = np.random.default_rng(2).normal(0, 1000, (40, 60, 1)).round().astype(np.float32)
    whole = np.concatenate([latent, noise], axis=2)
    holes = [
        Rectangle(8, 16, 8, 24),
        Rectangle(16, 24, 8, 24),
        Rectangle(32, 40, 50, 60),
    ]
    y_hat = whole.copy()
    for hole in holes:
        y_hat[hole.slices()] = np.nan
    fill(y_hat, holes)
    inside = np.zeros((40, 60), bool)
    for hole in holes:
        inside[hole.slices()] = True
    assert np.array_equal(y_hat[~inside], whole[~inside])
    assert np.array_equal(y_hat, np.rint(y_hat))
    assert np.abs(y_hat - whole)[inside][:, 0].max() < 1500 < np.ptp(whole[..., 0])
    assert np.array_equal(y_hat[inside][:, 1], whole[inside][:, 1])
    assert np.abs(y_hat[inside][:, 2]).max() < 500  # texture is not smeared

"""Exact files with a lossy picture first: z, then x given z."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rdae.bitstream.container import read_container
from rdae.bitstream.info import parse_info
from rdae.codec import Rescued, decode, encode, find_damage, preview, rescue
from rdae.codec.thumbnail import decode_thumbnail
from rdae.errors import BitstreamError, CorruptError, TruncatedError, UnknownModelError
from rdae.geometry import Rectangle
from rdae.images.picture import Picture
from rdae.lossless import fit
from rdae.lossless.coding import GRAPHICS, NETWORK
from rdae.lossless.model import LosslessModel
from rdae.lossless.parameters import BASE, MIDDLE, NEAR, WIDE
from rdae.lossless.stream import decode_pixels, encode_pixels
from rdae.model.installed import find_lossless, load_lossless
from tests.golden.make import by_networks

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def wide(photo: Picture) -> Picture:
    """Two tiles, of 1024 and of 16 columns, with alpha and metadata."""
    rgb = np.concatenate([photo.rgb[200:218], photo.rgb[300:318]], axis=1)[:, :1040]
    alpha = (np.arange(18 * 1040) % 255 + 1).reshape(18, 1040).astype(np.uint8)  # all is seen
    return Picture(np.ascontiguousarray(rgb), alpha, False, icc=b"profile", exif=b"exif")


@pytest.fixture(scope="module")
def lossy(wide: Picture) -> bytes:
    return encode(wide, quality=40).data


@pytest.fixture(scope="module")
def file(wide: Picture) -> bytes:
    with by_networks():
        data = encode(wide, max_error=0, base=40).data
    assert {tile.y[0] for tile in read_container(data).exact} == {NETWORK}
    return data


@pytest.fixture(scope="module")
def small(crop: Pixels) -> Picture:
    return Picture(np.ascontiguousarray(crop[:50, :70]), None, False)


def broken(data: bytes, chunk: str) -> bytes:
    """The file with a wrong bit near the end of a chunk."""
    (field,) = (f for f in parse_info(data).fields if f.name == chunk)
    changed = bytearray(data)
    changed[field.offset + field.length - 6] ^= 4
    return bytes(changed)


def test_both_pictures_come_back(wide: Picture, lossy: bytes, file: bytes) -> None:
    for threads in (1, 2):
        found = decode(file, threads=threads)
        assert np.array_equal(found.rgb, wide.rgb)
        assert found.alpha is not None and wide.alpha is not None
        assert np.array_equal(found.alpha, wide.alpha)
        assert (found.icc, found.exif) == (wide.icc, wide.exif)
    first = decode(file, lossy=True)
    assert np.array_equal(first.rgb, decode(lossy).rgb)
    assert not np.array_equal(first.rgb, wide.rgb)
    assert find_damage(file)[1] == []


def test_the_lossy_tiles_are_those_of_the_lossy_file(lossy: bytes, file: bytes) -> None:
    ours, plain = read_container(file), read_container(lossy)
    assert ours.header == plain.header and ours.tiles == plain.tiles
    assert ours.rest is not None and len(ours.exact) == 2
    assert read_container(file, only_lossy=True).rest is None
    assert len(file) == len(lossy) + parse_info(file).pixel_bytes + 12 + 2 * 4 + 3 + 4


def test_info_counts_every_byte(file: bytes) -> None:
    info = parse_info(file)
    assert info.is_lossless and info.max_error == 0 and info.base_quality == 40
    assert info.rest is not None and info.rest.model_id == load_lossless().model_id
    parts = (info.header_bytes, info.z_bytes, info.y_bytes, info.pixel_bytes)
    assert sum(parts) + info.alpha_bytes + info.metadata_bytes == len(file)
    assert info.fields[-1].offset + info.fields[-1].length == len(file)
    coded = info.z_bytes + info.y_bytes + info.pixel_bytes
    assert info.bits_per_subpixel == 8 * coded / (3 * 18 * 1040)


def test_a_region_is_that_of_the_whole(wide: Picture, lossy: bytes, file: bytes) -> None:
    for area in (Rectangle(3, 18, 1000, 1040), Rectangle(0, 1, 1030, 1031)):
        assert np.array_equal(decode(file, region=area).rgb, wide.rgb[area.slices()])
        part = decode(file, region=area, lossy=True)
        assert np.array_equal(part.rgb, decode(lossy).rgb[area.slices()])


def test_a_file_that_breaks_off_behind_the_lossy_picture_shows_it(
    wide: Picture, lossy: bytes, file: bytes
) -> None:
    begin = next(f.offset for f in parse_info(file).fields if f.name == "chunk R of tile 1")
    blurred = decode(lossy).rgb
    for end in (begin, len(file) - 1):
        with pytest.raises(TruncatedError):
            decode(file[:end])
        assert np.array_equal(decode(file[:end], lossy=True).rgb, blurred)
        rescued = rescue(file[:end])
        assert np.array_equal(rescued.picture.rgb[:, :1024], wide.rgb[:, :1024])
        assert np.array_equal(rescued.picture.rgb[:, 1024:], blurred[:, 1024:])
        assert np.array_equal(preview(file[:end]).rgb, rescued.picture.rgb)
        assert "tile 1 of 2 (1024..1039, 0..17) is lossy" in rescued.text
    shorter = rescue(file[: len(lossy) + 20])
    assert np.array_equal(shorter.picture.rgb, blurred)
    assert "all of the picture is lossy" in shorter.text
    assert "coarser" in rescue(file[: len(lossy) - 40]).text


def test_what_is_not_exact_stays_lossy(wide: Picture, lossy: bytes, file: bytes) -> None:
    data, blurred = broken(file, "chunk R of tile 0"), decode(lossy).rgb
    with pytest.raises(CorruptError, match="tile 0") as caught:
        decode(data)
    assert "--lossy" in caught.value.hint
    assert np.array_equal(decode(data, lossy=True).rgb, blurred)
    rescued = rescue(data)
    assert [(d.tile.index, d.filled_with) for d in rescued.damage if d.tile] == [(0, "lossy")]
    assert np.array_equal(rescued.picture.rgb[:, :1024], blurred[:, :1024])
    assert np.array_equal(rescued.picture.rgb[:, 1024:], wide.rgb[:, 1024:])
    assert len(find_damage(data)[1]) == 1


def test_no_lossy_picture_is_promised_where_there_is_none(file: bytes) -> None:
    fields = {f.name: f for f in parse_info(file).fields}
    for chunk, is_promised in (("chunk Y of tile 1", False), ("chunk R of tile 0", True)):
        cut = file[: fields[chunk].offset + 9]
        with pytest.raises(TruncatedError) as caught:
            decode(cut, region=Rectangle(0, 9, 0, 9))
        assert ("--lossy" in caught.value.hint) == is_promised
        assert "--best-effort" in caught.value.hint


def test_a_long_thin_region_is_decoded_tile_by_tile(
    wide: Picture, lossy: bytes, file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdae.codec.rest.MOST_AT_ONCE", 0)
    line = Rectangle(7, 8, 0, 1040)
    assert np.array_equal(decode(file, region=line).rgb, wide.rgb[line.slices()])
    rescued = rescue(broken(file, "chunk Y of tile 1"), region=line)
    assert filled(rescued) == {0: "lossy", 1: "neighbours"}
    rescued = rescue(broken(file, "chunk R of tile 0"), region=line)
    assert filled(rescued) == {0: "lossy"}
    assert np.array_equal(rescued.picture.rgb[:, :1024], decode(lossy).rgb[7:8, :1024])


def filled(rescued: Rescued) -> dict[int, str]:
    return {d.tile.index: d.filled_with for d in rescued.damage if d.tile is not None}


def test_damage_to_a_lossy_tile_costs_what_is_coded_given_it(wide: Picture, file: bytes) -> None:
    data = broken(file, "chunk Y of tile 1")
    for read in (decode, lambda bad: decode(bad, lossy=True)):
        with pytest.raises(CorruptError, match="tile 1"):
            read(data)
    rescued = rescue(data)
    assert filled(rescued) == {0: "lossy", 1: "neighbours"}
    assert "need those of tile 1, which is damaged" in str(rescued.damage[0].error)
    assert [d.tile.index for d in find_damage(data)[1] if d.tile] == [0, 1]
    far = Rectangle(
        0, 18, 0, 500
    )  # which the synthesis of tile 1 does not reach, but its tile does
    assert filled(rescue(data, region=far))[0] == "lossy"


def test_tiles_of_webp_need_no_lossy_picture(wide: Picture) -> None:
    drawn = np.full_like(wide.rgb, 255)
    drawn[4:9, 100:1030] = (200, 30, 40)
    file = encode(Picture(drawn, None, False), max_error=0, base=20).data
    assert {tile.y[0] for tile in read_container(file).exact} == {GRAPHICS}
    rescued = rescue(broken(file, "chunk Y of tile 0"))
    assert filled(rescued) == {0: "exact"} and "but exact" in rescued.text
    assert np.array_equal(rescued.picture.rgb, drawn)


def test_a_damaged_chunk_l_leaves_the_lossy_picture(lossy: bytes, file: bytes) -> None:
    data = broken(file, "chunk L")
    for part in (None, Rectangle(0, 2, 0, 2)):
        with pytest.raises(CorruptError, match="chunk L") as caught:
            decode(data, region=part)
        assert "--best-effort" in caught.value.hint
    rescued = rescue(data)
    assert "all of it is lossy" in rescued.text
    assert np.array_equal(rescued.picture.rgb, decode(lossy).rgb)


@pytest.mark.parametrize("length", [0, 5, 0x7F])
def test_a_chunk_l_of_a_wrong_length_leaves_the_lossy_picture(
    lossy: bytes, file: bytes, length: int
) -> None:
    (found,) = (f for f in parse_info(file).fields if f.name == "chunk L")
    changed = bytearray(file)
    assert changed[found.offset] == ord("L")
    changed[found.offset + 1] = length
    assert np.array_equal(rescue(bytes(changed)).picture.rgb, decode(lossy).rgb)


def test_the_lossy_picture_needs_no_lossless_model(
    lossy: bytes, file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> LosslessModel:
        return find_lossless(1, b"none")

    monkeypatch.setattr("rdae.codec.rest.find_lossless", missing)
    assert np.array_equal(decode(file, lossy=True).rgb, decode(lossy).rgb)
    assert rescue(file[: len(lossy) + 20]).damage
    with pytest.raises(UnknownModelError) as caught:
        decode(file)
    assert "--lossy" in caught.value.hint
    assert decode_thumbnail(file, 52).width == 52


def test_a_thumbnail_that_is_no_smaller_is_exact(wide: Picture, lossy: bytes, file: bytes) -> None:
    assert np.array_equal(decode_thumbnail(file, 1040).rgb, wide.rgb)
    assert np.array_equal(decode_thumbnail(file, 1040, lossy=True).rgb, decode(lossy).rgb)
    small = decode_thumbnail(file[: len(lossy) + 20], 1039)  # the lossy picture is all it needs
    assert np.array_equal(small.rgb, decode_thumbnail(lossy, 1039).rgb)


def test_damage_never_gives_another_picture(file: bytes) -> None:
    rng = np.random.default_rng(5)
    for _ in range(10):
        data = bytearray(file)
        data[int(rng.integers(len(file)))] ^= 1 << int(rng.integers(8))
        with pytest.raises((BitstreamError, UnknownModelError)):
            decode(bytes(data))


def test_errors_behind_the_lossy_picture_name_it(lossy: bytes, file: bytes) -> None:
    field = next(f for f in parse_info(file).fields if f.name == "chunk R of tile 1")
    misframed = file[: field.offset] + b"q" + file[field.offset + 1 :]
    for data in (file[:-9], misframed):
        with pytest.raises((TruncatedError, CorruptError)) as caught:
            decode(data)
        assert "--lossy" in caught.value.hint and "--best-effort" in caught.value.hint
        assert np.array_equal(decode(data, lossy=True).rgb, decode(lossy).rgb)
    with pytest.raises(TruncatedError) as caught:
        decode(file[: len(lossy) // 2])
    assert "--lossy" not in caught.value.hint and "--best-effort" in caught.value.hint


def test_chunks_out_of_their_place_are_refused(lossy: bytes, file: bytes, small: Picture) -> None:
    fields = {f.name: f for f in parse_info(file).fields}
    at, end = fields["chunk L"].offset, fields["chunk L"].offset + 12
    pixels = file[fields["chunk R of tile 0"].offset :]
    chunk = file[at:end]
    exact = encode(small, max_error=0).data
    begin = next(f.offset for f in parse_info(exact).fields if f.name == "chunk R of tile 0")
    for wrong in (
        file[:end] + chunk + file[end:],
        file[:at] + file[end:],
        exact[:begin] + chunk + exact[begin:],
        file + pixels,
        file[: fields["chunk Y of tile 1"].offset] + pixels,
    ):
        with pytest.raises(CorruptError):
            decode(wrong)


@pytest.mark.parametrize("max_error", [0, 1, 4])
def test_the_largest_error_is_kept(small: Picture, max_error: int) -> None:
    data = encode(small, max_error=max_error, base=25).data
    assert np.abs(decode(data).rgb.astype(int) - small.rgb).max() <= max_error
    assert parse_info(data).max_error == max_error


def test_grey_stays_grey(crop: Pixels) -> None:
    grey = np.repeat(crop[:40, :33, 1:2], 3, axis=2)
    for is_grey in (True, False):
        data = encode(Picture(grey, None, is_grey), max_error=0, base=50).data
        found = decode(data)
        assert found.is_grey == is_grey and np.array_equal(found.rgb, grey)


def test_settings_that_make_no_sense_are_refused(small: Picture) -> None:
    with pytest.raises(ValueError, match="base goes with"):
        encode(small, base=50)
    with pytest.raises(ValueError, match="base must be"):
        encode(small, base=101, max_error=0)


@pytest.fixture(params=["as the encoder has it", "filters everywhere"])
def filters(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "filters everywhere":
        for kind, cells in {WIDE: 90, MIDDLE: 24, NEAR: 8, BASE: 6}.items():
            for table in (fit.WORTH_AT_FINEST, fit.WORTH, fit.ON_BASE):
                monkeypatch.setitem(table, kind, cells)
        monkeypatch.setattr("rdae.lossless.stream.FITTED_ON_BASE", 16)
    with by_networks():
        yield


@pytest.mark.usefixtures("filters")
def test_every_size_comes_back_given_any_base() -> None:
    model = load_lossless()

    @settings(max_examples=8, deadline=None)
    @given(
        rows=st.integers(1, 21),
        columns=st.integers(1, 21),
        seed=st.integers(0, 2**32 - 1),
        max_error=st.integers(0, 3),
        noise=st.sampled_from([0, 3, 300]),
        is_grey=st.booleans(),
    )
    def check(
        rows: int, columns: int, seed: int, max_error: int, noise: int, is_grey: bool
    ) -> None:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:rows, :columns]
        plane = (8 * y + 3 * x)[..., None] + rng.integers(0, 20, (rows, columns, 3))
        pixels = np.clip(plane, 0, 255).astype(np.uint8)
        base = np.clip(plane + rng.integers(-noise, noise + 1, plane.shape), 0, 255)
        if is_grey:
            pixels = np.repeat(pixels[..., :1], 3, axis=2)
        beneath = base.astype(np.uint8)
        stream, promised = encode_pixels(
            model, pixels, is_grey=is_grey, max_error=max_error, base=beneath
        )
        found = decode_pixels(
            model, stream, rows, columns, is_grey=is_grey, max_error=max_error, base=beneath
        )
        assert np.array_equal(found, promised)
        assert np.abs(found.astype(int) - pixels).max() <= max_error

    check()


def test_a_good_base_saves_bits_and_a_poor_one_costs_few(crop: Pixels) -> None:
    model = load_lossless()
    crop = np.ascontiguousarray(crop[:64, :96])
    plain = len(encode_pixels(model, crop)[0])
    noise = np.random.default_rng(0).integers(0, 256, crop.shape).astype(np.uint8)
    near = np.clip(crop.astype(int) + noise // 64 - 2, 0, 255).astype(np.uint8)
    assert len(encode_pixels(model, crop, base=near)[0]) < 0.7 * plain
    assert len(encode_pixels(model, crop, base=noise)[0]) < 1.05 * plain

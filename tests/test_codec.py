"""The codec on real pixels: every kind of picture and size comes back, exactly reproducibly."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdae.bitstream.container import read_container
from rdae.bitstream.range_coder import SymbolDecoder
from rdae.bitstream.tiles import Grid
from rdae.codec import decode, encode
from rdae.codec.decoder import decode_pixels
from rdae.codec.encoder import quantise
from rdae.codec.tile import encode_tile, ideal_bits
from rdae.errors import CorruptError, TooLargeError, UnknownModelError
from rdae.images.picture import Picture
from rdae.model.quarters import take
from rdae.scales import quality_to_point


def psnr(a, b) -> float:
    mse = np.mean((a.astype(np.float64) - b) ** 2)
    return float(10 * np.log10(255**2 / mse))


def of(rgb, **parts) -> Picture:
    parts = {"alpha": None, "is_grey": False, **parts}
    return Picture(rgb=np.ascontiguousarray(rgb), **parts)


@pytest.fixture(scope="module")
def quarter(photo) -> Picture:
    """The middle quarter of the photo, which has more detail than the rest."""
    return of(photo.rgb[100:356, 200:584])


def test_more_quality_is_more_bytes_and_less_distortion(quarter):
    encoded = [encode(quarter, quality=q) for q in (0, 30, 60, 90)]
    decoded = [psnr(decode(e.data).rgb, quarter.rgb) for e in encoded]
    sizes = [len(e.data) for e in encoded]
    assert sizes == sorted(sizes) and len(set(sizes)) == 4
    assert decoded == sorted(decoded)
    assert decoded[0] > 23 and decoded[-1] > 34


def test_the_file_is_as_long_as_the_tables_say(photo, model):
    for quality in (5, 60, 95):
        point = quality_to_point(quality)
        encoded = encode(photo, quality=quality)
        symbols = quantise(photo, model, point, 1)
        (tile,) = Grid(photo.width, photo.height).tiles()
        ideal = sum(ideal_bits(model, tile, symbols[0], point)) / 8
        coded = encoded.info.z_bytes + encoded.info.y_bytes
        assert ideal <= coded <= 1.005 * ideal
        assert encoded.info.header_bytes <= 28


@given(height=st.integers(1, 300), width=st.integers(1, 300), quality=st.floats(0, 100))
@settings(max_examples=25, deadline=None)
def test_any_size_comes_back_at_its_size(photo, height, width, quality):
    picture = of(photo.rgb[:height, :width])
    decoded = decode(encode(picture, quality=quality).data)
    assert decoded.rgb.shape == (height, width, 3)
    assert psnr(decoded.rgb, picture.rgb) > 20


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (16, 17), (63, 65), (64, 64)])
def test_edge_sizes_come_back_as_well_as_the_inside(photo, size):
    height, width = size
    picture = of(photo.rgb[200 : 200 + height, 300 : 300 + width])
    decoded = decode(encode(picture, quality=90).data)
    assert decoded.rgb.shape == picture.rgb.shape
    assert psnr(decoded.rgb, picture.rgb) > 27


def test_threads_and_windows_change_no_pixel(quarter, monkeypatch):
    data = encode(quarter, quality=60).data
    whole = decode(data, threads=1).rgb
    assert np.array_equal(decode(data, threads=2).rgb, whole)
    assert np.array_equal(decode(data, threads=5).rgb, whole)
    monkeypatch.setattr("rdae.exact.windows.WINDOW_CELLS", 40)
    assert np.array_equal(decode(data, threads=1).rgb, whole)


def test_a_picture_of_several_tiles_has_no_seams():
    # 2x2 tiles of a smooth ramp, the hardest case: tiles predict worst at their edges, as pictures
    # do, and nothing hides it; what is decoded from the wrong side of an edge is off by 20 and more
    rows, columns = np.mgrid[0:1100, 0:1200]
    rgb = np.stack([rows / 5, columns / 5, 120 + 0 * rows], -1).round().astype(np.uint8)
    encoded = encode(of(rgb), quality=60)
    assert (encoded.info.tile_rows, encoded.info.tile_columns) == (2, 2)
    decoded = decode(encoded.data).rgb.astype(int)
    error = np.abs(decoded - rgb)
    assert error[:1000, :1000].max() <= 12
    assert error[1010:1040, :1150].max() <= 16 and error[:1050, 1010:1040].max() <= 16


def test_grey_comes_back_grey(crop):
    grey = np.repeat(crop.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    decoded = decode(encode(of(grey, is_grey=True), quality=80).data)
    assert decoded.is_grey
    assert (decoded.rgb[..., 0] == decoded.rgb[..., 1]).all()
    assert (decoded.rgb[..., 0] == decoded.rgb[..., 2]).all()
    assert psnr(decoded.rgb, grey) > 30


@pytest.mark.parametrize("effort", [1, 2])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_a_picture_without_colours_comes_back_neutral_in_its_mode(crop, effort, has_alpha):
    grey = np.repeat(crop[..., 1:2], 3, axis=2)
    alpha = crop[..., 0].copy() if has_alpha else None
    files = {
        is_grey: encode(of(grey, is_grey=is_grey, alpha=alpha), quality=60, effort=effort)
        for is_grey in (False, True)
    }
    decoded = decode(files[False].data)
    assert not decoded.is_grey and files[False].info.is_neutral and not files[True].info.is_neutral
    assert np.array_equal(decoded.rgb, decode(files[True].data).rgb)
    assert (decoded.rgb == decoded.rgb[..., :1]).all()
    assert len(files[False].data) == len(files[True].data)  # its colours cost nothing


def test_one_coloured_pixel_is_a_colour(crop):
    rgb = np.repeat(crop[..., 1:2], 3, axis=2)
    rgb[3, 5, 2] ^= 1
    assert not encode(of(rgb), quality=60).info.is_neutral


def test_alpha_and_metadata_come_back_unchanged(crop):
    alpha = (np.indices(crop.shape[:2]).sum(0) % 256).astype(np.uint8)
    parts = {"icc": b"profile" * 99, "exif": b"MM\x00*exif", "xmp": b"<x:xmpmeta/>" * 50}
    encoded = encode(of(crop, alpha=alpha, **parts), quality=50)
    decoded = decode(encoded.data)
    assert decoded.alpha is not None and np.array_equal(decoded.alpha, alpha)
    assert (decoded.icc, decoded.exif, decoded.xmp) == tuple(parts.values())
    info = encoded.info
    parts_bytes = info.header_bytes + info.z_bytes + info.y_bytes + info.alpha_bytes
    assert parts_bytes + info.metadata_bytes == info.file_bytes == len(encoded.data)


def test_noise_and_flat_pictures_come_back(model):
    noise = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
    for rgb in (noise, np.zeros_like(noise), np.full_like(noise, 255), 255 * (noise > 127)):
        for quality, largest in ((0, 16), (100, 8)):
            source = of(rgb.astype(np.uint8))
            decoded = decode(encode(source, quality=quality).data)
            assert decoded.rgb.shape == rgb.shape
            if rgb.std() == 0:
                assert np.abs(decoded.rgb.astype(int) - rgb).max() <= largest


def test_extreme_symbols_are_escaped_and_come_back(crop, model):
    point = quality_to_point(50)
    picture = of(crop)
    (tile,) = Grid(picture.width, picture.height).tiles()
    symbols = quantise(picture, model, point, 1)[0]
    container = read_container(encode(picture, quality=50).data)
    channels = np.tile(np.arange(symbols.z.shape[2]), symbols.z.shape[0] * symbols.z.shape[1])
    for value in (32767, -32767, 3000):
        symbols.y[0, 0, 0] = value
        symbols.z[0, 0, 0] = value
        payload = encode_tile(model, container.header, tile, symbols)
        z = SymbolDecoder(payload.z).get(channels, model.z_tables(point))
        assert np.array_equal(z, symbols.z.ravel())
        # with such a z a decoder would see other tables; the planes of the encoder are used
        decoder = SymbolDecoder(payload.y)
        y, indexes = (a[: tile.rows, : tile.columns] for a in (symbols.y, symbols.indexes))
        for k in range(4):
            decoded = decoder.get(take(k, indexes).ravel(), model.y_tables)
            assert np.array_equal(decoded, take(k, y).ravel())


def test_a_damaged_symbol_is_found_by_the_tile_checksum(crop):
    data = bytearray(encode(of(crop), quality=60).data)
    data[len(data) // 2] ^= 4
    with pytest.raises(CorruptError, match="tile 0"):
        decode(bytes(data))


def test_a_tile_in_another_files_place_is_found(crop):
    first = encode(of(crop), quality=60)
    other = encode(of(crop), quality=60.5)
    swapped = first.data[:17] + other.data[17:]
    with pytest.raises(CorruptError, match="tile 0"):
        decode(swapped)


def test_the_pixel_limit_comes_before_decoding(crop):
    with pytest.raises(TooLargeError, match="38"):
        decode(encode(of(crop)).data, max_pixels=1000)


def test_an_unknown_model_is_named(crop, model, monkeypatch):
    data = encode(of(crop)).data
    monkeypatch.setattr(
        "rdae.model.installed.shipped_manifest", lambda: {"default": "none", "models": []}
    )
    with pytest.raises(
        UnknownModelError, match=f"written with model {model.description.model_id} "
    ):
        decode(data)


def test_a_side_beyond_the_format_is_refused():
    with pytest.raises(TooLargeError, match="16777216x1"):
        encode(of(np.zeros((1, 1 << 24, 3), np.uint8)))


def test_a_low_and_very_wide_picture_is_decoded_in_bounded_windows(photo, monkeypatch):
    wide = np.tile(photo.rgb[200:220], (1, 8, 1))
    data = encode(of(wide), quality=30).data
    whole = decode(data, threads=2).rgb
    monkeypatch.setattr("rdae.exact.windows.WINDOW_CELLS", 130)
    assert np.array_equal(decode(data, threads=1).rgb, whole)


def test_quality_outside_the_scale_is_refused(crop):
    for quality in (-1, 100.5, float("nan")):
        with pytest.raises(ValueError, match="from 0 to 100"):
            encode(of(crop), quality=quality)


def test_decoding_needs_only_the_container_and_the_model(crop, model):
    data = encode(of(crop), quality=40).data
    assert np.array_equal(decode_pixels(read_container(data), model, 1), decode(data).rgb)


@pytest.mark.slow
def test_two_hundred_random_sizes_come_back_the_same_from_one_and_two_threads(photo):
    rng = np.random.default_rng(200)
    for height, width in rng.integers(1, 301, (200, 2)):
        picture = of(photo.rgb[:height, :width])
        data = encode(picture, quality=float(rng.uniform(0, 100))).data
        one, two = decode(data, threads=1).rgb, decode(data, threads=2).rgb
        assert one.shape == (height, width, 3)
        assert np.array_equal(one, two)
        assert psnr(one, picture.rgb) > 20


MEMORY = """
import resource, sys
from pathlib import Path
from rdae.codec import decode
assert decode(Path(sys.argv[1]).read_bytes(), threads=2).rgb.shape == (3000, 4000, 3)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_a_12_megapixel_picture_decodes_in_less_than_1200_megabytes(photo, tmp_path):
    rgb = np.tile(photo.rgb, (6, 6, 1))[:3000, :4000]
    encoded = encode(of(rgb), quality=60)
    assert psnr(decode(encoded.data).rgb, rgb) > 28
    path = tmp_path / "large.rd"
    path.write_bytes(encoded.data)
    command = [sys.executable, "-c", MEMORY, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 1.2e9

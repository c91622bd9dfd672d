"""Lossless and near-lossless files, through the codec, the Python interface and the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import rdae
from rdae.bitstream.container import read_container
from rdae.bitstream.info import parse_info
from rdae.codec import decode, encode, find_damage, rescue
from rdae.codec.thumbnail import decode_thumbnail
from rdae.errors import CorruptError, UnknownModelError
from rdae.geometry import Rectangle
from rdae.images.picture import Picture
from rdae.lossless.coding import NETWORK
from tests import independent_reader as reader

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def wide(crop: Pixels) -> Picture:
    """Two tiles, of 1024 and of 16 columns, with alpha and metadata."""
    rgb = np.ascontiguousarray(np.tile(crop[:24], (1, 5, 1))[:, :1040])
    alpha = np.arange(24 * 1040, dtype=np.uint32).reshape(24, 1040).astype(np.uint8)
    return Picture(rgb, alpha, False, icc=b"profile", exif=b"exif", xmp=b"xmp")


@pytest.fixture(scope="module")
def file(wide: Picture) -> bytes:
    return encode(wide, max_error=0).data


def test_everything_comes_back(wide: Picture, file: bytes) -> None:
    for threads in (1, 2):
        found = decode(file, threads=threads)
        assert np.array_equal(found.rgb, wide.rgb)
        assert found.alpha is not None and wide.alpha is not None
        assert np.array_equal(found.alpha, wide.alpha)
        assert (found.icc, found.exif, found.xmp) == (wide.icc, wide.exif, wide.xmp)
    assert find_damage(file)[1] == []
    info = parse_info(file)
    assert info.is_lossless and info.max_error == 0 and info.tile_columns == 2
    parts = (info.header_bytes, info.pixel_bytes, info.alpha_bytes, info.metadata_bytes)
    assert sum(parts) == len(file) == info.fields[-1].offset + info.fields[-1].length


def test_a_region_is_that_of_the_whole(wide: Picture, file: bytes) -> None:
    for area in (Rectangle(3, 20, 1000, 1040), Rectangle(0, 1, 1030, 1031)):
        assert np.array_equal(decode(file, region=area).rgb, wide.rgb[area.slices()])


@pytest.mark.parametrize("max_error", [1, 4, 15])
def test_the_largest_error_is_kept(crop: Pixels, max_error: int) -> None:
    small = Picture(np.ascontiguousarray(crop[:61, :50]), None, False)
    data = encode(small, max_error=max_error).data
    found = decode(data)
    assert np.abs(found.rgb.astype(int) - small.rgb).max() <= max_error
    assert parse_info(data).max_error == max_error


def test_a_largest_error_may_be_any_whole_number(crop: Pixels) -> None:
    small = crop[:9, :11]
    wanted = rdae.compress(small, max_error=2)
    for number in (2.0, np.int64(2), np.float32(2)):
        assert rdae.compress(small, max_error=number) == wanted  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"max_error must be from 0 to 15, got 1\.5"):
        rdae.compress(small, max_error=1.5)  # type: ignore[arg-type]


def test_a_broken_tile_is_found_and_left_grey(wide: Picture, file: bytes) -> None:
    broken = bytearray(file)
    broken[-6] ^= 1
    with pytest.raises(CorruptError, match="tile 1") as caught:
        decode(bytes(broken))
    assert "--best-effort" in caught.value.hint
    rescued = rescue(bytes(broken))
    assert [d.tile.index for d in rescued.damage if d.tile] == [1]
    assert np.array_equal(rescued.picture.rgb[:, :1024], wide.rgb[:, :1024])
    assert (rescued.picture.rgb[:, 1024:] == 128).all()
    assert len(find_damage(bytes(broken))[1]) == 1
    cut = rescue(file[:-40])
    assert [d.tile.index for d in cut.damage if d.tile] == [1]


def test_a_region_whose_tile_cannot_be_found_has_the_same_way_out(file: bytes) -> None:
    broken = bytearray(file)
    broken[next(f.offset for f in parse_info(file).fields if f.name == "chunk R of tile 1")] = 0
    with pytest.raises(CorruptError) as caught:
        decode(bytes(broken), region=Rectangle(0, 9, 1030, 1035))
    assert "--best-effort" in caught.value.hint


def test_a_tile_does_not_pass_in_another_file(crop: Pixels) -> None:
    first, second = (
        encode(Picture(np.ascontiguousarray(x), None, False), max_error=0).data
        for x in (crop[:20, :20], crop[:20, :21])
    )
    at = parse_info(first).fields[-1].offset
    with pytest.raises(CorruptError):
        decode(second[:at] + first[at:])


def test_damage_never_gives_another_picture(file: bytes, wide: Picture) -> None:
    rng = np.random.default_rng(5)
    begin = parse_info(file).fields[-2].offset
    for _ in range(25):
        broken = bytearray(file)
        at = int(rng.integers(begin, len(file)))
        broken[at] ^= 1 << int(rng.integers(8))
        with pytest.raises(rdae.errors.BitstreamError):
            decode(bytes(broken))


def test_another_model_is_refused(file: bytes) -> None:
    header = read_container(file).header
    fake = replace(header, fingerprint=b"none", has_alpha=False)
    begin = parse_info(file).fields[-2].offset
    with pytest.raises(UnknownModelError, match=f"model {header.model_id}"):
        decode(fake.pack_with_check() + file[begin:])


def test_the_second_reader_takes_it_apart_alike(file: bytes) -> None:
    second, first = reader.Container(file), read_container(file)
    assert [body[:-4] for body in second.pixels] == [tile.y for tile in first.tiles]
    for data in (file[:-1], file + b"R\1x", file[:30], file.replace(b"R", b"Y", 1)):
        with pytest.raises(rdae.errors.BitstreamError) as one:
            read_container(data)
        with pytest.raises(reader.FormatError) as two:
            reader.Container(data)
        assert one.value.code == two.value.code


def test_python_and_command_write_the_same(
    crop: Pixels, call: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    small = crop[:40, :60]
    Image.fromarray(small).save(tmp_path / "x.png")
    data = rdae.compress(small, lossless=True)
    assert np.array_equal(np.asarray(rdae.decompress(data)), small)
    assert call("compress", "x.png", "--lossless")[0] == 0
    assert (tmp_path / "x.rd").read_bytes() == data
    code, out, _ = call("info", "x.rd", "--json")
    assert code == 0
    record = json.loads(out.splitlines()[0])
    assert record["model"] == "lossless" and record["pixel_bits"] > 0 == record["y_bits"]
    assert "lossless" in call("info", "x.rd")[1]
    assert call("verify", "x.rd")[0] == 0
    assert call("decompress", "x.rd", "-o", "y.png")[0] == 0
    with Image.open(tmp_path / "y.png") as image:
        assert np.array_equal(np.asarray(image), small)
    code, _, err = call("compress", "x.png", "--max-error", "2", "-o", "n.rd")
    assert code == 0 and "±2" in err
    assert call("compress", "x.png", "--lossless", "-q", "50")[0] == 2
    assert call("compress", "x.png", "--max-error", "16", "-o", "m.rd")[0] == 2


def test_grey_pictures_stay_grey(crop: Pixels) -> None:
    grey = Image.fromarray(crop[:50, :40, 1])
    data = rdae.compress(grey, lossless=True)
    found = rdae.decompress(data)
    assert found.mode == "L" and np.array_equal(np.asarray(found), np.asarray(grey))


def test_contradictory_wishes_are_refused(crop: Pixels) -> None:
    for wishes in ({"quality": 50, "lossless": True}, {"target_bpp": 2.0, "max_error": 1}):
        with pytest.raises(ValueError, match=f"{' and '.join(wishes)} exclude each other"):
            rdae.compress(crop, **wishes)
    with pytest.raises(ValueError, match="base must be from 0 to 100, got 101"):
        rdae.compress(crop, lossless=True, base=101)
    with pytest.raises(ValueError, match="max_error"):
        rdae.compress(crop, max_error=16)


def test_thumbnails_of_lossless_files(file: bytes) -> None:
    assert decode_thumbnail(file, 52).width == 52


def test_info_says_what_codes_the_tiles(
    wide: Picture, file: bytes, call: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    info = parse_info(file)
    by_network = sum(tile.y[0] == NETWORK for tile in read_container(file).tiles)
    assert by_network > 0 and info.methods == {"network": by_network, "WebP": 2 - by_network}
    assert info.bits_per_subpixel == 8 * info.pixel_bytes / wide.rgb.size
    assert parse_info(rdae.compress(wide.rgb[:8, :8])).bits_per_subpixel is None
    drawn = rdae.compress(np.zeros((40, 1100), np.uint8), lossless=True)
    (tmp_path / "drawn.rd").write_bytes(drawn)
    code, out, _ = call("info", "--explain", "drawn.rd")
    assert code == 0 and " bits per subpixel; one piece by WebP." in out
    record = json.loads(call("info", "drawn.rd", "--json")[1].splitlines()[0])
    assert record["undivided"] and record["methods"] == {"network": 0, "WebP": 1}
    assert record["bits_per_subpixel"] == round(record["pixel_bits"] / 44000, 5)


def test_the_command_names_the_lossless_model_that_is_missing(
    file: bytes, call: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    fake = replace(read_container(file).header, fingerprint=b"none", has_alpha=False)
    begin = parse_info(file).fields[-2].offset
    (tmp_path / "fake.rd").write_bytes(fake.pack_with_check() + file[begin:])
    for command in ("decompress", "verify"):
        code, _, err = call(command, "fake.rd")
        assert code == 1 and "fake.rd" in err and "6e6f6e65" in err
        assert f"model {fake.model_id}" in err
    code, out, _ = call("info", "fake.rd")
    assert code == 0 and f"id {fake.model_id} (not installed)" in out


def test_elbo_says_what_a_lossless_file_takes(
    crop: Pixels, call: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    small = crop[:48, :64]
    Image.fromarray(small).save(tmp_path / "x.png")
    bits = 8 * parse_info(rdae.compress(small, lossless=True)).pixel_bytes
    code, out, _ = call("elbo", "x.png", "--draws", "1", "--json")
    assert code == 0 and json.loads(out)["lossless_bits"] == bits
    code, out, _ = call("elbo", "x.png", "--draws", "1")
    said = f"--lossless: {bits:_} bits, {bits / 3072:.4f} per pixel, {bits / 9216:.4f} per subpixel"
    assert code == 0 and said.replace("_", " ") in out


def test_elbo_is_of_the_colours_alone(
    call: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (24, 24), np.uint8)
    rgb = np.dstack([noise, 255 - noise, noise // 2])
    Image.fromarray(np.dstack([rgb, 255 - noise])).save(tmp_path / "sprite.png")
    bits = 8 * parse_info(rdae.compress(rgb, lossless=True)).pixel_bytes
    code, out, _ = call("elbo", "sprite.png", "--draws", "1", "--json")
    assert code == 0 and json.loads(out)["lossless_bits"] == bits

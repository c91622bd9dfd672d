"""Lossless files in the browser's decoder, run by Node.js, and its own reader of lossless WebP."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from numpy.typing import NDArray

from rdae.bitstream.chunks import pack_chunk, scan
from rdae.bitstream.graphics import decode_graphics, encode_graphics
from rdae.bitstream.header import read_header
from rdae.bitstream.payload import _pack_tiles
from rdae.bitstream.varint import ByteReader, pack_varint
from rdae.codec import decode, encode
from rdae.errors import CorruptError
from rdae.images.picture import Picture
from rdae.images.pillow import read_picture
from tests.test_web import (
    GOLDEN,
    NODE,
    ROOT,
    WEB,
    by_node,
    by_python,
    check_damaged,
    damaged,
    rescued,
)

pytestmark = [
    pytest.mark.skipif(not WEB.is_dir(), reason="needs the checkout"),
    pytest.mark.skipif(NODE is None, reason="needs Node.js"),
]
SMALL = ["alpha", "alpha-webp", "grey", "pixel", "two-methods", "webp"]
SMALL += ["undivided", "undivided-alpha"]
SOURCES = [GOLDEN / f"lossless-{name}.rd" for name in SMALL] + [GOLDEN / "max-error-1.rd"]
PIXELS_OF = """import { createHash } from 'node:crypto';
import { RdaeError } from './errors.js';
import { decodeVp8l } from './lossless/vp8l.js';
import { createInterface } from 'node:readline';
for await (const line of createInterface({ input: process.stdin })) {
  const [hex, width, height, channels] = JSON.parse(line);
  try {
    const rgb = decodeVp8l(Uint8Array.from(Buffer.from(hex, 'hex')), width, height, channels === 4);
    console.log(createHash('sha256').update(rgb).digest('hex'));
  } catch (error) {
    if (!(error instanceof RdaeError)) throw error;
    console.log(error.code);
  }
}"""


def drawn(rng: np.random.Generator, count: int) -> Iterator[NDArray[np.uint8]]:
    """Pictures for all that WebP has: palettes of all sizes, predictions, repetitions, a cache."""
    photo = read_picture(ROOT / "examples" / "photo.png").rgb
    for number in range(count):
        height, width = (int(side) for side in rng.integers(1, 90, 2))
        colours = rng.integers(0, 256, ((1, 2, 3, 4, 5, 16, 17, 256, 3000)[number % 9], 3))
        if number % 4 == 0:
            picture = colours[rng.integers(0, len(colours), (height, width))]
        elif number % 4 == 1:
            step = np.add.outer(np.arange(height) // 3, np.arange(width) // 5)
            picture = colours[step % len(colours)]
        elif number % 4 == 2:
            top, left = rng.integers(0, 300, 2)
            picture = photo[top : top + height, left : left + width] // (1, 16)[number % 8 == 2]
        else:
            picture = np.zeros((height, width, 3)) + colours[0]
            for top, left in rng.integers(0, 90, (9, 2)):
                picture[top : top + 9, left : left + 20] = colours[top % len(colours)]
        yield np.ascontiguousarray(picture, np.uint8)


def by_own_reader(cases: list[tuple[bytes, NDArray[Any]]]) -> list[str]:
    """SHA-256 of what the browser's decoder makes of bitstreams, or the code of an error."""
    lines = [json.dumps([data.hex(), x.shape[1], x.shape[0], x.shape[2]]) for data, x in cases]
    done = subprocess.run(
        [str(NODE), "--input-type=module", "-e", PIXELS_OF],
        cwd=WEB,
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_webp_has_the_pixels_that_were_put_in() -> None:
    pictures = list(drawn(np.random.default_rng(1), 72))
    found = by_own_reader([(encode_graphics(picture), picture) for picture in pictures])
    assert found == [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures]


def test_webp_with_alpha_has_the_samples_that_were_put_in() -> None:
    """Also where all is opaque, or says nothing of colours that are there all the same."""
    rng, pictures = np.random.default_rng(3), []
    for number, rgb in enumerate(drawn(rng, 24)):
        alpha = (rgb[..., :1], rgb[..., :1] | 255, rgb[..., :1] & 0, 255 - rgb[..., 2:])[number % 4]
        pictures.append(np.concatenate([rgb, alpha], 2).astype(np.uint8))
    found = by_own_reader([(encode_graphics(picture), picture) for picture in pictures])
    assert found == [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures]


def test_damaged_webp_is_refused_or_other_pixels() -> None:
    rng, cases = np.random.default_rng(2), []
    for picture in drawn(rng, 36):
        for number in range(6):
            data = bytearray(encode_graphics(picture))
            at = int(rng.integers(5, len(data)))
            if number % 2:
                data[at] ^= 1 << int(rng.integers(8))
            else:
                del data[at:]
            cases.append((bytes(data), picture))
    found = by_own_reader(cases)
    assert len(found) == len(cases) and found.count("corrupt") > len(cases) / 3


def test_webp_whose_code_names_a_symbol_that_there_is_not_is_taken_as_libwebp_takes_it() -> None:
    def stream(distances: list[tuple[int, int]]) -> bytes:
        fields = [(0x2F, 8), (0, 14), (0, 14), (0, 4)]  # 1x1 pixels
        fields += [(0, 1)] * 3  # neither transforms nor a cache nor parts
        for value in (10, 20, 30, 255):
            fields += [(1, 1), (0, 1), (1, 1), (value, 8)]  # the only symbol of its code
        bits = 0
        at = 0
        for value, size in fields + distances:
            bits, at = bits | value << at, at + size
        return bits.to_bytes(-(-at // 8), "little")

    pixel = np.array([[[20, 10, 30]]], np.uint8)
    two = stream([(1, 1), (1, 1), (0, 1), (0, 1), (100, 8)])  # 0, and 100 of 40
    alone = stream([(1, 1), (0, 1), (1, 1), (100, 8)])
    assert np.array_equal(decode_graphics(two, 1, 1), pixel)
    expected = [hashlib.sha256(pixel.tobytes()).hexdigest(), "corrupt"]
    assert by_own_reader([(two, pixel), (alone, pixel)]) == expected
    with pytest.raises(CorruptError):
        decode_graphics(alone, 1, 1)


def test_another_size_or_alpha_is_no_webp_of_a_tile() -> None:
    picture = np.zeros((5, 7, 3), np.uint8)
    data = encode_graphics(picture)
    alpha = data[:4] + bytes([data[4] | 1 << 4]) + data[5:]
    cases = [(data, picture[:4]), (alpha, picture), (b"\x2e" + data[1:], picture), (b"", picture)]
    cases.append((data, np.zeros((5, 7, 4), np.uint8)))
    assert by_own_reader(cases) == ["corrupt"] * 5


def test_damaged_lossless_files_are_refused_as_python_refuses_them(tmp_path: Path) -> None:
    check_damaged(damaged(SOURCES, 72, tmp_path))


@pytest.mark.slow
def test_five_hundred_damaged_lossless_files_are_refused(tmp_path: Path) -> None:
    check_damaged(damaged(SOURCES, 500, tmp_path))


def test_odd_sizes_and_errors_have_the_same_pixels(tmp_path: Path) -> None:
    photo = read_picture(ROOT / "examples" / "photo.png").rgb
    paths = []
    for number, (height, width) in enumerate(((1, 70), (65, 3), (33, 64), (47, 91), (90, 80))):
        part = np.ascontiguousarray(photo[200 : 200 + height, 300 : 300 + width])
        part = part if number % 2 else part[..., 1:2].repeat(3, 2)
        if number == 3:  # with much black and white
            part = np.clip(3 * part.astype(int) - 200, 0, 255).astype(np.uint8)
        alpha = part[..., 0].copy() if number % 3 else None
        picture = Picture(part, alpha, is_grey=number == 2)
        for max_error in (0, 15) if number > 2 else (number,):
            paths.append(tmp_path / f"{number}-{max_error}.rd")
            paths[-1].write_bytes(encode(picture, max_error=max_error).data)
    assert by_node(paths) == [by_python(path) for path in paths]


@pytest.mark.usefixtures("divided")
def test_alpha_of_webp_is_read_and_refused_as_python_does(tmp_path: Path) -> None:
    alpha = np.random.default_rng(5).choice(np.array([40, 250], np.uint8), (9, 1033))
    picture = Picture(np.full((9, 1033, 3), 77, np.uint8), alpha, is_grey=False)
    first, second = _pack_tiles(alpha[:, :1024]), _pack_tiles(alpha[:, 1024:])
    coloured = encode_graphics(np.dstack([alpha, alpha, ~alpha])[:, :1024])
    broken = [
        *(b"\3" + (first + second)[:at] for at in (0, 1, 2, 200, len(first), len(first) + 9)),
        b"\3" + first + second + b"\0",
        b"\3" + first + b"\x80\0" + second[1:],
        b"\3" + pack_varint(len(coloured)) + coloured + second,
        b"\3" + second + first,
        b"\4" + first + second,
    ]
    paths = []
    for number, packed in enumerate([b"\3" + first + second, *broken]):
        with mock.patch("rdae.bitstream.container.pack_alpha", return_value=packed):
            for name, data in (
                ("lossless", encode(picture, max_error=0).data),
                ("lossy", encode(picture, quality=20).data),
            ):
                paths.append(tmp_path / f"{number}-{name}.rd")
                paths[-1].write_bytes(data)
    found = by_node(paths)
    assert found[:2] == [by_python(path) for path in paths[:2]] and None not in found[:2]
    assert found[2:] == [{"error": "corrupt"}] * (2 * len(broken))
    assert [by_python(path) for path in paths[2:]] == [None] * (2 * len(broken))


@pytest.mark.usefixtures("divided")
def test_what_is_left_of_a_damaged_lossless_file_is_shown(tmp_path: Path) -> None:
    waves = np.sin(np.add.outer(np.arange(9) / 9, np.arange(1100) / 30)) * 90 + 120
    picture = Picture(waves.astype(np.uint8)[..., None].repeat(3, 2), None, is_grey=False)
    whole = encode(picture, max_error=0).data
    end = len(whole)
    files = {
        "whole": whole,
        "stream": whole[: end - 12] + bytes([whole[end - 12] ^ 1]) + whole[end - 11 :],
        "cut": whole[: end - 12],
        "more": whole + b"behind the end",
        "nothing": whole[: end // 3],
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    found = dict(zip(files, rescued([tmp_path / name for name in files]), strict=True))
    assert found["whole"] == {"damage": []} and found["nothing"] == {"error": "truncated"}
    assert [one["part"] for one in found["more"]["damage"]] == ["bytes"]
    place = {"index": 1, "x": 1024, "y": 0, "width": 76, "height": 9}
    for name in ("stream", "cut", "more", "whole"):
        rgba = np.frombuffer((tmp_path / f"{name}.rgba").read_bytes(), np.uint8)
        pixels = rgba.reshape(9, 1100, 4)
        assert (pixels[..., 3] == 255).all()
        assert np.array_equal(pixels[:, :1024, :3], picture.rgb[:, :1024])
        if name in ("stream", "cut"):
            (damage,) = found[name]["damage"]
            assert (damage["part"], damage["tile"], damage["filling"]) == ("tile", place, "grey")
            assert (pixels[:, 1024:, :3] == 128).all()
        else:
            assert np.array_equal(pixels[..., :3], picture.rgb)


def over_a_lossy_picture(folder: Path) -> list[Path]:
    """Small exact files with a lossy picture first: with filters, nearly exact, grey."""
    photo = read_picture(ROOT / "examples" / "photo.png").rgb
    paths = []
    for number, (height, width) in enumerate(((66, 90), (19, 40), (33, 17))):
        part = np.ascontiguousarray(photo[200 : 200 + height, 300 : 300 + width])
        part = part if number < 2 else part[..., 1:2].repeat(3, 2)
        picture = Picture(part, None, is_grey=number == 2)
        paths.append(folder / f"over-{number}.rd")
        paths[-1].write_bytes(encode(picture, max_error=number % 2, base=50).data)
    return paths


def test_exact_pixels_over_a_lossy_picture_are_the_same(tmp_path: Path) -> None:
    paths = over_a_lossy_picture(tmp_path)
    assert by_node(paths) == [by_python(path) for path in paths]
    check_damaged(damaged(paths, 24, tmp_path))


def test_of_an_exact_file_with_damage_the_lossy_picture_is_shown(tmp_path: Path) -> None:
    (path, *_) = over_a_lossy_picture(tmp_path)
    whole = path.read_bytes()
    for name, data in {"changed": whole[:-9] + b"?" + whole[-8:], "cut": whole[:-9]}.items():
        (tmp_path / name).write_bytes(data)
        (found,) = rescued([tmp_path / name])
        (damage,) = found["damage"]
        assert (damage["part"], damage["filling"]) == ("tile", "lossy")
        rgba = np.frombuffer((tmp_path / f"{name}.rgba").read_bytes(), np.uint8)
        lossy = decode(whole, lossy=True).rgb
        assert np.array_equal(rgba.reshape(66, 90, 4)[..., :3], lossy)
    place = whole.index(b"L", 15) + 1  # of its length, behind the header
    for length in (b"\x05", b"\x7f"):
        (tmp_path / "framing").write_bytes(whole[:place] + length + whole[place + 1 :])
        (found,) = rescued([tmp_path / "framing"])
        assert found["damage"][0]["part"] == "chunk"
        rgba = np.frombuffer((tmp_path / "framing.rgba").read_bytes(), np.uint8)
        assert np.array_equal(rgba.reshape(66, 90, 4)[..., :3], lossy)


def test_exact_tiles_are_shown_though_the_lossy_picture_is_lost(tmp_path: Path) -> None:
    data = (GOLDEN / "base-rgb.rd").read_bytes()
    reader = ByteReader(data)
    header = read_header(reader)
    chunks = [(chunk.type, bytes(chunk.body)) for chunk in scan(reader, header)]
    start = len(data) - sum(len(pack_chunk(type, body)) for type, body in chunks)
    shape = header.height, header.width, 3
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    exact = b"\1" + encode_graphics(pixels)
    check = zlib.crc32(header.pack() + bytes(4) + pixels.tobytes()).to_bytes(4, "little")
    for name, rest in (("exact", exact + check), ("lost", exact + bytes(4))):
        file = data[:start]
        for type, body in chunks:
            broken = bytes([body[0] ^ 1]) + body[1:]
            file += pack_chunk(type, rest if type == "R" else broken if type == "Y" else body)
        (tmp_path / name).write_bytes(file)
    found, lost = rescued([tmp_path / "exact", tmp_path / "lost"])
    assert lost == {"error": "corrupt"}
    (damage,) = found["damage"]
    assert (damage["tile"]["index"], damage["filling"]) == (0, "exact")
    rgba = np.frombuffer((tmp_path / "exact.rgba").read_bytes(), np.uint8)
    assert np.array_equal(rgba.reshape(*shape[:2], 4)[..., :3], pixels)


def test_a_lossy_model_does_not_decode_lossless_files(tmp_path: Path) -> None:
    data = bytearray((GOLDEN / "lossless-webp.rd").read_bytes())
    data[5:10] = (GOLDEN / "photo-q60.rd").read_bytes()[5:10]  # the model
    data[13:15] = (zlib.crc32(data[:13]) & 0xFFFF).to_bytes(2, "little")
    (tmp_path / "other.rd").write_bytes(data)
    assert by_node([tmp_path / "other.rd"]) == [{"error": "unknown-model"}]

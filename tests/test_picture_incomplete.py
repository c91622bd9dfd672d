"""Files that end before their picture does, though they end well: refused, and whole ones taken."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rdae.errors import UnsupportedImageError
from rdae.images import jpeg_file
from rdae.images.pillow import from_pillow, read_picture
from tests.image_samples import ADAM7, file_of, png_chunk

RGB = np.random.default_rng(3).integers(0, 256, (70, 50, 3), np.uint8)
IMAGE = Image.fromarray(RGB)
END = b"\xff\xd9"

KINDS = {
    "baseline": file_of(IMAGE, "JPEG", quality=90),
    "grey": file_of(IMAGE.convert("L"), "JPEG"),
    "progressive": file_of(IMAGE, "JPEG", progressive=True),
    "full colour": file_of(IMAGE, "JPEG", subsampling="4:4:4"),
    "restarts by row": file_of(IMAGE, "JPEG", restart_marker_rows=1),
    "restarts by block": file_of(IMAGE, "JPEG", restart_marker_blocks=1),
    "progressive restarts": file_of(IMAGE, "JPEG", progressive=True, restart_marker_blocks=3),
    "CMYK": file_of(IMAGE.convert("CMYK"), "JPEG"),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def is_incomplete(data: bytes) -> bool:
    with pytest.raises(UnsupportedImageError) as caught:
        read_picture(io.BytesIO(data), to_srgb=True)
    return "incomplete" in str(caught.value) and "download it again" in (caught.value.hint or "")


@kinds
def test_a_whole_jpeg_is_taken(kind: str) -> None:
    data = KINDS[kind]
    assert jpeg_file.with_extra_bytes(data) is not None
    for behind in (b"", b"more", data):
        picture = read_picture(io.BytesIO(data + behind), to_srgb=True)
        assert (picture.width, picture.height) == (50, 70)


@kinds
@pytest.mark.parametrize("part", [0.7, 0.99])
def test_a_cut_jpeg_with_an_end_marker_is_refused(kind: str, part: float) -> None:
    data = KINDS[kind]
    start = data.index(b"\xff\xda")
    cut = start + round(part * (len(data) - start))
    assert is_incomplete(data[:cut].rstrip(b"\xff") + END)


def test_a_cut_jpeg_that_pillow_has_opened_is_refused() -> None:
    data = KINDS["baseline"]
    with pytest.raises(UnsupportedImageError, match="incomplete"):
        from_pillow(Image.open(io.BytesIO(data[: len(data) // 2] + END)))


def test_scans_and_pieces_that_are_not_there_are_missed() -> None:
    data = KINDS["progressive"]
    assert is_incomplete(data[: data.rindex(b"\xff\xda")] + END)
    data = KINDS["restarts by row"]
    first, second = data.index(b"\xff\xd1"), data.index(b"\xff\xd2")
    assert is_incomplete(data[:first] + data[second:])
    assert is_incomplete(data[:first] + END)
    assert is_incomplete(data[: first + 60] + data[second:])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_no_bytes_make_the_look_at_a_jpeg_fail(data: st.DataObject) -> None:
    file = bytearray(KINDS[data.draw(st.sampled_from(sorted(KINDS)))])
    for _ in range(data.draw(st.integers(0, 6))):
        file[data.draw(st.integers(0, 700))] = data.draw(st.integers(0, 255))
    try:
        jpeg_file.with_extra_bytes(bytes(file[: data.draw(st.integers(0, len(file)))]))
    except UnsupportedImageError as error:
        assert "incomplete" in str(error)


def png(rows: bytes, *, interlace: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", 50, 70, 8, 2, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            png_chunk(b"IHDR", header),
            png_chunk(b"IDAT", zlib.compress(rows)),
            png_chunk(b"IEND", b""),
        ]
    )


def test_a_png_whose_data_end_well_but_early_is_refused() -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in RGB)
    np.testing.assert_array_equal(read_picture(io.BytesIO(png(rows))).rgb, RGB)
    assert is_incomplete(png(rows[: 20 * 151]))
    assert is_incomplete(png(rows[:-1]))
    read_picture(io.BytesIO(png(rows + b"more")))


def test_the_passes_of_an_interlaced_png_are_counted() -> None:
    passes = [RGB[y::down, x::right] for x, y, right, down in ADAM7] + [RGB[1::2]]
    rows = b"".join(b"\0" + row.tobytes() for part in passes for row in part)
    np.testing.assert_array_equal(read_picture(io.BytesIO(png(rows, interlace=1))).rgb, RGB)
    assert is_incomplete(png(rows[:-1], interlace=1))

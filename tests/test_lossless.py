"""The lossless layer: every pixel comes back, by every carrier, whatever the size."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from rdae.bitstream.graphics import encode_graphics
from rdae.bitstream.range_coder import SymbolDecoder, SymbolEncoder
from rdae.errors import CorruptError
from rdae.lossless import fit
from rdae.lossless import stream as pixel_stream
from rdae.lossless.coding import FEW_COLOURS, GRAPHICS, NETWORK, decode_tile, encode_tile
from rdae.lossless.colour import Prediction, limits, to_bins
from rdae.lossless.fit import _set
from rdae.lossless.model import LosslessModel
from rdae.lossless.parameters import LARGEST_SUM, NONE, WINDOWS, Parameters, num_taps
from rdae.lossless.pyramid import PHASES, num_levels, reference
from rdae.lossless.stream import decode_pixels, encode_pixels
from rdae.lossless.tables import NUM_PHASES, NUM_SHAPES, table_index
from rdae.model.installed import load_lossless

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def lossless() -> LosslessModel:
    return load_lossless()


@pytest.fixture(scope="module")
def coded(lossless: LosslessModel, crop: Pixels) -> bytes:
    return encode_pixels(lossless, crop)[0]


def test_every_pixel_of_a_photo_comes_back(
    lossless: LosslessModel, crop: Pixels, coded: bytes
) -> None:
    for threads in (1, 2):
        assert np.array_equal(
            decode_pixels(lossless, coded, *crop.shape[:2], threads=threads), crop
        )
    assert encode_pixels(lossless, crop, threads=2)[0] == coded


def test_a_photo_takes_fewer_bytes_than_webp(lossless: LosslessModel, crop: Pixels) -> None:
    payload, _ = encode_tile(lossless, crop)
    assert payload[0] == NETWORK
    assert len(payload) < len(encode_graphics(crop))


@pytest.mark.parametrize("kernel", ["no", "plain"])
def test_numpy_and_plain_c_decode_the_same(kernel: str, crop: Pixels, coded: bytes) -> None:
    program = (
        "import sys, zlib; from rdae.model.installed import load_lossless\n"
        "from rdae.lossless.stream import decode_pixels\n"
        f"x = decode_pixels(load_lossless(), sys.stdin.buffer.read(), *{crop.shape[:2]})\n"
        "print(zlib.crc32(x.tobytes()))"
    )
    out = subprocess.run(
        [sys.executable, "-c", program],
        input=coded,
        env={**os.environ, "RDAE_KERNEL": kernel},
        capture_output=True,
        check=False,
    )
    if kernel == "plain" and b"there is no kernel" in out.stderr:
        pytest.skip("the kernel was not built")
    assert out.returncode == 0, out.stderr.decode()
    assert int(out.stdout) == zlib.crc32(crop.tobytes())


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 37),
    columns=st.integers(1, 37),
    seed=st.integers(0, 2**32 - 1),
    max_error=st.integers(0, 4),
    kind=st.sampled_from(["noise", "smooth", "flat", "ends", "black", "white", "clipped"]),
    is_grey=st.booleans(),
)
def test_no_sample_is_further_off_than_allowed(
    lossless: LosslessModel,
    rows: int,
    columns: int,
    seed: int,
    max_error: int,
    kind: str,
    is_grey: bool,
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (rows, columns, 3))
    if kind == "smooth":
        x = np.clip(
            x // 32 + 4 * np.arange(rows)[:, None, None] + np.arange(columns)[:, None], 0, 255
        )
    elif kind == "flat":
        x = np.broadcast_to(x[0, 0], x.shape)
    elif kind == "ends":
        x = np.where(x > 127, 255, 0)
    elif kind in ("black", "white"):
        x = np.full_like(x, 255 * (kind == "white"))
    elif kind == "clipped":
        x = np.clip(128 + 20 * (x // 64 + np.arange(columns)[:, None] - columns // 2), 0, 255)
    pixels = x.astype(np.uint8)
    if is_grey:
        pixels = np.repeat(pixels[..., :1], 3, axis=2)
    options: dict[str, Any] = {"is_grey": is_grey, "max_error": max_error}
    payload, promised = encode_tile(lossless, pixels, **options)
    found = decode_tile(lossless, payload, rows, columns, **options)
    assert np.array_equal(found, promised)
    assert np.abs(found.astype(int) - pixels).max() <= max_error
    stream, promised = encode_pixels(lossless, pixels, **options)
    assert np.array_equal(decode_pixels(lossless, stream, rows, columns, **options), promised)


def test_an_error_that_is_allowed_saves_bits(lossless: LosslessModel, crop: Pixels) -> None:
    sizes = []
    for n in (0, 1, 4):
        stream, promised = encode_pixels(lossless, crop, max_error=n)
        assert np.abs(promised.astype(int) - crop).max() == n
        found = decode_pixels(lossless, stream, *crop.shape[:2], max_error=n)
        assert np.array_equal(found, promised)  # with parameters, which small pictures have not
        sizes.append(len(stream))
    assert sizes[0] > 1.3 * sizes[1] > 1.3 * 1.3 * sizes[2]


def test_impossible_residuals_cost_nothing(lossless: LosslessModel, crop: Pixels) -> None:
    """Where half of a distribution lies beyond white, a bit of each sample was for nothing."""
    clipped = np.clip(3 * crop[:64, :96].astype(int) - 80, 0, 255).astype(np.uint8)
    assert (clipped == 255).mean() > 0.4 and (clipped == 0).mean() > 0.02
    stream, _ = encode_pixels(lossless, clipped)
    assert np.array_equal(decode_pixels(lossless, stream, 64, 96), clipped)
    with mock.patch.object(pixel_stream, "limits", lambda mean, _: no_limits(mean.size)):
        unlimited, _ = encode_pixels(lossless, clipped)
    assert len(stream) < 0.9 * len(unlimited)


def no_limits(count: int) -> NDArray[np.int16]:
    return np.tile(np.array([-999, 999], np.int16), (count, 1))


@pytest.mark.parametrize("max_error", [0, 1, 4, 15])
def test_limits_are_those_of_the_samples(max_error: int) -> None:
    width, bins = 2 * max_error + 1, np.arange(-300, 301)
    for m, (least, most) in enumerate(limits(128 * np.arange(256), max_error).tolist()):
        samples = m + bins * width
        legal = bins[(samples >= -max_error) & (samples <= 255 + max_error)]
        assert (least, most) == (legal[0], legal[-1])


@pytest.mark.parametrize(("max_error", "near"), [(0, 2), (2, 1)])
def test_a_sample_that_cannot_be_is_written_by_an_escape_only_and_refused(
    lossless: LosslessModel, max_error: int, near: int
) -> None:
    white = np.full((4, 4, 3), 255, np.uint8)

    def stream(residual: int) -> bytes:
        def wrong(pixels: Any, *_: Any) -> tuple[Any, Any]:
            return np.full(pixels.shape, residual), pixels

        with mock.patch.object(pixel_stream, "to_bins", wrong):
            return encode_pixels(lossless, white, max_error=max_error)[0]

    for far in (300, -300):
        with pytest.raises(CorruptError, match="outside of 0 to 255"):
            decode_pixels(lossless, stream(far), 4, 4, max_error=max_error)
    with pytest.raises(ValueError, match="beyond its limits"):
        stream(near)


@pytest.mark.parametrize("max_error", [0, 3])
def test_pictures_made_for_wild_filters_are_coded(lossless: LosslessModel, max_error: int) -> None:
    """What least squares finds for them would leave 32 bits."""
    rng = np.random.default_rng(1)
    signs = rng.integers(0, 2, (128, 128, 3)) * 2 - 1
    x = np.full((256, 256, 3), 128)
    x[::2, ::2] += signs
    around = np.pad(signs, ((2, 3), (2, 3), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(around, (6, 6, 1))[..., 0]
    for row, column in PHASES:
        factors = 8 * rng.choice([-1, 1], (3, *windows.shape[2:]))
        x[row::2, column::2] += np.einsum("yxcij,kcij->yxk", windows, factors)
    x = np.clip(x, 0, 255).astype(np.uint8)
    sums = []

    def noted(parameters: Parameters, *arguments: Any) -> None:
        _set(parameters, *arguments)
        sums.append(np.abs(parameters.filter).sum(0).max())

    with mock.patch.object(fit, "_set", noted):
        stream, promised = encode_pixels(lossless, x, max_error=max_error)
    assert max(sums) > 0.9 * LARGEST_SUM  # or nothing was tried
    assert np.abs(promised.astype(int) - x).max() <= max_error
    decoded = decode_pixels(lossless, stream, 256, 256, max_error=max_error)
    assert np.array_equal(decoded, promised)


def test_drawings_are_left_to_webp(lossless: LosslessModel) -> None:
    drawing = np.zeros((64, 90, 3), np.uint8)
    drawing[10:20, 5:50] = (200, 30, 40)
    payload, promised = encode_tile(lossless, drawing)
    assert payload[0] == GRAPHICS and len(payload) < 100
    assert np.array_equal(decode_tile(lossless, payload, 64, 90), promised)
    assert np.array_equal(promised, drawing)


@pytest.mark.parametrize("kind", ["grey", "smooth grey", "tiny"])
def test_what_only_has_few_colours_is_no_drawing(
    kind: str, lossless: LosslessModel, crop: Pixels
) -> None:
    is_grey = kind != "tiny"
    pixels = np.repeat(crop[..., 1:2], 3, axis=2) if is_grey else crop[:8, :8].copy()
    if kind == "smooth grey":
        large = Image.fromarray(pixels[:20, :20]).resize((160, 160), Image.Resampling.BICUBIC)
        pixels = np.asarray(large)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) <= FEW_COLOURS
    payload, _ = encode_tile(lossless, pixels, is_grey=is_grey)
    assert payload[0] == NETWORK
    assert len(payload) < len(encode_graphics(pixels))


def test_damaged_tiles_are_refused_or_other_pixels(
    lossless: LosslessModel, crop: Pixels, coded: bytes
) -> None:
    rng = np.random.default_rng(3)
    small = np.ascontiguousarray(crop[:40, :40])
    payloads = [bytes([NETWORK]) + encode_pixels(lossless, small)[0]]
    payloads.append(encode_tile(lossless, np.zeros((40, 40, 3), np.uint8))[0])
    for payload in payloads:
        for _ in range(60):
            broken = bytearray(payload)
            for at in rng.integers(0, len(broken), rng.integers(1, 4)):
                broken[at] = rng.integers(256)
            if rng.random() < 0.3:
                del broken[rng.integers(len(broken)) :]
            try:
                found = decode_tile(lossless, bytes(broken), 40, 40)
            except CorruptError:
                continue
            assert found.shape == (40, 40, 3)
    for payload in (b"", b"\2abc", b"\1", b"\1/\0\0\0\0", b"\0abc"):
        with pytest.raises(CorruptError):
            decode_tile(lossless, payload, 40, 40)


@pytest.mark.parametrize("kind", [NONE, *WINDOWS])
def test_parameters_come_back(lossless: LosslessModel, kind: int) -> None:
    rng = np.random.default_rng(kind)
    tables = lossless.mixtures.family()
    for number in range(3):
        given = Parameters(kind=kind)
        for name in ("slope", "row", "shape", "statistic"):
            setattr(given, name, rng.integers(-128, 128, 3).astype(np.int32))
        if kind != NONE:
            given.filter = rng.integers(-99, 99, (num_taps(number, kind), 3)).astype(np.int32)
            for name in ("offset", "factors", "gain"):
                setattr(given, name, rng.integers(-500, 500, 3).astype(np.int32))
        encoder = SymbolEncoder()
        given.write(encoder, tables)
        found = Parameters.read(SymbolDecoder(encoder.finish()), tables, number)
        for name, value in vars(given).items():
            assert np.array_equal(getattr(found, name), value), name


def test_filters_whose_sums_leave_32_bits_are_refused() -> None:
    wild = Parameters(kind=1, filter=np.full((12, 3), 32767, np.int32))
    with pytest.raises(CorruptError, match="32 bits"):
        wild.layer()


@pytest.mark.parametrize("width", [1, 3])
def test_tables_are_wide_where_scales_are(lossless: LosslessModel, width: int) -> None:
    family = lossless.mixtures.family(width)
    means, spreads = [], []
    for scale in range(48):
        t = int(table_index(np.array(scale), np.array(NUM_PHASES - 1), np.array(NUM_SHAPES - 1)))
        start, size = int(family.starts[t]), int(family.sizes[t])
        p = family.freqs[start : start + size - 1] / (1 << 24)
        values = family.lows[t] + np.arange(size - 1)
        means.append(float(p @ values))
        spreads.append(float(p @ values**2))
    assert spreads == sorted(spreads)
    assert all(mean > 0 for mean in means[:20])  # the phase lies above the rounded mean


def test_bins_are_the_nearest() -> None:
    means, pixels = (grid.astype(np.int16) for grid in np.mgrid[0:256:5, 0:256])
    zero = np.zeros(means.shape, int)
    for n in range(5):
        at = Prediction(means * 128, zero.astype(np.uint8), zero.astype(np.uint16))
        bins, decoded = to_bins(pixels, at, n)
        assert np.abs(pixels - (means + bins * (2 * n + 1))).max() == n
        assert np.array_equal(decoded, np.clip(means + bins * (2 * n + 1), 0, 255))


def test_the_pyramid_ends_in_one_pixel() -> None:
    for rows, columns in ((1, 1), (1, 2), (3, 5), (64, 64), (65, 2)):
        top = num_levels(rows, columns)
        assert np.zeros((rows, columns))[:: 1 << top, :: 1 << top].shape == (1, 1)
        assert top == 0 or np.zeros((rows, columns))[:: 1 << top - 1, :: 1 << top - 1].size > 1


def test_references_of_a_plane_lie_on_it() -> None:
    rows, columns = np.mgrid[:4, :6]
    plane = np.repeat((10 + 8 * rows + 4 * columns)[..., None], 3, axis=2)
    found = reference(plane)[:-1, :-1]
    for phase, slope in enumerate((0, 2, 4, 6)):
        assert np.array_equal(found[:, :, phase], 4 * (plane[:-1, :-1] + slope))

"""The codec's story on one page: a Picture to the bytes of a .rd file, and back.

    Picture ─> analysis ─> y ─> per tile: z, four passes ─> symbols ─> range coder ─> bytes
    bytes ─> per tile: symbols, y_hat ─> synthesis over the whole grid ─> Picture

Tiles are coded independently, on several threads; only the synthesis runs over the assembled
grid, so there are no seams. Decoding is exact: the same bytes give the same pixels everywhere.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdae.bitstream.container import read_container
from rdae.bitstream.damage import Cut, Damage, damage_text, rescue_text
from rdae.bitstream.header import Header
from rdae.bitstream.info import Info, parse_info
from rdae.bitstream.salvage import Parts, read_parts
from rdae.bitstream.tiles import tile_counts
from rdae.codec.decoder import decode_region, find_damaged_tiles
from rdae.codec.encoder import Encoder, check_padding
from rdae.codec.lossless import decode_lossless, encode_lossless, find_damaged_pixels
from rdae.codec.progress import Progress, Report
from rdae.codec.rest import decode_exact, encode_rest, find_inexact
from rdae.codec.targets import encode_from, encode_within
from rdae.errors import BitstreamError, TruncatedError, option
from rdae.geometry import Rectangle
from rdae.images.picture import Picture
from rdae.limits import MAX_PIXELS
from rdae.model.installed import find_model, load_lossless, load_model
from rdae.model.model import Model
from rdae.scales import (
    DEFAULT_EFFORT,
    DEFAULT_QUALITY,
    MAX_EFFORT,
    MAX_ERROR,
    PLAIN_EFFORT,
    REFINED_EFFORT,
    TUNES,
    quality_to_point,
)
from rdae.threads import default_threads

__all__ = [
    "DEFAULT_EFFORT",
    "DEFAULT_QUALITY",
    "MAX_PIXELS",
    "Encoded",
    "Progress",
    "Rectangle",
    "Rescued",
    "check_padding",
    "damage_error",
    "decode",
    "encode",
    "find_damage",
    "most_bytes",
    "preview",
    "read_info",
    "rescue",
]

_NO_FILE_BYTES = 2.0**53


@dataclass(frozen=True)
class Encoded:
    """An encoded picture.

    Attributes:
        data: the bytes of the .rd file.
        info: its size in parts, as `read_info` gives it.
        encode_s: wall time of the encoding in seconds, without loading the model.
        tries: for how many quality points size or PSNR was estimated to meet a target.
    """

    data: bytes
    info: Info
    encode_s: float
    tries: int = 0


@dataclass(frozen=True)
class Rescued:
    """What could be decoded of a damaged file.

    Attributes:
        picture: complete in size, with something else in the place of what is broken.
        header: of the file.
        damage: what is broken; empty if nothing is, and the picture is as it should be.
        cut: where the file was cut off, if it was.
    """

    picture: Picture
    header: Header
    damage: tuple[Damage, ...]
    cut: Cut | None = None

    @property
    def text(self) -> str:
        """One line that says what is broken and what stands in its place; "" if nothing is."""
        return rescue_text(self.damage, self.header, self.cut)


def encode(
    picture: Picture,
    *,
    quality: float = DEFAULT_QUALITY,
    target_size: int | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    effort: int = DEFAULT_EFFORT,
    tune: str | None = None,
    max_error: int | None = None,
    base: float | None = None,
    model: Model | None = None,
    threads: int | None = None,
    progress: Report | None = None,
) -> Encoded:
    """Encode a picture.

    Args:
        picture: what to encode.
        quality: 0 (smallest) to 100 (best).
        target_size: find the best quality whose file, metadata included, is not larger, instead of
            taking `quality`.
        target_bpp: the same in bits per pixel of the picture.
        target_psnr: find the smallest file whose decoded picture has this PSNR in dB, instead. With
            any target, an effort of 3 or more makes several searches, most often three to six.
        effort: 1 (fastest) to 9 (fewest bits at equal quality); from 3 on it needs torch. It does
            not change decoding.
        tune: what an effort of 3 or more saves bits at: "psnr" for squared error, "eye" for a mix
            of it with SSIMULACRA2 and MS-SSIM; if None what the model was trained for, and
            squared error with a target_psnr.
        max_error: write a lossless file instead: 0 for exact pixels, up to 15 for samples that may
            be that far from the given ones. The quality does not count then, nor do effort and
            model if there is no `base`.
        base: quality of a lossy picture that such a file has first, 0 to 100; None for none. The
            pixels are coded given that one.
        model: the model; the default one if None.
        threads: how many threads to use; one per core if None.
        progress: is called now and then, from any thread, one at a time: after each tile, or
            while an effort of 3 or more searches.

    Raises:
        ValueError: quality or effort is out of range, several targets are given, or a tune that
            there is not or that does not count at this effort.
        TooLargeError: a side is longer than a header can say.
        RateTargetError: the target cannot be met.
        MissingDependencyError: the effort needs torch.
        WeightsNotFoundError: there is no default model.
    """
    targets = [target for target in (target_size, target_bpp, target_psnr) if target is not None]
    if len(targets) > 1:
        raise ValueError("target_size, target_bpp and target_psnr exclude each other")
    if max_error is not None and targets:
        raise ValueError("max_error and targets exclude each other")
    if max_error is not None and max_error not in range(MAX_ERROR + 1):
        raise ValueError(f"max_error must be from 0 to {MAX_ERROR}, got {max_error!r}")
    for target in targets:
        if not 0 < target < math.inf:
            raise ValueError(f"a target is a number above 0, not {target}")
    if target_bpp is not None:
        target_size = most_bytes(target_bpp, picture.width * picture.height)
    if effort not in range(PLAIN_EFFORT, MAX_EFFORT + 1):
        raise ValueError(f"effort must be from 1 to 9, got {effort!r}")
    if tune is not None and tune not in TUNES:
        raise ValueError(f"tune must be {' or '.join(TUNES)}, got {tune!r}")
    if base is not None and max_error is None:
        raise ValueError("base goes with lossless files: give a max_error, 0 for exact pixels")
    is_all_exact = max_error is not None and base is None
    if tune is not None and (effort < REFINED_EFFORT or is_all_exact):
        raise ValueError(f"tune counts from effort {REFINED_EFFORT} on, in lossy files")
    point = quality_to_point(quality)
    threads = threads or default_threads()
    if max_error is not None and base is not None:
        model, lossless = model or load_model(), load_lossless()
        start = time.perf_counter()
        settings: dict[str, Any] = {"effort": effort, "tune": tune, "threads": threads}
        lossy = encode(picture, quality=base, model=model, progress=progress, **settings).data
        data = encode_rest(
            picture,
            lossy,
            model,
            lossless,
            max_error=max_error,
            threads=threads,
            progress=progress,
        )
        return Encoded(data, parse_info(data), time.perf_counter() - start)
    if max_error is not None:
        lossless = load_lossless()
        start = time.perf_counter()
        data = encode_lossless(
            picture, lossless, max_error=max_error, threads=threads, progress=progress
        )
        return Encoded(data, parse_info(data), time.perf_counter() - start)
    model = model or load_model()
    start = time.perf_counter()
    if effort < REFINED_EFFORT:
        encoder = Encoder(picture, model, effort=effort, threads=threads, progress=progress)
    else:
        from rdae.codec.refined import RefiningEncoder  # imports torch

        if target_psnr is not None:
            tune = tune or "psnr"
        encoder = RefiningEncoder(
            picture, model, effort=effort, tune=tune, threads=threads, progress=progress
        )
    if target_size is not None:
        data = encode_within(encoder, target_size, target_bpp=target_bpp)
    elif target_psnr is not None:
        data = encode_from(encoder, target_psnr)
    else:
        data = encoder.encode(point)
    return Encoded(data, parse_info(data), time.perf_counter() - start, encoder.tries)


def most_bytes(bpp: float, pixels: int) -> int:
    """The largest size of a file that has at most so many bits per pixel; 1 byte at least.

    A product may be rounded to the wrong side, so what counts is the quotient, as of `Info.bpp`.
    """
    size = math.floor(min(bpp * pixels / 8, _NO_FILE_BYTES)) + 1
    while 8 * size / pixels > bpp:
        size -= 1
    return max(1, size)


def decode(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    weights: Path | None = None,
    threads: int | None = None,
    region: Rectangle | None = None,
    lossy: bool = False,
    progress: Report | None = None,
) -> Picture:
    """Decode the bytes of a .rd file.

    Args:
        data: the whole file.
        max_pixels: refuse larger pictures before anything is allocated for them; with a region,
            larger regions, and with alpha too many pixels in all rows down to the region's last.
        weights: a weights file to use instead of the installed ones; it must be the file's model.
        threads: how many threads to use; one per core if None.
        region: the part to decode, the same pixels as in the whole; the whole if None. Time and
            memory are those of the part, and damage to tiles that it does not need is not seen.
        lossy: of an exact file that has a lossy picture first, decode that; the rest is not read.
        progress: is called now and then, from any thread, one at a time.

    Raises:
        BitstreamError: the bytes are not a valid .rd file.
        TooLargeError: there are more than `max_pixels` pixels to decode.
        RegionError: the region is not inside of the picture.
        ModelError: the file's model is not there.
    """
    if region is None:
        parts = Parts.of(read_container(data, max_pixels=max_pixels, only_lossy=lossy))
    else:
        parts = read_parts(data, region=region, max_pixels=max_pixels, only_lossy=lossy)
        parts.check_front()
    return _picture(parts, weights, threads, progress, best_effort=False)


def rescue(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    weights: Path | None = None,
    threads: int | None = None,
    region: Rectangle | None = None,
    lossy: bool = False,
    progress: Report | None = None,
) -> Rescued:
    """Decode what is left of a damaged .rd file.

    A file that was cut off gives a coarse picture, as good as what is there. Other broken or
    missing tiles are filled from what surrounds them; they are grey where nothing intact does, as
    in a picture of one tile. A broken alpha plane is opaque, broken metadata is left out.
    The rest is as `decode` would return it without the damage, but for the pixels next to a broken
    tile that the synthesis lets it touch.

    Args and errors are those of `decode`, but of `BitstreamError` there are only those of the
    header, without which there is nothing to rescue.
    """
    parts = read_parts(data, region=region, max_pixels=max_pixels, only_lossy=lossy)
    picture = _picture(parts, weights, threads, progress, best_effort=True)
    return Rescued(picture, parts.header, tuple(parts.damage), parts.cut)


def preview(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    weights: Path | None = None,
    threads: int | None = None,
) -> Picture:
    """Decode the beginning of a .rd file, as far as it goes; a whole file as `decode` does.

    Args and errors are those of `decode`.

    Raises:
        TruncatedError: nothing of the colours is there.
        BitstreamError: this is not the beginning of a valid .rd file.
    """
    parts = read_parts(data, max_pixels=max_pixels)
    if not parts.tiles and not parts.beginnings:
        raise parts.damage[0].error
    picture = _picture(parts, weights, threads, None, best_effort=True)
    for damage in parts.damage:
        if not isinstance(damage.error, TruncatedError):
            raise damage.error
    return picture


def find_damage(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    weights: Path | None = None,
    threads: int | None = None,
    progress: Report | None = None,
) -> tuple[Header, list[Damage]]:
    """Decode and check all that a .rd file codes, without making pixels of it.

    Returns:
        The header, and everything that is broken; nothing is, exactly when `decode` succeeds.

    Raises:
        BitstreamError: the header is damaged or not one.
        TooLargeError: the picture has more than `max_pixels` pixels.
        ModelError: the file's model is not there.
    """
    parts = read_parts(data, max_pixels=max_pixels)
    header = parts.header
    threads = threads or default_threads()
    if header.is_lossless:
        tiles = find_damaged_pixels(parts, weights, threads, progress)
    elif parts.rest is not None:
        tiles = find_inexact(parts, weights, threads, progress)
    else:
        model = find_model(header.model_id, header.fingerprint, weights)
        tiles = find_damaged_tiles(parts, model, threads, progress)
    return header, tiles + [damage for damage in parts.damage if damage.tile is None]


def damage_error(damage: Sequence[Damage], header: Header) -> BitstreamError:
    """Return one error that names all of what `find_damage` has found, and the way out."""
    rows, columns = tile_counts(header.width, header.height)
    is_lost = sum(one.tile is not None and not one.is_begun for one in damage) == rows * columns
    left = (
        "nothing of the colours is left to save"
        if is_lost
        else f"decompress with {option('best_effort')} saves what is left"
    )
    hint = f"copy or download it again; {left}"
    return type(damage[0].error)(damage_text(damage, header), hint=hint)


def _picture(
    parts: Parts,
    weights: Path | None,
    threads: int | None,
    progress: Report | None,
    *,
    best_effort: bool,
) -> Picture:
    """Decode the colours, and put them together with what else a file holds."""
    header = parts.header
    threads = threads or default_threads()
    if header.is_lossless:
        rgb = decode_lossless(parts, weights, threads, best_effort=best_effort, progress=progress)
    elif parts.rest is not None:
        rgb = decode_exact(parts, weights, threads, best_effort=best_effort, progress=progress)
    else:
        model = find_model(header.model_id, header.fingerprint, weights)
        rgb = decode_region(parts, model, threads, best_effort=best_effort, progress=progress)
    picture = Picture(rgb, parts.alpha, header.is_grey, **parts.metadata)
    is_whole = (picture.width, picture.height) == (header.width, header.height)
    return picture if is_whole else picture.with_pixels(picture.rgb, picture.alpha)


def read_info(data: bytes) -> Info:
    """Read what a .rd file contains without decoding it; no weights are needed.

    Raises:
        BitstreamError: the bytes are not a valid .rd file.
    """
    return parse_info(data)

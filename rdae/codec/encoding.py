"""A picture to the bytes of a .rd file, as good or as small as it is wished.

    Picture ─> analysis ─> y ─> per tile: z, four passes ─> symbols ─> range coder ─> bytes

Tiles are coded independently, on several threads.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from rdae.bitstream.info import Info, parse_info
from rdae.codec.encoder import Encoder
from rdae.codec.measures import PSNR, SSIMULACRA2
from rdae.codec.progress import Report, share_of
from rdae.codec.targets import encode_from, encode_within
from rdae.distortion import SSIMULACRA2_SIDE, require_ssimulacra2
from rdae.errors import UnsupportedImageError
from rdae.images.picture import Picture
from rdae.images.transparency import with_hidden_smoothed
from rdae.model.installed import load_lossless, load_model
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

# of the time that an exact file takes, for the lossy picture that it has first
BASE_SHARE, SEARCHED_BASE_SHARE = 0.1, 0.9
_NO_FILE_BYTES = 2.0**53


@dataclass(frozen=True)
class Encoded:
    """An encoded picture.

    Attributes:
        data: the bytes of the .rd file.
        info: its size in parts, as `read_info` gives it.
        encode_s: wall time of the encoding in seconds, without loading the model.
        tries: for how many quality points size or likeness was estimated to meet a target.
    """

    data: bytes
    info: Info
    encode_s: float
    tries: int = 0


def encode(
    picture: Picture,
    *,
    quality: float = DEFAULT_QUALITY,
    target_size: int | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    target_ssimulacra2: float | None = None,
    effort: int = DEFAULT_EFFORT,
    tune: str | None = None,
    max_error: int | None = None,
    base: float | None = None,
    model: Model | None = None,
    threads: int | None = None,
    progress: Report | None = None,
) -> Encoded:
    """Encode a picture.

    Colours under alpha 0, which nobody sees, are kept by lossless files and those with a `base`
    alone; in others they are what takes the fewest bits.

    Args:
        picture: what to encode.
        quality: 0 (smallest) to 100 (best).
        target_size: find the best quality whose file, metadata included, is not larger, instead of
            taking `quality`.
        target_bpp: the same in bits per pixel of the picture.
        target_psnr: find the smallest file whose decoded picture has this PSNR in dB, instead. With
            any target, an effort of 3 or more makes several searches, most often three to six.
        target_ssimulacra2: the same of SSIMULACRA2; needs the package ssimulacra2.
        effort: 1 (fastest) to 9 (fewest bits at equal quality); from 3 on it needs torch. It does
            not change decoding.
        tune: what an effort of 3 or more saves bits at: "psnr" for squared error, "eye" for a mix
            of it with SSIMULACRA2, MS-SSIM and SSIM; if None what the model was trained for, and
            squared error with a target_psnr, and the eye with a target_ssimulacra2.
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
        UnsupportedImageError: the picture is too small for SSIMULACRA2.
        ValueError: quality or effort is out of range, several targets are given, or a tune that
            there is not or that does not count at this effort.
        TooLargeError: a side is longer than a header can say.
        RateTargetError: the target cannot be met.
        MissingDependencyError: the effort needs torch, or the target the package ssimulacra2.
        WeightsNotFoundError: there is no default model.
    """
    every = {
        "target_size": target_size,
        "target_bpp": target_bpp,
        "target_psnr": target_psnr,
        "target_ssimulacra2": target_ssimulacra2,
    }
    targets = [target for target in every.values() if target is not None]
    if len(targets) > 1:
        raise ValueError(f"{', '.join(every)} exclude each other")
    if max_error is not None and targets:
        raise ValueError("max_error and targets exclude each other")
    if max_error is not None:
        if max_error not in range(MAX_ERROR + 1):
            raise ValueError(f"max_error must be from 0 to {MAX_ERROR}, got {max_error!r}")
        max_error = int(max_error)  # also of 2.0
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
    if base is not None and not 0 <= base <= 100:
        raise ValueError(f"base must be from 0 to 100, got {base!r}")
    is_all_exact = max_error is not None and base is None
    if tune is not None and (effort < REFINED_EFFORT or is_all_exact):
        raise ValueError(f"tune counts from effort {REFINED_EFFORT} on, in lossy files")
    if target_ssimulacra2 is not None:
        _check_judged(picture)
    point = quality_to_point(quality)
    threads = threads or default_threads()
    if max_error is not None and base is not None:
        from rdae.codec.rest import encode_rest

        model, lossless = model or load_model(), load_lossless()
        start = time.perf_counter()
        share = BASE_SHARE if effort < REFINED_EFFORT else SEARCHED_BASE_SHARE
        first = share_of(progress, 0, share)
        encoder = _encoder(picture, model, effort, tune, threads, first)
        lossy = encoder.encode(quality_to_point(base))
        data = encode_rest(
            picture,
            lossy,
            model,
            lossless,
            max_error=max_error,
            threads=threads,
            progress=share_of(progress, share, 1),
        )
        return Encoded(data, parse_info(data), time.perf_counter() - start)
    if max_error is not None:
        from rdae.codec.lossless import encode_lossless

        lossless = load_lossless()
        start = time.perf_counter()
        data = encode_lossless(
            picture, lossless, max_error=max_error, threads=threads, progress=progress
        )
        return Encoded(data, parse_info(data), time.perf_counter() - start)
    model = model or load_model()
    start = time.perf_counter()
    if effort >= REFINED_EFFORT and target_psnr is not None:
        tune = tune or "psnr"
    elif effort >= REFINED_EFFORT and target_ssimulacra2 is not None:
        tune = tune or "eye"
    picture = with_hidden_smoothed(picture)  # bits for it would be bits for nothing
    encoder = _encoder(picture, model, effort, tune, threads, progress)
    if target_size is not None:
        data = encode_within(encoder, target_size, target_bpp=target_bpp)
    elif target_psnr is not None:
        data = encode_from(encoder, PSNR, target_psnr)
    elif target_ssimulacra2 is not None:
        data = encode_from(encoder, SSIMULACRA2, target_ssimulacra2)
    else:
        data = encoder.encode(point)
    return Encoded(data, parse_info(data), time.perf_counter() - start, encoder.tries)


def _encoder(
    picture: Picture,
    model: Model,
    effort: int,
    tune: str | None,
    threads: int,
    progress: Report | None,
) -> Encoder:
    """What makes lossy files of a picture at an effort."""
    if effort < REFINED_EFFORT:
        return Encoder(picture, model, effort=effort, threads=threads, progress=progress)
    from rdae.codec.refined import RefiningEncoder  # imports torch

    return RefiningEncoder(
        picture, model, effort=effort, tune=tune, threads=threads, progress=progress
    )


def _check_judged(picture: Picture) -> None:
    """Refuse what SSIMULACRA2 cannot judge, before any work."""
    require_ssimulacra2()
    if min(picture.width, picture.height) < SSIMULACRA2_SIDE:
        raise UnsupportedImageError(
            f"SSIMULACRA2 needs sides of {SSIMULACRA2_SIDE} pixels or more, the picture is "
            f"{picture.width}x{picture.height}",
            hint="ask for a quality, a PSNR or lossless",
        )


def most_bytes(bpp: float, pixels: int) -> int:
    """The largest size of a file that has at most so many bits per pixel; 1 byte at least.

    A product may be rounded to the wrong side, so what counts is the quotient, as of `Info.bpp`.
    """
    size = math.floor(min(bpp * pixels / 8, _NO_FILE_BYTES)) + 1
    while 8 * size / pixels > bpp:
        size -= 1
    return max(1, size)

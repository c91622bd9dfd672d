"""Which of a picture's two files is kept, the lossy or the lossless one.

Drawings, screenshots and tiny pictures often take fewer bytes exactly than blurred: with
`lossless="auto"` the smaller file is kept. The lossless one is coded only where WebP says that it
may win, so that photographs are not held up. A picture of a single colour is kept exactly also
where nothing of the kind is asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from rdae.codec.encoding import Encoded, encode, most_bytes
from rdae.codec.targets import enough_bpp
from rdae.errors import RateTargetError, grouped, option
from rdae.images.picture import Picture
from rdae.lossless.estimate import NETWORK_GAIN, drawn_bytes


@dataclass(frozen=True)
class Choice:
    """What became of a picture.

    Attributes:
        kept: the file; `kept.info.is_lossless` says which one it is.
        other_bytes: size of the other one; None if it was not coded.
    """

    kept: Encoded
    other_bytes: int | None = None


def encode_smaller(picture: Picture, **settings: Any) -> Choice:
    """Encode a picture as it was asked for and, where it pays, losslessly.

    Kept is the lossless file if it is not larger. With a largest size it is kept if it is within
    that, since no quality is better; and where the model does not reach a PSNR or a size, too.

    Args:
        picture: what to encode.
        settings: keywords of `encode` but `max_error`, with its errors.
    """
    limit = _largest_size(picture, settings)
    try:
        lossy = encode(picture, **settings)
    except RateTargetError as error:
        most = math.inf if limit is None else limit
        exact = _lossless_within(max(most, error.reachable), picture, settings)
        if exact is not None and len(exact.data) <= most:
            return Choice(exact)
        if exact is not None and len(exact.data) < error.reachable:
            raise _nearer(error, exact, settings) from None
        raise
    most = len(lossy.data) if limit is None else limit
    info = lossy.info
    exact = _lossless_within(most - info.metadata_bytes, picture, settings, info.alpha_bytes)
    if exact is None:
        return Choice(lossy)
    both_s = lossy.encode_s + exact.encode_s
    if len(exact.data) <= most:
        return Choice(replace(exact, encode_s=both_s), len(lossy.data))
    return Choice(replace(lossy, encode_s=both_s), len(exact.data))


def _nearer(error: RateTargetError, exact: Encoded, settings: dict[str, Any]) -> RateTargetError:
    """The error of a size that is too small for either file, whose way out is the lossless one."""
    size = len(exact.data)
    bpp = enough_bpp(size, exact.info.width * exact.info.height)
    by_size = settings.get("target_bpp") is None
    way_out = option("target_size", size) if by_size else option("target_bpp", bpp)
    said = f"{error}; without any loss {grouped(size)} bytes, {bpp:g} bpp"
    return RateTargetError(said, reachable=size, hint=f"{way_out} or more")


def encode_asked(picture: Picture, **settings: Any) -> Choice:
    """Encode a picture as it was asked for, but one of a single colour exactly.

    A lossy model misses a plain colour by some levels, which shows beside the same colour on a
    page, and the exact file has some forty bytes for each tile. It is not kept where it exceeds a
    largest size, where another target or a tune asks for a search, or where a largest error is
    given. A caller who was told which model to take asks `encode` itself.

    Args:
        picture: what to encode.
        settings: keywords of `encode`, with its errors.
    """
    others = ("target_psnr", "target_ssimulacra2", "tune", "max_error")
    sizes = [settings.get(name) for name in ("target_size", "target_bpp")]
    is_free = all(settings.get(name) is None for name in others)
    is_free = is_free and all(size is None or 0 < size < math.inf for size in sizes)
    if is_free and _has_one_colour(picture):
        limit = _largest_size(picture, settings)
        kept = ("quality", "effort", "threads", "progress")
        exact = encode(picture, max_error=0, **{k: settings[k] for k in kept if k in settings})
        if limit is None or len(exact.data) <= limit:
            return Choice(exact)
    return Choice(encode(picture, **settings))


def _has_one_colour(picture: Picture) -> bool:
    first = picture.rgb[0, 0]
    # Most pictures are told by their first row.
    return bool((picture.rgb[0] == first).all() and (picture.rgb == first).all())


def _largest_size(picture: Picture, settings: dict[str, Any]) -> int | None:
    """The largest size in bytes that was asked for, if one was."""
    size, bpp = settings.get("target_size"), settings.get("target_bpp")
    return size if bpp is None else most_bytes(bpp, picture.width * picture.height)


def _lossless_within(
    most: float, picture: Picture, settings: dict[str, Any], alpha_bytes: int = 0
) -> Encoded | None:
    """The lossless file, None if its pixels and alpha surely take more bytes."""
    if drawn_bytes(picture, alpha_bytes, NETWORK_GAIN * most) is None:
        return None
    return encode(
        picture,
        max_error=0,
        threads=settings.get("threads"),
        progress=settings.get("progress"),
    )

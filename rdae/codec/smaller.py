"""The smaller of a picture's two files, lossy or lossless: what `lossless="auto"` asks for.

Drawings, screenshots and tiny pictures often take fewer bytes exactly than blurred. The lossless
file is coded only where WebP says that it may win, so that photographs are not held up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from rdae.codec.encoding import Encoded, encode, most_bytes
from rdae.errors import RateTargetError
from rdae.images.picture import Picture
from rdae.lossless.estimate import NETWORK_GAIN, graphics_bytes


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
    except RateTargetError:
        most = math.inf if limit is None else limit
        exact = _lossless_within(most, picture, settings)
        if exact is None or len(exact.data) > most:
            raise
        return Choice(exact)
    most = len(lossy.data) if limit is None else limit
    in_both = lossy.info.alpha_bytes + lossy.info.metadata_bytes
    exact = _lossless_within(most - in_both, picture, settings)
    if exact is None:
        return Choice(lossy)
    both_s = lossy.encode_s + exact.encode_s
    if len(exact.data) <= most:
        return Choice(replace(exact, encode_s=both_s), len(lossy.data))
    return Choice(replace(lossy, encode_s=both_s), len(exact.data))


def _largest_size(picture: Picture, settings: dict[str, Any]) -> int | None:
    """The largest size in bytes that was asked for, if one was."""
    size, bpp = settings.get("target_size"), settings.get("target_bpp")
    return size if bpp is None else most_bytes(bpp, picture.width * picture.height)


def _lossless_within(most: float, picture: Picture, settings: dict[str, Any]) -> Encoded | None:
    """The lossless file, None if its pixels surely take more bytes."""
    if graphics_bytes(picture.rgb, NETWORK_GAIN * most) is None:
        return None
    return encode(
        picture,
        max_error=0,
        threads=settings.get("threads"),
        progress=settings.get("progress"),
    )

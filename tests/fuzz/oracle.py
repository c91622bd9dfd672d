"""What must hold for any bytes: a picture, always the same, or one clear error of ours."""

from __future__ import annotations

import io
import random
import warnings
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from PIL import Image

import rdae
from rdae import codec  # noqa: F401 - here, so that a fuzzer sees into them
from rdae.bitstream.info import Info
from rdae.errors import (
    BitstreamError,
    DamageWarning,
    ImageError,
    ModelError,
    RdaeError,
    TooLargeError,
)
from rdae.images import pillow
from rdae.images.picture import Picture
from rdae.model import installed as store  # noqa: F401 - here, so that a fuzzer sees into them

MAX_PIXELS = 1 << 15  # a picture of that size decodes in milliseconds

Value = TypeVar("Value")


def examine(data: bytes) -> Image.Image | RdaeError:
    """Read a .rd file in every way there is, and check that the answers agree.

    Returns:
        The picture, or the error that refuses it.

    Raises:
        AssertionError: a promise is broken.
        Exception: any other exception that the library lets out is a broken promise, too.
    """
    info = attempt(lambda: rdae.read_info(data), BitstreamError, TooLargeError)
    image = decode(data)
    rescued, is_warned = rescue(data)
    if isinstance(image, RdaeError):
        assert isinstance(rescued, RdaeError) or is_warned, "a rescued picture says that it is one"
    else:
        assert isinstance(info, Info), "a file that decodes has an info"
        assert image.size == (info.width, info.height)
        assert image.mode == ("L" if info.is_grey else "RGB") + "A" * info.has_alpha
        assert same(decode(data, threads=2), image), "threads change the picture"
        assert same(rescued, image) and not is_warned, "there is nothing to rescue"
    if isinstance(info, Info):
        _examine_region(data, info, image)
        if info.rest is not None:
            _examine_lossy(data, image)
    if isinstance(rescued, Image.Image):
        assert same(rescue(data, threads=2)[0], rescued), "threads change the rescued picture"
    return image


def _examine_lossy(data: bytes, image: Image.Image | RdaeError) -> None:
    """Decode the lossy picture of a file that goes on to the exact one."""
    lossy, (rescued, is_warned) = decode(data, lossy=True), rescue(data, lossy=True)
    if isinstance(image, Image.Image):
        assert isinstance(lossy, Image.Image), "what is exact has been lossy"
        assert (lossy.mode, lossy.size) == (image.mode, image.size)
    if isinstance(lossy, Image.Image):
        assert same(rescued, lossy) and not is_warned, "the lossy picture is whole"


def _examine_region(data: bytes, info: Info, image: Image.Image | RdaeError) -> None:
    """Decode a part of the picture that is always the same for the same bytes."""
    rng = random.Random(zlib.crc32(data))
    left, top = rng.randrange(info.width), rng.randrange(info.height)
    width, height = (rng.randint(1, min(end, 64)) for end in (info.width - left, info.height - top))
    region = (left, top, width, height)
    part = decode(data, region=region)
    if isinstance(image, Image.Image):
        wanted = image.crop((left, top, left + width, top + height))
        assert same(part, wanted), f"the region {region} is not that of the picture"
    for answer in (part, rescue(data, region=region)[0]):
        assert isinstance(answer, RdaeError) or answer.size == (width, height)
    outside = decode(data, region=(left, top, info.width + 1, rng.randint(-1, 1 << 40)))
    assert isinstance(outside, RdaeError), "a region outside of the picture is refused"


def decode(data: bytes, **options: Any) -> Image.Image | RdaeError:
    """Decode a small picture or region, or return the error that refuses it."""
    options = {"max_pixels": MAX_PIXELS, "threads": 1, **options}
    return attempt(lambda: rdae.decompress(data, **options), BitstreamError, ModelError, ImageError)


def rescue(data: bytes, **options: Any) -> tuple[Image.Image | RdaeError, bool]:
    """Decode what is left of a file; and whether there was a warning that something is not."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = decode(data, best_effort=True, **options)
    assert all(warning.category is DamageWarning for warning in caught)
    assert all(is_readable(str(warning.message), 2000) for warning in caught)
    return result, bool(caught)


def same(answer: Image.Image | RdaeError, wanted: Image.Image) -> bool:
    """Whether an answer is a picture with these pixels."""
    return (
        isinstance(answer, Image.Image)
        and (answer.mode, answer.size) == (wanted.mode, wanted.size)
        and answer.tobytes() == wanted.tobytes()
    )


def read_image(data: bytes) -> Picture | RdaeError:
    """Read an image file, or return the error that refuses it."""

    def read() -> Picture:
        return pillow.read_picture(io.BytesIO(data), max_pixels=MAX_PIXELS)

    return attempt(read, ImageError)


def attempt(call: Callable[[], Value], *errors: type[RdaeError]) -> Value | RdaeError:
    """Call, and return the result or one of these errors, after a look at how it reads."""
    try:
        return call()
    except errors as error:
        assert is_readable(str(error), 300), f"an unreadable message: {str(error)!r}"
        return error


def is_readable(text: str, longest: int) -> bool:
    """Whether a message is one line that a terminal can show."""
    return 0 < len(text) < longest and text.isprintable()

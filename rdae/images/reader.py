"""Opening image files with Pillow, and refusing those that would not come through whole.

Pillow reads more than it can hold: 16-bit colours become 8-bit ones, the later frames of an
animation stay behind, a camera raw file shows its thumbnail. This module looks at the file
before its pixels are decoded and refuses with the reason and a way out, so that nothing is
lost silently. What a user allows (`Allowed`) passes, and is reduced by others
(`rdae.images.bit_depth`, `rdae.images.colour`). `rdae.images.formats` has the table of formats;
rare ones are deliberately not read, for whose colours, depths and profiles Pillow gives no account,
nor those without a signature, as TGA, in which any damaged file is a picture.
"""

from __future__ import annotations

import errno
import importlib
import io
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from rdae.errors import RdaeError, TooLargeError, UnsupportedImageError, grouped, option
from rdae.images import jpeg_file, jpeg_xl, tiff_strips
from rdae.images.channels import LEVEL_SCALE
from rdae.images.cicp import name_colours, refuse_hdr
from rdae.images.colour import COLOUR_MODES
from rdae.images.formats import InputFormat, foreign_name, format_of, input_names
from rdae.images.png_file import DAMAGED, check_png
from rdae.images.tiff_errors import tiff_errors

_CONVERT = "convert it to PNG first, for instance: magick INPUT output.png"
_UNREADABLE = f"it is damaged, incomplete or of a rare kind; if others read it, {_CONVERT}"
_TO_8_BITS = f"{option('to_8bit')} rounds them to 8 bits"
_TO_SRGB = f"{option('to_srgb')} converts them to sRGB"
_ONE_FRAME = f"{option('first_frame')} takes the first of them"
_ONE_FRAME_BY_HAND = "take out one picture first, for instance: magick 'INPUT[0]' output.png"

_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"}

# Tags of TIFF files.
_NEW_SUBFILE_TYPE, _BITS_PER_SAMPLE, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 254, 258, 338, 339
_WIDTH, _HEIGHT, _DNG_VERSION = 256, 257, 50706

_BEGINNING_BYTES = 64

_logger = logging.getLogger("rdae")
_warnings_lock = threading.RLock()  # their filters are the whole process's


def _forget_lock() -> None:
    """Begin anew in the child of a fork: it has no thread that would give the lock back."""
    global _warnings_lock
    _warnings_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)


@dataclass(frozen=True)
class Allowed:
    """What a user lets happen to a picture that cannot be held whole.

    Attributes:
        to_8bit: more than 8 bits per channel are reduced.
        first_frame: of several pictures the first is taken.
        to_srgb: other colours than grey and RGB are converted.
    """

    to_8bit: bool = False
    first_frame: bool = False
    to_srgb: bool = False


def open_image(file: BinaryIO, *, max_pixels: int, allowed: Allowed) -> Image.Image:
    """Open an image file and check what it holds.

    Args:
        file: binary and seekable; read from its beginning. It stays open, and must until the
            image is loaded.
        max_pixels: limit on width times height, checked before anything is decoded.
        allowed: what is not to be refused.

    Returns:
        Pillow's image, not loaded yet; but of JPEG XL, which is decoded at once.

    Raises:
        TooLargeError: more pixels than `max_pixels`.
        UnsupportedImageError: not an image, damaged, or of a kind that is refused.
        OSError: `file` cannot be read.
    """
    file.seek(0)
    found = _format_at(file.read(_BEGINNING_BYTES))
    if found.name == "PNG":
        check_png(file, max_pixels)
    file.seek(0)
    if found.name == "JPEG XL":
        return _open_jpeg_xl(file.read(), max_pixels, allowed)
    with foreign_errors(f"cannot read this {found.name} file"):
        _import_plugin(found)
        factory, _ = Image.OPEN[found.pillow_name]
        image = factory(file, "")
        check_size(image.size, max_pixels)
        check_kind(image, allowed)
        return image


def _import_plugin(found: InputFormat) -> None:
    """Teach Pillow a format."""
    try:
        importlib.import_module(found.plugin)
    except ImportError as error:
        if not found.package:
            raise
        raise UnsupportedImageError(
            f"{found.name} files are read only with {found.package}",
            hint=f"pip install {found.package}",
        ) from error
    if found.name == "HEIC":
        importlib.import_module("pillow_heif").register_heif_opener()


def _open_jpeg_xl(data: bytes, max_pixels: int, allowed: Allowed) -> Image.Image:
    """Decode a JPEG XL file, after a look at its header: `open_image` for this format."""
    header = jpeg_xl.parse_header(data)
    check_size((header.width, header.height), max_pixels)
    if header.is_animated:  # of which the plugin gives some frame
        raise UnsupportedImageError("an animation in JPEG XL", hint=_ONE_FRAME_BY_HAND)
    if header.other_channels:
        raise UnsupportedImageError(
            "a JPEG XL file with other channels than colour and alpha (black, depth, ...)",
            hint=_CONVERT,
        )
    refuse_hdr(header.transfer)
    if header.bits > 8 and not allowed.to_8bit:
        raise UnsupportedImageError("more than 8 bits per channel", hint=_TO_8_BITS)
    image = jpeg_xl.decode(data, header)
    if isinstance(image, bytes):
        return open_image(io.BytesIO(image), max_pixels=max_pixels, allowed=allowed)
    check_size(image.size, max_pixels)
    return image


def check_size(size: tuple[int, int], max_pixels: int) -> None:
    """Refuse a (width, height) of no pixels, or of more than `max_pixels`."""
    width, height = size
    if not width * height:
        raise UnsupportedImageError(f"a picture of {width} x {height} has no pixels")
    if width * height > max_pixels:
        raise TooLargeError(
            f"the picture has {width} x {height} = {grouped(width * height)} pixels, "
            f"the limit is {grouped(max_pixels)}",
            hint=f"if you trust the file: {option('max_pixels', width * height)}",
        )


def check_kind(image: Image.Image, allowed: Allowed) -> None:
    """Refuse what is not one picture of grey or RGB, maybe alpha, of 8 bits, and not allowed.

    Depths beyond 8 bits are seen best before the image is loaded: some plugins forget then.
    """
    # Phones write JPEGs with further pictures behind the first (MPO): previews, depth, gain
    # maps, the other eye's view. Every viewer shows the first and no more; so it is taken.
    is_animated = image.format != "MPO" and getattr(image, "is_animated", False)
    if is_animated and not allowed.first_frame:
        raise UnsupportedImageError(
            "several pictures in one file (an animation or pages)", hint=_ONE_FRAME
        )
    if image.mode in COLOUR_MODES and not allowed.to_srgb:
        raise UnsupportedImageError(f"{COLOUR_MODES[image.mode]} colours", hint=_TO_SRGB)
    is_deep = has_more_than_8_bits(image)
    if is_deep and not allowed.to_8bit:
        raise UnsupportedImageError("more than 8 bits per channel", hint=_TO_8_BITS)
    if image.mode not in _MODES and image.mode not in COLOUR_MODES and not is_deep:
        raise UnsupportedImageError(f"pixels of mode {image.mode}", hint=_CONVERT)
    tags = getattr(image, "tag_v2", {})
    if 0 in _as_tuple(tags.get(_EXTRA_SAMPLES, ())):
        raise UnsupportedImageError(
            "a TIFF with extra channels of unknown meaning",
            hint="remove the extra channels in an image editor first",
        )
    if _DNG_VERSION in tags or any(n & 1 for n in _as_tuple(tags.get(_NEW_SUBFILE_TYPE, 0))):
        raise UnsupportedImageError(
            "its first picture is only a preview, as in a camera raw file",
            hint="develop it to PNG or JPEG with a raw converter first",
        )
    name_colours(image)


def load(image: Image.Image) -> None:
    """Decode the pixels of an image that has passed `check_size`."""
    tiles: list[Any] = getattr(image, "tile", [])
    if image.format == "PNG" and tiles:
        # Pillow scales the levels of a PNG of less than 8 bits, but not its transparent level.
        # Its info stays as it is: it may be another's image, who passes it again.
        setattr(image, LEVEL_SCALE, {"L;2": 85, "L;4": 17}.get(tiles[0][3], 1))
    other = None
    if not tiles or getattr(image, "tell", int)():  # loaded, or of several not the first
        pass
    elif isinstance(image, JpegImagePlugin.JpegImageFile) and not image.decoderconfig:
        other = jpeg_file.with_extra_bytes(_whole_file(image))
    elif isinstance(image, TiffImagePlugin.TiffImageFile):
        other = tiff_strips.with_extra_data(_whole_file(image))
    _load(image)
    if other is not None:
        assert isinstance(image, ImageFile.ImageFile)
        twin = type(image)(io.BytesIO(other), "")
        _load(twin)
        jpeg_file.check_against(image, twin)


def _load(image: Image.Image) -> None:
    tags, tiles = getattr(image, "tag_v2", None), getattr(image, "tile", [])
    limit = Image.MAX_IMAGE_PIXELS
    if tags and tiles and limit:
        size = (tags[_WIDTH], tags[_HEIGHT])
        if size[0] * size[1] > limit:
            # Pillow's TIFF plugin applies its own limit where it allocates the pixels; with the
            # pixels there already it does not.
            image.im = Image.new(image.mode, size).im
    with tiff_errors() if tags else nullcontext():
        image.load()


def _whole_file(image: ImageFile.ImageFile) -> bytes:
    """Return the bytes of an image's file, which stays where it is."""
    assert image.fp is not None
    position = image.fp.tell()
    image.fp.seek(0)
    data = image.fp.read()
    image.fp.seek(position)
    return data


@contextmanager
def foreign_errors(what: str, *, hint: str = _UNREADABLE) -> Iterator[None]:
    """Turn whatever Pillow raises on bad bytes into an `ImageError` with `what` and the reason.

    Pillow's plugins raise anything: OSError, SyntaxError, ValueError, struct.error, zlib.error,
    and warnings, which go to our log. An OSError of the system, with its number, passes.
    """
    try:
        with _quiet():
            yield
    except RdaeError:
        raise
    except Image.DecompressionBombError as error:
        raise TooLargeError(
            "larger than Pillow allows for this format (PIL.Image.MAX_IMAGE_PIXELS)",
            hint=_CONVERT,
        ) from error
    except MemoryError as error:
        raise UnsupportedImageError(
            "there is not enough memory for it", hint="scale it down or cut it into parts first"
        ) from error
    except Exception as error:
        if "MAX_TEXT" in str(error):  # Pillow's limits on what a PNG's metadata unpack to
            raise UnsupportedImageError(
                "a PNG whose metadata would unpack to more than 1 MiB each or 64 MiB in all",
                hint="take out its metadata first, for instance: magick INPUT -strip output.png",
            ) from error
        # EINVAL is what a real file says to a seek to an impossible offset: bad bytes, then.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise UnsupportedImageError(f"{what}: {_reason(error)}", hint=hint) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Log what Pillow warns of: damaged metadata, mostly, which then are not there."""
    with _warnings_lock, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            for text in dict.fromkeys(str(warning.message) for warning in caught):
                _logger.info("Pillow: %s", text)


def _format_at(beginning: bytes) -> InputFormat:
    """Return the format that a file's first bytes announce; refuse those that are not read."""
    if (found := format_of(beginning)) is not None:
        return found
    name = foreign_name(beginning)
    if name == "rdae":
        raise UnsupportedImageError("an .rd file already", hint="rdae decompress reads it")
    if name:
        raise UnsupportedImageError(f"{name} files are not read", hint=_CONVERT)
    if not beginning:
        raise UnsupportedImageError("the file is empty", hint=DAMAGED)
    raise UnsupportedImageError(
        "not an image, or of an unknown format", hint=f"{input_names()} are read; {_CONVERT}"
    )


def has_more_than_8_bits(image: Image.Image) -> bool:
    """Say whether an image has more than 8 bits per channel, or samples that are no plain numbers.

    For an image that user code has loaded already, Pillow may not know any more; then its 8 bits
    are what that code has chosen to pass.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        return True
    tags = getattr(image, "tag_v2", {})
    if any(bits > 8 for bits in _as_tuple(tags.get(_BITS_PER_SAMPLE, 1))):
        return True
    if any(kind != 1 for kind in _as_tuple(tags.get(_SAMPLE_FORMAT, 1))):  # signed, float
        return True
    if image.format == "HEIF":
        return int(image.info.get("bit_depth", 8)) > 8
    tiles: list[Any] = getattr(image, "tile", [])
    if not tiles:
        return False
    arguments = tiles[0][3]
    if image.format == "PNG":
        return ";16" in str(arguments)
    if image.format == "PPM" and isinstance(arguments, tuple):
        return isinstance(arguments[-1], int) and arguments[-1] > 255
    if image.format == "AVIF" and isinstance(image, ImageFile.ImageFile) and image.fp:
        return _is_deep_avif(_whole_file(image))
    return False


def _is_deep_avif(data: bytes) -> bool:
    """Say whether a configuration record (av1C) of an AVIF file has its high_bitdepth bit set.

    The record is looked for, not walked to: four letters and its version byte (AV1 Codec ISO
    Media File Format Binding, section 2.3).
    """
    start = data.find(b"av1C\x81")
    while start >= 0:
        if len(data) > start + 6 and data[start + 6] & 0x40:
            return True
        start = data.find(b"av1C\x81", start + 1)
    return False


def _as_tuple(value: Any) -> tuple[Any, ...]:
    """Return the values of a TIFF tag; Pillow gives a single one bare."""
    return value if isinstance(value, tuple) else (value,)


def _reason(error: BaseException) -> str:
    """Return an exception's text as a piece of one line, or its name where it says nothing."""
    text = "".join(c if c.isprintable() else " " for c in str(error))
    text = " ".join(text.split()).rstrip(".")[:120]
    if not text or isinstance(error, (LookupError, TypeError, AssertionError, AttributeError)):
        return f"Pillow cannot make sense of it ({type(error).__name__})"
    return text

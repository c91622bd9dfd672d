"""Opening image files with Pillow, and refusing those that would not come through whole.

Pillow reads more than it can hold: 16-bit colours become 8-bit ones, the later frames of an
animation stay behind, a camera raw file shows its thumbnail. This module looks at the file
before its pixels are decoded and refuses with the reason and a way out, so that nothing is
lost silently. It deliberately does not read rare formats (`_FOREIGN`), for whose colours,
depths and profiles Pillow gives no account, nor formats without a signature, as TGA, in which
any damaged file is a picture.

It calls the format plugins themselves, not `Image.open`: that would apply Pillow's own limit on
pixels, whose warnings can only be silenced for the whole process. Our limit takes its place.
"""

from __future__ import annotations

import errno
import importlib
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from PIL import Image, ImageFile

from rdae.bitstream.varint import grouped
from rdae.errors import RdaeError, TooLargeError, UnsupportedImageError

_PLUGINS = {
    "AVIF": "AvifImagePlugin",
    "BMP": "BmpImagePlugin",
    "GIF": "GifImagePlugin",
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "PPM": "PpmImagePlugin",
    "TIFF": "TiffImagePlugin",
    "WebP": "WebPImagePlugin",
}
_SIGNATURES = (  # (offset, bytes, format)
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (8, b"WEBP", "WebP"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftypmif1", "AVIF"),  # or HEIC, which the plugin then refuses
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"BM", "BMP"),
    *((0, b"P" + digit, "PPM") for digit in (b"1", b"2", b"3", b"4", b"5", b"6", b"f")),
)
_FOREIGN = (  # known well enough to be named in the refusal
    (0, b"\x93RDA", "rdae"),
    (4, b"ftyphe", "HEIC"),  # heic, heix, heim, heis, hevc, hevx
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL ", "JPEG XL"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML or SVG"),
    (0, b"\0\0\1\0", "icon"),
    (0, b"qoif", "QOI"),
)

_CONVERT = "convert it to PNG first, for instance: magick INPUT output.png"
_DAMAGED = "the file is damaged or incomplete; copy or download it again"
_UNREADABLE = f"it is damaged, incomplete or of a rare kind; if others read it, {_CONVERT}"
_TO_8_BITS = "convert it to 8 bits first, for instance: magick INPUT -depth 8 output.png"
_TO_SRGB = "convert it to RGB first, for instance: magick INPUT -colorspace sRGB output.png"
_ONE_FRAME = "take out one picture first, for instance the first: magick 'INPUT[0]' output.png"

_COLOUR_MODES = {"CMYK": "CMYK", "LAB": "Lab", "HSV": "HSV", "YCbCr": "YCbCr"}
_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"}

# Tags of TIFF files.
_NEW_SUBFILE_TYPE, _BITS_PER_SAMPLE, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 254, 258, 338, 339
_WIDTH, _HEIGHT, _DNG_VERSION = 256, 257, 50706


def open_image(file: BinaryIO, *, max_pixels: int) -> ImageFile.ImageFile:
    """Open an image file, check it, and decode its pixels.

    Args:
        file: binary and seekable; read from its beginning. It stays open.
        max_pixels: limit on width times height, checked before anything is decoded.

    Returns:
        Pillow's image, loaded; of 8 bits per channel, one frame, grey, RGB or palette.

    Raises:
        TooLargeError: more pixels than `max_pixels`.
        UnsupportedImageError: not an image, damaged, or of a kind that is refused.
        OSError: `file` cannot be read.
    """
    file.seek(0)
    name = _format_name(file.read(16))
    if name == "PNG":
        _check_png(file)
    with foreign_errors(f"cannot read this {name} file"):
        importlib.import_module(f"PIL.{_PLUGINS[name]}")
        factory, _ = Image.OPEN[name.upper()]
        file.seek(0)
        image = factory(file, "")
        check_size(image.size, max_pixels)
        check_kind(image)
        load(image)
        return image


def check_size(size: tuple[int, int], max_pixels: int) -> None:
    """Refuse a (width, height) of more than `max_pixels` pixels."""
    width, height = size
    if width * height > max_pixels:
        raise TooLargeError(
            f"the picture has {width} x {height} = {grouped(width * height)} pixels, "
            f"the limit is {grouped(max_pixels)}",
            hint=f"if you trust the file: --max-pixels {width * height}",
        )


def check_kind(image: Image.Image) -> None:
    """Refuse what cannot be held in 8 bits of grey or RGB with alpha, one frame.

    Depths beyond 8 bits are seen best before the image is loaded: some plugins forget then.
    """
    # Phones write JPEGs with further pictures behind the first (MPO): previews, depth, gain
    # maps, the other eye's view. Every viewer shows the first and no more; so it is taken.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise UnsupportedImageError(
            "several pictures in one file (an animation or pages)", hint=_ONE_FRAME
        )
    if image.mode in _COLOUR_MODES:
        raise UnsupportedImageError(f"{_COLOUR_MODES[image.mode]} colours", hint=_TO_SRGB)
    if _is_deep(image):
        raise UnsupportedImageError("more than 8 bits per channel", hint=_TO_8_BITS)
    if image.mode not in _MODES:
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


def load(image: Image.Image) -> None:
    """Decode the pixels of an image that has passed `check_size`."""
    tiles: list[Any] = getattr(image, "tile", [])
    if image.format == "PNG" and tiles:
        # Pillow scales the levels of a PNG of less than 8 bits, but not its transparent level.
        scale = {"1": 255, "L;2": 85, "L;4": 17}.get(tiles[0][3], 0)
        key = image.info.get("transparency")
        if scale and isinstance(key, int) and key <= 255 // scale:
            image.info["transparency"] = key * scale
    tags = getattr(image, "tag_v2", None)
    limit = Image.MAX_IMAGE_PIXELS
    if tags and tiles and limit:
        size = (tags[_WIDTH], tags[_HEIGHT])
        if size[0] * size[1] > limit:
            # Pillow's TIFF plugin applies its own limit where it allocates the pixels; with the
            # pixels there already it does not.
            image.im = Image.new(image.mode, size).im
    image.load()


@contextmanager
def foreign_errors(what: str, *, hint: str = _UNREADABLE) -> Iterator[None]:
    """Turn whatever Pillow raises on bad bytes into an `ImageError` with `what` and the reason.

    Pillow's plugins raise anything: OSError, SyntaxError, ValueError, struct.error, zlib.error,
    and warnings where those are errors. An OSError of the system, with its number, passes.
    """
    try:
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
        # EINVAL is what a real file says to a seek to an impossible offset: bad bytes, then.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise UnsupportedImageError(f"{what}: {_reason(error)}", hint=hint) from error


def _format_name(prefix: bytes) -> str:
    """Return the format that a file's first 16 bytes announce; refuse those that are not read."""
    for offset, signature, name in _SIGNATURES:
        if prefix.startswith(signature, offset):
            return name
    for offset, signature, name in _FOREIGN:
        if prefix.startswith(signature, offset):
            if name == "rdae":
                raise UnsupportedImageError("an .rd file already", hint="rdae decompress reads it")
            raise UnsupportedImageError(f"{name} files are not read", hint=_CONVERT)
    if not prefix:
        raise UnsupportedImageError("the file is empty", hint=_DAMAGED)
    raise UnsupportedImageError(
        "not an image, or of an unknown format",
        hint=f"{', '.join(_PLUGINS)} are read; {_CONVERT}",
    )


def _check_png(file: BinaryIO) -> None:
    """Walk the chunks of a PNG file: all there, critical ones with the right CRC.

    Pillow checks no CRC of pixel data and takes a file that ends after it.
    """
    file.seek(8)
    has_palette, colour_type = False, -1
    while True:
        header = file.read(8)
        if len(header) < 8:
            raise UnsupportedImageError("truncated PNG file: no end chunk", hint=_DAMAGED)
        remaining, kind = struct.unpack(">I4s", header)
        crc = zlib.crc32(kind)
        first = b""
        while remaining:
            block = file.read(min(remaining, 1 << 16))
            if not block:
                raise UnsupportedImageError("truncated PNG file", hint=_DAMAGED)
            first = first or block
            crc = zlib.crc32(block, crc)
            remaining -= len(block)
        is_critical = not kind[0] & 0x20
        if file.read(4) != struct.pack(">I", crc) and is_critical:
            raise UnsupportedImageError(
                f"damaged PNG file: wrong checksum in chunk {ascii(kind)[2:-1]}", hint=_DAMAGED
            )
        if kind == b"IHDR":
            colour_type = first[9] if len(first) > 9 else -1
        has_palette = has_palette or kind == b"PLTE"
        if kind == b"IDAT" and colour_type == 3 and not has_palette:
            raise UnsupportedImageError("damaged PNG file: no palette", hint=_DAMAGED)
        if kind == b"IEND":
            return


def _is_deep(image: Image.Image) -> bool:
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
    tiles: list[Any] = getattr(image, "tile", [])
    if not tiles:
        return False
    arguments = tiles[0][3]
    if image.format == "PNG":
        return ";16" in str(arguments)
    if image.format == "PPM" and isinstance(arguments, tuple):
        return isinstance(arguments[-1], int) and arguments[-1] > 255
    if image.format == "AVIF" and isinstance(image, ImageFile.ImageFile) and image.fp:
        return _is_deep_avif(image.fp)
    return False


def _is_deep_avif(file: Any) -> bool:
    """Say whether a configuration record (av1C) of an AVIF file has its high_bitdepth bit set.

    The record is looked for, not walked to: four letters and its version byte (AV1 Codec ISO
    Media File Format Binding, section 2.3).
    """
    position = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(position)
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

"""More than 8 bits per channel, brought to 8: what `--to-8bit` does.

Integers are scaled so that the largest level becomes 255, and rounded: of 16 bits round(v / 257).
The 32-bit integers of Pillow's mode I (signed TIFFs, PGM) are taken as 0 to 65535 and clipped, as
Pillow takes them when it writes them as PNG; only of an unsigned 32-bit TIFF the whole range
counts. Floats are taken as 0 to 1, clipped and rounded; what is not a number is black. No gamma
is applied to them.

Pillow has no colour modes of 16 bits: it keeps the high byte of each sample, which is not the
nearest level. It can read the low bytes as well, though, if it is told that the bytes of a
sample stand the other way round. So such files are read twice. Not so AVIF, which libavif brings
to 8 bits.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from rdae.errors import UnsupportedImageError

_RAW_MODE = re.compile(r"(LA|RGB|RGBA|RGBa|CMYK);16([BLN])")
_WHITE_16 = 0xFFFF
_NATIVE = "L" if sys.byteorder == "little" else "B"

# Tags of TIFF files.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 258, 262, 284, 339
_WHITE_IS_ZERO, _PLANES_APART, _UNSIGNED, _SIGNED = 0, 2, 1, 2


def to_8_bits(image: Image.Image, load: Callable[[Image.Image], None]) -> Image.Image:
    """Return an image of 8 bits per channel, made of one of more.

    Args:
        image: not loaded, if its file is to be read in full depth; it is afterwards.
        load: what decodes the pixels of an image of Pillow.

    Returns:
        An image of mode L, LA, RGB, RGBA or CMYK, with no metadata; a transparent level or colour
        has become alpha. Or `image` itself, loaded, where Pillow has reduced it as it must.

    Raises:
        UnsupportedImageError: a TIFF of 16 bits whose colour planes stand apart.
        Exception: whatever Pillow raises on damaged files.
    """
    tags = getattr(image, "tag_v2", {})
    if tags.get(_PLANAR) == _PLANES_APART and len(image.getbands()) > 1:
        raise UnsupportedImageError(
            "a TIFF of 16 bits whose colour planes stand apart",
            hint="convert it to PNG first, for instance: magick INPUT output.png",
        )
    raw_mode, key = _raw_mode(image), image.info.get("transparency")
    if raw_mode is not None:
        channels, order = raw_mode
        if channels == "LA":
            samples = _both_bytes_as_channels(image, load)
        else:
            samples = _both_bytes(image, load, channels, _NATIVE if order == "N" else order)
        if channels == "RGBa":
            return _image(_without_premultiplication(samples), "RGBA")
        if channels == "RGB" and isinstance(key, tuple):
            return _image(_with_alpha(levels_of(samples), samples, key), "RGBA")
        return _image(levels_of(samples), channels)
    tiles: list[Any] = getattr(image, "tile", [])
    if image.format == "PPM" and tiles and tiles[0][0] == "ppm":
        return _two_byte_ppm(image, tiles[0])
    load(image)
    values = np.asarray(image)
    if image.mode == "F":
        return _image(_inverted(levels_of_floats(values), image), "L")
    if image.mode == "I":
        return _image(_of_integers(values, image), "L")
    if image.mode.startswith("I;16"):
        bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
        levels = _inverted(levels_of(values, (1 << bits) - 1), image)
        if isinstance(key, int):
            return _image(_with_alpha(levels[..., None], values[..., None], (key,)), "LA")
        return _image(levels, "L")
    if image.mode == "L" and tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _SIGNED:
        return _image(values.view(np.int8).clip(0).view(np.uint8), "L")
    return image


def _raw_mode(image: Image.Image) -> tuple[str, str] | None:
    """Return channels and byte order of the 16-bit colours that wait in an image's file."""
    tiles: list[Any] = getattr(image, "tile", [])
    arguments = tiles[0][3] if tiles else ""
    match = _RAW_MODE.fullmatch(arguments[0] if isinstance(arguments, tuple) else str(arguments))
    return (match[1], match[2]) if match else None


def _both_bytes(
    image: Image.Image, load: Callable[[Image.Image], None], channels: str, order: str
) -> NDArray[np.uint16]:
    """Return samples `(H, W, C)` of 16 bits, which Pillow reads as high and as low bytes."""
    assert isinstance(image, ImageFile.ImageFile)
    is_premultiplied = channels == "RGBa"  # Pillow would divide what it has cut off
    channels = "RGBA" if is_premultiplied else channels
    low = _read_again(image, load, f"{channels};16{'B' if order == 'L' else 'L'}")
    high = _read_again(image, load, f"{channels};16{order}") if is_premultiplied else None
    load(image)
    samples = np.asarray(image if high is None else high).astype(np.uint16)
    samples <<= 8
    samples |= low
    return samples


def _both_bytes_as_channels(
    image: Image.Image, load: Callable[[Image.Image], None]
) -> NDArray[np.uint16]:
    """Return grey and alpha `(H, W, 2)` of 16 bits, which Pillow reads as RGBA of 8."""
    assert isinstance(image, ImageFile.ImageFile)
    samples = _read_again(image, load, "RGBA")  # big-endian, as all numbers in PNG are
    load(image)
    return np.ascontiguousarray(samples).view(">u2").astype(np.uint16)


def _read_again(
    image: ImageFile.ImageFile, load: Callable[[Image.Image], None], raw_mode: str
) -> NDArray[np.uint8]:
    """Return the samples of an image's file, read as if they stood in it in `raw_mode`."""
    assert image.fp is not None
    position = image.fp.tell()
    image.fp.seek(0)
    twin = type(image)(image.fp, "")
    twin.tile = [
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in twin.tile
    ]
    load(twin)
    image.fp.seek(position)
    return np.asarray(twin)


def _two_byte_ppm(image: Image.Image, tile: Any) -> Image.Image:
    """Read a binary PGM or PPM of two bytes a sample; Pillow takes a second for a megapixel."""
    assert isinstance(image, ImageFile.ImageFile)
    assert image.fp is not None
    num_channels = len(image.getbands())
    image.fp.seek(tile.offset)
    count = image.width * image.height * num_channels
    data = image.fp.read(2 * count)
    if len(data) < 2 * count:
        raise OSError("image file is truncated")
    values = np.frombuffer(data, ">u2").reshape(image.height, image.width, num_channels)
    return _image(levels_of(values, tile.args[1]), "RGB" if num_channels == 3 else "L")


def levels_of(values: NDArray[Any], white: int = _WHITE_16) -> NDArray[np.uint8]:
    """Return 16-bit levels, of which `white` is the largest, as levels of 8 bits."""
    table = np.minimum((np.arange(1 << 16) * 510 + white) // (2 * white), 255)
    levels: NDArray[np.uint8] = table.astype(np.uint8)[values]
    return levels


def _of_integers(values: NDArray[Any], image: Image.Image) -> NDArray[np.uint8]:
    tags = getattr(image, "tag_v2", {})
    unsigned = tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED
    if tags.get(_BITS_PER_SAMPLE) == (32,) and unsigned:
        return levels_of_floats(values.view(np.uint32) / np.float64(0xFFFF_FFFF))
    return levels_of(values.clip(0, _WHITE_16).astype(np.uint16))


def levels_of_floats(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return levels of 8 bits of floats from 0 to 1."""
    levels: NDArray[np.uint8]
    if values.dtype == np.float16:
        values = values.astype(np.float32)  # in which 255 times a level is exact enough
    levels = np.rint(255 * np.nan_to_num(values, nan=0.0).clip(0, 1)).astype(np.uint8)
    return levels


def _inverted(levels: NDArray[np.uint8], image: Image.Image) -> NDArray[np.uint8]:
    """Turn a TIFF around that counts from white to black, which Pillow forgets at these depths."""
    tags = getattr(image, "tag_v2", {})
    return ~levels if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else levels


def _without_premultiplication(samples: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Divide the alpha out of premultiplied RGBA; where it is 0, the colour is black."""
    alpha = samples[..., 3:].astype(np.float32)
    colours = samples[..., :3] / np.maximum(alpha, 1)
    colours[alpha[..., 0] == 0] = 0
    return np.concatenate([levels_of_floats(colours), levels_of(samples[..., 3:])], axis=2)


def _with_alpha(
    levels: NDArray[np.uint8], samples: NDArray[Any], key: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Append an alpha plane that is 0 where the samples of full depth are those of `key`."""
    alpha = np.where((samples == np.array(key)).all(axis=2), np.uint8(0), np.uint8(255))
    return np.concatenate([levels, alpha[..., None]], axis=2)


def _image(levels: NDArray[np.uint8], mode: str) -> Image.Image:
    return Image.frombytes(mode, (levels.shape[1], levels.shape[0]), levels.tobytes())

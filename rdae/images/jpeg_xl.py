"""JPEG XL, read with pillow-jxl-plugin where that is installed.

The plugin decodes a whole file before it says anything about it, reduces 16-bit colours to 8 bits,
takes an animation for one picture, and leaves out channels that are neither colour nor alpha. So
the header of the codestream is read here first, and what would not come through is refused. The
plugin is imported only for files that begin as JPEG XL does.

EXIF data and XMP are taken from the file's boxes; where a box is compressed with Brotli, it is
left out, and the log says so. The orientation is part of the codestream, and applied by libjxl.

Reference: ISO/IEC 18181-1:2024, annex D (headers), and 18181-2 (boxes).
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from rdae.errors import UnsupportedImageError
from rdae.images.bit_depth import levels_of, levels_of_floats

FORMAT = "JXL"  # as the plugin calls it
MISSING_HINT = "pip install pillow-jxl-plugin"

_SIGNATURE = b"\xff\x0a"
_ALPHA, _SPOT_COLOUR, _COLOUR_FILTER = 0, 2, 5
_HEADER_BYTES = 1 << 14  # of names of channels in the main; the rest is some dozen bytes
_SIZE = ((1, 9), (1, 13), (1, 18), (1, 30))  # of a U32: least value and number of bits, by selector
_ENUM = ((0, 0), (1, 0), (2, 4), (18, 6))
_COORDINATE = ((0, 19), (524288, 19), (1048576, 20), (2097152, 21))
_GREY, _XYB = 1, 2  # spaces of colour
_OWN = 2  # a white point, or primaries, that are told by their coordinates
_SRGB_CURVE = 13
_PREVIEW_SIZE = ((1, 6), (65, 8), (321, 10), (1345, 12))
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}

_logger = logging.getLogger("rdae")


@dataclass(frozen=True)
class Header:
    """What the beginning of a codestream says.

    Attributes:
        width: in pixels, before the orientation is applied, as is `height`.
        height: in pixels.
        bits: per sample, the most of all channels; 32 where they are floats.
        is_animated: there are several frames, to be shown one after another.
        other_channels: types of the channels besides colour and one alpha, as the standard counts.
        is_premultiplied: the colours are multiplied by alpha.
        transfer: how levels become light, numbered as in ITU-T H.273; None where that is told
            otherwise, as by an exponent or an ICC profile.
    """

    width: int
    height: int
    bits: int = 8
    is_animated: bool = False
    other_channels: tuple[int, ...] = ()
    is_premultiplied: bool = False
    transfer: int | None = _SRGB_CURVE


class _Bits:
    """Reads numbers from bytes, least significant bit first; beyond the end there is an error."""

    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0

    def u(self, count: int) -> int:
        """Return an unsigned number of `count` bits."""
        start, self._position = self._position, self._position + count
        if self._position > 8 * len(self._data):
            raise _damaged()
        piece = self._data[start // 8 : (self._position + 7) // 8]
        return int.from_bytes(piece, "little") >> start % 8 & ((1 << count) - 1)

    def u32(self, *choices: tuple[int, int]) -> int:
        """Return a number whose first two bits choose its least value and number of bits."""
        least, count = choices[self.u(2)]
        return least + self.u(count)


def parse_header(data: bytes) -> Header:
    """Return what the header of a JPEG XL file says.

    Raises:
        UnsupportedImageError: the file ends before its header does.
    """
    bits = _Bits(_codestream_start(data))
    bits.u(16)
    width, height = _size(bits)
    if bits.u(1):  # all the rest as usual
        return Header(width, height)
    is_animated = False
    if bits.u(1):
        bits.u(3)  # orientation
        if bits.u(1):
            _size(bits)  # at which it wants to be shown
        if bits.u(1):
            _skip_preview_size(bits)
        is_animated = bool(bits.u(1))
        if is_animated:
            bits.u32((100, 0), (1000, 0), (1, 10), (1, 30))
            bits.u32((1, 0), (1001, 0), (1, 8), (1, 10))
            bits.u32((0, 0), (0, 3), (0, 16), (0, 32))
            bits.u(1)
    depth = _depth(bits)
    bits.u(1)  # whether 16 bits are enough to decode
    types, is_premultiplied = [], False
    for _ in range(bits.u32((0, 0), (1, 0), (2, 4), (1, 12))):
        if bits.u(1):
            types.append(_ALPHA)
            continue
        types.append(bits.u32(*_ENUM))
        depth = max(depth, _depth(bits))
        bits.u32((0, 0), (3, 0), (4, 0), (1, 3))  # smaller by this power of two
        bits.u(8 * bits.u32((0, 0), (0, 4), (16, 5), (48, 10)))  # name
        if types[-1] == _ALPHA:
            is_premultiplied |= bool(bits.u(1))
        elif types[-1] == _SPOT_COLOUR:
            bits.u(64)
        elif types[-1] == _COLOUR_FILTER:
            bits.u32((1, 0), (0, 2), (3, 4), (19, 8))
    if _ALPHA in types:
        types.remove(_ALPHA)
    bits.u(1)  # whether the pixels are coded in XYB
    transfer = _transfer(bits)
    return Header(width, height, depth, is_animated, tuple(types), is_premultiplied, transfer)


def decode(data: bytes, header: Header) -> Image.Image | bytes:
    """Decode a JPEG XL file that is neither animated nor has other channels than colour and alpha.

    Returns:
        An upright image of mode L, LA, RGB, RGBA, I;16 or F, also premultiplied, with its metadata
        in `info`; or, where the file is a JPEG packed anew, that JPEG.

    Raises:
        UnsupportedImageError: the plugin is not installed, or the file is damaged.
    """
    try:
        from pillow_jxl import Decoder
    except ImportError as error:
        raise UnsupportedImageError(
            "to read JPEG XL files, pillow-jxl-plugin is needed", hint=MISSING_HINT
        ) from error
    try:
        is_jpeg, info, pixels, icc, *_ = Decoder(num_threads=1)(data)
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # a panic of its Rust is no Exception
        raise _damaged() from error
    if is_jpeg:
        return bytes(pixels)
    mode, size = info.mode, (info.width, info.height)
    if mode == "LA" and header.bits > 8:  # its samples come in full depth, as those of L do
        pixels = _eight_bits(pixels, 2 * size[0] * size[1])
    mode = "F" if mode == "F;16" else mode.replace("A", "a") if header.is_premultiplied else mode
    image = Image.frombytes(mode, size, bytes(pixels))
    image.format = FORMAT
    image.info.update(_metadata(data), icc_profile=bytes(icc))
    return image


def _eight_bits(pixels: bytes, num_samples: int) -> bytes:
    if len(pixels) == 2 * num_samples:
        return levels_of(np.frombuffer(pixels, np.uint16)).tobytes()
    return levels_of_floats(np.frombuffer(pixels, np.float32)).tobytes()


def _size(bits: _Bits) -> tuple[int, int]:
    """Return the width and height that a size header says."""
    in_eights = bits.u(1)
    height = 8 * (1 + bits.u(5)) if in_eights else bits.u32(*_SIZE)
    ratio = bits.u(3)
    if ratio:
        numerator, denominator = _RATIOS[ratio]
        return height * numerator // denominator, height
    return 8 * (1 + bits.u(5)) if in_eights else bits.u32(*_SIZE), height


def _skip_preview_size(bits: _Bits) -> None:
    in_eights = bits.u(1)
    choices = ((16, 0), (32, 0), (1, 5), (33, 9)) if in_eights else _PREVIEW_SIZE
    bits.u32(*choices)
    if not bits.u(3):
        bits.u32(*choices)


def _transfer(bits: _Bits) -> int | None:
    """Return the transfer that a description of colours names."""
    if bits.u(1):  # sRGB
        return _SRGB_CURVE
    has_profile, space = bits.u(1), bits.u32(*_ENUM)
    if has_profile or space == _XYB:
        return None
    if bits.u32(*_ENUM) == _OWN:  # the white point
        _skip_coordinates(bits, 2)
    if space != _GREY and bits.u32(*_ENUM) == _OWN:
        _skip_coordinates(bits, 6)
    return None if bits.u(1) else bits.u32(*_ENUM)


def _skip_coordinates(bits: _Bits, count: int) -> None:
    for _ in range(count):
        bits.u32(*_COORDINATE)


def _depth(bits: _Bits) -> int:
    """Return the bits of a sample, 32 where it is a float."""
    if bits.u(1):
        bits.u32((32, 0), (16, 0), (24, 0), (1, 6))
        bits.u(4)
        return 32
    return bits.u32((8, 0), (10, 0), (12, 0), (1, 6))


def _codestream_start(data: bytes) -> bytes:
    """Return the first bytes of the codestream: more than the longest header needs."""
    if data.startswith(_SIGNATURE):
        return data[:_HEADER_BYTES]
    start = b""
    for kind, content in _boxes(data):
        if kind == b"jxlc":
            start += bytes(content[:_HEADER_BYTES])
        elif kind == b"jxlp":  # a part, behind its number
            start += bytes(content[4 : 4 + _HEADER_BYTES])
        if len(start) >= _HEADER_BYTES:
            break
    if not start.startswith(_SIGNATURE):
        raise _damaged()
    return start


def _boxes(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the type and content of each box of a file that has boxes; cut ones are cut."""
    if data.startswith(_SIGNATURE):
        return
    position = 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        head = 8
        if size == 1 and position + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, position + 8)
            head = 16
        end = len(data) if size == 0 else position + size
        if end < position + head:
            raise _damaged()
        yield kind, memoryview(data)[position + head : end]
        position = end


def _metadata(data: bytes) -> dict[str, bytes]:
    """Return EXIF data and XMP packet of a file, as far as it has them."""
    found: dict[str, bytes] = {}
    for kind, content in _boxes(data):
        if kind == b"Exif":
            # Where in the box it begins stands in front of it, but some writers leave that out.
            is_bare = bytes(content[:4]) in (b"II*\0", b"MM\0*")
            start = 0 if is_bare else 4 + int.from_bytes(content[:4], "big")
            found.setdefault("exif", bytes(content[start:]))
        elif kind == b"xml ":
            found.setdefault("xmp", bytes(content))
        elif kind == b"brob" and bytes(content[:4]) in (b"Exif", b"xml "):
            name = "EXIF data" if bytes(content[:4]) == b"Exif" else "XMP packet"
            _logger.warning("the compressed %s of this JPEG XL file is left out", name)
    return found


def _damaged() -> UnsupportedImageError:
    return UnsupportedImageError(
        "damaged or incomplete JPEG XL file",
        hint="copy or download it again; if others read it, convert it to PNG first",
    )

"""The colours that an AV1 stream names for itself, in its sequence header.

An AVIF file that has no colour box leaves them to it. Nothing else of the stream is looked at.

Reference: AV1 Bitstream & Decoding Process Specification (2019), sections 5.3 (OBUs), 5.5.1
(sequence header) and 5.5.2 (colours).
"""

from __future__ import annotations

_SEQUENCE_HEADER = 1  # type of an OBU
_MAX_OBUS = 16  # before the header there may be a delimiter, padding and metadata


class _Bits:
    """Reads numbers from bytes, most significant bit first; beyond the end: `IndexError`."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def u(self, count: int) -> int:
        """Return an unsigned number of `count` bits."""
        self._left -= count
        if self._left < 0:
            raise IndexError("the sequence header is cut")
        return (self._value >> self._left) & ((1 << count) - 1)


def colours_of(stream: bytes) -> tuple[int, int] | None:
    """Return the primaries and the transfer of a stream, as ITU-T H.273 numbers them.

    Args:
        stream: its OBUs from the first on; what follows the sequence header is not needed.

    Returns:
        None where no sequence header comes, or one that names no colours.

    Raises:
        IndexError: the stream ends within its sequence header.
    """
    at = 0
    for _ in range(_MAX_OBUS):
        if at >= len(stream):
            return None
        head = stream[at]
        at += 2 if head & 4 else 1  # an extension of the header
        if not head & 2:  # without a size an OBU goes on to the end
            size = len(stream) - at
        else:
            size, at = _leb128(stream, at)
        if (head >> 3) & 15 == _SEQUENCE_HEADER:
            return _of_sequence_header(_Bits(stream[at : at + size]))
        at += size
    return None


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        byte = data[at + place]
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            break
    return value, at + place + 1


def _of_sequence_header(bits: _Bits) -> tuple[int, int] | None:
    profile = bits.u(3)
    bits.u(1)  # a still picture
    is_reduced = bits.u(1)
    if is_reduced:
        bits.u(5)  # level
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.u(4) + 1, bits.u(4) + 1
    bits.u(width_bits + height_bits)
    if not is_reduced and bits.u(1):  # numbers of frames
        bits.u(4 + 3)
    bits.u(3)  # large blocks, two filters within a frame
    if not is_reduced:
        _skip_tools_between_frames(bits)
    bits.u(3)  # scaling, two filters behind the prediction
    if bits.u(1) and profile == 2:  # more than 8 bits
        bits.u(1)  # 12
    if profile != 1:
        bits.u(1)  # grey
    return (bits.u(8), bits.u(8)) if bits.u(1) else None


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.u(1):  # times
        bits.u(32 + 32)
        if bits.u(1):  # of equal length, a number with as many bits as it has zeros in front
            zeros = 0
            while not bits.u(1):
                zeros += 1
            bits.u(zeros if zeros < 32 else 0)
        if bits.u(1):  # a model of the decoder
            delay_bits = bits.u(5) + 1
            bits.u(32 + 5 + 5)
    has_delay = bits.u(1)
    for _ in range(bits.u(5) + 1):
        bits.u(12)
        if bits.u(5) > 7:  # levels that have two tiers
            bits.u(1)
        if delay_bits and bits.u(1):
            bits.u(2 * delay_bits + 1)
        if has_delay and bits.u(1):
            bits.u(4)


def _skip_tools_between_frames(bits: _Bits) -> None:
    bits.u(4)
    has_order = bits.u(1)
    if has_order:
        bits.u(2)
    has_screen_tools = bits.u(1) or bits.u(1)  # where they are needed, or always
    if has_screen_tools and not bits.u(1):  # motion in whole pixels is not chosen frame by frame
        bits.u(1)
    if has_order:
        bits.u(3)

"""Unsigned LEB128 numbers and a bounds-checked cursor over the bytes of a file.

Everything that parses a `.rd` file takes its bytes from a `ByteReader`, so that reading past the
end is one clear error in one place (FORMAT.md, Varint and Errors).
"""

from __future__ import annotations

from rdae.errors import CorruptError, TruncatedError, grouped

__all__ = ["ByteReader", "pack_varint"]

_MAX_VARINT_BYTES = 5  # 7 bits each: enough for 32 bits


def pack_varint(value: int) -> bytes:
    """Encode `value` in its shortest form.

    Args:
        value: 0 <= value < 2^32.

    Raises:
        ValueError: the value is out of range.
    """
    if not 0 <= value < 1 << 32:
        raise ValueError(f"a varint holds 0 to 2^32-1, not {value}")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class ByteReader:
    """A cursor over `data` whose every read is checked against the end.

    Attributes:
        data: the whole file; slices of it are views and cost no copy.
        offset: the position of the next byte.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self.data = memoryview(data)
        self.offset = 0

    @property
    def left(self) -> int:
        """Number of bytes not yet read."""
        return len(self.data) - self.offset

    def take(self, count: int, name: str) -> memoryview:
        """Read `count` bytes of the field `name`.

        Raises:
            TruncatedError: fewer are left.
        """
        if count > self.left:
            raise TruncatedError(
                f"{name} needs {grouped(count)} byte{'s' * (count != 1)}, "
                f"the file has {grouped(self.left)} left"
            )
        view = self.data[self.offset : self.offset + count]
        self.offset += count
        return view

    def byte(self, name: str) -> int:
        """Read one byte as a number, 0 to 255."""
        return self.take(1, name)[0]

    def varint(self, name: str) -> int:
        """Read a varint, 0 to 2^32-1.

        Raises:
            TruncatedError: the file ends inside it.
            CorruptError: it is longer than needed, or 2^32 or more.
        """
        value = 0
        for position in range(_MAX_VARINT_BYTES):
            byte = self.byte(name)
            value |= (byte & 0x7F) << 7 * position
            if byte < 0x80:
                if byte == 0 and position:
                    raise CorruptError(f"{name} is a varint with needless leading zeros")
                if value >= 1 << 32:
                    raise CorruptError(f"{name} is {grouped(value)}, a varint holds less than 2^32")
                return value
        raise CorruptError(f"{name} is a varint of more than {_MAX_VARINT_BYTES} bytes")

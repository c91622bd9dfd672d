"""The range coder of FORMAT.md, section 6, in plain integers."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from rdae.bitstream.tables import TableFamily
from rdae.errors import CorruptError

TOTAL = 1 << 24
M64 = (1 << 64) - 1


class ReferenceDecoder:
    """FORMAT.md's decoder in plain integers."""

    def __init__(self, data: bytes) -> None:
        self.words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
        self.position, self.lower, self.range = 0, 0, M64
        self.point = self.next_word() << 32 | self.next_word()

    def next_word(self) -> int:
        self.position += 1
        return self.words[self.position - 1] if self.position <= len(self.words) else 0

    def decode(self, cdf: list[int]) -> int:
        scale = self.range >> 24
        quantile = (self.point - self.lower & M64) // scale
        if quantile >= TOTAL:
            raise CorruptError("illegal stream")
        k = bisect_right(cdf, quantile) - 1
        self.lower = self.lower + scale * cdf[k] & M64
        self.range = scale * (cdf[k + 1] - cdf[k])
        if self.range < 1 << 32:
            self.lower = self.lower << 32 & M64
            self.range <<= 32
            self.point = (self.point << 32 & M64) | self.next_word()
        return k

    def get(self, indexes: list[int], tables: TableFamily) -> list[int]:
        order = sorted(range(len(indexes)), key=lambda i: -indexes[i])
        values, escaped = [0] * len(indexes), []
        for i in order:
            t = indexes[i]
            start, size = int(tables.starts[t]), int(tables.sizes[t])
            freqs = tables.freqs[start : start + size].tolist()
            k = self.decode([0, *accumulate(freqs)])
            values[i] = k + int(tables.lows[t])
            if k == size - 1:
                escaped.append(i)
        uniform = [k << 16 for k in range(257)]
        high = [self.decode(uniform) for _ in escaped]
        for i, byte in zip(escaped, high, strict=True):
            values[i] = (byte << 8 | self.decode(uniform)) - 32768
        return values

    def ends_well(self) -> bool:
        read_all = self.position >= len(self.words)
        return read_all and (self.point - self.lower & M64) < (1 << 33) - 1


class ReferenceEncoder:
    """FORMAT.md's encoder: the interval's lower end as one long integer."""

    def __init__(self) -> None:
        self.lower, self.range, self.num_words = 0, M64, 2

    def encode(self, cdf: list[int], k: int) -> None:
        scale = self.range >> 24
        self.lower += scale * cdf[k]
        self.range = scale * (cdf[k + 1] - cdf[k])
        if self.range < 1 << 32:
            self.lower <<= 32
            self.range <<= 32
            self.num_words += 1

    def finish(self) -> bytes:
        value = -(-self.lower >> 32) << 32
        words = [value >> 32 * i & 0xFFFFFFFF for i in reversed(range(self.num_words))]
        while words and not words[-1]:
            words.pop()
        return b"".join(word.to_bytes(4, "little") for word in words)

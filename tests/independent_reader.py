"""A second reader of `.rd` files, written from rdae/bitstream/FORMAT.md and nothing else.

It shares no code with rdae, so that whatever both readers agree on stands in the document. Of
another library is only what FORMAT.md takes from another document: WebP (Pillow). § marks its
sections; formulas are taken as they stand there. It ends at the symbols: the caller gives the
latent's table indices, which the networks compute. Of a weights file it checks the tables only.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, chain, pairwise, product
from operator import add

from tests.independent_payloads import FormatError, alpha, inflate, require, varint

__all__ = ["Container", "FormatError", "Grid", "Model", "RangeDecoder", "Table", "require"]

Grid = list[list[list[int]]]  # rows of cells of channels
Table = tuple[Sequence[int], int]  # cdf and Low
Indexes = Callable[[int, Grid], Grid]  # of a pass and the symbols of the passes before it

MAGIC = b"\x93RDA"
PASS = ((0, 1, 2, 3), (3, 2, 1, 0), (2, 3, 0, 1), (1, 0, 3, 2))
TYPES = {"I8": "int8 b", "U8": "uint8 B", "I16": "int16 h", "I32": "int32 i", "I64": "int64 q"}
DECODER_SPEC = ["latent_channels", "hyper_channels", "features", "hyper_synthesis"]
DECODER_SPEC += ["first", "inputs", "shared", "outputs", "synthesis"]
ENCODER_TENSORS = ("analysis.", "hyper_analysis.", "y.gain", "z.gain")


class Container:
    """A file taken apart, and checked as far as that goes without its model (§2 to §4)."""

    def __init__(self, data: bytes, max_pixels: int = 256_000_000) -> None:
        self.data, self.position = data, 0
        self.read_header(max_pixels)
        self.chunks = self.read_chunks()
        z, c, y, r = ([body for kind, body in self.chunks if kind == layer] for layer in "ZCYR")
        streams = map(add, c, y) if c else y
        self.tiles = list(zip(z, streams, strict=True))  # Z, and C joined with Y
        self.pixels = r
        self.exact: tuple[int, bytes, int] | None = None  # fields of L
        self.metadata: dict[str, bytes] = {}
        self.alpha: bytes | None = None
        self.colourless = self.is_grey or self.is_neutral
        for kind, body in self.chunks[: -len(z + c + y + r)]:
            self.read_leading_chunk(kind, body[:-4], int.from_bytes(body[-4:], "little"))

    def take(self, count: int) -> bytes:
        require(self.position + count <= len(self.data), "the file ends early", "truncated")
        self.position += count
        return self.data[self.position - count : self.position]

    def varint(self) -> int:
        return varint(self.take)

    def read_header(self, max_pixels: int) -> None:
        """§3, the checks in the order of §10."""
        code = "truncated" if MAGIC.startswith(self.data[:4]) else "not-rdae"
        require(self.data.startswith(MAGIC), "no magic number", code)
        version, flags = divmod(self.take(5)[4], 16)
        require(version in (0, 2), f"version {version}", "unsupported-version")
        require(version == 2, "version 0")
        self.is_neutral, self.has_alpha, self.is_grey = (bool(flags & bit) for bit in (4, 2, 1))
        self.model_id, self.fingerprint = self.take(1)[0], self.take(4)
        self.quality_point = self.take(1)[0]
        self.width, self.height = self.varint(), self.varint()
        self.canonical = self.data[: self.position]
        check = int.from_bytes(self.take(2), "little")
        require(check == zlib.crc32(self.canonical) & 0xFFFF, "Header_Check")
        self.is_lossless = bool(flags & 8)
        require(not self.is_lossless or self.quality_point <= 16, "the largest error")
        self.is_undivided = self.is_lossless and self.quality_point == 16
        require(self.model_id > 0, "model 0")
        require(not (self.is_neutral and self.is_grey), "neutral and grey")
        require(0 < self.width < 2**24 and 0 < self.height < 2**24, "width or height")
        is_piece = self.width * self.height <= 33_554_432
        require(is_piece or not self.is_undivided, "too many pixels in one piece")
        require(self.width * self.height <= max_pixels, "too many pixels", "too-large")

    def tile_shapes(self) -> list[tuple[int, int]]:
        """Rows and columns of coded cells of each tile (§5, §14.11)."""
        cells = -(-self.height // 16), -(-self.width // 16)
        if self.is_undivided:
            return [cells]
        rows, columns = ([min(64, n - start) for start in range(0, n, 64)] for n in cells)
        return list(product(rows, columns))

    def read_chunks(self) -> list[tuple[str, bytes]]:
        """Types and bodies of all chunks (§4)."""
        kinds, shapes = "", self.tile_shapes()
        bodies: list[bytes] = []
        layers = "R" if self.is_lossless else "ZCY" if len(shapes) > 1 else "ZY"
        has_plane = self.has_alpha and not self.is_undivided
        front = 0
        while len(kinds) < front + len(shapes) * len(layers):
            kinds += (kind := self.chunk_type())
            front += kind not in "ZCYR"
            if kind == "L":
                require(not self.is_lossless and kinds.count("L") == 1, "a chunk L")
                layers += "R"
            order = "".join(kind * len(shapes) for kind in layers)
            require(order.startswith(kinds[front:]), "chunks out of order")
            require(all(kinds.count(once) <= 1 for once in "iex"), "a second chunk of its type")
            is_early = kind.islower() or kind == "L"
            require(is_early or kinds.count("A") == has_plane, "chunk A or its flag")
            require(sum(map(str.islower, kinds)) <= 64, "too many ancillary chunks")
            tile = (len(bodies) - front) % len(shapes)
            coarse = bodies[front + len(shapes) + tile] if kind == "Y" and "C" in order else None
            length, legal = self.varint(), self.legal_lengths(kind, *shapes[tile], coarse)
            if kind == "R":
                legal = self.legal_pixel_lengths(tile)
            require(length in legal, f"length of chunk {kind}")
            bodies.append(self.take(length))
        if self.position < len(self.data):
            raise FormatError("corrupt", f"chunk {self.chunk_type()} after the last tile")
        return list(zip(kinds, bodies, strict=True))

    def chunk_type(self) -> str:
        byte = self.take(1)
        require(byte.isalpha(), "no chunk where one has to begin")
        known = byte.islower() or byte in b"ALZCYR"
        require(known, f"critical chunk {byte!r}", "unsupported-feature")
        return byte.decode("ascii")

    def legal_lengths(self, kind: str, rows: int, columns: int, coarse: bytes | None) -> range:
        """§4.1 to §4.3, §11."""
        if coarse is not None:
            words = len(coarse) // 4
            return range(4 + 4 * max(0, 7 * words - 7), 4 + 4 * 7 * words + 1, 4)
        if kind == "C":
            return range(0, 4 * -(-4 * (41 * 4096 * rows * columns // 32 + 2) // 32) + 1, 4)
        if kind in "ZY":
            cells = rows * columns if kind == "Y" else -(-rows // 4) * -(-columns // 4)
            check = 4 if kind == "Y" else 0
            return range(check, 4 * (41 * 4096 * cells // 32 + 2) + check + 1, 4)
        if kind == "L":
            return range(10, 11)
        if kind in "iexA":
            size, check = (self.width * self.height, 5) if kind == "A" else (8_388_608, 4)
            return range(check, size + size // 256 + 1024 + check + 1)
        return range(4, 2**32)

    def pixel_shape(self, tile: int) -> tuple[int, int]:
        """Rows and columns of pixels of a tile (§5, §14.11)."""
        if self.is_undivided:
            return self.height, self.width
        row, column = divmod(tile, -(-self.width // 1024))
        return min(1024, self.height - 1024 * row), min(1024, self.width - 1024 * column)

    def legal_pixel_lengths(self, tile: int) -> range:
        """§4.4, §11."""
        rows, columns = self.pixel_shape(tile)
        return range(5, 4 * (41 * (3 * rows * columns + 2**15) // 32 + 2) + 5 + 1)

    def read_leading_chunk(self, kind: str, payload: bytes, check: int) -> None:
        """Metadata and alpha (§4.1, §4.2)."""
        covered = kind.encode() + (self.canonical if kind in "AL" else b"") + payload
        require(zlib.crc32(covered) == check, f"checksum of {kind}")
        if kind in "iex":
            self.metadata[kind] = inflate(payload, 8_388_608)
            require(self.metadata[kind] != b"", f"chunk {kind} of nothing")
        elif kind == "L":
            self.exact = payload[0], payload[1:5], payload[5]
            require(payload[0] > 0 and payload[5] <= 15, "a field of L")
        elif kind == "A":
            self.alpha = alpha(payload, self.width, self.height)


class RangeDecoder:
    """§6.2."""

    def __init__(self, stream: bytes) -> None:
        self.words = struct.unpack(f"<{len(stream) // 4}I", stream)
        require(self.words[-1:] != (0,), "a stream ends in a zero word")
        self.position, self.lower, self.range = 0, 0, 2**64 - 1
        self.point = self.next() * 2**32 + self.next()

    def next(self) -> int:
        self.position += 1
        return self.words[self.position - 1] if self.position <= len(self.words) else 0

    def decode(self, cdf: Sequence[int], first: int = 0, last: int = 2**24) -> int:
        """An entry; those but the escape only from `first` to `last` (§14.4)."""
        scale = self.range // 2**24
        quantile = ((self.point - self.lower) % 2**64) // scale
        require(quantile < 2**24, "a stream leaves its range")
        k, escape = bisect_right(cdf, quantile) - 1, len(cdf) - 2
        begin, end = cdf[k], cdf[k + 1]
        if k < escape and k <= first:
            k, begin, end = first, 0, cdf[first + 1]
        if k < escape and k >= last:
            k, begin, end = last, 0 if last == first else cdf[last], cdf[escape]
        self.lower = (self.lower + scale * begin) % 2**64
        self.range = scale * (end - begin)
        if self.range < 2**32:
            self.lower = (self.lower * 2**32) % 2**64
            self.range *= 2**32
            self.point = (self.point * 2**32) % 2**64 + self.next()
        return k

    def group(
        self,
        indexes: Sequence[int],
        tables: Sequence[Table],
        limits: Sequence[tuple[int, int]] | None = None,
    ) -> list[int]:
        """The symbols of a group, from their table indices (§6.4); limits are of §14.4."""
        symbols, escapes = [0] * len(indexes), []
        for i in sorted(range(len(indexes)), key=lambda i: -indexes[i]):
            cdf, low = tables[indexes[i]]
            least, most = limits[i] if limits else (-32768, 32767)
            symbols[i] = low + self.decode(cdf, least - low, most - low)
            if symbols[i] == low + len(cdf) - 2:
                escapes.append(i)
        byte_cdf = range(0, 2**24 + 1, 2**16)
        high_bytes = [self.decode(byte_cdf) for _ in escapes]
        for i, high in zip(escapes, high_bytes, strict=True):
            cdf, low = tables[indexes[i]]
            symbols[i] = 256 * high + self.decode(byte_cdf) - 32768
            require(not 0 <= symbols[i] - low < len(cdf) - 2, "an escape that needs none")
        return symbols

    def end(self) -> None:
        if self.range == 2**64 - 1:  # nothing was decoded
            require(not self.words, "a stream without symbols")
        require(self.position >= len(self.words), "words left over in a stream")
        require((self.point - self.lower) % 2**64 < 2**33 - 1, "a stream ends out of its range")


class WeightsFile:
    """A safetensors file with tensors and what it says of itself (§9)."""

    def __init__(self, data: bytes) -> None:
        start = 8 + int.from_bytes(data[:8], "little")
        self.data, self.entries = data[start:], json.loads(data[8:start])
        self.info = json.loads(self.entries.pop("__metadata__")["rdae"])
        self.id, self.fingerprint = self.info["id"], b""

    def raw(self, name: str) -> bytes:
        start, end = self.entries[name]["data_offsets"]
        return self.data[start:end]

    def tensor(self, name: str) -> tuple[int, ...]:
        """All numbers of a tensor, in raster order."""
        letter = TYPES[self.entries[name]["dtype"]][-1]
        return tuple(number for (number,) in struct.iter_unpack("<" + letter, self.raw(name)))

    def hashed(self, name: str) -> bytes:
        """What a fingerprint covers of a tensor (§9.4)."""
        kind = TYPES[self.entries[name]["dtype"]].split()[0]
        return f"{name} {kind} {self.entries[name]['shape']}\n".encode() + self.raw(name)

    def require_of(self, file: Container) -> None:
        """Refuse a file of another model (§3)."""
        self.require(file.model_id, file.fingerprint)

    def require(self, model_id: int, fingerprint: bytes) -> None:
        """Refuse another model."""
        known = (model_id, fingerprint) == (self.id, self.fingerprint)
        require(known, f"model {model_id}", "unknown-model")


class Model(WeightsFile):
    """A weights file of a lossy model (§9), and how it decodes the symbols of a tile (§8)."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.spec = self.info["spec"]
        self.z_tables, self.y_tables = self.tables("z"), self.tables("y")
        self.fingerprint = self.compute_fingerprint()

    def tables(self, family: str) -> list[Table]:
        """§6.3, §9.3."""
        sizes, lows, freqs = (self.tensor(f"{family}.{x}") for x in ("sizes", "lows", "freqs"))
        tables: list[Table] = []
        start = 0
        for size, low in zip(sizes, lows, strict=True):
            cdf = (0, *accumulate(freqs[start : start + size]))
            rising = all(a < b for a, b in pairwise(cdf)) and cdf[-1] == 2**24
            legal = rising and size >= 2 and low >= -(2**15) and low + size - 2 < 2**15
            require(legal, f"a table of {family}", "weights-mismatch")
            tables.append((cdf, low))
            start += size
        return tables

    def compute_fingerprint(self) -> bytes:
        """§9.4."""
        spec = {key: self.spec[key] for key in DECODER_SPEC}
        digest = hashlib.sha256(json.dumps(spec, sort_keys=True, separators=(",", ":")).encode())
        for name in sorted(self.entries):
            if not name.startswith(ENCODER_TENSORS) and not name.endswith(".unit"):
                digest.update(self.hashed(name))
        return digest.digest()[:4]

    def decode_z(self, file: Container, tile: int) -> list[int]:
        """The symbols of a tile's hyper-latent, in raster order (§8.1)."""
        rows, columns = file.tile_shapes()[tile]
        channels = self.spec["hyper_channels"]
        first = self.tensor("z.anchor")[file.quality_point] * channels
        indexes = list(range(first, first + channels)) * (-(-rows // 4) * -(-columns // 4))
        coder = RangeDecoder(file.tiles[tile][0])
        symbols = coder.group(indexes, self.z_tables)
        coder.end()
        return symbols

    def decode_y(self, file: Container, tile: int, z: list[int], indexes: Indexes) -> Grid:
        """The symbols of a tile's coded latent cells (§8.3, §8.4).

        `indexes` returns a grid that holds the table index of each entry of the pass that it is
        called for; elsewhere it may hold anything.
        """
        rows, columns = file.tile_shapes()[tile]
        channels = self.spec["latent_channels"]
        y = [[[0] * channels for _ in range(columns)] for _ in range(rows)]
        coder = RangeDecoder(file.tiles[tile][1][:-4])
        for number in range(4):
            entries = [
                (row, column, channel)
                for row, column, channel in product(range(rows), range(columns), range(channels))
                if PASS[4 * channel // channels][2 * (row % 2) + column % 2] == number
            ]
            grid = indexes(number, y)
            group = coder.group([grid[row][col][c] for row, col, c in entries], self.y_tables)
            for (row, column, channel), symbol in zip(entries, group, strict=True):
                y[row][column][channel] = symbol
        coder.end()
        symbols = [*z, *chain.from_iterable(chain.from_iterable(y))]
        covered = file.canonical + struct.pack(f"<I{len(symbols)}i", tile, *symbols)
        check = int.from_bytes(file.tiles[tile][1][-4:], "little")
        require(zlib.crc32(covered) == check, f"Tile_Check of tile {tile}")
        return y

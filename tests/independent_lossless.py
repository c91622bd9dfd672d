"""A reader of lossless files in plain Python: section 14 of FORMAT.md, written from it alone.

Like `independent_reader`, it shares no code with rdae. Some hundred pixels take a second.
"""

from __future__ import annotations

import zlib

from tests import independent_reader as reader
from tests.independent_levels import (
    ADDED,
    CHANNEL,
    Level,
    Model,
    NoParameters,
    Parameters,
    Tables,
    byte_group,
)
from tests.independent_networks import Layers, Networks, clip
from tests.independent_payloads import webp
from tests.independent_reader import Grid, RangeDecoder, require


class Reader:
    """A lossless file and its model.

    `lossy` is the model of the lossy picture that a file with a chunk L has (§14.10).
    """

    def __init__(
        self, model: Model, file: reader.Container, lossy: reader.Model | None = None
    ) -> None:
        self.model, self.file, self.base = model, file, None
        self.most = 0 if file.is_undivided else file.quality_point
        if file.exact is None:
            require(file.is_lossless, "no lossless file")
            model.require_of(file)
        else:
            model_id, fingerprint, self.most = file.exact
            model.require(model_id, fingerprint)
            assert lossy is not None and len(file.pixels) == 1
            lossy.require_of(file)
            self.base = Networks(lossy, file).pixels()
        self.w = 2 * self.most + 1

    def pixels(self) -> Grid:
        """Red, green and blue of the picture, and alpha if an undivided one has it (§14.11)."""
        across = -(-self.file.width // 1024)
        lines: Grid = []
        for tile in range(len(self.file.pixels)):
            part = self.tile(tile)
            if tile % across == 0:
                lines += [[] for _ in part]
            for line, piece in zip(lines[-len(part) :], part, strict=True):
                line += piece
        return lines

    def tile(self, tile: int) -> Grid:
        """The pixels of a tile (§4.4)."""
        body = self.file.pixels[tile]
        method, stream, check = body[0], body[1:-4], int.from_bytes(body[-4:], "little")
        require(method == 1 or (method == 0 and not self.file.is_undivided), "the method of a tile")
        rows, columns = self.file.pixel_shape(tile)
        decode = self.webp if method else self.network
        pixels = decode(stream, rows, columns)
        samples = b"".join(bytes(pixel) for line in pixels for pixel in line)
        covered = self.file.canonical + tile.to_bytes(4, "little") + samples
        require(zlib.crc32(covered) == check, f"Tile_Check of tile {tile}")
        return pixels

    def webp(self, stream: bytes, rows: int, columns: int) -> Grid:
        """§14.2, §14.11."""
        has_alpha = self.file.is_undivided and self.file.has_alpha
        return webp(stream, rows, columns, self.file.colourless, has_alpha)

    def network(self, stream: bytes, rows: int, columns: int) -> Grid:
        """§14.4."""
        require(len(stream) % 4 == 0, "no whole number of words")
        coder, tables = RangeDecoder(stream), Tables(self.model, self.w)
        coded = 1 if self.file.colourless else 3
        pixels: Grid = [[[0] * 3 for _ in range(columns)] for _ in range(rows)]
        first = [value + 128 for value in byte_group(coder, coded)]
        for k, c in enumerate(CHANNEL):
            pixels[0][0][c] = first[k if k < coded else 0]
        top = next(i for i in range(25) if max(rows, columns) <= 2**i)
        for number in reversed(range(top)):
            picture = [line[:: 2**number] for line in pixels[:: 2**number]]
            known = [line[::2] for line in picture[::2]]
            base = self.base and [line[:: 2**number] for line in self.base[:: 2**number]]
            level = Level(Layers(self.model, self.file), self.model, number, known, base)
            (has_parameters,) = byte_group(coder, 1)
            require(has_parameters in (0, 1), "Has_Parameters")
            for p, (i, j) in enumerate(ADDED):
                target = [line[j::2] for line in picture[i::2]]
                self.decode_pass(coder, tables, level, p, target, coded, bool(has_parameters))
        coder.end()
        return pixels

    def decode_pass(
        self,
        coder: RangeDecoder,
        tables: Tables,
        level: Level,
        p: int,
        target: Grid,
        coded: int,
        has_parameters: bool,
    ) -> None:
        """Fill in the pixels that a pass adds; `target` has those, by reference."""
        level.begin_pass(p)
        parameters: Parameters = NoParameters()
        if has_parameters:
            taps = [3 * (n + len(level.seen(p, kind))) for kind, n in ((1, 4), (2, 16), (3, 36))]
            if self.base:
                taps = [count + 15 for count in (*taps, 0)]
            parameters = Parameters(taps, coder, Tables(self.model, 1))
        own = level.own(p, parameters) if parameters.kind else None
        for k, c in enumerate(CHANNEL):
            predicted = level.predict(p, k, parameters, own)
            samples = [[pixel[CHANNEL[0]] for pixel in line] for line in target]
            if k < coded:
                there = [predicted[i][j] for i, line in enumerate(target) for j in range(len(line))]
                limits = [self.limits(mean + 64 >> 7) for mean, _, _ in there]
                residuals = iter(coder.group([index for _, _, index in there], tables, limits))
                for i, line in enumerate(target):
                    for j in range(len(line)):
                        value = (predicted[i][j][0] + 64 >> 7) + next(residuals) * self.w
                        legal = -self.most <= value <= 255 + self.most
                        require(legal, "a sample out of range")
                        samples[i][j] = clip(value, 0, 255)
            for line, values in zip(target, samples, strict=True):
                for pixel, value in zip(line, values, strict=True):
                    pixel[c] = value
            level.settle(p, k, samples, predicted)

    def limits(self, m: int) -> tuple[int, int]:
        """The least and the greatest residual beside a mean (§14.4)."""
        legal = [s for s in range(-255, 256) if -self.most <= m + s * self.w <= 255 + self.most]
        return legal[0], legal[-1]

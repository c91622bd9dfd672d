"""One level of a lossless tile in plain Python, from sections 14.3 to 14.9 of FORMAT.md."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache, cached_property
from itertools import chain, product
from typing import Any

from tests import independent_reader as reader
from tests.independent_networks import Layers, add, cellwise, clip, rnd
from tests.independent_reader import Grid, RangeDecoder, Table, require

CHANNEL = (1, 0, 2)  # of colours in the order of coding
ADDED = ((1, 1), (0, 1), (1, 0))  # row and column in its cell of what each pass adds
WINDOW = {1: (0, 1), 2: (-1, 2), 3: (-2, 3)}
CROSS = ((-1, 0), (0, -1), (0, 0), (0, 1), (1, 0))  # around a pixel of the lossy picture
BYTES: Table = ([*(i * (2**16 - 2**8) for i in range(257)), 2**24], -128)


class Model(reader.WeightsFile):
    """A lossless model (§14.3)."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        require(self.info["format"] == "lossless 2", "another format", "weights-mismatch")
        self.channels, self.hidden = self.info["channels"], self.info["hidden"]
        first = f"lossless 2 {self.channels} {self.hidden}\n".encode()
        digest = hashlib.sha256(first + b"".join(map(self.hashed, sorted(self.entries))))
        self.fingerprint = digest.digest()[:4]
        self.table = cache(self.compute_table)

    @cached_property
    def networks(self) -> dict[str, list[Any]]:
        """The layers of the networks of a set, by name."""
        c, g = self.channels, self.hidden
        layers = [["depthwise", c, 3], ["linear", c, 2 * c, 3], ["linear", 2 * c, c]]
        block = ["residual", layers]
        found: dict[str, list[Any]] = {"begin": [["linear", 108, c, 3], block]}
        for p in range(3):
            found[f"linear.{p}"] = [["linear", 9 * (12 + 3 * p), 3]]
            found[f"pass.{p}"] = [["linear", c + 81 if p else c, c, 3]]
            found[f"block.{p}"] = [block]
            for k in range(3):
                first = ["linear", c + 3 + 4 * k, g, 3]
                found[f"head.{p}.{k}"] = [first, ["linear", g, 3 + k]]
        return found

    def compute_table(self, index: int, w: int) -> Table:
        """A table of bins of w samples."""
        (scale, phase), shape = divmod(index // 4, 8), index % 4
        narrow, wide_inverse = self.tensor("tables.inverse")[2 * scale : 2 * scale + 2]
        wide, normal = self.tensor("tables.weight")[shape], self.tensor("tables.normal")

        def below(v: int) -> int:
            step = min(abs(v) >> 12, len(normal) - 2)
            between = min(abs(v) - step * 2**12, 2**12)
            value = normal[step] + (((normal[step + 1] - normal[step]) * between) >> 12)
            return -value if v < 0 else value

        reach = -(-self.tensor("tables.reach")[scale] // w)
        n = 2 * reach + 2
        places = [8 * (2 * w * (i - reach) - w) - (2 * phase - 7) for i in range(n)]
        mass = [
            ((256 - wide) * below(place * narrow) + wide * below(place * wide_inverse)) >> 8
            for place in places
        ]
        cdf = [(((m - mass[0]) * (2**24 - 17 * n)) >> 24) + 16 * i for i, m in enumerate(mass)]
        return [*cdf, 2**24], -reach


class Tables(Sequence[Table]):
    """The tables of a model for bins of w samples, computed when they are used."""

    def __init__(self, model: Model, w: int) -> None:
        self.model, self.w = model, w

    def __len__(self) -> int:
        return 1536

    def __getitem__(self, index: Any) -> Any:
        return self.model.table(index, self.w)


def byte_group(coder: RangeDecoder, count: int) -> list[int]:
    """§14.4."""
    found = coder.group([0] * count, [BYTES])
    require(all(-128 <= value <= 127 for value in found), "an escape among bytes")
    return found


def of_nearest(x: Grid, row: int, column: int) -> list[int]:
    """The cell, or the nearest one of the grid."""
    return x[clip(row, 0, len(x) - 1)][clip(column, 0, len(x[0]) - 1)]


def of_grid(x: Grid, row: int, column: int) -> list[int]:
    """The cell, or zeros beyond the grid."""
    is_inside = 0 <= row < len(x) and 0 <= column < len(x[0])
    return x[row][column] if is_inside else [0] * len(x[0][0])


def around(*arrays: Grid) -> Grid:
    """§14.5."""
    x = cellwise(lambda *cells: [*chain(*cells)], *arrays)
    offsets = list(product((-1, 0, 1), repeat=2))
    return [
        [
            [*chain(*(of_grid(x, row + i, column + j) for i, j in offsets))]
            for column in range(len(x[0]))
        ]
        for row in range(len(x))
    ]


class Parameters:
    """Of one pass (§14.7)."""

    def __init__(self, taps: list[int], coder: RangeDecoder, tables: Tables) -> None:
        """Read them; `taps` are the numbers of inputs of the kinds from 1 on."""
        (self.kind,) = byte_group(coder, 1)
        require(0 <= self.kind <= len(taps), "the kind of a filter")
        small = byte_group(coder, 12)
        self.slope, self.row, self.shape, self.statistic = (small[i : i + 3] for i in (0, 3, 6, 9))
        self.filter: list[list[int]] = []
        if self.kind:
            (scale,) = byte_group(coder, 1)
            require(0 <= scale <= 47, "the scale of a filter")
            count = 3 * taps[self.kind - 1]
            values = coder.group([(scale * 8 + 4) * 4 + 1] * (count + 9), tables)
            self.filter = [values[i : i + 3] for i in range(0, count, 3)]
            self.offset, self.factor, self.gain = (values[count + i :][:3] for i in (0, 3, 6))
            require(all(abs(v) <= 2047 for v in self.factor + self.gain), "a factor")
            for k in range(3):
                bias = abs(2**12 * self.offset[k] + 2**8)
                most = 2**15 * sum(abs(row[k]) for row in self.filter) + bias
                require(most < 2**31, "the sums of a filter")


class NoParameters(Parameters):
    """Of a level without parameters: zeros."""

    def __init__(self) -> None:
        self.kind = 0
        self.slope = self.row = self.shape = self.statistic = [0] * 3


class Level:
    """A level while its passes are decoded (§14.5 to §14.9)."""

    def __init__(
        self, layers: Layers, model: Model, number: int, known: Grid, base: Grid | None = None
    ) -> None:
        self.base = base
        self.layers, self.model, self.known = layers, model, known
        self.path = f"level.{min(number, 2)}"
        rows, columns = range(len(known)), range(len(known[0]))

        def quads(row: int, column: int) -> list[int]:
            here, right, down, both = (
                of_nearest(known, row + i, column + j) for i, j in product((0, 1), repeat=2)
            )
            colours = range(3)
            return [
                *(4 * here[c] for c in colours),
                *(2 * (here[c] + right[c]) for c in colours),
                *(2 * (here[c] + down[c]) for c in colours),
                *(here[c] + right[c] + down[c] + both[c] for c in colours),
            ]

        self.q = [[quads(row, column) for column in columns] for row in rows]
        sums = cellwise(lambda q: [sum(q[c::3]) for c in range(3)], self.q)

        def mean(row: int, column: int) -> list[int]:
            cells = [
                of_nearest(sums, row + i, column + j) for i, j in product((-1, 0, 1), repeat=2)
            ]
            return [(sum(values) * 58254 + 2**15) >> 16 for values in zip(*cells, strict=True)]

        self.mean = [[mean(row, column) for column in columns] for row in rows]
        self.centred = cellwise(
            lambda q, m: [32 * v - m[i % 3] for i, v in enumerate(q)], self.q, self.mean
        )
        self.h = self.run("begin", around(self.centred))
        self.d: list[Grid] = []
        self.e: list[Grid] = []
        self.n: list[Grid] = []

    def run(self, name: str, x: Grid) -> Grid:
        return self.layers.run(self.model.networks[name], f"{self.path}.{name}", x)

    def begin_pass(self, p: int) -> None:
        """§14.6."""
        x = self.h
        if p:
            new = around(self.d[-1], self.e[-1], self.n[-1])
            x = cellwise(lambda a, b: a + b, x, new)
        self.h = self.run(f"block.{p}", add(self.h, self.run(f"pass.{p}", x)))
        at = 3 * (2 * ADDED[p][0] + ADDED[p][1])
        self.r = cellwise(lambda q: [32 * v for v in q[at : at + 3]], self.q)
        generic = self.run(f"linear.{p}", around(*self.d, self.centred))
        self.generic = cellwise(
            lambda a, b: [i + j for i, j in zip(a, b, strict=True)], self.r, generic
        )
        for grids in (self.d, self.e, self.n):
            grids.append(cellwise(lambda _: [0] * 3, self.r))
        self.f = cellwise(lambda _: [], self.r)

    @staticmethod
    def seen(p: int, kind: int) -> list[tuple[int, int, int]]:
        """Pass, row and column of the differences that a filter sees (§14.7)."""
        c, d = ADDED[p]
        return [
            (q, i, j)
            for q, i, j in product(range(p), (-1, 0, 1), (-1, 0, 1))
            if kind == 3
            or (abs(2 * i + ADDED[q][0] - c) <= 1 and abs(2 * j + ADDED[q][1] - d) <= 1)
        ]

    def own(self, p: int, parameters: Parameters) -> Grid:
        """What the tile's own filter gives, by the number of a colour (§14.7)."""
        first, last = WINDOW.get(parameters.kind, (0, -1))  # kind 4 has none
        window = list(product(range(first, last + 1), repeat=2))
        seen = self.seen(p, parameters.kind) if parameters.kind < 4 else []
        columns = [[row[k] for row in parameters.filter] for k in range(3)]

        def of(row: int, column: int) -> list[int]:
            mean, values = self.mean[row][column], []
            for i, j in window:
                cell = of_nearest(self.known, row + i, column + j)
                values += [128 * v - m for v, m in zip(cell, mean, strict=True)]
            for q, i, j in seen:
                values += of_grid(self.d[q], row + i, column + j)
            for i, j in CROSS if self.base else ():
                at = 2 * row + ADDED[p][0] + i, 2 * column + ADDED[p][1] + j
                cell = of_nearest(self.base or [], *at)
                values += [128 * v - m for v, m in zip(cell, mean, strict=True)]
            bias = [2**12 * offset + 2**8 for offset in parameters.offset]
            return [
                clip((bias[k] + sum(v * m for v, m in zip(values, columns[k], strict=True))) >> 9)
                for k in range(3)
            ]

        size = len(self.known), len(self.known[0])
        return [[of(row, column) for column in range(size[1])] for row in range(size[0])]

    def predict(self, p: int, k: int, parameters: Parameters, own: Grid | None) -> Grid:
        """Mean, scale, shape and index of colour k in each cell (§14.8)."""
        statistic = [2**8 * value for value in parameters.statistic]
        x = cellwise(lambda h, f: h + statistic + f, self.h, self.f)
        out = self.run(f"head.{p}.{k}", x)
        same = self.model.tensor(f"{self.path}.same")[3 * p : 3 * p + 3]

        def of(out: list[int], generic: list[int], d: list[int], e: list[int]) -> list[int]:
            mean = generic[CHANNEL[k]] + out[0]
            for j in range(k):
                mean += rnd(e[CHANNEL[j]] * out[3 + j], 12)
                mean += rnd(d[CHANNEL[j]] * same[k - 1 + j], 12)
            return [mean, *out[:3]]

        found = cellwise(of, out, self.generic, self.d[p], self.e[p])
        if own is not None:

            def with_own(cell: list[int], own: list[int], d: list[int]) -> list[int]:
                mean, *out = cell
                mean += own[k] + rnd(out[0] * parameters.gain[k], 9)
                for j in range(k):
                    mean += rnd(d[CHANNEL[j]] * 8 * parameters.factor[k - 1 + j], 12)
                return [mean, *out]

            found = cellwise(with_own, found, own, self.d[p])

        def finish(cell: list[int]) -> list[int]:
            mean, _, row, shape = cell
            mean = clip(mean, 0, 255 * 128)
            row += ((row * parameters.slope[k]) >> 8) + 16 * parameters.row[k]
            scale = clip(rnd(row, 7), 0, 47)
            shape = clip(rnd(shape + 16 * parameters.shape[k], 7), 0, 3)
            phase = (mean + 64) % 128 >> 4
            return [mean, scale, (scale * 8 + phase) * 4 + shape]

        return cellwise(finish, found)

    def settle(self, p: int, k: int, samples: list[list[int]], predicted: Grid) -> None:
        """§14.9."""
        c, factors = CHANNEL[k], self.model.tensor("scales.error")
        for row, line in enumerate(samples):
            for column, x in enumerate(line):
                mean, scale, _ = predicted[row][column]
                error = 128 * x - mean
                self.d[p][row][column][c] = 128 * x - self.r[row][column][c]
                self.e[p][row][column][c] = error
                self.n[p][row][column][c] = clip(rnd(error * factors[scale], 6), -24576, 24576)
        self.f = cellwise(
            lambda f, e, n: [*f, e[c], abs(e[c]), n[c], abs(n[c])], self.f, self.e[p], self.n[p]
        )

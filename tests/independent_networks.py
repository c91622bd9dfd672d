"""From symbols to pixels in plain Python: sections 7 and 8 of FORMAT.md, written from it alone.

Takes about a second for a picture of one cell.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import mul
from typing import Any

from tests import independent_reader as reader
from tests.independent_reader import PASS, Grid


def rnd(value: int, shift: int) -> int:
    return (value + 2 ** (shift - 1)) >> shift


def clip(value: int, low: int = -(2**15), high: int = 2**15 - 1) -> int:
    return low if value < low else min(value, high)


def cellwise(function: Callable[..., list[int]], *grids: Grid) -> Grid:
    """A function of one cell of each of the grids, applied to all of them."""
    return [list(map(function, *rows)) for rows in zip(*grids, strict=True)]


def add(x: Grid, y: Grid) -> Grid:
    return cellwise(lambda a, b: [clip(i + j) for i, j in zip(a, b, strict=True)], x, y)


def shuffle(x: Grid, r: int) -> Grid:
    n = len(x[0][0]) // r**2
    lines = [[slice(at * n, at * n + n) for at in range(i * r, i * r + r)] for i in range(r)]
    return [[cell[part] for cell in row for part in line] for row in x for line in lines]


def linear(
    x: Grid, m: tuple[int, ...], b: tuple[int, ...], shift: tuple[int, ...], leak: int = 0
) -> Grid:
    columns, (e,) = [m[o :: len(b)] for o in range(len(b))], shift
    half = 2 ** (e + leak - 1) - 2 ** (e - 1)

    def outputs(a: list[int]) -> list[int]:
        sums = [bias + sum(map(mul, a, column)) for bias, column in zip(b, columns, strict=True)]
        return [clip(max(v >> e, (v + half) >> (e + leak))) for v in sums]

    return cellwise(outputs, x)


def depthwise(
    x: Grid, m: tuple[int, ...], b: tuple[int, ...], shift: tuple[int, ...], size: int
) -> Grid:
    rows, columns, n, (e,) = range(len(x)), range(len(x[0])), len(b), shift
    offsets = [(i, j) for i in range(size) for j in range(size)]

    def outputs(row: int, column: int) -> list[int]:
        acc = list(b)
        for i, j in offsets:
            r, c, at = row + i - size // 2, column + j - size // 2, (i * size + j) * n
            if r in rows and c in columns:
                weights = m[at : at + n]
                acc = [v + a * w for v, a, w in zip(acc, x[r][c], weights, strict=True)]
        return [clip(v >> e) for v in acc]

    return [[outputs(row, column) for column in columns] for row in rows]


class Layers:
    """The layers of a weights file, for one file."""

    def __init__(self, model: reader.WeightsFile, file: reader.Container) -> None:
        self.weights, self.file = model, file

    def row(self, name: str) -> tuple[int, ...]:
        """The file's row of a tensor that has one for each quality point."""
        size = self.weights.entries[name]["shape"][1]
        return self.weights.tensor(name)[self.file.quality_point * size :][:size]

    def run(self, layers: list[Any], path: str, x: Grid) -> Grid:
        for i, layer in enumerate(layers):
            x = self.layer(layer, f"{path}.{i}", x)
        return x

    def layer(self, layer: list[Any], path: str, x: Grid) -> Grid:
        match layer:
            case ["residual", inner]:
                return add(x, self.run(inner, path, x))
            case ["sum", first, second]:
                return add(self.run(first, f"{path}.0", x), self.run(second, f"{path}.1", x))
            case ["shuffle", r]:
                return shuffle(x, r)
            case ["gain", _]:
                table, (e,) = self.row(f"{path}.table"), self.weights.tensor(f"{path}.shift")
                return cellwise(
                    lambda a: [clip(rnd(v * t, e)) for v, t in zip(a, table, strict=True)], x
                )
        mantissa, bias, shift = (
            self.weights.tensor(f"{path}.{part}") for part in ("mantissa", "bias", "shift")
        )
        match layer:
            case ["linear", _, _, *leak]:
                return linear(x, mantissa, bias, shift, *leak)
            case ["depthwise", _, size]:
                return depthwise(x, mantissa, bias, shift, size)
        raise ValueError(f"unknown layer {layer}")


class Networks(Layers):
    """Sections 7 and 8 for one file."""

    def __init__(self, model: reader.Model, file: reader.Container) -> None:
        super().__init__(model, file)
        self.model = model

    def y_hat(self, tile: int) -> Grid:
        """Sections 8.1 to 8.4."""
        spec = self.model.spec
        m, n = spec["latent_channels"], spec["hyper_channels"]
        rows, columns = self.file.tile_shapes()[tile]
        hyper_columns = -(-columns // 4)
        z = self.model.decode_z(self.file, tile)
        step, (e,) = self.row("z.step"), self.model.tensor("z.step_shift")
        z_hat = [clip(rnd(symbol * step[i % n], e)) for i, symbol in enumerate(z)]
        cells = [z_hat[i : i + n] for i in range(0, len(z_hat), n)]
        grid = [cells[i : i + hyper_columns] for i in range(0, len(cells), hyper_columns)]
        features = self.run(spec["hyper_synthesis"], "hyper_synthesis", grid)
        offset, step, (e,) = (
            self.row("y.offset"),
            self.row("y.step"),
            self.model.tensor("y.step_shift"),
        )
        y_hat = [[[0] * m for _ in line] for line in features]
        out: Grid = []

        def finish(number: int, y: Grid) -> None:
            """Step 3 of a pass."""
            for row, line in enumerate(y_hat):
                for column, cell in enumerate(line):
                    for c in range(m):
                        if PASS[4 * c // m][2 * (row % 2) + column % 2] == number:
                            symbol = y[row][column][c] if row < rows and column < columns else 0
                            cell[c] = clip(rnd(out[row][column][c], 4) + rnd(symbol * step[c], e))

        def indexes(number: int, y: Grid) -> Grid:
            """Step 1 of a pass, after the last step of the one before."""
            nonlocal out
            if number == 0:
                out = self.run(spec["first"], "first", features)
            else:
                finish(number - 1, y)
                k, x = number - 1, cellwise(lambda a, b: a + b, features, y_hat)
                x = self.run(spec["inputs"][k], f"inputs.{k}", x)
                x = self.run(spec["shared"], "shared", x)
                out = self.run(spec["outputs"][k], f"outputs.{k}", x)
            return cellwise(
                lambda a: [clip(rnd(v + o, 7), 0, 127) for v, o in zip(a[m:], offset, strict=True)],
                out,
            )

        finish(3, self.model.decode_y(self.file, tile, z, indexes))
        return [line[:columns] for line in y_hat[:rows]]

    def pixels(self) -> list[list[list[int]]]:
        """Sections 8.5 and 8.6; for pictures of one tile."""
        width, height = self.file.width, self.file.height
        out = self.run(self.model.spec["synthesis"], "synthesis", self.y_hat(0))
        rgb = cellwise(lambda a: [clip(rnd(v, 6), 0, 255) for v in a], out)
        if self.file.colourless:
            rgb = cellwise(lambda a: [(sum(a) + 1) // 3] * 3, rgb)
        return [line[:width] for line in rgb[:height]]

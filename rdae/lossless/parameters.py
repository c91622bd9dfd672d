"""What a tile carries for each pass of a level: a filter of its own, and corrections of scales.

The encoder fits them (`rdae.lossless.fit`); here is what they mean and how they are coded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.range_coder import SymbolDecoder, SymbolEncoder
from rdae.bitstream.tables import PRECISION_BITS, TableFamily
from rdae.errors import CorruptError
from rdae.exact.arithmetic import LARGEST, SUM_LIMIT
from rdae.exact.layers import Linear
from rdae.lossless.base import AROUND
from rdae.lossless.networks import NUM_COLOURS
from rdae.lossless.pyramid import PHASES
from rdae.lossless.tables import NUM_PHASES, NUM_SCALES, table_index

Array = NDArray[Any]

NONE, NEAR, MIDDLE, WIDE, BASE = range(5)  # what a filter sees; the last a lossy picture alone
WINDOWS = {NEAR: (0, 1), MIDDLE: (-1, 2), WIDE: (-2, 3)}  # first and last cell beside its own
COEFFICIENT_BITS = 9
SLOPE_BITS = 8
OFFSET_BITS = 3  # an offset of the mean is in 1/16 level, which are 8 units
CORRECTION_BITS = 4  # those of row and shape are in 1/8, which are 16 units
STATISTIC_BITS = 8  # from 1/8 to the network's unit
FACTOR_BITS = 12  # of factors between colours
EVERY_COLOUR = slice(NUM_COLOURS)
LARGEST_FACTOR = 2047  # of the tile's own, in 2^-9
# Magnitudes of a filter's coefficients, in 2^-9, that fit with any offset that the encoder writes.
LARGEST_SUM = (SUM_LIMIT - (2 * LARGEST_FACTOR << (OFFSET_BITS + COEFFICIENT_BITS))) // LARGEST
_BYTE_LOW, _BYTE_HIGH = -128, 127

# Signed bytes, and an escape that no encoder writes.
BYTES = TableFamily(
    [np.append(np.full(256, (1 << 16) - (1 << 8)), 1 << (PRECISION_BITS - 8))],
    np.array([_BYTE_LOW], np.int32),
)


def taps(number: int, kind: int) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]]]:
    """The pixels that a filter sees.

    Args:
        number: of the pass.
        kind: NEAR, MIDDLE or WIDE.

    Returns:
        Cells (row, column) whose known pixel is seen, relative to the cell that is coded; then
        (pass, row, column) of pixels that earlier passes have added.
    """
    low, high = WINDOWS[kind]
    known = [(y, x) for y in range(low, high + 1) for x in range(low, high + 1)]
    own_row, own_column = PHASES[number]
    added = []
    for earlier in range(number):
        row, column = PHASES[earlier]
        for y in (-1, 0, 1):
            for x in (-1, 0, 1):
                away = max(abs(2 * y + row - own_row), abs(2 * x + column - own_column))
                if kind == WIDE or away <= 1:
                    added.append((earlier, y, x))
    return known, added


def num_taps(number: int, kind: int, *, has_base: bool = False) -> int:
    """How many inputs a filter has."""
    if kind == NONE:
        return 0
    count = 0 if kind == BASE else sum(len(seen) for seen in taps(number, kind))
    return NUM_COLOURS * (count + len(AROUND) * has_base)


@dataclass
class Parameters:
    """Of one pass of one level; colours are in the order of `COLOURS`.

    Attributes:
        kind: what the filter sees: NONE, NEAR, MIDDLE, WIDE or BASE.
        filter: `(taps, 3)` coefficients in 2^-9.
        offset: `(3,)` added to the mean, in 1/16 level.
        factors: `(3,)` of the differences of the colours before: green for red, green for blue,
            red for blue; in 2^-9.
        gain: `(3,)` of the network's share of the mean, in 2^-9, beyond 1.
        slope: `(3,)` of the scale's row, in 2^-8, beyond 1.
        row: `(3,)` added to the scale's row, in 1/8.
        shape: `(3,)` added to the shape, in 1/8.
        statistic: `(3,)` binary logarithm of the filter's mean error, in 1/8.
    """

    kind: int = NONE
    filter: Array = field(default_factory=lambda: np.zeros((0, NUM_COLOURS), np.int32))
    offset: Array = field(default_factory=lambda: np.zeros(NUM_COLOURS, np.int32))
    factors: Array = field(default_factory=lambda: np.zeros(NUM_COLOURS, np.int32))
    gain: Array = field(default_factory=lambda: np.zeros(NUM_COLOURS, np.int32))
    slope: Array = field(default_factory=lambda: np.zeros(NUM_COLOURS, np.int32))
    row: Array = field(default_factory=lambda: np.zeros(NUM_COLOURS, np.int32))
    shape: Array = field(default_factory=lambda: np.zeros(NUM_COLOURS, np.int32))
    statistic: Array = field(default_factory=lambda: np.zeros(NUM_COLOURS, np.int32))

    def layer(self, colours: slice = EVERY_COLOUR) -> Linear | None:
        """The filter, from the values at its taps to some colours; None for none.

        Raises:
            CorruptError: its sums could leave 32 bits.
        """
        if self.kind == NONE:
            return None
        offset, mantissa = self.offset[colours], self.filter[:, colours]
        bias = (offset << (OFFSET_BITS + COEFFICIENT_BITS)) + (1 << (COEFFICIENT_BITS - 1))
        sums = np.abs(mantissa).sum(0, dtype=np.int64)  # beyond 32 bits where filters are wild
        worst = sums * LARGEST + np.abs(bias)
        if worst.max() >= SUM_LIMIT:
            raise CorruptError("a filter's sums may leave 32 bits")
        return Linear(mantissa.astype(np.int16), bias.astype(np.int32), COEFFICIENT_BITS, 0)

    def rows(self, raw: Array, colour: int) -> Array:
        """The scale's row in 1/128, from the network's."""
        slope, row = int(self.slope[colour]), int(self.row[colour])
        rows: Array = raw + ((raw * slope) >> SLOPE_BITS) + (row << CORRECTION_BITS)
        return rows

    def shapes(self, raw: Array, colour: int) -> Array:
        """The shape in 1/128, from the network's."""
        return raw + (int(self.shape[colour]) << CORRECTION_BITS)

    def write(self, encoder: SymbolEncoder, tables: TableFamily) -> None:
        """Code them."""
        put_bytes(encoder, [self.kind])
        small = (self.slope, self.row, self.shape, self.statistic)
        put_bytes(encoder, np.concatenate(small))
        if self.kind != NONE:
            values = self._coefficients()
            scale = cheapest_scale(values, tables)
            put_bytes(encoder, [scale])
            encoder.put(values, _tables_of(scale, values.size), tables)

    @classmethod
    def read(
        cls, decoder: SymbolDecoder, tables: TableFamily, number: int, *, has_base: bool = False
    ) -> Parameters:
        """Decode those of pass `number`, of a tile with or without a base.

        Raises:
            CorruptError: no encoder writes these.
        """
        kind = int(get_bytes(decoder, 1)[0])
        if not NONE <= kind <= (BASE if has_base else WIDE):
            raise CorruptError(f"a filter is of kind {kind}, which there is not")
        slope, row, shape, statistic = get_bytes(decoder, 4 * NUM_COLOURS).reshape(4, -1)
        found = cls(kind=kind, slope=slope, row=row, shape=shape, statistic=statistic)
        if kind != NONE:
            scale = int(get_bytes(decoder, 1)[0])
            if not 0 <= scale < NUM_SCALES:
                raise CorruptError(f"a filter's scale is {scale}, it must be 0 to {NUM_SCALES - 1}")
            count = num_taps(number, kind, has_base=has_base)
            size = (count + 3) * NUM_COLOURS
            values = decoder.get(_tables_of(scale, size), tables)
            found.filter = values[: count * NUM_COLOURS].reshape(count, NUM_COLOURS)
            found.offset, found.factors, found.gain = values[count * NUM_COLOURS :].reshape(3, -1)
            if np.abs([found.factors, found.gain]).max() > LARGEST_FACTOR:
                raise CorruptError(f"a factor is beyond {LARGEST_FACTOR} / 512")
        return found

    def _coefficients(self) -> NDArray[np.int32]:
        more = (self.offset, self.factors, self.gain)
        every: NDArray[np.int32] = np.concatenate([self.filter.ravel(), *more]).astype(np.int32)
        return every


def cheapest_scale(values: Array, tables: TableFamily) -> int:
    """The scale whose table codes coefficients in the fewest bits."""
    costs = [tables.bits(values, _tables_of(scale, values.size)) for scale in range(NUM_SCALES)]
    return int(np.argmin(costs))


def factor_index(colour: int, earlier: int) -> int:
    """The place among the factors of what an earlier colour adds to a later one."""
    return colour - 1 + earlier


def _tables_of(scale: int, count: int) -> NDArray[np.uint16]:
    one = table_index(np.array(scale), np.array(NUM_PHASES // 2), np.array(1))
    return np.full(count, one, np.uint16)


def put_bytes(encoder: SymbolEncoder, values: Any) -> None:
    """Code numbers from -128 to 127."""
    symbols = np.asarray(values, np.int32)
    assert symbols.min() >= _BYTE_LOW and symbols.max() <= _BYTE_HIGH
    encoder.put(symbols, np.zeros(symbols.size, np.uint8), BYTES)


def get_bytes(decoder: SymbolDecoder, count: int) -> NDArray[np.int32]:
    """Decode numbers from -128 to 127.

    Raises:
        CorruptError: there is something else.
    """
    values = decoder.get(np.zeros(count, np.uint8), BYTES)
    if values.min() < _BYTE_LOW or values.max() > _BYTE_HIGH:
        raise CorruptError("a byte of the parameters is an escape")
    return values

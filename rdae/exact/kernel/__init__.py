"""The compiled carrier of the exact arithmetic, if it was built and is wanted.

`RDAE_KERNEL` chooses, when rdae is first used: "auto" (the default) takes the best instruction
set of this processor, or NumPy where there is only plain C, "no" or "numpy" leaves all to NumPy,
"yes" fails where there is no kernel, and a name as of `instruction_sets()` takes that one. All of
them, and NumPy, give the same integers.
"""

from __future__ import annotations

import math
import os
import threading
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.errors import RdaeError
from rdae.geometry import Rectangle

library: Any = None
absence = "none was built"  # why there is no library, if there is none
try:
    library = import_module("rdae.exact.kernel._kernel")
except ModuleNotFoundError:
    pass
except ImportError as error:  # built for another system
    absence = f"the one that was built cannot be loaded: {error}"

PANEL = 16  # channel counts are padded to whole panels of so many
BUFFERS, SLOTS = 6, 16  # of a stage
ALIGNMENT = 64  # weights that begin elsewhere than at a cache line cost a tenth of the speed

READ, DEPTHWISE, LINEAR, PHASED, GAIN, ADD, CONCAT, WRITE, LEVELS, UNSHUFFLE, PIXELS = range(11)
COLLECT, WEIGH = 11, 12
WHOLE = 32  # values of a run are read in vectors of up to so many
_OP_NUMBERS = ("kind", "inputs", "outputs", "shift", "leak", "source", "to", "other", "r", "part")
_OP_FIELDS = [(name, "i4") for name in (*_OP_NUMBERS, "buffer", "onto")]
OP = np.dtype([*_OP_FIELDS, ("weights", "u8"), ("bias", "u8")])
GRID = np.dtype([("data", "u8"), ("row", "i8"), ("cell", "i8")])
RUN = np.dtype([(name, "i4") for name in ("grid", "row", "column", "values", "is_centred")])

_scratch = threading.local()


def instruction_sets() -> list[str]:
    """The instruction sets that this build has and this processor runs, the best last."""
    return [] if library is None else list(library.sets())


def select(wish: str) -> str:
    """Choose the carrier of all networks from here on.

    Args:
        wish: "auto", "yes", "no", or one of `instruction_sets()`.

    Returns:
        What was chosen: an instruction set, or "numpy".

    Raises:
        RdaeError: there is no such kernel here.
    """
    global _selected
    there = instruction_sets()
    if wish in ("no", "numpy") or (wish == "auto" and not there):
        _selected = "numpy"
    elif wish == "auto" and there == ["plain"]:
        _selected = "numpy"  # whose BLAS has vectors, four times as fast
    elif wish in ("auto", "yes") and there:
        _selected = there[-1]
    elif wish in there:
        _selected = wish
    else:
        what = f"{absence}, there is" if wish == "yes" else f"there is no kernel {wish!r} here,"
        raise RdaeError(
            f"RDAE_KERNEL: {what} only {', '.join([*there, 'numpy'])}",
            hint="RDAE_KERNEL=auto takes the best one that there is",
        )
    if _selected != "numpy":
        library.select(_selected)
    return _selected


_selected = ""


def selected() -> str:
    """The carrier in use: an instruction set, or "numpy".

    Raises:
        RdaeError: `RDAE_KERNEL` names one that is not there.
    """
    return _selected or select(os.environ.get("RDAE_KERNEL") or "auto")


def aligned(
    shape: tuple[int, ...], dtype: Any, spare: list[NDArray[np.uint8]] | None = None
) -> NDArray[Any]:
    """An array that begins at a cache line; not initialised.

    Args:
        shape: of it.
        dtype: of it.
        spare: what other such arrays were views of, and nobody needs any more; the smallest with
            room is taken.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    rooms = {raw.size: i for i, raw in enumerate(spare or ()) if raw.size >= size + ALIGNMENT}
    raw = spare.pop(rooms[min(rooms)]) if spare and rooms else np.empty(size + ALIGNMENT, np.uint8)
    at = -raw.ctypes.data % ALIGNMENT
    array: NDArray[Any] = raw[at : at + size].view(dtype).reshape(shape)
    return array


def packed(weights: NDArray[np.int16]) -> NDArray[np.int16]:
    """Weights `(inputs, outputs)`, both whole panels, as the kernel reads them."""
    inputs, outputs = weights.shape
    if inputs % PANEL or outputs % PANEL or weights.dtype != np.int16:
        raise ValueError(f"weights of {weights.dtype} {weights.shape} are not in whole panels")
    given = np.ascontiguousarray(weights)
    out = aligned((inputs * outputs,), np.int16)
    library.pack(given.ctypes.data, inputs, outputs, out.ctypes.data)
    return out


def run_stage(code: NDArray[Any], grids: NDArray[Any], area: Rectangle, widest: int) -> None:
    """Run the operations of a stage, `OP`, on a part of its `GRID`s.

    Addresses are those of arrays that the caller holds and has checked.

    Args:
        code: the operations.
        grids: that they name.
        area: the cells to compute.
        widest: the largest number of channels in it.
    """
    size = library.scratch_size(widest)
    scratch = getattr(_scratch, "array", None)
    if scratch is None or scratch.size < size:
        scratch = _scratch.array = aligned((size,), np.int16)
    library.stage(
        code.ctypes.data,
        len(code),
        grids.ctypes.data,
        *(area.top, area.bottom, area.left, area.right),
        scratch.ctypes.data,
    )


def quarter_indexes(
    heads: NDArray[np.int16], offset: NDArray[np.int16], bits: int
) -> NDArray[np.uint8]:
    """Tables of a quarter of the latents: clip((head + offset + half) >> bits, 0, 127).

    Args:
        heads: `(rows, columns, group)`.
        offset: `(4, group)`, by phase of the cell.
        bits: that a table row has behind the point.
    """
    rows, columns, group = heads.shape
    given = np.ascontiguousarray(offset)
    check(heads, (rows, columns, group), np.int16)
    check(given, (4, group), np.int16)
    out = np.empty(heads.shape, np.uint8)
    address, row, cell = grid(heads)
    library.indexes(
        *(address, row, cell, rows, columns, group, given.ctypes.data, bits, out.ctypes.data)
    )
    return out


def quarter_dequantise(
    means: NDArray[np.int16],
    symbols: NDArray[np.int32],
    step: NDArray[np.int32],
    shift: int,
    mean_bits: int,
) -> NDArray[np.int16]:
    """y_hat of a quarter: sat((mean + half) >> mean_bits + (symbol * step + half) >> shift).

    Args:
        means: `(rows, columns, group)`.
        symbols: likewise.
        step: `(4, group)`, by phase of the cell.
        shift: bits of a step behind the point.
        mean_bits: how many bits finer means are than y_hat.
    """
    rows, columns, group = means.shape
    symbols, step = np.ascontiguousarray(symbols), np.ascontiguousarray(step)
    check(means, (rows, columns, group), np.int16)
    check(symbols, (rows, columns, group), np.int32)
    check(step, (4, group), np.int32)
    out = np.empty(means.shape, np.int16)
    address, row, cell = grid(means)
    library.dequantise(
        *(address, row, cell, rows, columns, group, symbols.ctypes.data, step.ctypes.data),
        *(shift, mean_bits, out.ctypes.data),
    )
    return out


def quarter_quantise(
    y: NDArray[np.float32],
    means: NDArray[np.int16],
    unit: NDArray[np.float32],
    gain: NDArray[np.float32],
    indexes: NDArray[np.uint8] | None,
    zones: NDArray[np.float32],
) -> NDArray[np.int32]:
    """Symbols of a quarter: (y - mean * unit) * gain as `rdae.rounding` rounds it.

    Args:
        y: `(rows, columns, group)`.
        means: likewise.
        unit: `(4, group)`, by phase of the cell.
        gain: likewise.
        indexes: as `y`, the table of each; None to round to the nearest.
        zones: `(tables, reach + 1)` as of `rdae.rounding.dead_zones`.
    """
    rows, columns, group = y.shape
    unit, gain, zones = (np.ascontiguousarray(v, np.float32) for v in (unit, gain, zones))
    check(y, y.shape, np.float32)
    check(means, y.shape, np.int16)
    check(unit, (4, group), np.float32)
    check(gain, (4, group), np.float32)
    if indexes is not None:
        indexes = np.ascontiguousarray(indexes)
        check(indexes, y.shape, np.uint8)
        if indexes.size and int(indexes.max()) >= len(zones):
            raise ValueError(f"there is no table {int(indexes.max())}")
    symbols = np.empty(y.shape, np.int32)
    library.quantise(
        *(*grid(y), *grid(means), rows, columns, group, unit.ctypes.data, gain.ctypes.data),
        *(0 if indexes is None else indexes.ctypes.data, zones.ctypes.data, zones.shape[1] - 1),
        symbols.ctypes.data,
    )
    return symbols


def check(array: NDArray[Any], shape: tuple[int, ...], dtype: type) -> None:
    """Refuse an array of another shape or type, or whose values do not lie side by side."""
    is_dense = not array.size or array.strides[-1] == array.itemsize
    if array.shape != shape or array.dtype != dtype or not is_dense:
        raise ValueError(f"an array is {array.dtype} {array.shape}, wanted {dtype} {shape}")


def grid(array: NDArray[Any]) -> tuple[int, int, int]:
    """A `GRID`: address and strides of rows and cells, in values."""
    row, cell, _ = (stride // array.itemsize for stride in array.strides)
    return int(array.ctypes.data), row, cell

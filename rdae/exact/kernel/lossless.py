"""What the compiled kernel does for a colour of a lossless pass, between networks and range coder.

`rdae.lossless.colour` says what it is, and does the same in NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.exact import kernel
from rdae.exact.kernel import library

Array = NDArray[Any]

_BEFORE = 2  # colours before the last
COLOUR = np.dtype(
    [
        *[(name, "i4") for name in ("number", "channel")],
        *[(name, "i4", _BEFORE) for name in ("before", "same", "factor")],
        *[(name, "i4") for name in ("gain", "slope", "row", "shape")],
    ]
)
NUM_CHANNELS, ADDED, FEATURES, NUM_SCALES = 3, 9, 4, 48


def predict(
    colour: NDArray[Any],
    head: NDArray[np.int16],
    reference: NDArray[np.int16],
    linear: NDArray[np.int16],
    added: NDArray[np.int16],
    own: NDArray[np.int16] | None,
) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.uint16]]:
    """Mean, row of the scale and table of all cells, each `(rows, columns)`.

    Args:
        colour: one `COLOUR`.
        head: `(rows, columns, 3 + number)`.
        reference: `(rows, columns, 3)`.
        linear: likewise.
        added: `(rows, columns, 9)`.
        own: `(rows, columns, 3)`, None for no filter.
    """
    rows, columns = reference.shape[:2]
    number = _number(colour)
    wanted = (NUM_CHANNELS + number, NUM_CHANNELS, NUM_CHANNELS, ADDED, NUM_CHANNELS)
    arrays = (head, reference, linear, added, own)
    grids = _grids(arrays, wanted, rows, columns)
    means = np.empty((rows, columns), np.int16)
    scales, indexes = np.empty((rows, columns), np.uint8), np.empty((rows, columns), np.uint16)
    library.predict(
        *(colour.ctypes.data, grids.ctypes.data, rows, columns),
        *(means.ctypes.data, scales.ctypes.data, indexes.ctypes.data),
    )
    return means, scales, indexes


def settle(
    colour: NDArray[Any],
    pixels: NDArray[np.uint8],
    means: NDArray[np.int16],
    scales: NDArray[np.uint8],
    inverse: NDArray[np.int32],
    reference: NDArray[np.int16],
    added: NDArray[np.int16],
    features: NDArray[np.int16],
) -> None:
    """Write what the next colours see of a colour's pixels.

    Args:
        colour: one `COLOUR`.
        pixels: of those cells that have them, the upper left ones.
        means: of all cells, as of `predict`.
        scales: likewise.
        inverse: `(48,)`.
        reference: `(rows, columns, 3)`.
        added: `(rows, columns, 9)`, is written to.
        features: `(rows, columns, 4)`, is written to.
    """
    rows, columns = reference.shape[:2]
    _number(colour)
    _check_cells(pixels, means, scales, rows, columns)
    if inverse.shape != (NUM_SCALES,) or inverse.dtype != np.int32:
        raise ValueError(f"inverse scales are {inverse.dtype} {inverse.shape}")
    if scales.size and int(scales.max()) >= NUM_SCALES:
        raise ValueError(f"there is no scale {int(scales.max())}")
    given = np.ascontiguousarray(inverse)
    arrays = (reference, added, features)
    grids = _grids(arrays, (NUM_CHANNELS, ADDED, FEATURES), rows, columns)
    library.settle(
        *(colour.ctypes.data, grids.ctypes.data, pixels.ctypes.data, *pixels.strides),
        *(*pixels.shape, columns, means.ctypes.data, scales.ctypes.data, given.ctypes.data),
    )


def restore(
    bins: NDArray[np.int32], means: NDArray[np.int16], width: int, beyond: int, pixels: Array
) -> bool:
    """Write the pixels of bins around means; whether all are close enough to 0 to 255.

    Args:
        bins: `(pixels.size,)`, -32768 to 32767, in raster order.
        means: of all cells.
        width: levels in a bin, up to 255.
        beyond: how far a pixel may be from 0 to 255, which it is then clipped to.
        pixels: of those cells that have them, uint8.
    """
    given = np.ascontiguousarray(bins)
    if given.shape != (pixels.size,) or given.dtype != np.int32 or not 0 < width < 256:
        raise ValueError(f"bins of {width} levels are {bins.dtype} {bins.shape}")
    _check_cells(pixels, means, None, *means.shape)
    return bool(
        library.restore(
            *(given.ctypes.data, means.ctypes.data, *pixels.shape, means.shape[1], width, beyond),
            *(pixels.ctypes.data, *pixels.strides),
        )
    )


def _number(colour: NDArray[Any]) -> int:
    """The colour's number in the order of coding, after a look at all that is an index."""
    if colour.dtype != COLOUR or colour.size != 1:
        raise ValueError("this is not one colour")
    number = int(colour["number"].item())
    channels = [*colour["channel"].ravel(), *colour["before"].ravel()]
    if not 0 <= number <= _BEFORE or not all(0 <= c < NUM_CHANNELS for c in channels):
        raise ValueError("there is no such colour")
    return number


def _check_cells(
    pixels: Array, means: Array, scales: Array | None, rows: int, columns: int
) -> None:
    for array, dtype in ((means, np.int16), (scales, np.uint8)):
        if array is not None and not (
            array.shape == (rows, columns) and array.dtype == dtype and array.flags.c_contiguous
        ):
            raise ValueError(f"an array is {array.dtype} {array.shape}, wanted {(rows, columns)}")
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}")
    if pixels.shape[0] > rows or pixels.shape[1] > columns:
        raise ValueError(f"there are {pixels.shape} pixels in {(rows, columns)} cells")


def _grids(
    arrays: Sequence[NDArray[np.int16] | None], channels: Sequence[int], rows: int, columns: int
) -> NDArray[Any]:
    grids = np.zeros(len(arrays), kernel.GRID)
    for i, (array, count) in enumerate(zip(arrays, channels, strict=True)):
        if array is not None:
            kernel.check(array, (rows, columns, count), np.int16)
            grids[i] = kernel.grid(array)
    return grids

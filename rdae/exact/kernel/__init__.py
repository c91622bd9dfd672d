"""The compiled carrier of the exact arithmetic, if it was built and is wanted.

`RDAE_KERNEL` chooses, when rdae is first used: "auto" (the default) takes the best instruction set
of this processor, "no" leaves all to NumPy, "yes" fails where there is no kernel, and a name as of
`instruction_sets()` takes that one. All of them, and NumPy, give the same integers.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.errors import RdaeError
from rdae.geometry import Rectangle

try:
    from rdae.exact.kernel import _kernel as library  # type: ignore[attr-defined]
except ImportError:
    library: Any = None  # type: ignore[no-redef]

PANEL = 16  # channel counts are padded to whole panels of so many
BUFFERS, SLOTS = 6, 16  # of a stage
ALIGNMENT = 64  # weights that begin elsewhere than at a cache line cost a tenth of the speed

READ, DEPTHWISE, LINEAR, PHASED, GAIN, ADD, CONCAT, WRITE, LEVELS = range(9)
_OP_NUMBERS = ("kind", "inputs", "outputs", "shift", "leak", "source", "to", "other", "r", "part")
_OP_FIELDS = [(name, "<i4") for name in (*_OP_NUMBERS, "buffer", "unused")]
OP = np.dtype([*_OP_FIELDS, ("weights", "u8"), ("bias", "u8")])
GRID = np.dtype([("data", "u8"), ("row", "i8"), ("cell", "i8")])

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
    if wish == "no" or (wish == "auto" and not there):
        _selected = "numpy"
    elif wish in ("auto", "yes") and there:
        _selected = there[-1]
    elif wish in there:
        _selected = wish
    else:
        raise RdaeError(
            f"there is no kernel {wish!r} here, only {', '.join([*there, 'no (NumPy)'])}",
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
    return _selected or select(os.environ.get("RDAE_KERNEL", "auto"))


def aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """A new array that begins at a cache line; not initialised."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
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

    Addresses are those of arrays that a `rdae.exact.program.Program` holds and has checked.

    Args:
        code: the operations.
        grids: of the program.
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

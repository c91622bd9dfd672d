"""The last step of everything that looks at pixels: y_hat to the picture that a decoder returns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rdae.geometry import Rectangle
from rdae.model.model import Array, Model


def render(
    model: Model,
    y_hat: Array,
    point: int,
    threads: int,
    *,
    area: Rectangle,
    is_grey: bool,
    progress: Callable[[int], None] = lambda cells: None,
) -> NDArray[np.uint8]:
    """Synthesise pixels, cut out those that are wanted, and make them grey in a grey picture.

    Args:
        model: the model.
        y_hat: `(rows, columns, M)` integers, with the cells that the synthesis sees around `area`.
        point: quality point, 0 to 255.
        threads: how many threads to use.
        area: the wanted pixels, counted from the first of `y_hat`.
        is_grey: give all channels their rounded mean: the picture has no colours.
        progress: is called with the number of cells that have become pixels since the last call.

    Returns:
        `(area.rows, area.columns, 3)`.
    """
    rgb = np.ascontiguousarray(model.synthesise(y_hat, point, threads, progress)[area.slices()])
    if is_grey:
        grey = rgb.sum(axis=2, dtype=np.uint16)
        grey += 1
        grey //= 3
        rgb[:] = grey[:, :, None]
    return rgb

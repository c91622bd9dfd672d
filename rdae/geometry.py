"""Where things lie: the grids of the codec, and the one type of rectangle on any of them.

Pixels, latent cells of 16x16 pixels and hyper-latent cells of 64x64 pixels are three grids with one
origin. A rectangle knows no unit; `scaled` takes it from one grid to another.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import SupportsIndex

from rdae.errors import RegionError

PATCH = 16  # pixels per latent cell, along each axis
HYPER_PATCH = 64  # pixels per hyper-latent cell
HYPER_CELLS = HYPER_PATCH // PATCH  # latent cells per hyper-latent cell


def padded(cells: int) -> int:
    """`cells` rounded up to a whole number of hyper-latent cells."""
    return -(-cells // HYPER_CELLS) * HYPER_CELLS


@dataclass(frozen=True)
class Rectangle:
    """Rows [top, bottom) and columns [left, right) of a grid."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def at(cls, left: int, top: int, width: int, height: int) -> Rectangle:
        """The rectangle of a size whose upper left corner is at a place, as users write it."""
        return cls(top, top + height, left, left + width)

    @classmethod
    def given(cls, region: Iterable[SupportsIndex]) -> Rectangle:
        """The same of what a caller passed as `(x, y, width, height)`.

        Raises:
            TypeError: it is not four whole numbers.
        """
        try:
            left, top, width, height = map(operator.index, region)
        except (TypeError, ValueError):
            wanted = "four whole numbers (x, y, width, height)"
            raise TypeError(f"region must be {wanted}, got {region!r}") from None
        return cls.at(left, top, width, height)

    @classmethod
    def whole(cls, width: int, height: int) -> Rectangle:
        """All of a grid."""
        return cls(0, height, 0, width)

    @property
    def rows(self) -> int:
        """How many rows there are: the height."""
        return self.bottom - self.top

    @property
    def columns(self) -> int:
        """How many columns there are: the width."""
        return self.right - self.left

    @property
    def area(self) -> int:
        """How many cells of its grid it has."""
        return self.rows * self.columns

    def grown(self, halo: int, rows: int, columns: int) -> Rectangle:
        """The rectangle with a halo on all sides, clamped to a grid of `rows` x `columns`."""
        return Rectangle(
            max(0, self.top - halo),
            min(rows, self.bottom + halo),
            max(0, self.left - halo),
            min(columns, self.right + halo),
        )

    def moved(self, down: int, right: int) -> Rectangle:
        """The rectangle moved by some rows and columns."""
        return Rectangle(self.top + down, self.bottom + down, self.left + right, self.right + right)

    def seen_from(self, other: Rectangle) -> Rectangle:
        """The same place, counted from the upper left corner of another rectangle."""
        return self.moved(-other.top, -other.left)

    def scaled(self, to: int, of: int) -> Rectangle:
        """The rectangle in a grid that has `to` cells for `of` of this one, rounded outwards."""
        return Rectangle(
            self.top * to // of,
            -(-self.bottom * to // of),
            self.left * to // of,
            -(-self.right * to // of),
        )

    def common(self, other: Rectangle) -> Rectangle:
        """What both have in common; without rows or columns if that is nothing."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        return Rectangle(
            top,
            max(top, min(self.bottom, other.bottom)),
            left,
            max(left, min(self.right, other.right)),
        )

    def hull(self, other: Rectangle) -> Rectangle:
        """The smallest rectangle that holds both."""
        return Rectangle(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )

    def slices(self, scale: int = 1) -> tuple[slice, slice]:
        """The rows and columns in an array with `scale` rows for each of the grid."""
        return (
            slice(self.top * scale, self.bottom * scale),
            slice(self.left * scale, self.right * scale),
        )

    def check_inside(self, width: int, height: int) -> None:
        """Check that it is a part of a picture of `width` x `height` pixels.

        Raises:
            RegionError: it has no pixels, or some that the picture does not have.
        """
        name = f"{self.left},{self.top},{self.columns},{self.rows}"
        if self.columns < 1 or self.rows < 1:
            fault = "has no pixels"
        elif min(self.left, self.top) < 0 or self.right > width or self.bottom > height:
            fault = "does not lie inside of the picture"
        else:
            return
        raise RegionError(
            f"the region {name} {fault}; the picture is {width}x{height}",
            hint="a region is X,Y,W,H: the left and upper edge, width and height, in pixels",
        )

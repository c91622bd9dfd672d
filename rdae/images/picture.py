"""A picture as the codec sees it; ways in and out are `rdae.images.pillow` and others.

A picture is 8-bit RGB, an alpha plane where there is one, and the ICC, EXIF and XMP data. It is
upright. Pillow is not imported here: to decode to PNG takes none of it, and it takes a while.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rdae.errors import UnsupportedImageError
from rdae.images import exif as exif_data
from rdae.images import xmp as xmp_packet

Plane: TypeAlias = NDArray[np.uint8]

_KINDS = {"all", "exif", "gps", "icc", "xmp"}


@dataclass(frozen=True, eq=False)
class Picture:
    r"""An upright picture with its metadata.

    Attributes:
        rgb: `(H, W, 3)` uint8, C-contiguous.
        alpha: `(H, W)` uint8, not premultiplied; None if the picture has no alpha.
        is_grey: the picture was grey and is to be written as such; then R = G = B.
        icc: ICC profile; empty if there is none.
        exif: EXIF data without the prefix `Exif\0\0`, orientation 1 or absent; may be empty.
        xmp: XMP packet, orientation 1 or absent; may be empty.

    Raises:
        UnsupportedImageError: no pixels, or arrays of another shape or type.
    """

    rgb: Plane
    alpha: Plane | None
    is_grey: bool
    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""

    def __post_init__(self) -> None:
        """Check the arrays and make them contiguous."""
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or 0 in self.rgb.shape:
            raise UnsupportedImageError(f"pixels of shape {self.rgb.shape}, wanted (H, W, 3)")
        planes = [self.rgb] if self.alpha is None else [self.rgb, self.alpha]
        for plane in planes:
            if plane.dtype != np.uint8:
                raise UnsupportedImageError(f"pixels of type {plane.dtype}, wanted uint8")
        if self.alpha is not None and self.alpha.shape != self.rgb.shape[:2]:
            raise UnsupportedImageError(f"alpha of shape {self.alpha.shape}, wanted (H, W)")
        object.__setattr__(self, "rgb", np.ascontiguousarray(self.rgb))
        if self.alpha is not None:
            object.__setattr__(self, "alpha", np.ascontiguousarray(self.alpha))

    @cached_property
    def is_colourless(self) -> bool:
        """Red, green and blue are equal everywhere, also where the picture was not grey."""
        red, green, blue = np.moveaxis(self.rgb, 2, 0)
        return np.array_equal(red, green) and np.array_equal(green, blue)

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.rgb.shape[0])

    def with_pixels(self, rgb: Plane, alpha: Plane | None) -> Picture:
        """Return the picture after its pixels were turned, cut or scaled.

        Sizes in the metadata become those of the new pixels. What shows the old ones is gone: the
        EXIF thumbnail of a crop would show what was cut off.
        """
        height, width = rgb.shape[:2]
        return replace(
            self,
            rgb=rgb,
            alpha=alpha,
            exif=exif_data.of_size(self.exif, width, height),
            xmp=xmp_packet.of_size(self.xmp, width, height),
        )

    def without(self, kinds: Collection[str]) -> Picture:
        """Return the picture without some of its metadata.

        Args:
            kinds: any of "exif", "xmp", "icc", "gps" and "all". "all" is EXIF and XMP: the ICC
                profile stays, as without it the colours are wrong. "gps" takes the place out of
                EXIF (GPS, GeoTIFF) and XMP and keeps the rest; where that cannot be done safely,
                the whole of the EXIF data or XMP packet goes.

        Raises:
            ValueError: an unknown kind.
        """
        unknown = set(kinds) - _KINDS
        if unknown:
            raise ValueError(f"unknown kind of metadata: {', '.join(sorted(unknown))}")
        exif, xmp = self.exif, self.xmp
        if "gps" in kinds:
            exif, xmp = exif_data.without_place(exif), xmp_packet.without_place(xmp)
        return replace(
            self,
            icc=b"" if "icc" in kinds else self.icc,
            exif=b"" if "exif" in kinds or "all" in kinds else exif,
            xmp=b"" if "xmp" in kinds or "all" in kinds else xmp,
        )

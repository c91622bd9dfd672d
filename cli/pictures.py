"""What is said of the pictures that decompress writes: formats with their settings, other sizes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rdae.cli.console import UsageError, shown
from rdae.cli.options import FORMAT_OF_EXTENSION, Format
from rdae.images.formats import OUTPUT_FORMATS

if TYPE_CHECKING:
    from rdae.images.picture import Picture


@dataclass(frozen=True)
class Settings:
    """How a picture is written.

    Attributes:
        format: the format.
        quality: 0 to 100 of the format's own scale; None for its default: lossless where it can
            be (webp, jxl), or near it (jpg 95, avif 90, both with full colour resolution).
        png_level: 0 to 9 of zlib; None for the default.
        size: width and height that the picture is scaled into in its proportions, 0 for any.
    """

    format: Format
    quality: int | None = None
    png_level: int | None = None
    size: tuple[int, int] | None = None

    def check(self) -> None:
        """Refuse settings that the format does not have.

        Raises:
            UsageError: a quality for a format without one, a PNG's level for another format.
        """
        if self.quality is not None and not self.format.holds.has_quality:
            names = ", ".join(format.name for format in OUTPUT_FORMATS if format.has_quality)
            raise UsageError(f"{self.format.value} has no quality", hint=f"these have: {names}")
        if self.png_level is not None and self.format is not Format.png:
            raise UsageError(f"--png-level is for png, not for {self.format.value}")


def read_format(text: str | None) -> Format | None:
    """Read --format.

    Raises:
        UsageError: no format that is written has that name or extension.
    """
    if text is None:
        return None
    format = FORMAT_OF_EXTENSION.get(f".{text.lower()}")
    if format is None:
        raise UsageError(
            f"--format {shown(text)}: not a format that is written",
            hint=f"one of {', '.join(extension[1:] for extension in FORMAT_OF_EXTENSION)}",
        )
    return format


def read_size(text: str | None) -> tuple[int, int] | None:
    """Read --resize: `800x600`, `800x` or `x600`; what is not given is 0.

    Raises:
        UsageError: it is none of these.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{0,8})[xX×](\d{0,8})", text)
    sides = found.groups() if found else ("", "")
    width, height = (int(side or 0) for side in sides)
    if not any(sides) or any(side and not int(side) for side in sides):
        raise UsageError(
            f"--resize takes WxH, not {shown(text)}",
            hint="800x600 is the largest size that fits into it; 800x and x600 name one side",
        )
    return width, height


def resized(picture: Picture, size: tuple[int, int], *, max_pixels: int) -> Picture:
    """Return the picture scaled into a size, its proportions kept; with Lanczos' filter.

    Args:
        picture: what is scaled; alpha weighs its colours.
        size: width and height to fit into, 0 where any will do.
        max_pixels: limit on the pixels of the result.

    Raises:
        TooLargeError: the result would have more.
    """
    import numpy as np
    from PIL import Image

    from rdae.bitstream.container import check_pixels
    from rdae.images.pillow import to_pillow

    own = picture.width, picture.height
    factor = min(side / before for side, before in zip(size, own, strict=True) if side)
    width, height = (max(1, round(factor * side)) for side in own)
    check_pixels(width, height, max_pixels)
    image = to_pillow(picture).resize((width, height), Image.Resampling.LANCZOS)
    alpha = None if picture.alpha is None else np.asarray(image.getchannel("A"))
    return picture.with_pixels(np.asarray(image.convert("RGB")), alpha)

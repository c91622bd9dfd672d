"""The pictures that decompress writes: formats with their settings, other sizes, what is lost.

What a format cannot hold is refused where it would change the picture (alpha), and otherwise said
in one line: no output loses anything without a word.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from rdae.cli.console import UsageError, shown
from rdae.cli.options import FORMAT_OF_EXTENSION, Format
from rdae.errors import MissingDependencyError, UnsupportedImageError
from rdae.extras import install_hint
from rdae.images.formats import OUTPUT_FORMATS

if TYPE_CHECKING:
    from rdae.images.picture import Picture

_AVIF_QUALITY = 90
_NO_ALPHA_HINT = "write png, webp, avif or tiff instead"


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
    width, height = (int(side or 0) for side in found.groups()) if found else (0, 0)
    if not width and not height:
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
    from rdae.images.picture import to_pillow

    own = picture.width, picture.height
    factor = min(side / before for side, before in zip(size, own, strict=True) if side)
    width, height = (max(1, round(factor * side)) for side in own)
    check_pixels(width, height, max_pixels)
    image = to_pillow(picture).resize((width, height), Image.Resampling.LANCZOS)
    alpha = None if picture.alpha is None else np.asarray(image.getchannel("A"))
    return picture.with_pixels(np.asarray(image.convert("RGB")), alpha)


def lost(picture: Picture, format: Format) -> list[str]:
    """Name what a format does not hold of a picture."""
    kinds = [kind for kind in ("icc", "exif", "xmp") if getattr(picture, kind)]
    if format is Format.jxl:  # as the plugin writes it
        kinds = [kind for kind in kinds if kind == "icc"]
    elif format.holds.has_metadata:
        kinds = []
    names = {"icc": "the ICC profile (colours may look different)", "exif": "EXIF", "xmp": "XMP"}
    found = [names[kind] for kind in kinds]
    if picture.is_grey and format is Format.webp:
        found.append("that it is grey (it is RGB there)")
    return found


def write(picture: Picture, file: BinaryIO, settings: Settings) -> None:
    """Write a picture.

    Raises:
        UnsupportedImageError: the format cannot hold it.
        MissingDependencyError: the format needs a plugin.
        OSError: `file` cannot be written.
    """
    from rdae.images.picture import write_picture
    from rdae.images.reader import foreign_errors

    format = settings.format
    if picture.alpha is not None and not format.holds.has_alpha:
        raise UnsupportedImageError(
            f"{format.value} has no alpha and the picture has", hint=_NO_ALPHA_HINT
        )
    plain = settings.quality is None and settings.png_level is None
    if plain and format not in (Format.avif, Format.bmp, Format.jxl):
        write_picture(picture, file, format.value)
        return
    if format is Format.jxl:
        try:
            import pillow_jxl  # noqa: F401 - registers the format
        except ImportError as error:
            raise MissingDependencyError(
                "JPEG XL needs pillow-jxl-plugin", hint=install_hint("eval")
            ) from error
    with foreign_errors(f"cannot be written as {format.value}", hint="write png instead"):
        data = _encoded(picture, settings)
    file.write(data)


def _encoded(picture: Picture, settings: Settings) -> bytes:
    from PIL import PngImagePlugin

    from rdae.images import exif as exif_data
    from rdae.images.picture import to_pillow

    format, quality = settings.format, settings.quality
    metadata: dict[str, Any] = {"exif": picture.exif, "xmp": picture.xmp}
    metadata["icc_profile"] = picture.icc
    options: dict[str, Any]
    if format is Format.png:
        chunks = PngImagePlugin.PngInfo()
        if xmp := metadata.pop("xmp"):
            # As bytes: the packet need not be valid UTF-8 to come back as it is.
            chunks.add_itxt("XML:com.adobe.xmp", xmp)
        options = {"pnginfo": chunks, "compress_level": settings.png_level}
    elif format is Format.jpg:
        options = {"quality": quality, "subsampling": "4:4:4"}
        metadata["exif"] = exif_data.PREFIX + picture.exif if picture.exif else b""
    elif format is Format.webp:
        options = {"quality": quality, "exact": True}
    elif format is Format.avif:
        options = {"quality": _AVIF_QUALITY if quality is None else quality}
        options["subsampling"] = "4:0:0" if picture.is_grey and picture.alpha is None else "4:4:4"
    elif format is Format.jxl:
        options = {"lossless": True} if quality is None else {"quality": quality}
    else:  # bmp has nothing to set
        options, metadata = {}, {}
    image, buffer = to_pillow(picture), io.BytesIO()
    image.info = {}  # what is written is what is named
    given = {name: block for name, block in metadata.items() if block}
    image.save(buffer, format.holds.pillow_name, **options, **given)
    return buffer.getvalue()

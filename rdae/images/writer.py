"""Pictures as image files, with their metadata where the format can hold it.

Without a quality png, tiff, webp and jxl are lossless, and jpg and avif near it. What would change
the picture, as to leave out its alpha, is refused; what else a format does not hold, `lost` names.
Pillow is not imported for PNG and PPM.
"""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import numpy as np

from rdae.errors import MissingDependencyError, UnsupportedImageError
from rdae.extras import install_hint
from rdae.images import exif as exif_data
from rdae.images.formats import OUTPUT_FORMATS, OutputFormat, output_format
from rdae.images.icc import as_rgb_profile, is_grey_profile
from rdae.images.picture import Picture
from rdae.images.png_writer import png_file
from rdae.images.tiff_file import tiff_file
from rdae.threads import default_threads

JPEG_QUALITY = 95  # of Pillow's scale; with full colour resolution (4:4:4)
AVIF_QUALITY = 90


def write_picture(
    picture: Picture,
    file: BinaryIO,
    format: str,
    *,
    quality: int | None = None,
    png_level: int | None = None,
    threads: int | None = None,
) -> None:
    """Write a picture as an image file.

    Args:
        picture: what to write.
        file: binary; need not be seekable. Nothing is written to it if the picture is refused.
        format: one of the `rdae.images.formats.OUTPUT_FORMATS`, as of its `output_format`.
        quality: 0 to 100 of the format's own scale, for formats that have one; None for the best.
        png_level: 0 to 9 of zlib; None for what takes least time.
        threads: how many threads to use for PNG; one per core if None.

    Raises:
        UnsupportedImageError: the format cannot hold the picture, or is unknown.
        MissingDependencyError: the format needs a plugin.
        OSError: `file` cannot be written.
    """
    found = output_format(format)
    if found is None:
        names = ", ".join(known.name for known in OUTPUT_FORMATS)
        raise UnsupportedImageError(f"cannot write {format!r} files", hint=f"{names} are written")
    if picture.alpha is not None and not found.has_alpha:
        raise UnsupportedImageError(
            f"{found.name} has no alpha and the picture has",
            hint="write png, webp, avif, tiff or jxl instead",
        )
    if found.name == "jxl":
        try:
            import pillow_jxl  # noqa: F401 - registers the format
        except ImportError as error:
            raise MissingDependencyError(
                "JPEG XL needs pillow-jxl-plugin", hint=install_hint("eval")
            ) from error
    if found.name == "png":
        threads = threads or default_threads()
        icc = _profile(picture, found)
        data = png_file(picture, icc=icc, level=png_level, threads=threads)
    elif found.name == "ppm":
        data = _ppm(picture)
    else:
        from rdae.images.reader import foreign_errors

        with foreign_errors(f"cannot be written as {found.pillow_name}", hint="write png instead"):
            is_tiff = found.name == "tiff"
            data = _tiff(picture) if is_tiff else _by_pillow(picture, found, quality)
    file.write(data)


def lost(picture: Picture, format: OutputFormat) -> list[str]:
    """Name what a format does not hold of a picture."""
    kinds = [kind for kind in ("icc", "exif", "xmp") if getattr(picture, kind)]
    if format.name == "jxl":  # as the plugin writes it
        kinds = [kind for kind in kinds if kind == "icc"]
    elif format.has_metadata:
        kinds = ["icc"] if picture.icc and not _profile(picture, format) else []
    names = {"icc": "the ICC profile (colours may look different)", "exif": "EXIF", "xmp": "XMP"}
    if format.name == "jxl":
        names["icc"] = "the ICC profile (they say sRGB, and colours look different)"
    found = [names[kind] for kind in kinds]
    if picture.is_grey and _is_rgb_there(picture, format):
        found.append("that it is grey (it is RGB there)")
    return found


def _by_pillow(picture: Picture, format: OutputFormat, quality: int | None) -> bytes:
    """The file that Pillow writes; to memory, so that errors of the real file are its own."""
    from rdae.images.pillow import to_pillow

    metadata: dict[str, Any] = {"exif": picture.exif, "xmp": picture.xmp}
    metadata["icc_profile"] = _profile(picture, format)
    options: dict[str, Any] = {}
    match format.name:
        case "jpg":
            # Without `optimize`: Pillow then guesses a buffer for the file, too small for noise.
            options["quality"] = JPEG_QUALITY if quality is None else quality
            options["subsampling"] = "4:4:4"
            metadata["exif"] = exif_data.PREFIX + picture.exif if picture.exif else b""
        case "webp":
            # `exact`: without it the colours under transparent pixels would be lost.
            options = {"lossless": True} if quality is None else {"quality": quality}
            options["exact"] = True
        case "avif":
            options["quality"] = AVIF_QUALITY if quality is None else quality
            options["subsampling"] = "4:4:4" if _is_rgb_there(picture, format) else "4:0:0"
        case "jxl":
            options = {"lossless": True} if quality is None else {"quality": quality}
        case _:  # bmp has nothing to set
            metadata = {}
    image, file = to_pillow(picture), io.BytesIO()
    image.info = {}  # what is written is what is named
    given = {name: block for name, block in metadata.items() if block}
    image.save(file, format.pillow_name, **options, **given)
    return file.getvalue()


def _is_rgb_there(picture: Picture, format: OutputFormat) -> bool:
    """Whether pixels are stored as RGB: WebP has no grey, Pillow's AVIF none with alpha."""
    has_alpha = picture.alpha is not None
    return not picture.is_grey or format.name == "webp" or (format.name == "avif" and has_alpha)


def _profile(picture: Picture, format: OutputFormat) -> bytes:
    """The ICC profile that a format can have beside the picture's pixels; maybe none."""
    if is_grey_profile(picture.icc) and _is_rgb_there(picture, format):
        return as_rgb_profile(picture.icc)
    return picture.icc


def _tiff(picture: Picture) -> bytes:
    # Not with Pillow: its libtiff path cannot write the EXIF directory.
    samples = picture.rgb[..., :1] if picture.is_grey else picture.rgb
    if picture.alpha is not None:
        samples = np.concatenate([samples, picture.alpha[..., None]], axis=2)
    return tiff_file(samples, icc=picture.icc, exif=picture.exif, xmp=picture.xmp)


def _ppm(picture: Picture) -> bytes:
    magic, samples = ("P5", picture.rgb[..., 0]) if picture.is_grey else ("P6", picture.rgb)
    return f"{magic}\n{picture.width} {picture.height}\n255\n".encode() + samples.tobytes()

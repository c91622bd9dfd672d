"""rdae: learned image compression that decodes to the same pixels on every machine.

    import rdae

    data = rdae.compress("photo.png", quality=60)  # bytes of a .rd file
    image = rdae.decompress(data)                  # PIL.Image.Image
    info = rdae.read_info(data)                    # sizes in parts, no decoding
    rdae.register_pillow()                         # Image.open("x.rd"), im.save("x.rd")

Importing this module loads neither NumPy nor Pillow; the functions do when they are called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdae import errors

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from PIL.Image import Image

    from rdae.bitstream.container import Info
    from rdae.images.inputs import Source

__all__ = ["__version__", "compress", "decompress", "errors", "read_info", "register_pillow"]

__version__ = "0.1.0"


def _find_rooms() -> None:
    """In a checkout cli/ and weights/ stand beside this folder; installed, they are inside it."""
    from pathlib import Path

    here = Path(__file__).parent
    if not (here / "cli").is_dir():
        __path__.append(str(here.parent))


_find_rooms()


def __dir__() -> list[str]:
    """List what is public, as `dir(rdae)` and completion in a notebook show it."""
    return sorted(__all__)


def compress(
    image: Source,
    *,
    quality: float | None = None,
    target_size: int | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    effort: int = 2,
    model: str | Path | None = None,
    to_8bit: bool = False,
    first_frame: bool = False,
    to_srgb: bool = False,
    max_pixels: int | None = None,
    threads: int | None = None,
) -> bytes:
    """Compress an image.

    Args:
        image: path of an image file, the bytes of one, a Pillow image, or a uint8 array of shape
            `(H, W)` or `(H, W, C)`: C is 1 for grey, 2 for grey and alpha, 3 for RGB, 4 for RGBA.
        quality: 0 (smallest) to 100 (best); 100 is not lossless. 60 if nothing is asked for.
        target_size: instead of a quality, the largest file in bytes, metadata included; the best
            quality that fits is found.
        target_bpp: the same in bits per pixel.
        target_psnr: instead, the least PSNR in dB of the decoded picture; the smallest file that
            has it is found. With any target, an effort of 3 or more makes several searches.
        effort: 1 (fastest) to 9 (fewest bits at equal PSNR). From 3 on, seconds to minutes are
            spent on each megapixel, and torch is needed. At a fixed quality, part of what is
            gained is a better picture instead of a smaller file. Decoding does not change.
        model: name of an installed model or path of a weights file; the default model if None.
        to_8bit: reduce more than 8 bits per channel instead of refusing them; of arrays, uint16
            from 0 to 65535 and floats from 0 to 1.
        first_frame: take the first of several pictures instead of refusing them.
        to_srgb: convert other colours, as CMYK, to sRGB instead of refusing them.
        max_pixels: refuse larger pictures; 256 million if None.
        threads: how many threads to use; one per core if None. From effort 3 on, the bytes depend
            a little on it, as on the machine.

    Returns:
        The bytes of a .rd file.

    Raises:
        rdae.errors.ImageError: the image cannot be used; the message says why.
        rdae.errors.RateTargetError: the target cannot be met; the message says what can.
        rdae.errors.ModelError: there is no such model.
        rdae.errors.MissingDependencyError: the effort needs torch.
        ValueError: quality or effort is out of range, or more than one of quality and targets is
            given.
        TypeError: quality or a target is no number.
        OSError: the file is not there or cannot be read.
    """
    import numbers

    from rdae.codec import DEFAULT_QUALITY, MAX_PIXELS, check_padding, encode
    from rdae.images.inputs import picture_of
    from rdae.model.installed import load_model

    targets: dict[str, object] = {
        "quality": quality,
        "target_size": target_size,
        "target_bpp": target_bpp,
        "target_psnr": target_psnr,
    }
    given = {name: target for name, target in targets.items() if target is not None}
    for name, target in given.items():
        if isinstance(target, bool) or not isinstance(target, numbers.Real):
            raise TypeError(f"{name} must be a number, got {target!r}")
    if len(given) > 1:
        raise ValueError(f"{', '.join(targets)} exclude each other")
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    picture = picture_of(
        image,
        max_pixels=limit,
        to_8bit=to_8bit,
        first_frame=first_frame,
        to_srgb=to_srgb,
    )
    check_padding(picture.width, picture.height, limit)
    return encode(
        picture,
        quality=DEFAULT_QUALITY if quality is None else quality,
        target_size=target_size,
        target_bpp=target_bpp,
        target_psnr=target_psnr,
        effort=effort,
        model=load_model(model),
        threads=threads,
    ).data


def decompress(
    source: bytes | str | os.PathLike[str],
    *,
    max_pixels: int | None = None,
    weights: str | Path | None = None,
    threads: int | None = None,
    region: tuple[int, int, int, int] | None = None,
    best_effort: bool = False,
) -> Image:
    """Decompress a .rd file.

    Args:
        source: the bytes of the whole file, or its path.
        max_pixels: refuse larger pictures; 256 million if None. With a region it is the region
            that must not be larger, and of a picture with alpha the rows from the first to the
            region's last, since the alpha plane is decoded from its beginning.
        weights: a weights file to use instead of the installed ones.
        threads: how many threads to use; one per core if None.
        region: the part to decode, `(x, y, width, height)` in pixels; the whole if None. It has
            the same pixels as in the whole, and takes time and memory for itself alone.
        best_effort: decode what is left of a damaged file; a `rdae.errors.DamageWarning` says
            what of the picture is not the original. Only a damaged header is an error then. Broken
            tiles, 1024x1024 pixels each, take the colours beside them; where there are none left,
            as in a smaller picture, they are grey.

    Returns:
        An image of mode L, LA, RGB or RGBA, with icc_profile, exif and xmp in its `info`.

    Raises:
        rdae.errors.BitstreamError: the bytes are not a valid .rd file.
        rdae.errors.TooLargeError: there are more than `max_pixels` pixels to decode.
        rdae.errors.RegionError: the region is not inside of the picture.
        rdae.errors.ModelError: the model that wrote it is not installed.
        OSError: the file is not there or cannot be read.
    """
    import warnings
    from pathlib import Path

    from rdae.codec import MAX_PIXELS, decode, rescue
    from rdae.geometry import Rectangle
    from rdae.images.picture import to_pillow

    data = _read(source)
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    path = None if weights is None else Path(weights)
    part = None if region is None else Rectangle.at(*region)
    if not best_effort:
        picture = decode(data, max_pixels=limit, weights=path, threads=threads, region=part)
        return to_pillow(picture)
    rescued = rescue(data, max_pixels=limit, weights=path, threads=threads, region=part)
    if rescued.damage:
        warnings.warn(rescued.text, errors.DamageWarning, stacklevel=2)
    return to_pillow(rescued.picture)


def read_info(source: bytes | str | os.PathLike[str]) -> Info:
    """Read what a .rd file contains without decoding it; no weights are needed.

    Args:
        source: the bytes of the whole file, or its path.

    Raises:
        rdae.errors.BitstreamError: it is not a valid .rd file.
        OSError: the file is not there or cannot be read.
    """
    from rdae.bitstream.container import parse_info

    return parse_info(_read(source))


def _read(source: bytes | str | os.PathLike[str]) -> bytes:
    """The bytes of a .rd file that are given as such or by its path."""
    import os
    from pathlib import Path

    from rdae.files import read_bounded

    return read_bounded(Path(source)) if isinstance(source, (str, os.PathLike)) else source


def register_pillow() -> None:
    """Teach Pillow the format: afterwards `Image.open` reads .rd files and `save` writes them.

    Opening reads no more than the header and the metadata; the pixels are decoded when they are
    first needed. `im.save("x.rd", quality=70)` takes the keywords of `compress`, and exif,
    icc_profile and xmp as Pillow's other formats do. Calling it again changes nothing.
    """
    from rdae.pillow_plugin import register

    register()

"""rdae: learned image compression that decodes to the same pixels on every machine.

    import rdae

    data = rdae.compress("photo.png", quality=60)  # bytes of a .rd file
    image = rdae.decompress(data)                  # PIL.Image.Image
    image = rdae.preview(data[:2000])              # the same, coarser, of the first bytes
    info = rdae.read_info(data)                    # sizes in parts, no decoding
    rdae.verify("photo.rd")                        # an error if anything in it is damaged
    rdae.register_pillow()                         # Image.open("x.rd"), im.save("x.rd")

Importing this module loads neither NumPy nor Pillow; the functions do when they are called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from rdae import errors

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

    from rdae.bitstream.info import Info
    from rdae.files import Contents, Readable
    from rdae.images.inputs import Source

__all__ = [
    "__version__",
    "compress",
    "decompress",
    "errors",
    "preview",
    "read_info",
    "register_pillow",
    "verify",
]

__version__ = "0.1.0"


def _find_rooms() -> None:
    """In a checkout cli/, web/ and weights/ stand beside this folder, installed inside it."""
    from pathlib import Path

    here = Path(__file__).parent
    if not (here / "cli").is_dir():
        __path__.append(str(here.parent))


_find_rooms()


def __dir__() -> list[str]:
    """List what is public, as `dir(rdae)` and completion in a notebook show it."""
    return sorted(__all__)


def compress(
    image: Source | Readable,
    *,
    quality: float | None = None,
    target_size: int | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    target_ssimulacra2: float | None = None,
    lossless: bool | Literal["auto"] = False,
    max_error: int | None = None,
    base: float | None = None,
    effort: int = 2,
    tune: str | None = None,
    model: str | Path | None = None,
    to_8bit: bool = False,
    first_frame: bool = False,
    to_srgb: bool = False,
    max_pixels: int | None = None,
    threads: int | None = None,
) -> bytes:
    """Compress an image.

    A picture of a single colour, alpha aside, comes back exactly at every quality: its file is a
    lossless one, unless that is larger than `target_size` or `target_bpp`, or `tune`, `model` or
    another target is given.

    Args:
        image: path of an image file, the bytes of one, a binary file object, which is read from
            where it stands to its end, a Pillow image, or a uint8 array of shape `(H, W)` or
            `(H, W, C)`: C is 1 for grey, 2 for grey and alpha, 3 for RGB, 4 for RGBA.
        quality: 0 (smallest) to 100 (best of the model, not lossless). 60 if nothing is asked for.
        target_size: instead of a quality, the largest file in bytes, metadata included; the best
            quality that fits is found.
        target_bpp: the same in bits per pixel.
        target_psnr: instead, the least PSNR in dB of the decoded picture; the smallest file that
            has it is found. With any target, an effort of 3 or more makes several searches.
        target_ssimulacra2: the same of SSIMULACRA2: 90 is visually lossless, 70 high, 50 medium, 30
            low. Needs the package ssimulacra2.
        lossless: instead of all these, give back every pixel. With "auto", which goes with all of
            these, only if that takes no more bytes, or fits into the size that is asked for.
        max_error: instead, give back samples that are at most so far from the given ones, 1 to 15;
            0 is lossless. `effort` and `model` do not count with these two; a `tune` is refused.
        base: with one of these two, quality of a lossy picture that the file has first, 0 to 100.
            It is what `decompress(..., lossy=True)` and previews show, and `effort`, `tune` and
            `model` are of it. The file is some percent larger, of drawings far more.
        effort: 1 (fastest) to 9 (fewest bits at equal quality). From 3 on, seconds to minutes
            are spent on each megapixel, and torch is needed. At a fixed quality, part of what is
            gained is a better picture instead of a smaller file. Decoding does not change.
        tune: from effort 3 on, what bits are saved at: "psnr" for squared error, "eye" for a mix of
            it with SSIMULACRA2, MS-SSIM and SSIM; if None what the model was trained for,
            "psnr" with a target_psnr, "eye" with a target_ssimulacra2.
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
        rdae.errors.MissingDependencyError: the effort needs torch, or the target ssimulacra2.
        ValueError: quality, lossless, max_error, base, effort, tune or threads is out of range,
            more than one of quality, targets, lossless and max_error is given, or a base without
            the last two.
        TypeError: quality, a target, max_pixels or threads is no number.
        OSError: the file is not there or cannot be read.
    """
    import numbers

    from rdae.codec import DEFAULT_QUALITY, check_padding, encode
    from rdae.codec.smaller import encode_asked, encode_smaller
    from rdae.files import contents_of
    from rdae.images.inputs import picture_of
    from rdae.limits import given_max_pixels
    from rdae.model.installed import load_model
    from rdae.threads import check_threads

    limit = given_max_pixels(max_pixels)
    check_threads(threads)
    if lossless not in (True, False, "auto"):
        raise ValueError(f"lossless must be True, False or 'auto', got {lossless!r}")
    is_auto = lossless == "auto"
    targets: dict[str, object] = {
        "quality": quality,
        "target_size": target_size,
        "target_bpp": target_bpp,
        "target_psnr": target_psnr,
        "target_ssimulacra2": target_ssimulacra2,
        "max_error": max_error,
        "lossless": None if is_auto else int(lossless) or None,
    }
    given = {name: target for name, target in targets.items() if target is not None}
    for name, target in [*given.items(), *([] if base is None else [("base", base)])]:
        if isinstance(target, bool) or not isinstance(target, numbers.Real):
            raise TypeError(f"{name} must be a number, got {target!r}")
    names = [*given, "lossless"] if is_auto and max_error is not None else [*given]
    if len(names) > 1:
        raise ValueError(f"{' and '.join(names)} exclude each other")
    if lossless and not is_auto:
        max_error = 0
    if base is not None and max_error is None:
        raise ValueError("base goes with lossless=True or max_error")
    picture = picture_of(
        contents_of(image) if hasattr(image, "read") else image,
        max_pixels=limit,
        to_8bit=to_8bit,
        first_frame=first_frame,
        to_srgb=to_srgb,
    )
    check_padding(picture.width, picture.height, limit)
    # One that is named is refused if it is not there, also where it does not count.
    needs_model = model is not None or max_error is None or base is not None
    settings: dict[str, Any] = {
        "quality": DEFAULT_QUALITY if quality is None else quality,
        "target_size": target_size,
        "target_bpp": target_bpp,
        "target_psnr": target_psnr,
        "target_ssimulacra2": target_ssimulacra2,
        "effort": effort,
        "tune": tune,
        "model": load_model(model) if needs_model else None,
        "threads": threads,
    }
    if is_auto:
        return encode_smaller(picture, **settings).kept.data
    settings |= {"max_error": max_error, "base": base}
    if model is None:
        return encode_asked(picture, **settings).kept.data
    return encode(picture, **settings).data


def decompress(
    source: Contents,
    *,
    max_pixels: int | None = None,
    weights: str | Path | None = None,
    threads: int | None = None,
    region: tuple[int, int, int, int] | None = None,
    thumbnail: int | None = None,
    best_effort: bool = False,
    lossy: bool = False,
) -> Image:
    """Decompress a .rd file.

    Args:
        source: the bytes of the whole file, its path, or a binary file object, which is read from
            where it stands to its end.
        max_pixels: refuse larger pictures; 256 million if None. With a region it is the region
            that must not be larger, and of a picture with alpha the rows from the first to the
            region's last, since the alpha plane is decoded from its beginning. A lossless drawing
            that is kept in one piece counts as a whole.
        weights: a weights file to use instead of the installed ones.
        threads: how many threads to use; one per core if None.
        region: the part to decode, `(x, y, width, height)` in pixels; the whole if None. It has
            the same pixels as in the whole, and takes time and memory for itself alone.
        thumbnail: make the picture, or the region, fit into a square of so many pixels; one that
            does already keeps its size. The whole of a file with a `base` is made smaller from
            that one. Of a whole lossy picture no more than a band is held at a time.
        best_effort: decode what is left of a damaged file; a `rdae.errors.DamageWarning` says
            what of the picture is not the original. Only a damaged header is an error then. A lossy
            file that was cut off gives a coarser picture. Other broken tiles, 1024x1024 pixels
            each, take the colours beside them; where there are none left, as in a smaller picture,
            they are grey, as always in lossless files. Of those with a `base` they are lossy.
        lossy: of a lossless file with a `base`, decode that lossy picture; the rest of the file is
            not read, and need not be there. Other files are decoded as ever.

    Returns:
        An image of mode L, LA, RGB or RGBA, with icc_profile, exif and xmp in its `info`; a
        thumbnail has the icc_profile alone.

    Raises:
        rdae.errors.BitstreamError: the bytes are not a valid .rd file.
        rdae.errors.TooLargeError: there are more than `max_pixels` pixels to decode.
        rdae.errors.RegionError: the region is not inside of the picture.
        rdae.errors.ModelError: the model that wrote it is not installed.
        ValueError: `thumbnail` or `threads` is below 1.
        TypeError: one of them is no whole number, `region` not four of them, or `max_pixels` no
            number.
        OSError: the file is not there or cannot be read.
    """
    import warnings
    from pathlib import Path

    from rdae.codec import decode, rescue
    from rdae.codec.thumbnail import decode_thumbnail, shrink
    from rdae.files import contents_of
    from rdae.geometry import Rectangle
    from rdae.images.pillow import to_pillow
    from rdae.limits import given_max_pixels
    from rdae.threads import check_threads

    limit = given_max_pixels(max_pixels)
    check_threads(threads)
    data = contents_of(source)
    path = None if weights is None else Path(weights)
    arguments: dict[str, Any] = {"max_pixels": limit, "weights": path, "threads": threads}
    part = None if region is None else Rectangle.given(region)
    if thumbnail is not None and region is None and not best_effort:
        return to_pillow(decode_thumbnail(data, thumbnail, lossy=lossy, **arguments))
    if best_effort:
        rescued = rescue(data, region=part, lossy=lossy, **arguments)
        picture = rescued.picture
        if rescued.damage:
            warnings.warn(rescued.text, errors.DamageWarning, stacklevel=2)
    else:
        picture = decode(data, region=part, lossy=lossy, **arguments)
    return to_pillow(picture if thumbnail is None else shrink(picture, thumbnail))


def preview(
    beginning: Contents,
    *,
    max_pixels: int | None = None,
    weights: str | Path | None = None,
    threads: int | None = None,
    thumbnail: int | None = None,
) -> Image:
    """Decompress the beginning of a .rd file, to show a picture while the rest of it arrives.

    The more there is, the better it is: with a tenth it is blurred, with all of it the same as
    that of `decompress`. A lossless file without a `base` shows the tiles that are whole, others
    grey. Nothing is kept from one call to the next.

    Args:
        beginning: the bytes that are there, or as of `decompress`.
        max_pixels: refuse larger pictures; 256 million if None.
        weights: a weights file to use instead of the installed ones.
        threads: how many threads to use; one per core if None.
        thumbnail: make the picture fit into a square of so many pixels.

    Returns:
        An image as of `decompress`.

    Raises:
        rdae.errors.TruncatedError: nothing of the colours is there yet.
        rdae.errors.BitstreamError: this is not the beginning of a valid .rd file.
        rdae.errors.TooLargeError: the picture has more than `max_pixels` pixels.
        rdae.errors.ModelError: the model that wrote it is not installed.
        ValueError: `thumbnail` or `threads` is below 1.
        TypeError: one of them is no whole number, or `max_pixels` no number.
        OSError: the file is not there or cannot be read.
    """
    from pathlib import Path

    from rdae import codec
    from rdae.codec.thumbnail import shrink
    from rdae.files import contents_of
    from rdae.images.pillow import to_pillow
    from rdae.limits import given_max_pixels
    from rdae.threads import check_threads

    limit = given_max_pixels(max_pixels)
    check_threads(threads)
    picture = codec.preview(
        contents_of(beginning),
        max_pixels=limit,
        weights=None if weights is None else Path(weights),
        threads=threads,
    )
    return to_pillow(picture if thumbnail is None else shrink(picture, thumbnail))


def read_info(source: Contents) -> Info:
    """Read what a .rd file contains without decoding it; no weights are needed.

    Args:
        source: as of `decompress`.

    Raises:
        rdae.errors.BitstreamError: it is not a valid .rd file.
        OSError: the file is not there or cannot be read.
    """
    from rdae.bitstream.info import parse_info
    from rdae.files import contents_of

    return parse_info(contents_of(source))


def verify(
    source: Contents,
    *,
    max_pixels: int | None = None,
    weights: str | Path | None = None,
    threads: int | None = None,
) -> Info:
    """Check a .rd file to its last byte: decode all that it codes, but give no picture.

    Args:
        source: as of `decompress`.
        max_pixels: refuse larger pictures; 256 million if None.
        weights: a weights file to use instead of the installed ones.
        threads: how many threads to use; one per core if None.

    Returns:
        What `read_info` returns. Then `decompress` succeeds, too.

    Raises:
        rdae.errors.BitstreamError: something is damaged; the message names all that is: tiles with
            their pixels (columns, rows), alpha, metadata.
        rdae.errors.TooLargeError: the picture has more than `max_pixels` pixels.
        rdae.errors.ModelError: the model that wrote it is not installed.
        ValueError: `threads` is below 1.
        TypeError: it is no whole number, or `max_pixels` no number.
        OSError: the file is not there or cannot be read.
    """
    from rdae.bitstream.info import parse_info
    from rdae.codec import damage_error, find_damage
    from rdae.files import contents_of
    from rdae.limits import given_max_pixels
    from rdae.threads import check_threads

    limit = given_max_pixels(max_pixels)
    check_threads(threads)
    data = contents_of(source)
    header, damage = find_damage(
        data,
        max_pixels=limit,
        weights=None if weights is None else Path(weights),
        threads=threads,
    )
    if damage:
        raise damage_error(damage, header)
    return parse_info(data)


def register_pillow() -> None:
    """Teach Pillow the format: afterwards `Image.open` reads .rd files and `save` writes them.

    Opening reads no more than the header and the metadata; the pixels are decoded when they are
    first needed. `im.save("x.rd", quality=70)` takes the keywords of `compress`, and exif,
    icc_profile and xmp as Pillow's other formats do. Calling it again changes nothing.
    """
    from rdae.pillow_plugin import register

    register()

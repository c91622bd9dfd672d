"""rdae: learned image compression that decodes to the same pixels on every machine.

    import rdae

    data = rdae.compress("photo.png", quality=60)  # bytes of a .rd file
    image = rdae.decompress(data)                  # PIL.Image.Image
    info = rdae.read_info(data)                    # sizes in parts, no decoding

Importing this module loads neither NumPy nor Pillow; the functions do when they are called.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rdae import errors

if TYPE_CHECKING:
    from PIL.Image import Image

    from rdae.bitstream.container import Info

_here = Path(__file__).parent
if not (_here / "cli").is_dir():
    # In a checkout cli/ and weights/ stand beside this folder; installed, they are inside it.
    __path__.append(str(_here.parent))

__all__ = ["__version__", "compress", "decompress", "errors", "read_info"]

__version__ = "0.1.0"


def compress(
    image: str | Path | Image, *, quality: float = 60.0, model: str | Path | None = None
) -> bytes:
    """Compress an image.

    Args:
        image: path of an image file, or a Pillow image.
        quality: 0 (smallest) to 100 (best); 100 is not lossless.
        model: name of an installed model or path of a weights file; the default model if None.

    Returns:
        The bytes of a .rd file.

    Raises:
        rdae.errors.ImageError: the image cannot be used; the message says why.
        ValueError: quality is out of range.
    """
    from rdae.codec import encode
    from rdae.picture import from_pillow, read_picture
    from rdae.store import load_model

    is_path = isinstance(image, (str, Path))
    picture = read_picture(Path(image)) if is_path else from_pillow(image)  # type: ignore[arg-type]
    return encode(picture, quality=quality, model=load_model(model)).data


def decompress(
    data: bytes,
    *,
    max_pixels: int | None = None,
    weights: str | Path | None = None,
    threads: int | None = None,
) -> Image:
    """Decompress the bytes of a .rd file.

    Args:
        data: the whole file.
        max_pixels: refuse larger pictures; 256 million if None.
        weights: a weights file to use instead of the installed ones.
        threads: how many threads to use; one per core if None.

    Returns:
        An image of mode L, LA, RGB or RGBA, with icc_profile, exif and xmp in its `info`.

    Raises:
        rdae.errors.BitstreamError: the bytes are not a valid .rd file.
        rdae.errors.ModelError: the model that wrote it is not installed.
    """
    from rdae.codec import MAX_PIXELS, decode
    from rdae.picture import to_pillow

    picture = decode(
        data,
        max_pixels=MAX_PIXELS if max_pixels is None else max_pixels,
        weights=None if weights is None else Path(weights),
        threads=threads,
    )
    return to_pillow(picture)


def read_info(data: bytes) -> Info:
    """Read what a .rd file contains without decoding it; no weights are needed.

    Raises:
        rdae.errors.BitstreamError: the bytes are not a valid .rd file.
    """
    from rdae.bitstream.container import parse_info

    return parse_info(data)

"""Fuzz the reading of image files with atheris (libFuzzer for Python).

    pip install -e . atheris
    mkdir -p /tmp/images
    python tests/fuzz/fuzz_image.py /tmp/images -max_total_time=600

An empty folder is given small files of every format that is read. What must hold: a picture whose
arrays fit together, or one clear `ImageError`; see fuzz_decode.py for options and findings. A crash
without a Python exception is one of Pillow or of a library below it.
"""

from __future__ import annotations

import io
import os
import random
import struct
import sys
import warnings
import zlib
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import atheris

with atheris.instrument_imports(include=["rdae"]):
    import oracle

    from rdae.errors import RdaeError

import numpy as np
from fuzz_decode import DEFAULTS, limit_address_space
from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "PPM")
PNG_START = b"\x89PNG\r\n\x1a\n"


def examine(data: bytes) -> None:
    """Run one input."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, on damaged metadata
        picture = oracle.read_image(data)
    if not isinstance(picture, RdaeError):
        assert picture.rgb.shape == (picture.height, picture.width, 3)
        assert picture.width * picture.height <= oracle.MAX_PIXELS
        assert not picture.is_grey or (picture.rgb == picture.rgb[..., :1]).all()


def change(data: bytes, max_size: int, seed: int) -> bytes:
    """Make a new input of an old one; a PNG mostly gets checksums that hold."""
    changed = bytes(atheris.Mutate(data, max_size))
    return with_checksums(changed) if random.Random(seed).random() < 0.9 else changed


def with_checksums(data: bytes) -> bytes:
    """A PNG file whose chunks have the right CRCs; other data as they are."""
    if not data.startswith(PNG_START):
        return data
    out, at = bytearray(data), len(PNG_START)
    while at + 12 <= len(out):
        end = at + 8 + struct.unpack_from(">I", out, at)[0]
        if end + 4 > len(out):
            break
        struct.pack_into(">I", out, end, zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)


def write_seeds(folder: Path) -> None:
    """Save a small picture in every mode that each format takes."""
    pixels = np.random.default_rng(1).integers(0, 256, (9, 13, 4)).astype(np.uint8)
    picture = Image.fromarray(pixels)
    for name in FORMATS:
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"):
            file = io.BytesIO()
            try:
                picture.convert("L" if mode == "I;16" else mode).convert(mode).save(file, name)
            except (OSError, ValueError):
                continue  # not a mode of this format
            (folder / f"{name}-{mode.replace(';', '')}").write_bytes(file.getvalue())


def main() -> None:
    """Fuzz until stopped."""
    folders = [Path(argument) for argument in sys.argv[1:] if Path(argument).is_dir()]
    if folders and not any(folders[0].iterdir()):
        write_seeds(folders[0])
    given = {argument.split("=")[0] for argument in sys.argv}
    options = [option for option in DEFAULTS if option.split("=")[0] not in given]
    limit_address_space()
    atheris.Setup([*sys.argv, *options], examine, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

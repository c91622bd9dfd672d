"""Write golden files: `python tests/golden/make.py [NAME ...]`, all of them without names.

With names, only these files are made anew, and the others stay as they are.

A golden file pins what a .rd file decodes to, for ever: pixels and symbols, to the last bit. Files
of a released model are never made anew; a model that replaces another before version 1.0 takes the
old one's golden files with it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from rdae.bitstream.container import read_container
from rdae.bitstream.tiles import Grid
from rdae.codec import decode, encode, lossless
from rdae.codec.tile import decode_tile
from rdae.images.picture import Picture
from rdae.images.pillow import read_picture
from rdae.lossless import coding, fit, stream
from rdae.lossless.parameters import BASE, MIDDLE, NEAR, WIDE
from rdae.model.installed import find_model

HERE = Path(__file__).parent
PHOTO = HERE.parent.parent / "examples" / "photo.png"

# The encoder leaves tiny pictures to WebP and gives them no filters. Files that are to show what
# networks and filters do are made to use them on few pixels, so that a reader in plain Python takes
# seconds for all. For each kind of filter the cells from which on there is one:
NO_FILTERS = 1 << 20
FILTERS = {WIDE: 90, MIDDLE: 24, NEAR: 6}  # wide at level 0, middle at level 1
NEAR_FILTERS = {WIDE: NO_FILTERS, MIDDLE: NO_FILTERS, NEAR: 8}
BASE_FILTERS = {WIDE: 90, MIDDLE: NO_FILTERS, NEAR: NO_FILTERS, BASE: 8}  # on a lossy picture


def digests(data: bytes, threads: int = 1) -> dict[str, str]:
    """SHA-256 of a file's pixels, alpha and symbols, all as integers.

    A lossless file has no symbols but its pixels; one with a lossy picture first has the pixels
    of that.
    """
    picture, file = decode(data, threads=threads), read_container(data)
    result = {"pixels": hashlib.sha256(picture.rgb.tobytes()).hexdigest()}
    if file.rest is not None:
        lossy = decode(data, threads=threads, lossy=True)
        result["lossy"] = hashlib.sha256(lossy.rgb.tobytes()).hexdigest()
    elif not file.header.is_lossless:
        result["symbols"] = symbols_digest(data)
    if picture.alpha is not None:
        result["alpha"] = hashlib.sha256(picture.alpha.tobytes()).hexdigest()
    return result


def symbols_digest(data: bytes) -> str:
    """SHA-256 of the symbols of a lossy file and of their tables."""
    container = read_container(data)
    header = container.header
    model = find_model(header.model_id, header.fingerprint)
    symbols = hashlib.sha256()
    for tile in Grid.of(header).tiles():
        decoded, _ = decode_tile(model, header, tile, container.tiles[tile.index])
        symbols.update(decoded.z.astype("<i4").tobytes())
        symbols.update(decoded.y.astype("<i4").tobytes())
        symbols.update(decoded.indexes.tobytes())
    return symbols.hexdigest()


def pictures() -> dict[str, tuple[Picture, float]]:
    """What to encode, at which quality."""
    rgb = read_picture(PHOTO).rgb
    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 3)).astype(np.uint8)
    grey = np.repeat(rgb[100:260, 300:500, 1:2], 3, axis=2)
    ramp = np.add.outer(np.arange(90), np.arange(70)).astype(np.uint8)
    long = np.tile(rgb[300:324], (1, 2, 1))[:, :1100]  # two tiles
    tall = np.tile(grey[:, :30], (7, 1, 1))[:1100]  # likewise, without colours
    parts = {"icc": b"profile", "exif": b"MM\0*exif", "xmp": b"<x/>"}

    def of(pixels, alpha=None, is_grey=False, **metadata) -> Picture:
        return Picture(np.ascontiguousarray(pixels), alpha, is_grey, **metadata)

    return {
        "photo-q5": (of(rgb), 5),
        "photo-q60": (of(rgb), 60),
        "detail-q95": (of(rgb[150:313, 300:511]), 95),
        "noise-q100": (of(noise), 100),
        "grey-q40": (of(grey, is_grey=True), 40),
        "alpha-q70": (of(rgb[40:130, 330:400], alpha=ramp, **parts), 70),
        "two-tiles-q30": (of(long), 30),
        "neutral-q60": (of(tall), 60),
        "pixel-q50": (of(rgb[200:201, 300:301]), 50),
    }


@contextmanager
def by_networks(worth: dict[int, int] | None = None) -> Iterator[None]:
    """Code all tiles by networks, and fit filters to passes of so many cells."""
    with ExitStack() as stack:
        huge = bytes(1 << 20)  # what WebP is made to take
        stack.enter_context(mock.patch.object(coding, "encode_graphics", return_value=huge))
        if worth is not None:
            for name in ("FITTED_CELLS", "FITTED_ON_BASE"):
                stack.enter_context(mock.patch.object(stream, name, 16))
            for table in (fit.WORTH_AT_FINEST, fit.WORTH, fit.ON_BASE):
                stack.enter_context(mock.patch.dict(table, worth))
        yield


def lossless_files(rgb: NDArray[np.uint8]) -> dict[str, Callable[[], bytes]]:
    """For each name what makes the file; `rgb` is the photo, `(512, 768, 3)`."""

    def part(rows: int, columns: int) -> NDArray[np.uint8]:
        return np.ascontiguousarray(rgb[200 : 200 + rows, 370 : 370 + columns])

    def grey(rows: int, columns: int) -> NDArray[np.uint8]:
        return np.repeat(part(rows, columns)[..., 1:2], 3, axis=2)

    def of(
        picture: Picture,
        max_error: int = 0,
        worth: dict[int, int] | None = None,
        base: float | None = None,
    ) -> bytes:
        with by_networks(worth):
            return encode(picture, max_error=max_error, base=base).data

    ramp = (np.add.outer(np.arange(9) * 3, np.arange(14)) * 5).astype(np.uint8)
    holes = np.random.default_rng(5).choice(np.array([40, 250], np.uint8), (9, 1033))
    holes[:, :960] = 255
    drawn = np.full((9, 1024, 3), 255, np.uint8)
    drawn[1:4, 100:900] = (200, 30, 40)
    wide = np.concatenate([drawn, drawn[:, :9]], axis=1)  # two tiles
    both = np.concatenate([drawn, part(9, 40)], axis=1)
    line = np.tile(part(9, 100), (1, 11, 1))[:, :1033]

    def divided(picture: Picture) -> bytes:
        with mock.patch.object(lossless, "MAX_UNDIVIDED_PIXELS", 0):
            return encode(picture, max_error=0).data

    drawing = np.where(np.indices((21, 17)).sum(0)[..., None] % 5 == 0, (250, 240, 9), (0, 0, 90))
    sprite = np.tile(drawing.astype(np.uint8), (1, 3, 1))
    contrast = np.clip(5 * (part(11, 14).astype(int) - 120) + 120, 0, 255).astype(np.uint8)
    return {
        "lossless-rgb": lambda: of(Picture(part(19, 23), None, False), worth=FILTERS),
        "lossless-tiles": lambda: of(Picture(line, None, False)),
        "lossless-two-methods": lambda: divided(Picture(both, None, False)),
        "lossless-grey": lambda: of(Picture(grey(13, 11), None, True), worth=NEAR_FILTERS),
        "lossless-alpha": lambda: of(Picture(part(9, 14), ramp, False, exif=b"MM\0*exif")),
        "lossless-alpha-webp": lambda: divided(Picture(wide, holes, False)),
        "lossless-undivided": lambda: encode(Picture(wide, None, False), max_error=0).data,
        "lossless-undivided-alpha": lambda: (
            encode(Picture(sprite, sprite[..., 0] // np.uint8(2), False), max_error=0).data
        ),
        "lossless-pixel": lambda: encode(Picture(part(1, 1), None, False), max_error=0).data,
        "lossless-clipped": lambda: of(Picture(contrast, None, False)),
        "lossless-webp": lambda: (
            encode(Picture(drawing.astype(np.uint8), None, False), max_error=0).data
        ),
        "max-error-1": lambda: of(Picture(part(12, 15), None, False), 1, NEAR_FILTERS),
        "max-error-3-neutral": lambda: of(Picture(grey(10, 17), None, False), 3),
        "base-rgb": lambda: of(Picture(part(19, 23), None, False), 0, BASE_FILTERS, 40),
        "base-grey": lambda: of(Picture(grey(9, 13), None, True), 1, BASE_FILTERS, 20),
    }


def makers() -> dict[str, Callable[[], bytes]]:
    """For each name what makes the file."""

    def lossy(picture: Picture, quality: float) -> bytes:
        return encode(picture, quality=quality).data

    found = {name: partial(lossy, *what) for name, what in pictures().items()}
    return found | lossless_files(read_picture(PHOTO).rgb)


def main(names: list[str]) -> None:
    """Replace the golden files of these names, or all of them.

    Raises:
        SystemExit: there is no golden file of a name.
    """
    every, path = makers(), HERE / "expected.json"
    if unknown := sorted(set(names) - set(every)):
        raise SystemExit(f"no golden file is called {', '.join(unknown)}; there are {[*every]}")
    expected = json.loads(path.read_text()) if names else {}
    for name in names or every:
        data = every[name]()
        (HERE / f"{name}.rd").write_bytes(data)
        expected[name] = {"bytes": len(data), **digests(data)}
    if not names:
        for old in set(HERE.glob("*.rd")) - {HERE / f"{name}.rd" for name in every}:
            old.unlink()
    ordered = {name: expected[name] for name in every if name in expected}
    path.write_text(json.dumps(ordered, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Write the golden files: `python tests/golden/make.py`, once per new default model.

A golden file pins what a .rd file decodes to, for ever: pixels and symbols, to the last bit. Files
of a released model are never made anew; a model that replaces another before version 1.0 takes the
old one's golden files with it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from rdae.bitstream.container import read_container
from rdae.bitstream.tiles import tile_grid
from rdae.codec import decode, encode
from rdae.codec.tile import decode_tile
from rdae.images.picture import Picture, read_picture
from rdae.model.installed import find_model

HERE = Path(__file__).parent
PHOTO = HERE.parent.parent / "examples" / "photo.png"


def digests(data: bytes, threads: int = 1) -> dict[str, str]:
    """SHA-256 of a file's pixels, alpha and symbols, all as integers."""
    picture = decode(data, threads=threads)
    container = read_container(data)
    header = container.header
    model = find_model(header.model_id, header.fingerprint)
    symbols = hashlib.sha256()
    for tile in tile_grid(header.width, header.height):
        decoded, _ = decode_tile(model, header, tile, container.tiles[tile.index])
        symbols.update(decoded.z.astype("<i4").tobytes())
        symbols.update(decoded.y.astype("<i4").tobytes())
        symbols.update(decoded.indexes.tobytes())
    result = {
        "pixels": hashlib.sha256(picture.rgb.tobytes()).hexdigest(),
        "symbols": symbols.hexdigest(),
    }
    if picture.alpha is not None:
        result["alpha"] = hashlib.sha256(picture.alpha.tobytes()).hexdigest()
    return result


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


def main() -> None:
    """Replace all golden files."""
    for old in HERE.glob("*.rd"):
        old.unlink()
    expected = {}
    for name, (picture, quality) in pictures().items():
        data = encode(picture, quality=quality).data
        (HERE / f"{name}.rd").write_bytes(data)
        expected[name] = {"bytes": len(data), **digests(data)}
    (HERE / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()

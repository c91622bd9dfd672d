"""Whether lossless files give back every pixel, on every path through the codec.

    python -m tests.benchmarks.lossless_pictures [FOLDER ...] [--sizes 200] [--seed 16]
        [--minutes 30]

Every picture of 8 bits below the folders, from the smallest one on, and pictures of random sizes:
details of the photo, some grey, with alpha, enlarged, drawn or noisy. Encoded and decoded by the
compiled kernel and by NumPy, on one thread and on two: all files must be the same bytes, and all
pixels those of the picture. NumPy takes ten times as long; beyond 2^16 pixels it only decodes, on
one thread. A line for each picture; those for which the minutes do not suffice are counted. Exit
code 1, and names, where anything differs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rdae.codec import decode, encode
from rdae.errors import ImageError
from rdae.exact import kernel
from rdae.images.picture import Picture
from rdae.images.pillow import read_picture

PHOTO = Path(__file__).resolve().parents[2] / "examples" / "photo.png"
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".jxl", ".avif"}
SMALL = 1 << 16  # pixels
KINDS = ("detail", "grey", "alpha", "enlarged", "drawn", "noise")


def random_picture(number: int, seed: int) -> tuple[str, Picture]:
    """A picture of 1 to 400 pixels a side, and what it is."""
    rng = np.random.default_rng([seed, number])
    height, width = (int(side) for side in np.exp2(rng.uniform(0, np.log2(401), 2)))
    kind = KINDS[number % len(KINDS)]
    photo = read_picture(PHOTO).rgb
    top, left = (int(rng.integers(0, most - 401)) for most in photo.shape[:2])
    rgb = photo[top : top + height, left : left + width]
    if kind == "grey":
        rgb = rgb[..., 1:2].repeat(3, 2)
    elif kind == "enlarged":
        rgb = rgb.repeat(3, 0).repeat(3, 1)[:height, :width]
    elif kind == "drawn":
        rgb = rgb // np.uint8(86) * np.uint8(85)  # three values of each channel
    elif kind == "noise":
        rgb = rng.integers(0, 256, rgb.shape).astype(np.uint8)
    alpha = rgb[..., 0].copy() if kind == "alpha" else None
    picture = Picture(np.ascontiguousarray(rgb), alpha, is_grey=kind == "grey")
    return f"{number} ({kind})", picture


def pictures(folders: list[Path], sizes: int, seed: int) -> Iterator[tuple[str, Picture]]:
    """All that are to be tried, with their names."""
    for number in range(sizes):
        yield random_picture(number, seed)
    found = []
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
            try:
                picture = read_picture(path, first_frame=True, to_srgb=True)
            except ImageError:
                continue  # of 16 bits, damaged, or no picture
            found.append((picture.width * picture.height, str(path.relative_to(folder)), path))
    for _, name, path in sorted(found):
        yield name, read_picture(path, first_frame=True, to_srgb=True)


def is_same(data: bytes, picture: Picture, carrier: str, threads: int) -> bool:
    """Whether a file decodes to the picture."""
    kernel.select(carrier)
    found = decode(data, threads=threads)
    if picture.alpha is None or found.alpha is None:
        return found.alpha is picture.alpha and np.array_equal(found.rgb, picture.rgb)
    return np.array_equal(found.rgb, picture.rgb) and np.array_equal(found.alpha, picture.alpha)


def differences(picture: Picture) -> list[str]:
    """What is wrong with the files of a picture; empty as it should be."""
    paths = [("auto", 1), ("auto", 2), ("no", 1), ("no", 2)]
    is_small = picture.width * picture.height <= SMALL
    files = {}
    for carrier, threads in paths if is_small else paths[:2]:
        kernel.select(carrier)
        files[carrier, threads] = encode(picture, max_error=0, threads=threads).data
    first = files[paths[0]]
    wrong = [f"{path} writes another file" for path, data in files.items() if data != first]
    for carrier, threads in paths if is_small else paths[:3]:
        if not is_same(first, picture, carrier, threads):
            wrong.append(f"{carrier, threads} decodes other pixels")
    return wrong


def main() -> int:
    """Try all, print a line for each and a count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--sizes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=30)
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    tried = left = failed = 0
    for name, picture in pictures(args.folders, args.sizes, args.seed):
        if time.monotonic() > end:
            left += 1
            continue
        wrong = differences(picture)
        tried, failed = tried + 1, failed + bool(wrong)
        print(f"{picture.width}x{picture.height} {name}", *wrong or ["same"], flush=True)
    print(f"{tried} pictures, {failed} with differences; {left} not tried")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())

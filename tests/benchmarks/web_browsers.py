"""Whether browsers decode to the same pixels as Python.

    python -m tests.benchmarks.web_browsers FOLDER [--qualities 20 60 95] [--sizes 60] [--lossy]

All golden files, every picture of a folder at some qualities and losslessly, and odd sizes, of
which every second is lossless or nearly so, in Chromium and, where it is installed, in Firefox;
--chromium-only leaves that out, and --lossy the folder's lossless files. Lossy files are made with
the least effort, which makes no difference to a decoder. One line for each browser; exit code 1,
and names, where anything differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rdae.codec import encode
from rdae.images.picture import Picture
from rdae.images.pillow import read_picture
from tests.browsers import CHROMIUM, FIREFOX, ROOT, found_in
from tests.test_web import GOLDEN, by_python

PHOTO = ROOT / "examples" / "photo.png"


def odd_pictures(count: int) -> Iterator[Picture]:
    """Details of the photo, in sizes that fill no cell or tile: colour, grey, with alpha."""
    rng = np.random.default_rng(18)
    rgb = read_picture(PHOTO).rgb
    for number in range(count):
        height, width = (int(rng.integers(1, most)) for most in (160, 200))
        top, left = (int(rng.integers(0, most)) for most in (300, 500))
        part = rgb[top : top + height, left : left + width]
        if number % 3 == 1:
            part = part[..., 1:2].repeat(3, 2)
        alpha = part[..., 0] if number % 3 == 2 else None
        yield Picture(np.ascontiguousarray(part), alpha, is_grey=number % 3 == 1)


def made(
    folder: Path, pictures: list[Path], qualities: list[float], sizes: int, *, lossy_only: bool
) -> list[Path]:
    """Write the files that are compared; golden ones stay where they are."""
    paths = sorted(GOLDEN.glob("*.rd"))
    for source in pictures:
        picture = read_picture(source)
        for quality in qualities:
            paths.append(folder / f"{source.stem}-q{quality:g}.rd")
            paths[-1].write_bytes(encode(picture, quality=quality, effort=1, threads=1).data)
        if not lossy_only:
            paths.append(folder / f"{source.stem}-lossless.rd")
            paths[-1].write_bytes(encode(picture, max_error=0, threads=1).data)
    for number, picture in enumerate(odd_pictures(sizes)):
        if number % 2:
            data = encode(picture, max_error=number // 2 % 4, threads=1).data
        else:
            data = encode(picture, quality=97 * number % 101, effort=1, threads=1).data
        paths.append(folder / f"odd-{number}.rd")
        paths[-1].write_bytes(data)
    return paths


def main() -> int:
    """Compare, and print a line for each browser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--qualities", type=float, nargs="+", default=[20, 60, 95])
    parser.add_argument("--sizes", type=int, default=60)
    parser.add_argument("--lossy", action="store_true")
    parser.add_argument("--chromium-only", action="store_true")
    args = parser.parse_args()
    programs = [CHROMIUM] if args.chromium_only else [CHROMIUM, FIREFOX]
    differ = 0
    with tempfile.TemporaryDirectory() as made_in:
        pictures = sorted(args.folder.glob("*.png"))
        paths = made(Path(made_in), pictures, args.qualities, args.sizes, lossy_only=args.lossy)
        expected = [by_python(path) for path in paths]
        for program in filter(None, programs):
            start = time.monotonic()
            with tempfile.TemporaryDirectory() as profile:
                files = [path.read_bytes() for path in paths]
                browser, found = found_in(program, files, Path(profile))
            others = [p.name for p, a, b in zip(paths, found, expected, strict=True) if a != b]
            differ += len(others)
            same = len(paths) - len(others)
            took = time.monotonic() - start
            print(f"{browser}: {same} of {len(paths)} files are the same, in {took:.0f} s", *others)
    return min(differ, 1)


if __name__ == "__main__":
    sys.exit(main())

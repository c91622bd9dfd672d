"""Whole processes that decode a file: rdae, avifdec, djxl and dwebp, on the same pictures.

    python -m tests.benchmarks.other_decoders [PICTURE ...] [--rounds 7] [--rdae COMMAND]
        [--files FOLDER]

The others are Debian's packages libavif-bin, libjxl-tools and webp. Decoded are the first picture
(examples/photo.png if none is named) and 12 megapixels, a mosaic of all of them. Ours has quality
60; each other one has the lowest quality at which the first picture takes no fewer bytes than ours.
All take as many threads as there are cores, and write once what costs them least (PPM; of avifdec
Y4M, which is not even RGB), once PNG as they do by themselves. COMMAND is the rdae to time, for
example of an environment that has the base install only. FOLDER keeps the files for another run.

Processes take turns; printed are medians of the rounds after a first one, which fills the file
cache: milliseconds on the clock, and of the processor.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdae.evaluation.codecs import parse_spec
from rdae.images.pillow import read_picture
from tests.benchmarks.side_by_side import smallest_not_below

PHOTO = Path(__file__).parent.parent.parent / "examples" / "photo.png"
LARGE = (3000, 4000)
QUALITY = 60
CODECS = ("rdae", "avif", "jxl", "webp")

Pixels = NDArray[np.uint8]


def commands(rdae: str, file: Path, output: Path) -> dict[str, list[str]]:
    """How each codec's file is decoded to an output."""
    source, target = str(file), str(output)
    ppm = ["-ppm"] * (output.suffix == ".ppm")
    return {
        "rdae": [rdae, "decompress", source, "-f", "--quiet", "-o", target],
        "avif": ["avifdec", "--jobs", "all", source, target.replace(".ppm", ".y4m")],
        "jxl": ["djxl", source, target],
        "webp": ["dwebp", "-mt", *ppm, source, "-o", target],
    }


def mosaic(tiles: list[Pixels]) -> Pixels:
    """12 megapixels of pictures side by side, those of another shape cut or mirrored to it."""
    rows, columns = tiles[0].shape[:2]
    across, down = math.ceil(LARGE[1] / columns), math.ceil(LARGE[0] / rows)
    out = np.empty((down * rows, across * columns, 3), np.uint8)
    for i in range(down * across):
        tile = tiles[i % len(tiles)][:rows, :columns]
        missing = [
            (0, side - have) for side, have in zip((rows, columns), tile.shape, strict=False)
        ]
        y, x = i // across * rows, i % across * columns
        out[y : y + rows, x : x + columns] = np.pad(tile, [*missing, (0, 0)], "symmetric")
    return np.ascontiguousarray(out[: LARGE[0], : LARGE[1]])


def write_files(folder: Path, pictures: dict[str, Pixels]) -> None:
    """Write each picture as a file of each codec, unless it is there."""
    qualities: dict[str, float] = {"rdae": QUALITY}
    for name, pixels in pictures.items():
        for codec in CODECS:
            path = folder / f"{name}.{codec}"
            if path.is_file():
                continue
            encoder = parse_spec(codec)
            encoder.load()
            if codec not in qualities:
                least = (folder / f"{name}.rdae").stat().st_size
                qualities[codec], _ = smallest_not_below(codec, pixels, least)
                print(f"{codec}: quality {qualities[codec]}")
            path.write_bytes(encoder.encode(pixels, qualities[codec]))


def timed(command: list[str]) -> tuple[float, float]:
    """Milliseconds of a process and its children: on the clock, and of the processor."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1e3, cpu * 1e3


def main() -> None:
    """Write all files, time all decoders in turn, and print medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pictures", type=Path, nargs="*", default=[PHOTO])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rdae", default="rdae", metavar="COMMAND")
    parser.add_argument("--files", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    tiles = [read_picture(path).rgb for path in args.pictures]
    with tempfile.TemporaryDirectory() as temporary:
        files = args.files or Path(temporary)
        write_files(files, {"small": tiles[0], "large": mosaic(tiles)})
        tasks = {}
        for name in ("small", "large"):
            for extension in ("ppm", "png"):
                for codec in CODECS:
                    file, output = files / f"{name}.{codec}", Path(temporary, f"out.{extension}")
                    line = commands(args.rdae, file, output)[codec]
                    what = f"{name:5} {codec:4} {file.stat().st_size:8} bytes to {extension}"
                    tasks[what] = line
        times = defaultdict(list)
        for _ in range(args.rounds + 1):
            for what, line in tasks.items():
                times[what].append(timed(line))
    print(f"medians of {args.rounds} rounds")
    for what in tasks:
        wall, cpu = (statistics.median(one) for one in zip(*times[what][1:], strict=True))
        print(f"{what} {wall:6.0f} ms {cpu:6.0f} ms of processor")


if __name__ == "__main__":
    main()

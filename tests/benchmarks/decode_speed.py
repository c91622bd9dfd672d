"""Speed of decoding, beside that of the matrix products that it consists of.

    python tests/benchmarks/decode_speed.py [--rounds 7] [--threads 1 2]

Decoded are a picture of 768x512 pixels and one of 12 megapixels (the same one mirrored), both at
quality 60, warm (called again in one process) and cold (`rdae decompress` to a PPM, from the start
of the process to its end; on all cores). Between them a float64 product of two 1024x1024 matrices
is timed on as many threads, so that whatever else the machine is doing slows both.

Printed are medians: milliseconds, megapixels per second, processor time (steadier than wall time
on a machine that others use), and the decoder's share of the product's speed: the multiplications
that it does per second over those of the product.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from rdae.codec import decode, encode
from rdae.images.picture import Picture, read_picture
from rdae.model.installed import load_model
from rdae.threads import default_threads

PHOTO = Path(__file__).parent.parent.parent / "examples" / "photo.png"
LARGE = (3000, 4000)
MATRIX = 1024


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def product(threads: int) -> Callable[[], object]:
    """A float64 product of two matrices on so many threads."""
    a, b = np.random.default_rng(0).standard_normal((2, MATRIX, MATRIX))
    out = np.empty_like(a)

    def run() -> None:
        with threadpool_limits(threads, "blas"):
            np.matmul(a, b, out=out)

    return run


def files() -> dict[str, tuple[bytes, int]]:
    """Name to the bytes of a file and its number of pixels."""
    small = read_picture(PHOTO).rgb
    rows, columns = (side - have for side, have in zip(LARGE, small.shape, strict=False))
    large = np.pad(small, ((0, rows), (0, columns), (0, 0)), "symmetric")
    result = {}
    for rgb in (small, large):
        height, width = rgb.shape[:2]
        data = encode(Picture(rgb, alpha=None, is_grey=False), quality=60).data
        result[f"{width}x{height}"] = (data, width * height)
    return result


def cold(data: bytes, folder: str) -> Callable[[], object]:
    """`rdae decompress` in a process of its own."""
    source, target = Path(folder, "picture.rd"), Path(folder, "picture.ppm")
    source.write_bytes(data)
    command = [sys.executable, "-m", "rdae", "decompress", str(source), "-f", "-o", str(target)]
    return lambda: subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    """Time everything in turn, round by round, and print medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    macs = load_model().spec.decoder_macs_per_pixel()
    coded = files()
    tasks: dict[tuple[str, str], Callable[[], object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (data, _) in coded.items():
            for n in args.threads:
                tasks[f"matmul {MATRIX}", f"{n} threads"] = product(n)
                tasks[name, f"{n} threads"] = partial(decode, data, threads=n)
            Path(folder, name).mkdir()
            tasks[name, "cold"] = cold(data, str(Path(folder, name)))
        times = defaultdict(list)
        for _ in range(args.rounds + 1):  # the first one warms up
            for task, run in tasks.items():
                times[task].append(timed(run))
    print(
        f"{macs:.0f} multiply-accumulates per pixel, {default_threads()} cores, {args.rounds} runs"
    )
    products: dict[str, float] = {}
    for (what, how), runs in times.items():
        wall, cpu = (statistics.median(values) for values in zip(*runs[1:], strict=True))
        line = f"{what:12} {how:10} {wall * 1e3:8.0f} ms"
        if what in coded:
            pixels = coded[what][1]
            line += f" {pixels / wall / 1e6:6.2f} MP/s"
            if how in products:
                share = macs * pixels / wall / products[how]
                line += f"   processor {cpu * 1e3:7.0f} ms   {share:4.0%} of the product's speed"
        else:
            products[how] = MATRIX**3 / wall
            line += f" {products[how] / 1e9:6.1f} GMAC/s"
        print(line)


if __name__ == "__main__":
    main()

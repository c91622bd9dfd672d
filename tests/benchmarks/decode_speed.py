"""Speed of decoding and encoding, warm, on every carrier of the exact arithmetic.

    python tests/benchmarks/decode_speed.py [--rounds 7] [--threads 1 2] [--carriers vnni numpy]
        [--small] [--lossless]

Decoded and encoded (effort 2) are a picture of 768x512 pixels, on every instruction set that this
machine runs and by NumPy alone, and one of 12 megapixels (the same one mirrored), on the best and
by NumPy, all at quality 60; with `--small` only the first, with `--lossless` as exact files. Tasks
take turns, so that whatever else the machine does slows all.

Printed are medians of the rounds after a first one: milliseconds on the clock, those of processor
time (steadier where others use the machine), and megapixels per second of the clock.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rdae.codec import decode, encode
from rdae.exact import kernel
from rdae.images.picture import Picture
from rdae.images.pillow import read_picture
from rdae.model.installed import load_model
from rdae.threads import default_threads

PHOTO = Path(__file__).parent.parent.parent / "examples" / "photo.png"
LARGE = (3000, 4000)
QUALITY = 60


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of a call: on the clock, and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3


def pictures() -> list[Picture]:
    """The photo, and 12 megapixels of it."""
    small = read_picture(PHOTO).rgb
    rows, columns = (side - have for side, have in zip(LARGE, small.shape, strict=False))
    large = np.pad(small, ((0, rows), (0, columns), (0, 0)), "symmetric")
    return [Picture(rgb, alpha=None, is_grey=False) for rgb in (small, large)]


def encoded(picture: Picture, threads: int | None, *, is_lossless: bool) -> bytes:
    """The file of a picture."""
    if is_lossless:
        return encode(picture, max_error=0, threads=threads).data
    return encode(picture, quality=QUALITY, threads=threads).data


def measure(
    what: str,
    picture: Picture,
    data: bytes,
    carrier: str,
    threads: int,
    *,
    is_lossless: bool,
) -> tuple[float, float]:
    """Time one decoding or encoding on a carrier."""
    kernel.select("no" if carrier == "numpy" else carrier)
    if what == "decode":
        return timed(lambda: decode(data, threads=threads))
    return timed(lambda: encoded(picture, threads, is_lossless=is_lossless))


def processor() -> str:
    """What this machine calls its processor, and what its instruction sets are."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), name)
    return f"{name}, {default_threads()} cores, load {os.getloadavg()[0]:.1f}"


def main() -> None:
    """Time everything in turn, round by round, and print medians."""
    carriers = [*reversed(kernel.instruction_sets()), "numpy"]
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--carriers", nargs="+", choices=carriers, default=carriers)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--lossless", action="store_true")
    args = parser.parse_args()
    spec = load_model().spec
    print(processor())
    print(
        f"multiply-accumulates per pixel of a lossy file: {spec.decoder_macs_per_pixel():.0f} "
        f"to decode, {spec.encoder_macs_per_pixel():.0f} more to encode"
    )
    print(f"medians of {args.rounds} rounds")
    tasks = []
    for picture in pictures()[: 1 if args.small else 2]:
        is_small = picture.height < LARGE[0]
        data = encoded(picture, None, is_lossless=args.lossless)
        some = args.carriers if is_small else sorted({args.carriers[0], args.carriers[-1]})
        tasks += [
            (what, picture, data, carrier, threads)
            for what in ("decode", "encode")
            for carrier in some
            for threads in args.threads
        ]
    times = defaultdict(list)
    for _ in range(args.rounds + 1):  # the first one warms up
        for number, task in enumerate(tasks):
            times[number].append(measure(*task, is_lossless=args.lossless))
    for number, (what, picture, _, carrier, threads) in enumerate(tasks):
        wall, cpu = (statistics.median(values) for values in zip(*times[number][1:], strict=True))
        speed = picture.width * picture.height / wall / 1e3
        print(
            f"{picture.width}x{picture.height:<5} {what}  {carrier:7} {threads} threads "
            f"{wall:8.0f} ms {cpu:8.0f} ms of processor {speed:7.2f} MP/s"
        )


if __name__ == "__main__":
    main()

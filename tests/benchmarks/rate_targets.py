"""How closely targets are met: sizes never exceeded and nearly filled, PSNRs just reached.

    python tests/benchmarks/rate_targets.py PICTURES/ [--targets 10] [--threads 2]

For every picture, sizes from 0.1 to 1.2 bits per pixel and PSNRs from 27 to 38 dB (those that the
model can reach), evenly spaced on a log and a linear scale. Every file is coded and decoded; what
is printed is measured on it. Exit code 1 if a target is missed or a larger one gave a lower point.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np

from rdae.codec import decode, read_info
from rdae.codec.encoder import Encoder
from rdae.codec.measures import PSNR
from rdae.codec.targets import encode_from, encode_within
from rdae.distortion import psnr
from rdae.errors import RateTargetError
from rdae.images.pillow import read_picture
from rdae.model.installed import load_model


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--targets", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    model = load_model()
    shortfalls, excesses, missed, unreachable = [], [], 0, 0
    for path in sorted(options.pictures.glob("*.png")):
        picture = read_picture(path)
        pixels = picture.width * picture.height
        encoder = Encoder(picture, model, threads=options.threads)
        last = -1
        for bpp in np.geomspace(0.1, 1.2, options.targets):
            wanted = math.floor(bpp * pixels / 8)
            try:
                data = encode_within(encoder, wanted)
            except RateTargetError as error:
                unreachable += 1
                missed += error.reachable <= wanted
                continue
            point = read_info(data).quality_point
            missed += len(data) > wanted or point < last
            last = point
            if point < 255:  # at the best quality there is nothing to fill the size with
                shortfalls.append(1 - len(data) / wanted)
        last = -1
        for decibels in np.linspace(27, 38, options.targets):
            try:
                data = encode_from(encoder, PSNR, decibels)
            except RateTargetError as error:
                unreachable += 1
                missed += error.reachable >= decibels
                continue
            point = read_info(data).quality_point
            reached = psnr(picture.rgb, decode(data, threads=options.threads).rgb)
            missed += reached < decibels or point < last
            last = point
            if point > 0:  # below the worst quality there is nothing to save
                excesses.append(reached - decibels)
        print(f"{path.name}: {encoder.tries} points tried for all targets", flush=True)
    print(
        f"sizes: {len(shortfalls)} below the best quality, mean shortfall "
        f"{100 * np.mean(shortfalls):.2f} %, largest {100 * np.max(shortfalls):.2f} %\n"
        f"PSNRs: {len(excesses)} above the worst quality, mean excess {np.mean(excesses):.3f} dB, "
        f"largest {np.max(excesses):.3f} dB; {unreachable} unreachable and refused\n"
        f"missed: {missed}"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

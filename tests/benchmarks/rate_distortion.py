"""Rate and distortion on a folder of lossless images, against JPEG and WebP.

    python tests/benchmarks/rate_distortion.py PHOTOS/ [--weights FILE] [--json OUT.json]

Real files, whole bytes, 8-bit PSNR over R, G and B together. A curve is the mean bpp and the mean
PSNR over the images at each setting. BD-rate: PCHIP of log(bpp) over PSNR, integrated over the
common interval (Bjøntegaard 2001, VCEG-M33); negative means fewer bits. JPEG is the better of 4:4:4
and 4:2:0 at each setting of an image: fewer bits at equal PSNR on that image's own curve.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.interpolate import PchipInterpolator

from rdae.codec import decode, encode
from rdae.picture import from_pillow
from rdae.store import load_model

QUALITIES = {
    "rdae": [2, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100],
    "jpeg 4:4:4": [5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 88, 92, 95],
    "jpeg 4:2:0": [5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 88, 92, 95],
    "webp": [1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 88, 93, 97],
}


def round_trip(
    codec: str, image: Image.Image, quality: float, weights: Path | None
) -> tuple[int, np.ndarray]:
    """Bytes of the file and the decoded pixels."""
    if codec == "rdae":
        model = load_model(weights)
        data = encode(from_pillow(image), quality=quality, model=model, threads=1).data
        return len(data), decode(data, weights=weights, threads=1).rgb
    options: dict[str, object] = {"format": "WEBP", "method": 6}
    if codec.startswith("jpeg"):
        subsampling = codec.split()[1]
        options = {"format": "JPEG", "optimize": True, "subsampling": subsampling}
    buffer = io.BytesIO()
    image.save(buffer, quality=quality, **options)
    return buffer.tell(), np.asarray(Image.open(buffer).convert("RGB"))


def measure(path: Path, weights: Path | None) -> dict[str, list[tuple[float, float]]]:
    """For each codec the `(bpp, PSNR)` of one image at each setting."""
    image = Image.open(path).convert("RGB")
    source = np.asarray(image).astype(np.float64)
    curves = {}
    for codec, qualities in QUALITIES.items():
        points = []
        for quality in qualities:
            size, pixels = round_trip(codec, image, quality, weights)
            mse = np.mean((pixels - source) ** 2)
            points.append((8 * size / (image.width * image.height), 10 * np.log10(255**2 / mse)))
        curves[codec] = points
    return curves


def log_rate(points: list[tuple[float, float]]) -> tuple[Callable, float, float]:
    """ln(bpp) as a function of PSNR, and the interval on which it is known."""
    by_psnr = sorted({psnr: bpp for bpp, psnr in points}.items())
    psnr, bpp = np.array(by_psnr).T
    return PchipInterpolator(psnr, np.log(bpp)), psnr[0], psnr[-1]


def bd_rate(points: list[tuple[float, float]], anchor: list[tuple[float, float]]) -> float:
    """Percent more (or, if negative, fewer) bits than the anchor at equal PSNR."""
    (f, low, high), (g, anchor_low, anchor_high) = log_rate(points), log_rate(anchor)
    a, b = max(low, anchor_low), min(high, anchor_high)
    grid = np.linspace(a, b, 1000)
    return 100 * (np.exp(np.mean(f(grid) - g(grid))) - 1)


def best_jpeg(curves: dict[str, list[tuple[float, float]]]) -> list[tuple[float, float]]:
    """At the PSNRs of the 4:4:4 curve, the cheaper of both samplings."""
    f, low, high = log_rate(curves["jpeg 4:2:0"])
    return [
        (min(bpp, float(np.exp(f(psnr)))) if low <= psnr <= high else bpp, psnr)
        for bpp, psnr in curves["jpeg 4:4:4"]
    ]


def main() -> None:
    """Measure, print the table, write the curves."""
    parser = argparse.ArgumentParser(description="Rate and distortion against JPEG and WebP.")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--weights", type=Path, help="instead of the default model")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    paths = sorted(args.photos.glob("*.png"))
    with ProcessPoolExecutor(args.jobs) as pool:
        images = list(pool.map(partial(measure, weights=args.weights), paths))
    mean = {
        codec: [tuple(map(float, p)) for p in np.mean([i[codec] for i in images], axis=0)]
        for codec in QUALITIES
    }
    mean["jpeg"] = [tuple(p) for p in np.mean([best_jpeg(i) for i in images], axis=0)]
    print(f"{len(paths)} images")
    for codec, points in mean.items():
        print(f"{codec:10}", "  ".join(f"{bpp:.3f}/{psnr:.2f}" for bpp, psnr in points))
    for anchor in ("jpeg", "webp"):
        per_image = [
            bd_rate(i["rdae"], best_jpeg(i) if anchor == "jpeg" else i[anchor]) for i in images
        ]
        print(
            f"BD-rate of rdae against {anchor}: {bd_rate(mean['rdae'], mean[anchor]):+.1f} % "
            f"(per image {min(per_image):+.1f} to {max(per_image):+.1f}, "
            f"mean {np.mean(per_image):+.1f})"
        )
    if args.json:
        args.json.write_text(json.dumps(mean, indent=1) + "\n")


if __name__ == "__main__":
    main()

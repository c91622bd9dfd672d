"""A summary of an evaluation such as a large run makes, from a formula: twelve codecs, 24 images.

The figures and the page have to cope with names that HTML and mathematical type would misread,
curves that nearly coincide, missing values, and curves that have only means.
"""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np

# Label, kind, rate relative to the anchor, trend of that with quality, bpp range, MP/s.
CODECS = (
    ("rdae", "ours", 0.93, 0.10, (0.17, 1.66), (0.52, 0.41)),
    ("JPEG", "codec", 1.92, -0.08, (0.25, 2.9), (51.0, 112.0)),
    ("JPEG 4:2:0", "codec", 1.61, 0.16, (0.19, 2.1), (60.0, 131.0)),
    ("JPEG 2000", "codec", 1.18, 0.03, (0.12, 2.8), (4.1, 5.2)),
    ("WebP", "codec", 1.22, 0.12, (0.16, 1.7), (1.95, 71.0)),
    ("AVIF", "codec", 1.0, 0.0, (0.07, 2.6), (0.45, 30.0)),
    ("AVIF speed 4", "codec", 0.96, 0.01, (0.07, 2.6), (0.12, 30.0)),
    ("HEIC", "codec", 0.97, 0.05, (0.08, 3.1), (0.9, 12.0)),
    ("JPEG XL", "codec", 1.12, -0.06, (0.2, 3.4), (0.8, 14.0)),
    ("VTM", "published", 0.66, 0.0, (0.05, 2.4), (None, None)),
    ("BPG <4:4:4> $x_1$", "published", 0.8, 0.0, (0.06, 3.0), (None, None)),
    ("AV1 & co", "published", 0.76, 0.02, (0.05, 2.6), (None, None)),
)
METRICS = ("psnr", "ms_ssim", "ssimulacra2")
_SCALES = {"psnr": (22.0, 9.3), "ms_ssim_db": (7.5, 9.2), "ssimulacra2": (-30.0, 66.0)}
_GRID = {"psnr": (26.5, 38.5), "ms_ssim": (11.0, 22.5), "ssimulacra2": (5.0, 82.0)}


def summary(images: int = 24) -> dict[str, Any]:
    """A summary of schema `rdae.eval-summary/1`."""
    names = [f"kodim{i:02}" for i in range(1, images + 1)]
    return {
        "schema": "rdae.eval-summary/1",
        "date": "2026-11-23T19:05:00+00:00",
        "command": "rdae eval kodak --against 'jpeg,webp' -o <b>run</b>",
        "versions": {"rdae": "0.1.0", "pillow": "13.0.0"},
        "machine": {"cpu": "a processor", "cores": 2, "jobs": 2},
        "definitions": {
            "bd_rate": "more or fewer bits",
            "bpp": "8 x bytes of the whole file / pixels of the original",
            "psnr": "10 log10(255² / MSE)",
            "ms_ssim": "MS-SSIM on 8-bit RGB",
            "ssimulacra2": "100 is identical",
        },
        "dataset": {
            "name": "kodak",
            "found": images,
            "compared": dict.fromkeys(METRICS, names),
            "extent": dict.fromkeys(METRICS, f"{images} images"),
            "megapixels": 0.393216 * images,
            "images": [
                {
                    "image": name,
                    "path": f"kodak/{name}.png",
                    "sha256": f"{i:064x}",
                    "width": 768,
                    "height": 512,
                    "lossy": "",
                    "alpha": False,
                }
                for i, name in enumerate(names)
            ],
        },
        "metrics": list(METRICS),
        "anchor": "avif",
        "codecs": [_codec(number, names) for number in range(len(CODECS))],
        "failed": 0,
        "unreadable": [],
        "skipped": {"ms_ssim": ["tiny.png: MS-SSIM needs sides of 161 pixels or more"]},
        "warnings": ["WebP: PCHIP and Akima differ by 0.6 points in psnr"],
    }


def _codec(number: int, images: list[str]) -> dict[str, Any]:
    label, kind, rate, trend, (low, high), (encode, decode) = CODECS[number]
    qualities = list(np.linspace(5, 100, 8).round()) if kind != "published" else [None] * 8
    points = [
        _point(quality, bpp, rate, trend, kind)
        for quality, bpp in zip(qualities, np.geomspace(low, high, 8), strict=True)
    ]
    return {
        "name": label.lower(),
        "label": label,
        "kind": kind,
        "settings": f"settings of {label}",
        "lossless": False,
        "source": "a file of others" if kind == "published" else None,
        "images": len(images) if kind != "published" else None,
        "transparent": [],
        "reused": 0,
        "points": points,
        "encode_mps": encode,
        "decode_mps": decode,
        "load_s": 0.2 if kind == "ours" else None,
        "cold_start_s": 0.6 if kind == "ours" else None,
        "failed": 0,
        "failures": [],
        "bd": {metric: _bd(number, metric, images) for metric in METRICS},
    }


def _point(
    quality: float | None, bpp: float, rate: float, trend: float, kind: str
) -> dict[str, Any]:
    point: dict[str, Any] = {"quality": quality, "bpp": float(bpp), "bits": None}
    effective = bpp / (rate * math.exp(trend * math.log(bpp / 0.6)))
    for key, (start, slope) in _SCALES.items():
        point[key] = start + slope * math.log2(1 + 2.4 * effective ** (0.75))
    point["ssimulacra2"] = 100 - 115 * math.exp(-0.02 * (point["ssimulacra2"] + 30))
    point["ms_ssim"] = 1 - 10 ** (-point["ms_ssim_db"] / 10)
    if kind == "published":
        point["ssimulacra2"] = None
    if kind == "ours":
        point["bits"] = {"y": bpp * 390000, "z": 4000 + 3000 * bpp, "header": 224.0}
    return point


def _bd(number: int, metric: str, images: list[str]) -> dict[str, Any]:
    label, kind, rate, trend, _, _ = CODECS[number]
    if kind == "published" and metric == "ssimulacra2":
        empty = dict.fromkeys(
            ("rate", "rate_interval", "akima", "gain", "overlap", "image_mean", "interval")
        )
        return {**empty, "overlap_share": 0.0, "images": {}, "saving": None,
                "why_not": "0 points, 4 are needed"}  # fmt: skip
    rate *= {"psnr": 1.0, "ms_ssim": 0.97, "ssimulacra2": 1.06}[metric] if label != "AVIF" else 1
    chance = random.Random(f"{label} {metric}")
    spread = 0.09 if label != "AVIF" else 0.0
    singles = {i: 100 * (rate * math.exp(chance.gauss(0, spread)) - 1) for i in images}
    mean = sum(singles.values()) / len(singles)
    grid = np.linspace(*_GRID[metric], 81)
    percent = 100 * (rate * np.exp(trend * np.linspace(-1, 1, 81)) - 1)
    measured = kind != "published"
    several = measured and len(images) > 1
    return {
        "rate": 100 * (rate - 1),
        "rate_interval": [100 * (rate - 1 + end * spread) for end in (-0.4, 0.38)]
        if several
        else None,
        "akima": 100 * (rate - 1) + 0.1,
        "gain": -5 * math.log2(rate),
        "overlap": list(_GRID[metric]),
        "overlap_share": 0.83,
        "why_not": None,
        "image_mean": mean if measured else None,
        "interval": [mean - 40 * spread, mean + 38 * spread] if several else None,
        "images": singles if measured else {},
        "saving": {
            "quality": list(grid),
            "percent": list(percent),
            "low": [p - 5 if several else None for p in percent],
            "high": [p + 5 if several else None for p in percent],
        },
    }

"""Write the fuzzer's seeds: `python tests/fuzz/make_corpus.py [NAME ...]`.

Without names all files are replaced, once per new default model; with names only those seeds are
whose names contain one of them.

The seeds are the small golden files, tiny pictures with every flag and chunk, and files with wild
symbols; all of them are valid. Run tests/golden/make.py first. The crashers are what the fuzzers
once found, made anew for the bitstream and the model of today.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import mutator
import numpy as np
from anatomy import Piece, assemble, dissect
from oracle import MAX_PIXELS

import rdae
from rdae.codec import encode
from rdae.images.picture import Picture
from rdae.images.pillow import read_picture

HERE = Path(__file__).parent
CORPUS, CRASHERS = HERE / "corpus", HERE / "crashers"
GOLDEN = HERE.parent / "golden"
PHOTO = HERE.parent.parent / "examples" / "photo.png"
_MAX_SEED_BYTES = 2500
EXACT = ("lossless", "max-error", "base")  # in the names of files that need the lossless model


def seeds() -> dict[str, bytes]:
    """Name to file."""
    files = _golden()
    rgb = read_picture(PHOTO).rgb
    for width, height in ((1, 1), (16, 16), (17, 33), (64, 64), (80, 40)):
        part = np.ascontiguousarray(rgb[200 : 200 + height, 300 : 300 + width])
        grey = np.repeat(part[:, :, 1:2], 3, axis=2)
        alpha = np.ascontiguousarray(part[:, :, 0])
        shape = f"{width}x{height}"
        for name, picture, quality in (
            ("rgb", Picture(part, None, False), 70),
            ("grey", Picture(grey, None, True, icc=b"profile"), 30),
            ("neutral", Picture(grey, None, False), 50),
            ("alpha", Picture(part, alpha, False, exif=b"MM\0*exif", xmp=b"<x/>"), 5),
        ):
            files[f"{name}-{shape}"] = encode(picture, quality=quality).data
    holes = np.random.default_rng(5).choice(np.array([40, 250], np.uint8), (16, 100))  # as WebP
    thin = Picture(np.ascontiguousarray(rgb[:16, :100]), holes, False)
    files["alpha-webp-100x16"] = encode(thin, quality=5).data
    for seed in range(40):
        files[f"wild-{seed}"] = mutator.wild_file(random.Random(seed))
    return _small(files)


def lossless_seeds() -> dict[str, bytes]:
    """The same of lossless and near-lossless files, some with a lossy picture first."""
    files = {}
    rgb = read_picture(PHOTO).rgb
    for width, height in ((1, 1), (17, 9), (30, 22)):
        part = np.ascontiguousarray(rgb[200 : 200 + height, 370 : 370 + width])
        grey = np.repeat(part[:, :, 1:2], 3, axis=2)
        alpha = np.ascontiguousarray(part[:, :, 0])
        shape = f"{width}x{height}"
        for name, picture, most in (
            ("rgb", Picture(part, None, False), 0),
            ("grey", Picture(grey, None, True, icc=b"profile"), 1),
            ("neutral", Picture(grey, None, False), 0),
            ("alpha", Picture(part, alpha, False, exif=b"MM\0*exif", xmp=b"<x/>"), 15),
        ):
            files[f"lossless-{name}-{shape}"] = encode(picture, max_error=most).data
        for name, picture, most in (
            ("rgb", Picture(part, alpha, False), 0),
            ("grey", Picture(grey, None, True, icc=b"profile"), 1),
        ):
            data = encode(picture, max_error=most, base=30).data
            files[f"base-{name}-{shape}"] = data
    values = np.array([0, 9, 80, 255], np.uint8)
    drawing, holes = np.resize(values, (9, 1100, 3)), np.resize(values[1:], (9, 1100))
    for name, picture in (
        ("rgb", Picture(drawing, None, False)),
        ("alpha", Picture(drawing, holes, False)),
    ):
        files[f"lossless-undivided-{name}"] = encode(picture, max_error=0).data
    for seed in range(8):
        data = mutator.wild_base_file(random.Random(seed), longest=100 if seed % 4 == 0 else 12)
        files[f"base-wild-{seed}"] = data
    for seed in range(24):
        data = mutator.wild_lossless_file(random.Random(seed), longest=100 if seed % 4 == 0 else 12)
        files[f"lossless-wild-{seed}"] = data
    return _small(files)


def _golden() -> dict[str, bytes]:
    """The golden files."""
    return {f"golden-{path.stem}": path.read_bytes() for path in sorted(GOLDEN.glob("*.rd"))}


def _small(files: dict[str, bytes]) -> dict[str, bytes]:
    """Those of few bytes, and of no more pixels than the oracle decodes."""
    return {name: data for name, data in files.items() if _is_small(data)}


def _is_small(data: bytes) -> bool:
    info = rdae.read_info(data)
    return len(data) <= _MAX_SEED_BYTES and info.width * info.height <= MAX_PIXELS


def crashers() -> dict[str, bytes]:
    """Name to file."""
    rgb = np.ascontiguousarray(np.tile(read_picture(PHOTO).rgb[200:207], (1, 2, 1))[:, :1030])
    thin = dissect(encode(Picture(rgb, None, False), quality=0).data)
    one = dissect(encode(Picture(rgb[:1, :1], rgb[:1, :1, 0], False), quality=70).data)
    assert thin is not None and one is not None
    thin.chunks[-1].crc = 0
    one.chunks[1:1] = [Piece(ord("k"), b"", 0x8ABD575D)] * 65
    found = {"thin-and-a-tile-broken": thin, "one-fault-in-many-chunks": one}
    return {name: assemble(anatomy) for name, anatomy in found.items()}


def main(names: list[str]) -> None:
    """Replace corpus and crashers, or the seeds whose names contain one of these."""
    if names:
        is_exact = all(any(kind in name for kind in EXACT) for name in names)
        every = _small(_golden()) if is_exact else seeds()
        for name, data in (every | lossless_seeds()).items():
            if any(part in name for part in names):
                (CORPUS / f"{name}.rd").write_bytes(data)
        return
    for folder, files in ((CORPUS, seeds() | lossless_seeds()), (CRASHERS, crashers())):
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.rd"):
            old.unlink()
        for name, data in files.items():
            (folder / f"{name}.rd").write_bytes(data)


if __name__ == "__main__":
    main(sys.argv[1:])

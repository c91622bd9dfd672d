"""Details of pictures at equal bytes, ours and another codec's, that do not say which is which.

    python -m tests.benchmarks.blind_pairs draw avif KODAK/ PAIRS/ --pairs 12 --seed 1
    python -m tests.benchmarks.blind_pairs count PAIRS/ LRRLLR...

The first writes 0.png, 1.png and so on: the source, then two decoded details, in either order; look
at them, and write down for each whether the left or the right one comes nearer to the source. The
second opens the key, PAIRS/key.json, and prints what was chosen. The other codec is a spec of
`rdae eval`; it has the lowest quality that takes no fewer bytes than the rate that was drawn, and
ours the best one that takes no more than that file. Details are twice as large as in the picture.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import rdae
from rdae.evaluation.codecs import parse_spec
from tests.benchmarks.side_by_side import smallest_not_below

RATES = (0.15, 0.25, 0.4, 0.6)  # bits per pixel
SIDE, GAP = 256, 8
LEAST_DEVIATION = 25  # of the luma of a detail in which there is something to see
ATTEMPTS = 50


def detail(pixels: NDArray[np.uint8], rng: random.Random) -> tuple[int, int, int, int]:
    """Where to look: left, top, right, bottom."""
    luma = np.asarray(Image.fromarray(pixels).convert("L"))
    rows, columns = luma.shape
    for _ in range(ATTEMPTS):
        x, y = rng.randint(0, max(0, columns - SIDE)), rng.randint(0, max(0, rows - SIDE))
        if luma[y : y + SIDE, x : x + SIDE].std() > LEAST_DEVIATION:
            break
    return x, y, x + SIDE, y + SIDE


def draw_pair(spec: str, file: Path, rng: random.Random) -> tuple[Image.Image, dict[str, object]]:
    """The sheet of a pair, and what is on it."""
    pixels = np.asarray(Image.open(file).convert("RGB"))
    rate = rng.choice(RATES)
    _, data = smallest_not_below(spec, pixels, int(rate * pixels.size / 24))
    ours = rdae.compress(pixels, target_size=len(data))
    decoded = [np.asarray(rdae.decompress(ours)), parse_spec(spec).decode(data)]
    names = ["rdae", spec]
    if rng.random() < 0.5:
        decoded.reverse()
        names.reverse()
    box = detail(pixels, rng)
    sheet = Image.new("RGB", (3 * (2 * SIDE + GAP) - GAP, 2 * SIDE), "white")
    for i, version in enumerate((pixels, *decoded)):
        part = Image.fromarray(version).crop(box).resize((2 * SIDE, 2 * SIDE))
        sheet.paste(part, (i * (2 * SIDE + GAP), 0))
    return sheet, {
        "file": file.name,
        "rate": rate,
        "bytes": {"rdae": len(ours), spec: len(data)},
        "left": names[0],
        "right": names[1],
    }


def draw(spec: str, folder: Path, out: Path, pairs: int, seed: int) -> None:
    """Draw pairs of pictures of a folder, and write the key."""
    rng = random.Random(seed)
    files = sorted(file for file in folder.iterdir() if file.suffix == ".png")
    out.mkdir(parents=True, exist_ok=True)
    key = []
    for i, file in enumerate(rng.sample(files, pairs)):
        sheet, entry = draw_pair(spec, file, rng)
        sheet.save(out / f"{i}.png")
        key.append(entry)
    (out / "key.json").write_text(json.dumps(key, indent=1) + "\n")


def count(out: Path, choices: str) -> None:
    """Print what was chosen, pair by pair and in all."""
    key = json.loads((out / "key.json").read_text())
    if len(choices) != len(key) or set(choices) - set("LR"):
        raise SystemExit(f"there are {len(key)} pairs: as many letters, each L or R")
    chosen = []
    for i, (choice, pair) in enumerate(zip(choices, key, strict=True)):
        chosen.append(pair["left" if choice == "L" else "right"])
        print(i, pair["file"], pair["rate"], pair["bytes"], "->", chosen[-1])
    print(dict(Counter(chosen)))


def main() -> None:
    """Draw pairs, or count choices."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = commands.add_parser("draw")
    drawing.add_argument("spec")
    drawing.add_argument("folder", type=Path)
    drawing.add_argument("out", type=Path)
    drawing.add_argument("--pairs", type=int, default=12)
    drawing.add_argument("--seed", type=int, default=0)
    counting = commands.add_parser("count")
    counting.add_argument("out", type=Path)
    counting.add_argument("choices")
    given = parser.parse_args()
    if given.command == "draw":
        draw(given.spec, given.folder, given.out, given.pairs, given.seed)
    else:
        count(given.out, given.choices)


if __name__ == "__main__":
    main()

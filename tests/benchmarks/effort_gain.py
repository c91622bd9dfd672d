"""What each effort gains and what it costs, as a table and a figure.

    E=10/35/60/85
    rdae eval PICTURES/ -q 10,35,60,85 --against rdae:effort=1:quality=$E,rdae:effort=5:quality=$E \
        --metric psnr --no-report -o RESULTS
    python tests/benchmarks/effort_gain.py PICTURE docs/effort.svg RESULTS...

Gains come from folders of `rdae eval`, each with effort 1 among its codecs: BD-rate (PSNR) of
whole files picture by picture, then the mean. Seconds are measured here, on PICTURE at quality 60
with one thread a core: medians of 3 runs, 1 run from effort 7 on.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from rdae.codec import encode
from rdae.evaluation.bd_rate import compare
from rdae.evaluation.experiment import ROWS_FILE
from rdae.evaluation.report.figure_style import look, new_figure, to_svg
from rdae.images.picture import read_picture
from rdae.scales import DEFAULT_EFFORT, REFINED_EFFORT

RUNS, SLOW_EFFORT = 3, 7


def gains(folder: Path) -> dict[int, list[float]]:
    """BD-rates against effort 1 in percent, one for each picture of a folder of results."""
    points = defaultdict(list)  # of (effort, picture)
    for line in (folder / ROWS_FILE).read_text().splitlines():
        row = json.loads(line)
        if row.get("ok") and str(row.get("codec", "")).startswith("rdae"):
            _, _, effort = row["codec"].partition(":effort=")
            key = int(effort) if effort else DEFAULT_EFFORT
            points[key, row["image"]].append((row["bpp"], row["psnr"]))
    found = defaultdict(list)
    for (effort, image), curve in points.items():
        anchor = points[1, image]
        if effort == 1 or len(curve) < len(anchor):
            continue
        delta = compare(*np.array(curve).T, *np.array(anchor).T).rate
        if delta is not None:
            found[effort].append(delta)
    return found


def main() -> None:
    picture_path, output, *folders = map(Path, sys.argv[1:])
    found: dict[int, list[float]] = {1: [0.0]}
    for folder in folders:
        for effort, deltas in gains(folder).items():
            if len(deltas) > len(found.get(effort, [])):  # the run with more pictures counts
                found[effort] = deltas
    picture = read_picture(picture_path)
    encode(picture, effort=REFINED_EFFORT)  # imports torch, loads the networks
    seconds = {}
    for effort in sorted(found):
        runs = 1 if effort >= SLOW_EFFORT else RUNS
        times = [encode(picture, effort=effort).encode_s for _ in range(runs)]
        seconds[effort] = statistics.median(times)
        count = len(found[effort]) if effort > 1 else 0
        mean = statistics.mean(found[effort])
        print(f"effort {effort}: {mean:+.1f} % ({count} pictures)  {seconds[effort]:.2f} s")
    with look():
        figure = new_figure(6.4, 3.6)
        axes = figure.add_subplot()
        efforts = sorted(found)
        gain = [-statistics.mean(found[effort]) for effort in efforts]
        axes.plot([seconds[e] for e in efforts], gain, marker="o")
        for effort, value in zip(efforts, gain, strict=True):
            label = f"-e {effort}" + (f" ({len(found[effort])})" if effort > 1 else "")
            axes.annotate(label, (seconds[effort], value), (6, -11), textcoords="offset points")
        axes.set_xscale("log")
        axes.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])  # as text, not as formulas
        size = f"{picture.width}x{picture.height}"
        axes.set_xlabel(f"seconds to encode {size} pixels, two cores")
        axes.set_ylabel("bits saved at equal PSNR, % (pictures)")
        axes.set_ylim(bottom=-0.5)
        figure.tight_layout()
        description = "Bits saved over effort 1 against the seconds that an encoding takes"
        output.write_text(to_svg(figure, "effort", description) + "\n")


if __name__ == "__main__":
    main()

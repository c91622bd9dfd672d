"""At which quality point photographs have which SSIMULACRA2: the scale of `-q`.

    rdae eval PICTURES/ -q 0:100:10 --metric ssimulacra2 --no-report -o RESULTS
    python tests/benchmarks/quality_scale.py RESULTS

Prints the points of qualities 0, 10, ..., 100 for `rdae/scales.py`: from 30 to 90 those where the
mean over all pictures is the quality itself, below in equal steps from 0, and 255 for 100.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from rdae.evaluation.experiment import ROWS_FILE
from rdae.scales import NUM_POINTS, quality_to_point

MEASURED = range(30, 100, 10)


def mean_scores(folder: Path) -> dict[int, float]:
    """Quality point to mean SSIMULACRA2, of rdae's rows in a folder of results."""
    scores = defaultdict(list)
    for line in (folder / ROWS_FILE).read_text().splitlines():
        row = json.loads(line)
        if row.get("ok") and str(row["codec"]).partition(":")[0] == "rdae":
            scores[quality_to_point(row["quality"])].append(row["ssimulacra2"])
    return {point: float(np.mean(scores[point])) for point in sorted(scores)}


def main() -> None:
    found = mean_scores(Path(sys.argv[1]))
    for point, score in found.items():
        print(f"point {point:3d}: SSIMULACRA2 {score:6.2f}")
    points = np.interp(MEASURED, list(found.values()), list(found))
    scale = [*np.linspace(0, points[0], 4)[:-1], *points, NUM_POINTS - 1]
    print(", ".join(str(round(point)) for point in scale))


if __name__ == "__main__":
    main()

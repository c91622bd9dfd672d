"""Wall time of a cold `rdae decompress` against a cold process that decodes with CompressAI.

    python tests/benchmarks/cold_start.py [RDAE]

Both decode the same 768x512 picture from bytes in a new Python process; CompressAI's model is
mbt2018_mean, quality 6 (about the rate of our quality 60) with random weights, since its trained
ones need a download. The two run in turn; medians are printed. RDAE is the command to time, for
example of an environment that has the base install only.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PHOTO = Path(__file__).parent.parent.parent / "examples" / "photo.png"
RUNS = 5

PREPARE = """
import sys, torch
from PIL import Image
import numpy as np
from compressai.zoo import mbt2018_mean
torch.manual_seed(0)
model = mbt2018_mean(6, pretrained=False).eval()
model.update()
x = torch.from_numpy(np.array(Image.open(sys.argv[1]).convert("RGB"))).permute(2, 0, 1)[None] / 255
with torch.no_grad():
    torch.save((model.state_dict(), model.compress(x)), sys.argv[2])
"""

DECODE = """
import sys, torch
from PIL import Image
from compressai.zoo import mbt2018_mean
state, coded = torch.load(sys.argv[1], weights_only=True)
model = mbt2018_mean(6, pretrained=False).eval()
model.load_state_dict(state)
with torch.no_grad():
    x = model.decompress(**coded)["x_hat"][0]
x = (x.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
Image.fromarray(x).save(sys.argv[2])
"""


def timed(command: list[str]) -> float:
    """Seconds from start to end of a process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Prepare both files, then time the decoders in turn."""
    rdae = [sys.argv[1]] if len(sys.argv) > 1 else [sys.executable, "-m", "rdae"]
    photo = str(PHOTO)
    with tempfile.TemporaryDirectory() as folder:
        rd, coded, out = (str(Path(folder, name)) for name in ("a.rd", "a.pt", "a.png"))
        subprocess.run([*rdae, "compress", photo, "-o", rd], check=True)
        subprocess.run([sys.executable, "-W", "ignore", "-c", PREPARE, photo, coded], check=True)
        ours, theirs = [], []
        for _ in range(RUNS + 1):  # the first one warms the file cache
            ours.append(timed([*rdae, "decompress", rd, "-f", "-o", out]))
            theirs.append(timed([sys.executable, "-W", "ignore", "-c", DECODE, coded, out]))
        a, b = statistics.median(ours[1:]), statistics.median(theirs[1:])
        print(f"rdae {a:.2f} s, CompressAI {b:.2f} s, ratio {a / b:.3f}")


if __name__ == "__main__":
    main()

"""The models of CompressAI's zoo, measured like any other codec: whole files, 8-bit pixels.

CompressAI has strings but no file; here they are put in one: magic, width and height, the shape of
z, and each string with its length. So its sizes are about 20 bytes above those of
papers, which count the strings alone. Nothing is downloaded: the weights must lie where
torch.hub would have put them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from rdae.errors import MissingDependencyError, WeightsNotFoundError
from rdae.evaluation.protocol import SpecError
from rdae.extras import install_hint
from rdae.images.transparency import Pixels

_MAGIC = b"CZOO"
_STRIDE = 64  # all of the zoo's networks take sides that are multiples of this


class ZooCodec:
    """One model of the zoo at the qualities whose weights are on this machine."""

    kind = "codec"
    lossless = False
    has_model = True
    holds_alpha = False

    def __init__(self, model: str, metric: str, qualities: Sequence[float]) -> None:
        """Find the weights.

        Args:
            model: name in the zoo, as mbt2018-mean.
            metric: what it was trained for: mse or ms-ssim.
            qualities: those to measure; all that are here if empty.

        Raises:
            MissingDependencyError: CompressAI or torch is not installed.
            SpecError: no such model or metric.
            WeightsNotFoundError: not a single quality's weights are here.
        """
        if missing := [p for p in ("torch", "compressai") if find_spec(p) is None]:
            raise MissingDependencyError(
                f"compressai:{model} needs {', '.join(missing)}", hint=install_hint("train")
            )
        # Spinning OpenMP threads slow a loaded machine down; must be set before torch loads.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch
        from compressai.zoo import image as zoo

        torch.set_num_threads(1)
        if metric not in zoo.model_urls.get(model, {}):
            known = ", ".join(f"compressai:{name}" for name in zoo.model_urls)
            what = model if model not in zoo.model_urls else f"{model} for {metric}"
            raise SpecError(f"CompressAI's zoo has no {what or 'model without a name'}", hint=known)
        folder = Path(torch.hub.get_dir(), "checkpoints")
        names = {q: Path(url).name for q, url in zoo.model_urls[model][metric].items()}
        self._files = {float(q): folder / n for q, n in names.items() if (folder / n).is_file()}
        if not self._files:
            raise WeightsNotFoundError(
                f"the weights of compressai:{model} are not on this machine",
                hint=f"nothing is downloaded; put {names[min(names)]} and its like in {folder}",
            )
        suffix = "" if metric == "mse" else f":metric={metric}"
        self.name, self.label = f"compressai:{model}{suffix}", f"{model} {metric}"
        self.settings = f"trained for {metric}, compressai {version('compressai')}"
        self.qualities = tuple(qualities) or tuple(sorted(self._files))
        self._model = model
        self._networks: dict[float, Any] = {}

    def load(self) -> None:
        """Load the network of the middle quality; each quality has its own."""
        self._network(self.qualities[len(self.qualities) // 2])

    def check_quality(self, quality: float) -> None:
        """Raise SpecError if there are no weights for the quality."""
        if quality not in self._files:
            have = ", ".join(f"{q:g}" for q in self._files)
            raise SpecError(f"{self.name} is here with qualities {have}, not {quality:g}")

    def _network(self, quality: float) -> Any:
        if quality not in self._networks:
            import torch
            from compressai.zoo import image as zoo
            from compressai.zoo.pretrained import load_pretrained

            state = torch.load(self._files[quality], map_location="cpu", weights_only=True)
            network = zoo.model_architectures[self._model].from_state_dict(load_pretrained(state))
            network.eval()
            network.update()
            self._networks[quality] = network
        return self._networks[quality]

    def encode(self, pixels: Pixels, quality: float) -> bytes:
        """Return the strings in a file."""
        import torch

        height, width = pixels.shape[:2]
        padding = ((0, -height % _STRIDE), (0, -width % _STRIDE), (0, 0))
        padded = np.pad(pixels, padding, mode="edge").astype(np.float32) / 255
        x = torch.from_numpy(padded.transpose(2, 0, 1)[None].copy())
        with torch.no_grad():
            out = self._network(quality).compress(x)
        strings = [string[0] for string in out["strings"]]
        rows, columns = (int(n) for n in out["shape"])
        head = struct.pack("<HHHHBB", width, height, rows, columns, int(quality), len(strings))
        parts = [struct.pack("<I", len(string)) + string for string in strings]
        return b"".join([_MAGIC, head, *parts])

    def decode(self, data: bytes) -> Pixels:
        """Return the pixels, rounded to 8 bits.

        Raises:
            ValueError: these are not the bytes of such a file.
        """
        import torch

        if not data.startswith(_MAGIC):
            raise ValueError("not a file of the zoo")
        at = len(_MAGIC) + struct.calcsize("<HHHHBB")
        fields = struct.unpack("<HHHHBB", data[len(_MAGIC) : at])
        width, height, rows, columns, quality, count = fields
        strings = []
        for _ in range(count):
            (length,) = struct.unpack_from("<I", data, at)
            strings.append([data[at + 4 : at + 4 + length]])
            at += 4 + length
        if at != len(data):
            raise ValueError("bytes are missing, or left over")
        with torch.no_grad():
            out = self._network(float(quality)).decompress(strings, (rows, columns))
        pixels = out["x_hat"][0].clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
        return np.ascontiguousarray(pixels.transpose(1, 2, 0)[:height, :width])

    def bits(self, data: bytes) -> None:
        """Not all models of the zoo have the same parts."""

    def cold_command(self, source: Path, output: Path) -> None:
        """There is no command that decodes such a file."""

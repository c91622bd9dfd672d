"""The lossless model: its networks and tables, loaded from a weights file and proved exact."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.errors import WeightsMismatchError, WeightsNotFoundError, option
from rdae.exact.layers import Around, Linear
from rdae.exact.network import ExactNetwork, exact_steps, take
from rdae.exact.stages import Add, Concatenate, Step
from rdae.lossless.networks import AROUND, NUM_COLOURS, NUM_PASSES, OWN_LEVELS, networks
from rdae.lossless.tables import NUM_SCALES, NUM_SHAPES, Mixtures
from rdae.tensor_file import read_tensors, way_out

Array = NDArray[Any]

FORMAT = "lossless 2"
MAX_CHANNELS = 256


class _Watched(Mapping[str, Array]):
    """Tensors by their names, and which of them were asked for."""

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        self._tensors = tensors
        self.left = set(tensors)

    def __getitem__(self, name: str) -> Array:
        self.left.discard(name)
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


class Level:
    """The networks of one level.

    Attributes:
        same: `(3 passes, 3)` what a decoded colour's difference adds to a later one's mean, in
            2^-12: green to red, green to blue, red to blue.
    """

    def __init__(self, path: str, channels: int, hidden: int, tensors: Mapping[str, Array]) -> None:
        spec = networks(channels, hidden)
        steps = {
            name: exact_steps(layers, f"{path}.{name}", tensors) for name, layers in spec.items()
        }
        self._begin = ExactNetwork([Around(1), *steps["begin"]])
        self._linear = [
            ExactNetwork([Around(1), *_references_first(steps[f"linear.{p}"], p)])
            for p in range(NUM_PASSES)
        ]
        self._passes = []
        for p in range(NUM_PASSES):
            seen: list[Step] = [Around(1), Concatenate()] if p else []
            layers = [*seen, *steps[f"pass.{p}"], Add(), *steps[f"block.{p}"]]
            self._passes.append(ExactNetwork(layers))
        self._heads = [
            [ExactNetwork([Concatenate(), *steps[f"head.{p}.{k}"]]) for k in range(NUM_COLOURS)]
            for p in range(NUM_PASSES)
        ]
        self.same = take(tensors, f"{path}.same", "int16", (NUM_PASSES, 3)).astype(np.int32)

    def begin(self, references: Array, threads: int) -> NDArray[np.int16]:
        """Features from the references of all cells, `(rows, columns, 12)`."""
        return self._begin(references, 0, threads)

    def linear(self, number: int, known: Array, threads: int) -> NDArray[np.int16]:
        """What the generic filter adds to the references of a pass, `(rows, columns, 3)`.

        Args:
            number: of the pass.
            known: of all cells, references and differences of the passes before.
            threads: how many to use.
        """
        return self._linear[number](known, 0, threads)

    def go_on(self, number: int, h: Array, added: Array | None, threads: int) -> NDArray[np.int16]:
        """The features for a pass, from those before and what the last pass added."""
        inputs = [h, h] if added is None else [h, h, added]
        return self._passes[number](inputs, 0, threads)

    def head(
        self, number: int, colour: int, h: Array, errors: Array, threads: int
    ) -> NDArray[np.int16]:
        """Mean, scale and shape, and factors of errors, of the colour coded as number `colour`."""
        return self._heads[number][colour]([h, errors], 0, threads)


def _references_first(steps: list[Step], number: int) -> list[Step]:
    """The generic filter of a pass, on cells whose differences stand behind the references."""
    (layer,) = steps
    assert isinstance(layer, Linear)
    m = layer.mantissa
    cells = np.roll(m.reshape(AROUND, -1, m.shape[1]), -NUM_COLOURS * number, axis=1)
    mantissa = np.ascontiguousarray(cells.reshape(m.shape))
    return [Linear(mantissa, layer.bias, layer.shift, layer.leak)]


class LosslessModel:
    """A loaded lossless model.

    Attributes:
        model_id: permanent number, as in a file's header.
        name: of the model.
        fingerprint: 4 bytes, as in a file's header.
        provenance: how it was trained.
        mixtures: the tables of residuals.
        inverse: `(48,)` int32, for each scale what makes an error in 1/128 level a normalised one
            in 1/4096: the product is divided by 2^6.
    """

    def __init__(self, content: dict[str, Any], tensors: dict[str, Array]) -> None:
        """Build the networks and prove them exact.

        Raises:
            WeightsMismatchError: a tensor is missing, superfluous, malformed, or fails the proof.
        """
        self.model_id, self.name = content["id"], content["name"]
        self.provenance = content["provenance"]
        channels, hidden = content["channels"], content["hidden"]
        if type(self.model_id) is not int or not isinstance(self.name, str):
            raise WeightsMismatchError("a model's id is a number, its name a text")
        if not all(type(c) is int and 1 <= c <= MAX_CHANNELS for c in (channels, hidden)):
            raise WeightsMismatchError("a lossless model has 1 to 256 channels")
        self.fingerprint = _fingerprint(channels, hidden, tensors)
        named = _Watched(tensors)
        self._levels = [Level(f"level.{i}", channels, hidden, named) for i in range(OWN_LEVELS)]
        self.inverse = take(named, "scales.error", "int16", (NUM_SCALES,)).astype(np.int32)
        normal = named.get("tables.normal", np.zeros(0, np.int32))
        if normal.dtype != np.int32 or normal.ndim != 1 or normal.size < 2:
            raise WeightsMismatchError("tensor tables.normal is no list of int32")
        try:
            self.mixtures = Mixtures(
                normal,
                take(named, "tables.inverse", "int32", (NUM_SCALES, 2)),
                take(named, "tables.weight", "int32", (NUM_SHAPES,)),
                take(named, "tables.reach", "int32", (NUM_SCALES,)),
            )
        except ValueError as error:
            raise WeightsMismatchError(f"the tables of residuals: {error}") from error
        if named.left:  # it would change the fingerprint, and no pixel
            name = min(named.left)
            raise WeightsMismatchError(f"tensor {name[:40]!r} is no part of a lossless model")

    @classmethod
    def load(cls, path: Path) -> LosslessModel:
        """Load a weights file.

        Raises:
            WeightsNotFoundError: there is no such file.
            WeightsMismatchError: it is damaged or fails the proof.
        """
        if not path.is_file():
            raise WeightsNotFoundError(f"there is no weights file {path}")
        try:
            content, tensors = read_tensors(path, only_metadata=False)
            if content["format"] != FORMAT:
                raise WeightsMismatchError(
                    f"{path} has no weights of {FORMAT}",
                    hint=f"leave out {option('weights', 'FILE')}, unless it has the lossless model "
                    "that wrote the file",
                )
            return cls(content, tensors)
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsMismatchError(
                f"{path} is not a weights file of a lossless model ({error})",
                hint=way_out(path),
            ) from error

    def level(self, number: int) -> Level:
        """The networks of a level of the pyramid."""
        return self._levels[min(number, OWN_LEVELS - 1)]


def read_sizes(path: Path) -> tuple[int, int, dict[str, Any]]:
    """Channels, hidden channels and provenance of a weights file, without its tensors.

    Raises:
        WeightsNotFoundError: there is no such file.
        WeightsMismatchError: it is no weights file of a lossless model.
    """
    if not path.is_file():
        raise WeightsNotFoundError(f"there is no weights file {path}")
    try:
        content, _ = read_tensors(path, only_metadata=True)
        if content["format"] != FORMAT:
            raise ValueError(f"it has no weights of {FORMAT}")
        return int(content["channels"]), int(content["hidden"]), dict(content["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsMismatchError(
            f"{path} is not a weights file of a lossless model ({error})", hint=way_out(path)
        ) from error


def is_lossless(path: Path) -> bool:
    """Whether a weights file says that it is one of a lossless model."""
    try:
        content, _ = read_tensors(path, only_metadata=True)
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def _fingerprint(channels: int, hidden: int, tensors: dict[str, Array]) -> bytes:
    """The first 4 bytes of a SHA-256 over all that decides what a file decodes to."""
    digest = hashlib.sha256(f"{FORMAT} {channels} {hidden}\n".encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        little = tensor.astype(tensor.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {tensor.dtype.name} {list(tensor.shape)}\n".encode())
        digest.update(np.ascontiguousarray(little).tobytes())
    return digest.digest()[:4]

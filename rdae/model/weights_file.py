"""Weights files: integer tensors and a description, in safetensors format.

The metadata key `rdae` holds JSON: `format`, `id` (permanent number of the model), `name`, `spec`
(the network spec) and `provenance`. FORMAT.md, section "Model", names the tensors. No pickle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.errors import WeightsMismatchError, WeightsNotFoundError
from rdae.model.spec import ENCODER_SECTIONS, ModelSpec
from rdae.tensor_file import read_tensors, way_out, write_tensors

FORMAT = 2
# Tensors that only an encoder reads; all others decide what a file decodes to.
ENCODER_TENSORS = (*(f"{section}." for section in ENCODER_SECTIONS), "y.gain", "z.gain")
MAX_NAME = 64  # characters
UNIT = ".unit"  # what integers stand for in real units: for encoders and for training


@dataclass(frozen=True)
class Description:
    """What a weights file says of itself.

    Attributes:
        model_id: permanent number, 1 to 255.
        name: short name, as in `rdae compress -m NAME`.
        spec: the networks.
        provenance: training data, steps, lambda range, date, rate-distortion points.
    """

    model_id: int
    name: str
    spec: ModelSpec
    provenance: dict[str, Any]

    def validate(self) -> None:
        """Check the fields that a spec does not check itself.

        Raises:
            ValueError: naming the field.
        """
        if type(self.model_id) is not int or not 1 <= self.model_id <= 255:
            raise ValueError(f"the model's id is {self.model_id!r:.20}, it must be 1 to 255")
        name = self.name
        if not (isinstance(name, str) and 1 <= len(name) <= MAX_NAME and name.isprintable()):
            raise ValueError(f"a model's name has 1 to {MAX_NAME} letters, {name!r:.20} has not")
        if not isinstance(self.provenance, dict):
            raise ValueError("the model's provenance is not an object")
        for key, is_right in _PROVENANCE.items():
            if key in self.provenance and not is_right(self.provenance[key]):
                raise ValueError(f"{key} of the model's provenance is not what it must be")


def write_weights(path: Path, description: Description, tensors: dict[str, NDArray[Any]]) -> None:
    """Write a weights file; it appears under its name only when it is complete."""
    description.validate()
    content = {
        "format": FORMAT,
        "id": description.model_id,
        "name": description.name,
        "spec": json.loads(description.spec.to_json()),
        "provenance": description.provenance,
    }
    write_tensors(path, content, tensors)


def read_description(path: Path) -> Description:
    """Read what a weights file says of itself, without its tensors.

    Raises:
        WeightsNotFoundError: there is no such file.
        WeightsMismatchError: it is not a weights file of rdae.
    """
    return _read(path, with_tensors=False)[0]


def read_weights(path: Path) -> tuple[Description, dict[str, NDArray[Any]]]:
    """Read a whole weights file.

    Raises:
        WeightsNotFoundError: there is no such file.
        WeightsMismatchError: it is not a weights file of rdae.
    """
    return _read(path, with_tensors=True)


def _read(path: Path, *, with_tensors: bool) -> tuple[Description, dict[str, NDArray[Any]]]:
    if not path.is_file():
        raise WeightsNotFoundError(f"there is no weights file {path}")
    try:
        content, tensors = read_tensors(path, only_metadata=not with_tensors)
        if str(content["format"]).startswith("lossless"):
            raise WeightsMismatchError(
                f"{path} has the weights of a lossless model",
                hint="it only decodes lossless files, and rdae writes those with its own one",
            )
        if content["format"] != FORMAT:
            raise WeightsMismatchError(
                f"{path} has weights of format {content['format']!r:.20}, this rdae reads {FORMAT}",
                hint="upgrade rdae",
            )
        spec = ModelSpec.from_json(json.dumps(content["spec"]))
        description = Description(content["id"], content["name"], spec, content["provenance"])
        description.validate()
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, WeightsMismatchError):
            raise
        raise WeightsMismatchError(
            f"{path} is not a weights file of rdae, or a damaged one ({error})",
            hint=way_out(path),
        ) from error
    return description, tensors


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and _are_numbers(value)
        and 0 < value[0] < value[1]
    )


def _are_points(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(point, dict) and _are_numbers(map(point.get, ("quality", "bpp", "psnr")))
        for point in value
    )


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _are_numbers(values: Iterable[Any]) -> bool:
    return all(type(value) in (int, float) for value in values)


# What is computed with; other keys are only shown.
_PROVENANCE: dict[str, Callable[[Any], bool]] = {
    "lambda_range": _is_range,
    "photo_sha256": _are_texts,
    "rd_points": _are_points,
}


def fingerprint(spec: ModelSpec, tensors: dict[str, NDArray[Any]]) -> bytes:
    """The first 4 bytes of a SHA-256 over everything that decides what a file decodes to.

    Hashed are the canonical JSON of the decoder's sections and, sorted by name, name, type, shape
    and little-endian bytes of each of the decoder's tensors: a better encoder for the same decoder
    keeps the fingerprint.
    """
    decoder = {k: v for k, v in vars(spec).items() if k not in (*ENCODER_SECTIONS, "roles")}
    digest = hashlib.sha256(json.dumps(decoder, sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(tensors):
        if not name.startswith(ENCODER_TENSORS) and not name.endswith(UNIT):
            tensor = tensors[name]
            little = tensor.astype(tensor.dtype.newbyteorder("<"), copy=False)
            digest.update(f"{name} {tensor.dtype.name} {list(tensor.shape)}\n".encode())
            digest.update(np.ascontiguousarray(little).tobytes())
    return digest.digest()[:4]

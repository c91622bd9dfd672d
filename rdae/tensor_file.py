"""Safetensors files: a header of JSON, and arrays one behind the other; read under limits.

A file may come from anyone, so nothing in it is believed before it is checked: the header's length
is bounded, arrays must fill the rest of the file without gaps or overlaps, so that they take no
more memory than the file, and JSON of any kind either reads well or is a `ValueError`. FORMAT.md,
section 9, is the definition.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.files import atomic_write
from rdae.limits import MAX_TENSORS, MAX_WEIGHTS_BYTES, MAX_WEIGHTS_HEADER_BYTES

_TYPES = {"I8": "i1", "U8": "u1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "F32": "<f4"}
_LENGTH_BYTES = 8
_LARGEST_RANK = 8


def write_tensors(path: Path, content: Any, tensors: dict[str, NDArray[Any]]) -> None:
    """Write a safetensors file; it appears under its name only when it is complete.

    Args:
        path: of the file.
        content: what goes as JSON under the metadata's key `rdae`.
        tensors: arrays by name.

    Raises:
        ValueError: `read_tensors` would refuse it: a number that is none, or too long a header.
        OSError: it cannot be written.
    """
    from safetensors.numpy import save

    ordered = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    data = save(ordered, {"rdae": json.dumps(content, allow_nan=False)})
    _check_header(int.from_bytes(data[:_LENGTH_BYTES], "little"))
    with atomic_write(path, overwrite=True) as file:
        file.write(data)


def read_tensors(path: Path, *, only_metadata: bool) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Read a safetensors file.

    Args:
        path: of the file.
        only_metadata: leave out the arrays.

    Returns:
        What the JSON text under the metadata's key `rdae` says, and the arrays by name.

    Raises:
        ValueError: it is no such file, has no such key, or is beyond the limits.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size > MAX_WEIGHTS_BYTES:
            raise ValueError(f"it has {size} bytes, the limit is {MAX_WEIGHTS_BYTES}")
        file.seek(0)
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if not 2 <= length <= size - _LENGTH_BYTES:
            raise ValueError("it has no whole header")
        _check_header(length)
        header = read_json(file.read(length))
        if not isinstance(header, dict):
            raise ValueError("the header is no object")
        metadata = header.pop("__metadata__", None)
        if not isinstance(metadata, dict) or not isinstance(metadata.get("rdae"), str):
            raise ValueError("its metadata have no text rdae")
        content = read_json(metadata["rdae"])
        if only_metadata:
            return content, {}
        return content, _arrays(header, file.read(size))


def _check_header(length: int) -> None:
    if length > MAX_WEIGHTS_HEADER_BYTES:
        raise ValueError(f"its header has {length} bytes, the limit is {MAX_WEIGHTS_HEADER_BYTES}")


def way_out(path: Path) -> str:
    """What to do about a file that is not what it should be."""
    if path.suffix != ".safetensors":
        return "weights files end in .safetensors; rdae export makes them"
    return "install rdae again, or copy the file again"


def read_json(text: str | bytes) -> Any:
    """Read JSON.

    Raises:
        ValueError: it is none, has an infinite number or none (NaN), or is too deep.
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _arrays(header: dict[str, Any], data: bytes) -> dict[str, NDArray[Any]]:
    if len(header) > MAX_TENSORS:
        raise ValueError(f"it has {len(header)} tensors, the limit is {MAX_TENSORS}")
    places = {name: _place(name, entry) for name, entry in header.items()}
    arrays, end = {}, 0
    for name, (dtype, shape, begin) in sorted(places.items(), key=lambda item: item[1][2]):
        count = math.prod(shape)
        if begin != end or end + count * dtype.itemsize > len(data):
            raise ValueError(f"tensor {name:.80} does not begin where the one before it ends")
        array = np.frombuffer(data, dtype, count, begin) if count else np.empty(0, dtype)
        arrays[name] = np.require(array.reshape(shape), dtype.newbyteorder("="), "A")
        end += array.nbytes
    if end != len(data):
        raise ValueError("the file goes on behind its tensors")
    return arrays


def _place(name: str, entry: Any) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Type, shape and first byte of an array."""
    match entry:
        case {"dtype": str(kind), "shape": list(shape), "data_offsets": [int(begin), int(_)]}:
            are_counts = all(type(side) is int and 0 <= side < 1 << 32 for side in shape)
            if kind in _TYPES and len(shape) <= _LARGEST_RANK and are_counts:
                return np.dtype(_TYPES[kind]), tuple(shape), begin
    raise ValueError(f"tensor {name:.80} is of no known type and shape")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.20} is too large a number")
    return number

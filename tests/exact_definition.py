"""FORMAT.md, section 7, in int64: what every carrier of the arithmetic is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdae.network_spec import Layers, first_layers, walk

Array = NDArray[Any]


def saturated(x: Array) -> Array:
    return np.clip(x, -32768, 32767)


def run(layers: Layers, path: str, tensors: dict[str, Array], x: Array, point: int) -> Array:
    """A network over a grid `(rows, columns, channels)` of int64, layer by layer."""
    for i, layer in enumerate(layers):
        x = _layer(layer, f"{path}.{i}", tensors, x, point)
    return x


def _layer(layer: list[Any], path: str, tensors: dict[str, Array], x: Array, point: int) -> Array:
    match layer:
        case ["residual", inner]:
            return saturated(x + run(inner, path, tensors, x, point))
        case ["sum", first, second]:
            a = run(first, f"{path}.0", tensors, x, point)
            return saturated(a + run(second, f"{path}.1", tensors, x, point))
        case ["shuffle", r]:
            h, w, c = x.shape
            x = x.reshape(h, w, r, r, c // r**2).transpose(0, 2, 1, 3, 4)
            return x.reshape(h * r, w * r, c // r**2)
        case ["unshuffle", r]:
            h, w, c = x.shape
            x = x.reshape(h // r, r, w // r, r, c).transpose(0, 2, 1, 3, 4)
            return x.reshape(h // r, w // r, r * r * c)
        case ["gain", _]:
            e = int(tensors[f"{path}.shift"][0])
            factors = tensors[f"{path}.table"][point].astype(np.int64)
            return saturated((x * factors + (1 << (e - 1))) >> e)
    m = tensors[f"{path}.mantissa"].astype(np.int64)
    acc = np.broadcast_to(tensors[f"{path}.bias"].astype(np.int64), (*x.shape[:2], m.shape[-1]))
    e = int(tensors[f"{path}.shift"][0])
    match layer:
        case ["linear", _, _, *leak]:
            acc = acc + x @ m
            assert np.abs(acc).max() < 1 << 31
            out = acc >> e
            if leak:
                half = (1 << (e + leak[0] - 1)) - (1 << (e - 1))
                out = np.maximum(out, (acc + half) >> (e + leak[0]))
            return saturated(out)
        case ["depthwise", _, size]:
            r = size // 2
            padded = np.pad(x, ((r, r), (r, r), (0, 0)))
            for i in range(size):
                for j in range(size):
                    acc = acc + padded[i : i + x.shape[0], j : j + x.shape[1]] * m[i, j]
            assert np.abs(acc).max() < 1 << 31
            return saturated(acc >> e)
    raise ValueError(f"unknown layer {layer}")


def random_tensors(
    layers: Layers, seed: int, *, wild: bool = False, largest: int = 1 << 15
) -> dict[str, Array]:
    """Tensors for every layer of a network, within what `prove` allows.

    Args:
        layers: the network, at the path "net".
        seed: of all numbers.
        wild: as large as may be, so that results saturate.
        largest: magnitude of what the network is given.
    """
    rng = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}
    first = first_layers(layers, "net")
    for path, layer in walk(layers, "net"):
        if layer[0] == "gain":
            tensors[f"{path}.table"] = rng.integers(0, 1 << 15, (256, layer[1])).astype(np.int16)
            tensors[f"{path}.shift"] = np.array([12 if wild else 15], np.int8)
            continue
        shape = layer[1:3] if layer[0] == "linear" else (layer[2], layer[2], layer[1])
        inputs = int(np.prod(shape[:-1])) if layer[0] == "depthwise" else shape[0]
        room = (1 << 31) - (1 << 29)  # the rest is for the bias
        most = min(32767, room // (largest if path in first else 1 << 15) // inputs)
        tensors[f"{path}.mantissa"] = rng.integers(-most, most + 1, shape).astype(np.int16)
        bias = rng.integers(-(1 << 28), 1 << 28, (shape[-1],))
        tensors[f"{path}.bias"] = bias.astype(np.int32)
        e = 9 if wild else 14
        tensors[f"{path}.shift"] = np.array([int(rng.integers(e, e + 3))], np.int8)
    return tensors


def random_input(seed: int, *shape: int, wild: bool = False) -> NDArray[np.int16]:
    """Features `shape`, ordinary or as large as an int16."""
    rng = np.random.default_rng(seed)
    if wild:
        ends = rng.choice(np.array([-32768, 32767, 0, -1]), shape)
        return np.where(rng.random(shape) < 0.5, ends, rng.integers(-32768, 32768, shape)).astype(
            np.int16
        )
    return np.clip(rng.normal(0, 4000, shape), -32768, 32767).astype(np.int16)

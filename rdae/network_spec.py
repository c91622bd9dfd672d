"""Network specs: a network described once, as data, for the torch, NumPy and compiled builders.

A spec is a nested list of layers that survives JSON unchanged. Layers act on channels-last
arrays `(..., rows, columns, channels)`:

    ["linear", inputs, outputs]           pointwise linear layer with bias
    ["linear", inputs, outputs, k]        followed by a leaky ReLU of slope 2^-k
    ["depthwise", channels, size]         one size x size filter a channel, zero padding, bias
    ["gain", channels]                    per-channel factor that depends on the quality point
    ["shuffle", r] / ["unshuffle", r]     depth to space / space to depth
    ["residual", [layers]]                x + f(x)
    ["sum", [layers], [layers]]           f(x) + g(x)

A layer's *path* is its position, such as `synthesis.0.0.3`: the section, then the index in each
list; parameters are named by it in checkpoints and in weights files. FORMAT.md, section "Model",
is the normative description.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rdae.geometry import PATCH
from rdae.limits import MAX_CHANNELS, MAX_NESTED_LAYERS

Layer = list[Any]
Layers = list[Layer]

MAX_LEAK = 30
MAX_SHUFFLE = 16


def walk(layers: Layers, path: str) -> Iterator[tuple[str, Layer]]:
    """Yield `(path, layer)` for every layer that has parameters, depth first."""
    for i, layer in enumerate(layers):
        here = f"{path}.{i}"
        if layer[0] == "residual":
            yield from walk(layer[1], here)
        elif layer[0] == "sum":
            yield from walk(layer[1], f"{here}.0")
            yield from walk(layer[2], f"{here}.1")
        elif layer[0] in ("linear", "depthwise", "gain"):
            yield here, layer


def first_layers(layers: Layers, path: str) -> set[str]:
    """The paths of the layers with parameters that read what the network is given."""
    for i, layer in enumerate(layers):
        here = f"{path}.{i}"
        match layer:
            case ["shuffle" | "unshuffle", _]:
                continue
            case ["residual", inner]:
                return first_layers(inner, here)
            case ["sum", first, second]:
                return first_layers(first, f"{here}.0") | first_layers(second, f"{here}.1")
        return {here}
    return set()


def final_linear(layers: Layers, path: str) -> str:
    """The path of the linear layer that gives a network's results, if only shuffles follow it.

    Units of results are folded into its weights, so a leak must not come in between.

    Raises:
        ValueError: the network ends otherwise.
    """
    for i in reversed(range(len(layers))):
        match layers[i]:
            case ["shuffle", _]:
                continue
            case ["linear", _, _]:
                return f"{path}.{i}"
        break
    raise ValueError(f"{path} must end in a linear layer without leak, before any shuffles")


def kinds(layers: Layers) -> set[str]:
    """The kinds of all layers, inner ones included."""
    found = set()
    for layer in layers:
        found.add(layer[0])
        for inner in layer[1:]:
            if isinstance(inner, list):
                found |= kinds(inner)
    return found


def num_layers(layers: Layers, depth: int = 0) -> int:
    """How many layers there are, inner ones included.

    Raises:
        ValueError: they are nested too deeply.
    """
    if depth > MAX_NESTED_LAYERS:
        raise ValueError(f"layers are nested deeper than {MAX_NESTED_LAYERS}")
    inner = (part for layer in layers for part in layer[1:] if isinstance(part, list))
    return len(layers) + sum(num_layers(part, depth + 1) for part in inner)


def output_channels(layers: Layers, channels: int, path: str) -> int:
    """Channels that `layers` give for an input of `channels`.

    Raises:
        ValueError: a layer is unknown or does not fit its input.
    """
    for i, layer in enumerate(layers):
        here = f"{path}.{i}"
        wanted = channels
        match layer:
            case ["linear", int(wanted), int(result)]:
                pass
            case ["linear", int(wanted), int(result), int(leak)] if 1 <= leak <= MAX_LEAK:
                pass
            case ["depthwise", int(wanted), 3 | 5]:
                result = wanted
            case ["gain", int(wanted)]:
                result = wanted
            case ["unshuffle", int(r)] if 2 <= r <= MAX_SHUFFLE:
                result = channels * r**2
            case ["shuffle", int(r)] if 2 <= r <= MAX_SHUFFLE:
                result, rest = divmod(channels, r**2)
                if rest:
                    raise ValueError(f"{here}: {channels} channels cannot be shuffled by {r}")
            case ["residual", list(inner)]:
                wanted = result = output_channels(inner, channels, here)
                if resolution(inner) != 1:
                    raise ValueError(f"{here}: a residual cannot change the resolution")
            case ["sum", list(first), list(second)]:
                result = output_channels(first, channels, f"{here}.0")
                if result != output_channels(second, channels, f"{here}.1"):
                    raise ValueError(f"{here}: the two branches give different channels")
                if resolution(first) != resolution(second):
                    raise ValueError(f"{here}: the two branches give different resolutions")
            case _:
                raise ValueError(f"{here}: unknown layer {layer!r:.80}")
        if wanted != channels:
            raise ValueError(f"{here}: {layer[:3]!r:.80} wants {wanted} channels, gets {channels}")
        if not 1 <= result <= MAX_CHANNELS * PATCH**2:
            raise ValueError(f"{here}: {result} channels are too many or too few")
        channels = result
    return channels


def resolution(layers: Layers) -> float:
    """The factor by which the rows and columns shrink (above 1) or grow (below 1)."""
    factor = 1.0
    for layer in layers:
        if layer[0] == "unshuffle":
            factor *= layer[1]
        elif layer[0] == "shuffle":
            factor /= layer[1]
        elif layer[0] == "sum":
            factor *= resolution(layer[1])
    return factor


def halo(layers: Layers) -> float:
    """Rows of input beyond a strip that its output depends on: the depthwise radii added up.

    Radii at a finer resolution count as fractions; round the result up.
    """
    radius, scale = 0.0, 1.0
    for layer in layers:
        if layer[0] == "depthwise":
            radius += (layer[2] // 2) * scale
        elif layer[0] == "residual":
            radius += halo(layer[1]) * scale
        elif layer[0] == "sum":
            radius += max(halo(layer[1]), halo(layer[2])) * scale
        scale *= resolution([layer])
    return radius


def macs_per_cell(layers: Layers) -> float:
    """Multiply-accumulates of `layers` per cell of the coarser of its two ends.

    Gains count one; additions and roundings none.
    """
    total, cells, least = 0.0, 1.0, 1.0
    for layer in layers:
        kind = layer[0]
        if kind == "linear":
            total += cells * layer[1] * layer[2]
        elif kind == "depthwise":
            total += cells * layer[1] * layer[2] ** 2
        elif kind == "gain":
            total += cells * layer[1]
        elif kind == "residual":
            total += cells * macs_per_cell(layer[1])
        elif kind == "sum":
            # branches count from their own coarser end; bring both to this input's cells
            shrink = max(1.0, resolution([layer]) ** 2)
            total += cells * (macs_per_cell(layer[1]) + macs_per_cell(layer[2])) / shrink
        cells /= resolution([layer]) ** 2
        least = min(least, cells)
    return total / least

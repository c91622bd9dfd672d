"""Network specs: a network described once, as data, for the torch and the NumPy builders.

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
list; parameters are named by it in checkpoints and in weights files. A `ModelSpec` holds the
sections of the whole autoencoder. FORMAT.md, section "Model", is the normative description.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Layer = list[Any]
Layers = list[Layer]

NUM_PASSES = 4
PATCH = 16  # pixels per latent cell, along each axis
HYPER_PATCH = 64  # pixels per hyper-latent cell
NUM_ANCHORS = 16  # quality points that are trained, with a prior of their own for z
NUM_ROWS = 128  # tables of y, one per standard deviation
# pass that codes [channel group][phase], phase = 2 * (row % 2) + column % 2
PASS_OF = ((0, 1, 2, 3), (3, 2, 1, 0), (2, 3, 0, 1), (1, 0, 3, 2))
MAX_CHANNELS = 4096  # of latents and features; FORMAT.md, section 11
MAX_LEAK = 30
ENCODER_SECTIONS = ("analysis", "hyper_analysis")


@dataclass(frozen=True)
class ModelSpec:
    """The sections of one autoencoder.

    Attributes:
        latent_channels: M, channels of y; a multiple of 4.
        hyper_channels: channels of z.
        features: channels of the hyper-synthesis output at the latent's resolution.
        analysis: 3 channels of pixels to M channels at 1/16.
        hyper_analysis: y to z, at a quarter of its resolution.
        hyper_synthesis: z_hat to features.
        first: features to 2M channels (mean, table row) for pass 0.
        inputs: for passes 1 to 3, features and y_hat so far (concatenated) to the shared width.
        shared: the context network of passes 1 to 3.
        outputs: for passes 1 to 3, the shared width to 2M channels (mean, table row).
        synthesis: y_hat to 3 channels of pixels.
    """

    latent_channels: int
    hyper_channels: int
    features: int
    analysis: Layers
    hyper_analysis: Layers
    hyper_synthesis: Layers
    first: Layers
    inputs: list[Layers]
    shared: Layers
    outputs: list[Layers]
    synthesis: Layers

    def sections(self) -> dict[str, Layers]:
        """Every network of the model by the first part of its layers' paths."""
        named = {
            "analysis": self.analysis,
            "hyper_analysis": self.hyper_analysis,
            "hyper_synthesis": self.hyper_synthesis,
            "first": self.first,
            "shared": self.shared,
            "synthesis": self.synthesis,
        }
        for k in range(NUM_PASSES - 1):
            named[f"inputs.{k}"] = self.inputs[k]
            named[f"outputs.{k}"] = self.outputs[k]
        return named

    def decoder_sections(self) -> dict[str, Layers]:
        """The sections that a decoder runs, whose arithmetic is exact."""
        return {k: v for k, v in self.sections().items() if k not in ENCODER_SECTIONS}

    def validate(self) -> None:
        """Check that the channels of all layers fit together.

        Raises:
            ValueError: naming the first layer that does not fit.
        """
        m, f = self.latent_channels, self.features
        for channels in (m, f, self.hyper_channels):
            if not isinstance(channels, int) or not 1 <= channels <= MAX_CHANNELS:
                raise ValueError(f"a model has 1 to {MAX_CHANNELS} channels, not {channels!r}")
        if m < NUM_PASSES or m % NUM_PASSES:
            raise ValueError(f"latent_channels must be a multiple of {NUM_PASSES}, got {m}")
        if len(self.inputs) != NUM_PASSES - 1 or len(self.outputs) != NUM_PASSES - 1:
            raise ValueError(f"inputs and outputs must hold {NUM_PASSES - 1} networks each")
        ends = {
            "analysis": (3, m, PATCH),
            "hyper_analysis": (m, self.hyper_channels, HYPER_PATCH // PATCH),
            "hyper_synthesis": (self.hyper_channels, f, PATCH / HYPER_PATCH),
            "first": (f, 2 * m, 1),
            "synthesis": (m, 3, 1 / PATCH),
        }
        width = output_channels(self.inputs[0], f + m, "inputs.0")
        for k in range(NUM_PASSES - 1):
            ends[f"inputs.{k}"] = (f + m, width, 1)
            ends[f"outputs.{k}"] = (width, 2 * m, 1)
        ends["shared"] = (width, width, 1)
        for name, layers in self.sections().items():
            inputs, outputs, factor = ends[name]
            got = output_channels(layers, inputs, name)
            if got != outputs:
                raise ValueError(f"{name} gives {got} channels, {outputs} are wanted")
            if name.split(".")[0] in ("first", "outputs") and layers[-1][0::3] != ["linear"]:
                raise ValueError(f"{name} must end in a linear layer without leak")
            if name in self.decoder_sections() and "unshuffle" in kinds(layers):
                raise ValueError(f"{name} is the decoder's and cannot unshuffle")
            if resolution(layers) != factor:
                raise ValueError(f"{name} must change the resolution by a factor of 1/{factor}")

    def to_json(self) -> str:
        """The canonical text of the spec: sorted keys, no spaces."""
        return json.dumps(vars(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read and validate a spec.

        Raises:
            ValueError: not a spec, or one whose layers do not fit together.
        """
        try:
            spec = cls(**json.loads(text))
            spec.validate()
        except (TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a model spec: {error}") from error
        return spec

    def num_parameters(self) -> int:
        """Weights and biases of all linear and depthwise layers."""
        total = 0
        for name, layers in self.sections().items():
            for _, layer in walk(layers, name):
                if layer[0] == "linear":
                    total += (layer[1] + 1) * layer[2]
                elif layer[0] == "depthwise":
                    total += (layer[2] ** 2 + 1) * layer[1]
        return total

    def encoder_macs_per_pixel(self) -> float:
        """Multiply-accumulates per pixel of analysis and hyper-analysis."""
        return macs_per_cell(self.analysis) / PATCH**2 + (
            macs_per_cell(self.hyper_analysis) / HYPER_PATCH**2
        )

    def decoder_macs_per_pixel(self, *, all_outputs: bool = False) -> float:
        """Multiply-accumulates per pixel of hyper-synthesis, the four passes and synthesis.

        Of its outputs a pass needs those of the quarter of y that it codes, and the decoder leaves
        the others out where the last layer is linear; `all_outputs` counts them, as training does.
        """
        passes = (NUM_PASSES - 1) * macs_per_cell(self.shared)
        passes += sum(macs_per_cell(layers) for layers in self.inputs)
        for layers in (self.first, *self.outputs):
            passes += macs_per_cell(layers)
            if not all_outputs and layers and layers[-1][0] == "linear":
                passes -= macs_per_cell(layers[-1:]) * (1 - 1 / NUM_PASSES)
        at_latent = passes + macs_per_cell(self.synthesis)
        return at_latent / PATCH**2 + macs_per_cell(self.hyper_synthesis) / HYPER_PATCH**2


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


def kinds(layers: Layers) -> set[str]:
    """The kinds of all layers, inner ones included."""
    found = set()
    for layer in layers:
        found.add(layer[0])
        for inner in layer[1:]:
            if isinstance(inner, list):
                found |= kinds(inner)
    return found


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
            case ["unshuffle", int(r)] if r >= 1:
                result = channels * r**2
            case ["shuffle", int(r)] if r >= 1:
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

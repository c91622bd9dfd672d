"""The spec of a model: the sections of the whole autoencoder, each a network described as data.

`rdae.network_spec` has the layers. A weights file carries its spec; a new architecture is a new
spec, not new code. FORMAT.md, section "Model", is the normative description.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from rdae.geometry import HYPER_PATCH, PATCH
from rdae.limits import MAX_CHANNELS, MAX_LAYERS
from rdae.network_spec import (
    Layer,
    Layers,
    final_linear,
    kinds,
    macs_per_cell,
    num_layers,
    output_channels,
    resolution,
    walk,
)

NUM_PASSES = 4
NUM_ANCHORS = 16  # quality points that are trained, with a prior of their own for z
NUM_ROWS = 128  # tables of y, one per standard deviation
# pass that codes [channel group][phase], phase = 2 * (row % 2) + column % 2
PASS_OF = ((0, 1, 2, 3), (3, 2, 1, 0), (2, 3, 0, 1), (1, 0, 3, 2))
ENCODER_SECTIONS = ("analysis", "hyper_analysis")
ROLES = {
    "analysis_skip": "pixels to y in one step, which start as a DCT",
    "synthesis_skip": "y_hat to pixels in one step, which start as its inverse",
    "pixels": "the last layer, which carries whole pixels through",
    "synthesis_input": "the first layer of the network beside the synthesis skip",
    "quiet": "last layers of what is added to skips or whole patches; nearly silent at the start",
    "neighbours": "first layer of the context's residual that starts with neighbouring means",
}
HEADS = ("first", *(f"outputs.{k}" for k in range(NUM_PASSES - 1)))
WHOLE_ROLES = ("analysis_skip", "synthesis_skip", "pixels")  # carry latents and pixels whole


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
        roles: paths of linear layers that code must find, by what they are for; the `ROLES`, each
            of which may be left out. They say nothing of what a network computes.
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
    roles: dict[str, list[str]] = field(default_factory=dict)

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
                raise ValueError(f"a model has 1 to {MAX_CHANNELS} channels, not {channels!r:.20}")
        if m < NUM_PASSES or m % NUM_PASSES:
            raise ValueError(f"latent_channels must be a multiple of {NUM_PASSES}, got {m}")
        if len(self.inputs) != NUM_PASSES - 1 or len(self.outputs) != NUM_PASSES - 1:
            raise ValueError(f"inputs and outputs must hold {NUM_PASSES - 1} networks each")
        if sum(map(num_layers, self.sections().values())) > MAX_LAYERS:
            raise ValueError(f"a model has at most {MAX_LAYERS} layers")
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
            if name.split(".")[0] in ("first", "outputs", "synthesis"):
                final_linear(layers, name)
            if name in self.decoder_sections() and "unshuffle" in kinds(layers):
                raise ValueError(f"{name} is the decoder's and cannot unshuffle")
            if resolution(layers) != factor:
                raise ValueError(f"{name} must change the resolution by a factor of 1/{factor}")
        linear = {path: layer for path, layer in self.layers() if layer[0] == "linear"}
        skips = {"analysis_skip": [3 * PATCH**2, m], "synthesis_skip": [m, 3 * PATCH**2]}
        for role, paths in self.roles.items():
            if role not in ROLES or not linear.keys() >= set(paths):
                raise ValueError(f"the role {role} of {paths!r:.80} is not that of linear layers")
            for path in paths:
                shape = linear[path][1:3]
                wanted = skips.get(role, shape[:1] * 2 if role == "pixels" else shape)
                if shape != wanted:
                    raise ValueError(f"{path} is {shape}, as {role} it must be {wanted}")

    def layers(self) -> Iterator[tuple[str, Layer]]:
        """Yield `(path, layer)` for every layer that has parameters."""
        for name, layers in self.sections().items():
            yield from walk(layers, name)

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
        for _, layer in self.layers():
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

    def decoder_macs_per_pixel(self) -> float:
        """Multiply-accumulates per pixel of hyper-synthesis, the four passes and synthesis.

        Of its outputs a pass needs those of the quarter of y that it codes; the others are left
        out, in decoding as in training.
        """
        passes = (NUM_PASSES - 1) * macs_per_cell(self.shared)
        passes += sum(macs_per_cell(layers) for layers in self.inputs)
        for layers in (self.first, *self.outputs):
            passes += macs_per_cell(layers)
            passes -= macs_per_cell(layers[-1:]) * (1 - 1 / NUM_PASSES)
        at_latent = passes + macs_per_cell(self.synthesis)
        return at_latent / PATCH**2 + macs_per_cell(self.hyper_synthesis) / HYPER_PATCH**2

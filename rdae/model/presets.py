"""The architectures that can be trained, as specs; a weights file carries its own."""

from __future__ import annotations

from rdae.geometry import PATCH
from rdae.model.spec import NUM_PASSES, ModelSpec
from rdae.network_spec import Layers


def block(channels: int) -> Layers:
    """A depthwise and a pointwise residual, the second with twice the hidden width."""
    c = channels
    return [
        ["residual", [["linear", c, c, 3], ["depthwise", c, 3], ["linear", c, c]]],
        ["residual", [["linear", c, 2 * c, 3], ["linear", 2 * c, c]]],
    ]


def light_block(channels: int) -> Layers:
    """A depthwise filter and a pointwise pair in one residual, for the finer resolutions."""
    c = channels
    return [["residual", [["depthwise", c, 3], ["linear", c, 2 * c, 3], ["linear", 2 * c, c]]]]


def filter_block(channels: int) -> Layers:
    """A light block whose strength depends on the quality point."""
    [[_, inner]] = light_block(channels)
    return [["residual", [*inner, ["gain", channels]]]]


def preset(
    *,
    width: int = 256,
    analysis_blocks: int = 4,
    synthesis_blocks: int = 2,
    latent: int = 512,
    hyper: int = 96,
    features: int = 128,
    context: int = 144,
    context_blocks: int = 2,
    render: int = 48,
    render_blocks: int = 2,
    filter_blocks: int = 1,
    detail: int = 64,
    detail_blocks: int = 3,
) -> ModelSpec:
    """The default architecture; the arguments scale it.

    The analysis sees each patch of 16x16 pixels at once and, beside that, as 4x4 patches of its own
    and its neighbours: what is worth its bits depends on edges and texture nearby, and an encoder
    may take the time to look. It costs a decoder nothing.

    The synthesis adds a rendering network and a linear inverse transform as patches of 4x4 pixels;
    the filter blocks behind the sum see what both made of neighbouring 16x16 patches and smooth
    the steps between them.
    """
    n, m, f, c, r, d = width, latent, features, context, render, detail
    patch, pixels = 3 * PATCH**2, 3 * 4**2  # values of a 16x16 patch, of a 4x4 one
    return ModelSpec(
        latent_channels=m,
        hyper_channels=hyper,
        features=f,
        analysis=[
            [
                "sum",
                [
                    [
                        "sum",
                        [
                            ["unshuffle", 4],
                            ["linear", pixels, d],
                            ["gain", d],
                            *light_block(d) * detail_blocks,
                            ["unshuffle", 4],
                            ["linear", 16 * d, n],
                        ],
                        [["unshuffle", PATCH], ["linear", patch, n]],
                    ],
                    ["gain", n],
                    *block(n) * analysis_blocks,
                    ["linear", n, m],
                ],
                [["unshuffle", PATCH], ["linear", patch, m]],
            ],
        ],
        hyper_analysis=[
            ["linear", m, f],
            *block(f),
            ["unshuffle", 2],
            ["linear", 4 * f, f],
            *block(f),
            ["unshuffle", 2],
            ["linear", 4 * f, hyper],
        ],
        hyper_synthesis=[
            ["linear", hyper, 4 * f],
            ["shuffle", 2],
            *block(f),
            ["linear", f, 4 * f],
            ["shuffle", 2],
            *block(f),
            ["gain", f],
        ],
        first=[["linear", f, 2 * m]],
        inputs=[[["linear", f + m, c]] for _ in range(NUM_PASSES - 1)],
        shared=block(c) * context_blocks,
        outputs=[[["linear", c, 2 * m]] for _ in range(NUM_PASSES - 1)],
        synthesis=[
            [
                "sum",
                [
                    ["linear", m, n],
                    *block(n) * synthesis_blocks,
                    ["gain", n],
                    ["linear", n, 16 * r],
                    ["shuffle", 4],
                    ["gain", r],
                    *light_block(r) * render_blocks,
                    ["linear", r, pixels],
                ],
                [["linear", m, patch], ["shuffle", 4]],
            ],
            *filter_block(pixels) * filter_blocks,
            ["linear", pixels, pixels],
            ["shuffle", 4],
        ],
        roles={
            "analysis_skip": ["analysis.0.1.1"],
            "synthesis_skip": ["synthesis.0.1.0"],
            "pixels": [f"synthesis.{1 + filter_blocks}"],
            "synthesis_input": ["synthesis.0.0.0"],
            "quiet": [
                f"analysis.0.0.0.0.{4 + detail_blocks}",
                f"analysis.0.0.{2 + 2 * analysis_blocks}",
                f"synthesis.0.0.{5 + 2 * synthesis_blocks + render_blocks}",
                *(f"synthesis.{1 + i}.2" for i in range(filter_blocks)),
            ],
            "neighbours": ["shared.0.0"],
        },
    )


def tiny() -> ModelSpec:
    """The default architecture shrunk until it trains in seconds, to try things out."""
    return preset(
        width=24, latent=32, hyper=8, features=16, context=32, render=8, detail=8, analysis_blocks=1
    )


PRESETS = {"photo": preset, "tiny": tiny}

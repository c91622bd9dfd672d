"""The default architecture, as a spec; only training needs it, a weights file carries its own."""

from __future__ import annotations

from rdae.spec import NUM_PASSES, PATCH, Layers, ModelSpec


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


def preset(
    *,
    width: int = 256,
    analysis_blocks: int = 4,
    synthesis_blocks: int = 2,
    latent: int = 256,
    hyper: int = 96,
    context: int = 128,
    context_blocks: int = 2,
    render: int = 48,
    render_blocks: int = 2,
) -> ModelSpec:
    """The default architecture; the arguments scale it."""
    n, m, c, r = width, latent, context, render
    patch = 3 * PATCH**2
    return ModelSpec(
        latent_channels=m,
        hyper_channels=hyper,
        features=c,
        analysis=[
            ["unshuffle", PATCH],
            [
                "sum",
                [["linear", patch, n], ["gain", n], *block(n) * analysis_blocks, ["linear", n, m]],
                [["linear", patch, m]],
            ],
        ],
        hyper_analysis=[
            ["linear", m, c],
            *block(c),
            ["unshuffle", 2],
            ["linear", 4 * c, c],
            *block(c),
            ["unshuffle", 2],
            ["linear", 4 * c, hyper],
        ],
        hyper_synthesis=[
            ["linear", hyper, 4 * c],
            ["shuffle", 2],
            *block(c),
            ["linear", c, 4 * c],
            ["shuffle", 2],
            *block(c),
            ["gain", c],
        ],
        first=[["linear", c, 2 * m]],
        inputs=[[["linear", c + m, c]] for _ in range(NUM_PASSES - 1)],
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
                    ["linear", r, 16 * 3],
                    ["shuffle", 4],
                ],
                [["linear", m, patch], ["shuffle", PATCH]],
            ],
        ],
    )

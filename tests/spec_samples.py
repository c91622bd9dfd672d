"""Model specs that hypothesis draws: everything that `ModelSpec.validate` lets pass, small."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from rdae.geometry import HYPER_CELLS, PATCH
from rdae.model.spec import ModelSpec
from rdae.network_spec import Layers

_few = st.integers(1, 6)


@st.composite
def model_specs(draw: st.DrawFn) -> ModelSpec:
    """A valid spec, with or without roles."""
    m, n, f, width = 4 * draw(st.integers(1, 2)), draw(_few), draw(_few), draw(_few)
    has_skips = draw(st.booleans())
    patch = 3 * PATCH**2
    analysis: Layers
    synthesis: Layers
    if has_skips:
        inner = [*_same(draw, patch), ["linear", patch, m]]
        analysis = [["unshuffle", PATCH], ["sum", inner, [["linear", patch, m]]]]
        inner = [*_same(draw, m), ["linear", m, patch]]
        synthesis = [["sum", inner, [["linear", m, patch]]], ["linear", patch, patch]]
        synthesis.append(["shuffle", PATCH])
    else:
        analysis = _down(draw, 3, m, PATCH)
        synthesis = _up(draw, m, 3, PATCH)
    roles = {
        "analysis_skip": ["analysis.1.1.0"],
        "synthesis_skip": ["synthesis.0.1.0"],
        "pixels": ["synthesis.1"],
    }
    spec = ModelSpec(
        latent_channels=m,
        hyper_channels=n,
        features=f,
        analysis=analysis,
        hyper_analysis=_down(draw, m, n, HYPER_CELLS),
        hyper_synthesis=_up(draw, n, f, HYPER_CELLS),
        first=[*_same(draw, f), ["linear", f, 2 * m]],
        inputs=[[*_same(draw, f + m), ["linear", f + m, width]] for _ in range(3)],
        shared=_same(draw, width),
        outputs=[[*_same(draw, width), ["linear", width, 2 * m]] for _ in range(3)],
        synthesis=synthesis,
        roles=roles if has_skips and draw(st.booleans()) else {},
    )
    spec.validate()
    return spec


def _same(draw: st.DrawFn, channels: int, depth: int = 2) -> list[Any]:
    """Up to two layers that keep channels and resolution."""
    c, layers = channels, []
    kinds = ["linear", "leaky", "depthwise", "gain", *(["residual", "sum"] if depth else [])]
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=2)):
        if kind == "linear" or (c > 32 and kind in ("residual", "sum")):
            layers.append(["linear", c, c] if c <= 32 else ["gain", c])
        elif kind == "leaky":
            layers.append(["linear", c, c, draw(_few)] if c <= 32 else ["depthwise", c, 3])
        elif kind == "depthwise":
            layers.append(["depthwise", c, draw(st.sampled_from([3, 5]))])
        elif kind == "gain":
            layers.append(["gain", c])
        else:
            count = 1 if kind == "residual" else 2
            layers.append([kind, *(_same(draw, c, depth - 1) for _ in range(count))])
    return layers


def _down(draw: st.DrawFn, inputs: int, outputs: int, factor: int) -> list[Any]:
    layers, c = _same(draw, inputs), inputs
    for r in _steps(draw, factor):
        width = draw(_few)
        layers += [["unshuffle", r], ["linear", c * r**2, width], *_same(draw, width)]
        c = width
    return [*layers, ["linear", c, outputs]]


def _up(draw: st.DrawFn, inputs: int, outputs: int, factor: int) -> list[Any]:
    layers, c = _same(draw, inputs), inputs
    steps = _steps(draw, factor)
    for i, r in enumerate(steps):
        width = outputs if i == len(steps) - 1 else draw(_few)
        layers += [["linear", c, width * r**2], ["shuffle", r]]
        c = width
        if i < len(steps) - 1:
            layers += _same(draw, width)
    if draw(st.booleans()):
        layers.append(["linear", c, outputs])  # not every network ends in a shuffle
    return layers


def _steps(draw: st.DrawFn, factor: int) -> list[int]:
    """Resizes that make up a factor that is a power of two."""
    steps, left = [], factor
    while left > 1:
        steps.append(2 ** draw(st.integers(1, int(math.log2(left)))))
        left //= steps[-1]
    return steps

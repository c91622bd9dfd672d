"""The networks of the lossless layer, as data.

For each level, on the grid of its cells, with c channels:

    begin      the 12 centred references around a cell -> features h
    linear.p   references and known differences around a cell -> correction of the reference
    pass.p     h, and from the second pass on what the last one added -> the next h
    head.p.k   h, statistics, errors of the colours before -> mean, scale, shape of colour k, and a
               factor for the error of each colour before it

Levels from `OWN_LEVELS - 1` on share their weights.
"""

from __future__ import annotations

from rdae.network_spec import Layers, macs_per_cell, walk

NUM_PASSES, NUM_COLOURS = 3, 3
OWN_LEVELS = 3
AROUND = 9  # cells of 3x3
REFERENCES = 12  # pixels and colours of a cell
ADDED = 9  # differences, errors and normalised errors that a pass adds for each cell
STATISTICS = 3
ERROR_FEATURES = 4  # of each colour before
LEAK = 3


def networks(channels: int, hidden: int) -> dict[str, Layers]:
    """The networks of one level, by name.

    Args:
        channels: of the features h.
        hidden: of a head.
    """
    c = channels
    block: Layers = [
        ["residual", [["depthwise", c, 3], ["linear", c, 2 * c, LEAK], ["linear", 2 * c, c]]]
    ]
    found: dict[str, Layers] = {"begin": [["linear", AROUND * REFERENCES, c, LEAK], *block]}
    for p in range(NUM_PASSES):
        known = REFERENCES + 3 * p
        found[f"linear.{p}"] = [["linear", AROUND * known, 3]]
        found[f"pass.{p}"] = [["linear", c + (AROUND * ADDED if p else 0), c, LEAK]]
        found[f"block.{p}"] = block
        for k in range(NUM_COLOURS):
            seen = c + STATISTICS + ERROR_FEATURES * k
            found[f"head.{p}.{k}"] = [["linear", seen, hidden, LEAK], ["linear", hidden, 3 + k]]
    return found


def num_parameters(channels: int, hidden: int) -> int:
    """Weights and biases of the networks of all levels."""
    total = 0
    for name, layers in networks(channels, hidden).items():
        for _, layer in walk(layers, name):
            if layer[0] == "linear":
                total += (layer[1] + 1) * layer[2]
            elif layer[0] == "depthwise":
                total += (layer[2] ** 2 + 1) * layer[1]
    return OWN_LEVELS * total


def macs_per_pixel(channels: int, hidden: int) -> float:
    """Multiply-accumulates of the networks per pixel of a picture, of all its levels together.

    A level has four pixels a cell; all levels together have a third more pixels than the picture.
    """
    of_cell = sum(macs_per_cell(layers) for layers in networks(channels, hidden).values())
    return of_cell / 3

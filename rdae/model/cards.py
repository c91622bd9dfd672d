"""What is known of the installed models without loading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdae.lossless.model import read_sizes
from rdae.lossless.networks import macs_per_pixel, num_parameters
from rdae.model.manifest import own_models, shipped, shipped_manifest
from rdae.model.weights_file import read_description


@dataclass(frozen=True)
class Card:
    """What is known of an installed model without loading it.

    Attributes:
        id: permanent number, as in a file's header.
        name: as in `rdae compress -m NAME`.
        default: used when nobody names a model.
        file: the weights file.
        bytes: its size.
        sha256: 64 hex digits of the manifest; empty for a user's own file.
        fingerprint: 8 hex digits, as in a file's header; empty for a user's own file.
        parameters: weights and biases of all networks.
        decoder_kmacs: thousands of multiply-accumulates per pixel to decode.
        encoder_kmacs: the same for analysis and hyper-analysis.
        provenance: data, steps, lambda range, date, rate-distortion points.
        lossless: it codes pixels exactly, or within a bound, and no lossy files.
    """

    id: int
    name: str
    default: bool
    file: Path
    bytes: int
    sha256: str
    fingerprint: str
    parameters: int
    decoder_kmacs: float
    encoder_kmacs: float
    provenance: dict[str, Any]
    lossless: bool = False


def list_models() -> list[Card]:
    """Every installed model of lossy files: the shipped ones, then those of `RDAE_WEIGHTS_DIR`.

    Raises:
        WeightsNotFoundError: a shipped file is missing.
        WeightsMismatchError: a file cannot be read as weights.
    """
    manifest = shipped_manifest()
    cards = []
    for entry in manifest["models"]:
        path = shipped(entry["file"])
        cards.append(_card(path, entry, default=entry["name"] == manifest["default"]))
    return cards + [_card(path, {}, default=False) for path, _ in own_models()]


def lossless_card() -> Card:
    """The lossless model that ships with rdae; no model to encode a lossy file with.

    Raises:
        WeightsNotFoundError: its file is missing.
        WeightsMismatchError: it cannot be read as weights.
    """
    entry = shipped_manifest()["lossless"]
    path = shipped(entry["file"])
    channels, hidden, provenance = read_sizes(path)
    kmacs = macs_per_pixel(channels, hidden) / 1000
    return Card(
        id=entry["id"],
        name=entry["name"],
        default=False,
        file=path,
        bytes=path.stat().st_size,
        sha256=entry["sha256"],
        fingerprint=entry["fingerprint"],
        parameters=num_parameters(channels, hidden),
        decoder_kmacs=kmacs,
        encoder_kmacs=kmacs,  # it runs the same networks, and fits filters beside them
        provenance=provenance,
        lossless=True,
    )


def _card(path: Path, entry: dict[str, Any], *, default: bool) -> Card:
    description = read_description(path)
    return Card(
        id=description.model_id,
        name=description.name,
        default=default,
        file=path,
        bytes=path.stat().st_size,
        sha256=entry.get("sha256", ""),
        fingerprint=entry.get("fingerprint", ""),
        parameters=description.spec.num_parameters(),
        decoder_kmacs=description.spec.decoder_macs_per_pixel() / 1000,
        encoder_kmacs=description.spec.encoder_macs_per_pixel() / 1000,
        provenance=description.provenance,
    )

"""The models on this machine: those that ship with rdae, and those of `RDAE_WEIGHTS_DIR`.

`weights/manifest.json` lists the shipped files with their SHA-256; a file whose bytes differ is
refused. Files of `RDAE_WEIGHTS_DIR` are the user's own and are taken as they are. Nothing is ever
downloaded.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from rdae.errors import UnknownModelError, WeightsMismatchError, WeightsNotFoundError, option
from rdae.lossless.model import LosslessModel, is_lossless, read_sizes
from rdae.lossless.networks import macs_per_pixel, num_parameters
from rdae.model.model import Model
from rdae.model.weights_file import Description, read_description
from rdae.threads import default_threads, parallel_map

WEIGHTS_DIR_VARIABLE = "RDAE_WEIGHTS_DIR"

_log = logging.getLogger(__name__)


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
    manifest = _manifest()
    cards = []
    for entry in manifest["models"]:
        path = _shipped(entry["file"])
        cards.append(_card(path, entry, default=entry["name"] == manifest["default"]))
    return cards + [_card(path, {}, default=False) for path, _ in _own_models()]


def lossless_card() -> Card:
    """The lossless model that ships with rdae; no model to encode a lossy file with.

    Raises:
        WeightsNotFoundError: its file is missing.
        WeightsMismatchError: it cannot be read as weights.
    """
    entry = _manifest()["lossless"]
    path = _shipped(entry["file"])
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


def load_model(name: str | Path | None = None) -> Model:
    """Load a model, or return it if it is loaded already.

    Args:
        name: name of an installed model, path of a weights file, or None for the default model.

    Raises:
        WeightsNotFoundError: there is no such model.
        WeightsMismatchError: its file is damaged.
    """
    if name is not None and is_weights_file(name):
        return _load(Path(name))
    manifest = _manifest()
    wanted = manifest["default"] if name is None else str(name)
    for entry in manifest["models"]:
        if entry["name"] == wanted:
            return _load(_shipped(entry["file"]), entry["sha256"], entry["fingerprint"])
    known = [entry["name"] for entry in manifest["models"]]
    for path, description in _own_models():
        if description.name == wanted:
            return _load(path)
        known.append(description.name)
    raise WeightsNotFoundError(
        f"there is no model {wanted}", hint=f"installed models: {', '.join(known)}"
    )


@lru_cache(maxsize=1)
def load_lossless() -> LosslessModel:
    """Load the lossless model that ships with rdae, or return it if it is loaded already.

    Raises:
        WeightsNotFoundError: its file is missing.
        WeightsMismatchError: its file is damaged.
    """
    entry = _manifest()["lossless"]
    path = _shipped(entry["file"])
    _check_sha256(path, entry["sha256"])
    return LosslessModel.load(path)


def lossless_name(model_id: int, fingerprint: str) -> str | None:
    """The name of the lossless model with this number and fingerprint, None if it is not here."""
    entry = _manifest()["lossless"]
    is_it = (entry["id"], entry["fingerprint"]) == (model_id, fingerprint)
    return str(entry["name"]) if is_it else None


def find_lossless(model_id: int, fingerprint: bytes, weights: Path | None = None) -> LosslessModel:
    """The lossless model that a file was written with; arguments and errors as of `find_model`."""
    model = load_lossless() if weights is None else LosslessModel.load(weights)
    if (model.model_id, model.fingerprint) != (model_id, fingerprint):
        raise _unknown(model_id, fingerprint, [(model.model_id, model.fingerprint)])
    return model


def is_weights_file(name: str | Path) -> bool:
    """Whether a model's name is meant as the path of a weights file: it ends in .safetensors."""
    return Path(name).suffix == ".safetensors"


def find_model(model_id: int, fingerprint: bytes, weights: Path | None = None) -> Model:
    """The model that a file was written with.

    Args:
        model_id: from the file's header.
        fingerprint: 4 bytes, from the file's header.
        weights: a weights file to look at instead of the installed ones.

    Raises:
        UnknownModelError: it is not there; the message names what is.
        WeightsMismatchError: its weights file is damaged.
    """
    if weights is not None:
        model = _load(weights)
        if model.fingerprint == fingerprint and model.description.model_id == model_id:
            return model
        raise _unknown(model_id, fingerprint, [(model.description.model_id, model.fingerprint)])
    installed = []
    for entry in _manifest()["models"]:
        here = (int(entry["id"]), bytes.fromhex(entry["fingerprint"]))
        if here == (model_id, fingerprint):
            return _load(_shipped(entry["file"]), entry["sha256"], entry["fingerprint"])
        installed.append(here)
    for path, description in _own_models():
        if description.model_id == model_id:
            model = _load(path)
            if model.fingerprint == fingerprint:
                return model
            installed.append((model_id, model.fingerprint))
    raise _unknown(model_id, fingerprint, installed)


def verify_weights() -> list[tuple[Path, str]]:
    """Check every installed weights file to the last byte, and prove each model exact.

    Returns:
        For each file its path and what is wrong with it, "" if nothing is.
    """
    results = []
    shipped = {_shipped(entry["file"]): entry for entry in _manifest()["models"]}
    for path, entry in [*shipped.items(), *((path, None) for path in _own_files())]:
        try:
            if entry is not None:
                _check_sha256(path, entry["sha256"])
            model = Model.load(path)
            model.check()
            if entry is not None and model.fingerprint.hex() != entry["fingerprint"]:
                raise WeightsMismatchError(f"{path}: the manifest has another fingerprint")
        except (WeightsMismatchError, WeightsNotFoundError) as error:
            results.append((path, str(error)))
        else:
            results.append((path, ""))
    try:
        load_lossless()
    except (WeightsMismatchError, WeightsNotFoundError) as error:
        results.append((_shipped(_manifest()["lossless"]["file"]), str(error)))
    else:
        results.append((_shipped(_manifest()["lossless"]["file"]), ""))
    return results


def complete_manifest() -> tuple[dict[str, Any], dict[str, Path]]:
    """The shipped manifest with the models of `RDAE_WEIGHTS_DIR` in it, for other decoders.

    Returns:
        The manifest, and the path of each file that it names.

    Raises:
        WeightsNotFoundError: there is no shipped manifest.
        WeightsMismatchError: a user's own file cannot be used.
    """
    manifest = _manifest()
    entries, paths = list(manifest["models"]), {}
    for entry in [*entries, manifest["lossless"]]:
        paths[entry["file"]] = _shipped(entry["file"])
    for path, description in _own_models():
        entry = _entry(path, description.model_id, description.name, _load(path).fingerprint)
        entry["file"] = f"own-{len(paths)}{path.suffix}"  # whatever it is called
        paths[entry["file"]] = path
        entries.append(entry)
    return {**manifest, "models": entries}, paths


def write_manifest(folder: Path, default: str) -> None:
    """Write manifest.json for all weights files of `folder`.

    Raises:
        WeightsMismatchError: a file cannot be used.
    """
    models: list[dict[str, Any]] = []
    content: dict[str, Any] = {"default": default, "models": models}
    for path in sorted(folder.glob("*.safetensors")):
        if is_lossless(path):
            lossless = LosslessModel.load(path)
            content["lossless"] = _entry(
                path, lossless.model_id, lossless.name, lossless.fingerprint
            )
        else:
            model = Model.load(path)
            model.check()
            description = model.description
            models.append(_entry(path, description.model_id, description.name, model.fingerprint))
    models.sort(key=lambda entry: int(entry["id"]))
    (folder / "manifest.json").write_text(json.dumps(content, indent=2) + "\n")


def _entry(path: Path, model_id: int, name: str, fingerprint: bytes) -> dict[str, Any]:
    """What the manifest says of a file."""
    return {
        "id": model_id,
        "name": name,
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "fingerprint": fingerprint.hex(),
    }


@lru_cache(maxsize=1)
def _manifest() -> dict[str, Any]:
    path = _shipped("manifest.json")
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise WeightsNotFoundError(
            f"the list of models {path} cannot be read ({error})", hint="install rdae again"
        ) from error
    return content


def _shipped(name: str) -> Path:
    # a wheel is always unpacked on installation, so the resource is a real file
    return Path(str(files("rdae.weights") / name))


def _own_files() -> list[Path]:
    folder = os.environ.get(WEIGHTS_DIR_VARIABLE)
    return sorted(Path(folder).glob("*.safetensors")) if folder else []


def _own_models() -> Iterator[tuple[Path, Description]]:
    """The user's own weights files that can be read; `verify_weights` names the others."""
    for path in _own_files():
        try:
            yield path, read_description(path)
        except WeightsMismatchError as error:
            _log.warning("%s is left out: %s", path, error)


@lru_cache(maxsize=4)
def _load(path: Path, sha256: str = "", fingerprint: str = "") -> Model:
    """Load a model; of a shipped one the manifest's hashes are given."""
    if not sha256:
        return Model.load(path)
    steps: list[Callable[[], Any]] = [
        partial(_check_sha256, path, sha256),
        partial(Model.load, path),
    ]
    # Side by side, since a process that decodes one picture waits for both.
    model: Model = parallel_map(lambda step: step(), steps, default_threads())[1]
    model.fingerprint = bytes.fromhex(fingerprint)  # known, and to hash it again takes a while
    return model


def _check_sha256(path: Path, wanted: str) -> None:
    if not path.is_file():
        raise WeightsNotFoundError(f"there is no weights file {path}", hint="install rdae again")
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != wanted:
        raise WeightsMismatchError(
            f"{path} is damaged: its SHA-256 is not the manifest's", hint="install rdae again"
        )


def _unknown(
    model_id: int, fingerprint: bytes, installed: list[tuple[int, bytes]]
) -> UnknownModelError:
    have = ", ".join(f"{i} ({f.hex()})" for i, f in installed) or "none"
    return UnknownModelError(
        f"written with model {model_id} ({fingerprint.hex()}); this rdae has {have}",
        hint="install the rdae that wrote it, or pass its weights file: "
        + option("weights", "FILE"),
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

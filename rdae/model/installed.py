"""Loading the models on this machine, by name, path or number; nothing is ever downloaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from rdae.errors import (
    ModelError,
    UnknownModelError,
    WeightsMismatchError,
    WeightsNotFoundError,
    option,
)
from rdae.lossless.model import LosslessModel, is_lossless
from rdae.model.manifest import (
    check_sha256,
    leave_out,
    own_files,
    own_models,
    shipped,
    shipped_manifest,
    why_unread,
)
from rdae.model.model import Model
from rdae.threads import default_threads, parallel_map


def load_model(name: str | Path | None = None) -> Model:
    """Load a model, or return it if it is loaded already.

    Args:
        name: name of an installed model, path of a weights file, or None for the default model.

    Raises:
        WeightsNotFoundError: there is no such model.
        WeightsMismatchError: its file is damaged.
    """
    if name is not None and is_weights_file(name):
        return _load_own(Path(name))
    manifest = shipped_manifest()
    wanted = manifest["default"] if name is None else str(name)
    for entry in manifest["models"]:
        if entry["name"] == wanted:
            return _load(shipped(entry["file"]), entry["sha256"], entry["fingerprint"])
    known = [entry["name"] for entry in manifest["models"]]
    for path, description in own_models():
        if description.name == wanted:
            return _load_own(path)
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
    entry = shipped_manifest()["lossless"]
    path = shipped(entry["file"])
    check_sha256(path, entry["sha256"])
    return LosslessModel.load(path)


def lossless_name(model_id: int, fingerprint: str) -> str | None:
    """The name of the lossless model with this number and fingerprint, None if it is not here."""
    entry = shipped_manifest()["lossless"]
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
        model = _load_own(weights)
        if model.fingerprint == fingerprint and model.description.model_id == model_id:
            return model
        raise _unknown(model_id, fingerprint, [(model.description.model_id, model.fingerprint)])
    installed = []
    for entry in shipped_manifest()["models"]:
        here = (int(entry["id"]), bytes.fromhex(entry["fingerprint"]))
        if here == (model_id, fingerprint):
            return _load(shipped(entry["file"]), entry["sha256"], entry["fingerprint"])
        installed.append(here)
    unusable: ModelError | None = None
    for path, description in own_models():
        if description.model_id == model_id:
            try:
                model = _load_own(path)
            except ModelError as error:
                unusable = error  # it may be the one, but another file may be it, too
                continue
            if model.fingerprint == fingerprint:
                return model
            installed.append((model_id, model.fingerprint))
    raise unusable or _unknown(model_id, fingerprint, installed)


def verify_weights() -> list[tuple[Path, str]]:
    """Check every installed weights file to the last byte, and prove each model exact.

    Returns:
        For each file its path and what is wrong with it, "" if nothing is.
    """
    results = []
    manifest = shipped_manifest()
    entries = [*manifest["models"], manifest["lossless"]]
    listed = {shipped(entry["file"]): entry for entry in entries}
    for path, entry in [*listed.items(), *((path, None) for path in own_files())]:
        try:
            if entry is not None:
                check_sha256(path, entry["sha256"])
            model = LosslessModel.load(path) if is_lossless(path) else Model.load(path)
            if isinstance(model, Model):
                model.check()
            if entry is not None and model.fingerprint.hex() != entry["fingerprint"]:
                raise WeightsMismatchError(f"{path}: the manifest has another fingerprint")
        except (WeightsMismatchError, WeightsNotFoundError) as error:
            results.append((path, str(error)))
        except OSError as error:
            results.append((path, f"it cannot be read: {why_unread(error)}"))
        else:
            results.append((path, ""))
    return results


def complete_manifest() -> tuple[dict[str, Any], dict[str, Path]]:
    """The shipped manifest with the models of `RDAE_WEIGHTS_DIR` in it, for other decoders.

    A file that cannot be used is left out with a word: it is no reason to show no picture at all.

    Returns:
        The manifest, and the path of each file that it names.

    Raises:
        WeightsNotFoundError: there is no shipped manifest.
    """
    manifest = shipped_manifest()
    entries, paths = list(manifest["models"]), {}
    for entry in [*entries, manifest["lossless"]]:
        paths[entry["file"]] = shipped(entry["file"])
    for path, description in own_models():
        try:
            model, data = _load_own(path), path.read_bytes()
        except (ModelError, OSError) as error:
            leave_out(path, error)
            continue
        entry = {
            "id": description.model_id,
            "name": description.name,
            "file": f"own-{len(paths)}{path.suffix}",  # whatever it is called
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "fingerprint": model.fingerprint.hex(),
        }
        paths[entry["file"]] = path
        entries.append(entry)
    return {**manifest, "models": entries}, paths


def _load_own(path: Path) -> Model:
    """Load a model that does not come with rdae, anew where another file has its name by now."""
    try:
        found = path.stat()
    except OSError:
        return Model.load(path)  # says what is wrong
    return _read_own(path, os.path.realpath(path), found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4)
def _read_own(path: Path, *identity: object) -> Model:
    return Model.load(path)


@lru_cache(maxsize=4)
def _load(path: Path, sha256: str, fingerprint: str) -> Model:
    """Load a shipped model, with the hashes of the manifest."""
    steps: list[Callable[[], Any]] = [
        partial(check_sha256, path, sha256),
        partial(Model.load, path),
    ]
    # Side by side, since a process that decodes one picture waits for both.
    model: Model = parallel_map(lambda step: step(), steps, default_threads())[1]
    model.fingerprint = bytes.fromhex(fingerprint)  # known, and to hash it again takes a while
    return model


def _unknown(
    model_id: int, fingerprint: bytes, installed: list[tuple[int, bytes]]
) -> UnknownModelError:
    have = ", ".join(f"{i} ({f.hex()})" for i, f in installed) or "none"
    return UnknownModelError(
        f"written with model {model_id} ({fingerprint.hex()}); this rdae has {have}",
        hint="install the rdae that wrote it, or pass its weights file: "
        + option("weights", "FILE"),
    )

"""The weights files on this machine: those that ship with rdae, and those of `RDAE_WEIGHTS_DIR`.

`weights/manifest.json` lists the shipped files with their SHA-256; a file whose bytes differ is
refused. Files of `RDAE_WEIGHTS_DIR` are the user's own and are taken as they are.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from rdae.errors import ModelError, WeightsMismatchError, WeightsNotFoundError
from rdae.model.weights_file import Description, read_description

WEIGHTS_DIR_VARIABLE = "RDAE_WEIGHTS_DIR"

_log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def shipped_manifest() -> dict[str, Any]:
    """What is said of the shipped files.

    Raises:
        WeightsNotFoundError: it cannot be read.
    """
    path = shipped("manifest.json")
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise WeightsNotFoundError(
            f"the list of models {path} cannot be read ({error})", hint="install rdae again"
        ) from error
    return content


def shipped(name: str) -> Path:
    """The path of a shipped file."""
    # a wheel is always unpacked on installation, so the resource is a real file
    return Path(str(files("rdae.weights") / name))


def own_files() -> list[Path]:
    """The user's own weights files, in the order of their names."""
    folder = os.environ.get(WEIGHTS_DIR_VARIABLE)
    if not folder:
        return []
    try:
        return sorted(path for path in Path(folder).iterdir() if path.suffix == ".safetensors")
    except OSError as error:
        why = why_unread(error)
        _log.warning("%s: the folder %s cannot be read: %s", WEIGHTS_DIR_VARIABLE, folder, why)
        return []


def own_models() -> Iterator[tuple[Path, Description]]:
    """The user's own weights files that can be read; `verify_weights` names the others."""
    for path in own_files():
        try:
            yield path, read_description(path)
        except (ModelError, OSError) as error:
            leave_out(path, error)


def leave_out(path: Path, error: ModelError | OSError) -> None:
    """Say that one of the user's own weights files cannot be used, which stops nothing else."""
    why = why_unread(error) if isinstance(error, OSError) else error
    _log.warning("%s is left out: %s", path, why)


def why_unread(error: OSError) -> str:
    """The reason alone, as it stands behind a colon."""
    return (error.strerror or str(error)).lower()


def check_sha256(path: Path, wanted: str) -> None:
    """Compare the bytes of a shipped file with the manifest.

    Raises:
        WeightsNotFoundError: there is no such file.
        WeightsMismatchError: it has other bytes.
    """
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

"""The versions of everything that has a say in what rdae does."""

from __future__ import annotations

import json
import platform

from rdae import __version__
from rdae.cli.console import emit

_PACKAGES = ("numpy", "pillow", "constriction", "torch")


def versions() -> dict[str, str]:
    """Return names and versions; no package is imported to ask for its version."""
    from rdae.bitstream.header import VERSION

    found = {
        "rdae": __version__,
        "bitstream": str(VERSION),
        "python": platform.python_version(),
    }
    found.update({name: version for name in _PACKAGES if (version := _installed(name))})
    return found


def version_line() -> str:
    """Return what a bug report should name, in one line."""
    return " · ".join(f"{name} {version}" for name, version in versions().items())


def print_versions(*, as_json: bool, verbose: bool = False) -> None:
    """Print versions and models on stdout, and if `verbose` the kernel; only that imports NumPy."""
    from rdae.model.cards import list_models

    cards = list_models()
    if as_json:
        names = [{"name": c.name, "id": c.id, "fingerprint": c.fingerprint} for c in cards]
        emit(json.dumps({"schema": "rdae.version/1", **versions(), "models": names}))
        return
    emit(version_line())
    texts = [
        f"{card.name} (id {card.id}{f', {card.fingerprint}' * bool(card.fingerprint)}"
        f"{', default' * card.default})"
        for card in cards
    ]
    emit("models: " + (", ".join(texts) or "none"))
    if verbose:
        emit(kernel_line())


def kernel_line() -> str:
    """Return what carries the exact arithmetic, and what else could."""
    from rdae.exact import kernel

    there = kernel.instruction_sets()
    others = f"there are {', '.join([*there, 'numpy'])}" if there else kernel.absence
    return f"kernel: {kernel.selected()} ({others}; RDAE_KERNEL chooses)"


def _installed(package: str) -> str:
    from importlib import metadata  # 60 ms, for --version alone

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""

"""What the shell's Tab key offers for values: files, models, metrics, presets, formats."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from rdae.errors import RdaeError

METRICS = ("psnr", "ms-ssim", "ssimulacra2")


def complete_rd(incomplete: str) -> list[str]:
    """Complete the name of an .rd file, or of a folder on the way to one."""
    return _files(incomplete, ".rd")


def complete_model(incomplete: str) -> list[str]:
    """Complete the name of an installed model, or of a weights file."""
    from rdae.model.cards import list_models

    try:
        names = [card.name for card in list_models()]
    except (RdaeError, OSError):
        names = []
    return [*_begun(names, incomplete), *_files(incomplete, ".safetensors")]


def complete_metrics(incomplete: str) -> list[str]:
    """Complete the last name of a list of metrics."""
    before, comma, begun = incomplete.rpartition(",")
    used = set(before.split(","))
    return [before + comma + name for name in _begun(METRICS, begun) if name not in used]


def complete_preset(incomplete: str) -> list[str]:
    """Complete the name of an architecture."""
    from rdae.model.presets import PRESETS

    return _begun(PRESETS, incomplete)


def complete_format(incomplete: str) -> list[str]:
    """Complete the name of a format that decompress writes."""
    from rdae.cli.options import Format

    return _begun([format.value for format in Format], incomplete)


def _begun(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _files(incomplete: str, extension: str) -> list[str]:
    folder, prefix = os.path.split(incomplete)
    try:
        entries = sorted(os.scandir(folder or "."), key=lambda entry: entry.name)
    except OSError:
        return []
    return [
        _as_typed(os.path.join(folder, entry.name) + (os.sep if entry.is_dir() else ""))
        for entry in entries
        if entry.name.startswith(prefix)
        and (entry.is_dir() or entry.name.lower().endswith(extension))
    ]


def _as_typed(name: str) -> str:
    """Return a name as bash wants it: it puts it on the line as it is, spaces and all.

    Other shells quote what they are given; so does bash inside a quotation that was begun.
    """
    words = os.environ.get("COMP_WORDS", "")
    is_quoted = words.count('"') % 2 or words.count("'") % 2
    if os.environ.get("_RDAE_COMPLETE") != "complete_bash" or is_quoted:
        return name
    return _Escaped(re.sub(r"([^\w@%+=:,./~-])", r"\\\1", name))


class _Escaped(str):
    """A completion that Typer is not to compare, with its backslashes, with what was typed."""

    def startswith(self, *args: object) -> bool:
        return True

"""How to install what an extra of rdae brings, in the way in which rdae itself was installed."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def install_hint(extra: str) -> str:
    """Return the command that installs an extra: `pip install 'rdae[train]'`.

    The name alone works only where rdae came from a package index. A checkout is named by its
    folder, a wheel or a repository by the address that pip remembers (PEP 610).
    """
    if (_HERE.parent / "pyproject.toml").is_file():
        return f"pip install -e '{_HERE.parent}[{extra}]'"
    address = _address()
    return f"pip install 'rdae[{extra}]{f' @ {address}' if address else ''}'"


def _address() -> str:
    """Where pip took rdae from, if that was no package index and is still there."""
    # Here, since they take 80 ms, and a hint is rarely needed.
    import json
    from importlib import metadata
    from urllib.parse import urlparse
    from urllib.request import url2pathname

    try:
        origin = json.loads(metadata.distribution("rdae").read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, OSError, ValueError):
        return ""
    address = str(origin.get("url", ""))
    if address.startswith("file:"):
        return address if Path(url2pathname(urlparse(address).path)).exists() else ""
    system = origin.get("vcs_info", {}).get("vcs")
    return f"{system}+{address}" if system else address

"""Imports point one way, as docs/architecture.md says; read from the sources, nothing is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"

# From the ground up; a room may import from its own floor only where it is alone on it.
FLOORS = (
    ("ground",),
    ("images", "bitstream", "exact"),
    ("lossless",),
    ("model",),
    ("autoencoder",),
    ("codec",),
    ("training", "evaluation"),
    ("faces",),
    ("cli",),
)
GROUND = (
    *("errors", "limits", "geometry", "threads", "scales", "rounding", "distortion", "files"),
    *("network_spec", "tensor_file", "extras", "folder_lock"),
)
FACES = ("rdae", "rdae.torch", "rdae.pillow_plugin")
COMMAND = "rdae.__main__"  # starts the command line

# (importer, imported) of what still points the wrong way. It is to become shorter; nothing is
# added without a reason beside it.
VIOLATIONS: tuple[tuple[str, str], ...] = (
    # the kernel also holds the inner loops of the range coder, and its tables; it could stand below
    ("rdae.bitstream.range_coder", "rdae.exact.kernel"),
    ("rdae.bitstream.range_coder", "rdae.exact.kernel.coder"),
    ("rdae.bitstream.tables", "rdae.exact.kernel.coder"),
)

# Heavy packages, and the rooms and faces that may import them when they are imported themselves.
HEAVY = {
    "torch": ("autoencoder", "training", "rdae.torch"),
    "compressai": ("autoencoder", "training"),
    "pytorch_optimizer": ("training",),
    "matplotlib": ("evaluation.report", "training"),
}

pytestmark = pytest.mark.skipif(
    not (ROOT / "rdae").is_dir(), reason="the tests stand apart from the sources"
)


def modules() -> dict[str, Path]:
    """All modules by their names; those of cli/ as they are imported."""
    found = {}
    for folder, package in (("rdae", "rdae"), ("cli", "rdae.cli")):
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *parts]).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(path: Path, *, at_once: bool = False) -> Iterator[str]:
    """The modules that a file imports, anywhere in it; `from a import b` is a.b if that is one.

    Args:
        path: of the file.
        at_once: only what is imported with the file, outside of functions and TYPE_CHECKING.
    """
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                # rdae's own version stands in its __init__, but is ground to all
                yield inner if inner in MODULES or name.name == "__version__" else str(node.module)
        elif not at_once or not (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        ):
            waiting += ast.iter_child_nodes(node)


def room_of(module: str) -> str:
    """The room in which a module stands."""
    if module in FACES:
        return "faces"
    if module == COMMAND:
        return "cli"
    room = module.split(".")[1]
    return "ground" if room in (*GROUND, "__version__") else room


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def wrong() -> set[tuple[str, str]]:
    """All imports of a room that is not below the importer's."""
    found = set()
    for module, path in MODULES.items():
        for imported in imports(path):
            if imported.split(".")[0] != "rdae":
                continue
            here, there = room_of(module), room_of(imported)
            if here != there and floor_of(there) >= floor_of(here):
                found.add((module, imported))
    return found


def test_every_module_stands_in_a_room() -> None:
    rooms = {room for floor in FLOORS for room in floor}
    assert {room_of(module) for module in MODULES} <= rooms
    assert set(GROUND) <= {module.split(".")[-1] for module in MODULES}


def test_imports_point_one_way() -> None:
    assert wrong() - set(VIOLATIONS) == set(), "move what both need to a floor below"


def test_what_was_mended_is_not_listed_any_more() -> None:
    assert set(VIOLATIONS) - wrong() == set()


@pytest.mark.parametrize("package", HEAVY)
def test_heavy_packages_are_imported_where_they_are_used(package: str) -> None:
    importers = {
        module
        for module, path in MODULES.items()
        if any(name.split(".")[0] == package for name in imports(path, at_once=True))
    }
    places = tuple(f"{p}." if p in FACES else f"rdae.{p}." for p in HEAVY[package])
    assert importers, f"nothing imports {package}"
    assert {m for m in importers if not f"{m}.".startswith(places)} == set()


def test_imports_in_a_file_are_found_wherever_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "import json, rdae.codec.tile\n"
        "from rdae import errors, __version__\n"
        "from rdae.codec import encode\n"
        "if TYPE_CHECKING:\n    from PIL.Image import Image\n"
        "def f():\n    try:\n        import torch\n    except ImportError: pass\n"
    )
    at_once = {"json", "rdae.codec.tile", "rdae.errors", "rdae.__version__", "rdae.codec"}
    assert set(imports(file, at_once=True)) == at_once
    assert set(imports(file)) == at_once | {"PIL.Image", "torch"}


def test_the_page_lists_every_room_and_all_of_the_ground() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in (*(room for floor in FLOORS[1:] for room in floor if room != "faces"), *GROUND):
        assert f"`{name}" in text, name


@pytest.mark.parametrize("page", [PAGE, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"])
def test_the_pages_name_files_and_functions_that_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    names = re.findall(r"`([\w./]+/[\w.]*)`", text)
    assert names
    for name in names:
        assert any((folder / name).exists() for folder in (ROOT, ROOT / "rdae")), name
    for name, place in re.findall(r"`([\w.]+)` in `([\w/]+\.py)`", text):
        there = ast.unparse(ast.parse((ROOT / place).read_text(encoding="utf-8")))
        for part in name.split("."):
            assert re.search(rf"\b(def|class) {part}\b|^{part}\b", there, re.MULTILINE), name
    for link in re.findall(r"\]\((?!https:)([^)#]+)", text):
        assert (page.parent / link).exists(), link

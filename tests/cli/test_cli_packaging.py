"""What is installed is what stands in the repository."""

from __future__ import annotations

import importlib.resources
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import rdae

ROOT = Path(__file__).parents[2]
in_checkout = pytest.mark.skipif(
    not (ROOT / "rdae").is_dir(), reason="the tests stand apart from the sources"
)


def settings() -> dict[str, Any]:
    if sys.version_info < (3, 11):
        pytest.skip("needs tomllib")
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@in_checkout
def test_the_list_of_packages_is_that_of_the_tree() -> None:
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "rdae").rglob("__init__.py")
    }
    packages = settings()["tool"]["setuptools"]["packages"]
    assert packages == sorted(found | {"rdae.cli", "rdae.web", "rdae.weights"})


@in_checkout
def test_the_citation_is_of_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {rdae.__version__}\n" in text
    assert settings()["project"]["urls"]["Homepage"] in text


def test_the_command_and_the_weights_install_inside_the_package() -> None:
    import rdae.cli.main

    assert rdae.cli.main.__name__ == "rdae.cli.main"
    assert (importlib.resources.files("rdae.weights") / "manifest.json").is_file()
    assert (importlib.resources.files("rdae.web") / "rdae.js").is_file()


def of_web() -> set[str]:
    """What is served of web/: all but what makes it, and the example, whose pictures stay here."""
    kinds = {".css", ".html", ".js", ".svg", ".wasm", ".webmanifest"}
    files = (path for path in (ROOT / "web").rglob("*") if path.suffix in kinds)
    return {str(path.relative_to(ROOT)) for path in files} - {"web/example.html"}


@in_checkout
def test_the_settings_name_all_files_of_web() -> None:
    patterns = settings()["tool"]["setuptools"]["package-data"]["rdae.web"]
    named = {
        str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(f"web/{pattern}")
    }
    assert named >= of_web()


@in_checkout
def test_the_package_works_from_a_checkout_that_is_not_installed() -> None:
    code = """
import sys
editable = [f for f in sys.meta_path if "editable" in getattr(f, "__module__", "")]
sys.meta_path = [f for f in sys.meta_path if f not in editable]
import rdae.cli.main, rdae.weights
print(rdae.__file__)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert Path(done.stdout.strip()).parent == ROOT / "rdae"


def test_completion_offers_rd_files_and_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rdae.cli.completion import complete_rd

    monkeypatch.chdir(tmp_path)
    for name in ("a.rd", "a.png", "b.RD"):
        Path(name).touch()
    Path("archive").mkdir()
    Path("archive/x.rd").touch()
    assert complete_rd("") == ["a.rd", "archive/", "b.RD"]
    assert complete_rd("a") == ["a.rd", "archive/"]
    assert complete_rd("archive/") == ["archive/x.rd"]
    assert complete_rd("nowhere/") == []


@in_checkout
@pytest.mark.slow
def test_the_wheel_has_everything_and_nothing_else(tmp_path: Path) -> None:
    # A copy: setuptools leaves a folder build/, and takes what an older build left there.
    source = tmp_path / "source"
    for folder in ("rdae", "cli", "web", "weights"):
        shutil.copytree(ROOT / folder, source / folder)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)),
        ],
        check=True,
    )
    (wheel,) = tmp_path.glob("rdae-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = set(archive.namelist())
    modules = {f"rdae/cli/{path.name}" for path in (ROOT / "cli").glob("*.py")}
    modules |= {str(path.relative_to(ROOT)) for path in (ROOT / "rdae").rglob("*.py")}
    assert modules | {"rdae/web/__init__.py", "rdae/weights/__init__.py"} == {
        f for f in files if f.endswith(".py")
    }
    assert {"rdae/py.typed", "rdae/bitstream/FORMAT.md", "rdae/weights/manifest.json"} <= files
    assert any(name.endswith(".safetensors") for name in files)
    of_desktop = {
        f"rdae/cli/desktop_files/{p.name}" for p in (ROOT / "cli/desktop_files").iterdir()
    }
    assert of_desktop and of_desktop <= files
    assert {f"rdae/{name}" for name in of_web()} <= files
    assert {name.split("/")[0].split("-")[0] for name in files} == {"rdae"}

"""What is not installed: who can do without it, and who says what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from rdae.extras import install_hint
from rdae.images.picture import Picture

HINT = install_hint("train")


def python(folder: Path, missing: tuple[str, ...], *args: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, where some packages cannot be imported."""
    hide = "".join(f"sys.modules[{name!r}] = None\n" for name in missing)
    (folder / "sitecustomize.py").write_text("import sys\n" + hide)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, *args]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)


def test_without_torch_training_and_searches_say_what_to_install(tmp_path: Path) -> None:
    missing = "training, export and efforts from 3 on need torch"
    run = python(tmp_path, ("torch",), "-m", "rdae.training", "--help")
    assert run.returncode == 1
    assert run.stderr.splitlines() == [f"rdae: {missing}", f"hint: {HINT}"]
    run = python(tmp_path, ("torch",), "-c", "import rdae.autoencoder")
    assert run.returncode == 1 and f"MissingDependencyError: {missing}" in run.stderr


def test_a_search_needs_torch_alone(tmp_path: Path, photo: Picture) -> None:
    pytest.importorskip("torch")
    missing = ("compressai", "pytorch_optimizer")
    Image.fromarray(photo.rgb[:48, :64]).save(tmp_path / "a.png")
    run = python(tmp_path, missing, "-m", "rdae", "compress", "a.png", "-e", "3")
    assert run.returncode == 0 and (tmp_path / "a.rd").is_file(), run.stderr
    for command in (("train", ".", "-o", "run"), ("export", ".", "-o", "a.safetensors")):
        run = python(tmp_path, missing, "-m", "rdae", *command)
        said, hint = run.stderr.splitlines()
        assert run.returncode == 1 and not (tmp_path / command[-1]).exists()
        assert "training and export need compressai, pytorch_optimizer" in said
        assert hint.startswith("hint: ") and hint.endswith(HINT)

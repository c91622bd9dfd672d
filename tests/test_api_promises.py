"""What the interface promises beside its results: names, types, threads, examples that run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from PIL import Image

import rdae

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "python.md"
RNG = np.random.default_rng(5)


def test_the_public_names_are_those_that_are_listed():
    assert rdae.__all__ == sorted(rdae.__all__)
    assert all(getattr(rdae, name) is not None for name in rdae.__all__)
    assert (Path(rdae.__file__).parent / "py.typed").is_file()


def test_four_threads_get_the_same_bytes_and_pixels_as_one(photo):
    crops = [
        photo.rgb[top : top + 70, left : left + 90] for top, left in RNG.integers(0, 380, (4, 2))
    ]

    def round_trip(i: int) -> tuple[bytes, bytes]:
        data = rdae.compress(crops[i], quality=20 + 20 * i)
        return data, rdae.decompress(data).tobytes()

    alone = [round_trip(i) for i in range(4)]
    start = Barrier(4)

    def many(first: int) -> list[tuple[bytes, bytes]]:
        start.wait()
        return [round_trip((first + i) % 4) for i in range(4)]

    with ThreadPoolExecutor(4) as pool:
        for first, results in enumerate(pool.map(many, range(4))):
            assert results == [alone[(first + i) % 4] for i in range(4)]


FIRST_USE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
import rdae

sys.setswitchinterval(1e-5)
start = Barrier(4)

def use(i):
    start.wait()
    if i == 3:
        rdae.register_pillow()
    data = rdae.compress(sys.argv[1], quality=50)
    return data, rdae.decompress(data).tobytes(), rdae.read_info(data)

assert "numpy" not in sys.modules and "PIL" not in sys.modules
with ThreadPoolExecutor(4) as pool:
    results = list(pool.map(use, range(4)))
assert all(result == results[0] for result in results), "threads disagree"
sys.stdout.buffer.write(results[0][0])
"""


def test_the_first_use_may_be_from_several_threads_at_once(crop, tmp_path):
    png = tmp_path / "crop.png"
    Image.fromarray(crop).save(png)
    done = subprocess.run([sys.executable, "-c", FIRST_USE, str(png)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == rdae.compress(crop, quality=50)


USER = """
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

import rdae

data: bytes = rdae.compress(Path("a.png"), quality=70, to_8bit=True)
data = rdae.compress(np.zeros((4, 4, 3), np.uint8), model="photo", threads=1, effort=1)
data = rdae.compress(np.zeros((4, 4)), to_8bit=True, target_size=1000)
data = rdae.compress(Image.new("L", (4, 4)), to_srgb=True, first_frame=False)
data = rdae.compress(data)
image: Image.Image = rdae.decompress(data, max_pixels=10)
image = rdae.decompress(Path("a.rd"), region=(0, 0, 4, 4))
image = rdae.decompress(bytearray(data), thumbnail=256)
width: int = rdae.read_info("a.rd").width
height: int = rdae.verify(memoryview(data), threads=1).height
with open("a.rd", "rb") as file, zipfile.ZipFile("a.zip") as archive:
    image = rdae.decompress(file)
    data = rdae.compress(archive.open("a.png"))
    data = rdae.compress(io.BytesIO(data))
    rdae.verify(io.BytesIO(data))
    width = rdae.read_info(file).width
rdae.register_pillow()
rdae.compress(5)  # type: ignore[arg-type]
rdae.decompress(io.StringIO(""))  # type: ignore[arg-type]
rdae.verify(None)  # type: ignore[arg-type]
"""


@pytest.mark.slow
def test_a_strict_type_checker_knows_the_interface(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(USER)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "user.py"]
    # an editable install is a hook of Python's imports, which mypy does not know
    there = {**os.environ, "MYPYPATH": str(Path(rdae.__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=there, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def examples() -> list[str]:
    """The examples of the page, but those that need torch."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return [block for block in blocks if "torch" not in block]


@pytest.mark.skipif(not PAGE.is_file(), reason="the tests stand apart from the sources")
def test_the_examples_of_the_page_run(tmp_path, monkeypatch, crop, capsys):
    pytest.importorskip("imageio")
    shutil.copy(ROOT / "examples" / "photo.png", tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    assert len(examples()) >= 5
    for block in examples():
        exec(compile(block, str(PAGE), "exec"), names)
    assert Path("photo.rd").is_file()


def test_dir_shows_what_is_public() -> None:
    assert dir(rdae) == sorted(rdae.__all__)


@pytest.mark.parametrize(
    ("limits", "kind", "said"),
    [
        ({"threads": 0}, ValueError, "threads must be 1 or more, got 0"),
        ({"threads": "2"}, TypeError, "threads must be a whole number, got '2'"),
        ({"threads": 1.5}, TypeError, "threads must be a whole number, got 1.5"),
        ({"threads": True}, TypeError, "threads must be a whole number, got True"),
        ({"max_pixels": "9"}, TypeError, "max_pixels must be a number, got '9'"),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_all_functions(
    limits: dict[str, Any], kind: type[Exception], said: str
) -> None:
    pixels = np.zeros((3, 4), np.uint8)
    pixels[1] = 9
    data = rdae.compress(pixels, threads=1, max_pixels=1000)
    calls: list[tuple[Any, Any]] = [(rdae.compress, pixels), (rdae.decompress, data)]
    for call, given in [*calls, (rdae.preview, data), (rdae.verify, data)]:
        with pytest.raises(kind) as caught:
            call(given, **limits)
        assert str(caught.value) == said
        assert not isinstance(caught.value, rdae.errors.RdaeError)

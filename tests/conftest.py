"""Fixtures that many tests share: a real photo, the shipped model, and the command line."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from rdae.cli.main import main
from rdae.exact import kernel
from rdae.images.picture import Picture
from rdae.images.pillow import read_picture
from rdae.model.installed import load_model
from rdae.model.model import Model
from rdae.threads import default_threads

# A machine that has other work to do is slow, not wrong.
settings.register_profile("rdae", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rdae")

# A shell has what runs in its background ignore SIGINT, and so would all that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

MAX_PROCESSES = 4  # each needs memory of its own, and many tests use all cores themselves

ROOT = Path(__file__).parent.parent
PHOTO = ROOT / "examples" / "photo.png"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run the whole suite in several processes, and tests that were named in this one."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    return min(default_threads(), MAX_PROCESSES)


@pytest.fixture(scope="module", params=["yes", "no"])
def carrier(request: pytest.FixtureRequest) -> Iterator[str]:
    """The tests of a module with the compiled kernel and without it."""
    if request.param == "yes" and not kernel.instruction_sets():
        pytest.skip("no kernel was built")
    before = kernel.selected()
    kernel.select(request.param)
    yield request.param
    kernel.select("no" if before == "numpy" else before)


@pytest.fixture(scope="session")
def photo() -> Picture:
    """The 768x512 photo that the README compresses."""
    return read_picture(PHOTO)


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep lossless files in tiles, and alpha apart, whatever takes fewer bytes."""
    monkeypatch.setattr("rdae.codec.lossless.MAX_UNDIVIDED_PIXELS", 0)


@pytest.fixture(scope="session")
def model() -> Model:
    """The default model."""
    return load_model()


@pytest.fixture(scope="session")
def crop(photo: Picture) -> NDArray[np.uint8]:
    """A 160x240 detail of the photo, `(H, W, 3)`."""
    return np.ascontiguousarray(photo.rgb[170:330, 260:500])


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process and the test's folder, for what needs no process of its own.

    A hundred times as fast where the command imports much. Gives the exit code and what was
    written to standard output and standard error. `folder` is another one to run it in.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: str, folder: Path = tmp_path) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["rdae", *arguments])
        code = main()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run

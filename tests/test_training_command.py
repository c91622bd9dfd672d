"""`rdae train` end to end, as a user runs it: train, kill, resume, export, compress, decompress."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("compressai")
pytest.importorskip("pytorch_optimizer")

from torch import Tensor  # noqa: E402

from rdae.images.picture import Picture  # noqa: E402
from rdae.training.checkpoint import checkpoints, read_checkpoint  # noqa: E402
from rdae.training.launch import free_port  # noqa: E402
from tests.cli.cli_runner import InProcess, environment, run_rdae  # noqa: E402
from tests.processes import has_members, wait_until  # noqa: E402

SETTINGS = ("--preset", "tiny", "--batch", "2", "--crop", "64", "--precision", "float32")
STEPS = 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, photo: Picture) -> Path:
    """Ten photos: pieces of one."""
    folder = tmp_path_factory.mktemp("photos")
    for k in range(10):
        piece = photo.rgb[50 * (k % 5) : 50 * (k % 5) + 128, 350 * (k // 5) : 350 * (k // 5) + 192]
        Image.fromarray(piece).save(folder / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The folder of a run that torchrun has started and nobody has disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run_python(
        *(folder, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "rdae.training", photos, "-o", "run", "--steps", str(STEPS), *SETTINGS),
    )
    return folder / "run"


@pytest.fixture
def call_quietly(call: InProcess, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """`call` where warnings of torch do not count; training sets the variable if it is not set."""
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    return call


def run_python(folder: Path, *arguments: str | Path) -> str:
    """Run Python in a folder to its good end; returns what it wrote to standard error."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment({"PYTHONWARNINGS": "ignore"}),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def start(folder: Path, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """Start a run in a process group of its own and wait for its first checkpoint."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rdae", "train", *arguments, *SETTINGS],
        cwd=folder,
        env=environment({"PYTHONWARNINGS": "ignore"}),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while not checkpoints(folder / "run"):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return process


def final_weights(run: Path) -> dict[str, Tensor]:
    content, _ = read_checkpoint(checkpoints(run)[-1])
    assert content["step"] == STEPS
    return content["ema"]


def assert_same_weights(run: Path, other: Path) -> None:
    expected = final_weights(other)
    for name, tensor in final_weights(run).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="torchrun's agents need POSIX")
def test_two_hosts_train_as_two_processes_of_one_do(photos, whole, tmp_path):
    hosts = ("--nnodes", "2", "--master-addr", "127.0.0.1", "--master-port", str(free_port()))
    command = (sys.executable, "-m", "torch.distributed.run", *hosts)
    arguments = (photos, "-o", "run", "--steps", str(STEPS), *SETTINGS)
    agents = [
        subprocess.Popen(
            [*command, "--node-rank", rank, "-m", "rdae.training", *arguments],
            cwd=tmp_path,
            env=environment({"PYTHONWARNINGS": "ignore"}),
            stderr=subprocess.DEVNULL,
        )
        for rank in ("0", "1")
    ]
    try:
        assert [agent.wait(timeout=300) for agent in agents] == [0, 0]
    finally:
        for agent in agents:
            agent.terminate()
    assert len(list(checkpoints(tmp_path / "run")[-1].glob("process-*.pt"))) == 2
    assert_same_weights(tmp_path / "run", whole)


@pytest.mark.slow  # minutes of starting processes that import torch
@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_killed_run_resumes_and_ends_like_one_of_torchrun_that_was_not_killed(
    photos, whole, tmp_path, call_quietly
):
    options = ("-o", "run", "--procs", "2", "--checkpoint-minutes", "0.005")
    process = start(tmp_path, photos, *options, "--steps", str(STEPS))
    process.send_signal(signal.SIGKILL)  # the others notice by themselves
    process.wait()
    wait_until(lambda: not has_members(process.pid))
    killed_at = int(checkpoints(tmp_path / "run")[-1].name.partition("-")[2])
    assert 0 < killed_at < STEPS
    code, _, said = call_quietly("train", str(photos), *options, "--steps", str(STEPS), *SETTINGS)
    assert code == 1 and "--resume goes on with it" in said
    again = ("--resume", "-o", "run", "--procs", "2", "--checkpoint-minutes", "4")
    said = run_python(tmp_path, "-m", "rdae", "train", *again, *SETTINGS)
    assert "done: run/report.md" in said
    assert_same_weights(tmp_path / "run", whole)
    said = run_python(tmp_path, "-m", "rdae", "train", "--resume", *options, *SETTINGS)
    assert "the run had ended before: run/report.md" in said
    assert f"hint: more than --steps {STEPS} goes on with it" in said


@pytest.mark.skipif(sys.platform == "win32", reason="has other signals")
def test_a_run_has_one_writer_and_ctrl_c_ends_it_with_a_checkpoint(photos, tmp_path, call_quietly):
    process = start(tmp_path, photos, "-o", "run", "--hours", "1", "--checkpoint-minutes", "0.005")
    code, _, said = call_quietly("train", "--resume", "-o", "run")
    assert code == 1 and f"run is in use by process {process.pid} " in said
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all of them
    assert process.wait(60) == 130
    wait_until(lambda: not has_members(process.pid))
    content, processes = read_checkpoint(checkpoints(tmp_path / "run")[-1])
    assert content["step"] > 0 and processes
    assert not (tmp_path / "run" / "rdae.lock").exists()


@pytest.mark.slow  # torchrun and two processes that import torch
def test_a_finished_run_leaves_its_papers_and_a_model_that_works(
    whole, photo, tmp_path, call_quietly, monkeypatch
):
    monkeypatch.setattr("rdae.training.export.TABLE_CROPS", 20)
    monkeypatch.setattr("rdae.training.tables.FIT_STEPS", 10)
    assert (whole / "report.md").read_text().startswith("# A training run")
    assert "<svg" in (whole / "curves.svg").read_text()
    code, _, said = call_quietly("export", str(whole), "-o", "mine.safetensors")
    assert code == 0, said
    assert "proved exact" in said
    code, _, said = call_quietly("export", str(whole), "-o", "mine.safetensors")
    assert code == 1 and "exists" in said
    nonsense = tmp_path / "nonsense.json"
    for given, options, message in (
        ("{}", ("-o", "none/mine.safetensors"), "none: no such folder"),
        ("{}", ("--name", "x" * 65), "a model's name has 1 to"),
        ('{"rd_points": "x"}', (), "rd_points of the model's provenance"),
        ('{"hours": NaN}', (), "NaN is no number"),
    ):
        nonsense.write_text(given)
        arguments = ("-o", "other.safetensors", "--provenance", "nonsense.json", *options)
        code, _, said = call_quietly("export", str(whole), *arguments)
        assert code in (1, 2) and message in said.splitlines()[0], said
    inside = checkpoints(whole)[-1]
    last = str(tmp_path / "last.safetensors")
    code, _, said = call_quietly("export", ".", "-o", last, folder=inside)
    assert code == 0, said

    Image.fromarray(photo.rgb[:200, 300:600]).save(tmp_path / "crop.png")
    for arguments in (
        ("compress", "crop.png", "-m", "mine.safetensors"),
        ("decompress", "crop.rd", "--weights", "mine.safetensors", "-o", "back.png"),
        ("models", "show", "mine"),
    ):
        done = run_rdae(tmp_path, *arguments, RDAE_WEIGHTS_DIR=str(tmp_path))
        assert done.code == 0, done.err
    assert re.search(rf"^steps +{STEPS}$", done.out.decode(), re.MULTILINE)
    decoded = np.asarray(Image.open(tmp_path / "back.png"), float)
    mse = np.mean((decoded - photo.rgb[:200, 300:600]) ** 2)
    assert 10 * np.log10(255**2 / mse) > 15


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("photos",), 2, "-o RUN is missing"),
        (("-o", "run"), 2, "a folder of photos is missing"),
        (("none", "-o", "run", "--steps", "1"), 1, "is not a folder of photos"),
        (("photos", "-o", "run"), 2, "--hours or --steps is missing"),
        (("photos", "-o", "run", "--steps", "1", "--init", "no"), 2, "no such file or folder"),
        (("--resume", "-o", "run"), 1, "holds no run to resume"),
        (("photos", "-o", "run", "--steps", "1"), 1, "0 photos to train on"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(
    tmp_path, call_quietly, arguments, code, message
):
    (tmp_path / "photos").mkdir()
    found, printed, said = call_quietly("train", *arguments)
    assert (found, printed) == (code, "")
    first = said.splitlines()[0]
    assert first.startswith("rdae: ") and message in first
    assert len(said.splitlines()) <= 2
    assert not (tmp_path / "run" / "config.json").exists()

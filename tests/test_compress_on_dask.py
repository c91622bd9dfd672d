"""examples/compress_on_dask.py on a cluster of two processes, one of which dies on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rdae
from rdae.model import installed

distributed = pytest.importorskip("distributed")

SCRIPT = Path(__file__).parent.parent / "examples" / "compress_on_dask.py"
COUNT = 12
TIMEOUT = 300  # seconds, for what takes one

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="stops a process"),
    pytest.mark.filterwarnings("default"),  # Dask's own are not ours
]


@pytest.fixture
def photos(tmp_path: Path, crop: np.ndarray) -> Path:
    """Pictures in two folders, one that is none, and one whose .rd file is there already."""
    folder = tmp_path / "photos"
    (folder / "inner").mkdir(parents=True)
    for number in range(COUNT):
        name = f"{number}.png" if number % 2 else f"inner/{number}.png"
        Image.fromarray(crop[number : number + 48, :64]).save(folder / name)
    Image.fromarray(crop[:20]).save(folder / "done.png")
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "done.rd").write_bytes(b"as it was")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def wait_for(happens) -> None:
    end = time.monotonic() + TIMEOUT
    while not happens():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)


def test_a_worker_that_dies_loses_no_picture(tmp_path: Path, photos: Path) -> None:
    small = tmp_path / "small"
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=False
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        command = [sys.executable, SCRIPT, photos, small, "--scheduler", cluster.scheduler_address]
        processes = client.run(os.getpid)
        dying = min(processes)
        os.kill(processes[dying], signal.SIGSTOP)  # so that it surely holds pictures when it dies
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            assert run.stdout is not None
            wait_for(lambda: client.processing()[dying])
            first = run.stdout.readline()
            assert run.poll() is None
            os.kill(processes[dying], signal.SIGKILL)
            rest, said = run.communicate(timeout=TIMEOUT)
        records = [json.loads(line) for line in [first, *rest.splitlines()]]
        assert run.returncode == 1

        # The model's cache counts: each process that compressed has read the weights once.
        caches = client.run(installed._load.cache_info)
        assert dying not in caches
        assert all(cache.misses == (cache.misses + cache.hits > 0) for cache in caches.values())
        assert sum(cache.misses + cache.hits for cache in caches.values()) == COUNT

        again = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        assert client.run(installed._load.cache_info) == caches

    by_name = {Path(record["input"]).relative_to(photos).as_posix(): record for record in records}
    assert len(records) == len(by_name) == COUNT + 2
    broken, done = by_name.pop("broken.png"), by_name.pop("done.png")
    assert (broken["ok"], broken["error"]["code"]) == (False, "unsupported-image")
    assert (done["ok"], done["skipped"]) == (True, True)
    assert (small / "done.rd").read_bytes() == b"as it was"
    assert f"{photos / 'broken.png'}: not an image" in said
    assert f"{COUNT + 1} of {COUNT + 2} are compressed" in said
    for name, record in by_name.items():
        assert (record["ok"], record["skipped"], record["error"]) == (True, False, None)
        data = Path(record["output"]).read_bytes()
        assert Path(record["output"]) == (small / name).with_suffix(".rd")
        assert data == rdae.compress(photos / name)
    assert len([path for path in small.rglob("*") if path.is_file()]) == COUNT + 1

    records_again = [json.loads(line) for line in again.stdout.splitlines()]
    assert again.returncode == 1 and len(records_again) == COUNT + 2
    assert {r["input"] for r in records_again if not r["skipped"]} == {str(photos / "broken.png")}

    # A record is that of the command, but for what only the command knows.
    by_command = subprocess.run(
        [sys.executable, "-m", "rdae", "compress", "--json", photos / "1.png", tmp_path / "1.rd"],
        capture_output=True,
        check=True,
    ).stdout.splitlines()[0]
    wanted, found = json.loads(by_command), by_name["1.png"]
    assert list(wanted) == list(found)
    differing = {name for name in wanted if wanted[name] != found[name]}
    assert differing <= {"output", "encode_s", "load_s", "tries", "remarks", "model"}

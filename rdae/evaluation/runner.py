"""The work of an evaluation: every codec over every picture at every quality, for real.

A job is one picture, one codec, one quality: encode to the bytes of a whole file, decode these,
compare. Its result is a row of `results.jsonl`, to which rows are only ever appended, so a run
that is killed goes on where it was. Jobs run in processes of their own, each held to one core and
one thread: what a row says does not depend on how many there are, but for the times.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from rdae.errors import RdaeError
from rdae.evaluation.codecs import parse_spec
from rdae.evaluation.dataset import Image
from rdae.evaluation.metrics import Metric, MetricError
from rdae.evaluation.protocol import Codec
from rdae.evaluation.results import COLD_SCHEMA, ROW_SCHEMA, Job, Row
from rdae.images.pillow import read_picture
from rdae.images.transparency import Pixels, look_equal, pixels_of

_WARM_UP_SIDE = 128
_COLD_STARTS = 3
_CRASH = "the codec crashed its process"


def plan(
    images: Sequence[Image], codecs: Sequence[Codec], metrics: tuple[Metric, ...], reps: int = 1
) -> list[Job]:
    """All jobs of a run, picture by picture, so that a run that is cut short has whole pictures.

    Codecs that cannot hold transparency have none for pictures with it.
    """
    return [
        Job(image, codec.name, codec.settings, quality, metrics, reps)
        for image in images
        for codec in codecs
        if codec.holds_alpha or not image.alpha
        for quality in codec.qualities
    ]


def run_job(job: Job) -> Row:
    """Do one job in this process. Whatever goes wrong is said in the row."""
    row = _blank(job)
    try:
        _measure(job, row)
    except Exception as error:
        said = str(error) if isinstance(error, RdaeError) else f"{type(error).__name__}: {error}"
        row.update(ok=False, error=" ".join(said.split()))
    return row


def _blank(job: Job) -> Row:
    return {
        "schema": ROW_SCHEMA,
        "image": job.image.image,
        "sha256": job.image.sha256,
        "width": job.image.width,
        "height": job.image.height,
        "codec": job.codec,
        "spec": job.settings,
        "quality": job.quality,
        "bytes": None,
        "bpp": None,
        "bits": None,
        **{metric.name: None for metric in job.metrics},
        "identical": False,
        "skipped": {},
        "encode_s": None,
        "decode_s": None,
        "load_s": None,
        "ok": True,
        "error": None,
    }


def _measure(job: Job, row: Row) -> None:
    source = _pixels(job.image.path)
    codec, row["load_s"] = _loaded(job.codec)
    _warm_up(job.codec, job.quality, source)
    encode_s, decode_s = [], []
    for _ in range(job.reps):
        began = time.perf_counter()
        data = codec.encode(source, job.quality)
        encoded = time.perf_counter()
        decoded = codec.decode(data)
        decode_s.append(time.perf_counter() - encoded)
        encode_s.append(encoded - began)
    row["encode_s"] = round(statistics.median(encode_s), 5)
    row["decode_s"] = round(statistics.median(decode_s), 5)
    row["bytes"] = len(data)
    row["bpp"] = 8 * len(data) / (job.image.width * job.image.height)
    row["bits"] = codec.bits(data)
    _check(codec, source, decoded)
    row["identical"] = look_equal(source, decoded)
    for metric in job.metrics:
        try:
            value = metric(source, decoded)
        except MetricError as error:
            row["skipped"][metric.name] = str(error)
        else:
            row[metric.name] = value if math.isfinite(value) else None


def _check(codec: Codec, source: Pixels, decoded: Pixels) -> None:
    """Raise ValueError if this is not a picture of the source's size, or should equal it."""
    if decoded.dtype != np.uint8 or decoded.shape != source.shape:
        raise ValueError(f"decoded to {decoded.shape} {decoded.dtype}, not {source.shape} uint8")
    if codec.lossless and not look_equal(source, decoded):
        raise ValueError("a lossless codec that gave other pixels")


@lru_cache(maxsize=2)
def _pixels(path: Path) -> Pixels:
    return pixels_of(read_picture(path))


_codecs: dict[str, Codec] = {}
_warm: set[tuple[str, float]] = set()


def _loaded(name: str) -> tuple[Codec, float | None]:
    """A codec, and how long its model took to load if that happened now."""
    if name in _codecs:
        return _codecs[name], None
    codec = parse_spec(name)
    began = time.perf_counter()
    codec.load()
    elapsed = time.perf_counter() - began
    _codecs[name] = codec
    return codec, round(elapsed, 5) if codec.has_model else None


def _warm_up(name: str, quality: float, source: Pixels) -> None:
    """Build tables and fill caches on a detail, before anything is timed."""
    if (name, quality) not in _warm:
        _warm.add((name, quality))
        codec = _codecs[name]
        detail = np.ascontiguousarray(source[:_WARM_UP_SIDE, :_WARM_UP_SIDE])
        codec.decode(codec.encode(detail, quality))


def round_trip(codec_spec: str, image_path: Path, quality: float) -> tuple[bytes, Pixels]:
    """The file and the decoded pixels of one picture, for looking at.

    Raises:
        RdaeError: no such codec, or an unreadable picture.
    """
    codec, _ = _loaded(codec_spec)
    data = codec.encode(_pixels(Path(image_path)), quality)
    return data, codec.decode(data)


# Many jobs


def run(jobs: Iterable[Job], workers: int, on_row: Callable[[Row], None]) -> None:
    """Do jobs in processes and hand over each row as it comes, in no particular order.

    A codec that takes its process down with it costs the rows that did so, no others.
    """
    queue = deque(jobs)
    while queue:
        in_flight: dict[Future[Row], Job] = {}
        try:
            with _pool(workers) as pool:
                while queue or in_flight:
                    # Few at a time: when a process dies, all that were handed out are suspect.
                    while queue and len(in_flight) <= workers:
                        # It leaves the queue once it is taken: a pool that has broken takes none.
                        in_flight[pool.submit(run_job, queue[0])] = queue[0]
                        queue.popleft()
                    for future in wait(in_flight, return_when=FIRST_COMPLETED).done:
                        row = future.result()
                        del in_flight[future]
                        on_row(row)
        except BrokenProcessPool:
            for job in in_flight.values():
                on_row(_run_alone(job))


def _run_alone(job: Job) -> Row:
    try:
        with _pool(1) as pool:
            return pool.submit(run_job, job).result()
    except BrokenProcessPool:
        return {**_blank(job), "ok": False, "error": _CRASH}


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    # Spawned: a fork would copy the locks of our threads in whatever state they are.
    context = multiprocessing.get_context("spawn")
    counter = context.Value("i", 0)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(counter,)
    )
    try:
        yield pool
    except BaseException:
        # Nobody wants what they are working on any more; waiting for it could take minutes.
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(counter: Any) -> None:
    # Ctrl-C reaches the whole group; what becomes of us is for our parent to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # for developers; rows say what a user must know
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with counter.get_lock():
        number = counter.value
        counter.value += 1
    if hasattr(os, "sched_setaffinity"):
        # x265 starts a thread for each core that it may use, whatever it is told.
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})
    threadpool_limits(1)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # it was killed; a worker would wait for its next job for ever


def middle_quality(codec: Codec) -> float:
    """The quality of cold starts."""
    return codec.qualities[len(codec.qualities) // 2]


def cold_start(codec: Codec, image: Image) -> Row | None:
    """Decode one picture in a new process, from its start to the PNG on disk.

    Args:
        codec: the codec.
        image: a picture that it has coded at `middle_quality`: it is coded in this process.

    Returns:
        A row of schema `rdae.eval-cold/1` with the median of three; None if the codec cannot.
    """
    quality = middle_quality(codec)
    with tempfile.TemporaryDirectory(prefix="rdae-eval-") as folder:
        source, output = Path(folder, "file.rd"), Path(folder, "out.png")
        command = codec.cold_command(source, output)
        if command is None:
            return None
        source.write_bytes(round_trip(codec.name, image.path, quality)[0])
        times = []
        for _ in range(_COLD_STARTS):
            output.unlink(missing_ok=True)
            began = time.perf_counter()
            done = subprocess.run(command, capture_output=True, check=False)
            if done.returncode or not output.exists():
                return None
            times.append(time.perf_counter() - began)
    return {
        "schema": COLD_SCHEMA,
        "codec": codec.name,
        "spec": codec.settings,
        "image": image.image,
        "quality": quality,
        "cold_start_s": round(statistics.median(times), 4),
    }

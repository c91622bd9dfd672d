"""Compress a tree of pictures on a Dask cluster whose machines share the folders.

    python examples/compress_on_dask.py PHOTOS/ SMALL/ --quality 60 --scheduler tcp://10.0.0.1:8786
    python examples/compress_on_dask.py PHOTOS/ SMALL/     # on all cores of this machine

It does what `rdae compress -r PHOTOS/ --output-dir SMALL/ --skip-existing --json` does and prints
the same records, a line a picture, in the order in which they are done. Called again, it goes on
where it was stopped. Pictures that fail are listed in the end, also those whose worker died
several times; the exit code is 1 then. docs/scale.md says how to start a cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from distributed import Client, KilledWorker, LocalCluster, as_completed

import rdae
from rdae.cli import figures
from rdae.cli.batch import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from rdae.cli.compress import FIELDS, SCHEMA
from rdae.cli.console import Failure, describe
from rdae.cli.inputs import expand
from rdae.cli.paths import Task, plan
from rdae.errors import RdaeError
from rdae.files import atomic_write
from rdae.images.formats import INPUT_SUFFIXES

Record = dict[str, Any]


def main() -> int:
    """Print the record of every picture, list what failed, and return the exit code."""
    parser = argparse.ArgumentParser(description="Compress a tree of pictures on a Dask cluster.")
    parser.add_argument("photos", metavar="PHOTOS")
    parser.add_argument("output_dir", metavar="SMALL", type=Path)
    parser.add_argument("--scheduler", metavar="ADDRESS", help="default: a cluster of this machine")
    parser.add_argument("--quality", type=float, default=60.0)
    parser.add_argument("--effort", type=int, default=2, choices=range(1, 10))
    options = parser.parse_args()
    if not 0 <= options.quality <= 100:
        parser.error(f"--quality goes from 0 to 100, not to {options.quality:g}")
    failed: list[Record] = []
    try:
        tasks = plan(
            expand([os.path.abspath(options.photos)], extensions=INPUT_SUFFIXES, recursive=True),
            output=None,
            output_dir=options.output_dir.resolve(),
            name_output=lambda place: place.with_suffix(".rd"),
            collision_hint="they need different names",
        )
        cluster = options.scheduler or LocalCluster(threads_per_worker=1, dashboard_address=":0")
        with Client(cluster) as client:
            for record in compress_all(client, tasks, options.quality, options.effort):
                print(json.dumps(record), flush=True)
                if not record["ok"]:
                    failed.append(record)
    except (RdaeError, OSError) as error:  # two pictures of one name; no scheduler there
        print(f"rdae: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("rdae: interrupted; the same command goes on", file=sys.stderr)
        return EXIT_INTERRUPTED
    for record in failed:
        print(f"rdae: {record['input']}: {record['error']['message']}", file=sys.stderr)
    print(f"{len(tasks) - len(failed)} of {len(tasks)} are compressed", file=sys.stderr)
    return EXIT_FAILED if failed else 0


def compress_all(
    client: Client, tasks: list[Task], quality: float, effort: int
) -> Iterator[Record]:
    """Yield the record of each task as soon as there is one."""
    running = {}
    for task in tasks:
        assert task.output is not None
        record = blank_record(task.source.name, task.output_name)
        if task.source.error is not None:
            yield failure(record, task.source.error)
        elif task.output.exists():
            # Looked at here and not by the workers: Dask repeats tasks whose worker has died.
            yield {**record, "skipped": True}
        else:
            # Not pure: what the same call finds on disk changes from run to run.
            future = client.submit(compress_file, record, quality, effort, pure=False)
            running[future] = record
    for future in as_completed(list(running)):
        record = running.pop(future)  # the last reference: the cluster forgets the result, too
        error = future.exception()
        yield future.result() if error is None else failure(record, error)


def compress_file(record: Record, quality: float, effort: int) -> Record:
    """Compress one picture; workers run this. The first call in a process loads the model."""
    source, output = Path(record["input"]), Path(record["output"])
    try:
        began = time.perf_counter()
        data = rdae.compress(source, quality=quality, effort=effort, threads=1)
        encode_s = time.perf_counter() - began
        output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(output, overwrite=True) as file:
            file.write(data)
        input_bytes = source.stat().st_size
    except (RdaeError, OSError, MemoryError) as error:
        return failure(record, error)
    info = rdae.read_info(data)
    known = {
        "width": info.width,
        "height": info.height,
        "mode": figures.mode_name(is_grey=info.is_grey, has_alpha=info.has_alpha),
        "input_bytes": input_bytes,
        "output_bytes": len(data),
        "metadata_bytes": info.metadata_bytes,
        **figures.split_record(info),
        "bpp": info.bpp,
        "ratio": input_bytes / len(data),
        "raw_ratio": figures.raw_bytes(info) / len(data),
        "lossless": info.is_lossless,
        "max_error": info.max_error,
        "base_quality": info.base_quality,
        "quality": None if info.is_lossless else quality,
        "quality_point": None if info.is_lossless else info.quality_point,
        "effort": effort,
        "model_id": info.model_id,
        "encode_s": encode_s,
        "dry_run": False,
    }
    return {**record, **figures.rounded(known)}


def blank_record(source: str, output: str) -> Record:
    """Return a record of `rdae compress --json` in which nothing is known but the names."""
    common = {"schema": SCHEMA, "ok": True, "skipped": False, "input": source}
    return {**common, **dict.fromkeys(FIELDS), "output": output, "error": None}


def failure(record: Record, error: BaseException) -> Record:
    """Return the record of a picture that could not be compressed."""
    if isinstance(error, KilledWorker):  # after as many attempts as Dask allows
        why = Failure("killed-worker", "its workers died", "of too little memory, perhaps")
    else:
        why = describe(error)
    return {**record, "ok": False, "error": asdict(why)}


if __name__ == "__main__":  # the workers of a cluster of this machine import this file
    sys.exit(main())

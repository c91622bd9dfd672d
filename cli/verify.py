"""`rdae verify`: decode .rd files and check them, without writing anything."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from rdae.cli import figures, options
from rdae.cli.batch import Batch, Outcome
from rdae.cli.console import Color, Console, UsageError, human_seconds, shown
from rdae.cli.inputs import RD_EXTENSIONS, expand
from rdae.cli.paths import Task
from rdae.limits import MAX_PIXELS

SCHEMA = "rdae.verify/1"
FIELDS = ("width", "height", "mode", "input_bytes", "decode_s", "damage")


def verify(
    files: options.RdFiles = None,
    recursive: options.RecursiveRd = False,
    files_from: options.FilesFrom = None,
    max_pixels: options.MaxPixels = MAX_PIXELS,
    weights: options.Weights = None,
    threads: options.Threads = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    fail_fast: options.FailFast = False,
    color: options.ColorWhen = Color.auto,
) -> None:
    """Decode and check .rd files; write nothing.

    A file is ok when all of it decodes and every checksum matches. Of one that is not, the
    line names what is broken: tiles with their pixels (columns, rows), alpha, metadata. The
    exit code is 0 when all files are ok and 1 when one is not.

    Examples:
      rdae verify photo.rd
      rdae verify -r archive/ --quiet && echo "all is well"
    """
    console = Console(quiet=quiet, verbose=verbose, as_json=as_json, color=color)
    sources = expand(
        files or [], extensions=RD_EXTENSIONS, recursive=recursive, files_from=files_from
    )
    if weights is not None and not weights.is_file():
        raise UsageError(f"--weights {shown(weights)}: no such file")

    def work(task: Task) -> Outcome:
        progress = console.working(task.source.name)
        data = task.source.read()
        from rdae import codec
        from rdae.bitstream.damage import damage_record

        began = time.perf_counter()
        header, damage = codec.find_damage(
            data, max_pixels=max_pixels, weights=weights, threads=threads, progress=progress
        )
        decode_s = time.perf_counter() - began
        mode = figures.mode_name(is_grey=header.is_grey, has_alpha=header.has_alpha)
        record = {
            "width": header.width,
            "height": header.height,
            "mode": mode,
            "input_bytes": len(data),
            "decode_s": decode_s,
            "damage": [damage_record(one, header) for one in damage],
        }
        if damage:
            error = codec.damage_error(damage, header)
            return Outcome("", record=figures.rounded(record), error=error)
        shape = figures.shape_name(header.width, header.height, mode)
        return Outcome(
            f"{shown(task.source.name)}: {console.good('ok')}   {shape}  {human_seconds(decode_s)}",
            [figures.peak_memory().removeprefix(" · ")] if verbose else [],
            figures.rounded(record),
            input_bytes=len(data),
            pixels=header.width * header.height,
        )

    batch = Batch(console, schema=SCHEMA, done_word="ok", fields=FIELDS, fail_fast=fail_fast)
    raise typer.Exit(batch.run([Task(source, Path()) for source in sources], work))

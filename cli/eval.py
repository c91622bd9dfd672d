"""`rdae eval`: rate and distortion against other codecs, on real files."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rdae.cli import eval_results, signals
from rdae.cli.completion import complete_metrics
from rdae.cli.console import Color, Console, InputError, UsageError, shown
from rdae.cli.eval_inputs import (
    check_anchor,
    check_folder,
    check_resumed,
    read_codecs,
    read_curves,
    read_dataset,
    read_earlier,
    read_images,
    read_metrics,
)
from rdae.cli.inputs import left_out_line
from rdae.cli.options import ColorWhen, Quiet
from rdae.folder_lock import FolderLock

if TYPE_CHECKING:
    from rdae.evaluation.protocol import Codec
    from rdae.evaluation.results import Job, Row


def _option(group: str, names: str, help: str, **settings: Any) -> Any:
    return typer.Option(*names.split(), help=help, rich_help_panel=group, **settings)


_CODECS, _METRICS, _RUN, _OUTPUT = "Codecs", "Metrics", "Run", "Output"


def evaluate(
    dataset: Annotated[
        list[str] | None, typer.Argument(metavar="DATASET...", show_default=False)
    ] = None,
    against: Annotated[
        str | None,
        _option(
            _CODECS,
            "--against",
            "Codecs to compare with: jpeg, jpeg2000, webp, avif, heic, jxl, compressai:MODEL; "
            "lossless: rdae-lossless, jxl-lossless, webp-lossless, png; or the word all: those "
            "that are installed, but compressai. With settings: avif:speed=4, "
            "jpeg:subsampling=420, webp:quality=20/40/60/80, rdae:effort=5, "
            "rdae:model=photo-psnr. Without it: jpeg,webp,avif.",
            metavar="LIST",
        ),
    ] = None,
    model: Annotated[
        str | None,
        _option(
            _CODECS,
            "-m --model",
            "rdae's models, by name or weights file. Without it: the default one.",
            metavar="LIST",
        ),
    ] = None,
    quality: Annotated[
        str | None,
        _option(
            _CODECS,
            "-q --quality",
            "rdae's qualities: 20,40,60,80 or 10:90:10. Other codecs have points of their own.",
            metavar="LIST",
        ),
    ] = None,
    anchor: Annotated[
        str | None,
        _option(
            _CODECS,
            "--anchor",
            "What BD-rates, mean differences in bits at equal quality, refer to. Without it: avif, "
            "webp or jpeg, the first that is there, or else the first of --against.",
            metavar="CODEC",
        ),
    ] = None,
    imports: Annotated[
        list[str] | None,
        _option(
            _CODECS,
            "--import",
            "Show published curves beside the measured ones: JSON; FILE, or FILE:vtm,av1 for some "
            "of it. May be given more than once.",
            metavar="FILE",
        ),
    ] = None,
    metric: Annotated[
        str,
        _option(
            _METRICS,
            "--metric",
            "psnr, ms-ssim, ssimulacra2 (slow).",
            metavar="LIST",
            autocompletion=complete_metrics,
        ),
    ] = "psnr,ms-ssim",
    metric_cmd: Annotated[
        list[str] | None,
        _option(
            _METRICS,
            "--metric-cmd",
            "A metric of your own: the last number that COMMAND SOURCE.png DECODED.png prints, "
            "higher is better; {a} and {b} in it stand for the files. May be given more than once.",
            metavar="NAME:COMMAND",
        ),
    ] = None,
    quick: Annotated[
        bool,
        _option(
            _RUN, "--quick", "A first look: 4 images, 4 points, against JPEG and WebP, in a minute."
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        _option(
            _RUN,
            "-j --jobs",
            "Processes at a time, each with one thread; no effect on the results but for the "
            "times. Without it: one a core.",
            metavar="N",
            min=1,
        ),
    ] = None,
    reps: Annotated[
        int,
        _option(_RUN, "--reps", "Time each encode and decode N times; median.", metavar="N", min=1),
    ] = 1,
    resume: Annotated[
        bool, _option(_RUN, "--resume", "Go on with the evaluation in the folder of -o.")
    ] = False,
    reuse: Annotated[
        list[str] | None,
        _option(
            _RUN,
            "--reuse",
            "Take results from an earlier evaluation, or from a folder with its rows.tsv: those of "
            "the same picture, codec, settings, versions and quality. rdae's own codecs and "
            "metrics of --metric-cmd are always measured. May be given more than once.",
            metavar="DIR",
        ),
    ] = None,
    fail_above: Annotated[
        float | None,
        _option(
            _RUN,
            "--fail-above",
            "Exit with 1 if rdae's BD-rate in the first metric is above PCT, or has no number.",
            metavar="PCT",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        _option(
            _OUTPUT,
            "-o --output",
            "Folder for all results. Without it: rdae-eval-DATE-TIME.",
            metavar="DIR",
        ),
    ] = None,
    plot_only: Annotated[
        Path | None,
        _option(
            _OUTPUT,
            "--plot-only",
            "Measure nothing: make table, figures and report of this folder again.",
            metavar="DIR",
        ),
    ] = None,
    no_images: Annotated[
        bool, _option(_OUTPUT, "--no-images", "A report without pictures.")
    ] = False,
    all_images: Annotated[
        bool,
        _option(
            _OUTPUT,
            "--all-images",
            "Pictures of all images, whole, in a folder beside the report; without it, details of "
            "seven in the page itself.",
        ),
    ] = False,
    no_report: Annotated[
        bool, _option(_OUTPUT, "--no-report", "No figures and no report, for scripts.")
    ] = False,
    as_json: Annotated[
        bool, _option(_OUTPUT, "--json", "The summary on standard output, as one JSON object.")
    ] = False,
    quiet: Quiet = False,
    color: ColorWhen = Color.auto,
) -> None:
    """Measure rate and distortion against other codecs.

    DATASET is folders, pictures, or @list.txt with a name a line. Every codec encodes every
    picture to a whole file at several qualities, decodes it, and the result is compared with
    the original; what fails is counted and makes the exit code 1. The table says how many
    more (+) or fewer (-) bits each codec needs at equal quality. A folder receives
    report.html, figures (SVG and PNG), summary.json, bd_rate.csv and every single result.

    Examples:
      rdae eval --quick photos/
      rdae eval kodak/ --against jpeg,webp,avif,heic,jxl --metric psnr,ms-ssim,ssimulacra2
      rdae eval kodak/ -o results --import anchors.json:vtm,av1
      rdae eval kodak/ -o results --resume
      rdae eval kodak/ -m mine --reuse results -o mine
      rdae eval --plot-only results --anchor webp
    """
    console = Console(quiet=quiet, as_json=as_json, color=color)
    if all_images and (no_images or no_report):
        raise UsageError("--all-images takes no --no-images and no --no-report")
    wanted = eval_results.Wanted(
        report=not no_report, images=not no_images, every_image=all_images, limit=fail_above
    )
    if plot_only is not None:
        if dataset or resume or output or reuse:
            raise UsageError("--plot-only takes no pictures, no -o, no --resume and no --reuse")
        from rdae.evaluation import experiment

        run = experiment.load(plot_only)
        if imports:
            read = read_curves(imports, run["dataset"]["name"])
            curves = {curve["name"]: curve for curve in (*run["published"], *read)}
            run["published"] = list(curves.values())
        raise typer.Exit(eval_results.make(console, run, plot_only, anchor, wanted))
    if resume and output is None:
        raise UsageError("--resume needs the folder", hint="-o DIR names it")
    metrics = read_metrics(metric, metric_cmd or [])
    pictures = read_dataset(dataset or [], quick=quick)
    if pictures.left_out:
        console.note(left_out_line(pictures.left_out))
    codecs = read_codecs(model, quality, against, quick=quick)
    published = read_curves(imports or [], pictures.name)
    names = [*(codec.name for codec in codecs), *(curve["name"] for curve in published)]
    anchor = check_anchor(anchor, names)
    folder = check_folder(output, resume=resume)
    earlier = read_earlier(reuse or [])
    images, unreadable = read_images(pictures.sources, console)
    from rdae.evaluation import experiment
    from rdae.evaluation.runner import plan
    from rdae.threads import default_threads

    workers = jobs or default_threads()
    run = experiment.describe(
        command=shlex.join(["rdae", *sys.argv[1:]]),
        jobs=workers,
        dataset=pictures.name,
        found=pictures.found,
        whole=pictures.whole and not unreadable,
        images=images,
        unreadable=unreadable,
        codecs=codecs,
        metrics=metrics,
        anchor=anchor,
        published=published,
    )
    with FolderLock(folder):
        check_folder(folder, resume=resume)  # another process may have been faster
        if resume:
            check_resumed(folder, images, codecs, metrics, console)
        experiment.save(run, folder)
        todo = plan(images, codecs, metrics, reps)
        _take_over(console, folder, todo, earlier)
        _measure(console, folder, todo, codecs, workers)
        code = eval_results.make(console, run, folder, anchor, wanted)
    raise typer.Exit(code)


def _take_over(
    console: Console, folder: Path, jobs: Sequence[Job], earlier: Mapping[str, Sequence[Row]]
) -> None:
    """Put earlier results that fit into the folder, and say which do not."""
    from rdae.evaluation.experiment import ROWS_FILE
    from rdae.evaluation.results import Results
    from rdae.evaluation.rows_file import fitting, outdated

    results = Results(folder / ROWS_FILE)
    for name, rows in earlier.items():
        if not (missing := results.missing(jobs)):
            break
        found = fitting(rows, missing)
        for row in found.values():
            results.append(row)
        console.note(f"{len(found)} of {len(jobs)} results are taken from {shown(name)}")
        for codec, (before, now) in outdated(rows, jobs).items():
            console.note(f"{shown(codec)} is measured again: here {now}; there {before}")


def _measure(
    console: Console, folder: Path, jobs: Sequence[Job], codecs: Sequence[Codec], workers: int
) -> None:
    """Do the jobs that are not done yet, and one cold start of each codec."""
    from rdae.evaluation import runner
    from rdae.evaluation.experiment import ROWS_FILE
    from rdae.evaluation.results import Results

    results = Results(folder / ROWS_FILE)
    todo = results.missing(jobs)
    done = 0
    if len(todo) < len(jobs):
        console.note(f"{len(jobs) - len(todo)} of {len(jobs)} results are there already")

    def on_row(row: Row) -> None:
        nonlocal done
        signals.check()
        results.append(row)
        done += 1
        if not row["ok"]:
            name = f"{row['image']}, {row['codec']} at quality {row['quality']:g}"
            console.failure(name, InputError(row["error"]))
        console.progress(done, len(todo), f"{row['codec']} q{row['quality']:g} {row['image']}")

    try:
        console.progress(done, len(todo), "")
        runner.run(todo, workers, on_row)
        rows = results.latest()
        for codec in codecs:
            signals.check()
            if (codec.name, codec.settings) not in results.cold_starts():
                console.progress(done, len(todo), f"cold start of {codec.name}")
                point = codec.name, runner.middle_quality(codec)
                tried = (job for job in jobs if (job.codec, job.quality) == point)
                image = next((job.image for job in tried if rows[job.key]["ok"]), None)
                if image and (cold := runner.cold_start(codec, image)):
                    results.append(cold)
    except KeyboardInterrupt:
        console.clear_progress()
        console.note(f"hint: what is measured is kept; go on with -o {shown(folder)} --resume")
        raise
    finally:
        console.clear_progress()

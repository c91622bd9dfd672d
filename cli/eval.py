"""`rdae eval`: rate and distortion against other codecs, on real files."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rdae.cli import eval_table, signals
from rdae.cli.batch import EXIT_FAILED
from rdae.cli.console import Color, Console, InputError, UsageError, emit, shown
from rdae.cli.eval_inputs import (
    check_anchor,
    check_folder,
    read_codecs,
    read_curves,
    read_dataset,
    read_images,
    read_metrics,
)
from rdae.cli.options import ColorWhen, Quiet
from rdae.errors import MissingDependencyError, RdaeError

if TYPE_CHECKING:
    from rdae.evaluation.protocol import Codec
    from rdae.evaluation.results import Job


class LimitError(RdaeError):
    """The BD-rate is above what --fail-above allows."""

    code = "fail-above"


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
            "Codecs to compare with: jpeg, jpeg2000, webp, avif, heic, jxl, png, webp-lossless, "
            "compressai:MODEL, or all that are installed. With settings: avif:speed=4, "
            "jpeg:subsampling=420, webp:quality=20/40/60/80. Without it: jpeg,webp,avif.",
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
            "What BD-rates refer to. Without it: avif, webp or jpeg, the first that is there.",
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
        _option(_METRICS, "--metric", "psnr, ms-ssim, ssimulacra2 (slow).", metavar="LIST"),
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
      rdae eval --plot-only results --anchor webp
    """
    console = Console(quiet=quiet, as_json=as_json, color=color)
    if all_images and (no_images or no_report):
        raise UsageError("--all-images takes no --no-images and no --no-report")
    if plot_only is not None:
        if dataset or resume or output:
            raise UsageError("--plot-only takes no pictures, no -o and no --resume")
        from rdae.evaluation import experiment

        run = experiment.load(plot_only)
        if imports:
            run["published"] = read_curves(imports, run["dataset"]["name"])
        folder = plot_only
    else:
        if resume and output is None:
            raise UsageError("--resume needs the folder", hint="-o DIR names it")
        metrics = read_metrics(metric, metric_cmd or [])
        pictures = read_dataset(dataset or [], quick=quick)
        codecs = read_codecs(model, quality, against, quick=quick)
        published = read_curves(imports or [], pictures.name)
        names = [*(codec.name for codec in codecs), *(curve["name"] for curve in published)]
        anchor = check_anchor(anchor, names)
        folder = check_folder(output, resume=resume)
        images, unreadable = read_images(pictures.sources, console)
        from rdae.evaluation import experiment
        from rdae.evaluation.runner import plan
        from rdae.threads import default_threads

        workers = jobs or default_threads()
        run = experiment.describe(
            command=shlex.join(["rdae", *sys.argv[1:]]),
            jobs=workers,
            dataset=pictures.name,
            whole=pictures.whole and not unreadable,
            images=images,
            unreadable=unreadable,
            codecs=codecs,
            metrics=metrics,
            anchor=anchor,
            published=published,
        )
        folder.mkdir(parents=True, exist_ok=True)
        experiment.save(run, folder)
        _measure(console, folder, plan(images, codecs, metrics, reps), codecs, workers)
    summary = _summarise(run, folder, anchor)
    _show(console, summary)
    if no_report or not _report(
        console, summary, folder, no_images=no_images, all_images=all_images
    ):
        console.note(f"results: {shown(folder)}")
    raise typer.Exit(_verdict(console, summary, fail_above))


def _measure(
    console: Console, folder: Path, jobs: Sequence[Job], codecs: Sequence[Codec], workers: int
) -> None:
    """Do the jobs that are not done yet, and one cold start of each codec."""
    from rdae.evaluation import runner
    from rdae.evaluation.experiment import ROWS_FILE
    from rdae.evaluation.results import Results, Row

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
        for codec in codecs:
            signals.check()
            if (codec.name, codec.settings) not in results.cold_starts():
                console.progress(done, len(todo), f"cold start of {codec.name}")
                if cold := runner.cold_start(codec, jobs[0].image):
                    results.append(cold)
    except KeyboardInterrupt:
        console.clear_progress()
        console.note(f"hint: what is measured is kept; go on with -o {shown(folder)} --resume")
        raise
    finally:
        console.clear_progress()


def _summarise(run: dict[str, Any], folder: Path, anchor: str | None) -> dict[str, Any]:
    from rdae.evaluation import summary
    from rdae.evaluation.experiment import ROWS_FILE
    from rdae.evaluation.report import exports
    from rdae.evaluation.results import Results

    names = [entry["name"] for entry in (*run["codecs"], *run["published"])]
    chosen = check_anchor(anchor, names) if anchor or run["anchor"] not in names else run["anchor"]
    result = summary.summarise(run, Results(folder / ROWS_FILE), chosen)
    exports.write_files(result, folder)
    return result


def _show(console: Console, summary: dict[str, Any]) -> None:
    """Print the table on standard output, and what there is to say of it."""
    if console.as_json:
        emit(json.dumps(summary))
    else:
        emit(f"{eval_table.heading(summary)}\n\n{eval_table.results(summary)}")
        console.note("")
        for line in eval_table.remarks(summary):
            console.note(line)
    for warning in summary["warnings"]:
        console.note(f"warning: {warning}")


def _report(
    console: Console, summary: dict[str, Any], folder: Path, *, no_images: bool, all_images: bool
) -> bool:
    """Draw figures and make the report, if matplotlib is there; say whether it is."""
    if find_spec("matplotlib") is None:
        missing = MissingDependencyError("figures need matplotlib", hint="pip install 'rdae[eval]'")
        console.failure("no figures and no report", missing)
        return False
    from rdae.evaluation.experiment import ROWS_FILE
    from rdae.evaluation.report import page as report
    from rdae.evaluation.report import pictures, plots
    from rdae.evaluation.results import Results

    drawings = plots.write_figures(summary, folder)
    scenes = []
    if not no_images:
        rows = Results(folder / ROWS_FILE).rows
        place = folder if all_images else None
        bar = Console(quiet=console.quiet, as_json=console.as_json)  # whose clock begins now

        def on_picture(done: int, total: int) -> None:
            signals.check()
            bar.progress(done, total, "pictures")

        try:
            scenes = pictures.take_pictures(summary, rows, place, on_picture)
        finally:
            bar.clear_progress()
    path = report.write_report(summary, folder, drawings, scenes)
    console.note(f"report: {shown(path)}")
    return True


def _verdict(console: Console, summary: dict[str, Any], fail_above: float | None) -> int:
    """The exit code: anything that failed, or a BD-rate above the limit."""
    code = EXIT_FAILED if summary["failed"] or summary["unreadable"] else 0
    if fail_above is None:
        return code
    metric = summary["metrics"][0]
    for codec in summary["codecs"]:
        rate = codec["bd"][metric]["rate"]
        if codec["kind"] != "ours" or (rate is not None and rate <= fail_above):
            continue
        found = "no BD-rate" if rate is None else f"a BD-rate of {rate:+.1f} %"
        console.failure(
            "",
            LimitError(
                f"{codec['label']} has {found} against {summary['anchor']} in "
                f"{eval_table.metric_name(metric)}; the limit is {fail_above:+g} %"
            ),
        )
        code = EXIT_FAILED
    return code

"""What `rdae eval` makes of what was measured: the table, figures, report, and the exit code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rdae.cli import eval_table, signals
from rdae.cli.batch import EXIT_FAILED
from rdae.cli.console import Console, emit, shown
from rdae.cli.eval_inputs import check_anchor
from rdae.errors import MissingDependencyError, RdaeError
from rdae.extras import install_hint


class LimitError(RdaeError):
    """The BD-rate is above what --fail-above allows."""

    code = "fail-above"


@dataclass(frozen=True)
class Wanted:
    """What is to be made.

    Attributes:
        report: figures and report.html.
        images: pictures in the report.
        every_image: all of them, whole, in a folder beside it.
        limit: the BD-rate of ours above which the command fails, in percent; None for no limit.
    """

    report: bool
    images: bool
    every_image: bool
    limit: float | None


def make(
    console: Console, run: dict[str, Any], folder: Path, anchor: str | None, wanted: Wanted
) -> int:
    """Make all that is wanted of the rows in a folder, and return the exit code."""
    summary = _summarise(run, folder, anchor)
    _show(console, summary)
    if not wanted.report or not _report(console, summary, folder, wanted):
        console.note(f"results: {shown(folder)}")
    return _verdict(console, summary, wanted.limit)


def _summarise(run: dict[str, Any], folder: Path, anchor: str | None) -> dict[str, Any]:
    from rdae.evaluation import summary
    from rdae.evaluation.experiment import ROWS_FILE
    from rdae.evaluation.report import exports
    from rdae.evaluation.results import Results
    from rdae.evaluation.rows_file import write_rows

    names = [entry["name"] for entry in (*run["codecs"], *run["published"])]
    chosen = check_anchor(anchor, names) if anchor or run["anchor"] not in names else run["anchor"]
    results = Results(folder / ROWS_FILE)
    result = summary.summarise(run, results, chosen)
    exports.write_files(result, folder)
    write_rows(results.latest().values(), run["metrics"], folder)
    return result


def _show(console: Console, summary: dict[str, Any]) -> None:
    """Print the table on standard output, and what there is to say of it."""
    if console.as_json:
        emit(json.dumps(summary))
    else:
        tables = (eval_table.rates(summary), eval_table.facts(summary))
        parts = (eval_table.heading(summary), *filter(None, tables))
        emit("\n\n".join(parts))
        console.note("")
        for line in eval_table.remarks(summary):
            console.note(line)
    for warning in summary["warnings"]:
        console.note(f"warning: {warning}")


def _report(console: Console, summary: dict[str, Any], folder: Path, wanted: Wanted) -> bool:
    """Draw figures and make the report, if matplotlib is there; say whether it is."""
    if find_spec("matplotlib") is None:
        missing = MissingDependencyError("figures need matplotlib", hint=install_hint("eval"))
        console.failure("no figures and no report", missing)
        return False
    from rdae.evaluation.experiment import ROWS_FILE
    from rdae.evaluation.measured import some
    from rdae.evaluation.report import kept, pictures, plots, viewer
    from rdae.evaluation.report import page as report
    from rdae.evaluation.results import Results

    path = folder / "report.html"
    before = kept.read_pictures(path, summary) if wanted.images else []
    records: list[viewer.Record] = []
    if wanted.images:
        rows = Results(folder / ROWS_FILE).rows
        every = wanted.every_image or viewer.has_files(before)
        bar = Console(quiet=console.quiet, as_json=console.as_json)  # whose clock begins now

        def on_picture(done: int, total: int) -> None:
            signals.check()
            bar.progress(done, total, "pictures")

        try:
            scenes = pictures.take_pictures(summary, rows, folder, on_picture, every=every)
        finally:
            bar.clear_progress()
        for change in (changes := pictures.changed(summary)):
            console.note(f"warning: {change}")
        records, old, lost = kept.merge(
            viewer.records_of(summary, scenes),
            before,
            pictures.choose_images(summary, pictures.our_codec(summary), every=every),
            prefer_before=bool(changes),
        )
        if old:
            console.note(f"pictures of the report before stay: {shown(some(old))}")
        if lost:
            console.note(f"warning: the report has no pictures of {shown(some(lost))}")
    report.write_report(summary, folder, plots.write_figures(summary, folder), records)
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

"""From the arguments of `rdae eval` to what it works with; a mistake is found before any work."""

from __future__ import annotations

import datetime
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rdae.cli import signals
from rdae.cli.console import Console, InputError, UsageError, describe, shown
from rdae.cli.eval_table import metric_name
from rdae.cli.inputs import Source, expand
from rdae.errors import MissingDependencyError, RdaeError, WeightsNotFoundError
from rdae.folder_lock import LOCK_FILE
from rdae.images.formats import INPUT_SUFFIXES

if TYPE_CHECKING:
    from rdae.evaluation.dataset import Image
    from rdae.evaluation.metrics import Metric
    from rdae.evaluation.protocol import Codec
    from rdae.evaluation.results import Row

Item = TypeVar("Item")

QUICK_IMAGES, QUICK_POINTS = 4, 4
_DEFAULT_AGAINST, _QUICK_AGAINST = "jpeg,webp,avif", "jpeg,webp"


@dataclass(frozen=True)
class Dataset:
    """The files of an evaluation.

    Attributes:
        name: of the folder that they are in.
        sources: the files that are evaluated.
        found: how many there are.
        whole: they are all that the folder has, so that its published means can be compared with.
        left_out: counts, by kind, the files in folders that are not taken.
    """

    name: str
    sources: list[Source]
    found: int
    whole: bool
    left_out: Counter[str]


def read_dataset(arguments: Sequence[str], *, quick: bool) -> Dataset:
    """Find the pictures; with `quick`, a few of them."""
    if not arguments:
        raise UsageError("no pictures given", hint="name a folder or files, as rdae eval photos/")
    found: dict[str, Source] = {}
    left_out: Counter[str] = Counter()
    for argument in arguments:
        if argument.startswith("@"):
            listed = expand([], extensions=INPUT_SUFFIXES, files_from=argument[1:])
        else:
            listed = expand(
                [argument], extensions=INPUT_SUFFIXES, recursive=True, left_out=left_out
            )
        for source in listed:
            if source.path is None:
                raise UsageError("pictures must be files, not standard input")
            found.setdefault(os.path.abspath(source.path), source)
    sources = list(found.values())
    chosen = spread(sources, QUICK_IMAGES) if quick else sources
    folders = {source.root or Path(path).parent for path, source in found.items()}
    if len(folders) != 1:
        return Dataset("pictures", chosen, len(sources), False, left_out)
    folder = folders.pop().resolve()
    there = expand([str(folder)], extensions=INPUT_SUFFIXES, recursive=True)
    name, whole = folder.name or "pictures", len(there) == len(chosen)
    return Dataset(name, chosen, len(sources), whole, left_out)


def read_images(
    sources: Sequence[Source], console: Console
) -> tuple[list[Image], list[dict[str, str]]]:
    """Look at every file; those that cannot be used are said, and fail the command in the end."""
    from rdae.evaluation.dataset import read_image, short_names

    paths = [source.path for source in sources if source.path is not None]
    images, unreadable = [], []
    for source, path, name in zip(sources, paths, short_names(paths), strict=True):
        signals.check()
        try:
            if source.error is not None:
                raise source.error
            images.append(read_image(path, name))
        except (RdaeError, OSError) as error:
            console.failure(source.name, error)
            unreadable.append({"path": source.name, "error": describe(error).message})
    if not images:
        raise InputError("there is no picture to evaluate")
    return images, unreadable


def read_metrics(
    names: str, commands: Sequence[str] = (), *, check: bool = True
) -> tuple[Metric, ...]:
    """Read the metrics of --metric and --metric-cmd; with `check`, see that they are installed."""
    from rdae.evaluation.metrics import BUILT_IN, Metric, require
    from rdae.evaluation.results import NOT_METRICS

    wanted = dict.fromkeys(name.strip().replace("-", "_") for name in names.split(",") if name)
    for name in wanted:
        if name not in BUILT_IN:
            known = ", ".join(metric_name(n) for n in BUILT_IN)
            raise UsageError(f"there is no metric {shown(name)}", hint=f"there are {known}")
    found = [Metric(name) for name in wanted]
    for text in commands:
        name, colon, command = text.partition(":")
        words = _words(command) if colon else ()
        taken = {*BUILT_IN, *NOT_METRICS, *(metric.name for metric in found)}
        if not name.isidentifier() or not words or name in taken:
            raise UsageError(
                f"--metric-cmd {shown(text)}: not NAME:COMMAND with a new name of letters",
                hint="--metric-cmd 'butteraugli:butteraugli {a} {b}'",
            )
        found.append(Metric(name, words))
    if not found:
        raise UsageError("--metric names no metric")
    if check:
        require(wanted)
    return tuple(found)


def _words(command: str) -> tuple[str, ...]:
    """The words of a command; none if a quote is not closed."""
    try:
        return tuple(shlex.split(command))
    except ValueError:
        return ()


def read_codecs(
    models: str | None, quality: str | None, against: str | None, *, quick: bool
) -> list[Codec]:
    """Ours, then the others; each once, with all the qualities that are named for it."""
    from rdae.evaluation.codecs import CODEC_NAMES, parse_spec
    from rdae.evaluation.protocol import SpecError

    default = _QUICK_AGAINST if quick else _DEFAULT_AGAINST
    grid = "" if quality is None else f":quality={'/'.join(map(str, _qualities(quality)))}"
    ours = [f"rdae:model={name}{grid}" for name in _listed(models)] or [f"rdae{grid}"]
    others = _listed(default if against is None else against)
    every = "all" in others
    if every:
        others = [name for name in others if name != "all"] + list(CODEC_NAMES[1:])
    codecs: dict[str, Codec] = {}
    for spec in [*ours, *others]:
        try:
            codec = parse_spec(spec)
            codec.settings  # noqa: B018 - to have them, the model must be there
        except (SpecError, WeightsNotFoundError) as error:
            raise UsageError(str(error), hint=error.hint) from error
        except MissingDependencyError:
            if every and spec in CODEC_NAMES:
                continue
            raise
        twin = codecs.setdefault(codec.name, codec)
        if codec.kind != "ours" or ":quality=" in spec:  # -q has named those of ours
            twin.qualities = tuple(sorted({*twin.qualities, *codec.qualities}))
    for codec in codecs.values():
        if quick and not codec.lossless:
            inner = codec.qualities[1:-1]
            # Without the ends of the scale, which nobody uses and few points could not follow.
            some = inner if len(inner) >= QUICK_POINTS else codec.qualities
            codec.qualities = tuple(spread(some, QUICK_POINTS))
    return list(codecs.values())


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _qualities(text: str) -> list[float]:
    """Read `20,40,60` or `10:90:10`, both ends included."""
    try:
        if ":" in text:
            low, high, step = (float(part) for part in text.split(":"))
            if step <= 0 or high < low or (high - low) / step > 100:
                raise ValueError
            return [low + i * step for i in range(int((high - low) / step + 1e-9) + 1)]
        return [float(part) for part in _listed(text)]
    except ValueError:
        raise UsageError(
            f"-q {shown(text)}: not a list of qualities", hint="20,40,60,80 or 10:90:10"
        ) from None


def read_curves(arguments: Sequence[str], dataset: str) -> list[dict[str, Any]]:
    """Read the curves of --import."""
    from rdae.evaluation.published import read_published

    curves: dict[str, dict[str, Any]] = {}
    for argument in arguments:
        try:
            found = read_published(argument, dataset)
        except FileNotFoundError as error:
            raise UsageError(f"--import {shown(str(error.filename))}: no such file") from error
        for curve in found:
            # A measured codec may have the same name, and both belong in the table.
            curves[curve["name"]] = {**curve, "name": f"published:{curve['name']}"}
    return list(curves.values())


def read_earlier(arguments: Sequence[str]) -> dict[str, list[Row]]:
    """Read the rows of --reuse, by the folder or file that they are from."""
    from rdae.evaluation.rows_file import ROWS_FILE, RowsFileError, read_rows

    found: dict[str, list[Row]] = {}
    for argument in arguments:
        try:
            found[argument] = read_rows(Path(argument))
        except FileNotFoundError as error:
            raise UsageError(
                f"--reuse {shown(argument)}: there is no {ROWS_FILE}",
                hint="rdae eval writes one; --plot-only does so for a folder of an earlier version",
            ) from error
        except RowsFileError as error:
            raise UsageError(f"--reuse {shown(str(error))}") from error
    return found


def check_anchor(wanted: str | None, names: Sequence[str]) -> str:
    """Return the anchor among the names of codecs and curves; a default one if None is wanted."""
    from rdae.evaluation.experiment import RunFileError, choose_anchor

    if wanted is not None and wanted not in names and f"published:{wanted}" in names:
        wanted = f"published:{wanted}"
    try:
        return choose_anchor(wanted, names)
    except RunFileError as error:
        raise UsageError(str(error), hint=error.hint) from error


def check_folder(output: Path | None, *, resume: bool) -> Path:
    """Return the folder for the results, which must be new or empty if nothing is resumed."""
    now = datetime.datetime.now()
    folder = output or Path(f"rdae-eval-{now:%Y%m%d-%H%M%S}")
    if resume and not folder.is_dir():
        raise UsageError(f"{shown(folder)}: no such folder to go on with")
    if not resume and folder.exists():
        if not folder.is_dir():
            raise UsageError(f"{shown(folder)} is not a folder")
        if any(path.name != LOCK_FILE for path in folder.iterdir()):
            raise UsageError(
                f"{shown(folder)} is not empty", hint="--resume goes on with what it holds"
            )
    return folder


def check_resumed(
    folder: Path,
    images: Sequence[Image],
    codecs: Sequence[Codec],
    metrics: Sequence[Metric],
    console: Console,
) -> None:
    """See that a run that goes on has pictures and commands of before; say which codecs it drops.

    Rows know a metric by its name alone.
    """
    from rdae.evaluation.experiment import RunFileError, load

    try:
        before = load(folder)
    except RunFileError:
        return  # it was stopped before there was anything
    here = {image.sha256 for image in images}
    gone = [one["image"] for one in before["dataset"]["images"] if one["sha256"] not in here]
    if gone:
        raise UsageError(
            f"{shown(folder)} is about other pictures: {shown(gone[0])} is not among these",
            hint=f"name those of before; or another folder, with --reuse {shown(folder)}",
        )
    for metric in metrics:
        was = before["definitions"].get(metric.name, metric.definition)
        if metric.command and was != metric.definition:
            raise UsageError(
                f"--metric-cmd {metric.name}: {shown(folder)} has results of another command",
                hint=f"another name; or another folder, with --reuse {shown(folder)}",
            )
    names = {codec.name for codec in codecs}
    dropped = [codec["label"] for codec in before["codecs"] if codec["name"] not in names]
    if dropped:
        console.note(f"not in the report any more: {shown(', '.join(dropped))}; results stay")


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` items, evenly spread over all of them, the first and the last included."""
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]

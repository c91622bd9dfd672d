"""`rows.tsv`: what was measured, as text to be kept, and taken again where nothing has changed.

A line for each picture, codec and quality: hash of the picture's file, codec, its settings with the
versions of all libraries that decide the bytes, bytes, and metrics. That is what is the same on
every machine; times are not, and are left out. So are failures.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rdae.errors import RdaeError
from rdae.evaluation.results import ROW_SCHEMA, Job, Key, Row, row_key
from rdae.files import atomic_write, utf8

ROWS_FILE = "rows.tsv"
OURS = ("rdae", "rdae-lossless")  # names of codecs in a spec

_BITS = ("y", "z", "header")
_KEYS = ("image", "sha256", "width", "height", "codec", "settings", "quality", "bytes")
_TAIL = (*(f"{part}_bits" for part in _BITS), "identical")
_DIGITS = 6  # behind the point of a metric; PSNR is known to less


class RowsFileError(RdaeError):
    """A file of rows that cannot be read."""

    code = "rows-file"


def rows_text(rows: Iterable[Row], metrics: Sequence[str]) -> str:
    """The text of rows.tsv, sorted, so that two of them can be compared line by line.

    Args:
        rows: of schema `rdae.eval-row/1`; those that failed are left out.
        metrics: names of the columns of metrics.
    """
    file = io.StringIO()
    writer = csv.writer(file, delimiter="\t", lineterminator="\n")
    writer.writerow([*_KEYS, *metrics, *_TAIL])
    good = [row for row in rows if row["ok"]]
    for row in sorted(good, key=lambda row: (row["codec"], row["image"], row["quality"])):
        bits = row["bits"] or {}
        writer.writerow(
            [
                *(row["spec" if key == "settings" else key] for key in _KEYS[:6]),
                f"{row['quality']:g}",
                row["bytes"],
                *(_number(row.get(metric)) for metric in metrics),
                *(bits.get(part, "") for part in _BITS),
                int(row["identical"]),
            ]
        )
    return file.getvalue()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.{_DIGITS}f}".rstrip("0").rstrip(".")


def write_rows(rows: Iterable[Row], metrics: Sequence[str], folder: Path) -> None:
    """Write rows.tsv."""
    with atomic_write(folder / ROWS_FILE, overwrite=True) as file:
        file.write(utf8(rows_text(rows, metrics)))


def read_rows(path: Path) -> list[Row]:
    """Read rows.

    Args:
        path: the file, or the folder that has it.

    Returns:
        Rows of schema `rdae.eval-row/1` without times; `reused` says where they come from.

    Raises:
        RowsFileError: not such a file.
        OSError: it cannot be read.
    """
    if path.is_dir():
        path /= ROWS_FILE
    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8")), delimiter="\t"))
        heads = lines[0] if lines else []
        if heads[: len(_KEYS)] != list(_KEYS) or heads[-len(_TAIL) :] != list(_TAIL):
            raise ValueError(f"its columns are not {', '.join(_KEYS)} and so on")
        metrics = heads[len(_KEYS) : -len(_TAIL)]
        return [
            _row(dict(zip(heads, line, strict=True)), metrics, f"{path}:{number}")
            for number, line in enumerate(lines[1:], 2)
        ]
    except (ValueError, csv.Error) as error:
        raise RowsFileError(f"{path} holds no rows of an evaluation: {error}") from error


def _row(cells: Mapping[str, str], metrics: Sequence[str], place: str) -> Row:
    width, height, size = int(cells["width"]), int(cells["height"]), int(cells["bytes"])
    if min(width, height, size) < 1:
        raise ValueError(f"{place} has no size")
    identical = cells["identical"] == "1"
    known = {m: float(cells[m]) if cells[m] else None for m in metrics}
    bits = [cells[f"{part}_bits"] for part in _BITS]
    return {
        "schema": ROW_SCHEMA,
        **{key: cells[key] for key in ("image", "sha256", "codec")},
        "width": width,
        "height": height,
        "spec": cells["settings"],
        "quality": float(cells["quality"]),
        "bytes": size,
        "bpp": 8 * size / (width * height),
        "bits": dict(zip(_BITS, map(int, bits), strict=True)) if all(bits) else None,
        # A metric that is missing for another reason than that nothing was lost is measured again.
        **{m: v for m, v in known.items() if v is not None or (identical and m == "psnr")},
        "identical": identical,
        "skipped": {},
        **dict.fromkeys(("encode_s", "decode_s", "load_s")),
        "ok": True,
        "error": None,
        "reused": place,
    }


def fitting(rows: Iterable[Row], jobs: Iterable[Job]) -> dict[Key, Row]:
    """The rows that are results of jobs: of that picture, codec, settings, quality, all metrics.

    The picture's name may be another one. Ours are always measured again: an encoder changes
    between versions, and its settings do not say how.
    """
    known = {row_key(row): row for row in rows}
    found = {}
    for job in jobs:
        row: Any = known.get(job.key)
        # A command's metric is known by its name alone, and may be another one by now.
        ours = job.codec.partition(":")[0] in OURS
        if row and not ours and all(m.name in row and not m.command for m in job.metrics):
            found[job.key] = {**row, "image": job.image.image}
    return found


def outdated(rows: Iterable[Row], jobs: Iterable[Job]) -> dict[str, tuple[str, str]]:
    """Codecs of jobs of which there are rows, but of other settings or versions: codec -> both."""
    now = {job.codec: job.settings for job in jobs}
    before: dict[str, set[str]] = {}
    for row in rows:
        before.setdefault(row["codec"], set()).add(row["spec"])
    return {
        codec: (sorted(before[codec])[0], settings)
        for codec, settings in now.items()
        if codec in before and settings not in before[codec] and codec.partition(":")[0] not in OURS
    }

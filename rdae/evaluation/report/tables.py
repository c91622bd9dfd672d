"""The tables of the report, as HTML: every name and number that can be sorted and copied.

A cell has what people read; its attribute `data-v` has the bare value, for sorting and for CSV.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from rdae.evaluation.report.figure_parts import Codec, Summary, metric_name, percent_text

UNITS = {"psnr": " dB"}
DIGITS = {"psnr": 2, "ms_ssim": 4, "ms_ssim_db": 2, "ssimulacra2": 1}


def cell(text: str, value: float | str | None = None, *, number: bool = False) -> str:
    """A table cell; `text` is HTML, `value` is what it stands for."""
    kind = ' class="n"' if number else ""
    bare = "" if value is None else f' data-v="{escape(str(value))}"'
    return f"<td{kind}{bare}>{text}</td>"


def figure(value: float | None, digits: int) -> str:
    """A number in a cell; an empty one where it is unknown."""
    if value is None:
        return cell("", "", number=True)
    return cell(f"{value:.{digits}f}".replace("-", "−"), f"{value:.6g}", number=True)


def table(
    name: str,
    heads: Sequence[str],
    rows: Sequence[str],
    note: str,
    *,
    left: Sequence[int] = (0,),
    metric: str | None = None,
) -> str:
    """A sortable table with a note and a button that copies it.

    Args:
        name: its identifier.
        heads: texts of the columns.
        rows: `<tr>` elements.
        note: HTML.
        left: columns of words, which are aligned to the left.
        metric: show it only together with the figures of this metric.
    """
    head = "".join(
        f'<th scope="col"{"" if i in left else " class=n"}>'
        f'<button type="button">{escape(text)}</button></th>'
        for i, text in enumerate(heads)
    )
    only = f' data-metric="{escape(metric)}"' if metric is not None else ""
    return (
        f'<div{only}><div class="scroll"><table class="sortable" id="{escape(name)}">'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
        f'<div class="caption"><p>{note}</p>'
        f'<button type="button" class="copy" data-table="{escape(name)}">Copy as CSV</button>'
        "</div></div>"
    )


def row(cells: Sequence[str], *, ours: bool = False) -> str:
    """A table row."""
    return f"<tr{' class=ours' if ours else ''}>{''.join(cells)}</tr>"


def bd_table(summary: Summary, anchor: str) -> str:
    """What the codecs need, do and fail at: the table that a reader looks at first."""
    metrics = summary["metrics"]
    speeds = [s for s in ("decode", "encode") if any(c[f"{s}_mps"] for c in summary["codecs"])]
    heads = ["Codec", *(f"{metric_name(m)} [%]" for m in metrics), "Rates [bpp]"]
    heads += [f"{speed.capitalize()} [MP/s]" for speed in speeds]
    heads += ["Failed"]
    rows = []
    for codec in summary["codecs"]:
        rates = [point["bpp"] for point in codec["points"]]
        span = f"{min(rates):.2f} to {max(rates):.2f}" if rates else ""
        published = codec["kind"] == "published"
        cells = [_name(codec, summary["anchor"])]
        cells += [_rate(codec, metric, summary["anchor"]) for metric in metrics]
        cells.append(cell(span, span, number=True))
        cells += [
            figure(codec[f"{speed}_mps"], _speed_digits(codec[f"{speed}_mps"])) for speed in speeds
        ]
        failed = int(codec["failed"])
        mark = f'<span class="bad">{failed}</span>' if failed else "0"
        cells.append(cell("", "", number=True) if published else cell(mark, failed, number=True))
        rows.append(row(cells, ours=codec["kind"] == "ours"))
    note = (
        f"BD-rate: bits that a codec needs against {escape(anchor)} for the same quality, in "
        "percent, over whole files and the mean curve; negative is better. Small: its 95 % "
        f"bootstrap interval. {_extents(summary)} MP/s: megapixels per second on one thread, model "
        "loaded. Published curves were not run here."
    )
    return table("bd", heads, rows, note)


def _extents(summary: Summary) -> str:
    """Over which pictures the columns are, in HTML; all codecs are over the same ones."""
    extents = summary["dataset"]["extent"]
    if len(set(extents.values())) == 1:
        return f"All over the same {escape(next(iter(extents.values())))}."
    each = ", ".join(escape(f"{metric_name(m)} {extent}") for m, extent in extents.items())
    return f"All codecs over the same images: {each}."


def _speed_digits(speed: float | None) -> int:
    return 2 if speed is None or speed < 10 else 1 if speed < 100 else 0


def _name(codec: Codec, anchor: str) -> str:
    notes = []
    if codec["name"] == anchor:
        notes.append("anchor")
    if codec["kind"] == "published":
        notes.append("published")
    if codec["transparent"]:
        notes.append(f"{codec['images']} images: cannot hold transparency")
    small = f"<small>{', '.join(notes)}</small>" if notes else ""
    return cell(escape(codec["label"]) + small, codec["label"])


def _rate(codec: Codec, metric: str, anchor: str) -> str:
    bd = codec["bd"].get(metric) or {}
    rate = 0.0 if codec["name"] == anchor else bd.get("rate")
    if rate is None:
        why = str(bd.get("why_not") or "not comparable")
        return cell(f"–<small>{escape(why)}</small>", "", number=True)
    small, certain = "", (rate, rate)
    if bd.get("rate_interval") and codec["name"] != anchor:
        certain = tuple(bd["rate_interval"])
        low, high = (percent_text(value) for value in certain)
        small = f"<small>[{low}, {high}]</small>"
    mark = "good" if max(certain) < 0 else "bad" if min(certain) > 0 else ""
    text = f'<span class="{mark}">{percent_text(rate)}</span>{small}'
    return cell(text, f"{rate:.6g}", number=True)


def control_table(summary: Summary) -> str:
    """BD-rates with everything that tells how far to trust them."""
    heads = ["Codec", "Metric", "PCHIP [%]", "Its interval [%]", "Akima [%]", "Gain"]
    heads += ["Mean of images [%]", "Its interval [%]", "Images", "Overlap", "Overlap [%]"]
    heads += ["Remark"]
    rows = []
    for codec in summary["codecs"]:
        for metric, bd in codec["bd"].items():
            if not bd or codec["name"] == summary["anchor"]:
                continue
            share, overlap = bd.get("overlap_share"), bd.get("overlap")
            span = f"{overlap[0]:.1f} to {overlap[1]:.1f}" if overlap else ""
            images = sum(value is not None for value in (bd.get("images") or {}).values())
            rows.append(
                row(
                    [
                        cell(escape(codec["label"]), codec["label"]),
                        cell(escape(metric_name(metric))),
                        _signed(bd.get("rate"), 1),
                        _interval(bd.get("rate_interval")),
                        _signed(bd.get("akima"), 1),
                        _signed(bd.get("gain"), 2),
                        _signed(bd.get("image_mean"), 1),
                        _interval(bd.get("interval")),
                        figure(images or None, 0),
                        cell(span, span, number=True),
                        figure(None if share is None else 100 * share, 0),
                        cell(escape(str(bd.get("why_not") or ""))),
                    ],
                    ours=codec["kind"] == "ours",
                )
            )
    note = (
        "PCHIP is the BD-rate; Akima, another interpolation, is the control. Gain: BD-PSNR, or the "
        "like in another metric's unit (dB for PSNR and MS-SSIM), at equal rate. Overlap: the "
        "qualities that both curves have, and their share of the narrower curve; no figure below "
        "half."
    )
    return table("control", heads, rows, note, left=(0, 1, 11))


def _interval(ends: Sequence[float] | None) -> str:
    text = " to ".join(percent_text(end) for end in ends or ())
    return cell(text, text.replace("−", "-"), number=True)


def _signed(value: float | None, digits: int) -> str:
    if value is None:
        return cell("", "", number=True)
    return cell(percent_text(value, digits), f"{value:.6g}", number=True)


def image_table(summary: Summary, metric: str) -> str:
    """BD-rate of every image and codec in one metric; empty where there is none."""
    codecs = [
        c
        for c in summary["codecs"]
        if c["name"] != summary["anchor"] and (c["bd"].get(metric) or {}).get("images")
    ]
    if not codecs:
        return ""
    rows = []
    for entry in summary["dataset"]["images"]:
        name = entry["image"]
        values = [_coloured(codec["bd"][metric]["images"].get(name), codec) for codec in codecs]
        rows.append(row([cell(escape(name)), *values]))
    note = f"BD-rate against the anchor in percent, at equal {escape(metric_name(metric))}."
    heads = ["Image", *(str(codec["label"]) for codec in codecs)]
    return table(f"images-{metric}", heads, rows, note, metric=metric)


def _coloured(value: float | None, codec: Codec) -> str:
    if value is None:
        return cell("", "", number=True)
    mark = "good" if value < 0 else "bad" if value > 0 else ""
    text = percent_text(value)
    # Only ours is coloured: the page is about it, and a coloured wall says nothing.
    if codec["kind"] == "ours":
        text = f'<span class="{mark}">{text}</span>'
    return cell(text, f"{value:.6g}", number=True)


def point_table(summary: Summary) -> str:
    """Every point of every curve."""
    columns: list[tuple[str, str]] = []
    for metric in summary["metrics"]:
        unit = " [dB]" if metric == "psnr" else ""
        columns.append((metric, metric_name(metric) + unit))
        if metric == "ms_ssim":
            columns.append(("ms_ssim_db", "MS-SSIM [dB]"))
    rows = [
        row(
            [
                cell(escape(codec["label"]), codec["label"]),
                _quality(point["quality"]),
                figure(point["bpp"], 3),
                *(figure(point.get(key), DIGITS.get(key, 3)) for key, _ in columns),
            ],
            ours=codec["kind"] == "ours",
        )
        for codec in summary["codecs"]
        for point in codec["points"]
    ]
    heads = ["Codec", "Quality", "Rate [bpp]", *(name for _, name in columns)]
    return table("points", heads, rows, "Means over the images; quality on each codec's own scale.")


def _quality(quality: float | None) -> str:
    return (
        cell("", "", number=True) if quality is None else cell(f"{quality:g}", quality, number=True)
    )


def speed_table(summary: Summary) -> str:
    """Times of what was run: throughput, loading, cold start."""
    rows = []
    for codec in summary["codecs"]:
        if codec["kind"] != "published":
            speeds = (codec["decode_mps"], codec["encode_mps"])
            rows.append(
                row(
                    [
                        cell(escape(codec["label"]), codec["label"]),
                        *(figure(speed, _speed_digits(speed)) for speed in speeds),
                        figure(codec.get("load_s"), 2),
                        figure(codec.get("cold_start_s"), 2),
                    ],
                    ours=codec["kind"] == "ours",
                )
            )
    heads = ["Codec", "Decode [MP/s]", "Encode [MP/s]", "Load [s]", "Cold start [s]"]
    note = (
        "Decode and encode: wall clock on one thread after a warm-up. Load: a model, once a "
        "process. Cold start: from the start of a process to the decoded file on disk."
    )
    return table("times", heads, rows, note)


def definition_list(pairs: Mapping[str, Any]) -> str:
    """Names and what they stand for."""
    items = "".join(
        f"<dt>{escape(str(name))}</dt><dd>{escape(str(text))}</dd>" for name, text in pairs.items()
    )
    return f"<dl>{items}</dl>"

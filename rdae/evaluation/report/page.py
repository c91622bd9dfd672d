"""The report: one HTML file with everything in it, that needs no network and no other file.

Only where the pictures of all images are wanted, these lie in a folder beside it. The page is
made from the summary, the finished figures and the pictures. Whatever comes from outside (names of
files and codecs, commands, error messages) is escaped on its way into it; the page itself forbids
all other loading by its content security policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rdae.evaluation.report.figure_parts import Summary, anchor_label, metric_name, percent_text
from rdae.evaluation.report.figure_style import Style, styles, theme_css, themed
from rdae.evaluation.report.pictures import our_codec
from rdae.evaluation.report.plots import Drawing
from rdae.evaluation.report.scenes import FOLDER
from rdae.evaluation.report.tables import (
    bd_table,
    cell,
    control_table,
    definition_list,
    image_table,
    point_table,
    row,
    speed_table,
    table,
)
from rdae.evaluation.report.viewer import (
    Record,
    has_files,
    ours_label,
    package_text,
    records_json,
    viewer_section,
)
from rdae.files import atomic_write, utf8

# What a run leaves beside the report, in the order of the links.
_FILES = {
    "summary.json": "everything on this page",
    "results.jsonl": "a row for every image, codec and quality",
    "rows.tsv": "the same without times, as text to keep; --reuse takes from it",
    "bd_rate.csv": "BD-rates with their intervals",
    "run.json": "what was run, on what, with which versions",
    "compressai": "curves in CompressAI's form",
    FOLDER: "the pictures of the viewer, lossless WebP",
}


def write_report(
    summary: Summary, folder: Path, drawings: Sequence[Drawing], records: Sequence[Record]
) -> Path:
    """Write report.html.

    Args:
        summary: of schema `rdae.eval-summary/1`.
        folder: where it goes; the page links to the other files of a run that are there.
        drawings: from `plots.write_figures`.
        records: the pictures, of `viewer.records_of`; without any, the page has no viewer.

    Returns:
        The path of the page.
    """
    path = folder / "report.html"
    beside = [name for name in _FILES if (folder / name).exists()]
    if FOLDER in beside and not has_files(records):
        beside.remove(FOLDER)  # of an earlier page
    page = render_report(summary, drawings, records, beside)
    with atomic_write(path, overwrite=True) as file:
        file.write(utf8(page))
    return path


def render_report(
    summary: Summary,
    drawings: Sequence[Drawing],
    records: Sequence[Record],
    beside: Sequence[str] = (),
) -> str:
    """The text of the page; `beside` are the files of the run that it may link to."""
    metrics = summary["metrics"]
    looks = styles(summary)
    tables = [image_table(summary, metric) for metric in metrics]
    sections = {"table": "BD-rate", "curves": "Curves", "saving": "Where it wins"}
    sections |= {"images": "Images", **({"viewer": "Pictures"} if records else {})}
    sections |= {"speed": "Speed", "method": "Method", "data": "Data"}
    title = f"{ours_label(summary)} on {_pictures(summary)}"
    fields = {
        "title": escape(title),
        "subtitle": escape(_subtitle(summary)),
        # From disk 'self' is nothing in some browsers; file: is nothing from a server.
        "image_sources": "'self' file: data:" if has_files(records) else "data:",
        "css": theme_css() + package_text("report.css"),
        "js": package_text("report.js"),
        "headline": headline(summary),
        "notices": _notices(summary),
        "navigation": " ".join(f'<a href="#{k}">{name}</a>' for k, name in sections.items()),
        "bd_table": bd_table(summary, anchor_label(summary)),
        "bd_details": _details("Control, overlap and intervals", control_table(summary)),
        "metric_buttons": "".join(
            f'<button type="button" data-choose="{escape(m)}">{escape(metric_name(m))}</button>'
            for m in metrics
        ),
        "chips": "".join(_chip(look) for look in looks.values()),
        "curves": _figures(drawings, "curves", "curves-log"),
        "points": _details("All points", point_table(summary)),
        "saving": _figures(drawings, "saving"),
        "images": _figures(drawings, "images"),
        "image_tables": _details("All images", "".join(tables)) if any(tables) else "",
        "viewer": viewer_section(summary, records),
        "speed": _figures(drawings, "speed") + speed_table(summary),
        "bits": _bits(drawings),
        "method": _method(summary),
        "data": _data(beside),
        "scenes": records_json(records),
    }
    template = package_text("report.html")
    # In one pass: what is put in is not looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda field: fields[field[1]], template)


def _pictures(summary: Summary) -> str:
    """The data set, and how many of its pictures if not all are compared."""
    name, extent = summary["dataset"]["name"], summary["dataset"]["extent"][summary["metrics"][0]]
    return f"{extent} of {name}" if " of " in extent else name


def _subtitle(summary: Summary) -> str:
    dataset = summary["dataset"]
    return (
        f"{dataset['extent'][summary['metrics'][0]]}, {dataset['megapixels']:.1f} megapixels · "
        f"anchor {anchor_label(summary)} · {summary['date'][:10]}"
    )


def headline(summary: Summary) -> str:
    """The result in a sentence, and what it does not say: two paragraphs of HTML."""
    ours, anchor = our_codec(summary), escape(anchor_label(summary))
    if ours is None:
        return '<p class="lead">No codec was run to the end.</p>'
    name, dataset = escape(ours["label"]), escape(_pictures(summary))
    first, *others = summary["metrics"]
    bd = ours["bd"].get(first) or {}
    if ours["name"] == summary["anchor"]:
        lead = f"{name} is the anchor: the others are compared with it."
    elif bd.get("rate") is None:
        why = escape(str(bd.get("why_not") or "unknown"))
        lead = f"{name} and {anchor} cannot be compared in {escape(metric_name(first))}: {why}."
    else:
        lead = (
            f"On {dataset}, {name} needs <strong>{_more(bd['rate'])}</strong> than {anchor} "
            f"at equal {escape(metric_name(first))}."
        )
    caveats = []
    if bd.get("rate_interval"):
        low, high = bd["rate_interval"]
        caveats.append(
            f"The 95 % interval of that goes from {percent_text(low)} to {percent_text(high)} %"
            + (", so it may be chance." if low <= 0 <= high else ".")
        )
    known = {metric: (ours["bd"].get(metric) or {}).get("rate") for metric in others}
    told = [
        f"{_more(r)} at equal {escape(metric_name(m))}" for m, r in known.items() if r is not None
    ]
    if told and ours["name"] != summary["anchor"]:
        caveats.append(f"It needs {' and '.join(told)}.")
    caveats += _speed_caveat(summary, ours)
    count = len(summary["dataset"]["compared"][first])
    caveats.append(
        f"{count} image{'s are' if count != 1 else ' is'} few, and others (drawings, text, noise) "
        "may come out differently."
    )
    return f'<p class="lead">{lead}</p>\n<p class="muted">{" ".join(caveats)}</p>'


def _more(rate: float) -> str:
    if abs(rate) < 0.05:
        return "as many bits"
    return f"{abs(rate):.1f} % {'fewer' if rate < 0 else 'more'} bits"


def _speed_caveat(summary: Summary, ours: Mapping[str, Any]) -> list[str]:
    anchor = next((c for c in summary["codecs"] if c["name"] == summary["anchor"]), None)
    if anchor is None or anchor is ours or not (ours["decode_mps"] and anchor["decode_mps"]):
        return []
    speed, other = ours["decode_mps"], anchor["decode_mps"]
    ratio = max(speed, other) / min(speed, other)
    how = f"{ratio:.0f} times" if ratio >= 9.5 else f"{ratio:.1f} times"
    word = "faster" if speed > other else "slower"
    return [
        f"It decodes {speed:.2g} megapixels a second on one thread, {how} {word} than "
        f"{escape(anchor['label'])}."
    ]


def _notices(summary: Summary) -> str:
    notices = [f"{one['path']}: {one['error']}" for one in summary.get("unreadable") or ()]
    for codec in summary["codecs"]:
        for one in codec.get("failures") or ():
            where = f"{one['image']} at quality {one['quality']:g}"
            notices.append(f"{codec['label']} failed: {where}: {one['error']}")
    notices += summary["warnings"]
    for metric, reasons in summary["skipped"].items():
        notices.append(f"{metric_name(metric)} left out: {'; '.join(reasons)}")
    lossy = [e["image"] for e in summary["dataset"]["images"] if e.get("lossy")]
    if lossy:
        notices.append(f"Sources that had been compressed with losses before: {', '.join(lossy)}")
    if not notices:
        return ""
    items = "".join(f"<li>{escape(notice)}</li>" for notice in dict.fromkeys(notices))
    return f'<ul class="notices">{items}</ul>'


def _details(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def _chip(look: Style) -> str:
    dashed = " dashed" if look.published else ""
    return (
        f'<label class="chip"><input type="checkbox" checked data-codec="{look.index}">'
        f'<span class="swatch{dashed}" style="border-color:var(--{look.hue})"></span>'
        f"{escape(look.label)}</label>"
    )


def _figures(drawings: Sequence[Drawing], *kinds: str) -> str:
    found = [_figure(drawing) for drawing in drawings if drawing.kind in kinds]
    return "\n".join(found) or '<p class="muted">There is not enough data for this figure.</p>'


def _figure(drawing: Drawing) -> str:
    rate = {"curves": " rate-linear", "curves-log": " rate-log"}.get(drawing.kind, "")
    metric = "" if drawing.metric is None else f' data-metric="{escape(drawing.metric)}"'
    name = quote(drawing.name)
    links = " · ".join(
        f'<a href="{name}{end}">{text}</a>'
        for end, text in ((".svg", "SVG"), ("-dark.svg", "dark"), (".png", "PNG"))
    )
    return (
        f'<figure class="figure{rate}"{metric}><div class="scroll">{themed(drawing.svg)}</div>'
        f"<figcaption>{escape(drawing.description)} {links}</figcaption></figure>"
    )


def _bits(drawings: Sequence[Drawing]) -> str:
    if not any(drawing.kind == "bits" for drawing in drawings):
        return ""
    return (
        f'<section id="bits">\n<h2>Where the bits go</h2>\n{_figures(drawings, "bits")}\n</section>'
    )


def _method(summary: Summary) -> str:
    rows = []
    for codec in summary["codecs"]:
        reused = f"run earlier ({codec['reused']} rows were there)" if codec["reused"] else ""
        source = str(codec.get("source") or reused or "run here")
        rows.append(
            row(
                [
                    cell(escape(codec["label"])),
                    cell(f"<code>{escape(codec['name'])}</code>"),
                    cell(escape(str(codec["settings"]))),
                    cell(escape(source)),
                ]
            )
        )
    heads = ("Codec", "Name", "Settings", "Source")
    images = "".join(
        row(
            [
                cell(escape(entry["image"])),
                cell(f"{entry['width']}x{entry['height']}", number=True),
                cell(f"<code>{escape(entry['sha256'])}</code>"),
            ]
        )
        for entry in summary["dataset"]["images"]
    )
    return (
        definition_list({_term(name): text for name, text in summary["definitions"].items()})
        + table("settings", heads, rows, "What decides the bytes.", left=range(4))
        + "<h3>Command</h3><pre><code>"
        + escape(summary["command"])
        + "</code></pre>"
        + definition_list({**summary["machine"], **summary["versions"], "date": summary["date"]})
        + _details(
            "Images and their hashes",
            '<div class="scroll"><table><thead><tr><th>Image</th><th class="n">Size</th>'
            f"<th>SHA-256 of the file</th></tr></thead><tbody>{images}</tbody></table></div>",
        )
    )


def _term(name: str) -> str:
    names = {"bpp": "bpp", "bd_rate": "BD-rate", "cold_start": "cold start"}
    return names.get(name) or metric_name(name)


def _data(beside: Sequence[str]) -> str:
    if not beside:
        return '<p class="muted">There are no other files of this run beside the page.</p>'
    items = "".join(
        f'<li><a href="{quote(name)}"><code>{escape(name)}</code></a>: {_FILES[name]}</li>'
        for name in beside
    )
    return f"<ul>{items}</ul>"

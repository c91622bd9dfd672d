"""The figures of an evaluation, drawn from its summary alone.

curves-METRIC       quality against rate, every measured point marked, no smoothing
curves-METRIC-log   the same over the logarithm of the rate
saving-METRIC       rate against the anchor's as a function of quality, with a bootstrap band
images-METRIC       BD-rate of every single picture, which a mean hides
speed-decode        BD-rate against megapixels per second; speed-encode likewise
bits-N              what the bits of our files are spent on
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from rdae.evaluation.report.comparison_figures import draw_bits, draw_images, draw_speed
from rdae.evaluation.report.curve_figures import draw_curves, draw_saving
from rdae.evaluation.report.figure_parts import Summary, anchor_label, metric_name
from rdae.evaluation.report.figure_style import darkened, look, styles, to_png, to_svg
from rdae.files import atomic_write, utf8


@dataclass(frozen=True)
class Drawing:
    """A finished figure.

    Attributes:
        name: of its files, without the suffix.
        kind: "curves", "curves-log", "saving", "images", "speed" or "bits".
        metric: the metric that it is about; None if it is about none.
        description: what it shows, in a sentence or two.
        svg: an SVG element in light colours; `figure_style.themed` fits it into a page. What
            belongs to codec i of the summary has identifiers that end in `-codec-i`.
        png: the same, 200 dots per inch.
    """

    name: str
    kind: str
    metric: str | None
    description: str
    svg: str
    png: bytes


def write_figures(summary: Summary, folder: Path) -> list[Drawing]:
    """Draw all figures of a summary and write each as NAME.svg, NAME-dark.svg and NAME.png.

    Args:
        summary: of schema `rdae.eval-summary/1`.
        folder: an existing folder; files in it are replaced.
    """
    drawings = draw_figures(summary)
    for drawing in drawings:
        for ending, data in (
            (".svg", utf8(drawing.svg)),
            ("-dark.svg", utf8(darkened(drawing.svg))),
            (".png", drawing.png),
        ):
            with atomic_write(folder / (drawing.name + ending), overwrite=True) as file:
                file.write(data)
    return drawings


def draw_figures(summary: Summary) -> list[Drawing]:
    """Draw all figures for which a summary has data, in the order of a report."""
    looks = styles(summary)
    found: list[Drawing] = []

    def keep(figure: Figure | None, name: str, kind: str, metric: str | None, text: str) -> None:
        if figure is not None:
            svg = to_svg(figure, name, text)
            found.append(Drawing(name, kind, metric, text, svg, to_png(figure)))

    anchor = anchor_label(summary)
    dataset = summary["dataset"]["name"]
    with look():
        for metric in summary["metrics"]:
            short, slug = metric_name(metric), _slug(metric)
            text = f"{short} against bits per pixel on {dataset}, means over the images."
            keep(
                draw_curves(summary, metric, looks, False), f"curves-{slug}", "curves", metric, text
            )
            text = f"{short} against the logarithm of bits per pixel on {dataset}."
            keep(
                draw_curves(summary, metric, looks, True),
                f"curves-{slug}-log",
                "curves-log",
                metric,
                text,
            )
            text = (
                f"Bits that each codec needs against {anchor} at equal {short}, as a function of "
                f"{short}. Below zero it needs fewer. Shaded: 95 % bootstrap band over the images."
            )
            keep(draw_saving(summary, metric, looks), f"saving-{slug}", "saving", metric, text)
            text = (
                f"BD-rate against {anchor} of every single image ({short}), sorted. Line and band: "
                "mean over the images and its 95 % interval."
            )
            keep(draw_images(summary, metric, looks), f"images-{slug}", "images", metric, text)
        metric = summary["metrics"][0]
        for verb in ("decode", "encode"):
            text = (
                f"BD-rate against {anchor} ({metric_name(metric)}) over {verb} speed in megapixels "
                "per second on one thread: better is lower and further right."
            )
            keep(draw_speed(summary, metric, verb, looks), f"speed-{verb}", "speed", None, text)
        ours = [codec for codec in summary["codecs"] if any(p["bits"] for p in codec["points"])]
        for number, codec in enumerate(ours, 1):
            text = f"Share of the bits of {codec['label']} by what they are spent on, per quality."
            keep(draw_bits(codec), f"bits-{number}", "bits", None, text)
    return found


def _slug(metric: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in metric)

"""How figures look: colours for light and dark, markers, and clean SVG and PNG.

A figure is drawn once, in the light colours. Each of them stands for a role, and no two roles
share one, so that the SVG can be given the dark colours, or CSS variables for a page that has
both, by replacing text. The hues are those of Okabe and Ito, "Color Universal Design" (2008),
which stay apart for colour-blind readers; text in a hue is darker, to be legible.

The bytes depend on the figure alone: no date, no random identifiers.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Role: light, dark. Yellow is left out: on white it cannot be seen.
ROLES = {
    "paper": ("#ffffff", "#14171c"),
    "ink": ("#1f2328", "#e6edf3"),
    "muted": ("#59636f", "#9da7b3"),
    "grid": ("#e3e6ea", "#2c323a"),
    "vermillion": ("#d55e00", "#ff8c4a"),
    "blue": ("#0072b2", "#5aa9f2"),
    "green": ("#009e73", "#2ec79b"),
    "orange": ("#e69f00", "#f3b63a"),
    "purple": ("#cc79a7", "#e59cc6"),
    "sky": ("#56b4e9", "#a3dcfb"),
    "grey": ("#6e7781", "#b3bdc8"),
    "vermillion-text": ("#b04d00", "#ff8c4a"),
    "blue-text": ("#00639b", "#5aa9f2"),
    "green-text": ("#00765a", "#2ec79b"),
    "orange-text": ("#8a5f00", "#f3b63a"),
    "purple-text": ("#a1467a", "#e59cc6"),
    "sky-text": ("#1c75a8", "#a3dcfb"),
    "grey-text": ("#57606a", "#b3bdc8"),
}
LIGHT = {role: pair[0] for role, pair in ROLES.items()}
_OUR_HUE = "vermillion"  # which nobody else gets
_HUES = ("blue", "green", "orange", "purple", "sky", "grey")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")

_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_RC: Any = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same layout everywhere
    "font.size": 9.5,
    "text.color": LIGHT["ink"],
    "text.parse_math": False,  # names of users may have dollar signs
    "axes.edgecolor": LIGHT["muted"],
    "axes.labelcolor": LIGHT["ink"],
    "axes.facecolor": LIGHT["paper"],
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 0.7,
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "xtick.labelcolor": LIGHT["ink"],
    "ytick.labelcolor": LIGHT["ink"],
    "figure.facecolor": LIGHT["paper"],
    "figure.dpi": 72,  # a pixel is a point, as in the SVG
    "lines.solid_joinstyle": "round",
    "svg.fonttype": "none",
}
PNG_DPI = 200


@dataclass(frozen=True)
class Style:
    """How one codec is drawn, in all figures alike.

    Attributes:
        index: its place in the summary, from 0.
        label: for people.
        hue: a role of ROLES.
        marker: as matplotlib names it.
        ours: drawn thick and on top.
        published: dashed, with hollow markers: not run here.
    """

    index: int
    label: str
    hue: str
    marker: str
    ours: bool
    published: bool

    @property
    def colour(self) -> str:
        """Of lines and markers, in the light theme."""
        return LIGHT[self.hue]

    @property
    def text_colour(self) -> str:
        """Of text, in the light theme."""
        return LIGHT[f"{self.hue}-text"]

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments for `Axes.plot`."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "markersize": 6 if self.ours else 5,
            "markerfacecolor": LIGHT["paper"] if self.published else self.colour,
            "markeredgecolor": self.colour,
            "markeredgewidth": 1.0,
            "linewidth": 2.6 if self.ours else 1.3,
            "linestyle": (0, (4, 2.5)) if self.published else "-",
            "zorder": 6 if self.ours else 4 if not self.published else 3,
        }


def styles(summary: Mapping[str, Any]) -> dict[str, Style]:
    """Give each codec of a summary its look, by name: ours first, then those run, then others."""
    order = {"ours": 0, "codec": 1, "published": 2}
    codecs = list(enumerate(summary["codecs"]))
    codecs.sort(key=lambda pair: order.get(pair[1]["kind"], 1))
    return {
        codec["name"]: Style(
            index,
            codec["label"] + (f" ({codec['images']} images)" if codec["transparent"] else ""),
            _HUES[(place - 1) % len(_HUES)] if place or codec["kind"] != "ours" else _OUR_HUE,
            _MARKERS[place % len(_MARKERS)],
            codec["kind"] == "ours",
            codec["kind"] == "published",
        )
        for place, (index, codec) in enumerate(codecs)
    }


def look() -> Any:
    """The context in which figures are made and saved."""
    return matplotlib.rc_context(_RC)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that belongs to no window and no global list."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure) -> bytes:
    """The figure in light colours, at 200 dots per inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def to_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an SVG element in light colours, its text as text.

    Args:
        figure: what to write.
        name: put in front of all its identifiers, so that many fit in one page.
        description: what it shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context(_salt(name)):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]  # the prologue names a DTD by its address
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # This style would hold for the whole of a page; the root's attribute does the same.
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = svg.replace("'DejaVu Sans'", _FONTS)
    svg = re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)
    head = (
        f'<svg role="img" aria-labelledby="{name}-title" '
        'style="stroke-linejoin: round; stroke-linecap: butt" '
    )
    end = svg.index(">") + 1
    title = f'\n <title id="{name}-title">{escape(description)}</title>'
    return head + svg[len("<svg ") : end] + title + svg[end:]


def _salt(name: str) -> Any:
    return {"svg.hashsalt": name}


def darkened(svg: str) -> str:
    """The same drawing in the dark colours."""
    return _recoloured(svg, {light: dark for light, dark in ROLES.values()})


def themed(svg: str) -> str:
    """The same drawing in the page's CSS variables, `theme_css`."""
    return _recoloured(svg, {light: f"var(--{role})" for role, (light, _) in ROLES.items()})


def theme_css() -> str:
    """The roles as CSS variables that follow the page's `color-scheme`."""
    lines = [f"  --{role}: light-dark({light}, {dark});" for role, (light, dark) in ROLES.items()]
    return ":root {\n" + "\n".join(lines) + "\n}\n"


def _recoloured(svg: str, colours: Mapping[str, str]) -> str:
    # In one pass, and only as style values: a label may well say "#ffffff".
    return re.sub(
        r"((?:fill|stroke): )(#[0-9a-f]{6})\b",
        lambda found: found[1] + colours.get(found[2], found[2]),
        svg,
    )

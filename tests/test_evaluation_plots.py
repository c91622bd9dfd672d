"""The figures: valid SVG with text as text, every codec in them, the same bytes every time."""

from __future__ import annotations

import io
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib", reason="the figures need the extra [eval]")

import numpy as np
from PIL import Image

from rdae.evaluation.report import plots
from rdae.evaluation.report.figure_parts import known_points, percent_text, ratio
from rdae.evaluation.report.figure_style import (
    LIGHT,
    ROLES,
    darkened,
    look,
    new_figure,
    styles,
    themed,
)
from rdae.evaluation.report.line_labels import Label, place_labels
from tests.evaluation_sample import CODECS, summary

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, plots.Drawing]:
    folder = tmp_path_factory.mktemp("figures")
    found = plots.write_figures({**summary(), "metrics": ["psnr", "ssimulacra2"]}, folder)
    for drawing in found:
        assert (folder / f"{drawing.name}.svg").read_text(encoding="utf-8") == drawing.svg
        assert (folder / f"{drawing.name}.png").read_bytes() == drawing.png
        assert (folder / f"{drawing.name}-dark.svg").exists()
    return {drawing.name: drawing for drawing in found}


def texts(svg: str) -> list[str]:
    return ["".join(e.itertext()).strip() for e in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_there_is_a_figure_of_each_kind(drawings: dict[str, plots.Drawing]) -> None:
    assert list(drawings) == [
        *("curves-psnr", "curves-psnr-log", "saving-psnr", "images-psnr"),
        *("curves-ssimulacra2", "curves-ssimulacra2-log"),
        *("saving-ssimulacra2", "images-ssimulacra2", "speed-decode", "speed-encode", "bits-1"),
    ]


def test_every_codec_is_named_where_it_has_data(drawings: dict[str, plots.Drawing]) -> None:
    everybody = {codec[0] for codec in CODECS}
    run = {codec[0] for codec in CODECS if codec[1] != "published"}
    for name in ("curves-psnr", "curves-psnr-log", "saving-psnr"):
        assert everybody <= set(texts(drawings[name].svg)), name
    for name in ("curves-ssimulacra2", "curves-ssimulacra2-log", "speed-decode", "speed-encode"):
        assert run <= set(texts(drawings[name].svg)), name
        assert "VTM" not in texts(drawings[name].svg)
    assert run - {"AVIF"} <= set(texts(drawings["images-psnr"].svg))


def test_figures_are_svg_that_loads_nothing(drawings: dict[str, plots.Drawing]) -> None:
    identifiers: list[str] = []
    for drawing in drawings.values():
        root = ElementTree.fromstring(drawing.svg)
        assert root.tag == f"{SVG}svg"
        references = re.findall(r'(?:href="|url\()([^")]*)', drawing.svg)
        assert references and all(r.startswith(f"#{drawing.name}-") for r in references)
        mine = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
        assert {r[1:] for r in references} <= set(mine)
        identifiers += mine
        assert "<metadata" not in drawing.svg and "<style" not in drawing.svg
    assert len(identifiers) == len(set(identifiers))  # all fit in one page


def test_pngs_have_200_dots_per_inch(drawings: dict[str, plots.Drawing]) -> None:
    for drawing in drawings.values():
        assert Image.open(io.BytesIO(drawing.png)).width == 1720


def test_titles_name_the_dataset_and_the_number_of_images(
    drawings: dict[str, plots.Drawing],
) -> None:
    assert "kodak, 24 images: rate and PSNR" in texts(drawings["curves-psnr"].svg)


def test_dark_and_themed_figures_leave_no_light_colour(drawings: dict[str, plots.Drawing]) -> None:
    svg = drawings["curves-psnr"].svg
    used = {role for role, colour in LIGHT.items() if f": {colour}" in svg}
    assert {"paper", "ink", "grid", "vermillion"} <= used
    dark, page = darkened(svg), themed(svg)
    for role in used:
        assert f": {ROLES[role][0]}" not in dark and f": {ROLES[role][1]}" in dark
        assert f"var(--{role})" in page
    assert not re.search(r"(?:fill|stroke): #", page)


def test_the_colours_have_contrast_on_their_paper() -> None:
    def luminance(colour: str) -> float:
        levels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    for theme in (0, 1):
        paper = luminance(ROLES["paper"][theme])
        for role, pair in ROLES.items():
            if role.endswith("-text") or role in ("ink", "muted"):
                light, dark = sorted((paper, luminance(pair[theme])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (role, theme)


def test_the_same_summary_gives_the_same_bytes(drawings: dict[str, plots.Drawing]) -> None:
    one = {**summary(), "metrics": ["psnr"], "codecs": summary()["codecs"][:2], "anchor": "jpeg"}
    first, second = (plots.draw_figures(one) for _ in range(2))
    assert [d.svg for d in first] == [d.svg for d in second]
    assert [d.png for d in first] == [d.png for d in second]


def test_styles_are_distinct_and_ours_is_alone_in_its_hue() -> None:
    looks = styles(summary())
    assert len({(s.hue, s.marker) for s in looks.values()}) == len(looks)
    assert [s.label for s in looks.values() if s.hue == "vermillion"] == ["rdae"]


def test_an_almost_empty_summary_can_be_drawn() -> None:
    lone = {**summary(images=1), "metrics": ["psnr"]}
    lone["codecs"] = [{**lone["codecs"][0], "bd": {}, "decode_mps": None}]
    for point in lone["codecs"][0]["points"]:
        point["bits"] = None
    assert [d.name for d in plots.draw_figures(lone)] == ["curves-psnr", "curves-psnr-log"]
    lone["codecs"][0]["points"] = []
    assert plots.draw_figures(lone) == []


def test_unknown_and_infinite_values_are_not_drawn() -> None:
    codec = {"points": [{"bpp": 2.0, "psnr": None}, {"bpp": 3.0, "psnr": float("inf")}]}
    codec["points"].append({"bpp": 1.0, "psnr": 30.0, "bpp_of": {"psnr": 1.5}})
    assert known_points(codec, "psnr").tolist() == [[1.5, 30.0]]


def test_half_and_double_are_equally_far_from_zero() -> None:
    half, double = ratio([-50.0, 100.0])
    assert half == pytest.approx(-double)
    assert np.isnan(ratio([None])).all()


def test_percentages_have_a_real_minus_and_no_negative_zero() -> None:
    assert [percent_text(v) for v in (-11.24, 3, -0.04)] == ["−11.2", "+3.0", "0.0"]


def test_labels_do_not_touch_each_other() -> None:
    with look():
        figure = new_figure(6, 4)
        axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        curve = np.array([[0.1, 0.1], [0.8, 0.8]])
        labels = [Label(f"codec {i}", 0.8, 0.8 + 0.002 * i, LIGHT["ink"]) for i in range(10)]
        written = place_labels(axes, labels, [curve])
    boxes = [artists[0].get_window_extent() for artists in written]
    frame = axes.get_window_extent()
    for i, box in enumerate(boxes):
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 + 1
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_names_with_markup_stay_text(drawings: dict[str, plots.Drawing], tmp_path: Path) -> None:
    assert "BPG <4:4:4> $x_1$" in texts(drawings["curves-psnr"].svg)

"""The report: one HTML file that is complete, loads nothing, and takes no name for markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="the report needs the extra [eval]")
from rdae.evaluation.report import page as report
from rdae.evaluation.report import plots
from rdae.evaluation.report.scenes import Scene
from rdae.evaluation.report.viewer import records_of
from tests.evaluation_sample import CODECS, summary
from tests.report_samples import scene

EVIL = "<img src=http://evil.example/x onerror=alert(1)>\"'&</script><!--"
VOID = {"meta", "img", "input", "link", "br", "hr", "path", "use", "rect"}


class Page(HTMLParser):
    """Checks the nesting of elements, and collects what a test wants to know."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)


@pytest.fixture(scope="module")
def drawings() -> list[plots.Drawing]:
    return plots.draw_figures({**summary(), "metrics": ["psnr"]})


@pytest.fixture(scope="module")
def text(drawings: list[plots.Drawing]) -> str:
    return report.render_report(
        summary(), drawings, records_of(summary(), [scene()]), ["summary.json", "bd_rate.csv"]
    )


def test_the_page_is_well_formed_and_in_order(text: str) -> None:
    page = Page(text)
    sections = [a["id"] for tag, a in page.tags if tag == "section"]
    order = "headline table curves saving images viewer speed bits method data"
    assert sections == order.split()
    identifiers = [a["id"] for _, a in page.tags if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    assert "{{" not in text
    links = {a["href"] for tag, a in page.tags if tag == "a"}
    assert {f"#{s}" for s in sections if s not in ("headline", "bits")} <= links
    assert {"summary.json", "bd_rate.csv"} <= links and "results.jsonl" not in links
    assert "<dt>BD-rate</dt>" in text and "<dt>bpp</dt>" in text


def test_the_page_loads_nothing(text: str) -> None:
    for tag, attributes in Page(text).tags:
        assert tag not in ("link", "iframe", "object", "embed")
        for name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            assert not re.match(r"(?:https?:)?//", attributes.get(name) or "")
    assert "@import" not in text and not re.search(r"url\((?!#)", text)
    assert "default-src 'none'" in text


def test_all_codecs_and_metrics_are_in_the_table(text: str) -> None:
    table = text[text.index('id="bd"') : text.index("</table>", text.index('id="bd"'))]
    words = "".join(Page(f"<table {table}</table>").text)
    for label, *_ in CODECS:
        assert label in words
    for words_ in ("PSNR [%]", "MS-SSIM [%]", "SSIMULACRA2 [%]", "−7.0", "0 points, 4 are needed"):
        assert words_ in words


def test_the_headline_has_the_number_and_its_caveats() -> None:
    words = "".join(Page(report.headline(summary())).text)
    assert words.startswith("On kodak, rdae needs 7.0 % fewer bits than AVIF at equal PSNR.")
    assert (
        "The 95 % interval of that goes from −10.6 to −3.6 %." in words
        and "73 times slower than AVIF" in words
    )
    assert "9.8 % fewer bits at equal MS-SSIM" in words


def test_the_headline_admits_what_cannot_be_compared() -> None:
    lone = summary()
    lone["codecs"][0]["bd"]["psnr"].update(rate=None, interval=None, why_not="overlap 31 %")
    assert "cannot be compared in PSNR: overlap 31 %" in report.headline(lone)
    lone["codecs"] = lone["codecs"][9:]
    assert "No codec was run" in report.headline(lone)


def test_failures_warnings_and_lossy_sources_are_shown() -> None:
    bad = summary()
    bad["codecs"][0]["failures"] = [{"image": "a", "quality": 60.0, "error": "broken"}]
    bad["unreadable"] = [{"path": "b.png", "error": "no image"}]
    bad["dataset"]["images"][0]["lossy"] = "JPEG"
    words = "\n".join(Page(report._notices(bad)).text)
    for expected in (
        "rdae failed: a at quality 60: broken",
        "b.png: no image",
        "differ by 0.6 points",
        "MS-SSIM left out: tiny.png",
        "compressed with losses before: kodim01",
    ):
        assert expected in words


def evil(value: Any) -> Any:
    """Put markup into every text of a summary that comes from outside."""
    if isinstance(value, dict):
        keep = ("name", "kind", "anchor", "metrics", "sha256", "date")
        return {k: v if k in keep else evil(v) for k, v in value.items()}
    if isinstance(value, list):
        return [evil(v) for v in value]
    return EVIL if isinstance(value, str) else value


def test_markup_in_names_is_text(drawings: list[plots.Drawing]) -> None:
    bad = evil(summary(images=2))
    bad["metrics"] = ["psnr", "my<b>metric"]
    bad["codecs"] = [bad["codecs"][i] for i in (0, 1, 5, 9)]
    bad["dataset"]["name"] = EVIL
    for codec in bad["codecs"]:
        codec["name"] += EVIL
        codec["bd"]["my<b>metric"] = codec["bd"]["psnr"]
        codec["bd"]["psnr"]["images"] = {EVIL: 1.0}
    bad["anchor"] += EVIL
    shown = scene(EVIL)
    versions = [shown.versions[0]]
    versions += [replace(v, codec=f"{v.codec}{EVIL}", label=EVIL) for v in shown.versions[1:]]
    named = Scene(EVIL, 9, 9, shown.box, EVIL, 1.0, b"", tuple(versions))
    new = plots.draw_figures({**bad, "metrics": ["psnr"]})
    text = report.render_report(bad, [*drawings, *new], records_of(bad, [named]))
    page = Page(text)
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert not any(tag == "b" and not a for tag, a in page.tags)
    assert text.count("</script") == 2 and "<!--" not in text
    assert EVIL in "".join(page.text)


def test_the_scenes_survive_the_page(text: str) -> None:
    found = re.search(
        r'<script type="application/json" id="scenes">(.*?)</script>', text, re.DOTALL
    )
    assert found
    (first,) = json.loads(found[1])
    assert first["title"] == "kodim01 (worst, +3.2 %)"
    assert [(v["key"], v["goals"]) for v in first["versions"]] == [
        ("original", ["rate", "quality"]),
        ("codec-0", ["rate", "quality"]),
        ("codec-5", ["rate"]),
        ("codec-5", ["quality"]),
    ]
    assert first["versions"][2]["numbers"] == [
        ["quality", "50"],
        ["bits per pixel", "0.870"],
        ["bytes to rdae", "+8.8 %", "rate"],
        ["PSNR to rdae", "−1.25 dB", "quality"],
        ["PSNR", "30.00 dB"],
    ]
    assert first["versions"][3]["numbers"][2:4] == [
        ["bytes to rdae", "+25.0 %", "rate"],
        ["PSNR to rdae", "+0.25 dB", "quality"],
    ]
    assert "img-src data:;" in text
    assert all(v["src"].startswith("data:image/webp;base64,") for v in first["versions"])


def test_without_pictures_there_is_no_viewer(drawings: list[plots.Drawing], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    path = report.write_report(summary(), tmp_path, drawings, [])
    text = path.read_text(encoding="utf-8")
    Page(text)
    assert 'id="viewer"' not in text and 'href="run.json"' in text

"""The report in a real browser: opened from disk, used by keys and pointer, in light and dark.

Needs the package playwright and a Chromium that is installed already (Debian: `apt-get install
chromium`); RDAE_CHROMIUM may name another program. Nothing is downloaded.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="the report needs the extra [eval]")
pytest.importorskip("playwright", reason="needs the package playwright")

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from rdae.evaluation.report import page as report
from rdae.evaluation.report import plots
from rdae.evaluation.report.scenes import Scene, Version, fitted, overview, saved
from rdae.evaluation.report.viewer import records_of
from tests.browsers import CHROMIUM, CHROMIUM_FLAGS
from tests.evaluation_sample import summary

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs a Chromium (Debian: apt-get install chromium)"
)
PHOTO = Path(__file__).parent.parent / "examples" / "photo.png"


def coarse(photo: np.ndarray, step: int) -> np.ndarray:
    """The picture in fewer levels."""
    return np.asarray(photo // step * step, np.uint8)


def scene(name: str, left: int) -> Scene:
    """A detail of the photo: as it is, darker, and in eight levels."""
    box = (left, 60, left + 320, 380)
    photo = np.asarray(Image.open(PHOTO).convert("RGB").crop(box))
    values = {"psnr": 31.25, "ms_ssim": 0.9712, "ssimulacra2": 61.0}
    versions = (
        Version(None, "original", None, None, 0.0, {}, photo),
        Version("rdae", "rdae", 60.0, 0.8, 0.0, values, photo - photo // 8),
        Version("avif", "AVIF", 50.0, 0.87, 0.0875, values, coarse(photo, 32), -0.5, ("rate",)),
        Version("avif", "AVIF", 55.0, 0.96, 0.2, values, coarse(photo, 16), -0.15, ("quality",)),
        Version("jpeg", "JPEG", 30.0, 0.81, 0.0125, values, coarse(photo, 64), -2.0, ("rate",)),
    )
    small = overview(np.asarray(Image.open(PHOTO).convert("RGB")))
    return Scene(name, 768, 512, box, "worst", 3.25, small, versions)


@pytest.fixture(scope="module")
def report_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    metrics = {**summary(), "metrics": ["psnr", "ms_ssim"]}
    for name in ("summary.json", "bd_rate.csv"):
        (folder / name).write_text("{}")
    scenes = fitted([scene("photo", 250), scene("twig", 0)])
    return report.write_report(
        metrics, folder, plots.write_figures(metrics, folder), records_of(metrics, scenes)
    )


@pytest.fixture(scope="module")
def whole_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose pictures lie beside it, in a folder with an awkward name."""
    folder = tmp_path_factory.mktemp("a report #1 %41")
    names = {"photo": 250, "twig": 0}
    metrics = {**summary(images=2), "metrics": ["psnr"]}
    for entry, name in zip(metrics["dataset"]["images"], names, strict=True):
        entry["image"] = name
    bare = [replace(scene(name, left), overview=b"") for name, left in names.items()]
    scenes = [saved(one, metrics, folder) for one in bare]
    return report.write_report(metrics, folder, [], records_of(metrics, scenes))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield found
        found.close()


class Opened:
    """A page, and all that it complained about or tried to load."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.complaints: list[str] = []
        self.loaded: list[str] = []
        self.page = browser.new_page(**options)
        self.page.set_default_timeout(20_000)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.loaded.append(request.url))
        self.page.goto(path.as_uri())

    def text(self, part: str) -> str:
        return str(self.page.inner_text(f'[data-part="{part}"]'))

    def pixel(self, x: int, y: int) -> list[int]:
        """What is seen of the picture at a place in it."""
        self.page.locator(".cmp").scroll_into_view_if_needed()
        box = self.page.locator(".cmp").bounding_box()
        shot = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        seen = shot.getpixel((round(box["x"]) + x, round(box["y"]) + y))
        assert isinstance(seen, tuple)
        return list(seen)

    def run(self, script: str) -> Any:
        return self.page.evaluate(script)

    def split(self) -> float:
        """Where the line is, as a share of the picture's visible width."""
        return float(
            self.run(
                "parseFloat(document.querySelector('.cmp').style.getPropertyValue('--x'))"
                " / document.querySelector('.stage').clientWidth"
            )
        )


@pytest.fixture
def opened(browser: Any, report_path: Path) -> Iterator[Opened]:
    found = Opened(browser, report_path, viewport={"width": 1280, "height": 900})
    yield found
    found.page.close()
    assert found.complaints == []


@pytest.fixture
def viewer(opened: Opened) -> Opened:
    """The page with the viewer in sight."""
    opened.page.locator(".bench").scroll_into_view_if_needed()
    opened.page.locator(".stage").click()
    return opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_from_disk_in_both_colour_schemes(
    browser: Any, report_path: Path, tmp_path: Path, scheme: str, width: int
) -> None:
    opened = Opened(
        browser, report_path, color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    try:
        path = tmp_path / f"{scheme}.png"
        opened.page.screenshot(path=path)
        paper = np.asarray(Image.open(path).convert("L"))[5, 5]
        assert paper > 240 if scheme == "light" else paper < 40
        assert opened.run("document.documentElement.scrollWidth") == width  # nothing sticks out
        assert opened.page.locator("figure svg").count() == 11
        outside = [url for url in opened.loaded if not url.startswith(("file:", "data:"))]
        assert outside == [] and opened.complaints == []
    finally:
        opened.page.close()


def test_the_theme_button_overrides_the_system(opened: Opened) -> None:
    dark = "getComputedStyle(document.body).backgroundColor"
    before = opened.run(dark)
    opened.page.click("#theme")
    assert opened.run(dark) != before
    opened.page.reload()
    assert opened.run(dark) != before
    opened.page.click("#theme")
    assert opened.run(dark) == before


def test_tables_sort_by_value_both_ways(opened: Opened) -> None:
    page = opened.page
    names = "[...document.querySelectorAll('#bd tbody tr')].map((r) => r.cells[0].dataset.v)"
    page.click("#bd th:nth-child(2) button")
    assert opened.run(names)[:2] == ["VTM", "AV1 & co"]
    assert page.get_attribute("#bd th:nth-child(2)", "aria-sort") == "ascending"
    page.click("#bd th:nth-child(2) button")
    assert opened.run(names)[:2] == ["JPEG", "JPEG 4:2:0"]
    page.click("#bd th:nth-child(1) button")
    assert opened.run(names)[:2] == ["AV1 & co", "AVIF"]
    page.click("#bd th:nth-child(5) button")  # speeds that are not known come last, both ways
    page.click("#bd th:nth-child(5) button")
    assert opened.run(names)[0] == "JPEG 4:2:0"


def test_a_table_is_copied_as_csv(opened: Opened) -> None:
    opened.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened.page.click('button.copy[data-table="bd"]')
    opened.page.wait_for_selector("button.copy >> text=/^Copied$/")
    lines = opened.run("navigator.clipboard.readText()").splitlines()
    assert lines[0].startswith("Codec,PSNR [%],MS-SSIM [%],Rates [bpp],Decode [MP/s]")
    assert lines[1].startswith("rdae,-7,")


def test_one_metric_is_shown_at_a_time_and_codecs_can_be_hidden(opened: Opened) -> None:
    page = opened.page
    assert page.locator("#curves figure:visible").count() == 1
    assert page.is_visible("#curves-psnr-title >> xpath=..")
    page.click("text=MS-SSIM >> nth=0")
    page.click('[data-choose="ms_ssim"]')
    assert page.locator("#curves figure:visible svg").get_attribute("aria-labelledby") == (
        "curves-ms-ssim-title"
    )
    page.check("#log")
    assert page.locator("#curves figure:visible svg").get_attribute("aria-labelledby") == (
        "curves-ms-ssim-log-title"
    )
    line = "#curves-ms-ssim-log-codec-1"
    assert page.is_visible(line)
    page.click(".chip:has([data-codec='1'])")
    assert not page.is_visible(line) and page.is_visible("#curves-ms-ssim-log-codec-10")


def test_the_slider_moves_by_pointer_and_keys(viewer: Opened) -> None:
    page = viewer.page
    assert viewer.split() == pytest.approx(0.5, abs=0.01)
    page.keyboard.press("ArrowRight")
    assert viewer.split() == pytest.approx(0.52, abs=0.01)
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert viewer.split() == pytest.approx(0.46, abs=0.01)
    box = page.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 60)
    page.mouse.up()
    assert viewer.split() == pytest.approx(0.8, abs=0.01)
    page.locator('[data-part="range"]').fill("25")
    assert viewer.split() == pytest.approx(0.25, abs=0.01)


def test_the_numbers_of_both_sides_and_the_mismatch_are_shown(viewer: Opened) -> None:
    assert (viewer.text("tag-a"), viewer.text("tag-b")) == ("A · AVIF", "B · rdae")
    assert viewer.text("card-b").split("\n")[:5] == [
        *("B · rdae", "quality", "60", "bits per pixel", "0.800")
    ]
    assert "+8.8 %" in viewer.text("card-a") and "31.25 dB" in viewer.text("card-a")
    assert viewer.page.inner_text(".card dd.bad") == "+8.8 %"


def test_keys_pick_versions_pictures_zoom_and_difference(viewer: Opened) -> None:
    page = viewer.page
    page.keyboard.press("Digit4")
    page.keyboard.press("Shift+Digit1")
    assert (viewer.text("tag-a"), viewer.text("tag-b")) == ("A · original", "B · JPEG")
    page.keyboard.press("x")
    assert (viewer.text("tag-a"), viewer.text("tag-b")) == ("A · JPEG", "B · original")
    page.keyboard.press("n")
    assert page.get_attribute('[data-part="image-a"]', "alt") == "twig, JPEG"
    page.keyboard.press("p")
    assert page.get_attribute('[data-part="image-a"]', "alt") == "photo, JPEG"
    for width in (640, 1280, 320):
        page.keyboard.press("z")
        assert page.evaluate("document.querySelector('.side-a').offsetWidth") == width
    assert viewer.run("getComputedStyle(document.querySelector('.side-a')).imageRendering") == (
        "pixelated"
    )
    check_difference(viewer, "Digit2")


def check_difference(viewer: Opened, key: str) -> None:
    """Both sides of the line show the difference between A and B, which the key has picked."""
    viewer.page.keyboard.press("Shift+Digit1")
    viewer.page.keyboard.press(key)
    before = viewer.pixel(5, 7)
    viewer.page.keyboard.press("h")
    original, ours = (version.detail.astype(int) for version in scene("photo", 250).versions[:2])
    for x in (5, 160, 300):
        error = np.abs(ours[7, x] - original[7, x])
        assert viewer.pixel(x, 7) == list(np.minimum(8 * error, 255))
    viewer.page.keyboard.press("h")
    assert viewer.pixel(5, 7) == before == list(original[7, 5])


def test_what_is_matched_is_chosen_by_key_and_button(viewer: Opened) -> None:
    page = viewer.page
    pressed = '[data-goal][aria-pressed="true"]'
    assert page.inner_text(pressed) == "bit rate"
    assert viewer.text("card-a").split("\n")[5:9] == [
        *("bytes to rdae", "+8.8 %", "PSNR to rdae", "−0.50 dB")
    ]
    page.keyboard.press("m")
    assert page.inner_text(pressed) == "quality"
    assert (viewer.text("tag-a"), viewer.text("tag-b")) == ("A · AVIF", "B · rdae")
    assert viewer.text("card-a").split("\n")[1:9] == [
        *("quality", "55", "bits per pixel", "0.960"),
        *("bytes to rdae", "+20.0 %", "PSNR to rdae", "−0.15 dB"),
    ]
    assert page.locator(".card dd.bad").count() == 0  # no codec is to have our bytes here
    page.keyboard.press("Digit4")  # has no file of our quality
    assert viewer.text("tag-b") == "B · rdae"
    assert page.locator('[data-part="pick-b"] option:disabled').all_inner_texts() == ["4  JPEG"]
    page.click('[data-goal="rate"]')
    assert page.inner_text(pressed) == "bit rate" and "50" in viewer.text("card-a").split("\n")
    page.keyboard.press("Digit4")
    assert viewer.text("tag-b") == "B · JPEG"


def test_holding_space_flickers_and_the_page_stays_where_it_is(viewer: Opened) -> None:
    page = viewer.page
    before = viewer.run("scrollY")
    page.keyboard.down("Space")
    assert page.get_attribute(".cmp", "data-show") == "b"
    page.wait_for_selector('.cmp[data-show="a"]')
    page.keyboard.up("Space")
    assert page.get_attribute(".cmp", "data-show") is None
    assert viewer.run("scrollY") == before
    page.click('[data-part="flicker"]')
    assert page.get_attribute('[data-part="flicker"]', "aria-pressed") == "true"
    page.click('[data-part="flicker"]')
    assert page.get_attribute(".cmp", "data-show") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_beside_the_page_are_shown(browser: Any, whole_path: Path, scheme: str) -> None:
    viewer = Opened(
        browser, whole_path, color_scheme=scheme, viewport={"width": 1280, "height": 900}
    )
    page = viewer.page
    try:
        page.locator(".bench").scroll_into_view_if_needed()
        page.locator(".stage").click()
        width = "document.querySelector('.side-a').naturalWidth"
        page.wait_for_function(f"{width} === 320")
        assert page.get_attribute(".side-a", "src") == "pictures/1-photo/6-AVIF-q50.webp"
        assert not page.is_visible('[data-part="map"]')
        page.keyboard.press("m")
        assert page.get_attribute(".side-a", "src") == "pictures/1-photo/6-AVIF-q55.webp"
        page.keyboard.press("n")
        assert page.get_attribute(".side-b", "src") == "pictures/2-twig/1-rdae-q60.webp"
        page.keyboard.press("p")
        check_difference(viewer, "Digit2")
        assert viewer.loaded
        assert all(url.startswith(whole_path.parent.as_uri()) for url in viewer.loaded)
        assert viewer.complaints == []
    finally:
        page.close()


def test_it_prints_all_metrics_in_light(browser: Any, report_path: Path) -> None:
    opened = Opened(browser, report_path, color_scheme="dark")
    try:
        opened.page.emulate_media(media="print", color_scheme="dark")
        assert opened.page.locator("#curves figure:visible").count() == 2
        assert opened.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not opened.page.is_visible("#theme")
    finally:
        opened.page.close()

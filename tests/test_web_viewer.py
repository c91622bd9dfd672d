"""The viewer in a real browser: from `rdae view`, and offline by its service worker.

Needs what tests/test_report_browser.py needs.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("playwright", reason="needs the package playwright")

from PIL import Image
from playwright.sync_api import Browser, Page

import rdae
from tests.browsers import CHROMIUM
from tests.cli.test_cli_view import viewing
from tests.processes import wait_until
from tests.test_web_browser import Handler, address, browser

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs a Chromium (Debian: apt-get install chromium)"
)
GOLDEN = Path(__file__).parent / "golden"
__all__ = ["address", "browser"]  # fixtures
DROP = """(files) => {
  const data = new DataTransfer();
  for (const [name, bytes] of files) data.items.add(new File([Uint8Array.from(bytes)], name));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grey file, one with alpha and profile, a lossless one, one with a damaged tile, one cut."""
    folder = tmp_path_factory.mktemp("viewer")
    for name in ("grey-q40", "alpha-q70", "lossless-two-methods", "lossless-undivided"):
        (folder / f"{name}.rd").write_bytes((GOLDEN / f"{name}.rd").read_bytes())
    waves = np.add.outer(np.arange(40), np.arange(1100)) % 256
    data = bytearray(rdae.compress(waves.astype(np.uint8), quality=50))
    data[-12] ^= 1  # in the last tile's stream
    (folder / "damaged.rd").write_bytes(data)
    (folder / "cut.rd").write_bytes((GOLDEN / "grey-q40.rd").read_bytes()[:-9])
    return folder


def opened(browser: Browser, url: str, **settings: Any) -> Page:
    page = browser.new_page(**{"viewport": {"width": 1000, "height": 700}, **settings})
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(url)
    return page


def shows(page: Page, name: str, state: str = "done") -> None:
    """Wait until that file is on show."""
    page.wait_for_selector(f"body[data-state={state}]:has(#name[title='{name}'])")


def test_files_are_shown_saved_and_judged(browser: Browser, folder: Path) -> None:
    names = ["grey-q40.rd", "alpha-q70.rd", "damaged.rd", "cut.rd"]
    with viewing(folder, *names) as (process, host, secret):
        page = opened(browser, f"http://{host}{secret}/web/viewer.html?session")
        # Said now: a busy browser may hear of it only after the key, and open a chooser itself.
        page.on("filechooser", lambda _: None)
        shows(page, names[0])
        assert page.inner_text("#place") == "1 of 4" and page.locator(".thumbnail").count() == 4
        check_zoom_and_pixels(page, folder / names[0])

        page.keyboard.press("i")
        facts = page.inner_text("#info").split("\n")
        info = rdae.read_info(folder / names[0])
        assert facts[facts.index("Quality") + 1].startswith(f"{info.quality:g} ")
        assert facts[facts.index("Bits per pixel") + 1] == f"{info.bpp:.3f}"
        said = page.inner_text("#info table").replace("\u202f", "")
        assert str(8 * info.y_bytes) in said and str(8 * info.header_bytes) in said
        page.set_viewport_size({"width": 1000, "height": 300})
        page.focus("#info-close")
        page.keyboard.press("End")
        wait_until(lambda: page.evaluate("document.querySelector('#info').scrollTop") > 0)
        assert page.inner_text("#place") == "1 of 4"
        page.set_viewport_size({"width": 1000, "height": 700})
        page.keyboard.press("Escape")
        assert page.is_hidden("#info")

        page.keyboard.press("ArrowRight")
        shows(page, names[1])
        with page.expect_download() as download:
            page.keyboard.press("s")
        assert download.value.suggested_filename == "alpha-q70.png"
        saved = Image.open(io.BytesIO(Path(download.value.path()).read_bytes()))
        wanted = rdae.decompress(folder / names[1])
        assert saved.mode == wanted.mode and saved.tobytes() == wanted.tobytes()
        assert saved.info.get("icc_profile") == wanted.info.get("icc_profile")

        page.click("#next")
        shows(page, names[2])
        assert page.inner_text("#damage").startswith("tile 1 damaged")
        page.click(".thumbnail >> nth=3")
        shows(page, names[3], "failed")
        assert page.inner_text("#problem-name") == "cut.rd cannot be shown"
        assert "the file ends early" in page.inner_text("#problem-text")

        with page.expect_file_chooser() as chooser:
            page.keyboard.press("o")
        chooser.value.set_files(folder / "lossless-two-methods.rd")
        shows(page, "lossless-two-methods.rd")
        assert page.inner_text("#place") == "5 of 5"
        page.keyboard.press("i")
        facts = page.inner_text("#info").split("\n")
        info = rdae.read_info(folder / "lossless-two-methods.rd")
        told = {
            name: facts[facts.index(name) + 1] for name in ("Model", "Quality", "Coded", "Tiles")
        }
        assert told["Model"].startswith("lossless, ") and told["Quality"] == "lossless"
        assert told["Coded"] == "1 by network, 1 by WebP" and told["Tiles"] == "2 × 1"
        assert facts[facts.index("Per subpixel") + 1] == f"{info.bits_per_subpixel:.4f} bits"
        page.keyboard.press("Escape")
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("o")
        chooser.value.set_files(folder / "lossless-undivided.rd")
        shows(page, "lossless-undivided.rd")
        page.keyboard.press("i")
        facts = page.inner_text("#info").split("\n")
        assert facts[facts.index("Tiles") + 1] == "1 × 1"
        page.keyboard.press("Escape")

        page.keyboard.press("?")
        assert page.is_visible("dialog")
        page.keyboard.press("Escape")
        assert page.is_hidden("dialog")
        page.close()
        assert process.wait(60) == 0  # soon after the page


def check_zoom_and_pixels(page: Page, path: Path) -> None:
    """Zoom by keys and wheel, drag, and compare a pixel's value."""
    picture = rdae.decompress(path)
    page.keyboard.press("1")
    assert page.inner_text("#zoom") == "100 %"
    box = page.locator("#stage").bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    (column, row), value = pointed(page)
    assert abs(column - picture.width // 2) < 2 and abs(row - picture.height // 2) < 2
    assert value == picture.getpixel((column, row))
    page.mouse.wheel(0, -1200)
    page.wait_for_selector("#stage.movable")
    page.mouse.down()
    page.mouse.move(middle[0] + 150, middle[1])
    page.mouse.up()
    (x, y), value = pointed(page)  # zoomed around the pointer, then drawn along
    assert abs(x - column) < 2 and abs(y - row) < 2 and value == picture.getpixel((x, y))
    page.keyboard.press("0")
    page.wait_for_selector("#stage:not(.movable)")


def test_actual_size_is_that_of_the_screens_pixels(browser: Browser, address: str) -> None:
    url = f"{address}/web/viewer.html?src=../tests/golden/grey-q40.rd"
    page = opened(browser, url, device_scale_factor=2)
    shows(page, "grey-q40.rd")
    assert page.inner_text("#zoom") == "200 %"  # as it is shown at first: a CSS pixel for each
    page.keyboard.press("1")
    wait_until(lambda: page.inner_text("#zoom") == "100 %")
    page.keyboard.press("0")
    wait_until(lambda: page.inner_text("#zoom") == "200 %")
    page.close()


def pointed(page: Page) -> tuple[tuple[int, int], int]:
    """Place and value of the grey pixel under the pointer."""
    place, value = page.inner_text("#pixel").split("   ")
    column, row = map(int, place.split(", "))
    return (column, row), int(value)


@pytest.mark.slow
def test_from_a_static_host_it_works_offline_afterwards(browser: Browser, address: str) -> None:
    page = opened(browser, f"{address}/web/viewer.html?src=../tests/golden/grey-q40.rd")
    shows(page, "grey-q40.rd")
    kept = """async () => {
      await navigator.serviceWorker.ready;
      const names = await caches.keys();
      return names.sort();
    }"""
    assert page.evaluate(kept) == ["rdae-viewer-1", "rdae-weights"]
    page.context.set_offline(True)
    Handler.asked.clear()
    page.goto(f"{address}/web/viewer.html")
    page.wait_for_selector("body[data-state=empty]")
    page.evaluate(
        DROP, [["dropped.rd", list((GOLDEN / "pixel-q50.rd").read_bytes())], ["no.rd", [1]]]
    )
    shows(page, "dropped.rd")
    page.keyboard.press("End")
    shows(page, "no.rd", "failed")
    assert page.inner_text("#problem-text") == "this is no .rd file"
    assert set(Handler.asked) <= {"/web/service-worker.js"}  # whether it is a new one
    page.close()

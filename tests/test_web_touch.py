"""The viewer by fingers: what a phone's browser makes of touches.

Needs what tests/test_report_browser.py needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="needs the package playwright")

from playwright.sync_api import Browser, CDPSession, Page

from tests.browsers import CHROMIUM
from tests.test_web_browser import address, browser
from tests.test_web_viewer import opened, shows

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs a Chromium (Debian: apt-get install chromium)"
)
GOLDEN = Path(__file__).parent / "golden"
PAUSE = 500  # milliseconds, behind which a touch is no part of the last gesture
NAMES = ["photo-q60.rd", "grey-q40.rd", "pixel-q50.rd"]
PHONE = {
    "viewport": {"width": 390, "height": 780},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
__all__ = ["address", "browser"]  # fixtures

Point = tuple[float, float]


class Fingers:
    """Fingers on the screen, numbered from 0; places are CSS pixels of the page."""

    def __init__(self, page: Page) -> None:
        """Touch nothing yet."""
        self.session: CDPSession = page.context.new_cdp_session(page)
        self.down: dict[int, Point] = {}

    def send(self, kind: str) -> None:
        points = [{"id": number, "x": x, "y": y} for number, (x, y) in self.down.items()]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def put(self, *places: Point) -> None:
        """Put one finger on the screen after the other."""
        for number, place in enumerate(places):
            self.down[number] = place
            self.send("touchStart")

    def slide(self, *places: Point, steps: int = 8) -> None:
        """Move all of them to other places, little by little."""
        begin = list(self.down.values())
        for step in range(1, steps + 1):
            for number, ((x, y), (to_x, to_y)) in enumerate(zip(begin, places, strict=True)):
                part = step / steps
                self.down[number] = x + (to_x - x) * part, y + (to_y - y) * part
            self.send("touchMove")

    def lift(self) -> None:
        """Take them away, the last one first."""
        while self.down:
            self.down.popitem()
            self.send("touchEnd")

    def tap(self, place: Point) -> None:
        self.put(place)
        self.lift()


@pytest.fixture(scope="module")
def viewer(browser: Browser, address: str) -> Iterator[Page]:
    """The viewer with three files on a phone."""
    sources = "&".join(f"src=../tests/golden/{name}" for name in NAMES)
    page = opened(browser, f"{address}/web/viewer.html?{sources}", **PHONE)
    yield page
    page.close()


@pytest.fixture
def phone(viewer: Page) -> Page:
    """The same; all of the first file is on show, and the last gesture is long ago."""
    viewer.keyboard.press("Home")
    viewer.keyboard.press("0")
    viewer.wait_for_timeout(PAUSE)
    shows(viewer, NAMES[0])
    return viewer


def scale_of(page: Page) -> float:
    """Pixels of the screen for one of the picture."""
    return float(page.inner_text("#zoom").removesuffix(" %")) / 100


def pixel_under(page: Page, place: Point) -> Point:
    """Column and row of the pixel that a finger touches."""
    fingers = Fingers(page)
    fingers.put(place)
    found = re.match(r"(\d+), (\d+) ", page.inner_text("#pixel"))
    fingers.lift()
    assert found is not None
    return float(found[1]), float(found[2])


def test_a_swipe_leads_to_the_next_file_and_back(phone: Page) -> None:
    fingers = Fingers(phone)
    fingers.put((300, 400))
    fingers.slide((120, 410))
    fingers.lift()
    shows(phone, NAMES[1])
    fingers.put((100, 400))
    fingers.slide((280, 390))
    fingers.lift()
    shows(phone, NAMES[0])
    for there in ((260, 400), (200, 700)):  # too short, and downwards
        fingers.put((300, 400))
        fingers.slide(there)
        fingers.lift()
    assert phone.get_attribute("#name", "title") == NAMES[0]
    assert phone.is_hidden("#readout")


def test_a_pinch_zooms_around_the_fingers_and_a_drag_moves(phone: Page) -> None:
    box = phone.locator("#stage").bounding_box()
    assert box is not None
    x, y = middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    small, before = scale_of(phone), pixel_under(phone, middle)
    fingers = Fingers(phone)
    fingers.put((x - 40, y), (x + 40, y))
    fingers.slide((x - 120, y), (x + 120, y))
    fingers.lift()
    assert scale_of(phone) == pytest.approx(3 * small, rel=0.03)
    column, row = pixel_under(phone, middle)
    assert (column, row) == pytest.approx(before, abs=3)
    # One finger moves what is larger than the screen, and leads to no other file.
    fingers.put((300, 400))
    fingers.slide((200, 400))
    fingers.lift()
    moved, same = pixel_under(phone, middle)
    assert moved - column == pytest.approx(100 * 2 / scale_of(phone), abs=3) and same == row
    assert phone.get_attribute("#name", "title") == NAMES[0]
    fingers.put((x - 150, y), (x + 150, y))
    fingers.slide((x - 20, y), (x + 20, y))
    fingers.lift()
    assert scale_of(phone) == pytest.approx(small, rel=0.02)
    assert phone.locator("#stage.movable").count() == 0


def test_a_double_tap_zooms_where_it_is_and_the_next_one_shows_all(phone: Page) -> None:
    small, place = scale_of(phone), (250.0, 380.0)
    before = pixel_under(phone, place)
    phone.wait_for_timeout(PAUSE)
    fingers = Fingers(phone)
    fingers.tap(place)
    fingers.tap(place)
    phone.wait_for_selector("#stage.movable")
    assert scale_of(phone) == pytest.approx(2 * small, rel=0.02)
    phone.wait_for_timeout(PAUSE)
    assert pixel_under(phone, place) == pytest.approx(before, abs=3)
    phone.wait_for_timeout(PAUSE)
    fingers.tap(place)
    fingers.tap(place)
    phone.wait_for_selector("#stage:not(.movable)")
    assert scale_of(phone) == small


def test_small_screens_cut_nothing_off(phone: Page) -> None:
    name = "a name as long as a whole sentence of some words.rd"
    phone.evaluate("(text) => (document.querySelector('#name').textContent = text)", name)
    outside = """() => [...document.querySelectorAll("body > header > *, #place")]
      .filter((one) => {
        const { left, right } = one.getBoundingClientRect();
        return left < 0 || right > innerWidth || one.scrollWidth > one.clientWidth + 1;
      }).map((one) => one.id || one.localName)"""
    for width, height in ((320, 568), (390, 780)):
        phone.set_viewport_size({"width": width, "height": height})
        assert phone.evaluate(outside) == []
        assert phone.inner_text("#place") == "1 of 3"
        phone.locator("#help-button").tap()
        top = "[help.scrollTop, document.activeElement.id]"
        assert phone.evaluate(top) == [0, "help-close"]
        phone.locator("#help-close").tap()

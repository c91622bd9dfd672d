"""The decoder in a real browser: workers, weights fetched and cached, the same pixels.

Needs what tests/test_report_browser.py needs.
"""

from __future__ import annotations

import functools
import http.server
import io
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("playwright", reason="needs the package playwright")

from PIL import Image, ImageCms
from playwright.sync_api import Browser, Page, sync_playwright

import rdae
from rdae.images.icc import profile_of
from tests.browsers import CHROMIUM, CHROMIUM_FLAGS, ROOT

pytestmark = [
    pytest.mark.skipif(not (ROOT / "web").is_dir(), reason="needs the checkout"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium"),
]
DISPLAY_P3 = 12  # in H.273
EXPECTED = json.loads((ROOT / "tests" / "golden" / "expected.json").read_text())
DECODE = """async (name) => {
  const { decode } = await import("/web/rdae.js");
  const file = await (await fetch(`/tests/golden/${name}.rd`)).arrayBuffer();
  const { data } = await decode(file).catch((error) => ({ data: error.code }));
  if (typeof data === "string") return data;
  const rgb = data.filter((_, i) => i % 4 < 3);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", rgb));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}"""

# Weights of an older version, and the paths of all that are kept.
KEEP_OLDER = """async () => {
  const cache = await caches.open("rdae-weights");
  await cache.put("/weights/photo.safetensors?older", new Response("older"));
}"""
KEPT = """async () => {
  const cache = await caches.open("rdae-weights");
  return (await cache.keys()).map(({ url }) => new URL(url).pathname).sort();
}"""
FAIL = """() => new Promise((resolve) => {
  const element = document.createElement("rd-image");
  element.setAttribute("src", "no-such-file.rd");
  element.addEventListener("error", ({ error }) => resolve([error.code, error.message]));
  document.body.prepend(element);
})"""


class Handler(http.server.SimpleHTTPRequestHandler):
    """The checkout's files; remembers which were asked for."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


PAGE = """<!doctype html><script type="module" src="/web/rd-image.js"></script>
<rd-image id="good" src="/tests/golden/photo-q60.rd" alt="A pond"></rd-image>
<rd-image id="bad" src="/web/kernel/build.py" alt="A script"></rd-image>
<rd-image id="other" src="/web/kernel/build.py" alt="A script"><b>instead</b></rd-image>
<p><svg width="9" height="9000"></svg></p>
<rd-image id="far" src="/tests/golden/grey-q40.rd" alt="Far below"></rd-image>"""

# What docs/web.md says is enough: no inline style.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "connect-src 'self'; worker-src 'self'"
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    handler = functools.partial(Handler, directory=str(ROOT))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that shares nothing with others."""
    page = browser.new_page()
    page.set_default_timeout(60_000)
    yield page
    page.close()


def test_a_browser_finds_the_same_pixels_and_fetches_the_weights_once(
    page: Page, address: str
) -> None:
    Handler.asked.clear()
    page.goto(f"{address}/docs/")
    page.evaluate(KEEP_OLDER)
    for _ in range(2):
        page.goto(f"{address}/docs/")
        found = {name: page.evaluate(DECODE, name) for name in EXPECTED}
        assert found == {name: one["pixels"] for name, one in EXPECTED.items()}
    files = ["/weights/lossless.safetensors", "/weights/photo.safetensors"]
    assert [Handler.asked.count(file) for file in files] == [1, 1]
    assert page.evaluate(KEPT) == files


def test_the_element_shows_pictures_and_names_what_is_wrong(page: Page, address: str) -> None:
    Handler.asked.clear()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    headers = {"Content-Type": "text/html", "Content-Security-Policy": POLICY}
    page.route("**/page.html", lambda route: route.fulfill(body=PAGE, headers=headers))
    page.goto(f"{address}/page.html")
    painted = """() => {
      const canvas = document.querySelector("#good").canvas;
      if (!canvas.width) return false;
      const { data } = canvas.getContext("2d").getImageData(5, 7, 1, 1);
      return data[3] === 255 && [canvas.width, canvas.height];
    }"""
    assert page.wait_for_function(painted).json_value() == [768, 512]
    page.wait_for_selector("#bad p:visible")
    assert page.inner_text("#bad p") == "A script (/web/kernel/build.py: this is no .rd file)"
    assert page.is_visible("#other b")
    style = "document.querySelector('#bad').message.computedStyleMap().get('padding-top').value"
    assert page.evaluate(style) == 12
    assert page.evaluate(FAIL) == ["unavailable", "404 File not found"]
    assert not any("grey-q40" in path for path in Handler.asked)
    page.locator("#far").scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('#far').canvas.width === 200")
    assert not [line for line in said if "Content Security Policy" in line]


# Moves an element that shows its picture, and changes how it loads.
MOVE = """() => {
  const element = document.querySelector("#good");
  document.body.append(element);
  element.setAttribute("loading", "eager");
  element.scrollIntoView();
}"""


def test_an_element_that_is_moved_keeps_its_picture(page: Page, address: str) -> None:
    Handler.asked.clear()
    page.route("**/page.html", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
    page.goto(f"{address}/page.html")
    page.wait_for_function("() => document.querySelector('#good').isDrawn")
    page.evaluate(MOVE)
    page.wait_for_function("() => document.querySelector('#far').isDrawn")
    assert Handler.asked.count("/tests/golden/photo-q60.rd") == 1
    assert page.evaluate("document.querySelector('#good').canvas.width") == 768


# What an element has inside, in its page and in another document.
LOOK = """(id) => {
  const element = document.querySelector(id);
  const style = (one) => one.ownerDocument.defaultView.getComputedStyle(one);
  const look = () => [style(element).display, style(element.canvas).maxWidth];
  const before = look();
  document.querySelector("iframe").contentDocument.body.append(element);
  const there = look();
  document.body.append(element);
  return [before, there, look()];
}"""
SPACES = """async () => {
  const element = document.querySelector("#good"), spaces = [];
  for (const src of ["/wide.rd", "/tests/golden/grey-q40.rd", "/wide.rd"]) {
    element.setAttribute("src", src);
    await new Promise((done) => element.addEventListener("load", done, { once: true }));
    spaces.push(element.canvas.getContext("2d").getContextAttributes().colorSpace);
  }
  return spaces;
}"""


def test_the_element_goes_through_all_that_happens_to_it(page: Page, address: str) -> None:
    Handler.asked.clear()
    body = PAGE.replace('alt="A pond"', 'alt="" loading="eager"')
    body += '<rd-image id="words" src="/none.rd" loading="eager">Words instead</rd-image>'
    body += "<iframe></iframe>"
    page.route("**/page.html", lambda route: route.fulfill(body=body, content_type="text/html"))
    colours = {"icc_profile": profile_of(DISPLAY_P3, 1)}
    plain = Image.new("RGB", (40, 30), (180, 90, 60))
    plain.info.update(colours)
    data = rdae.compress(plain, lossless=True)
    page.route("**/wide.rd", lambda route: route.fulfill(body=data))
    session = page.context.new_cdp_session(page)
    wide = {"features": [{"name": "color-gamut", "value": "p3"}]}
    session.send("Emulation.setEmulatedMedia", wide)
    page.goto(f"{address}/page.html")
    page.wait_for_function("document.querySelector('#good').isDrawn")
    assert Handler.asked.count("/tests/golden/photo-q60.rd") == 1
    role = "document.querySelector('#good').canvas.getAttribute('role')"
    assert page.evaluate(role) == "presentation"
    page.wait_for_function("!document.querySelector('#words').inside.hidden")
    assert page.inner_text("#words") == "Words instead"
    assert page.evaluate(LOOK, "#good") == [["inline-block", "100%"]] * 3
    assert page.evaluate(SPACES) == ["display-p3", "srgb", "display-p3"]
    page.evaluate("document.querySelector('#good').setAttribute('alt', 'A pond')")
    assert page.evaluate(role) == "img"


# A pixel of what an element shows.
SHOWN = """async (src) => {
  const element = document.querySelector("#good");
  element.setAttribute("src", src);
  await new Promise((done) => element.addEventListener("load", done, { once: true }));
  return Array.from(element.canvas.getContext("2d").getImageData(3, 3, 1, 1).data);
}"""


def test_the_element_shows_colours_as_their_profile_means_them(page: Page, address: str) -> None:
    headers = {"Content-Type": "text/html", "Content-Security-Policy": POLICY}
    page.route("**/page.html", lambda route: route.fulfill(body=PAGE, headers=headers))
    plain = Image.new("RGB", (40, 30), (180, 90, 60))
    wide = ImageCms.ImageCmsProfile(io.BytesIO(profile_of(DISPLAY_P3, 1) or b""))
    plain.info["icc_profile"] = wide.tobytes()
    data = rdae.compress(plain, lossless=True)
    page.route("**/wide.rd", lambda route: route.fulfill(body=data))
    page.goto(f"{address}/page.html")
    shown = page.evaluate(SHOWN, "/wide.rd")
    converted = ImageCms.profileToProfile(plain, wide, ImageCms.createProfile("sRGB"))
    assert converted is not None
    expected = np.array([*np.asarray(converted)[3, 3], 255])
    assert expected[0] > 188  # the same red has a larger number in sRGB
    assert np.abs(np.array(shown) - expected).max() <= 2
    bare = page.evaluate(SHOWN, "/tests/golden/photo-q60.rd")  # without a profile: the numbers
    pixels = np.asarray(rdae.decompress(ROOT / "tests" / "golden" / "photo-q60.rd"))
    assert bare == [*pixels[3, 3], 255]
    page.evaluate("document.querySelector('#good').removeAttribute('src')")
    assert page.evaluate("document.querySelector('#good').canvas.width") == 0


def test_the_element_says_when_a_picture_is_too_wide_for_a_canvas(page: Page, address: str) -> None:
    data = rdae.compress(Image.new("RGB", (70000, 16), (180, 90, 60)))
    page.route("**/page.html", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
    page.route("**/no-such-file.rd", lambda route: route.fulfill(body=data))
    page.goto(f"{address}/page.html")
    said = "70000 x 16 pixels are more than this browser can draw"
    assert page.evaluate(FAIL) == ["too-large", said]


def test_the_example_page_shows_all_it_speaks_of(page: Page, address: str) -> None:
    page.goto(f"{address}/web/example.html")
    # Two pictures, of which one has its shape before its pixels.
    for size, canvas in ((768, "#first').canvas"), (200, "#decoded')")):
        page.wait_for_function(f"document.querySelector('{canvas}.width === {size}")
    page.wait_for_function("document.querySelector('#missing img').naturalWidth === 768")
    assert page.is_visible("#missing img") and page.is_hidden("#first img")
    page.wait_for_selector("#wrong p:visible")
    said = page.inner_text("#wrong p")
    assert said == "A page instead of a picture (example.html: this is no .rd file)"
    page.locator("#last").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('#last').canvas.width > 0")

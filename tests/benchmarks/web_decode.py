"""What decoding takes in JavaScript.

    python -m tests.benchmarks.web_decode [FILE.rd...] [--rounds 7] [--first-view]

In Node.js, which works on one thread, and in Chromium, where a worker for each core shares the
work; needs what tests/test_web.py and tests/test_web_browser.py need. For each file and place a
line: milliseconds on the clock and of the processor (all threads of the process), of the first
decode, and medians and least of the rounds after it. Node.js has loaded the weights before the
first one; a page fetches them in it, from this machine, and all its code is new.

--first-view opens web/example.html in Chromium with nothing cached: bytes that come, and seconds
until pictures are seen.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import http.server
import json
import statistics
import subprocess
import threading
from pathlib import Path
from typing import Any, ClassVar

from playwright.sync_api import Browser, sync_playwright

from tests.browsers import CHROMIUM, CHROMIUM_FLAGS, ROOT
from tests.test_web import NODE, WEIGHTS
from tests.test_web_browser import Handler

IN_NODE = """
import { readFileSync } from "node:fs";
import { loadDecoder } from "./web/node.js";
const [name, rounds, ...weights] = process.argv.slice(1);
const decode = await loadDecoder(weights), file = Uint8Array.from(readFileSync(name));
const times = [];
for (let i = 0; i <= rounds; i++) {
  const wall = performance.now(), cpu = process.cpuUsage();
  await decode(file);
  const { user, system } = process.cpuUsage(cpu);
  times.push([performance.now() - wall, (user + system) / 1000]);
}
console.log(JSON.stringify(times));
"""
IN_A_PAGE = """async (bytes) => {
  const { decode } = await import("/web/rdae.js"), file = Uint8Array.from(bytes);
  const start = performance.now();
  await decode(file);
  return performance.now() - start;
}"""

SHOWN = """window.shown = {};
document.addEventListener("load", ({ target }) => {
  if (target.localName === "rd-image") shown[target.id] = performance.now();
}, true);"""

Times = list[tuple[float, float]]


def node_times(path: Path, rounds: int) -> Times:
    """Milliseconds of each decode in Node.js: clock, processor."""
    command = [str(NODE), "--input-type=module", "-e", IN_NODE, str(path.resolve()), str(rounds)]
    found = subprocess.run(
        [*command, *map(str, WEIGHTS)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    times: Times = json.loads(found.stdout)
    return times


def chromium_times(browser: Browser, address: str, path: Path, rounds: int) -> Times:
    """Milliseconds of each decode in a new page: clock, processor of the page's process."""
    page = browser.new_page()
    page.set_default_timeout(600_000)
    page.goto(address)
    processes = browser.new_browser_cdp_session()

    def processor() -> float:
        info: list[dict[str, Any]] = processes.send("SystemInfo.getProcessInfo")["processInfo"]
        return 1000 * sum(one["cpuTime"] for one in info if one["type"] == "renderer")

    times = []
    for _ in range(rounds + 1):
        before = processor()
        wall = page.evaluate(IN_A_PAGE, list(path.read_bytes()))
        times.append((wall, processor() - before))
    page.close()
    return times


class CountingHandler(Handler):
    """Remembers how many bytes were sent, by path."""

    sent: ClassVar[dict[str, int]] = {}

    def send_header(self, keyword: str, value: str) -> None:
        if keyword == "Content-Length":
            self.sent[self.path] = self.sent.get(self.path, 0) + int(value)
        super().send_header(keyword, value)


def show_first_view(browser: Browser, address: str) -> None:
    """Print what a first visit of the example page fetches, and when its first picture is there."""
    page = browser.new_page(viewport={"width": 1000, "height": 700})
    page.set_default_timeout(600_000)
    page.add_init_script(SHOWN)
    CountingHandler.sent.clear()
    processes = browser.new_browser_cdp_session()

    def processor() -> float:
        return sum(
            float(one["cpuTime"])
            for one in processes.send("SystemInfo.getProcessInfo")["processInfo"]
        )

    before = processor()
    page.goto(f"{address}/web/example.html")
    seconds = page.wait_for_function("shown.first").json_value() / 1000
    took = processor() - before
    page.close()
    sent = CountingHandler.sent
    code = [path for path in sent if path.endswith((".js", ".wasm"))]
    packed = sum(len(gzip.compress((ROOT / path[1:]).read_bytes())) for path in code)
    weights = sum(size for path, size in sent.items() if path.startswith("/weights/"))
    plain = sum(sent[path] for path in code)
    print(
        f"first view: {sum(sent.values()):,} bytes in {len(sent)} files, of which weights "
        f"{weights:,}, {len(code)} of code {plain:,} ({packed:,} with gzip), "
        f"all else {sum(sent.values()) - weights - plain:,}; first picture after {seconds:.2f} s "
        f"({took:.2f} of processor, all of the browser)"
    )


def show(place: str, path: Path, times: Times) -> None:
    """Print one line."""
    first, *others = times
    walls, cpus = zip(*others, strict=True)
    print(
        f"{path.name:16} {place:8} first {first[0]:6.0f} ms ({first[1]:5.0f} of processor), "
        f"then {statistics.median(walls):6.0f} ms ({statistics.median(cpus):5.0f}), "
        f"least {min(walls):6.0f} ms ({min(cpus):5.0f})",
        flush=True,
    )


def main() -> None:
    """Print two lines for each file, and one for a first visit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--first-view", action="store_true")
    args = parser.parse_args()
    handler = functools.partial(CountingHandler, directory=str(ROOT))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        for path in args.files:
            show("Node.js", path, node_times(path, args.rounds))
            show("Chromium", path, chromium_times(browser, f"{address}/docs/", path, args.rounds))
        if args.first_view:
            show_first_view(browser, address)
        browser.close()


if __name__ == "__main__":
    main()

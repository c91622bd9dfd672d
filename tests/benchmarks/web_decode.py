"""Seconds that a browser takes to decode: `python -m tests.benchmarks.web_decode FILE.rd...`.

Needs what tests/test_web_browser.py needs. Times are of one page with the weights loaded; the first
is that of a page whose weights are fetched from this machine and whose code is new.
"""

from __future__ import annotations

import functools
import http.server
import statistics
import sys
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.test_web_browser import CHROMIUM, FLAGS, ROOT, Handler

ROUNDS = 7
DECODE = """async ([bytes, rounds]) => {
  const { decode } = await import("/web/rdae.js");
  const times = [];
  for (let i = 0; i <= rounds; i++) {
    const start = performance.now();
    await decode(Uint8Array.from(bytes));
    times.push((performance.now() - start) / 1000);
  }
  return times;
}"""


def main() -> None:
    """Print a line for each file."""
    handler = functools.partial(Handler, directory=str(ROOT))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name in sys.argv[1:]:
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/docs/")
            first, *times = page.evaluate(DECODE, [list(Path(name).read_bytes()), ROUNDS])
            median, best = statistics.median(times), min(times)
            print(f"{name}: first {first:.2f} s, then {median:.3f} s (best {best:.3f} s)")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()

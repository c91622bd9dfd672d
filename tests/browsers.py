"""Decoding in any browser, without a driver: a page asks for files, and posts what is in them."""

from __future__ import annotations

import http.server
import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FIREFOX = os.environ.get("RDAE_FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
CHROMIUM = os.environ.get("RDAE_CHROMIUM") or shutil.which("chromium")
CHROMIUM_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PATIENCE = 300  # seconds for a file, or for a browser to start
# Firefox, without what it fetches from elsewhere when it starts with a new profile.
_SETTINGS = """
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("app.update.disabledForTesting", true);
user_pref("browser.safebrowsing.update.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,");
"""


def command_of(program: str, profile: Path, url: str) -> list[str]:
    """The command that opens a page with a new profile, without a window."""
    profile.mkdir()
    if "firefox" not in Path(program).name:
        return [program, "--headless", *CHROMIUM_FLAGS, f"--user-data-dir={profile}", url]
    (profile / "user.js").write_text(_SETTINGS)
    return [program, "--headless", "--no-remote", "--profile", str(profile), url]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, files: Sequence[bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.found: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Gives the checkout's files, and those that are to be decoded."""

    server: _Server

    def __init__(self, *args: Any) -> None:
        super().__init__(*args, directory=str(ROOT))

    def do_GET(self) -> None:
        folder, _, name = self.path.removeprefix("/").partition("/")
        if folder != "files":
            return super().do_GET()
        files = self.server.files
        self._send(str(len(files)).encode() if name == "count" else files[int(name)])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.found.put(json.loads(body))
        self._send(b"")

    def _send(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def _serving(files: Sequence[bytes]) -> Iterator[_Server]:
    server = _Server(files)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def found_in(program: str, files: Sequence[bytes], folder: Path) -> tuple[str, list[Any]]:
    """Decode files in a browser.

    Args:
        program: a Firefox or a Chromium.
        files: contents of .rd files.
        folder: for the browser's profile.

    Returns:
        What the browser calls itself, and for each file SHA-256 of `pixels`, `alpha` and `icc`, or
        its `error`.

    Raises:
        TimeoutError: nothing came for five minutes.
    """
    with _serving(files) as server:
        url = f"http://127.0.0.1:{server.server_port}/tests/web/check.html"
        process = subprocess.Popen(
            command_of(program, folder / "profile", url),
            env={**os.environ, "HOME": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            answers = [server.found.get(timeout=PATIENCE) for _ in files]
        except queue.Empty:
            raise TimeoutError(f"{program}: no answer for {PATIENCE} seconds") from None
        finally:
            process.terminate()
            process.wait(60)
    assert [one["number"] for one in answers] == list(range(len(files)))
    return answers[0]["browser"], [one["found"] for one in answers]

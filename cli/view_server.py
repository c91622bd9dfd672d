"""The server of `rdae view`: a page and some files, for the browser of this machine alone.

Everything lies below a path that nobody can guess, since other users and other pages can reach the
port. The Host header must name this machine: a page whose name is made to point here (DNS
rebinding) has another one. What can be had stands in a table; no path is ever made of a request.

The page holds a stream open. Some seconds after the last one has closed, the server ends, unless
the page is being loaded again.
"""

from __future__ import annotations

import hmac
import json
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from http import HTTPStatus
from http.client import HTTP_PORT
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

from rdae.cli.console import describe

ADDRESS = "127.0.0.1"
LINGER = 4.0  # seconds without a page and without a request, after which the server ends
_CHECK = 0.25  # seconds
_HEARTBEAT = 10.0  # seconds; a stream that is silent for longer may be closed on the way

_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
_BYTES = "application/octet-stream"
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class SharedFile:
    """A file that the page shows.

    Attributes:
        name: as the user named it.
        size: in bytes, when the server began.
        read: returns its bytes; called for every request.
    """

    name: str
    size: int
    read: Callable[[], bytes]


class ViewServer(ThreadingHTTPServer):
    """Serves the viewer, the weights, and some files, until the page has gone.

    Args:
        shared: the files.
        port: to listen on; 0 is any that is free.

    Raises:
        OSError: it cannot listen there.
    """

    daemon_threads = True

    def __init__(self, shared: Sequence[SharedFile], port: int = 0) -> None:
        super().__init__((ADDRESS, port), _Handler)
        self.secret = secrets.token_urlsafe(24)
        self.shared = shared
        self._lock = threading.Lock()
        self._streams, self._last_use = 0, math.inf

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://{ADDRESS}:{self.server_port}/{self.secret}/web/viewer.html?session"

    @property
    def hosts(self) -> set[str]:
        """What a request may say that this machine is called."""
        names = {ADDRESS, "localhost"}
        bare = names if self.server_port == HTTP_PORT else set()  # browsers leave that one out
        return bare | {f"{name}:{self.server_port}" for name in names}

    @cached_property
    def table(self) -> dict[str, tuple[str, Callable[[], bytes]]]:
        """All that can be had: kind and bytes by path, below the secret one."""
        table: dict[str, tuple[str, Callable[[], bytes]]] = {}
        web = Path(str(files("rdae.web")))
        for path in web.rglob("*"):
            if path.suffix in _KINDS and path.is_file():
                name = path.relative_to(web).as_posix()
                table[f"web/{name}"] = _KINDS[path.suffix], path.read_bytes
        table["weights/manifest.json"] = _KINDS[".json"], lambda: _as_json(self._weights[0])
        listed = []
        for number, one in enumerate(self.shared):
            table[f"session/{number}"] = _BYTES, one.read
            listed.append({"name": one.name, "bytes": one.size, "url": str(number)})
        table["session/files.json"] = _KINDS[".json"], partial(_as_json, listed)
        return table

    @cached_property
    def _weights(self) -> tuple[dict[str, Any], dict[str, Path]]:
        from rdae.model.installed import complete_manifest

        return complete_manifest()

    def find(self, name: str) -> tuple[str, Callable[[], bytes]] | None:
        """Kind and bytes of what is called so below the secret path, None if nothing is."""
        folder, _, file = name.partition("/")
        if folder == "weights" and file in self._weights[1]:
            return _BYTES, self._weights[1][file].read_bytes
        return self.table.get(name)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a page that is there."""
        with self._lock:
            self._streams += 1
        try:
            yield
        finally:
            with self._lock:
                self._streams -= 1
                self._last_use = time.monotonic()

    def used(self) -> None:
        """Note a request: the page that went may be coming back."""
        with self._lock:
            if self._last_use < math.inf:
                self._last_use = time.monotonic()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve while something else is done."""
        thread = threading.Thread(target=self.serve_forever, args=(_CHECK,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            self.server_close()

    def wait_until_unused(self) -> None:
        """Wait until a page has been there and has gone; or for ever."""
        while not self._is_unused():
            time.sleep(_CHECK)

    def _is_unused(self) -> bool:
        with self._lock:
            return not self._streams and time.monotonic() - self._last_use > LINGER


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: ViewServer
    server_version, sys_version = "rdae", ""

    def do_GET(self) -> None:
        """Answer with what is called so, or with an error that tells nothing."""
        if self.headers.get("Host") not in self.server.hosts:
            return self._say(HTTPStatus.FORBIDDEN)
        secret, _, name = self.path.partition("?")[0].removeprefix("/").partition("/")
        if not hmac.compare_digest(secret.encode(), self.server.secret.encode()):
            return self._say(HTTPStatus.NOT_FOUND)
        if name == "session/alive":
            return self._stay()
        self.server.used()
        try:
            found = self.server.find(name)
            if found is None:
                return self._say(HTTPStatus.NOT_FOUND)
            kind, read = found
            data = read()
        except Exception as error:  # the page says it beside the file's name
            return self._say(HTTPStatus.INTERNAL_SERVER_ERROR, describe(error).message)
        self._head(HTTPStatus.OK, kind, len(data))
        self.wfile.write(data)

    def _say(self, status: HTTPStatus, line: str = "") -> None:
        text = (line or status.phrase).encode()
        self._head(status, "text/plain; charset=utf-8", len(text))
        self.wfile.write(text)

    def _head(self, status: HTTPStatus, kind: str, length: int | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for header, value in _HEADERS.items():
            self.send_header(header, value)
        self.end_headers()

    def _stay(self) -> None:
        """Hold a stream of events until the page closes it; none is ever sent."""
        self.close_connection = True
        with self.server.stream():
            self._head(HTTPStatus.OK, "text/event-stream", None)
            self.connection.settimeout(_HEARTBEAT)
            while True:
                try:
                    self.wfile.write(b":\n\n")
                    self.connection.recv(1)  # at once when the page has gone
                    return
                except TimeoutError:
                    continue
                except OSError:
                    return

    def handle(self) -> None:
        """Answer; a browser that goes away in the middle is no error."""
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the paths are secret."""


def _as_json(content: Any) -> bytes:
    return json.dumps(content).encode()

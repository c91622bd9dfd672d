"""rdae view: what its server gives, to whom, and when it ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rdae.cli.view_server import ViewServer
from tests.cli.cli_runner import Run, environment

LINGER = 0.5  # seconds
COMMAND = f"""
import signal, sys
from rdae.__main__ import main
from rdae.cli import view_server
view_server.LINGER = {LINGER}
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background have it ignored
sys.exit(main())
"""
WEIGHTS = Path(str(files("rdae.weights")))


@contextlib.contextmanager
def viewing(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A process of the command that ends soon after a page; with the host and secret folder."""
    command = [sys.executable, "-c", COMMAND, "view", "--no-browser", *arguments]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        address = urlsplit(process.stdout.readline())
        folder_, _, _ = address.path.partition("/web/")
        yield process, address.netloc, folder_
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, photo_rd: bytes) -> Iterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("view")
    (folder / "photo.rd").write_bytes(photo_rd)
    (folder / "gone.rd").write_bytes(photo_rd)
    (folder / "secret.txt").write_text("not named")
    with viewing(folder, "photo.rd", "gone.rd") as (_, host, secret):
        (folder / "gone.rd").unlink()
        yield host, secret


def get(host: str, path: str, name: str = "") -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("GET", path, headers={"Host": name or host})
    answer = connection.getresponse()
    result = answer.status, answer.read(), answer.headers
    connection.close()
    return result


def test_on_the_port_of_http_the_address_has_none() -> None:
    with ViewServer([]) as server:
        port = server.server_port
        assert server.hosts == {f"127.0.0.1:{port}", f"localhost:{port}"}
        server.server_port = 80
        assert {"127.0.0.1", "localhost", "127.0.0.1:80", "localhost:80"} == server.hosts


def test_the_page_comes_with_headers_that_lock_it(server: tuple[str, str]) -> None:
    host, secret = server
    assert host.startswith("127.0.0.1:") and len(secret) > 24
    status, page, headers = get(host, f"{secret}/web/viewer.html?session")
    assert status == 200 and b'src="viewer.js"' in page
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe-inline" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer" and headers["Cache-Control"] == "no-store"
    for name, kind in (
        ("rdae.js", "text/javascript; charset=utf-8"),
        ("kernel.wasm", "application/wasm"),
    ):
        status, _, headers = get(host, f"{secret}/web/{name}")
        assert (status, headers["Content-Type"]) == (200, kind)


def test_the_named_files_and_the_weights_can_be_had(
    server: tuple[str, str], photo_rd: bytes
) -> None:
    host, secret = server
    listed = json.loads(get(host, f"{secret}/session/files.json")[1])
    assert [one["name"] for one in listed] == ["photo.rd", "gone.rd"]
    assert get(host, f"{secret}/session/{listed[0]['url']}")[1] == photo_rd
    status, text, _ = get(host, f"{secret}/session/{listed[1]['url']}")
    assert (status, text) == (500, b"no such file or directory")
    manifest = json.loads(get(host, f"{secret}/weights/manifest.json")[1])
    for entry in [*manifest["models"], manifest["lossless"]]:
        status, weights, _ = get(host, f"{secret}/weights/{entry['file']}")
        assert (status, len(weights)) == (200, entry["bytes"])


def test_nothing_else_can_be_had(server: tuple[str, str]) -> None:
    host, secret = server
    other = f"/{'x' * (len(secret) - 1)}"
    paths = ["/", "/web/viewer.html", "/session/files.json", secret, f"{secret}/", f"{secret}/web/"]
    paths += [f"{other}/web/viewer.html", f"{other}/session/alive", f"{secret}/session/2"]
    paths += [f"{secret}/web/kernel/build.py", f"{secret}/web/__init__.py", f"{secret}/photo.rd"]
    for up in ("..", "%2e%2e", "..%2f..", "/etc/passwd"):
        paths += [f"{secret}/{part}/{up}/secret.txt" for part in ("web", "weights", "session")]
    paths += [f"{secret}/web/../../../../../../etc/passwd", f"{secret}/weights/README.md"]
    for path in paths:
        status, text, headers = get(host, path)
        assert (status, text) == (404, b"Not Found"), path
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1"])
def test_another_host_is_refused(server: tuple[str, str], name: str) -> None:
    host, secret = server
    assert get(host, f"{secret}/web/viewer.html", name)[:2] == (403, b"Forbidden")


def test_this_machine_may_be_called_localhost(server: tuple[str, str]) -> None:
    host, secret = server
    name = host.replace("127.0.0.1", "localhost")
    assert get(host, f"{secret}/web/viewer.html", name)[0] == 200


def test_it_ends_when_the_page_has_gone(tmp_path: Path, rd: Path) -> None:
    with viewing(tmp_path, rd.name) as (process, host, secret):
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request("GET", f"{secret}/session/alive")
        stream = connection.getresponse()
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert stream.read(3) == b":\n\n"
        with pytest.raises(subprocess.TimeoutExpired):  # the page is there
            process.wait(LINGER + 0.5)
        stream.close()
        connection.close()
        assert process.wait(60) == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe of Unix")
def test_a_pipe_is_read_once_and_given_as_often_as_it_is_asked_for(
    tmp_path: Path, photo_rd: bytes
) -> None:
    os.mkfifo(tmp_path / "pipe.rd")
    threading.Thread(target=(tmp_path / "pipe.rd").write_bytes, args=(photo_rd,)).start()
    with viewing(tmp_path, "pipe.rd") as (_, host, secret):
        listed = json.loads(get(host, f"{secret}/session/files.json")[1])
        assert [(one["name"], one["bytes"]) for one in listed] == [("pipe.rd", len(photo_rd))]
        for _ in range(2):
            assert get(host, f"{secret}/session/0")[:2] == (200, photo_rd)


# Asks for the page, and is one for a moment.
BROWSER = """
import pathlib, sys, urllib.request
page = urllib.request.urlopen(sys.argv[1], timeout=60).read()
with urllib.request.urlopen(sys.argv[1].split("web/")[0] + "session/alive", timeout=60):
    pathlib.Path("page.html").write_bytes(page)
"""


@pytest.mark.skipif(os.name == "nt", reason="a command as shells of Unix read it")
def test_a_browser_that_stays_until_it_is_closed_gets_the_page(tmp_path: Path, rd: Path) -> None:
    (tmp_path / "browser.py").write_text(BROWSER)
    command = [sys.executable, "-c", COMMAND, "view", rd.name]
    browser = f"{shlex.quote(sys.executable)} browser.py %s"
    environ = {**environment(), "BROWSER": browser}
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120
    )
    said = "photo.rd: shown until the page is closed, or Ctrl-C\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "", said)
    assert b"viewer.js" in (tmp_path / "page.html").read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="a signal of Unix")
def test_without_a_page_it_waits_for_ctrl_c(tmp_path: Path, rd: Path) -> None:
    (tmp_path / "text.rd").write_text("Title: no picture")
    with viewing(tmp_path, rd.name, "text.rd", "missing.rd") as (process, host, secret):
        assert get(host, f"{secret}/session/files.json")[0] == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 1  # some could not be shown
        assert process.stderr is not None
        said = process.stderr.read().splitlines()
    assert said[0].startswith("rdae: text.rd: not-rdae: not a .rd file")
    assert said[1:] == [
        "rdae: missing.rd: no such file or directory",
        "photo.rd: shown until the page is closed, or Ctrl-C",
    ]


def test_where_nothing_can_be_shown_nothing_is_served(run: Run, photo: Path) -> None:
    result = run("view", "photo.png", "missing.rd", "--no-browser")
    assert (result.code, result.out) == (1, b"")
    assert "hint: rdae compress photo.png makes one of it" in result.err


def test_a_port_that_is_taken_is_a_mistake(server: tuple[str, str], run: Run, rd: Path) -> None:
    port = server[0].partition(":")[2]
    result = run("view", "--no-browser", "--port", port, rd.name)
    assert (result.code, result.out) == (2, b"")
    assert result.err.startswith(f"rdae: --port {port}: ")


def test_models_of_ones_own_are_in_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from rdae.model.installed import complete_manifest
    from rdae.model.manifest import WEIGHTS_DIR_VARIABLE

    mine = tmp_path / "mine of 2026.safetensors"
    mine.write_bytes((WEIGHTS / "photo.safetensors").read_bytes())
    broken = bytearray(mine.read_bytes())
    start = 8 + int.from_bytes(broken[:8], "little")
    at = start + json.loads(broken[8:start])["y.freqs"]["data_offsets"][0]
    broken[at : at + 4] = bytes(4)  # a frequency of 0
    (tmp_path / "broken.safetensors").write_bytes(broken)
    monkeypatch.setenv(WEIGHTS_DIR_VARIABLE, str(tmp_path))
    manifest, paths = complete_manifest()
    assert caplog.messages[0].startswith(f"{tmp_path / 'broken.safetensors'} is left out: ")
    shipped, own = manifest["models"][0], manifest["models"][-1]
    assert {**own, "file": shipped["file"]} == shipped and paths[own["file"]] == mine
    assert set(paths) == {one["file"] for one in [*manifest["models"], manifest["lossless"]]}

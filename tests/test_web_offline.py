"""What the viewer keeps for want of a connection, and what it saves, run by Node.js."""

from __future__ import annotations

import json
import re
import subprocess

from tests.test_web import NODE, WEB, pytestmark

__all__ = ["pytestmark"]
BY_ADDRESS = {  # what the viewer loads without an import
    *("viewer.css", "viewer.webmanifest", "viewer/icon.svg", "kernel.wasm", "kernel-plain.wasm"),
}


def test_a_cache_without_room_keeps_nobody_from_the_page() -> None:
    script = """
      const listeners = {}, gone = async () => { throw new Error("no room"); };
      const cache = { match: gone, put: gone, delete: gone };
      globalThis.self = { location: { href: "http://here/web/service-worker.js" } };
      self.addEventListener = (name, listener) => (listeners[name] = listener);
      globalThis.caches = { open: async () => cache };
      globalThis.fetch = async () => new Response("new");
      await import("./service-worker.js");
      const request = { url: "http://here/web/viewer.html", method: "GET" };
      let answer;
      listeners.fetch({ request, respondWith: (promise) => (answer = promise) });
      const found = [await (await answer).text()];
      globalThis.document = { baseURI: "http://here/" };
      const { Decoder } = await import("./rdae.js"), { sha256 } = await import("./sha256.js");
      const wanted = await sha256(new TextEncoder().encode("new"));
      const bytes = await new Decoder("w/").weightsOf({ file: "a", sha256: wanted });
      console.log(JSON.stringify([...found, bytes.length]));
    """
    command = [str(NODE), "--input-type=module", "-e", script]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["new", 3]


def test_a_host_may_redirect_from_the_viewers_page() -> None:
    """A page that is opened takes no response that says that it was redirected."""
    script = """
      const listeners = {}, stored = new Map();
      const cache = { put: async (key, response) => void stored.set(key, response) };
      globalThis.self = globalThis;
      self.location = { href: "http://here/web/service-worker.js" };
      self.addEventListener = (name, listener) => (listeners[name] = listener);
      self.skipWaiting = async () => undefined;
      globalThis.caches = { open: async () => cache };
      const redirected = { value: true };
      globalThis.fetch = async () =>
        Object.defineProperty(new Response("page"), "redirected", redirected);
      await import("./service-worker.js");
      let work;
      listeners.install({ waitUntil: (promise) => (work = promise) });
      await work;
      const request = { url: "http://here/web/viewer.html", method: "GET" };
      listeners.fetch({ request, respondWith: (promise) => (work = promise) });
      const all = [await work, ...stored.values()];
      const count = all.filter(({ redirected }) => redirected).length;
      console.log(all.length, count, await all[0].text());
    """
    command = [str(NODE), "--input-type=module", "-e", script]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=True)
    count, redirected, text = done.stdout.split()
    assert int(count) > 30 and (redirected, text) == ("0", "page")


def test_metadata_of_a_saved_png_begin_as_png_has_it() -> None:
    script = """
      import { png } from "./viewer/png.js";
      const bare = Uint8Array.from(Buffer.from("49492a000800000000000000", "hex"));
      const data = new Uint8ClampedArray(4), header = { grey: true };
      for (const prefix of ["", "Exif\\0\\0"]) {
        const exif = Uint8Array.from([...Buffer.from(prefix), ...bare]);
        const blob = await png({ width: 1, height: 1, data, header, metadata: { exif } });
        console.log(Buffer.from(await blob.arrayBuffer()).toString("hex"));
      }
    """
    command = [str(NODE), "--input-type=module", "-e", script]
    found = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=True).stdout
    first, second = found.split()
    assert first == second and b"eXIfII*\0" in bytes.fromhex(first)


def test_the_service_worker_keeps_all_that_the_viewer_loads() -> None:
    loaded = {"viewer.html", "viewer.js", "worker.js", *BY_ADDRESS}
    waiting = ["viewer.js", "worker.js"]
    while waiting:
        name = waiting.pop()
        text = (WEB / name).read_text(encoding="utf-8")
        for path in re.findall(r'^import .*?"(\.[^"]+)";$', text, re.MULTILINE):
            found = (WEB / name).parent.joinpath(path).resolve().relative_to(WEB.resolve())
            if found.as_posix() not in loaded:
                loaded.add(found.as_posix())
                waiting.append(found.as_posix())
    listed = (WEB / "service-worker.js").read_text().split("const FILES = [")[1].split("];")[0]
    assert set(re.findall(r'"([^"]+)"', listed)) == loaded | {"../weights/manifest.json"}

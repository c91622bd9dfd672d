/* The viewer without a connection: its own files and the list of models are kept. The network comes first, so that
   nobody is left with old files; weights are kept by the decoder itself (rdae.js). */

const VERSION = 1; // of what is kept; other versions are removed
const CACHE = `rdae-viewer-${VERSION}`;
const FILES = [
  ...["assembler.js", "bytes.js", "compiler.js", "conceal.js", "container.js", "errors.js", "inflate.js", "kernel-plain.wasm", "kernel.js", "kernel.wasm"],
  ...["lossless/cells.js", "lossless/level.js", "lossless/mixtures.js", "lossless/model.js", "lossless/parameters.js"],
  ...["lossless/prefix_codes.js", "lossless/vp8l.js", "lossless/vp8l_transforms.js", "lossless/weights.js"],
  ...["model.js", "models.js", "picture.js", "pool.js", "program.js", "rdae.js", "repair.js", "sha256.js", "store.js", "tables.js"],
  ...["viewer.css", "viewer.html", "viewer.js", "viewer.webmanifest", "weights.js", "worker.js"],
  ...["viewer/colours.js", "viewer/facts.js", "viewer/gestures.js", "viewer/icon.svg", "viewer/keys.js", "viewer/library.js"],
  ...["viewer/panel.js", "viewer/png.js", "viewer/sources.js", "viewer/stage.js", "viewer/strip.js"],
  "../weights/manifest.json",
];
const kept = new Set(FILES.map((name) => new URL(name, self.location.href).href));

/** @typedef {Event & {waitUntil(work: Promise<unknown>): void}} Waiting */
/** @typedef {Event & {request: Request, respondWith(response: Promise<Response>): void}} Asking */

self.addEventListener("install", (event) => {
  const keep = async () => {
    const cache = await caches.open(CACHE), found = await Promise.all([...kept].map(async (key) => /** @type {const} */ ([key, await fetched(key)])));
    const missing = found.find(([, response]) => !response.ok);
    if (missing) throw new Error(`${missing[0]}: ${missing[1].status}`); // all or none
    await Promise.all(found.map(([key, response]) => cache.put(key, response)));
  };
  /** @type {Waiting} */ (event).waitUntil(keep().then(() => /** @type {any} */ (self).skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const remove = async () => {
    const names = (await caches.keys()).filter((name) => name.startsWith("rdae-viewer-") && name !== CACHE);
    await Promise.all(names.map((name) => caches.delete(name)));
    await /** @type {any} */ (self).clients.claim();
  };
  /** @type {Waiting} */ (event).waitUntil(remove());
});

self.addEventListener("fetch", (event) => {
  const { request, respondWith } = /** @type {Asking} */ (event), url = new URL(request.url);
  url.search = url.hash = "";
  if (request.method === "GET" && kept.has(url.href)) respondWith.call(event, answer(url.href));
});

/**
 * What is at an address. Hosts may redirect, as from viewer.html to viewer; for a page that is opened, browsers take no
 * response that says so.
 * @param {string} key
 */
async function fetched(key) {
  const response = await fetch(key, { cache: "no-cache" }), { body, status, headers } = response;
  return response.redirected ? new Response(body, { status, headers }) : response;
}

/** @param {string} key @returns {Promise<Response>} */
async function answer(key) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetched(key);
    if (response.ok) await cache.put(key, response.clone()).catch(() => undefined); // no room: the page is shown all the same
    return response;
  } catch (error) {
    const found = await cache.match(key);
    if (found) return found;
    throw error;
  }
}

import { RdaeError } from "../rdae.js";

/* Where files come from: the picker, a drop, the page's address, `rdae view`. */

/** @typedef {import("./library.js").Source} Source */

/** @param {Iterable<File>} files @returns {Source[]} */
export const ofFiles = (files) => Array.from(files, (file) => ({ name: file.name, read: async () => new Uint8Array(await file.arrayBuffer()) }));

/**
 * @param {string} name
 * @param {string} address what is no address fails when it is read, and is said as of any other file
 * @param {string | URL} base
 * @returns {Source}
 */
const ofUrl = (name, address, base) => ({
  name,
  read: async () => new Uint8Array(await (await fetched(new URL(address, base))).arrayBuffer().catch(gone)),
});

/** @returns {never} */
function gone() {
  throw new RdaeError("unavailable", "it cannot be fetched; the connection or the server has gone");
}

/** The last part of an address, as people write it. @param {string} address */
function nameOf(address) {
  const name = address.split("/").pop() || address;
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // a % that escapes nothing
  }
}

/** @param {URL} url */
async function fetched(url) {
  const response = await fetch(url).catch(gone);
  if (response.ok) return response;
  const said = response.headers.get("Content-Type")?.startsWith("text/plain") ? (await response.text()).slice(0, 200) : "";
  throw new RdaeError("unavailable", said || `${response.status} ${response.statusText}`);
}

/** Files that the address names: viewer.html?src=a.rd&src=b.rd. @returns {Source[]} */
export function ofAddress() {
  const names = new URLSearchParams(location.search).getAll("src");
  return names.map((name) => ofUrl(nameOf(name), name, location.href));
}

/** Whether `rdae view` serves this page. */
export const isSession = () => new URLSearchParams(location.search).has("session");

/**
 * The files of `rdae view`, which ends when its page has gone.
 * @param {() => void} ended called if it ends before
 * @returns {Promise<Source[]>}
 */
export async function ofSession(ended) {
  const folder = new URL("../session/", location.href), stream = new EventSource(new URL("alive", folder));
  stream.onerror = () => {
    stream.close();
    ended();
  };
  /** @type {{name: string, url: string}[]} */
  const files = await (await fetched(new URL("files.json", folder))).json();
  return files.map(({ name, url }) => ofUrl(name, url, folder));
}

/**
 * Take files that are dropped anywhere.
 * @param {(sources: Source[]) => void} take
 */
export function acceptDrops(take) {
  let depth = 0;
  const over = (/** @type {boolean} */ is) => document.body.classList.toggle("dropping", is);
  const hasFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => hasFiles(event) && over(++depth > 0));
  addEventListener("dragleave", (event) => hasFiles(event) && over(--depth > 0));
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(((depth = 0), false));
    const sources = ofFiles(event.dataTransfer?.files ?? []);
    if (sources.length) take(sources);
  });
}

/** Take files that the system opens with the installed app. @param {(sources: Source[]) => void} take */
export function acceptLaunches(take) {
  const queue = /** @type {any} */ (window).launchQueue;
  queue?.setConsumer(async (/** @type {{files: any[]}} */ { files }) => {
    if (files.length) take(ofFiles(await Promise.all(files.map((handle) => handle.getFile()))));
  });
}

import { MAX_PIXELS, readHeader } from "./container.js";
import { RdaeError } from "./errors.js";
import { hasSimd } from "./kernel.js";
import { readWeights } from "./models.js";
import { decodePicture, modelOf } from "./picture.js";
import { Pool } from "./pool.js";
import { sha256 } from "./sha256.js";

/* The decoder of a page: weights are fetched once, then cached; workers decode. */

export { RdaeError } from "./errors.js";
export { readFile, readHeader } from "./container.js";

const CACHE = "rdae-weights";

/**
 * @typedef {{id: number, name: string, file: string, bytes: number, sha256: string, fingerprint: string}} Listed
 * @typedef {Listed & {lossless: boolean}} Entry
 * @typedef {{default: string, models: Listed[], lossless?: Listed}} Manifest
 * @typedef {{weights: ReturnType<typeof readWeights>, workers: Pool}} Loaded
 */

/** Models of one folder of weights, whose manifest.json names them. */
export class Decoder {
  /**
   * @param {string | URL} [folder] with manifest.json and the models' files, with or without a slash at its end
   * @param {{cache?: boolean}} [options] cache: whether the browser may keep the weights
   */
  constructor(folder = new URL("../weights/", import.meta.url), { cache = true } = {}) {
    this.folder = new URL(`${folder}`.replace(/\/?$/, "/"), document.baseURI);
    this.mayKeep = cache && "caches" in globalThis; // pages that are not served by https have no cache
    /** @type {Promise<{usual: Entry[], models: Entry[]}> | undefined} */
    this.manifest = undefined;
    /** @type {Map<string, Promise<Loaded>>} */
    this.models = new Map();
  }

  /**
   * The pixels of a file; `new ImageData(data, width, height)` makes of them what a canvas takes.
   * @param {Uint8Array | ArrayBuffer} file
   * @param {{maxPixels?: number, damage?: import("./picture.js").Damage[]}} [options] as of decodePicture
   */
  decode(file, options) {
    const bytes = file instanceof Uint8Array ? file : new Uint8Array(file);
    return decodePicture(bytes, (wanted) => this.model(wanted), options);
  }

  /** All models that manifest.json names, and those of them that encoders take unless they are told otherwise. */
  list() {
    this.manifest ??= listed(new URL("manifest.json", this.folder));
    return this.manifest.catch((error) => {
      this.manifest = undefined; // the next file may have better luck
      throw error;
    });
  }

  /** Fetch the usual models before they are needed, where they can be kept. */
  async keep() {
    if (!this.mayKeep) return;
    for (const entry of (await this.list()).usual) await this.weightsOf(entry);
  }

  /** @param {import("./picture.js").Wanted} wanted @returns {Promise<Loaded>} */
  async model(wanted) {
    const { models: entries } = await this.list();
    const entry = entries[modelOf(wanted, entries)], known = this.models.get(entry.sha256);
    if (known) return known;
    const loading = this.load(entry);
    this.models.set(entry.sha256, loading);
    loading.catch(() => this.models.delete(entry.sha256));
    return loading;
  }

  /** @param {Entry} entry @returns {Promise<Loaded>} */
  async load(entry) {
    const [bytes, module] = await Promise.all([this.weightsOf(entry), compiledKernel()]);
    const weights = readWeights(bytes), fingerprint = await weights.fingerprint();
    modelOf({ modelId: weights.id, fingerprint, lossless: entry.lossless }, [entry]);
    return { weights, workers: new Pool(module, bytes) };
  }

  /** @param {Entry} entry */
  async weightsOf({ file, sha256: wanted }) {
    const url = new URL(file, this.folder), key = new URL(`?${wanted}`, url);
    const cache = this.mayKeep ? await caches.open(CACHE).catch(() => null) : null;
    const kept = await cache?.match(key).then((found) => found?.arrayBuffer()).catch(() => undefined);
    if (kept) {
      const bytes = new Uint8Array(kept);
      if ((await sha256(bytes)) === wanted) return bytes;
    }
    const bytes = await fetched(url);
    const whole = (await sha256(bytes)) === wanted;
    if (!whole) throw new RdaeError("weights-mismatch", `${url}: these are not the weights that manifest.json names`);
    await cache?.delete(url, { ignoreSearch: true }).catch(() => undefined); // older ones of this name
    await cache?.put(key, new Response(bytes)).catch(() => undefined); // no room: fetched again next time
    return bytes;
  }
}

/** @param {Manifest} manifest */
function entriesOf({ default: usual, models, lossless }) {
  const lossy = models.map((entry) => ({ ...entry, lossless: false })), exact = lossless ? [{ ...lossless, lossless: true }] : [];
  return { usual: [...lossy.filter(({ name }) => name === usual), ...exact], models: [...lossy, ...exact] };
}

/** What a manifest.json names. @param {URL} url */
async function listed(url) {
  const text = new TextDecoder().decode(await fetched(url));
  try {
    return entriesOf(JSON.parse(text));
  } catch {
    throw new RdaeError("unavailable", `${url}: this is no list of models`); // but a page, say, that some hosts give for all
  }
}

async function compiledKernel() {
  return WebAssembly.compile(await fetched(new URL(hasSimd() ? "kernel.wasm" : "kernel-plain.wasm", import.meta.url)));
}

/** All of a file. @param {URL} url */
async function fetched(url) {
  const gone = (/** @type {Error} */ error) => {
    throw new RdaeError("unavailable", `${url}: ${error.message}`);
  };
  const response = await fetch(url).catch(gone);
  if (!response.ok) throw new RdaeError("unavailable", `${url}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer().catch(gone)); // the connection may break in the middle
}

/** @type {Decoder | undefined} */
let usual;

/**
 * The pixels of a file, with the weights beside the folder of this script.
 * @param {Uint8Array | ArrayBuffer} file
 * @param {Parameters<Decoder["decode"]>[1]} [options]
 */
export function decode(file, options) {
  usual ??= new Decoder();
  return usual.decode(file, options);
}

/**
 * What the header says, without decoding.
 * @param {Uint8Array} bytes a file, or at least its first 32 bytes
 */
export const readInfo = (bytes) => readHeader(bytes, MAX_PIXELS);

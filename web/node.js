import { readFile } from "node:fs/promises";
import { Kernel } from "./kernel.js";
import { makeModel, readWeights } from "./models.js";
import { decodePicture, modelOf } from "./picture.js";
import { Weights } from "./weights.js";

/* The decoder in Node.js, without workers: `const decode = await loadDecoder("photo.safetensors")`. */

/**
 * @param {string | URL | (string | URL)[]} paths of the weights of one or several models
 * @param {{simd?: boolean}} [options]
 * @returns {Promise<(bytes: Uint8Array, options?: {maxPixels?: number, damage?: import("./picture.js").Damage[]}) =>
 *   Promise<import("./picture.js").Picture>>}
 */
export async function loadDecoder(paths, { simd = true } = {}) {
  const compiled = await readFile(new URL(simd ? "kernel.wasm" : "kernel-plain.wasm", import.meta.url));
  const kernel = new WebAssembly.Module(compiled);
  const models = await Promise.all([paths].flat().map((path) => loadModel(path, kernel)));
  return (bytes, options) => decodePicture(bytes, async (wanted) => models[modelOf(wanted, models)], options);
}

/** @param {string | URL} path @param {WebAssembly.Module} kernel */
async function loadModel(path, kernel) {
  const weights = readWeights(Uint8Array.from(await readFile(path))), model = makeModel(new Kernel(kernel), weights);
  /** What a worker does at once. @param {"tile" | "window" | "pixels"} kind */
  const work = (kind) => async (/** @type {any} */ job) => /** @type {any} */ (model)[kind](job);
  /** @type {import("./picture.js").Workers} */
  const workers = { count: 1, expect: () => {}, tile: work("tile"), window: work("window"), pixels: work("pixels") };
  const lossless = !(weights instanceof Weights);
  return { id: weights.id, fingerprint: await weights.fingerprint(), lossless, weights, workers };
}

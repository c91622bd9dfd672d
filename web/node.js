import { readFile } from "node:fs/promises";
import { Kernel } from "./kernel.js";
import { Model } from "./model.js";
import { decodePicture, modelOf } from "./picture.js";
import { Weights } from "./weights.js";

/* The decoder in Node.js, without workers: `const decode = await loadDecoder("photo.safetensors")`. */

/**
 * @param {string | URL} path of a model's weights
 * @param {{simd?: boolean}} [options]
 * @returns {Promise<(bytes: Uint8Array, options?: {maxPixels?: number}) => Promise<import("./picture.js").Picture>>}
 */
export async function loadDecoder(path, { simd = true } = {}) {
  const weights = new Weights(Uint8Array.from(await readFile(path)));
  const compiled = await readFile(new URL(simd ? "kernel.wasm" : "kernel-plain.wasm", import.meta.url));
  const model = new Model(new Kernel(new WebAssembly.Module(compiled)), weights);
  const fingerprint = await weights.fingerprint();
  /** @type {import("./picture.js").Workers} */
  const workers = { count: 1, expect: () => {}, tile: async (job) => model.tile(job), window: async (job) => model.window(job) };
  return (bytes, options) =>
    decodePicture(bytes, async ({ header }) => {
      modelOf(header, [{ id: weights.id, fingerprint }]);
      return { weights, workers };
    }, options);
}

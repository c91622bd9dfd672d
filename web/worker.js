import { RdaeError } from "./errors.js";
import { Kernel } from "./kernel.js";
import { makeModel, readWeights } from "./models.js";

/* One of the pool's workers: first a model, then tiles and windows, or tiles of pixels (pool.js). */

/** @type {ReturnType<typeof makeModel> | undefined} */
let model;

/** @param {MessageEvent<{kind: "model" | "tile" | "window" | "pixels", job: any}>} event */
self.onmessage = ({ data: { kind, job } }) => {
  try {
    if (kind === "model") model = makeModel(new Kernel(job.module), readWeights(job.weights));
    const result = kind === "model" ? null : /** @type {any} */ (model)[kind](job);
    self.postMessage({ result }, { transfer: result ? [result.buffer] : [] });
  } catch (error) {
    const code = error instanceof RdaeError ? error.code : "failed";
    self.postMessage({ error: { code, message: error instanceof Error ? error.message : String(error) } });
  }
};

import { RdaeError } from "./errors.js";
import { Kernel } from "./kernel.js";
import { Model } from "./model.js";
import { Weights } from "./weights.js";

/* One of the pool's workers: first a model, then tiles and windows (pool.js). */

/** @type {Model | undefined} */
let model;

/** @param {MessageEvent<{id: number, kind: "model" | "tile" | "window", job: any}>} event */
self.onmessage = ({ data: { id, kind, job } }) => {
  try {
    if (kind === "model") model = new Model(new Kernel(job.module), new Weights(job.weights));
    if (!model) throw new Error("there is no model yet");
    const result = kind === "tile" ? model.tile(job) : kind === "window" ? model.window(job) : null;
    self.postMessage({ id, result }, { transfer: result ? [result.buffer] : [] });
  } catch (error) {
    const code = error instanceof RdaeError ? error.code : "failed";
    self.postMessage({ id, error: { code, message: error instanceof Error ? error.message : String(error) } });
  }
};

import { LosslessModel } from "./lossless/model.js";
import { FORMAT, LosslessWeights } from "./lossless/weights.js";
import { Model } from "./model.js";
import { formatOf, Weights } from "./weights.js";

/* The two kinds of models: lossy ones and lossless ones. */

/**
 * @param {Uint8Array} bytes of a model's file, aligned to 8
 * @returns {Weights | LosslessWeights}
 */
export function readWeights(bytes) {
  return formatOf(bytes) === FORMAT ? new LosslessWeights(bytes) : new Weights(bytes);
}

/**
 * @param {import("./kernel.js").Kernel} kernel
 * @param {Weights | LosslessWeights} weights
 */
export const makeModel = (kernel, weights) =>
  weights instanceof Weights ? new Model(kernel, weights) : new LosslessModel(kernel, weights);

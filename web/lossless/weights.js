import { check, TensorFile } from "../weights.js";

/* A lossless model's file: FORMAT.md, section 14.3. */

export const FORMAT = "lossless 2";
export const NUM_SETS = 3, NUM_PASSES = 3, NUM_COLOURS = 3;
export const NUM_SCALES = 48, NUM_PHASES = 8, NUM_SHAPES = 4;
const MOST_CHANNELS = 256;
const LEAK = 3;
export const REFERENCES = 12; // pixels and channels of a cell
export const ADDED = 9; // differences, errors and normalised errors that a pass adds to a cell

/**
 * @typedef {object} Lists what the tables of residuals are made of
 * @property {Int32Array} normal
 * @property {Int32Array} inverse of each scale two
 * @property {Int32Array} weight
 * @property {Int32Array} reach
 */

export class LosslessWeights extends TensorFile {
  /** @param {Uint8Array} bytes aligned to 8 */
  constructor(bytes) {
    super(bytes, FORMAT);
    const { channels, hidden } = this.info;
    const legal = [channels, hidden].every((count) => Number.isInteger(count) && count >= 1 && count <= MOST_CHANNELS);
    check(legal, "a lossless model has 1 to 256 channels");
    /** @type {number} */
    this.channels = channels;
    /** @type {number} */
    this.hidden = hidden;
  }

  /** 8 hexadecimal digits. */
  async fingerprint() {
    return (await this.hashed(`${FORMAT} ${this.channels} ${this.hidden}\n`)).slice(0, 8);
  }

  /** @returns {Lists} */
  lists() {
    const [length] = this.entries["tables.normal"]?.shape ?? [];
    check(length >= 2, "tables.normal");
    const list = (/** @type {string} */ name, /** @type {number[]} */ ...shape) =>
      /** @type {Int32Array} */ (this.tensor(`tables.${name}`, "I32", shape));
    const normal = list("normal", length), inverse = list("inverse", NUM_SCALES, 2);
    const weight = list("weight", NUM_SHAPES), reach = list("reach", NUM_SCALES);
    const rises = normal.every((value, i) => (i ? value >= normal[i - 1] : value === 0) && value <= 2 ** 23);
    check(rises, "the normal distribution does not rise from 0 to a half");
    check(inverse.every((value) => value >= 0 && value < 2 ** 20), "tables.inverse");
    check(weight.every((value) => value >= 0 && value <= 256), "tables.weight");
    check(reach.every((value) => value >= 1 && value <= 255), "tables.reach");
    return { normal, inverse, weight, reach };
  }
}

/**
 * The layers of the networks of a set, by name.
 * @param {number} c channels
 * @param {number} hidden channels of a head
 */
export function networks(c, hidden) {
  const block = ["residual", [["depthwise", c, 3], ["linear", c, 2 * c, LEAK], ["linear", 2 * c, c]]];
  /** @type {Record<string, import("../weights.js").Layer[]>} */
  const found = { begin: [["linear", 9 * REFERENCES, c, LEAK], block] };
  for (let p = 0; p < NUM_PASSES; p++) {
    found[`linear.${p}`] = [["linear", 9 * (REFERENCES + 3 * p), 3]];
    found[`pass.${p}`] = [["linear", c + (p ? 9 * ADDED : 0), c, LEAK]];
    found[`block.${p}`] = [block];
    for (let k = 0; k < NUM_COLOURS; k++)
      found[`head.${p}.${k}`] = [["linear", c + 3 + 4 * k, hidden, LEAK], ["linear", hidden, 3 + k]];
  }
  return found;
}

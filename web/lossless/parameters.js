import { require } from "../errors.js";
import { tableIndex } from "./mixtures.js";
import { NUM_SCALES } from "./weights.js";

/* What a tile carries for a pass of a level: FORMAT.md, section 14.7. */

export const PIXELS = [
  [1, 1],
  [0, 1],
  [1, 0],
]; // row and column in its cell of what each pass adds
const WINDOWS = [[0, -1], [0, 1], [-1, 2], [-2, 3], [0, -1]]; // of each kind of filter, the first and the last cell
const WIDE = 3, BASE = 4, MOST_FACTOR = 2047;
const OF_BASE = 15; // values of a lossy picture beneath that each filter sees

/**
 * @typedef {object} Parameters of a pass; lists of three are those of the colours green, red, blue
 * @property {number} kind of the filter; 0: there is none
 * @property {Int32Array} slope
 * @property {Int32Array} row
 * @property {Int32Array} shape
 * @property {Int32Array} statistic
 * @property {Int32Array} filter of each tap three
 * @property {Int32Array} offset
 * @property {Int32Array} factor green for red, green for blue, red for blue
 * @property {Int32Array} gain
 */

/** @returns {Parameters} those of a pass that has none */
export function noParameters() {
  const none = new Int32Array(3), small = { slope: none, row: none, shape: none, statistic: none };
  return { kind: 0, ...small, filter: new Int32Array(0), offset: none, factor: none, gain: none };
}

/**
 * What a filter sees.
 * @param {number} pass
 * @param {number} kind 1 to 4
 * @param {boolean} hasBase
 */
export function tapsOf(pass, kind, hasBase) {
  const [first, last] = WINDOWS[kind], [c, d] = PIXELS[pass], added = [];
  for (let q = 0; q < pass && kind !== BASE; q++)
    for (const i of [-1, 0, 1])
      for (const j of [-1, 0, 1]) {
        const [a, b] = PIXELS[q], touches = Math.abs(2 * i + a - c) <= 1 && Math.abs(2 * j + b - d) <= 1;
        if (kind === WIDE || touches) added.push({ q, i, j });
      }
  return { first, last, added, count: 3 * ((last - first + 1) ** 2 + added.length) + (hasBase ? OF_BASE : 0) };
}

/**
 * Signed bytes, which are coded without a model.
 * @param {import("../tables.js").Stream} stream
 * @param {import("../tables.js").Family} family of section 14.4
 * @param {number} count
 */
export function readBytes(stream, family, count) {
  const found = new Int32Array(count);
  stream.group(family, new Uint8Array(count), found);
  require(found.every((value) => value >= -128 && value <= 127), "a byte is an escape");
  return found;
}

/**
 * @param {import("../tables.js").Stream} stream
 * @param {{bytes: import("../tables.js").Family, single: import("../tables.js").Family}} families single: the model's,
 *   for bins of one sample
 * @param {number} pass
 * @param {boolean} hasBase
 * @returns {Parameters}
 */
export function readParameters(stream, { bytes, single }, pass, hasBase) {
  const [kind] = readBytes(stream, bytes, 1);
  require(kind >= 0 && kind <= (hasBase ? BASE : WIDE), "a filter is of no known kind");
  const small = readBytes(stream, bytes, 12), of = (/** @type {number} */ k) => small.subarray(3 * k, 3 * k + 3);
  const found = { ...noParameters(), kind, slope: of(0), row: of(1), shape: of(2), statistic: of(3) };
  if (!kind) return found;
  const [scale] = readBytes(stream, bytes, 1);
  require(scale >= 0 && scale < NUM_SCALES, "a filter's scale is out of range");
  const { count } = tapsOf(pass, kind, hasBase), values = new Int32Array(3 * (count + 3));
  stream.group(single, new Uint16Array(values.length).fill(tableIndex(scale, 4, 1)), values);
  found.filter = values.subarray(0, 3 * count);
  [found.offset, found.factor, found.gain] = [0, 1, 2].map((k) => values.subarray(3 * (count + k), 3 * (count + k + 1)));
  require([...found.factor, ...found.gain].every((value) => Math.abs(value) <= MOST_FACTOR), "a factor is out of range");
  for (let k = 0; k < 3; k++) {
    let sum = 0;
    for (let i = k; i < 3 * count; i += 3) sum += Math.abs(found.filter[i]);
    require(2 ** 15 * sum + Math.abs(biasOf(found.offset[k])) < 2 ** 31, "the sums of a filter may leave 32 bits");
  }
  return found;
}

/** What a filter's sum begins with. @param {number} offset */
export const biasOf = (offset) => 4096 * offset + 256;

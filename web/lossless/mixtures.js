import { makeFamily } from "../tables.js";
import { NUM_PHASES, NUM_SCALES, NUM_SHAPES } from "./weights.js";

/* The tables of residuals, mixtures of two normal distributions: FORMAT.md, section 14.3. */

const TOTAL = 2 ** 24, FLOOR = 16;

/**
 * All tables for bins of some width.
 * @param {import("../kernel.js").Kernel} kernel
 * @param {import("./weights.js").Lists} lists
 * @param {number} width of a bin, in samples
 * @returns {import("../tables.js").Family}
 */
export function mixtures(kernel, lists, width) {
  const reaches = Array.from(lists.reach, (reach) => Math.ceil(reach / width)), each = NUM_PHASES * NUM_SHAPES;
  const sizes = Int32Array.from({ length: NUM_SCALES * each }, (_, t) => 2 * reaches[Math.floor(t / each)] + 2);
  const freqs = new Int32Array(sizes.reduce((sum, size) => sum + size, 0));
  let at = 0;
  for (let scale = 0; scale < NUM_SCALES; scale++)
    for (let phase = 0; phase < NUM_PHASES; phase++) {
      const [narrow, wide] = [0, 1].map((which) => {
        const inverse = lists.inverse[2 * scale + which], size = 2 * reaches[scale] + 2;
        return Float64Array.from({ length: size }, (_, i) => {
          const edge = 8 * (2 * width * (i - reaches[scale]) - width);
          return below(lists.normal, (edge - (2 * phase - 7)) * inverse);
        });
      });
      for (let shape = 0; shape < NUM_SHAPES; shape++, at += narrow.length)
        put(freqs.subarray(at, at + narrow.length), narrow, wide, lists.weight[shape]);
    }
  return makeFamily(kernel, sizes, freqs, Int32Array.from(sizes, (size) => 1 - size / 2));
}

/**
 * The frequencies of a table. All numbers are integers of less than 53 bits.
 * @param {Int32Array} freqs
 * @param {Float64Array} narrow
 * @param {Float64Array} wide
 * @param {number} weight of the wide one
 */
function put(freqs, narrow, wide, weight) {
  const n = freqs.length, mass = (/** @type {number} */ i) => Math.floor(((256 - weight) * narrow[i] + weight * wide[i]) / 256);
  const first = mass(0), shared = TOTAL - 17 * n;
  for (let i = 0, before = 0; i < n; i++) {
    const end = i + 1 < n ? Math.floor(((mass(i + 1) - first) * shared) / TOTAL) + FLOOR * (i + 1) : TOTAL;
    freqs[i] = end - before;
    before = end;
  }
}

/**
 * The normal distribution less a half, in 2^-24.
 * @param {Int32Array} normal
 * @param {number} v in steps of the normal, times 2^12
 */
function below(normal, v) {
  const size = Math.abs(v), step = Math.min(Math.floor(size / 4096), normal.length - 2);
  const between = Math.min(size - step * 4096, 4096);
  const value = normal[step] + Math.floor(((normal[step + 1] - normal[step]) * between) / 4096);
  return v < 0 ? -value : value;
}

/** @param {number} scale @param {number} phase @param {number} shape */
export const tableIndex = (scale, phase, shape) => (scale * NUM_PHASES + phase) * NUM_SHAPES + shape;

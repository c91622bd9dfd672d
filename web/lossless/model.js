import { crc32, isColourless } from "../bytes.js";
import { Compiler } from "../compiler.js";
import { checkStream } from "../container.js";
import { RdaeError, require } from "../errors.js";
import { makeFamily, Stream } from "../tables.js";
import { around } from "./cells.js";
import { CHANNELS, Level } from "./level.js";
import { mixtures } from "./mixtures.js";
import { noParameters, PIXELS, readBytes, readParameters } from "./parameters.js";
import { decodeVp8l } from "./vp8l.js";
import { ADDED, networks, NUM_COLOURS, NUM_PASSES, NUM_SCALES, NUM_SETS, REFERENCES } from "./weights.js";

/* From a chunk R to the pixels of a tile: FORMAT.md, section 14. */

const NETWORK = 0, WEBP = 1; // methods

/**
 * @typedef {object} PixelsJob
 * @property {Uint8Array} canonical header
 * @property {number} index
 * @property {number} width of the tile, in pixels
 * @property {number} height
 * @property {Uint8Array} body method and stream
 * @property {number} check
 * @property {boolean} colourless
 * @property {number} maxError
 * @property {boolean} undivided all of a picture, by WebP
 * @property {boolean} alpha of an undivided picture
 * @property {Uint8Array} [base] red, green and blue of a lossy picture beneath
 */

export class LosslessModel {
  /**
   * @param {import("../kernel.js").Kernel} kernel
   * @param {import("./weights.js").LosslessWeights} weights
   */
  constructor(kernel, weights) {
    this.kernel = kernel;
    this.lists = weights.lists();
    this.inverse = /** @type {Int16Array} */ (weights.tensor("scales.error", "I16", [NUM_SCALES]));
    this.sets = Array.from({ length: NUM_SETS }, (_, l) => makeSet(kernel, weights, `level.${l}`));
    const bytes = [...Array(256).fill(2 ** 16 - 2 ** 8), 2 ** 16]; // section 14.4
    this.bytes = makeFamily(kernel, Int32Array.of(bytes.length), Int32Array.from(bytes), Int32Array.of(-128));
    /** By the width of a bin. @type {Map<number, import("../tables.js").Family>} */
    this.families = new Map();
  }

  /** Tables for bins of a width; what they take is never free again. @param {number} width */
  family(width) {
    const known = this.families.get(width) ?? mixtures(this.kernel, this.lists, width);
    this.families.set(width, known);
    return known;
  }

  /**
   * The pixels of a tile, RGBA.
   * @param {PixelsJob} job
   */
  pixels({ canonical, index, width, height, body, check, colourless, maxError, undivided, alpha, base }) {
    const [method] = body, stream = body.subarray(1), where = `tile ${index}`;
    require(method === WEBP || (method === NETWORK && !undivided), `${where} is coded by an unknown method`);
    const hasAlpha = undivided && alpha;
    let samples;
    try {
      samples = method === WEBP ? decodeVp8l(stream, width, height, hasAlpha) : this.decode(stream, width, height, colourless, maxError, base);
    } catch (error) {
      throw error instanceof RdaeError ? new RdaeError(error.code, `${where} is damaged (${error.message})`) : error;
    }
    require(!colourless || isColourless(samples, hasAlpha), `${where} has colours, but the picture has none`);
    require(crc32(canonical, new Uint8Array(Uint32Array.of(index).buffer), samples) === check, `${where} is damaged`);
    if (hasAlpha) return new Uint8ClampedArray(samples.buffer);
    const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
    for (let from = 0, to = 0; from < samples.length; from += 3, to += 4) {
      rgba[to] = samples[from];
      rgba[to + 1] = samples[from + 1];
      rgba[to + 2] = samples[from + 2];
    }
    return rgba;
  }

  /**
   * Method 0: red, green and blue.
   * @param {Uint8Array} words
   * @param {number} width
   * @param {number} height
   * @param {boolean} colourless
   * @param {number} maxError
   * @param {Uint8Array} [base]
   */
  decode(words, width, height, colourless, maxError, base) {
    checkStream(words);
    const families = { bytes: this.bytes, single: this.family(1), residuals: this.family(2 * maxError + 1) };
    return this.kernel.lent(() => {
      const stream = new Stream(this.kernel, words), coded = colourless ? 1 : NUM_COLOURS;
      const pixels = new Uint8Array(3 * width * height), first = readBytes(stream, this.bytes, coded);
      for (const [k, c] of CHANNELS.entries()) pixels[c] = first[k < coded ? k : 0] + 128;
      let top = 0;
      while (Math.max(width, height) > 2 ** top) top++;
      const tile = { pixels, width, height, coded, maxError, base };
      for (let number = top - 1; number >= 0; number--) this.kernel.lent(() => this.decodeLevel(stream, families, tile, number));
      stream.end();
      return pixels;
    });
  }

  /**
   * @param {Stream} stream
   * @param {Record<"bytes" | "single" | "residuals", import("../tables.js").Family>} families
   * @param {{pixels: Uint8Array, width: number, height: number, coded: number, maxError: number, base?: Uint8Array}} tile
   * @param {number} number of the level
   */
  decodeLevel(stream, families, { pixels, width, height, coded, maxError, base }, number) {
    const step = 2 ** number, high = Math.ceil(height / step), wide = Math.ceil(width / step);
    const rows = Math.ceil(high / 2), columns = Math.ceil(wide / 2), bin = 2 * maxError + 1;
    const known = sampled(pixels, width, height, 2 * step), beneath = base && { pixels: sampled(base, width, height, step), high, wide };
    const level = new Level(this.kernel, this.sets[Math.min(number, NUM_SETS - 1)], this.inverse, known, rows, columns, beneath);
    const [hasParameters] = readBytes(stream, families.bytes, 1);
    require(hasParameters === 0 || hasParameters === 1, "the flag of a level is neither 0 nor 1");
    for (const [pass, [a, b]] of PIXELS.entries()) {
      level.beginPass(pass, hasParameters ? readParameters(stream, families, pass, !!base) : noParameters());
      const down = (high + 1 - a) >> 1, across = (wide + 1 - b) >> 1; // pixels that there are
      const samples = new Uint8Array(down * across), count = samples.length, tables = new Uint16Array(count);
      const bins = new Int32Array(count), limits = new Int16Array(2 * count);
      for (const [k, c] of CHANNELS.entries()) {
        level.predict(k);
        if (k < coded) {
          for (let i = 0, n = 0; i < down; i++) {
            tables.set(level.table.subarray(i * columns, i * columns + across), i * across);
            for (let j = 0; j < across; j++) {
              const m = (level.mean[i * columns + j] + 64) >> 7;
              limits[n++] = -Math.floor((m + maxError) / bin);
              limits[n++] = Math.floor((255 - m + maxError) / bin);
            }
          }
          stream.group(families.residuals, tables, bins, limits);
          for (let i = 0, n = 0; i < down; i++)
            for (let j = 0; j < across; j++, n++) {
              const value = ((level.mean[i * columns + j] + 64) >> 7) + bins[n] * bin;
              require(value >= -maxError && value <= 255 + maxError, "a sample lies outside of 0 to 255");
              samples[n] = value < 0 ? 0 : value > 255 ? 255 : value;
            }
        }
        level.settle(k, samples, down, across);
        for (let i = 0, n = 0; i < down; i++)
          for (let j = 0, to = 3 * step * ((2 * i + a) * width + b) + c; j < across; j++, to += 6 * step) pixels[to] = samples[n++];
      }
    }
  }
}

/**
 * The pixels of rows and columns that are multiples of a step.
 * @param {Uint8Array} rgb
 * @param {number} width
 * @param {number} height
 * @param {number} step
 */
function sampled(rgb, width, height, step) {
  const rows = Math.ceil(height / step), columns = Math.ceil(width / step), result = new Uint8Array(3 * rows * columns);
  for (let i = 0, to = 0; i < rows; i++)
    for (let j = 0, from = 3 * step * i * width; j < columns; j++, from += 3 * step) for (let c = 0; c < 3; c++) result[to++] = rgb[from + c];
  return result;
}

/**
 * @param {import("../kernel.js").Kernel} kernel
 * @param {import("./weights.js").LosslessWeights} weights
 * @param {string} path
 * @returns {import("./level.js").Set}
 */
function makeSet(kernel, weights, path) {
  const { channels, hidden } = weights, layers = networks(channels, hidden), passes = [...Array(NUM_PASSES).keys()];
  /** A network of what lies around the last of its inputs. @param {...number} inputs */
  const seeing = (...inputs) => {
    const last = inputs.length - 1;
    return new Compiler(kernel, weights, inputs).collect(1, around(last, inputs[last]));
  };
  return {
    channels,
    begin: seeing(REFERENCES).layers(layers.begin, `${path}.begin`).finish(channels, 1),
    linear: passes.map((p) => seeing(REFERENCES + 3 * p).layers(layers[`linear.${p}`], `${path}.linear.${p}`).finish(3, 1)),
    passes: passes.map((p) => {
      const compiler = p ? seeing(channels, ADDED).keepFirst().concatenate() : new Compiler(kernel, weights, [channels]).keepFirst();
      compiler.layers(layers[`pass.${p}`], `${path}.pass.${p}`).add(`${path}.pass.${p} does not fit`);
      return compiler.layers(layers[`block.${p}`], `${path}.block.${p}`).finish(channels, 1);
    }),
    heads: passes.map((p) =>
      [...Array(NUM_COLOURS).keys()].map((k) => {
        const name = `head.${p}.${k}`, compiler = new Compiler(kernel, weights, [channels, 3 + 4 * k]);
        return compiler.concatenate().layers(layers[name], `${path}.${name}`).finish(3 + k, 1);
      }),
    ),
    same: /** @type {Int16Array} */ (weights.tensor(`${path}.same`, "I16", [NUM_PASSES, 3])),
  };
}

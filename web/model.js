import { crc32 } from "./bytes.js";
import { Compiler, widened } from "./compiler.js";
import { require } from "./errors.js";
import { padded } from "./kernel.js";
import { makeFamily, Stream } from "./tables.js";
import { check } from "./weights.js";

/* From streams to pixels with one model: FORMAT.md, section 8. */

const PASS = [
  [0, 1, 2, 3],
  [3, 2, 1, 0],
  [2, 3, 0, 1],
  [1, 0, 3, 2],
]; // of channel group and phase
const ROW_BITS = 7, MEAN_BITS = 4, PIXEL_BITS = 6; // behind the point
const NUM_ROWS = 128, NUM_ANCHORS = 16;

/** The channel group that a pass codes in each phase. @param {number} pass */
const groupsOf = (pass) => [0, 1, 2, 3].map((phase) => PASS.findIndex((passes) => passes[phase] === pass));

/**
 * @typedef {object} TileJob
 * @property {number} point
 * @property {Uint8Array} canonical header
 * @property {number} index
 * @property {number} rows
 * @property {number} columns
 * @property {Uint8Array} z
 * @property {Uint8Array} y
 * @property {number} check
 *
 * @typedef {object} WindowJob
 * @property {number} point
 * @property {Int16Array} y_hat of `rows * columns` cells
 * @property {number} rows
 * @property {number} columns
 * @property {import("./program.js").Area} wanted cells of these
 * @property {boolean} grey
 */

export class Model {
  /**
   * @param {import("./kernel.js").Kernel} kernel
   * @param {import("./weights.js").Weights} weights
   */
  constructor(kernel, weights) {
    const { spec } = weights, { latent_channels: m, hyper_channels: n, features: f } = spec;
    check([m, n, f].every((count) => Number.isInteger(count) && count > 0 && count <= 4096) && m % 4 === 0, "channels");
    this.kernel = kernel;
    this.m = m;
    this.n = n;
    /** @param {number[]} inputs */
    const compiler = (...inputs) => new Compiler(kernel, weights, inputs);
    this.hyperSynthesis = compiler(n).layers(spec.hyper_synthesis, "hyper_synthesis").finish(f, 4);
    this.passes = [0, 1, 2, 3].map((pass) => {
      const start = pass ? compiler(f, m).concatenate() : compiler(f), k = pass - 1;
      if (pass) start.layers(spec.inputs[k], `inputs.${k}`).layers(spec.shared, "shared");
      const [layers, path] = pass ? [spec.outputs[k], `outputs.${k}`] : [spec.first, "first"];
      return quarterOf(pass, start, layers, path, m).finish(m / 2, 1);
    });
    this.synthesis = toLevels(compiler(m), spec.synthesis).finish(3, 16);
    this.zStep = weights.tensor("z.step", "I32", [256, n]);
    this.yStep = weights.tensor("y.step", "I32", [256, m]);
    this.zShift = weights.shift("z.step_shift");
    this.yShift = weights.shift("y.step_shift");
    this.offset = weights.tensor("y.offset", "I16", [256, m]);
    this.anchors = weights.tensor("z.anchor", "U8", [256]);
    check(this.anchors.every((anchor) => anchor < NUM_ANCHORS), "z.anchor");
    this.yTables = family(kernel, weights, "y", NUM_ROWS);
    this.zTables = family(kernel, weights, "z", NUM_ANCHORS * n);
  }

  /**
   * y_hat of a tile's coded cells, `rows * columns * M` (sections 8.1 to 8.4).
   * @param {TileJob} job
   */
  tile(job) {
    return this.kernel.lent(() => this.decodeTile(job));
  }

  /** @param {TileJob} job */
  decodeTile({ point, canonical, index, rows, columns, z, y, check: crc }) {
    const { kernel, m, n } = this, group = m / 4;
    const high = Math.ceil(rows / 4), wide = Math.ceil(columns / 4), height = 4 * high, width = 4 * wide;
    const zSymbols = this.zSymbols(z, point, high * wide);
    const hyper = this.hyperSynthesis.place(high, wide);
    const { at, row, cell } = hyper[0];
    const step = this.zStep.subarray(n * point, n * (point + 1)), half = 2 ** (this.zShift - 1), unit = 2 ** this.zShift;
    const zHat = kernel.i16(at, (high - 1) * row + wide * cell);
    for (let i = 0, from = 0; i < high; i++)
      for (let j = 0; j < wide; j++)
        for (let c = 0, to = i * row + j * cell; c < n; c++, from++)
          zHat[to + c] = saturated(Math.floor((zSymbols[from] * step[c] + half) / unit));
    const features = this.hyperSynthesis.run(hyper, point, high, wide);

    const stream = new Stream(kernel, y), cellsOf = padded(m), ySymbols = kernel.take(4 * rows * columns * m);
    const yHat = { at: kernel.take(2 * height * width * cellsOf), row: width * cellsOf, cell: cellsOf };
    kernel.i16(yHat.at, height * width * cellsOf).fill(0);
    for (const [pass, program] of this.passes.entries())
      kernel.lent(() => {
        const groups = groupsOf(pass), out = program.run(program.place(height, width, [features, yHat]), point, height, width);
        const own = byPhase(this.offset.subarray(m * point), groups, group, Int16Array);
        const ownStep = byPhase(this.yStep.subarray(m * point), groups, group, Int32Array);
        const count = rows * columns * group, tables = kernel.take(2 * count), offset = kernel.keep(own), found = kernel.take(4 * count);
        const heads = out.at + 2 * group;
        kernel.call.indexes(heads, out.row, out.cell, rows, columns, group, offset, ROW_BITS, tables);
        stream.groupAt(this.yTables, tables, count, found);
        kernel.call.place(found, ySymbols, rows, columns, 4 * group, 4 * m, ...groups);
        // Cells that are not coded have the symbol 0.
        const symbols = kernel.take(4 * height * width * group), steps = kernel.keep(ownStep), quarter = kernel.take(2 * height * width * group);
        const all = kernel.i32(symbols, height * width * group).fill(0), size = columns * group;
        for (let i = 0; i < rows; i++) all.set(kernel.i32(found + 4 * i * size, size), i * width * group);
        const shifts = [this.yShift, MEAN_BITS];
        kernel.call.dequantise(out.at, out.row, out.cell, height, width, group, symbols, steps, ...shifts, quarter);
        kernel.call.place(quarter, yHat.at, height, width, 2 * group, 2 * cellsOf, ...groups);
      });
    stream.end();
    const covered = crc32(canonical, asBytes(Uint32Array.of(index)), asBytes(zSymbols));
    require(kernel.call.crc32(covered, ySymbols, 4 * rows * columns * m) >>> 0 === crc, `tile ${index} is damaged`);
    const result = new Int16Array(rows * columns * m), all = kernel.i16(yHat.at, height * width * cellsOf);
    const together = cellsOf === m ? columns : 1; // cells without gaps
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j += together) {
        const begin = (i * width + j) * cellsOf;
        result.set(all.subarray(begin, begin + together * m), (i * columns + j) * m);
      }
    return result;
  }

  /**
   * @param {Uint8Array} words
   * @param {number} point
   * @param {number} cells
   */
  zSymbols(words, point, cells) {
    const { n } = this, stream = new Stream(this.kernel, words), symbols = new Int32Array(cells * n);
    const first = this.anchors[point] * n;
    stream.group(this.zTables, new Uint16Array(cells * n).map((_, i) => first + (i % n)), symbols);
    stream.end();
    return symbols;
  }

  /**
   * Pixels of a part of the picture, RGBA (sections 8.5 and 8.6).
   * @param {WindowJob} job
   */
  window({ point, y_hat, rows, columns, wanted, grey }) {
    const { kernel, m } = this;
    return kernel.lent(() => {
      const cell = padded(m), given = { at: kernel.keep(widened(y_hat, m, cell)), row: columns * cell, cell };
      const placed = this.synthesis.place(rows, columns, [given]);
      const out = this.synthesis.run(placed, point, rows, columns, wanted);
      const height = 16 * (wanted.bottom - wanted.top), width = 16 * (wanted.right - wanted.left);
      const rgba = kernel.take(4 * height * width), first = out.at + 16 * wanted.top * out.row + 16 * wanted.left * 3;
      kernel.call.to_rgba(first, out.row, height, width, grey ? 1 : 0, rgba);
      return new Uint8ClampedArray(kernel.u8(rgba, 4 * height * width).slice().buffer);
    });
  }
}

/** @param {number} v */
const saturated = (v) => (v < -32768 ? -32768 : v > 32767 ? 32767 : v);

/** @param {Int32Array | Uint32Array} values */
const asBytes = (values) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/**
 * Values of the channels that a pass codes, phase by phase.
 * @template {Int16Array | Int32Array} T
 * @param {import("./weights.js").Tensor} values
 * @param {number[]} groups
 * @param {number} size
 * @param {new (size: number) => T} Numbers
 */
function byPhase(values, groups, size, Numbers) {
  const result = new Numbers(4 * size);
  for (const [phase, group] of groups.entries()) result.set(values.subarray(group * size, (group + 1) * size), phase * size);
  return result;
}

/**
 * A pass's last layers without the outputs of latents that it does not code.
 * @param {number} pass
 * @param {Compiler} compiler
 * @param {import("./weights.js").Layer[]} layers
 * @param {string} path
 * @param {number} m
 */
function quarterOf(pass, compiler, layers, path, m) {
  const last = layers.length - 1, [kind, inputs, outputs, leak] = layers[last] ?? [];
  check(kind === "linear" && outputs === 2 * m && !leak, `${path} does not end in a linear layer`);
  const wanted = groupsOf(pass).map((group) => {
    const means = Array.from({ length: m / 4 }, (_, c) => group * (m / 4) + c);
    return [...means, ...means.map((channel) => channel + m)];
  });
  compiler.layers(layers.slice(0, last), path).linear(`${path}.${last}`, inputs, outputs, 0, wanted);
  return compiler;
}

/**
 * The synthesis with bytes as its result; a shuffle at the end moves them.
 * @param {Compiler} compiler
 * @param {import("./weights.js").Layer[]} layers
 */
function toLevels(compiler, layers) {
  const last = layers[layers.length - 1] ?? [], ends = last[0] === "shuffle" && Number.isInteger(last[1]);
  return compiler.layers(ends ? layers.slice(0, -1) : layers, "synthesis").levels(ends ? last[1] : 1, PIXEL_BITS);
}

/**
 * @param {import("./kernel.js").Kernel} kernel
 * @param {import("./weights.js").Weights} weights
 * @param {"y" | "z"} latent
 * @param {number} count
 */
function family(kernel, weights, latent, count) {
  const sizes = /** @type {Int32Array} */ (weights.tensor(`${latent}.sizes`, "I32", [count]));
  const lows = /** @type {Int32Array} */ (weights.tensor(`${latent}.lows`, "I32", [count]));
  check(sizes.every((size) => size >= 2), `${latent}.sizes`);
  const total = sizes.reduce((a, b) => a + b, 0);
  const freqs = /** @type {Int32Array} */ (weights.tensor(`${latent}.freqs`, "I32", [total]));
  return makeFamily(kernel, sizes, freqs, lows);
}

import { Compiler } from "../compiler.js";
import { PANEL, padded } from "../kernel.js";
import { makeCells, makeRow } from "./cells.js";
import { tableIndex } from "./mixtures.js";
import { biasOf, PIXELS, tapsOf } from "./parameters.js";
import { ADDED, REFERENCES } from "./weights.js";

/* A level of a tile while its passes are decoded: FORMAT.md, sections 14.5 to 14.9. */

export const CHANNELS = [1, 0, 2]; // of the colours in the order of coding: green, red, blue
const BASE = [[-1, 0, 3], [0, -1, 9], [1, 0, 3]]; // rows and columns of the lossy pixels that a filter sees, and how many values
const LARGEST_MEAN = 255 * 128, MOST_NORMALISED = 24576;

/**
 * @typedef {import("../program.js").Placed} Placed
 * @typedef {import("../program.js").Program} Program
 * @typedef {import("./parameters.js").Parameters} Parameters
 *
 * @typedef {object} Set the networks of a level
 * @property {number} channels
 * @property {Program} begin
 * @property {Program[]} linear by pass
 * @property {Program[]} passes
 * @property {Program[][]} heads by pass and colour
 * @property {Int16Array} same
 */

export class Level {
  /**
   * @param {import("../kernel.js").Kernel} kernel whose memory is taken
   * @param {Set} set
   * @param {Int16Array} inverse by scale, what normalises an error
   * @param {Uint8Array} known red, green and blue of the pixels (0, 0) of all cells
   * @param {number} rows of cells
   * @param {number} columns
   * @param {{pixels: Uint8Array, high: number, wide: number}} [base] all pixels of the level of a lossy picture beneath
   */
  constructor(kernel, set, inverse, known, rows, columns, base) {
    this.kernel = kernel;
    this.set = set;
    this.inverse = inverse;
    this.rows = rows;
    this.columns = columns;
    this.known = makeCells(kernel, rows, columns, 3, 2, 3);
    this.base = base ? makeCells(kernel, 2 * rows, 2 * columns, 3, 1) : null;
    this.local = makeCells(kernel, rows, columns, 3);
    this.centred = makeCells(kernel, rows, columns, REFERENCES, 1);
    /** Of each pass, differences alone, and with errors and normalised errors. */
    this.differences = PIXELS.map(() => makeCells(kernel, rows, columns, 3, 1));
    this.added = PIXELS.map(() => makeCells(kernel, rows, columns, ADDED, 1));
    const cell = padded(set.channels);
    this.h = { at: kernel.take(2 * rows * columns * cell), row: columns * cell, cell };
    this.generic = new Int32Array(3 * rows * columns);
    this.own = new Int16Array(3 * rows * columns);
    this.mean = new Int16Array(rows * columns);
    this.scale = new Uint8Array(rows * columns);
    this.table = new Uint16Array(rows * columns);
    this.fill(this.known, known, rows, columns, 2, 3);
    if (this.base && base) this.fill(this.base, base.pixels, base.high, base.wide, 1, 1 + 2 * rows - base.high, 1 + 2 * columns - base.wide);
    this.centre();
    this.run(set.begin, [this.centred], this.h);
  }

  /**
   * @param {Program} program
   * @param {Placed[]} inputs
   * @param {Placed} output
   * @param {{before?: import("../program.js").RowWork, after?: import("../program.js").RowWork}} [work]
   */
  run(program, inputs, output, work) {
    const { kernel, rows, columns } = this;
    kernel.lent(() => program.run(program.place(rows, columns, inputs, output), 0, rows, columns, null, work));
  }

  /**
   * Pixels in 1/128, the nearest ones beyond the edges.
   * @param {Placed} cells
   * @param {Uint8Array} pixels
   * @param {number} rows
   * @param {number} columns
   * @param {number} before how many rows and columns are wanted before the first
   * @param {number} below behind the last row
   * @param {number} [behind] the last column
   */
  fill({ at, row }, pixels, rows, columns, before, below, behind = below) {
    const start = at - 2 * before * (row + 3), all = this.kernel.i16(start, (before + rows + below) * row);
    for (let i = -before, to = 0; i < rows + below; i++) {
      const line = Math.max(0, Math.min(rows - 1, i)) * columns;
      for (let j = -before; j < columns + behind; j++, to += 3) {
        const from = 3 * (line + Math.max(0, Math.min(columns - 1, j)));
        for (let c = 0; c < 3; c++) all[to + c] = 128 * pixels[from + c];
      }
    }
  }

  /** References, their local means, and what is left of them (section 14.5). */
  centre() {
    const { kernel, rows, columns, known, centred, local } = this, values = kernel.i16(0, kernel.memory.buffer.byteLength / 2);
    const sums = new Int32Array(3 * rows * columns), wide = new Int32Array(3 * columns);
    for (let i = 0, n = 0; i < rows; i++)
      for (let j = 0; j < columns; j++)
        for (let c = 0; c < 3; c++, n++) {
          const from = known.at / 2 + i * known.row + 3 * j + c, to = centred.at / 2 + i * centred.row + REFERENCES * j + c;
          const here = values[from], right = values[from + 3], down = values[from + known.row], both = values[from + known.row + 3];
          const [two, three, four] = [(here + right) >> 1, (here + down) >> 1, (here + right + down + both) >> 2];
          values[to] = here;
          values[to + 3] = two;
          values[to + 6] = three;
          values[to + 9] = four;
          sums[n] = (here + two + three + four) >> 5;
        }
    for (let i = 0; i < rows; i++) {
      const above = 3 * columns * Math.max(0, i - 1), here = 3 * columns * i, below = 3 * columns * Math.min(rows - 1, i + 1);
      for (let n = 0; n < wide.length; n++) wide[n] = sums[above + n] + sums[here + n] + sums[below + n];
      for (let j = 0; j < columns; j++) {
        const left = 3 * Math.max(0, j - 1), right = 3 * Math.min(columns - 1, j + 1);
        for (let c = 0; c < 3; c++) {
          const mean = ((wide[left + c] + wide[3 * j + c] + wide[right + c]) * 58254 + 32768) >> 16;
          values[local.at / 2 + i * local.row + 3 * j + c] = mean;
          const first = centred.at / 2 + i * centred.row + REFERENCES * j + c;
          for (let n = first; n < first + REFERENCES; n += 3) values[n] -= mean;
        }
      }
    }
  }

  /**
   * Section 14.6, and the tile's own filter.
   * @param {number} pass
   * @param {Parameters} parameters
   */
  beginPass(pass, parameters) {
    const { kernel, set, h } = this;
    this.pass = pass;
    this.parameters = parameters;
    this.run(set.passes[pass], pass ? [h, this.added[pass - 1]] : [h], h);
    kernel.lent(() => this.predictGeneric(pass));
    if (parameters.kind) kernel.lent(() => this.filter(pass, parameters));
  }

  /** @param {number} pass */
  predictGeneric(pass) {
    const { kernel, rows, columns, centred, local, generic } = this, channels = REFERENCES + 3 * pass;
    const all = makeCells(kernel, rows, columns, channels, 1), values = kernel.i16(0, kernel.memory.buffer.byteLength / 2);
    const parts = [...this.differences.slice(0, pass), centred];
    for (let i = 0; i < rows; i++)
      for (let part = 0, first = 0; part < parts.length; first += parts[part++].cell) {
        const { at, row, cell: size } = parts[part];
        for (let j = 0, from = at / 2 + i * row, to = all.at / 2 + i * all.row + first; j < columns; j++, from += size, to += channels)
          for (let c = 0; c < size; c++) values[to + c] = values[from + c];
      }
    const out = makeRow(kernel, columns, PANEL), place = 3 * placeOf(pass);
    const after = (/** @type {number} */ row) => {
      const values = kernel.i16(0, kernel.memory.buffer.byteLength / 2);
      const reference = centred.at / 2 + row * centred.row + place, mean = local.at / 2 + row * local.row;
      for (let j = 0, to = 3 * row * columns; j < columns; j++)
        for (let c = 0; c < 3; c++)
          generic[to++] = values[reference + REFERENCES * j + c] + values[mean + 3 * j + c] + values[out.at / 2 + PANEL * j + c];
    };
    this.run(this.set.linear[pass], [all], out, { after });
  }

  /**
   * What the tile's own filter gives (section 14.7).
   * @param {number} pass
   * @param {Parameters} parameters
   */
  filter(pass, { kind, filter, offset }) {
    const { kernel, columns, known, local, own, base } = this, { first, last, added, count } = tapsOf(pass, kind, !!base);
    const tensor = (/** @type {string} */ name) => (name.endsWith("bias") ? Int32Array.from(offset, biasOf) : Int16Array.from(filter));
    const inputs = [known, local, ...this.differences.slice(0, pass)], [KNOWN, LOCAL, FIRST] = inputs.keys();
    const runs = [];
    for (let row = first; row <= last; row++) runs.push({ input: KNOWN, row, column: first, values: 3 * (last - first + 1), centred: true });
    for (const { q, i, j } of added) runs.push({ input: FIRST + q, row: i, column: j, values: 3 });
    if (base) {
      const [c, d] = PIXELS[pass], { at, row } = base;
      for (const [i, j, values] of BASE) {
        runs.push({ input: inputs.length, row: 0, column: 0, values, centred: true });
        inputs.push({ at: at + 2 * ((c + i) * row + 3 * (d + j)), row: 2 * row, cell: 6 }); // two pixels are a cell
      }
    }
    const compiler = new Compiler(kernel, { tensor, shift: () => 9 }, inputs.map(() => 3)).collect(inputs.length, runs, LOCAL);
    compiler.linear("own", count, 3, 0);
    const out = makeRow(kernel, columns, PANEL);
    const after = (/** @type {number} */ row) => {
      const values = kernel.i16(out.at, columns * PANEL);
      for (let j = 0, to = 3 * row * columns; j < columns; j++) for (let k = 0; k < 3; k++) own[to++] = values[PANEL * j + k];
    };
    this.run(compiler.finish(3, 1), inputs, out, { after });
  }

  /**
   * Mean, scale and table of each cell's pixel in a colour (section 14.8).
   * @param {number} k number of the colour
   */
  predict(k) {
    const { kernel, rows, columns, set, pass, parameters } = this;
    if (pass === undefined || !parameters) throw new Error("no pass has begun");
    const added = this.added[pass], { statistic } = parameters;
    kernel.lent(() => {
      const seen = makeRow(kernel, columns, PANEL), out = makeRow(kernel, columns, PANEL);
      const before = (/** @type {number} */ row) => {
        const values = kernel.i16(0, kernel.memory.buffer.byteLength / 2);
        for (let j = 0, to = seen.at / 2; j < columns; j++, to += PANEL) {
          for (let c = 0; c < 3; c++) values[to + c] = statistic[c] << 8;
          for (let q = 0, at = to + 3; q < k; q++, at += 4) {
            const from = added.at / 2 + row * added.row + ADDED * j + CHANNELS[q], error = values[from + 3], normalised = values[from + 6];
            values[at] = error;
            values[at + 1] = Math.abs(error);
            values[at + 2] = normalised;
            values[at + 3] = Math.abs(normalised);
          }
        }
      };
      const after = (/** @type {number} */ row) => this.finish(row, k, out.at / 2, pass, parameters);
      this.run(set.heads[pass][k], [this.h, seen], out, { before, after });
    });
  }

  /**
   * A row of what `predict` finds.
   * @param {number} row
   * @param {number} k
   * @param {number} head place of the head's row
   * @param {number} pass
   * @param {Parameters} parameters
   */
  finish(row, k, head, pass, { kind, slope, row: rows, shape: shapes, factor, gain }) {
    const { kernel, columns, generic, own, added } = this, { same } = this.set, { at, row: line } = added[pass];
    const values = kernel.i16(0, kernel.memory.buffer.byteLength / 2), c = CHANNELS[k];
    for (let j = 0, cell = row * columns; j < columns; j++, cell++) {
      const out = head + PANEL * j, beside = at / 2 + row * line + ADDED * j;
      let mean = generic[3 * cell + c] + values[out];
      for (let q = 0; q < k; q++) {
        const difference = values[beside + CHANNELS[q]], error = values[beside + 3 + CHANNELS[q]];
        mean += ((error * values[out + 3 + q] + 2048) >> 12) + ((difference * same[3 * pass + k - 1 + q] + 2048) >> 12);
        if (kind) mean += (difference * 8 * factor[k - 1 + q] + 2048) >> 12;
      }
      if (kind) mean += own[3 * cell + k] + ((values[out] * gain[k] + 256) >> 9);
      mean = Math.max(0, Math.min(LARGEST_MEAN, mean));
      const raw = values[out + 1], wide = raw + ((raw * slope[k]) >> 8) + 16 * rows[k];
      const scale = Math.max(0, Math.min(47, (wide + 64) >> 7));
      const shape = Math.max(0, Math.min(3, (values[out + 2] + 16 * shapes[k] + 64) >> 7));
      this.mean[cell] = mean;
      this.scale[cell] = scale;
      this.table[cell] = tableIndex(scale, ((mean + 64) & 127) >> 4, shape);
    }
  }

  /**
   * What a colour leaves behind (section 14.9).
   * @param {number} k
   * @param {Uint8Array} samples `rows * columns` of the pixels that there are
   * @param {number} rows
   * @param {number} columns
   */
  settle(k, samples, rows, columns) {
    const { kernel, pass, centred, local, inverse } = this, c = CHANNELS[k];
    if (pass === undefined) throw new Error("no pass has begun");
    const values = kernel.i16(0, kernel.memory.buffer.byteLength / 2), added = this.added[pass], differences = this.differences[pass];
    const place = 3 * placeOf(pass) + c;
    for (let i = 0, from = 0; i < rows; i++)
      for (let j = 0; j < columns; j++, from++) {
        const cell = i * this.columns + j, level = 128 * samples[from];
        const reference = values[centred.at / 2 + i * centred.row + REFERENCES * j + place] + values[local.at / 2 + i * local.row + 3 * j + c];
        const error = level - this.mean[cell], normalised = (error * inverse[this.scale[cell]] + 32) >> 6;
        const to = added.at / 2 + i * added.row + ADDED * j + c;
        values[to] = values[differences.at / 2 + i * differences.row + 3 * j + c] = level - reference;
        values[to + 3] = error;
        values[to + 6] = Math.max(-MOST_NORMALISED, Math.min(MOST_NORMALISED, normalised));
      }
  }
}

/** The number in its cell of the pixel that a pass adds. @param {number} pass */
const placeOf = (pass) => 2 * PIXELS[pass][0] + PIXELS[pass][1];

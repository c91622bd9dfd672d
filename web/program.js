import * as k from "./kernel.js";

/* A compiled network, and how it runs: stage by stage on grids of values. */

/**
 * @typedef {{channels: number, scale: number, border: number, bytes: 1 | 2}} Grid
 * @typedef {{at: number, row: number, cell: number}} Placed address of cell (0, 0), and strides in values
 * @typedef {{top: number, bottom: number, left: number, right: number}} Area
 * @typedef {(row: number) => void} RowWork
 *
 * @typedef {object} Code of a stage
 * @property {number} at address of its operations
 * @property {number} scale cells for one of the input, in each direction
 * @property {number} radius cells of the input that it sees around its own
 * @property {import("./assembler.js").Operation[]} operations
 */

export class Program {
  /**
   * @param {k.Kernel} kernel
   * @param {object} parts
   * @param {number} parts.inputs how many of the grids are inputs, the first ones
   * @param {Grid[]} parts.grids
   * @param {number} parts.output which of them
   * @param {Code[]} parts.code
   * @param {number} parts.scratch address of what the kernel needs meanwhile
   */
  constructor(kernel, { inputs, grids, output, code, scratch }) {
    this.kernel = kernel;
    this.inputs = inputs;
    this.grids = grids;
    this.output = output;
    this.code = code;
    this.scratch = scratch;
  }

  /**
   * Places for all grids, zeros around them; the inputs' are to be filled.
   * @param {number} rows
   * @param {number} columns
   * @param {(Placed | null)[]} [given] inputs that lie somewhere already, whole panels of channels in each cell; one
   *   whose row is 0 has all rows at the same place, one at a time
   * @param {Placed | null} [output] where the output is to lie, likewise
   * @returns {Placed[]}
   */
  place(rows, columns, given = [], output = null) {
    return this.grids.map(({ channels, scale, border, bytes }, i) => {
      const there = i < this.inputs ? given[i] : i === this.output ? output : null;
      if (there && !border) return there;
      const height = rows * scale + 2 * border, row = (columns * scale + 2 * border) * channels;
      const at = this.kernel.take(height * row * bytes), inside = at + bytes * border * (row + channels);
      if (border) {
        const values = this.kernel.i16(at, height * row), beside = border * channels;
        values.fill(0, 0, border * row).fill(0, (height - border) * row);
        for (let i = border; i < height - border; i++) values.fill(0, i * row, i * row + beside).fill(0, (i + 1) * row - beside, (i + 1) * row);
      }
      const placed = { at: inside, row, cell: channels };
      if (there) this.copy(there, placed, rows, columns, channels);
      return placed;
    });
  }

  /**
   * @param {Placed} from
   * @param {Placed} to
   * @param {number} rows
   * @param {number} columns
   * @param {number} channels
   */
  copy(from, to, rows, columns, channels) {
    const bytes = this.kernel.u8(0, this.kernel.memory.buffer.byteLength);
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++) {
        const begin = from.at + 2 * (i * from.row + j * from.cell);
        bytes.copyWithin(to.at + 2 * (i * to.row + j * to.cell), begin, begin + 2 * channels);
      }
  }

  /**
   * Run it.
   * @param {Placed[]} placed
   * @param {number} point
   * @param {number} rows of the input
   * @param {number} columns
   * @param {Area | null} [wanted] cells of the input whose results are wanted, all if none are given; others are not set
   * @param {{before?: RowWork, after?: RowWork}} [work] what is done before the first stage reads a row, and after the
   *   last has written one
   * @returns {Placed} the output
   */
  run(placed, point, rows, columns, wanted, { before, after } = {}) {
    const { kernel, code, output, scratch } = this;
    const area = wanted ?? { top: 0, bottom: rows, left: 0, right: columns };
    kernel.lent(() => {
      const grids = kernel.take(k.GRID_SIZE * placed.length);
      const numbers = kernel.i32(grids, 6 * placed.length).fill(0);
      for (const [i, { at, row, cell }] of placed.entries()) numbers.set([at, 0, row, 0, cell, 0], 6 * i);
      for (const [i, { at, scale, operations }] of code.entries()) {
        const reach = code.slice(i + 1).reduce((sum, { radius }) => sum + radius, 0), halo = Math.ceil(reach * scale);
        for (const [j, o] of operations.entries())
          if (o.row) kernel.i32(at + k.OP_SIZE * j, 14)[12] = o.weights + o.row * point;
        const top = Math.max(0, area.top * scale - halo), left = Math.max(0, area.left * scale - halo);
        const bottom = Math.min(rows * scale, area.bottom * scale + halo);
        const right = Math.min(columns * scale, area.right * scale + halo);
        const isFirst = i === 0, isLast = i === code.length - 1;
        // Row by row: browsers put better code in a function's place only where it is called.
        for (let row = top; row < bottom; row++) {
          if (isFirst) before?.(row);
          kernel.call.stage(at, operations.length, grids, row, row + 1, left, right, scratch);
          if (isLast) after?.(row);
        }
      }
    });
    return placed[output];
  }
}

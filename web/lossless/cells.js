/* Arrays on the grid of a level's cells, in the kernel's memory. */

/** @typedef {import("../program.js").Placed} Placed */

/**
 * An array of zeros, with so many cells before and behind all rows and columns.
 * @param {import("../kernel.js").Kernel} kernel
 * @param {number} rows
 * @param {number} columns
 * @param {number} channels
 * @param {number} [before]
 * @param {number} [behind]
 * @returns {Placed}
 */
export function makeCells(kernel, rows, columns, channels, before = 0, behind = before) {
  const row = (columns + before + behind) * channels, count = (rows + before + behind) * row, at = kernel.take(2 * count);
  kernel.i16(at, count).fill(0);
  return { at: at + 2 * before * (row + channels), row, cell: channels };
}

/**
 * A single row of cells: what `Program.run` reads or writes row by row.
 * @param {import("../kernel.js").Kernel} kernel
 * @param {number} columns
 * @param {number} cell
 * @returns {Placed}
 */
export function makeRow(kernel, columns, cell) {
  const at = kernel.take(2 * columns * cell);
  kernel.i16(at, columns * cell).fill(0);
  return { at, row: 0, cell };
}

/**
 * The 3 x 3 cells around each cell.
 * @param {number} input
 * @param {number} channels
 * @returns {import("../compiler.js").Run[]}
 */
export const around = (input, channels) => [-1, 0, 1].map((row) => ({ input, row, column: -1, values: 3 * channels }));

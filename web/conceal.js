/* Latents of damaged tiles, from what surrounds them. They blend from side to side; texture, whose latents are as
   often negative as positive, cancels out. */

const RING = 4, ALONG = 6; // cells beside a hole, and to both sides along it, that are averaged

/** @typedef {{row: number, column: number, rows: number, columns: number}} Hole in cells */

/**
 * Fill holes in place; one with nothing intact beside it stays grey.
 * @param {Int16Array} yHat of `rows * columns` cells
 * @param {number} rows
 * @param {number} columns
 * @param {number} m latents of a cell
 * @param {Hole[]} holes
 */
export function conceal(yHat, rows, columns, m, holes) {
  const known = new Uint8Array(rows * columns).fill(1);
  for (const hole of holes)
    for (let i = 0; i < hole.rows; i++) {
      const from = (hole.row + i) * columns + hole.column;
      known.fill(0, from, from + hole.columns);
    }
  for (const hole of holes) fill(yHat, known, rows, columns, m, hole);
}

/**
 * @param {Int16Array} yHat
 * @param {Uint8Array} known
 * @param {number} rows
 * @param {number} columns
 * @param {number} m
 * @param {Hole} hole
 */
function fill(yHat, known, rows, columns, m, hole) {
  /** Means of the cells beside the hole, from (row, column) on outwards; null where there is none. */
  const mean = (/** @type {number} */ row, /** @type {number} */ column, /** @type {number} */ down, /** @type {number} */ right) => {
    const sum = new Float32Array(m);
    let count = 0;
    for (let k = 0; k < RING; k++, row += down, column += right) {
      if (row < 0 || column < 0 || row >= rows || column >= columns || !known[row * columns + column]) break;
      const from = (row * columns + column) * m;
      for (let c = 0; c < m; c++) sum[c] += yHat[from + c];
      count++;
    }
    return count ? sum.map((value) => value / count) : null;
  };
  const bottom = hole.row + hole.rows, right = hole.column + hole.columns;
  const along = (/** @type {number} */ count, /** @type {(k: number) => Float32Array | null} */ side) =>
    smooth(Array.from({ length: count }, (_, k) => side(k)), m);
  const above = along(hole.columns, (j) => mean(hole.row - 1, hole.column + j, -1, 0));
  const below = along(hole.columns, (j) => mean(bottom, hole.column + j, 1, 0));
  const before = along(hole.rows, (i) => mean(hole.row + i, hole.column - 1, 0, -1));
  const behind = along(hole.rows, (i) => mean(hole.row + i, right, 0, 1));
  const cell = new Float32Array(m);
  for (let i = 0; i < hole.rows; i++)
    for (let j = 0; j < hole.columns; j++) {
      const sides = /** @type {[Float32Array | null, number][]} */ ([
        ...[[above[j], i + 1], [below[j], hole.rows - i]],
        ...[[before[i], j + 1], [behind[i], hole.columns - j]],
      ]);
      let total = 0;
      cell.fill(0);
      for (const [values, distance] of sides) {
        if (!values) continue;
        total += 1 / distance;
        for (let c = 0; c < m; c++) cell[c] += values[c] / distance;
      }
      const to = ((hole.row + i) * columns + hole.column + j) * m;
      for (let c = 0; c < m; c++) yHat[to + c] = total ? Math.round(cell[c] / total) : 0;
    }
}

/**
 * Means along a side, so that its cells leave no stripes behind them.
 * @param {(Float32Array | null)[]} side
 * @param {number} m
 */
function smooth(side, m) {
  return side.map((own, k) => {
    if (!own) return null;
    const near = side.slice(Math.max(0, k - ALONG), k + ALONG + 1).filter((values) => values !== null);
    const sum = new Float32Array(m);
    for (const values of near) for (let c = 0; c < m; c++) sum[c] += values[c];
    return sum.map((value) => value / near.length);
  });
}

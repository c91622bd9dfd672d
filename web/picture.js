import { conceal } from "./conceal.js";
import { readFile } from "./container.js";
import { RdaeError } from "./errors.js";
import { repaired } from "./repair.js";
import { halo } from "./weights.js";

/* A whole picture: tiles, then the synthesis in windows, by whatever does the work. */

const WINDOW = { rows: 16, columns: 128 }; // cells

/**
 * @typedef {object} Workers
 * @property {number} count how many work at a time
 * @property {(jobs: number) => void} expect that so many are given at a time
 * @property {(job: import("./model.js").TileJob) => Promise<Int16Array>} tile
 * @property {(job: import("./model.js").WindowJob) => Promise<Uint8ClampedArray>} window
 *
 * @typedef {object} Picture
 * @property {number} width
 * @property {number} height
 * @property {Uint8ClampedArray} data RGBA, as of ImageData
 * @property {"srgb"} colorSpace of ImageData; what the numbers mean says `metadata.icc` where there is one
 * @property {import("./container.js").Header} header
 * @property {import("./container.js").File["metadata"]} metadata
 * @property {import("./container.js").File["chunks"]} chunks
 *
 * @typedef {object} Damage a broken part
 * @property {string} part "tile", "alpha", "icc", "exif", "xmp", "chunk" (one whose meaning is lost) or "bytes" (that are too many)
 * @property {string} message
 * @property {{index: number, x: number, y: number, width: number, height: number}} [tile] in pixels
 */

/** What is wrong with a part of a file, and not with the decoder. @param {unknown} error */
const isDamage = (error) => error instanceof RdaeError && ["corrupt", "truncated"].includes(error.code);

/**
 * @param {Uint8Array} bytes
 * @param {(file: import("./container.js").File) => Promise<{weights: import("./weights.js").Weights, workers: Workers}>} findModel
 * @param {{maxPixels?: number, damage?: Damage[]}} [options] damage: filled with what is broken, where there is something
 *   to show all the same; without it, that is an error
 * @returns {Promise<Picture>}
 */
export async function decodePicture(bytes, findModel, { maxPixels, damage } = {}) {
  const file = readFile(damage ? repaired(bytes, damage, maxPixels) : bytes, maxPixels), { header, tiles, alpha, metadata } = file;
  const { weights, workers } = await findModel(file);
  const { point, canonical, width, height } = header, grey = header.grey || header.neutral, m = weights.spec.latent_channels;
  const rows = Math.ceil(height / 16), columns = Math.ceil(width / 16);
  const high = Math.min(WINDOW.rows, Math.ceil(rows / workers.count)), jobs = [];
  for (let top = 0; top < rows; top += high)
    for (let left = 0; left < columns; left += WINDOW.columns) jobs.push({ top, left });
  workers.expect(jobs.length);
  const yHat = new Int16Array(rows * columns * m);
  /** @type {import("./container.js").Tile[]} */
  const holes = [];
  await Promise.all(
    tiles.map(async (tile) => {
      const { index, z, y, check } = tile;
      const job = { point, canonical, index, rows: tile.rows, columns: tile.columns, z, y, check };
      const part = await workers.tile(job).catch((error) => {
        if (!damage || !isDamage(error) || holes.length + 1 === tiles.length) throw error; // nothing would be left
        holes.push(tile);
        const [x, top] = [16 * tile.column, 16 * tile.row];
        const size = { width: Math.min(16 * tile.columns, width - x), height: Math.min(16 * tile.rows, height - top) };
        if (!damage.some((one) => one.tile?.index === index))
          damage.push({ part: "tile", message: error.message, tile: { index, x, y: top, ...size } });
      });
      if (!part) return;
      for (let i = 0, size = tile.columns * m; i < tile.rows; i++)
        yHat.set(part.subarray(i * size, (i + 1) * size), ((tile.row + i) * columns + tile.column) * m);
    }),
  );

  conceal(yHat, rows, columns, m, holes);

  const data = new Uint8ClampedArray(4 * width * height), reach = halo(weights.spec.synthesis);
  await Promise.all(
    jobs.map(async ({ top, left }) => {
      const bottom = Math.min(top + high, rows), right = Math.min(left + WINDOW.columns, columns);
      const above = Math.max(0, top - reach), beside = Math.max(0, left - reach);
      const size = { rows: Math.min(rows, bottom + reach) - above, columns: Math.min(columns, right + reach) - beside };
      const part = new Int16Array(size.rows * size.columns * m);
      for (let i = 0; i < size.rows; i++) {
        const from = ((above + i) * columns + beside) * m;
        part.set(yHat.subarray(from, from + size.columns * m), i * size.columns * m);
      }
      const wanted = { top: top - above, bottom: bottom - above, left: left - beside, right: right - beside };
      const pixels = await workers.window({ point, y_hat: part, ...size, wanted, grey });
      const across = Math.min(16 * right, width) - 16 * left, stride = 64 * (right - left);
      for (let row = 16 * top, from = 0; row < Math.min(16 * bottom, height); row++, from += stride)
        data.set(pixels.subarray(from, from + 4 * across), 4 * (row * width + 16 * left));
    }),
  );
  if (alpha) for (let i = 0; i < alpha.length; i++) data[4 * i + 3] = alpha[i];
  return { width, height, data, colorSpace: "srgb", header, metadata, chunks: file.chunks };
}

/**
 * Refuse a file of another model.
 * @param {{modelId: number, fingerprint: string}} header
 * @param {{id: number, fingerprint: string}[]} models that are there
 */
export function modelOf(header, models) {
  const found = models.findIndex(({ id, fingerprint }) => id === header.modelId && fingerprint === header.fingerprint);
  const name = `model ${header.modelId} (${header.fingerprint})`;
  if (found < 0) throw new RdaeError("unknown-model", `the file needs ${name}, which is not here`);
  return found;
}

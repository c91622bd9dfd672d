import { conceal } from "./conceal.js";
import { placeOf, readFile } from "./container.js";
import { RdaeError } from "./errors.js";
import { readDamaged } from "./repair.js";
import { halo, Weights } from "./weights.js";

/* A whole picture: tiles, then the synthesis in windows, by whatever does the work. Of a lossless one the tiles are all. */

const WINDOW = { rows: 16, columns: 128 }; // cells
const GREY = 128; // of tiles that are lost, as in Python

/**
 * @typedef {object} Workers
 * @property {number} count how many work at a time
 * @property {(jobs: number) => void} expect that so many are given at a time
 * @property {(job: import("./model.js").TileJob) => Promise<Int16Array>} tile
 * @property {(job: import("./model.js").WindowJob) => Promise<Uint8ClampedArray>} window
 * @property {(job: import("./lossless/model.js").PixelsJob) => Promise<Uint8ClampedArray>} pixels of a lossless tile
 *
 * @typedef {object} Picture
 * @property {number} width
 * @property {number} height
 * @property {ImageData["data"]} data RGBA
 * @property {"srgb"} colorSpace of ImageData; what the numbers mean says `metadata.icc` where there is one
 * @property {import("./container.js").Header} header
 * @property {import("./container.js").File["metadata"]} metadata
 * @property {import("./container.js").File["chunks"]} chunks
 * @property {number | null} maxError how far a sample may be from the original; 0: it is exact; null: anywhere
 * @property {Record<string, number>} methods of an exact file: how many tiles are coded in which way
 *
 * @typedef {{modelId: number, fingerprint: string, lossless: boolean}} Wanted a model
 *
 * @typedef {object} Damage a broken part
 * @property {string} part "tile", "alpha", "icc", "exif", "xmp", "chunk" (one whose meaning is lost) or "bytes" (that are too many)
 * @property {string} message
 * @property {{index: number, x: number, y: number, width: number, height: number}} [tile] in pixels
 * @property {"grey" | "neighbours" | "lossy" | "exact"} [filling] what stands in the tile's place; "exact": all of it, since only the
 *   lossy picture is damaged there
 */

/** What stands where a tile of the lossy picture is lost. */
const CONCEALED = "neighbours";

/** What is wrong with a part of a file, and not with the decoder. @param {unknown} error */
const isDamage = (error) => error instanceof RdaeError && ["corrupt", "truncated"].includes(error.code);

/**
 * @param {Uint8Array} bytes
 * @param {(wanted: Wanted) => Promise<{weights: {}, workers: Workers}>} findModel
 * @param {{maxPixels?: number, damage?: Damage[]}} [options] damage: filled with what is broken, where there is something
 *   to show all the same; without it, that is an error
 * @returns {Promise<Picture>}
 */
export async function decodePicture(bytes, findModel, { maxPixels, damage } = {}) {
  const file = damage ? readDamaged(bytes, damage, maxPixels) : readFile(bytes, maxPixels), { header, alpha, metadata } = file;
  const { rest } = file, { width, height, lossless, point } = header;
  const [{ weights, workers }, over] = await Promise.all([findModel(header), rest ? findModel(rest) : null]);
  let data = weights instanceof Weights ? await synthesised(file, weights, workers, damage) : await exact(file, workers, damage);
  if (over) data = await exact(file, over.workers, damage, data);
  if (alpha) for (let i = 0; i < alpha.length; i++) data[4 * i + 3] = alpha[i];
  const maxError = lossless ? point : (rest?.point ?? null);
  return { width, height, data, colorSpace: "srgb", header, metadata, chunks: file.chunks, maxError, methods: methodsOf(file) };
}

/**
 * How many tiles of an exact file are coded in which way.
 * @param {import("./container.js").File} file
 * @returns {Record<string, number>}
 */
function methodsOf({ header, tiles, rest, exact }) {
  const given = header.lossless ? tiles : rest ? exact : [], webp = given.filter(({ y }) => y[0] === 1).length;
  return given.length ? { network: given.length - webp, WebP: webp } : {};
}

/**
 * What of each tile is decoded, undefined for those that are damaged if that may be.
 * @template T
 * @param {import("./container.js").Header} header
 * @param {import("./container.js").Tile[]} tiles
 * @param {(tile: import("./container.js").Tile) => Promise<T>} decode
 * @param {Damage[] | undefined} damage is given what is broken
 * @param {Damage["filling"]} filling
 * @param {boolean} isMore something is left where all of them are damaged
 */
async function decodedTiles(header, tiles, decode, damage, filling, isMore) {
  let lost = 0;
  return Promise.all(
    tiles.map((tile) =>
      decode(tile).catch((error) => {
        const isAll = ++lost === tiles.length && !isMore; // nothing would be left
        if (!damage || !isDamage(error) || isAll) throw error;
        const { index } = tile;
        if (!damage.some((one) => one.tile?.index === index))
          damage.push({ part: "tile", message: error.message, tile: { index, ...placeOf(tile, header) }, filling });
      }),
    ),
  );
}

/**
 * The pixels of a lossless file, RGBA, or of one that makes a lossy picture exact.
 * @param {import("./container.js").File} file
 * @param {Workers} workers
 * @param {Damage[]} [damage]
 * @param {Picture["data"]} [lossy] that picture, which becomes the result
 */
async function exact(file, workers, damage, lossy) {
  const { header, rest } = file, { width, height, canonical, undivided, alpha } = header, tiles = lossy ? file.exact : file.tiles;
  const data = lossy ?? new Uint8ClampedArray(4 * width * height), colourless = header.grey || header.neutral;
  const maxError = rest?.point ?? header.point;
  workers.expect(tiles.length);
  /** @param {import("./container.js").Tile} tile */
  const decode = async (tile) => {
    const { index, y: body, check } = tile, place = placeOf(tile, header), size = { width: place.width, height: place.height };
    const base = lossy && partOf(lossy, width, place);
    const pixels = await workers.pixels({ canonical, index, ...size, body, check, colourless, maxError, undivided, alpha, base });
    for (let row = 0, line = 4 * size.width; row < size.height; row++)
      data.set(pixels.subarray(row * line, (row + 1) * line), 4 * ((place.y + row) * width + place.x));
    return true;
  };
  const without = new Map(damage?.filter(({ filling }) => filling === CONCEALED).map((one) => [one.tile?.index, one]));
  const hasLossy = !!lossy && without.size < tiles.length;
  const decoded = await decodedTiles(header, tiles, decode, damage, lossy ? "lossy" : "grey", hasLossy);
  decoded.forEach((isExact, tile) => {
    const one = without.get(tile);
    if (isExact && one) one.filling = "exact";
  });
  for (const tile of lossy ? [] : tiles.filter((_, i) => !decoded[i])) {
    const { x, y, width: across, height: down } = placeOf(tile, header);
    for (let row = y; row < y + down; row++)
      for (let at = 4 * (row * width + x), end = at + 4 * across; at < end; at++) data[at] = at % 4 === 3 ? 255 : GREY;
  }
  return data;
}

/**
 * Red, green and blue of a rectangle.
 * @param {Uint8ClampedArray} rgba
 * @param {number} stride pixels of a row
 * @param {{x: number, y: number, width: number, height: number}} place
 */
function partOf(rgba, stride, { x, y, width, height }) {
  const part = new Uint8Array(3 * width * height);
  for (let i = 0, to = 0; i < height; i++)
    for (let j = 0, from = 4 * ((y + i) * stride + x); j < width; j++, from += 4) for (let c = 0; c < 3; c++) part[to++] = rgba[from + c];
  return part;
}

/**
 * The pixels of a lossy file, RGBA.
 * @param {import("./container.js").File} file
 * @param {Weights} weights
 * @param {Workers} workers
 * @param {Damage[]} [damage]
 */
async function synthesised(file, weights, workers, damage) {
  const { header, tiles } = file, { point, canonical, width, height } = header;
  const grey = header.grey || header.neutral, m = weights.spec.latent_channels;
  const rows = Math.ceil(height / 16), columns = Math.ceil(width / 16);
  const high = Math.min(WINDOW.rows, Math.ceil(rows / workers.count));
  /** @type {{top: number, left: number}[]} */
  const jobs = [];
  for (let top = 0; top < rows; top += high)
    for (let left = 0; left < columns; left += WINDOW.columns) jobs.push({ top, left });
  workers.expect(jobs.length);
  const yHat = new Int16Array(rows * columns * m);
  /** @param {import("./container.js").Tile} tile */
  const decode = async (tile) => {
    const { index, z, y, check } = tile;
    const part = await workers.tile({ point, canonical, index, rows: tile.rows, columns: tile.columns, z, y, check });
    for (let i = 0, size = tile.columns * m; i < tile.rows; i++)
      yHat.set(part.subarray(i * size, (i + 1) * size), ((tile.row + i) * columns + tile.column) * m);
    return true;
  };
  const decoded = await decodedTiles(header, tiles, decode, damage, CONCEALED, !!file.rest);
  conceal(yHat, rows, columns, m, tiles.filter((_, i) => !decoded[i]));

  const data = new Uint8ClampedArray(4 * width * height), reach = halo(weights.spec.synthesis);
  /** @param {{top: number, left: number}} place */
  const synthesise = async ({ top, left }) => {
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
  };
  // One more at a time than there are workers, so that none waits, and the copies of latents stay few.
  const lines = Array.from({ length: workers.count + 1 }, async () => {
    for (let job = jobs.shift(); job; job = jobs.shift()) await synthesise(job);
  });
  await Promise.all(lines);
  return data;
}

/**
 * Refuse a file of another model.
 * @param {Wanted} wanted
 * @param {{id: number, fingerprint: string, lossless: boolean}[]} models that are there
 */
export function modelOf(wanted, models) {
  const found = models.findIndex(
    ({ id, fingerprint, lossless }) => id === wanted.modelId && fingerprint === wanted.fingerprint && lossless === wanted.lossless,
  );
  const name = `model ${wanted.modelId} (${wanted.fingerprint})`;
  if (found < 0) throw new RdaeError("unknown-model", `the file needs ${name}, which is not here`);
  return found;
}

/* What a file is and where its bits went, as `rdae info` has it. */

/** Quality points of qualities 0, 10, ..., 100: rdae/scales.py. */
const POINTS = [0, 16, 32, 47, 60, 75, 94, 115, 146, 205, 255];

/** The quality of a quality point, to tenths. @param {number} point */
export function qualityOf(point) {
  const step = Math.min(POINTS.filter((start) => start <= point).length - 1, POINTS.length - 2);
  return Math.round(100 * (step + (point - POINTS[step]) / (POINTS[step + 1] - POINTS[step]))) / 10;
}

/** How exact a picture is, as people say it. @param {import("../picture.js").Picture} picture */
export function exactness({ header: { lossless, point }, maxError }) {
  const quality = `${qualityOf(point)} (point ${point})`;
  if (maxError === null) return quality;
  const exact = maxError ? `±${maxError}, no sample is further from the original` : "lossless";
  return lossless ? exact : `${exact}, over a lossy picture of quality ${quality}`;
}

/** @typedef {{name: string, bytes: number}} Part */

/**
 * Bytes of the parts of a file; they add up to all of it.
 * @param {number} size of the file
 * @param {{type: string, size: number}[]} chunks
 * @returns {Part[]}
 */
export function partsOf(size, chunks) {
  const bytes = { latent: 0, "hyper-latent": 0, pixels: 0, alpha: 0, metadata: 0 };
  for (const chunk of chunks) {
    const stored = bodySize(chunk.size);
    if (chunk.type === "Z") bytes["hyper-latent"] += stored;
    else if (chunk.type === "C") bytes.latent += stored;
    else if (chunk.type === "Y") bytes.latent += stored - 4; // behind it stands a checksum
    else if (chunk.type === "R") bytes.pixels += stored - 4;
    else if (chunk.type === "A") bytes.alpha += stored - 4;
    else if ("iex".includes(chunk.type)) bytes.metadata += stored - 4;
  }
  const parts = Object.entries(bytes).map(([name, count]) => ({ name, bytes: count }));
  const rest = size - parts.reduce((sum, part) => sum + part.bytes, 0);
  return [...parts.slice(0, 3), { name: "header", bytes: rest }, ...parts.slice(3)];
}

/** Bytes of a chunk without its type and length. @param {number} size */
function bodySize(size) {
  for (let digits = 1; ; digits++) {
    const body = size - 1 - digits;
    if (body < 128 ** digits) return body;
  }
}

/** A number with its thousands set apart. @param {number} value */
export const grouped = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** A number of bytes, k = 1000. @param {number} count */
export function humanBytes(count) {
  if (count < 1000) return `${count} B`;
  const step = Math.min(3, Math.floor(Math.log10(count * 1.00005) / 3));
  return `${(count / 1000 ** step).toFixed(1)} ${["", "kB", "MB", "GB"][step]}`;
}

/** How a picture's channels are called. @param {{grey: boolean, alpha: boolean}} header */
export const modeName = ({ grey, alpha }) => (grey ? "L" : "RGB") + (alpha ? "A" : "");

/** The ratio of two sizes. @param {number} before @param {number} after */
export function ratio(before, after) {
  const value = before / Math.max(1, after);
  return `${value < 100 ? value.toFixed(1) : Math.round(value)}:1`;
}

/** What stands in the place of a damaged tile. */
const FILLINGS = [
  ...[["grey", "made grey"], ["neighbours", "filled from the neighbours"]],
  ...[["lossy", "not exact"], ["exact", "exact all the same"]],
];

/**
 * One line that says what is broken.
 * @param {import("../picture.js").Damage[]} damage
 */
export function damageLine(damage) {
  const lines = [];
  for (const [filling, words] of FILLINGS) {
    const tiles = damage.flatMap((one) => (one.tile && one.filling === filling ? [one.tile.index] : []));
    const some = `${tiles.slice(0, 6).join(", ")}${tiles.length > 6 ? " and others" : ""}`;
    if (tiles.length) lines.push(`${tiles.length > 1 ? "tiles" : "tile"} ${some} damaged, ${words}`);
  }
  /** @type {Record<string, string>} */
  const others = {
    alpha: "alpha damaged, shown opaque",
    icc: "colour profile damaged, left out",
    exif: "EXIF damaged, left out",
    xmp: "XMP damaged, left out",
    chunk: "a chunk before the first tile damaged",
    bytes: "bytes behind the end",
  };
  for (const { part } of damage) if (others[part]) lines.push(others[part]);
  return [...new Set(lines)].join("; ");
}

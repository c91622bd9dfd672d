import { crc32 } from "../bytes.js";
import { stored } from "../store.js";

/* PNG files of exactly these pixels, which a canvas would not keep where there is alpha, with their metadata. */

/** @typedef {import("../picture.js").Picture} Picture */

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10);
const EXIF_PREFIX = Uint8Array.of(0x45, 0x78, 0x69, 0x66, 0, 0); // of JPEG; PNG has none
const PAETH = 4;
const latin = (/** @type {string} */ text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

/**
 * @param {Picture} picture
 * @param {{compress?: boolean}} [options]
 * @returns {Promise<Blob>}
 */
export async function png({ width, height, data, header, metadata }, { compress = true } = {}) {
  const pack = compress && "CompressionStream" in globalThis ? deflated : async (/** @type {Uint8Array} */ bytes) => stored(bytes);
  const size = new Uint8Array(13), view = new DataView(size.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  size.set([8, (header.grey ? 0 : 2) + (header.alpha ? 4 : 0)], 8);
  const { icc, exif, xmp } = metadata, pieces = [SIGNATURE, ...chunk("IHDR", size)];
  if (icc) pieces.push(...chunk("iCCP", latin("ICC profile\0\0"), await pack(icc)));
  if (exif) pieces.push(...chunk("eXIf", exif.subarray(EXIF_PREFIX.every((byte, i) => exif[i] === byte) ? EXIF_PREFIX.length : 0)));
  if (xmp) pieces.push(...chunk("iTXt", latin("XML:com.adobe.xmp\0\0\0\0\0"), xmp));
  pieces.push(...chunk("IDAT", await pack(rows(width, height, data, header, compress))), ...chunk("IEND"));
  return new Blob(/** @type {BlobPart[]} */ (pieces), { type: "image/png" });
}

/** @param {string} type @param {Uint8Array[]} body */
function chunk(type, ...body) {
  const length = new Uint8Array(4), check = new Uint8Array(4), name = latin(type);
  new DataView(length.buffer).setUint32(0, body.reduce((sum, piece) => sum + piece.length, 0));
  new DataView(check.buffer).setUint32(0, crc32(name, ...body));
  return [length, name, ...body, check];
}

/**
 * The filtered rows: each byte less what Paeth foretells of it, or as it is.
 * @param {number} width
 * @param {number} height
 * @param {Uint8ClampedArray} data
 * @param {{grey: boolean, alpha: boolean}} kind
 * @param {boolean} isFiltered
 */
function rows(width, height, data, { grey, alpha }, isFiltered) {
  const taken = grey ? (alpha ? [0, 3] : [0]) : alpha ? [0, 1, 2, 3] : [0, 1, 2], n = taken.length;
  const result = new Uint8Array(height * (1 + n * width));
  let above = new Uint8Array(n * (width + 1)), row = new Uint8Array(n * (width + 1)); // a pixel of zeros in front
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0, at = n, from = 4 * y * width; x < width; x++, from += 4) for (const k of taken) row[at++] = data[from + k];
    result[to++] = isFiltered ? PAETH : 0;
    if (!isFiltered) {
      result.set(row.subarray(n), to);
      to += n * width;
      continue;
    }
    for (let i = n; i < row.length; i++) {
      const a = row[i - n], b = above[i], c = above[i - n];
      const pa = Math.abs(b - c), pb = Math.abs(a - c), pc = Math.abs(a + b - 2 * c);
      result[to++] = row[i] - (pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
    }
    [above, row] = [row, above];
  }
  return result;
}

/** @param {Uint8Array} bytes */
async function deflated(bytes) {
  const stream = new Blob([/** @type {BlobPart} */ (bytes)]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

import { require } from "../errors.js";
import { Bits, Code, readCode } from "./prefix_codes.js";
import { added, addGreen, addPrediction, addTransferred, paint } from "./vp8l_transforms.js";

/* Lossless WebP, of a tile's method 1, of alpha and of undivided pictures (FORMAT.md, sections 14.2, 4.2 and 14.11): RFC 9649, section 3. A browser's own decoder may
   premultiply or change colours, and Node.js has none. Pixels are 32-bit numbers, alpha, red, green and blue from the top. */

const SIGNATURE = 0x2f;
const LITERALS = 256, LENGTHS = 24, DISTANCES = 40, MOST_CACHE_BITS = 11;
const NEAR = nearPlaces();
const [PREDICTOR, TRANSFER, GREEN, PALETTE] = Array(4).keys();

/** @typedef {{pixels: Uint32Array, width: number, height: number}} Plane */

/** Places that have short codes for distances, the nearest first; all come before the pixel itself. */
function nearPlaces() {
  const places = [];
  for (let y = 0; y < 8; y++) for (let x = y ? -7 : 1; x <= 8; x++) places.push({ x, y });
  const size = (/** @type {{x: number, y: number}} */ { x, y }) => x * x + y * y;
  return places.sort((a, b) => size(a) - size(b) || Math.abs(a.x) - Math.abs(b.x) || b.x - a.x);
}

/**
 * Red, green and blue of a bitstream without a container, and alpha if it has to have it.
 * @param {Uint8Array} stream
 * @param {number} width that it must have
 * @param {number} height
 * @param {boolean} [hasAlpha]
 */
export function decodeVp8l(stream, width, height, hasAlpha = false) {
  const bits = new Bits(stream);
  require(stream[0] === SIGNATURE, "WebP: another signature");
  bits.take(8);
  const sizes = [bits.take(14) + 1, bits.take(14) + 1];
  require(sizes[0] === width && sizes[1] === height, "WebP: another size");
  require(bits.take(4) === Number(hasAlpha), "WebP: alpha where there is none, none where there is, or an unknown version");
  const { pixels } = readPicture(bits, width, height), samples = new Uint8Array((hasAlpha ? 4 : 3) * pixels.length);
  for (let i = 0, to = 0; i < pixels.length; i++) {
    samples[to++] = pixels[i] >> 16;
    samples[to++] = pixels[i] >> 8;
    samples[to++] = pixels[i];
    if (hasAlpha) samples[to++] = pixels[i] >> 24;
  }
  return samples;
}

/**
 * Transforms and what they were applied to.
 * @param {Bits} bits
 * @param {number} width
 * @param {number} height
 * @returns {Plane}
 */
function readPicture(bits, width, height) {
  /** @type {((plane: Plane) => Plane | void)[]} */
  const inverses = [];
  const seen = new Set();
  let across = width; // packed pixels of a row
  while (bits.take(1)) {
    const kind = bits.take(2), from = across;
    require(!seen.has(kind), "WebP: a transform for the second time");
    seen.add(kind);
    if (kind === GREEN) inverses.push(addGreen);
    else if (kind === PALETTE) {
      const size = bits.take(8) + 1, { pixels: colours } = readPlane(bits, size, 1);
      for (let i = 1; i < size; i++) colours[i] = added(colours[i], colours[i - 1]);
      const packing = size <= 2 ? 3 : size <= 4 ? 2 : size <= 16 ? 1 : 0;
      across = (across + (1 << packing) - 1) >> packing;
      inverses.push((plane) => paint(plane, colours, packing, from));
    } else {
      const shift = bits.take(3) + 2, blocks = readPlane(bits, divided(across, shift), divided(height, shift));
      if (kind === PREDICTOR) inverses.push((plane) => addPrediction(plane, blocks, shift));
      else if (kind === TRANSFER) inverses.push((plane) => addTransferred(plane, blocks, shift));
    }
  }
  let plane = readPlane(bits, across, height, true);
  for (const inverse of inverses.reverse()) plane = inverse(plane) ?? plane;
  return plane;
}

/** The group of codes that a part of the picture has. @param {number} part */
const groupOf = (part) => (part >> 8) & 0xffff;

/** Blocks of 2^shift that a side takes. @param {number} side @param {number} shift */
const divided = (side, shift) => (side + (1 << shift) - 1) >> shift;

/**
 * An entropy-coded image.
 * @param {Bits} bits
 * @param {number} width
 * @param {number} height
 * @param {boolean} [isMain] it may have groups of codes for its parts
 * @returns {Plane}
 */
function readPlane(bits, width, height, isMain = false) {
  const hasCache = bits.take(1), cacheBits = hasCache ? bits.take(4) : 0;
  require(cacheBits >= hasCache && cacheBits <= MOST_CACHE_BITS, "WebP: a cache of an illegal size");
  const cache = new Uint32Array(cacheBits ? 1 << cacheBits : 0);
  let parts = null, shift = 0, used = new Set([0]);
  if (isMain && bits.take(1)) {
    shift = bits.take(3) + 2;
    parts = readPlane(bits, divided(width, shift), divided(height, shift));
    used = new Set(parts.pixels.map(groupOf));
  }
  const alphabets = [LITERALS + LENGTHS + cache.length, LITERALS, LITERALS, LITERALS, DISTANCES];
  /** Up to 65536, of which a picture uses as many as it has parts: those are kept. @type {Map<number, Code[]>} */
  const groups = new Map();
  const last = [...used].reduce((most, group) => Math.max(most, group), 0); // more than a call may have arguments
  for (let group = 0; group <= last; group++) {
    const codes = alphabets.map((size) => readCode(bits, size));
    if (used.has(group)) groups.set(group, codes);
  }
  const total = width * height, pixels = new Uint32Array(total), mask = (1 << shift) - 1;
  const codesOf = (/** @type {number} */ group) => /** @type {Code[]} */ (groups.get(group));
  let [green, red, blue, alpha, distances] = codesOf(parts ? groupOf(parts.pixels[0]) : 0);
  const keep = (/** @type {number} */ pixel) => {
    if (cacheBits) cache[Math.imul(0x1e35a7bd, pixel) >>> (32 - cacheBits)] = pixel;
  };
  for (let at = 0, isNew = true; at < total; ) {
    if (parts && (isNew || ((at % width) & mask) === 0)) {
      const part = parts.pixels[((at / width) >> shift) * parts.width + ((at % width) >> shift)];
      [green, red, blue, alpha, distances] = codesOf(groupOf(part));
    }
    isNew = false;
    const symbol = green.read(bits);
    if (symbol < LITERALS) {
      const redder = red.read(bits), bluer = blue.read(bits);
      keep((pixels[at++] = (alpha.read(bits) << 24) | (redder << 16) | (symbol << 8) | bluer));
    } else if (symbol < LITERALS + LENGTHS) {
      const length = extended(bits, symbol - LITERALS), from = at - distanceOf(extended(bits, distances.read(bits)), width);
      require(from >= 0 && at + length <= total, "WebP: a copy from or to beyond the picture");
      for (let i = 0; i < length; i++) keep((pixels[at++] = pixels[from + i]));
      isNew = true; // anywhere
    } else keep((pixels[at++] = cache[symbol - LITERALS - LENGTHS]));
  }
  return { pixels, width, height };
}

/** A length or a distance, by its prefix. @param {Bits} bits @param {number} prefix */
function extended(bits, prefix) {
  if (prefix < 4) return prefix + 1;
  const more = (prefix - 2) >> 1;
  return ((2 + (prefix & 1)) << more) + bits.take(more) + 1;
}

/** @param {number} code @param {number} width */
function distanceOf(code, width) {
  if (code > NEAR.length) return code - NEAR.length;
  const { x, y } = NEAR[code - 1];
  return Math.max(1, x + y * width);
}

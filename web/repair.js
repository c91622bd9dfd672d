import { crc32, Reader } from "./bytes.js";
import { checkLength, checkStream, cut, hasAlphaChunk, layers, put, readFile, readHeader, readLeading } from "./container.js";
import { RdaeError } from "./errors.js";
import { stored } from "./store.js";

/* A file whose framing is whole, made of a damaged one: chunks that cannot be found are replaced by empty ones, whose
   tiles then fail their check; broken metadata is left out, and a broken alpha plane becomes an opaque one. */

const MOST_TRIES = 100_000; // chunks that are looked at in the search for those behind a broken one
const BROKEN = ["corrupt", "truncated", "unsupported-feature"]; // the last also where damage makes up a type
const MOST_EXTRA = 64; // chunks before the tiles, but A and L
const NAMES = /** @type {Record<string, string>} */ ({ A: "alpha", i: "icc", e: "exif", x: "xmp" });

/**
 * @param {Uint8Array} bytes
 * @param {import("./picture.js").Damage[]} damage is given what is broken
 * @param {number} [maxPixels]
 * @returns {import("./container.js").File}
 */
export function readDamaged(bytes, damage, maxPixels) {
  try {
    return readFile(bytes, maxPixels);
  } catch (error) {
    if (!isBroken(error)) throw error;
    const header = readHeader(bytes, maxPixels); // one that is damaged tells too little
    const pieces = parts(bytes, header, error, damage);
    const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    pieces.reduce((at, piece) => (whole.set(piece, at), at + piece.length), 0);
    return readFile(whole, maxPixels);
  }
}

/** Whether it is the file that is wrong. @param {unknown} error @returns {error is RdaeError} */
const isBroken = (error) => error instanceof RdaeError && BROKEN.includes(error.code);

/** Whether nothing is found to be broken. @param {() => void} check */
function passes(check) {
  try {
    check();
    return true;
  } catch (error) {
    if (!isBroken(error)) throw error;
    return false;
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {import("./container.js").Header} header
 * @param {RdaeError} error what is wrong
 * @param {import("./picture.js").Damage[]} damage
 * @returns {Uint8Array[]} the pieces of a whole file
 */
function parts(bytes, header, error, damage) {
  const places = cut(header), tiles = places.length;
  const typesOf = (/** @type {boolean} */ hasRest) => layers(tiles, header.lossless, hasRest).map(([type]) => type);
  let types = typesOf(false);
  const front = [], found = /** @type {Map<number, Uint8Array>} */ (new Map());
  const names = new Set(), before = damage.length;
  let at = header.size, next = 0, begin = at;
  while (next < types.length) {
    const chunk = chunkAt(bytes, at);
    if (!chunk) break;
    const type = String.fromCharCode(chunk[0]);
    if (type === types[next]) found.set(next++, chunk);
    else if (next === 0 && (header.lossless ? /[a-zA]/ : /[a-zAL]/).test(type)) {
      const fine = isSound(chunk, header);
      if (fine && type === "L") types = typesOf(true);
      if (fine && !names.has(type) && front.length < MOST_EXTRA) front.push(chunk), names.add(type);
      else if (!fine) damage.push({ part: NAMES[type] ?? "chunk", message: `chunk ${type} is damaged` });
    } else break;
    begin = at;
    at += chunk.length;
  }
  if (next === types.length && at < bytes.length) damage.push({ part: "bytes", message: "there are bytes behind the last chunk" });
  // The chunk before may have a wrong length, too.
  if (next < types.length) for (const [place, chunk] of lastChunks(bytes, begin + 1, types, found.size)) found.set(place, chunk);
  if (!found.size && !header.lossless) // what broke may be an L
    for (const [place, chunk] of lastChunks(bytes, begin + 1, typesOf(true), 0)) if (place < types.length) found.set(place, chunk);
  if (hasAlphaChunk(header) && !names.has("A")) {
    if (!damage.slice(before).some(({ part }) => part === "alpha")) damage.push({ part: "alpha", message: error.message });
    front.push(opaque(header));
  }
  let lost = 0, replaced = 0;
  for (let tile = 0; tile < tiles; tile++) {
    const own = types.flatMap((_, place) => (place % tiles === tile ? [place] : []));
    const isRest = (/** @type {number} */ place) => !header.lossless && types[place] === "R";
    for (const together of [own.filter((place) => !isRest(place)), own.filter(isRest)]) {
      if (!together.length || areSound(together.map((place) => found.get(place)), together.map((place) => types[place]), header, places[tile])) continue;
      for (const place of together) found.set(place, empty(types[place])), replaced++;
      if (!isRest(together[0])) lost++;
    }
  }
  if (lost === tiles && !names.has("L")) throw error; // nothing would be left
  if (!replaced && damage.length === before) damage.push({ part: "chunk", message: error.message }); // before the tiles
  return [bytes.subarray(0, header.size), ...front, ...types.map((_, place) => /** @type {Uint8Array} */ (found.get(place)))];
}

/**
 * Whether a tile's chunks are there, and can be its streams.
 * @param {(Uint8Array | undefined)[]} chunks
 * @param {string[]} types
 * @param {import("./container.js").Header} header
 * @param {import("./container.js").Tile} tile without them
 */
function areSound(chunks, types, header, tile) {
  if (!chunks.every((chunk) => chunk)) return false;
  return passes(() => {
    chunks.forEach((chunk, i) => {
      const body = bodyOf(/** @type {Uint8Array} */ (chunk));
      checkLength(types[i], body.length, header, tile);
      put(tile, types[i], body);
    });
    if (types[0] !== "R") checkStream(tile.z), checkStream(tile.y); // what is in an R is judged with the tile
  });
}

/** The chunk that begins at a place, null if none does. @param {Uint8Array} bytes @param {number} at */
function chunkAt(bytes, at) {
  const reader = new Reader(bytes);
  reader.position = at;
  try {
    if (!/[A-Za-z]/.test(String.fromCharCode(reader.byte()))) return null;
    reader.take(reader.varint());
  } catch {
    return null;
  }
  return bytes.subarray(at, reader.position);
}

/** @param {Uint8Array} chunk */
function bodyOf(chunk) {
  const reader = new Reader(chunk);
  reader.byte();
  return reader.take(reader.varint());
}

/** Whether a chunk before the tiles can be read. @param {Uint8Array} chunk @param {import("./container.js").Header} header */
function isSound(chunk, header) {
  const type = String.fromCharCode(chunk[0]), body = bodyOf(chunk);
  if (type === "A" && !hasAlphaChunk(header)) return false;
  return passes(() => {
    checkLength(type, body.length, header, null);
    readLeading([[type, body]], header);
  });
}

/**
 * The last chunks of a file, by place: the longest run of them to its end. Their order is fixed.
 * @param {Uint8Array} bytes
 * @param {number} from
 * @param {string[]} types of all
 * @param {number} known how many there are before
 * @returns {[number, Uint8Array][]}
 */
function lastChunks(bytes, from, types, known) {
  let tries = MOST_TRIES;
  for (let start = from; start < bytes.length && tries > 0; start++) {
    if (!types.includes(String.fromCharCode(bytes[start]))) continue;
    const run = [];
    let at = start;
    for (let chunk; at < bytes.length && run.length < types.length - known && (chunk = chunkAt(bytes, at)); at += chunk.length) run.push(chunk);
    tries -= run.length + 1;
    const first = types.length - run.length;
    if (at === bytes.length && run.every((chunk, k) => types[first + k].charCodeAt(0) === chunk[0]))
      return run.map((chunk, k) => [first + k, chunk]);
  }
  return [];
}

/** A tile's chunk with nothing in it but a checksum. @param {string} type */
function empty(type) {
  const size = type === "Y" ? 4 : type === "R" ? 5 : 0;
  return Uint8Array.of(type.charCodeAt(0), size, ...Array(size).fill(0));
}

/** The chunk of an opaque alpha plane. @param {import("./container.js").Header} header */
function opaque(header) {
  const { width, height, canonical } = header;
  const plane = stored(new Uint8Array(width * height).fill(255)), payload = new Uint8Array(1 + plane.length);
  payload.set(plane, 1); // behind its filter
  const check = crc32(Uint8Array.of(65), canonical, payload), length = [];
  for (let rest = payload.length + 4; ; rest >>>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) break;
  }
  const chunk = new Uint8Array(1 + length.length + payload.length + 4);
  chunk.set([65, ...length]);
  chunk.set(payload, 1 + length.length);
  chunk.set([check, check >>> 8, check >>> 16, check >>> 24].map((byte) => byte & 255), chunk.length - 4);
  return chunk;
}

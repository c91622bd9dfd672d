import { crc32, isColourless, number, Reader } from "./bytes.js";
import { RdaeError, require } from "./errors.js";
import { inflate } from "./inflate.js";
import { decodeVp8l } from "./lossless/vp8l.js";

/* The file up to its streams: FORMAT.md, sections 2 to 5, 10 and 11. */

const MAGIC = [0x93, 0x52, 0x44, 0x41];
export const VERSION = 2; // 1 was never released
const MAX_SIDE = 2 ** 24 - 1;
const MAX_METADATA = 8388608;
const MAX_ERROR = 15; // of a lossless file
const UNDIVIDED = 16; // in its place
const MAX_UNDIVIDED_PIXELS = 33554432;
const MAX_PARAMETERS = 32768; // symbols of a lossless tile that are no pixels
/** Pixels that are decoded unless more are allowed: what fits a page's memory. */
export const MAX_PIXELS = 120_000_000;

/**
 * @typedef {object} Header
 * @property {number} version
 * @property {boolean} grey one channel
 * @property {boolean} neutral three equal channels
 * @property {boolean} alpha
 * @property {boolean} undivided a lossless file of a single tile, whose pixels have any alpha (section 14.11)
 * @property {number} modelId
 * @property {string} fingerprint 8 hexadecimal digits
 * @property {boolean} lossless the tiles are pixels (section 14)
 * @property {number} point quality point, 0 to 255; of a lossless file the largest error of a sample
 * @property {number} width
 * @property {number} height
 * @property {Uint8Array} canonical
 * @property {number} size of the header in bytes
 *
 * @typedef {object} Tile
 * @property {number} index
 * @property {number} row of its first cell
 * @property {number} column
 * @property {number} rows coded cells
 * @property {number} columns
 * @property {Uint8Array} z stream
 * @property {Uint8Array} y stream; of a lossless file the method and the stream of the pixels
 * @property {number} check
 *
 * @typedef {object} Rest what makes a lossy picture exact (section 14.10)
 * @property {number} modelId of the lossless model
 * @property {string} fingerprint
 * @property {true} lossless
 * @property {number} point the largest error of a sample
 *
 * @typedef {object} File
 * @property {Header} header
 * @property {Tile[]} tiles
 * @property {Rest | null} rest
 * @property {Tile[]} exact the same tiles as pixels, if there is a rest
 * @property {Uint8Array | null} alpha `height * width` bytes
 * @property {{icc?: Uint8Array, exif?: Uint8Array, xmp?: Uint8Array}} metadata
 * @property {{type: string, size: number}[]} chunks with their framing, in order
 */

/**
 * @param {Uint8Array} bytes a file, or at least its first 32 bytes
 * @param {number} [maxPixels]
 * @returns {Header}
 */
export function readHeader(bytes, maxPixels = MAX_PIXELS) {
  const begins = MAGIC.every((byte, i) => i >= bytes.length || bytes[i] === byte);
  require(begins, "this is no .rd file", "not-rdae");
  const reader = new Reader(bytes);
  reader.take(4);
  const byte = reader.byte(), version = byte >> 4, flags = byte & 15;
  const known = version === 0 || version === VERSION; // 0 is damage
  require(known, `this decoder reads bitstream version ${VERSION}, not ${version}`, "unsupported-version");
  const modelId = reader.byte(), fingerprint = hex(reader.take(4)), byteOfPoint = reader.byte();
  const width = reader.varint(), height = reader.varint();
  const canonical = bytes.slice(0, reader.position);
  require(number(reader.take(2)) === (crc32(canonical) & 0xffff), "the header is damaged");
  const lossless = flags >= 8, isKnown = version === VERSION && (flags & 5) !== 5 && modelId > 0;
  const undivided = lossless && byteOfPoint === UNDIVIDED, point = undivided ? 0 : byteOfPoint;
  require(isKnown && (!lossless || point <= MAX_ERROR), "the header has an illegal value");
  const legal = width > 0 && height > 0 && width <= MAX_SIDE && height <= MAX_SIDE;
  require(legal && (!undivided || width * height <= MAX_UNDIVIDED_PIXELS), `the header says ${width} x ${height} pixels`);
  const few = width * height <= maxPixels;
  require(few, `${width} x ${height} pixels are more than the ${maxPixels} that are allowed`, "too-large");
  const size = reader.position;
  const kinds = { grey: !!(flags & 1), alpha: !!(flags & 2), neutral: !!(flags & 4), lossless, undivided };
  return { version, ...kinds, modelId, fingerprint, point, width, height, canonical, size };
}

/** @param {Uint8Array} bytes */
function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Tiles of the picture, without their streams.
 * @param {Header} header
 * @returns {Tile[]}
 */
export function cut({ width, height, undivided }) {
  const rows = Math.ceil(height / 16), columns = Math.ceil(width / 16), tiles = [];
  const none = new Uint8Array(0), side = undivided ? Infinity : 64;
  for (let row = 0; row < rows; row += side)
    for (let column = 0; column < columns; column += side) {
      const size = { rows: Math.min(side, rows - row), columns: Math.min(side, columns - column) };
      tiles.push({ index: tiles.length, row, column, ...size, z: none, y: none, check: 0 });
    }
  return tiles;
}

/** Whether alpha stands in a chunk of its own. @param {Header} header */
export const hasAlphaChunk = ({ alpha, undivided }) => alpha && !undivided;

/**
 * The pixels of a tile that the picture has.
 * @param {Tile} tile
 * @param {Header} header
 */
export function placeOf(tile, header) {
  const x = 16 * tile.column, y = 16 * tile.row;
  return { x, y, width: Math.min(16 * tile.columns, header.width - x), height: Math.min(16 * tile.rows, header.height - y) };
}

/**
 * The types of the tiles' chunks in the order in which they stand in the file.
 * @param {number} tiles how many
 * @param {boolean} lossless
 * @param {boolean} hasRest there is a chunk L
 * @returns {[string, number][]} type and tile
 */
export function layers(tiles, lossless, hasRest) {
  const lossy = lossless ? [] : tiles > 1 ? ["Z", "C", "Y"] : ["Z", "Y"], types = lossless || hasRest ? [...lossy, "R"] : lossy;
  return types.flatMap((type) => Array.from({ length: tiles }, (_, tile) => /** @type {[string, number]} */ ([type, tile])));
}

/** @param {number} n */
const deflated = (n) => n + Math.floor(n / 256) + 1024;
/** @param {number} n */
const stream = (n) => 4 * (Math.floor((41 * n) / 32) + 2);

/**
 * Refuse a length that is illegal for its chunk.
 * @param {string} type
 * @param {number} length
 * @param {Header} header
 * @param {Tile | null} tile
 */
export function checkLength(type, length, header, tile) {
  let least = 4, most = Infinity, step = 1;
  if (type === "A") [least, most] = [5, deflated(header.width * header.height) + 5];
  else if (type === "L") least = most = 10;
  else if ("iex".includes(type)) most = deflated(MAX_METADATA) + 4;
  else if (tile && type === "R") {
    const { width: across, height: down } = placeOf(tile, header);
    [least, most] = [5, stream(3 * across * down + MAX_PARAMETERS) + 5];
  } else if (tile && type === "Z") {
    [least, most, step] = [0, stream(4096 * Math.ceil(tile.rows / 4) * Math.ceil(tile.columns / 4)), 4];
  } else if (tile && type === "C") {
    [least, most, step] = [0, 4 * Math.ceil(stream(4096 * tile.rows * tile.columns) / 32), 4];
  } else if (tile) [least, most, step] = [...legalY(header, tile), 4];
  const legal = length >= least && length <= most && length % step === 0;
  require(legal, `chunk ${type} has an illegal length, ${length}`);
}

/**
 * The least and the greatest legal length of Y: of all words of the stream, C has one in eight, rounded up.
 * @param {Header} header
 * @param {Tile} tile whose C is there
 * @returns {[number, number]}
 */
function legalY({ width, height }, tile) {
  if (width <= 1024 && height <= 1024) return [4, stream(4096 * tile.rows * tile.columns) + 4];
  const words = tile.y.length / 4; // of C
  const most = Math.min(28 * words, stream(4096 * tile.rows * tile.columns));
  return words ? [4 + 28 * (words - 1), 4 + most] : [4, 4];
}

/**
 * Take a file apart, and check all that can be checked without its model.
 * @param {Uint8Array} bytes
 * @param {number} [maxPixels]
 * @returns {File}
 */
export function readFile(bytes, maxPixels = MAX_PIXELS) {
  const header = readHeader(bytes, maxPixels), tiles = cut(header), exact = cut(header);
  const reader = new Reader(bytes);
  reader.take(header.size);
  /** @type {{type: string, size: number}[]} */
  const chunks = [];
  /** @type {[string, Uint8Array][]} */
  const leading = [];
  let ancillary = 0;
  let waiting = layers(tiles.length, header.lossless, false);
  for (let next = 0; next < waiting.length; ) {
    const start = reader.position, type = readType(reader), [expected, index] = waiting[next];
    const isLeading = next === 0 && type !== expected;
    if (isLeading) {
      const again = leading.some(([other]) => other === type) && "iexAL".includes(type);
      const mayLead = type === "A" || (type === "L" && !header.lossless) || type === type.toLowerCase();
      require(mayLead, `chunk ${type} is out of its place`);
      require(!again, `there is a second chunk ${type}`);
      require(type !== "A" || hasAlphaChunk(header), "there is a chunk A, but no place for it");
      if (type === "L") waiting = layers(tiles.length, false, true);
      else if (type !== "A") require(++ancillary <= 64, "there are too many chunks");
    } else {
      require(type === expected, `chunk ${type} is out of its place`);
      const missing = hasAlphaChunk(header) && !leading.some(([other]) => other === "A");
      require(!missing, "the chunk of alpha is missing");
    }
    const length = reader.varint();
    checkLength(type, length, header, isLeading ? null : tiles[index]);
    const body = reader.take(length);
    chunks.push({ type, size: reader.position - start });
    if (isLeading) leading.push([type, body]);
    else {
      put((type === "R" && !header.lossless ? exact : tiles)[index], type, body);
      next++;
    }
  }
  if (reader.position < bytes.length) {
    readType(reader);
    throw new RdaeError("corrupt", "there are bytes behind the last chunk");
  }
  if (!header.lossless) for (const tile of tiles) checkStream(tile.z), checkStream(tile.y);
  return { header, tiles, exact, chunks, ...readLeading(leading, header) };
}

/** @param {Reader} reader */
function readType(reader) {
  const type = String.fromCharCode(reader.byte());
  require(/^[A-Za-z]$/.test(type), "there is no chunk where one has to begin");
  require(/^[a-zALZCYR]$/.test(type), `chunk ${type} is of a kind that this decoder does not know`, "unsupported-feature");
  return type;
}

/**
 * @param {Tile} tile
 * @param {string} type
 * @param {Uint8Array} body
 */
export function put(tile, type, body) {
  if (type === "Z") tile.z = body;
  else if (type === "C") tile.y = body;
  else {
    const words = new Uint8Array(tile.y.length + body.length - 4);
    words.set(tile.y);
    words.set(body.subarray(0, -4), tile.y.length);
    tile.y = words;
    tile.check = number(body.subarray(-4));
  }
}

/** @param {Uint8Array} words */
export function checkStream(words) {
  require(words.length % 4 === 0, "a stream has no whole number of words");
  require(!words.length || number(words.subarray(-4)) !== 0, "a stream ends in a zero word");
}

/**
 * @param {[string, Uint8Array][]} chunks
 * @param {Header} header
 */
export function readLeading(chunks, header) {
  /** @type {File["metadata"]} */
  const metadata = {};
  let alpha = null, rest = null;
  for (const [type, body] of chunks) {
    const payload = body.subarray(0, -4), name = Uint8Array.of(type.charCodeAt(0));
    const covered = "AL".includes(type) ? [name, header.canonical, payload] : [name, payload];
    require(number(body.subarray(-4)) === crc32(...covered), `chunk ${type} is damaged`);
    if (type === "A") alpha = readAlpha(payload, header);
    if (type === "L") rest = readRest(payload);
    if (!"iex".includes(type)) continue;
    const content = inflate(payload, MAX_METADATA);
    require(content.length, `chunk ${type} has nothing in it`);
    metadata[type === "i" ? "icc" : type === "e" ? "exif" : "xmp"] = content;
  }
  return { metadata, alpha, rest };
}

/** @param {Uint8Array} payload @returns {Rest} */
function readRest(payload) {
  const modelId = payload[0], fingerprint = hex(payload.subarray(1, 5)), point = payload[5];
  require(modelId > 0 && point <= MAX_ERROR, "chunk L has an illegal value");
  return { modelId, fingerprint, lossless: true, point };
}

/**
 * @param {Uint8Array} payload
 * @param {Header} header
 */
function readAlpha(payload, header) {
  const { width, height } = header, filter = payload[0];
  require(filter <= 3, "the alpha plane has an unknown filter");
  if (filter === 3) return readAlphaTiles(payload.subarray(1), header);
  const plane = inflate(payload.subarray(1), width * height);
  require(plane.length === width * height, "the alpha plane is too short");
  if (filter === 1) for (let i = 0; i < plane.length; i++) if (i % width) plane[i] += plane[i - 1];
  if (filter === 2) for (let i = width; i < plane.length; i++) plane[i] += plane[i - width];
  return plane;
}

/**
 * An alpha plane whose tiles are WebP without colours.
 * @param {Uint8Array} streams
 * @param {Header} header
 */
function readAlphaTiles(streams, header) {
  const reader = new Reader(streams, "the alpha plane", "corrupt"), plane = new Uint8Array(header.width * header.height);
  for (const tile of cut(header)) {
    const { x, y, width, height } = placeOf(tile, header), rgb = decodeVp8l(reader.take(reader.varint()), width, height);
    require(isColourless(rgb), "the alpha plane has colours");
    for (let row = 0, from = 0; row < height; row++)
      for (let to = (y + row) * header.width + x, end = to + width; to < end; from += 3) plane[to++] = rgb[from];
  }
  require(reader.position === streams.length, "there are bytes behind the alpha plane");
  return plane;
}

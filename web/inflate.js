import { RdaeError, require } from "./errors.js";

/* zlib streams, RFC 1950 and 1951. The browsers' own DecompressionStream takes bytes behind the end of a
   stream in some versions and has no bound of what comes out; FORMAT.md, section 1, wants both refused. */

const EXTRA_LENGTH = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const EXTRA_DISTANCE = Array.from({ length: 30 }, (_, i) => Math.max(0, (i >> 1) - 1));
const FIRST_LENGTH = starts(3, EXTRA_LENGTH, { 28: 258 });
const FIRST_DISTANCE = starts(1, EXTRA_DISTANCE);
const CODE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const FIXED = [
  table([...Array(144).fill(8), ...Array(112).fill(9), ...Array(24).fill(7), ...Array(8).fill(8)]),
  table(Array(32).fill(5)),
];

/** @typedef {{counts: Uint16Array, symbols: Uint16Array}} Table canonical: codes of each length, and what they mean */

/**
 * @param {number} first
 * @param {number[]} extra
 * @param {Record<number, number>} [exceptions]
 */
function starts(first, extra, exceptions = {}) {
  const result = [];
  for (const [i, bits] of extra.entries()) {
    result.push(exceptions[i] ?? first);
    first += 1 << bits;
  }
  return result;
}

/**
 * @param {number[]} lengths of the code of each symbol; 0: none
 * @param {boolean} [mayBeAlone] a single code of one bit will do, though it leaves another one unused
 * @returns {Table}
 */
function table(lengths, mayBeAlone = true) {
  const counts = new Uint16Array(16), next = new Uint16Array(16);
  for (const length of lengths) counts[length]++;
  counts[0] = 0;
  let left = 1;
  for (let n = 1; n < 16; n++) {
    left = 2 * left - counts[n];
    require(left >= 0, "zlib stream: too many codes");
    next[n] = next[n - 1] + counts[n - 1];
  }
  const used = lengths.length - lengths.filter((length) => length === 0).length;
  require(left === 0 || used === 0 || (mayBeAlone && used === 1 && counts[1] === 1), "zlib stream: too few codes");
  const symbols = new Uint16Array(used);
  for (const [symbol, length] of lengths.entries()) if (length) symbols[next[length]++] = symbol;
  return { counts, symbols };
}

class Bits {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.position = 0;
    this.held = 0;
    this.count = 0;
  }

  /** @param {number} count up to 16 */
  take(count) {
    while (this.count < count) {
      require(this.position < this.bytes.length, "zlib stream without an end");
      this.held |= this.bytes[this.position++] << this.count;
      this.count += 8;
    }
    const value = this.held & ((1 << count) - 1);
    this.held >>>= count;
    this.count -= count;
    return value;
  }

  /** @param {Table} codes */
  symbol({ counts, symbols }) {
    let code = 0, first = 0, index = 0;
    for (let length = 1; length < 16; length++) {
      code |= this.take(1);
      const count = counts[length];
      if (code - first < count) return symbols[index + code - first];
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw new RdaeError("corrupt", "zlib stream: no such code");
  }
}

/**
 * All of a zlib stream that is at most `bound` bytes, and nothing behind it.
 * @param {Uint8Array} stream
 * @param {number} bound
 * @returns {Uint8Array}
 */
export function inflate(stream, bound) {
  require(stream.length >= 6, "zlib stream without an end");
  const head = stream[0] * 256 + stream[1];
  require((stream[0] & 15) === 8 && stream[0] >> 4 <= 7 && head % 31 === 0 && !(head & 32), "no zlib stream");
  const bits = new Bits(stream.subarray(2));
  let out = new Uint8Array(Math.min(bound, Math.max(1024, 4 * stream.length)));
  let size = 0;
  /** @param {number} more */
  function makeRoom(more) {
    require(size + more <= bound, "zlib stream is too long");
    if (size + more <= out.length) return;
    const larger = new Uint8Array(Math.min(bound, Math.max(size + more, 2 * out.length)));
    larger.set(out);
    out = larger;
  }
  for (let last = 0; !last; ) {
    last = bits.take(1);
    const kind = bits.take(2);
    require(kind < 3, "zlib stream: no such block");
    if (kind === 0) {
      bits.take(bits.count % 8);
      const count = bits.take(16);
      require((bits.take(16) ^ count) === 0xffff, "zlib stream: length of a block");
      makeRoom(count);
      for (let i = 0; i < count; i++) out[size++] = bits.take(8);
      continue;
    }
    const [literals, distances] = kind === 1 ? FIXED : tables(bits);
    for (let symbol; (symbol = bits.symbol(literals)) !== 256; ) {
      if (symbol < 256) {
        makeRoom(1);
        out[size++] = symbol;
        continue;
      }
      require(symbol < 286, "zlib stream: no such length");
      const length = FIRST_LENGTH[symbol - 257] + bits.take(EXTRA_LENGTH[symbol - 257]);
      const far = bits.symbol(distances);
      require(far < 30, "zlib stream: no such distance");
      const distance = FIRST_DISTANCE[far] + bits.take(EXTRA_DISTANCE[far]);
      require(distance <= size, "zlib stream: distance before its beginning");
      makeRoom(length);
      for (let i = 0; i < length; i++, size++) out[size] = out[size - distance];
    }
  }
  bits.take(bits.count % 8);
  let check = 0;
  for (let i = 0; i < 4; i++) check = check * 256 + bits.take(8);
  const found = out.subarray(0, size);
  require(check === adler32(found), "zlib stream: checksum");
  require(bits.position === bits.bytes.length && bits.count === 0, "bytes after a zlib stream");
  return found;
}

/**
 * The tables of a block that has its own.
 * @param {Bits} bits
 */
function tables(bits) {
  const literals = bits.take(5) + 257, distances = bits.take(5) + 1, count = bits.take(4) + 4;
  require(literals <= 286 && distances <= 30, "zlib stream: too many codes");
  const given = Array(19).fill(0);
  for (let i = 0; i < count; i++) given[CODE_ORDER[i]] = bits.take(3);
  const codes = table(given, false);
  /** @type {number[]} */
  const lengths = [];
  while (lengths.length < literals + distances) {
    const symbol = bits.symbol(codes);
    if (symbol < 16) {
      lengths.push(symbol);
      continue;
    }
    require(symbol > 16 || lengths.length, "zlib stream: nothing to repeat");
    const value = symbol === 16 ? lengths[lengths.length - 1] : 0;
    const times = symbol === 16 ? 3 + bits.take(2) : symbol === 17 ? 3 + bits.take(3) : 11 + bits.take(7);
    for (let i = 0; i < times; i++) lengths.push(value);
  }
  require(lengths.length === literals + distances && lengths[256], "zlib stream: lengths of codes");
  return [table(lengths.slice(0, literals)), table(lengths.slice(literals))];
}

/** @param {Uint8Array} bytes */
function adler32(bytes) {
  let a = 1, b = 0;
  for (let i = 0; i < bytes.length; ) {
    for (const end = Math.min(i + 3800, bytes.length); i < end; i++) b += a += bytes[i];
    a %= 65521;
    b %= 65521;
  }
  return b * 65536 + a;
}

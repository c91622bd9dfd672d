import { require } from "../errors.js";

/* The bits and prefix codes of lossless WebP: RFC 9649, sections 3.7.2 and 3.7.2.1. */

const LENGTH_ORDER = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const MOST_BITS = 15, FAST_BITS = 8; // of a code; of those that are found at once

export class Bits {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.position = 0;
    this.held = 0;
    this.count = 0;
  }

  /** Hold so many bits, zeros behind the end. @param {number} count up to 24 */
  fill(count) {
    while (this.count < count) {
      this.held |= (this.bytes[this.position++] ?? 0) << this.count;
      this.count += 8;
    }
  }

  /** @param {number} count */
  skip(count) {
    this.held >>>= count;
    this.count -= count;
    // Bytes behind the end may have been held, but not used.
    require(8 * this.position - this.count <= 8 * this.bytes.length, "WebP: the stream ends early");
  }

  /** @param {number} count up to 24 */
  take(count) {
    this.fill(count);
    const value = this.held & ((1 << count) - 1);
    this.skip(count);
    return value;
  }
}

/** A canonical prefix code. */
export class Code {
  /** @param {ArrayLike<number>} lengths of each symbol's code; 0: it has none */
  constructor(lengths) {
    this.counts = new Uint16Array(MOST_BITS + 1);
    for (let s = 0; s < lengths.length; s++) this.counts[lengths[s]]++;
    this.counts[0] = 0;
    const next = new Uint16Array(MOST_BITS + 2);
    let left = 1;
    for (let n = 1; n <= MOST_BITS; n++) {
      left = 2 * left - this.counts[n];
      require(left >= 0, "WebP: too many codes");
      next[n + 1] = next[n] + this.counts[n];
    }
    this.symbols = new Uint16Array(next[MOST_BITS + 1]);
    require(this.symbols.length === 1 || left === 0, "WebP: too few codes");
    for (let s = 0; s < lengths.length; s++) if (lengths[s]) this.symbols[next[lengths[s]]++] = s;
    /** The only symbol, which takes no bits; -1 if there are others. */
    this.only = this.symbols.length === 1 ? this.symbols[0] : -1;
    /** What `makeFast` makes of it when it is first read: most codes of hostile files never are. @type {Uint16Array | null} */
    this.fast = null;
  }

  /** For the next bits: symbol * 16 + length of its code; 0 if that is longer. */
  makeFast() {
    const fast = new Uint16Array(1 << FAST_BITS);
    for (let length = 1, code = 0, index = 0; length <= FAST_BITS; length++, code <<= 1)
      for (let i = 0; i < this.counts[length]; i++, code++, index++) {
        let reversed = 0; // the first bit of a code is its highest
        for (let bit = 0; bit < length; bit++) reversed |= ((code >> bit) & 1) << (length - 1 - bit);
        for (let at = reversed; at < fast.length; at += 1 << length) fast[at] = this.symbols[index] * 16 + length;
      }
    return fast;
  }

  /** @param {Bits} bits */
  read(bits) {
    if (this.only >= 0) return this.only;
    this.fast ??= this.makeFast();
    bits.fill(MOST_BITS);
    const { held } = bits, found = this.fast[held & (this.fast.length - 1)];
    if (found) {
      bits.skip(found & 15);
      return found >> 4;
    }
    for (let length = 1, code = 0, first = 0, index = 0; ; length++) {
      code = (code << 1) | ((held >> (length - 1)) & 1);
      first <<= 1;
      const count = this.counts[length];
      if (code - first < count) {
        bits.skip(length);
        return this.symbols[index + code - first];
      }
      index += count;
      first += count;
    }
  }
}

/**
 * @param {Bits} bits
 * @param {number} size of the alphabet
 */
export function readCode(bits, size) {
  const lengths = new Uint8Array(size);
  if (bits.take(1)) {
    const count = bits.take(1) + 1, symbols = [bits.take(bits.take(1) ? 8 : 1)];
    if (count === 2) symbols.push(bits.take(8));
    for (const symbol of symbols) if (symbol < size) lengths[symbol] = 1; // as libwebp does; one code at least has to be left
    return new Code(lengths);
  }
  const ofLengths = new Uint8Array(LENGTH_ORDER.length), given = 4 + bits.take(4);
  for (let i = 0; i < given; i++) ofLengths[LENGTH_ORDER[i]] = bits.take(3);
  const code = new Code(ofLengths);
  let left = bits.take(1) ? 2 + bits.take(2 + 2 * bits.take(3)) : size;
  require(left <= size, "WebP: too many codes");
  for (let at = 0, before = 8; at < size && left > 0; left--) {
    const symbol = code.read(bits);
    if (symbol < 16) {
      lengths[at++] = symbol;
      if (symbol) before = symbol;
      continue;
    }
    const times = symbol === 16 ? 3 + bits.take(2) : symbol === 17 ? 3 + bits.take(3) : 11 + bits.take(7);
    require(at + times <= size, "WebP: too many codes");
    lengths.fill(symbol === 16 ? before : 0, at, at + times);
    at += times;
  }
  return new Code(lengths);
}

import { require } from "./errors.js";
import { check } from "./weights.js";

/* Tables and groups of symbols: FORMAT.md, sections 6.3 and 6.4. */

const TOPS = 257; // of a quantile's 8 upper bits, that say where its search in a table begins

/**
 * @typedef {object} Family tables in the kernel's memory
 * @property {number[]} cdf addresses
 * @property {number[]} first addresses of where searches begin
 * @property {Int32Array} sizes
 * @property {Int32Array} lows
 */

/**
 * @param {import("./kernel.js").Kernel} kernel
 * @param {Int32Array} sizes of all tables, 2 or more
 * @param {Int32Array} freqs of all tables, one behind the other
 * @param {Int32Array} lows
 * @returns {Family}
 */
export function makeFamily(kernel, sizes, freqs, lows) {
  /** @type {Family} */
  const family = { cdf: [], first: [], sizes, lows };
  let cdf = kernel.take(4 * (freqs.length + sizes.length)), first = kernel.take(4 * TOPS * sizes.length);
  kernel.lent(() => {
    let from = kernel.keep(freqs);
    for (const [t, size] of sizes.entries()) {
      const legal = lows[t] >= -32768 && lows[t] + size - 2 < 32768;
      check(legal && kernel.call.table(from, size, cdf, first), "a table is malformed");
      family.cdf.push(cdf);
      family.first.push(first);
      from += 4 * size;
      cdf += 4 * (size + 1);
      first += 4 * TOPS;
    }
  });
  return family;
}

/**
 * Tables of all bytes alike, for escapes.
 * @param {import("./kernel.js").Kernel} kernel
 */
export function makeByteFamily(kernel) {
  // One entry more than there are bytes, as in each table; it has no room in the range.
  const cdf = Uint32Array.from({ length: 257 }, (_, k) => k * 65536);
  const first = Uint32Array.from({ length: TOPS }, (_, k) => Math.min(k, 255));
  return { cdf: [kernel.keep(cdf)], first: [kernel.keep(first)], sizes: Int32Array.of(256), lows: Int32Array.of(0) };
}

/** A stream of symbols that is decoded group by group (sections 6.2 and 6.4). */
export class Stream {
  /**
   * @param {import("./kernel.js").Kernel} kernel
   * @param {Uint8Array} words
   * @param {Family} bytes as of makeByteFamily
   */
  constructor(kernel, words, bytes) {
    this.kernel = kernel;
    this.bytes = bytes;
    this.coder = kernel.take(48);
    this.isEmpty = words.length === 0;
    this.isUntouched = true;
    kernel.call.coder_begin(this.coder, kernel.keep(words), words.length / 4);
  }

  /**
   * The symbols of a group.
   * @param {Family} family
   * @param {Uint8Array | Uint16Array} tables of each symbol
   * @param {Int32Array} symbols what is found
   */
  group(family, tables, symbols) {
    const { kernel } = this, count = tables.length, used = family.sizes.length;
    if (!count) return;
    this.isUntouched = false;
    const counts = new Int32Array(used);
    for (let i = 0; i < count; i++) counts[tables[i]]++;
    const places = tablesInOrder(counts), order = new Int32Array(count);
    for (let i = 0; i < count; i++) order[places.next[tables[i]]++] = i;
    kernel.lent(() => {
      const entries = kernel.take(4 * count);
      let done = 0;
      for (const t of places.tables) {
        this.decode(family, t, counts[t], entries + 4 * done);
        done += counts[t];
      }
      const found = kernel.i32(entries, count), escapes = [];
      for (let i = 0, start = 0; i < places.tables.length; i++) {
        const t = places.tables[i], low = family.lows[t], escape = family.sizes[t] - 1, end = start + counts[t];
        for (; start < end; start++) {
          symbols[order[start]] = low + found[start];
          if (found[start] === escape) escapes.push(order[start]);
        }
      }
      if (escapes.length) this.escapes(family, tables, symbols, escapes);
    });
  }

  /**
   * @param {Family} family
   * @param {Uint8Array | Uint16Array} tables
   * @param {Int32Array} symbols
   * @param {number[]} escapes where they stand
   */
  escapes(family, tables, symbols, escapes) {
    const { kernel, bytes } = this, count = escapes.length, entries = kernel.take(8 * count);
    this.decode(bytes, 0, 2 * count, entries);
    const found = kernel.i32(entries, 2 * count);
    for (const [i, place] of escapes.entries()) {
      const symbol = 256 * found[i] + found[count + i] - 32768, t = tables[place], entry = symbol - family.lows[t];
      require(entry < 0 || entry >= family.sizes[t] - 1, "a symbol is escaped that need not be");
      symbols[place] = symbol;
    }
  }

  /**
   * @param {Family} family
   * @param {number} t
   * @param {number} count
   * @param {number} entries address
   */
  decode({ cdf, sizes, first }, t, count, entries) {
    const sound = this.kernel.call.coder_decode(this.coder, cdf[t], sizes[t], first[t], count, entries);
    require(sound, "a stream of symbols is damaged");
  }

  end() {
    const ends = this.isUntouched ? this.isEmpty : this.kernel.call.coder_ends(this.coder);
    require(ends, "a stream of symbols is damaged");
  }
}

/**
 * The tables that are used in the order in which a group has them, and the place of each one's first symbol.
 * @param {Int32Array} counts
 */
function tablesInOrder(counts) {
  const tables = [], next = new Int32Array(counts.length);
  let sum = 0;
  for (let t = counts.length - 1; t >= 0; t--) {
    next[t] = sum;
    sum += counts[t];
    if (counts[t]) tables.push(t);
  }
  return { tables, next };
}

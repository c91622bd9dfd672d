import { require } from "./errors.js";
import { check } from "./weights.js";

/* Tables and groups of symbols: FORMAT.md, sections 6.3 and 6.4. */

const TOPS = 257; // of a quantile's 8 upper bits, that say where its search in a table begins
const PARTS = 4; // of symbols that are put in order
const FAMILY_SIZE = 24, CODER_SIZE = 40; // of the kernel's structures

/** @typedef {{at: number, count: number}} Family tables in the kernel's memory, and how many */

/**
 * @param {import("./kernel.js").Kernel} kernel
 * @param {Int32Array} sizes of all tables, 2 or more
 * @param {Int32Array} freqs of all tables, one behind the other
 * @param {Int32Array} lows
 * @returns {Family}
 */
export function makeFamily(kernel, sizes, freqs, lows) {
  const count = sizes.length, at = kernel.take(FAMILY_SIZE), kept = [kernel.keep(sizes), kernel.keep(lows)], starts = kernel.take(8 * count);
  const cdf = kernel.take(4 * (freqs.length + count)), first = kernel.take(4 * TOPS * count);
  kernel.lent(() => {
    let from = kernel.keep(freqs), start = 0;
    const places = kernel.i32(starts, 2 * count).fill(0);
    for (const [t, size] of sizes.entries()) {
      const legal = lows[t] >= -32768 && lows[t] + size - 2 < 32768;
      check(legal && kernel.call.table(from, size, cdf + 4 * start, first + 4 * TOPS * t), "a table is malformed");
      places[2 * t] = start;
      start += size + 1;
      from += 4 * size;
    }
  });
  kernel.i32(at, FAMILY_SIZE / 4).set([cdf, first, starts, ...kept, count]);
  return { at, count };
}

/** A stream of symbols that is decoded group by group (sections 6.2 and 6.4). */
export class Stream {
  /**
   * @param {import("./kernel.js").Kernel} kernel
   * @param {Uint8Array} words
   */
  constructor(kernel, words) {
    this.kernel = kernel;
    this.coder = kernel.take(CODER_SIZE);
    this.isEmpty = words.length === 0;
    this.isUntouched = true;
    kernel.call.coder_begin(this.coder, kernel.keep(words), words.length / 4);
  }

  /**
   * The symbols of a group.
   * @param {Family} family
   * @param {Uint8Array | Uint16Array} tables of each symbol
   * @param {Int32Array} symbols what is found
   * @param {Int16Array} [limits] the least and the greatest value of each symbol (section 14.4)
   */
  group(family, tables, symbols, limits) {
    const { kernel } = this, count = tables.length;
    kernel.lent(() => {
      const found = kernel.take(4 * count);
      this.groupAt(family, kernel.keep(new Uint16Array(tables)), count, found, limits && kernel.keep(limits));
      symbols.set(kernel.i32(found, count));
    });
  }

  /**
   * The same in the kernel's memory.
   * @param {Family} family
   * @param {number} tables address of so many 16-bit numbers
   * @param {number} count
   * @param {number} symbols address of what is found
   * @param {number} [limits] address of two for each symbol; 0 for none
   */
  groupAt(family, tables, count, symbols, limits = 0) {
    if (!count) return;
    const { kernel } = this;
    this.isUntouched = false;
    kernel.lent(() => {
      const counts = kernel.take(8 * family.count), next = kernel.take(4 * PARTS * family.count);
      const order = kernel.take(4 * count);
      const isSound = kernel.call.group(this.coder, family.at, tables, limits, count, counts, next, order, symbols);
      require(isSound, "a stream of symbols is damaged");
    });
  }

  end() {
    const ends = this.isUntouched ? this.isEmpty : this.kernel.call.coder_ends(this.coder);
    require(ends, "a stream of symbols is damaged");
  }
}

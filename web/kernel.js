/* The compiled kernel, rdae/exact/kernel and kernel/wasm.c, and its memory. */

export const PANEL = 16; // channel counts are padded to whole panels of so many
export const BUFFERS = 6; // of a stage
export const SLOTS = 16;
export const [READ, DEPTHWISE, LINEAR, PHASED, GAIN, ADD, CONCAT, WRITE, LEVELS, , , COLLECT] = Array(12).keys();
export const OP_SIZE = 56;
export const GRID_SIZE = 24;

/** Rounds up to whole panels. @param {number} channels */
export const padded = (channels) => Math.ceil(channels / PANEL) * PANEL;

// (module (func (drop (i32x4.dot_i16x8_s (i32x4.splat (i32.const 0)) (i32x4.splat (i32.const 0))))))
const SIMD_PROBE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 16, 1, 14, 0],
  ...[65, 0, 253, 17, 65, 0, 253, 17, 253, 186, 1, 26, 11],
);

/** Whether this browser has the instructions of kernel.wasm. */
export const hasSimd = () => WebAssembly.validate(SIMD_PROBE);

/** @typedef {Record<string, (...values: number[]) => number>} Functions */

/** An instance of the kernel and memory that is taken from the end and given back in reverse order. */
export class Kernel {
  /** @param {WebAssembly.Module} module */
  constructor(module) {
    const { exports } = new WebAssembly.Instance(module);
    this.memory = /** @type {WebAssembly.Memory} */ (exports.memory);
    this.call = /** @type {Functions} */ (/** @type {unknown} */ (exports));
    /** The first free byte. */
    this.top = /** @type {WebAssembly.Global} */ (exports.__heap_base).value;
    this.call.begin();
  }

  /**
   * The address of so many bytes, which may hold anything.
   * @param {number} bytes
   */
  take(bytes) {
    const at = Math.ceil(this.top / 64) * 64; // a cache line, and what reads a vector too far stays inside
    this.top = at + bytes + 64;
    const missing = this.top - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(Math.max(missing, this.memory.buffer.byteLength / 8) / 65536));
    return at;
  }

  /**
   * What a function returns; all that it took is free again.
   * @template T
   * @param {() => T} work
   */
  lent(work) {
    const top = this.top;
    try {
      return work();
    } finally {
      this.top = top;
    }
  }

  /** A copy of an array, in the kernel's memory. @param {import("./weights.js").Tensor | Uint16Array | Uint32Array} values */
  keep(values) {
    const at = this.take(values.byteLength);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    new Uint8Array(this.memory.buffer).set(bytes, at);
    return at;
  }

  // Views hold until more is taken.
  /** @param {number} at @param {number} count */
  u8 = (at, count) => new Uint8Array(this.memory.buffer, at, count);
  /** @param {number} at @param {number} count */
  i16 = (at, count) => new Int16Array(this.memory.buffer, at, count);
  /** @param {number} at @param {number} count */
  i32 = (at, count) => new Int32Array(this.memory.buffer, at, count);
}

import { require } from "./errors.js";

const CRC = new Uint32Array(256).map((_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/**
 * CRC-32 of several pieces, one behind the other (FORMAT.md, section 1).
 * @param {...Uint8Array} pieces
 */
export function crc32(...pieces) {
  let crc = -1;
  for (const piece of pieces) for (let i = 0; i < piece.length; i++) crc = CRC[(crc ^ piece[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Takes bytes from the front; never reads beyond the end. */
export class Reader {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.position = 0;
  }

  /** @param {number} count */
  take(count) {
    require(this.position + count <= this.bytes.length, "the file ends early", "truncated");
    this.position += count;
    return this.bytes.subarray(this.position - count, this.position);
  }

  byte() {
    return this.take(1)[0];
  }

  varint() {
    for (let value = 0, factor = 1; ; factor *= 128) {
      const byte = this.byte();
      value += (byte & 127) * factor;
      require(byte <= 15 || factor < 2 ** 28, "a number is too large");
      require(byte > 0 || factor === 1, "a number is longer than it needs to be");
      if (byte < 128) return value;
    }
  }
}

/**
 * An unsigned little-endian number of up to 4 bytes.
 * @param {Uint8Array} bytes
 */
export function number(bytes) {
  return bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
}

import { require } from "./errors.js";

// Of a byte that has 0 to 3 others behind it.
const CRC = Array.from({ length: 4 }, () => new Int32Array(256));
for (let byte = 0; byte < 256; byte++)
  for (let behind = 0, crc = byte; behind < 4; CRC[behind++][byte] = crc)
    for (let k = 0; k < 8; k++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;

/**
 * CRC-32 of several pieces, one behind the other (FORMAT.md, section 1), by four bytes at a time.
 * @param {...Uint8Array} pieces
 */
export function crc32(...pieces) {
  const [one, two, three, four] = CRC;
  let crc = -1;
  for (const piece of pieces) {
    let i = 0;
    for (; i + 4 <= piece.length; i += 4) {
      crc ^= piece[i] | (piece[i + 1] << 8) | (piece[i + 2] << 16) | (piece[i + 3] << 24);
      crc = four[crc & 255] ^ three[(crc >>> 8) & 255] ^ two[(crc >>> 16) & 255] ^ one[crc >>> 24];
    }
    for (; i < piece.length; i++) crc = one[(crc ^ piece[i]) & 255] ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}

/** Takes bytes from the front; never reads beyond the end. */
export class Reader {
  /**
   * @param {Uint8Array} bytes
   * @param {string} [name] of what they are
   * @param {string} [code] of the error if they end early
   */
  constructor(bytes, name = "the file", code = "truncated") {
    this.bytes = bytes;
    this.position = 0;
    this.name = name;
    this.code = code;
  }

  /** @param {number} count */
  take(count) {
    require(this.position + count <= this.bytes.length, `${this.name} ends early`, this.code);
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

/** Whether all pixels are grey. @param {Uint8Array} rgb @param {boolean} [hasAlpha] a fourth sample of each */
export function isColourless(rgb, hasAlpha = false) {
  for (let i = 0; i < rgb.length; i += hasAlpha ? 4 : 3) if (rgb[i] !== rgb[i + 1] || rgb[i] !== rgb[i + 2]) return false;
  return true;
}

/**
 * An unsigned little-endian number of up to 4 bytes.
 * @param {Uint8Array} bytes
 */
export function number(bytes) {
  return bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
}

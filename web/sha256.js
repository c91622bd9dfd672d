/* The browsers' own digest exists on https only, and takes no pieces. */

/** @type {number[]} */
const primes = [];
for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);

/**
 * The first 32 bits of a root's fraction.
 * @param {number} root
 */
const fraction = (root) => ((root - Math.floor(root)) * 2 ** 32) | 0;
const K = Int32Array.from(primes, (p) => fraction(Math.cbrt(p)));
const BEGIN = primes.slice(0, 8).map((p) => fraction(Math.sqrt(p)));

/** SHA-256 of what is added piece by piece. */
export class Sha256 {
  constructor() {
    this.state = Int32Array.from(BEGIN);
    this.waiting = new Uint8Array(64);
    this.size = 0;
    this.w = new Int32Array(64);
  }

  /** @param {Uint8Array} bytes */
  add(bytes) {
    let at = 0;
    const held = this.size % 64;
    this.size += bytes.length;
    if (held) {
      at = Math.min(64 - held, bytes.length);
      this.waiting.set(bytes.subarray(0, at), held);
      if (held + at < 64) return this;
      this.block(this.waiting, 0);
    }
    for (; at + 64 <= bytes.length; at += 64) this.block(bytes, at);
    this.waiting.set(bytes.subarray(at));
    return this;
  }

  /** All 32 bytes, in hexadecimal. */
  hex() {
    const bits = this.size * 8, end = new Uint8Array(this.size % 64 < 56 ? 64 - (this.size % 64) : 128 - (this.size % 64));
    end[0] = 128;
    new DataView(end.buffer).setUint32(end.length - 8, Math.floor(bits / 2 ** 32));
    new DataView(end.buffer).setUint32(end.length - 4, bits >>> 0);
    this.add(end);
    return [...this.state].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }

  /**
   * @param {Uint8Array} bytes
   * @param {number} at
   */
  block(bytes, at) {
    const w = this.w, s = this.state;
    for (let i = 0; i < 16; i++, at += 4) w[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2];
      const low = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const high = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = (w[i - 16] + low + w[i - 7] + high) | 0;
    }
    let [a, b, c, d, e, f, g, h] = s;
    for (let i = 0; i < 64; i++) {
      const e1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const one = (h + e1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
      const a1 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const two = (a1 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g, g = f, f = e, e = (d + one) | 0, d = c, c = b, b = a, a = (one + two) | 0;
    }
    s[0] += a, s[1] += b, s[2] += c, s[3] += d, s[4] += e, s[5] += f, s[6] += g, s[7] += h;
  }
}

/* SHA-256: the browser's own where the page comes by https or from localhost, else the one below. */

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

/**
 * The digest of some pieces, one behind the other, in hexadecimal.
 * @param {...Uint8Array} pieces
 */
export async function sha256(...pieces) {
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  const found = globalThis.crypto?.subtle ? new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)) : digest(bytes);
  return Array.from(found, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The 32 bytes of a digest.
 * @param {Uint8Array} bytes
 */
export function digest(bytes) {
  const whole = bytes.length - (bytes.length % 64), rest = bytes.length - whole, bits = 8 * bytes.length;
  const end = new Uint8Array(rest < 56 ? 64 : 128), view = new DataView(end.buffer);
  end.set(bytes.subarray(whole));
  end[rest] = 128;
  view.setUint32(end.length - 8, Math.floor(bits / 2 ** 32));
  view.setUint32(end.length - 4, bits >>> 0);
  const state = Int32Array.from(BEGIN), words = new Int32Array(64);
  for (let at = 0; at < whole; at += 64) addBlock(state, words, bytes, at);
  for (let at = 0; at < end.length; at += 64) addBlock(state, words, end, at);
  for (const [i, word] of state.entries()) view.setInt32(4 * i, word);
  return end.subarray(0, 32);
}

/**
 * @param {Int32Array} s the state
 * @param {Int32Array} w room for 64 words
 * @param {Uint8Array} bytes
 * @param {number} at
 */
function addBlock(s, w, bytes, at) {
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

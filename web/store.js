/**
 * A zlib stream (RFC 1950) that holds bytes as they are: blocks of up to 65535 of them.
 * @param {Uint8Array} bytes
 */
export function stored(bytes) {
  const blocks = Math.max(1, Math.ceil(bytes.length / 65535));
  const stream = new Uint8Array(2 + 5 * blocks + bytes.length + 4);
  stream.set([0x78, 1]);
  let at = 2;
  for (let k = 0; k < blocks; k++) {
    const block = bytes.subarray(65535 * k, 65535 * (k + 1)), size = block.length;
    stream.set([k + 1 === blocks ? 1 : 0, size & 255, size >> 8, ~size & 255, (~size >> 8) & 255], at);
    stream.set(block, at + 5);
    at += 5 + size;
  }
  let a = 1, b = 0;
  for (let start = 0; start < bytes.length; start += 3800, a %= 65521, b %= 65521) // sums of more would exceed 32 bits
    for (let i = start, end = Math.min(start + 3800, bytes.length); i < end; i++) b += a += bytes[i];
  stream.set([b >> 8, b & 255, a >> 8, a & 255], at);
  return stream;
}

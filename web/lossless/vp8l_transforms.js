/* What lossless WebP does to pixels before it codes them, undone: RFC 9649, section 3.5. All in place but `paint`. */

/** @typedef {import("./vp8l.js").Plane} Plane */

const BLACK = 0xff000000;

/** Sums of each of the four bytes. @param {number} a @param {number} b */
export const added = (a, b) => (((a & 0xff00ff00) + (b & 0xff00ff00)) & 0xff00ff00) | (((a & 0xff00ff) + (b & 0xff00ff)) & 0xff00ff);

/** Half of the sum of each of the four bytes, rounded down. @param {number} a @param {number} b */
const average = (a, b) => (((a ^ b) & 0xfefefefe) >>> 1) + (a & b);

/** @param {number} v */
const clamped = (v) => (v < 0 ? 0 : v > 255 ? 255 : v);

/**
 * Of each of the four bytes what a function makes of three.
 * @param {(a: number, b: number, c: number) => number} f
 * @param {number} a
 * @param {number} b
 * @param {number} c
 */
function bytewise(f, a, b, c) {
  const part = (/** @type {number} */ s) => f((a >>> s) & 255, (b >>> s) & 255, (c >>> s) & 255) << s;
  return part(24) | part(16) | part(8) | part(0);
}

/** @param {number} left @param {number} top @param {number} corner */
function select(left, top, corner) {
  let toLeft = 0, toTop = 0; // how far the gradient's guess is from each
  for (let s = 0; s < 32; s += 8) {
    const c = (corner >>> s) & 255;
    toLeft += Math.abs(((top >>> s) & 255) - c);
    toTop += Math.abs(((left >>> s) & 255) - c);
  }
  return toLeft < toTop ? left : top;
}

/**
 * A guess of a pixel.
 * @param {number} mode 0 to 15
 * @param {number} l left
 * @param {number} t top
 * @param {number} r top right
 * @param {number} c top left
 */
function predicted(mode, l, t, r, c) {
  switch (mode) {
    case 1: return l;
    case 2: return t;
    case 3: return r;
    case 4: return c;
    case 5: return average(average(l, r), t);
    case 6: return average(l, c);
    case 7: return average(l, t);
    case 8: return average(c, t);
    case 9: return average(t, r);
    case 10: return average(average(l, c), average(t, r));
    case 11: return select(l, t, c);
    case 12: return bytewise((a, b, d) => clamped(a + b - d), l, t, c);
    case 13: return bytewise((a, b) => clamped(a + Math.trunc((a - b) / 2)), average(l, t), c, 0);
    default: return BLACK;
  }
}

/** @param {Plane} plane @param {Plane} blocks their modes @param {number} shift */
export function addPrediction({ pixels, width, height }, blocks, shift) {
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at++) {
      let guess;
      if (!y) guess = x ? pixels[at - 1] : BLACK;
      else if (!x) guess = pixels[at - width];
      else {
        const mode = (blocks.pixels[(y >> shift) * blocks.width + (x >> shift)] >> 8) & 15;
        // The pixel above and to the right of a row's last one is the row's first, which lies behind it.
        guess = predicted(mode, pixels[at - 1], pixels[at - width], pixels[at - width + 1], pixels[at - width - 1]);
      }
      pixels[at] = added(pixels[at], guess);
    }
}

/** A signed byte. @param {number} v */
const signed = (v) => (v << 24) >> 24;

/** What was subtracted for colours that go together. @param {Plane} plane @param {Plane} blocks their factors @param {number} shift */
export function addTransferred({ pixels, width, height }, blocks, shift) {
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at++) {
      const factors = blocks.pixels[(y >> shift) * blocks.width + (x >> shift)], pixel = pixels[at], green = signed(pixel >> 8);
      const red = ((pixel >> 16) + ((signed(factors) * green) >> 5)) & 255;
      const blue = (pixel + ((signed(factors >> 8) * green) >> 5) + ((signed(factors >> 16) * signed(red)) >> 5)) & 255;
      pixels[at] = (pixel & 0xff00ff00) | (red << 16) | blue;
    }
}

/** @param {Plane} plane */
export function addGreen({ pixels }) {
  for (let i = 0; i < pixels.length; i++) {
    const green = (pixels[i] >> 8) & 255;
    pixels[i] = added(pixels[i], (green << 16) | green);
  }
}

/**
 * Colours of a palette, whose numbers stand in green, several in a pixel.
 * @param {Plane} plane
 * @param {Uint32Array} colours
 * @param {number} packing 2^packing numbers in a pixel
 * @param {number} width of the result
 * @returns {Plane}
 */
export function paint({ pixels: packed, width: across, height }, colours, packing, width) {
  const pixels = new Uint32Array(width * height), size = 8 >> packing, mask = (1 << packing) - 1;
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at++) {
      const green = (packed[y * across + (x >> packing)] >> 8) & 255;
      pixels[at] = colours[(green >> ((x & mask) * size)) & ((1 << size) - 1)] ?? 0; // transparent black beyond the last
    }
  return { pixels, width, height };
}

import { RdaeError } from "./errors.js";
import { sha256 } from "./sha256.js";

/* A model's file: FORMAT.md, section 9. */

const TYPES = /** @type {const} */ ({
  I8: ["int8", Int8Array],
  U8: ["uint8", Uint8Array],
  I16: ["int16", Int16Array],
  I32: ["int32", Int32Array],
});
const LETTERS = { ...TYPES, I64: ["int64"], F32: ["float32"] };
const ENCODER = ["analysis.", "hyper_analysis.", "y.gain", "z.gain"];
const SPEC_KEYS = [
  ...["features", "first", "hyper_channels", "hyper_synthesis", "inputs"],
  ...["latent_channels", "outputs", "shared", "synthesis"],
];

/**
 * @typedef {any[]} Layer as of section 9.1
 * @typedef {{latent_channels: number, hyper_channels: number, features: number, hyper_synthesis: Layer[],
 *   first: Layer[], inputs: Layer[][], shared: Layer[], outputs: Layer[][], synthesis: Layer[]}} Spec
 * @typedef {Int8Array | Uint8Array | Int16Array | Int32Array} Tensor
 */

/**
 * @param {unknown} condition
 * @param {string} message
 * @returns {asserts condition}
 */
export function check(condition, message) {
  if (!condition) throw new RdaeError("weights-mismatch", `the model's weights: ${message}`);
}

/** A safetensors file with the tensors of a model. */
export class Weights {
  /** @param {Uint8Array} bytes aligned to 8 */
  constructor(bytes) {
    check(bytes.length > 8, "there are none");
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const size = view.getUint32(0, true);
    check(view.getUint32(4, true) === 0 && size <= bytes.length - 8, "no safetensors file");
    let header, info;
    try {
      header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
      info = JSON.parse(header.__metadata__.rdae);
    } catch {
      check(false, "no safetensors file of a model");
    }
    check(info.format === 2, `format ${info.format}, this decoder knows format 2`);
    delete header.__metadata__;
    this.data = bytes.subarray(8 + size);
    /** @type {Record<string, {dtype: keyof typeof LETTERS, shape: number[], data_offsets: [number, number]}>} */
    this.entries = header;
    /** @type {number} */
    this.id = info.id;
    /** @type {string} */
    this.name = info.name;
    /** @type {Spec} */
    this.spec = info.spec;
  }

  /** @param {string} name */
  raw(name) {
    const entry = this.entries[name];
    check(entry, `tensor ${name} is missing`);
    const [begin, end] = entry.data_offsets;
    check(begin >= 0 && begin <= end && end <= this.data.length, `tensor ${name} is not all there`);
    return this.data.subarray(begin, end);
  }

  /**
   * All numbers of a tensor, in raster order.
   * @param {string} name
   * @param {keyof typeof TYPES} type
   * @param {number[]} shape
   * @returns {Tensor}
   */
  tensor(name, type, shape) {
    const raw = this.raw(name), entry = this.entries[name], Numbers = TYPES[type][1];
    const fits = entry.dtype === type && `${entry.shape}` === `${shape}`;
    const count = shape.reduce((a, b) => a * b, 1);
    check(fits && raw.length === count * Numbers.BYTES_PER_ELEMENT, `tensor ${name} is no ${type} of ${shape}`);
    return new Numbers(raw.slice().buffer);
  }

  /** @param {string} name */
  shift(name) {
    const [shift] = this.tensor(name, "I8", [1]);
    check(shift >= 1 && shift <= 28, `${name} is ${shift}`);
    return shift;
  }

  /** Section 9.4: 8 hexadecimal digits. */
  async fingerprint() {
    const text = new TextEncoder(), spec = Object.fromEntries(SPEC_KEYS.map((key) => [key, this.spec[/** @type {keyof Spec} */ (key)]]));
    /** @type {Uint8Array[]} */
    const pieces = [text.encode(JSON.stringify(spec))];
    for (const name of Object.keys(this.entries).sort()) {
      if (name.endsWith(".unit") || ENCODER.some((start) => name.startsWith(start))) continue;
      const { dtype, shape } = this.entries[name];
      pieces.push(text.encode(`${name} ${LETTERS[dtype][0]} [${shape.join(", ")}]\n`), this.raw(name));
    }
    return (await sha256(...pieces)).slice(0, 8);
  }
}

/**
 * Cells of a network's input that it sees around a result, in each direction.
 * @param {Layer[]} layers
 */
export function halo(layers) {
  /** @param {Layer[]} list @param {number} scale @returns {[number, number]} */
  function walk(list, scale) {
    let seen = 0;
    for (const [kind, a, b] of list) {
      if (kind === "depthwise") seen += (b >> 1) / scale;
      else if (kind === "shuffle") scale *= a;
      else if (kind === "residual") seen += walk(a, scale)[0];
      else if (kind === "sum") {
        const [one, after] = walk(a, scale), [two] = walk(b, scale);
        [seen, scale] = [seen + Math.max(one, two), after];
      }
    }
    return [seen, scale];
  }
  return Math.ceil(walk(layers, 1)[0]);
}

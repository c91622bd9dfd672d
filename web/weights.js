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
const FORMAT = 2;
const MAX_HEADER_BYTES = 8 << 20, MAX_TENSORS = 1 << 14, MAX_LAYERS = 4096, MAX_NESTED_LAYERS = 32;
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

/**
 * The header of a safetensors file, and what it says of the model.
 * @param {Uint8Array} bytes aligned to 8
 * @returns {{size: number, header: any, info: Record<string, any>}}
 */
function parsed(bytes) {
  check(bytes.length > 8, "there are none");
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const size = view.getUint32(0, true);
  const limit = Math.min(bytes.length - 8, MAX_HEADER_BYTES);
  check(view.getUint32(4, true) === 0 && size <= limit, "no safetensors file");
  let header, info;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
    info = JSON.parse(header.__metadata__.rdae);
  } catch {
    check(false, "no safetensors file of a model");
  }
  check(info && typeof info === "object", "no safetensors file of a model");
  return { size, header, info };
}

/** The format that a model's file says it has. @param {Uint8Array} bytes aligned to 8 */
export const formatOf = (bytes) => parsed(bytes).info.format;

/** A safetensors file with the tensors of a model. */
export class TensorFile {
  /**
   * @param {Uint8Array} bytes aligned to 8
   * @param {number | string} format that it must be of
   */
  constructor(bytes, format) {
    const { size, header, info } = parsed(bytes);
    check(info.format === format, `format ${info.format}, this decoder knows format ${format}`);
    delete header.__metadata__;
    this.info = info;
    this.data = bytes.subarray(8 + size);
    /** @type {Record<string, {dtype: keyof typeof LETTERS, shape: number[], data_offsets: [number, number]}>} */
    this.entries = header;
    /** @type {number} */
    this.id = info.id;
    /** @type {string} */
    this.name = info.name;
    this.checkTensors();
  }

  /** They fill the file one behind the other, so that they take no more memory than it does. */
  checkTensors() {
    const entries = Object.entries(this.entries);
    check(entries.length <= MAX_TENSORS, `${entries.length} tensors`);
    for (const [name, entry] of entries) {
      const { dtype, shape, data_offsets: place } = entry ?? {};
      const numbers = Array.isArray(shape) && Array.isArray(place) && place.length === 2 ? [...shape, ...place] : [-1];
      const fine = numbers.every((number) => Number.isSafeInteger(number) && number >= 0);
      check(fine && Object.hasOwn(LETTERS, dtype), `tensor ${name} is of no known type and shape`);
    }
    let end = 0;
    for (const [name, { data_offsets: [from, to] }] of entries.sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0])) {
      check(from === end && to >= from, `tensor ${name} does not begin where the one before it ends`);
      end = to;
    }
    check(end === this.data.length, "the tensors do not fill the file");
  }

  /** @param {string} name */
  raw(name) {
    check(Object.hasOwn(this.entries, name), `tensor ${name} is missing`);
    return this.data.subarray(...this.entries[name].data_offsets);
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

  /**
   * SHA-256, in hexadecimal digits, of a text and tensors as section 9.4 has it.
   * @param {string} first
   * @param {(name: string) => boolean} [isLeftOut]
   */
  hashed(first, isLeftOut = () => false) {
    const text = new TextEncoder();
    /** @type {Uint8Array[]} */
    const pieces = [text.encode(first)];
    for (const name of Object.keys(this.entries).sort()) {
      if (isLeftOut(name)) continue;
      const { dtype, shape } = this.entries[name];
      pieces.push(text.encode(`${name} ${LETTERS[dtype][0]} [${shape.join(", ")}]\n`), this.raw(name));
    }
    return sha256(...pieces);
  }
}

/** Those of a lossy model. */
export class Weights extends TensorFile {
  /** @param {Uint8Array} bytes aligned to 8 */
  constructor(bytes) {
    super(bytes, FORMAT);
    /** @type {Spec} */
    this.spec = this.info.spec;
    check(this.spec && typeof this.spec === "object", "there is no spec");
    const { hyper_synthesis, first, inputs, shared, outputs, synthesis } = this.spec;
    check([inputs, outputs].every((lists) => Array.isArray(lists) && lists.length === 3), "inputs and outputs");
    const networks = [hyper_synthesis, first, shared, synthesis, ...inputs, ...outputs];
    check(networks.reduce((sum, layers) => sum + countLayers(layers, 0), 0) <= MAX_LAYERS, "too many layers");
  }

  /** Section 9.4: 8 hexadecimal digits. */
  async fingerprint() {
    const spec = Object.fromEntries(SPEC_KEYS.map((key) => [key, this.spec[/** @type {keyof Spec} */ (key)]]));
    const isEncoders = (/** @type {string} */ name) => name.endsWith(".unit") || ENCODER.some((start) => name.startsWith(start));
    return (await this.hashed(JSON.stringify(spec), isEncoders)).slice(0, 8);
  }
}

/**
 * Layers, inner ones included.
 * @param {Layer[]} layers
 * @param {number} depth
 * @returns {number}
 */
function countLayers(layers, depth) {
  check(depth <= MAX_NESTED_LAYERS, "layers are nested too deeply");
  check(Array.isArray(layers) && layers.every(Array.isArray), "a network is no list of layers");
  for (const [kind, ...rest] of layers) {
    const inner = { residual: 1, sum: 2 }[/** @type {string} */ (kind)] ?? 0;
    check(rest.filter(Array.isArray).length === inner, `a layer ${kind} with other parts`);
  }
  const parts = layers.flatMap(([, ...rest]) => rest.filter(Array.isArray));
  return layers.length + parts.reduce((sum, part) => sum + countLayers(part, depth + 1), 0);
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

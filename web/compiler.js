import { Assembler, checkWhole, width } from "./assembler.js";
import * as k from "./kernel.js";
import { padded } from "./kernel.js";
import { check } from "./weights.js";

/* A network's layers as operations of the kernel, as rdae/exact/compiler.py makes them. Weights of padding
   channels are 0. */

/**
 * @typedef {import("./weights.js").Layer} Layer
 * @typedef {Pick<import("./weights.js").TensorFile, "tensor" | "shift">} Tensors where weights come from
 *
 * @typedef {object} Run values that lie in one piece beside each cell
 * @property {number} input that has them; it is given to `place`, with all that is seen beyond its edges
 * @property {number} row of the first of them, relative to the cell
 * @property {number} column
 * @property {number} values how many
 * @property {boolean} [centred] three values of the cell are taken away from them, again and again
 */

export class Compiler extends Assembler {
  /**
   * @param {k.Kernel} kernel
   * @param {Tensors} weights
   * @param {number[]} inputs channels of each input
   */
  constructor(kernel, weights, inputs) {
    super(kernel, inputs);
    this.weights = weights;
  }

  /**
   * Layers of a network that are applied to the value on top of the stack.
   * @param {Layer[]} layers
   * @param {string} path
   */
  layers(layers, path) {
    for (const [i, layer] of layers.entries()) this.layer(layer, `${path}.${i}`);
    return this;
  }

  /**
   * @param {Layer} layer
   * @param {string} path
   */
  layer(layer, path) {
    const [kind, first, second, third] = layer, stack = this.stack;
    const top = stack[stack.length - 1];
    const wrong = `layer ${path} does not fit the one before`;
    if (kind === "linear") {
      check(first === top.channels && Number.isInteger(second) && second > 0, wrong);
      this.linear(path, first, second, third ?? 0);
    } else if (kind === "depthwise") {
      check(first === top.channels && (second === 3 || second === 5), wrong);
      this.depthwise(path, first, second);
    } else if (kind === "gain") {
      check(first === top.channels, wrong);
      this.gain(path, first);
    } else if (kind === "shuffle") {
      check(Number.isInteger(first) && first > 0 && top.channels % first ** 2 === 0, wrong);
      this.shuffle(first);
    } else if (kind === "residual") {
      stack.push(top);
      this.layers(first, path).add(wrong);
    } else if (kind === "sum") {
      stack.push(top);
      this.layers(first, `${path}.0`);
      stack.push(...stack.splice(-2, 1));
      this.layers(second, `${path}.1`).add(wrong);
    } else check(false, `there is no layer "${kind}"`);
  }

  /** The first input is there once more, below all others. */
  keepFirst() {
    this.stack.unshift(this.stack[0]);
    return this;
  }

  /**
   * What lies around each cell, one run behind the other, comes on the stack in the place of so many inputs.
   * @param {number} inputs that are seen by this alone
   * @param {Run[]} runs
   * @param {number} [mean] input with the values that are taken away
   */
  collect(inputs, runs, mean = -1) {
    this.stack.splice(this.stack.length - inputs);
    const list = runs.flatMap(({ input, row, column, values, centred }) => [input, row, column, values, centred ? 1 : 0]);
    const channels = runs.reduce((sum, { values }) => sum + values, 0);
    const value = { channels, scale: 1, parts: [channels], grid: -1, slot: -1, madeBy: -1 };
    const numbers = { inputs: 0, outputs: width(value), with: mean, part: runs.length, bias: this.kernel.keep(Int32Array.from(list)) };
    this.operation({ kind: k.COLLECT, ...numbers });
    this.computed(value, []);
    return this;
  }

  /** The two values on top become one, one behind the other. */
  concatenate() {
    const [first, second] = this.stack.splice(-2);
    const parts = [...first.parts, ...second.parts];
    this.push({ kind: k.CONCAT }, first, first.channels + second.channels, second, parts);
    return this;
  }

  /**
   * @param {string} path
   * @param {number} inputs
   * @param {number} outputs
   * @param {number} leak
   * @param {number[][]} [wanted] of the outputs, for each of the four phases; all if none is given
   */
  linear(path, inputs, outputs, leak, wanted) {
    const mantissa = this.weights.tensor(`${path}.mantissa`, "I16", [inputs, outputs]);
    const bias = this.weights.tensor(`${path}.bias`, "I32", [outputs]);
    const shift = this.weights.shift(`${path}.shift`);
    check(Number.isInteger(leak) && leak >= 0 && shift + leak <= 31, `leak of ${path}`);
    const [x] = this.stack.splice(-1), kernel = this.kernel, rows = width(x);
    const choices = wanted ?? [Array.from({ length: outputs }, (_, o) => o)];
    const made = choices[0].length, columns = padded(made);
    const places = x.parts.flatMap((part, i) => {
      const start = x.parts.slice(0, i).reduce((sum, other) => sum + padded(other), 0);
      return Array.from({ length: part }, (_, channel) => start + channel);
    });
    const packed = kernel.take(2 * rows * columns * choices.length), biases = kernel.take(4 * columns * choices.length);
    kernel.lent(() => {
      const whole = kernel.take(2 * rows * columns), magnitudes = kernel.take(8 * columns);
      for (const [phase, some] of choices.entries()) {
        const to = kernel.i16(whole, rows * columns).fill(0);
        for (const [i, row] of places.entries()) {
          const own = mantissa.subarray(i * outputs, (i + 1) * outputs);
          to.set(wanted ? some.map((o) => own[o]) : own, row * columns);
        }
        kernel.call.pack(whole, rows, columns, packed + 2 * rows * columns * phase);
        const own = kernel.i32(biases + 4 * columns * phase, columns).fill(0);
        for (let o = 0; o < made; o++) own[o] = bias[some[o]];
        kernel.call.magnitudes(whole, rows, columns, magnitudes);
        prove(path, new Float64Array(kernel.memory.buffer, magnitudes, columns), own, leak ? 2 ** (shift + leak - 1) : 0);
      }
    });
    this.push({ kind: wanted ? k.PHASED : k.LINEAR, shift, leak, weights: packed, bias: biases }, x, made);
  }

  /**
   * @param {string} path
   * @param {number} channels
   */
  gain(path, channels) {
    const [x] = this.stack.splice(-1), columns = width(x);
    checkWhole(x);
    const table = this.weights.tensor(`${path}.table`, "I16", [256, channels]);
    const shift = this.weights.shift(`${path}.shift`);
    const weights = this.kernel.keep(widened(table, channels, columns));
    this.push({ kind: k.GAIN, shift, weights, row: 2 * columns }, x, channels);
  }

  /**
   * @param {string} path
   * @param {number} channels
   * @param {number} size
   */
  depthwise(path, channels, size) {
    const mantissa = this.weights.tensor(`${path}.mantissa`, "I16", [size, size, channels]);
    const bias = this.weights.tensor(`${path}.bias`, "I32", [channels]);
    const shift = this.weights.shift(`${path}.shift`);
    const sums = new Float64Array(channels);
    for (let i = 0; i < mantissa.length; i++) sums[i % channels] += Math.abs(mantissa[i]);
    prove(path, sums, bias, 0);
    const [x] = this.stack.splice(-1), columns = width(x);
    checkWhole(x);
    this.toGrid(x);
    const grid = this.grids[x.grid];
    grid.border = Math.max(grid.border, size >> 1);
    this.cutHere(x.scale);
    this.stage.radius = (size >> 1) / x.scale;
    const weights = this.kernel.keep(widened(mantissa, channels, columns));
    const biases = this.kernel.keep(widened(bias, channels, columns));
    const numbers = { inputs: columns, outputs: columns, with: x.grid, r: size, shift, weights, bias: biases };
    this.operation({ kind: k.DEPTHWISE, ...numbers });
    this.computed({ ...x, grid: -1 }, []);
  }

  /** @param {number} r */
  shuffle(r) {
    const value = this.written(k.WRITE, r, 2);
    this.cutHere(value.scale);
    return this;
  }

  /**
   * Bytes, of values in units of 2^-shift, on a grid that is r times as fine.
   * @param {number} r
   * @param {number} shift
   */
  levels(r, shift) {
    this.written(k.LEVELS, r, 1, shift);
    return this;
  }

  /** @param {string} wrong */
  add(wrong) {
    const [a, b] = this.stack.splice(-2);
    check(`${a.parts}` === `${b.parts}` && a.scale === b.scale, wrong);
    const made = this.stage.operations[b.madeBy];
    const canJoin = made && (made.kind === k.LINEAR || made.kind === k.GAIN) && made.with < 0;
    if (canJoin && a.madeBy < b.madeBy && !this.stack.includes(b)) {
      made.with = this.slotOf(a); // the layer adds it on its way out
      this.stack.push(b);
    } else this.push({ kind: k.ADD }, b, b.channels, a, b.parts);
  }
}

/**
 * Section 7, bounds: no sum leaves 32 bits.
 * @param {string} path
 * @param {Float64Array} sums of the mantissas' magnitudes, for each output
 * @param {import("./weights.js").Tensor} bias
 * @param {number} half
 */
function prove(path, sums, bias, half) {
  const holds = sums.every((sum, o) => 32768 * sum + Math.abs(bias[o]) + half < 2 ** 31);
  check(holds, `sums of ${path} may leave 32 bits`);
}

/**
 * Rows of values with zeros behind each.
 * @template {Int16Array | Int32Array | Int8Array | Uint8Array} T
 * @param {T} values
 * @param {number} from length of a row
 * @param {number} to
 */
export function widened(values, from, to) {
  if (from === to) return values;
  const rows = values.length / from;
  const result = values instanceof Int32Array ? new Int32Array(rows * to) : new Int16Array(rows * to);
  for (let i = 0; i < rows; i++) result.set(values.subarray(i * from, (i + 1) * from), i * to);
  return result;
}

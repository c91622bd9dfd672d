import * as k from "./kernel.js";
import { padded } from "./kernel.js";
import { check } from "./weights.js";

/* A network's layers as stages of the kernel, as rdae/exact/compiler.py makes them: layers are cut into stages
   where a depthwise layer looks beyond a cell or a shuffle changes the resolution. What is still needed then
   goes to grids; inside of a stage values lie in slots. Weights of padding channels are 0. */

/**
 * @typedef {{channels: number, scale: number, parts: number[], grid: number, slot: number, madeBy: number}} Value
 *   a value on the stack; grid and slot -1: it is not there
 * @typedef {{channels: number, scale: number, border: number, bytes: 1 | 2}} Grid
 * @typedef {{kind: number, inputs: number, outputs: number, shift: number, leak: number, from: number, to: number,
 *   with: number, r: number, part: number, buffer: number, weights: number, bias: number, row: number}} Operation
 *   row: bytes of a quality point's row of factors
 * @typedef {{scale: number, reads: number[], operations: Operation[], radius: number}} Stage
 * @typedef {{at: number, row: number, cell: number}} Placed address of cell (0, 0), and strides in values
 * @typedef {{top: number, bottom: number, left: number, right: number}} Area
 * @typedef {import("./weights.js").Layer} Layer
 * @typedef {Pick<import("./weights.js").TensorFile, "tensor" | "shift">} Tensors where weights come from
 * @typedef {(row: number) => void} RowWork
 *
 * @typedef {object} Run values that lie in one piece beside each cell
 * @property {number} input that has them; it is given to `place`, with all that is seen beyond its edges
 * @property {number} row of the first of them, relative to the cell
 * @property {number} column
 * @property {number} values how many
 * @property {boolean} [centred] three values of the cell are taken away from them, again and again
 */

const OPERATION = { shift: 0, leak: 0, from: 0, to: 0, with: -1, r: 1, part: 0, buffer: 0, weights: 0, bias: 0, row: 0 };

/** @param {Value} value */
const width = (value) => value.parts.reduce((sum, part) => sum + padded(part), 0);

export class Program {
  /**
   * @param {k.Kernel} kernel
   * @param {Tensors} weights
   * @param {number[]} inputs channels of each input
   */
  constructor(kernel, weights, inputs) {
    this.kernel = kernel;
    this.weights = weights;
    this.inputs = inputs;
    /** @type {Grid[]} */
    this.grids = inputs.map((channels) => ({ channels: padded(channels), scale: 1, border: 0, bytes: 2 }));
    /** @type {Stage[]} */
    this.stages = [newStage(1)];
    /** @type {Value[]} */
    this.stack = inputs.map((channels, grid) => ({ channels, scale: 1, parts: [channels], grid, slot: -1, madeBy: -1 }));
  }

  // Compiling.

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

  /**
   * @param {number} kind
   * @param {number} r
   * @param {1 | 2} bytes
   * @param {number} [shift]
   */
  written(kind, r, bytes, shift = 0) {
    const [x] = this.stack.splice(-1), part = x.channels / r ** 2;
    checkWhole(x);
    if (this.stage.scale !== x.scale) this.cutHere(x.scale, x);
    this.grids.push({ channels: bytes === 1 ? part : padded(part), scale: x.scale * r, border: 0, bytes });
    const grid = this.grids.length - 1;
    this.operation({ kind, from: this.slotOf(x), inputs: width(x), outputs: 0, with: grid, r, part, shift });
    const value = { channels: part, scale: x.scale * r, parts: [part], grid, slot: -1, madeBy: -1 };
    this.stack.push(value);
    return value;
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

  /**
   * An operation on x, whose result comes on the stack.
   * @param {Partial<Operation> & {kind: number}} numbers
   * @param {Value} x
   * @param {number} outputs
   * @param {Value} [other]
   * @param {number[]} [parts]
   */
  push(numbers, x, outputs, other, parts = [outputs]) {
    const used = other ? [x, other] : [x];
    if (this.stage.scale !== x.scale || this.freeBuffer(used) < 0) this.cutHere(x.scale, ...used);
    const from = this.slotOf(x), beside = other ? this.slotOf(other) : -1;
    const value = { channels: outputs, scale: x.scale, parts, grid: -1, slot: -1, madeBy: -1 };
    this.operation({ ...numbers, from, with: beside, inputs: width(x), outputs: width(value) });
    this.computed(value, used);
  }

  /**
   * Give the last operation's result a buffer, and put it on the stack.
   * @param {Value} value
   * @param {Value[]} used
   */
  computed(value, used) {
    const operations = this.stage.operations, buffer = this.freeBuffer(used);
    Object.assign(operations[operations.length - 1], { buffer, to: buffer });
    this.stack.push({ ...value, slot: buffer, madeBy: operations.length - 1 });
  }

  get stage() {
    return this.stages[this.stages.length - 1];
  }

  /** @param {Value[]} used */
  freeBuffer(used) {
    const busy = [...this.stack, ...used].map((value) => value.slot);
    for (let buffer = 0; buffer < k.BUFFERS; buffer++) if (!busy.includes(buffer)) return buffer;
    return -1;
  }

  /** @param {Partial<Operation> & {kind: number, inputs: number, outputs: number}} numbers */
  operation(numbers) {
    this.stage.operations.push({ ...OPERATION, ...numbers });
  }

  /** @param {Value} value */
  slotOf(value) {
    if (value.slot >= 0) return value.slot;
    const reads = this.stage.reads;
    if (!reads.includes(value.grid)) reads.push(value.grid);
    const slot = k.BUFFERS + reads.indexOf(value.grid);
    check(slot < k.SLOTS, "too many values at a time");
    return slot;
  }

  /**
   * A new stage begins; what is still needed goes to grids.
   * @param {number} scale
   * @param {...Value} also
   */
  cutHere(scale, ...also) {
    const values = [...this.stack, ...also];
    for (const value of values) this.toGrid(value);
    for (const value of values) value.slot = value.madeBy = -1;
    this.stages.push(newStage(scale));
  }

  /** @param {Value} value */
  toGrid(value) {
    if (value.grid >= 0) return;
    const channels = width(value);
    this.grids.push({ channels, scale: value.scale, border: 0, bytes: 2 });
    value.grid = this.grids.length - 1;
    const numbers = { from: this.slotOf(value), inputs: channels, outputs: 0, with: value.grid, part: channels };
    this.operation({ kind: k.WRITE, ...numbers });
  }

  /**
   * Nothing follows: write the operations where the kernel reads them.
   * @param {number} channels that the network has to give
   * @param {number} scale cells of its output for one of its input
   */
  finish(channels, scale) {
    this.output = this.stack[this.stack.length - 1];
    this.toGrid(this.output);
    check(this.output.channels === channels && this.output.scale === scale, "a network's output has another shape");
    this.stages = this.stages.filter((stage) => stage.operations.length);
    this.code = this.stages.map((stage) => {
      const reads = stage.reads.map((grid, i) => ({ ...OPERATION, kind: k.READ, inputs: 0, outputs: 0, with: grid, to: k.BUFFERS + i }));
      const operations = [...reads, ...stage.operations], at = this.kernel.take(k.OP_SIZE * operations.length);
      const numbers = this.kernel.i32(at, (k.OP_SIZE / 4) * operations.length);
      for (const [i, o] of operations.entries()) {
        const { kind, inputs, outputs, shift, leak, from, to, with: beside, r, part, buffer, weights, bias } = o;
        numbers.set([kind, inputs, outputs, shift, leak, from, to, beside, r, part, buffer, 0, weights, bias], 14 * i);
      }
      return { at, operations, widest: Math.max(...operations.flatMap((o) => [o.inputs, o.outputs])) };
    });
    const scratch = Math.max(...this.code.map(({ widest }) => this.kernel.call.scratch_size(widest)));
    this.scratch = this.kernel.take(2 * scratch);
    return this;
  }

  // Running.

  /**
   * Places for all grids, zeros around them; the inputs' are to be filled.
   * @param {number} rows
   * @param {number} columns
   * @param {(Placed | null)[]} [given] inputs that lie somewhere already, whole panels of channels in each cell; one
   *   whose row is 0 has all rows at the same place, one at a time
   * @param {Placed | null} [output] where the output is to lie, likewise
   * @returns {Placed[]}
   */
  place(rows, columns, given = [], output = null) {
    return this.grids.map(({ channels, scale, border, bytes }, i) => {
      const there = i < this.inputs.length ? given[i] : i === this.output?.grid ? output : null;
      if (there && !border) return there;
      const height = rows * scale + 2 * border, row = (columns * scale + 2 * border) * channels;
      const at = this.kernel.take(height * row * bytes), inside = at + bytes * border * (row + channels);
      if (border) {
        const values = this.kernel.i16(at, height * row), beside = border * channels;
        values.fill(0, 0, border * row).fill(0, (height - border) * row);
        for (let i = border; i < height - border; i++) values.fill(0, i * row, i * row + beside).fill(0, (i + 1) * row - beside, (i + 1) * row);
      }
      const placed = { at: inside, row, cell: channels };
      if (there) this.copy(there, placed, rows, columns, channels);
      return placed;
    });
  }

  /**
   * @param {Placed} from
   * @param {Placed} to
   * @param {number} rows
   * @param {number} columns
   * @param {number} channels
   */
  copy(from, to, rows, columns, channels) {
    const bytes = this.kernel.u8(0, this.kernel.memory.buffer.byteLength);
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++) {
        const begin = from.at + 2 * (i * from.row + j * from.cell);
        bytes.copyWithin(to.at + 2 * (i * to.row + j * to.cell), begin, begin + 2 * channels);
      }
  }

  /**
   * Run it.
   * @param {Placed[]} placed
   * @param {number} point
   * @param {number} rows of the input
   * @param {number} columns
   * @param {Area | null} [wanted] cells of the input whose results are wanted, all if none are given; others are not set
   * @param {{before?: RowWork, after?: RowWork}} [work] what is done before the first stage reads a row, and after the
   *   last has written one
   * @returns {Placed} the output
   */
  run(placed, point, rows, columns, wanted, { before, after } = {}) {
    const { kernel, code, output, scratch } = this;
    if (!code || !output || scratch === undefined) throw new Error("the program is not finished");
    const area = wanted ?? { top: 0, bottom: rows, left: 0, right: columns };
    kernel.lent(() => {
      const grids = kernel.take(k.GRID_SIZE * placed.length);
      const numbers = kernel.i32(grids, 6 * placed.length).fill(0);
      for (const [i, { at, row, cell }] of placed.entries()) numbers.set([at, 0, row, 0, cell, 0], 6 * i);
      for (const [i, { at, operations }] of code.entries()) {
        const { scale } = this.stages[i];
        const reach = this.stages.slice(i + 1).reduce((sum, stage) => sum + stage.radius, 0), halo = Math.ceil(reach * scale);
        for (const [j, o] of operations.entries())
          if (o.row) kernel.i32(at + k.OP_SIZE * j, 14)[12] = o.weights + o.row * point;
        const top = Math.max(0, area.top * scale - halo), left = Math.max(0, area.left * scale - halo);
        const bottom = Math.min(rows * scale, area.bottom * scale + halo);
        const right = Math.min(columns * scale, area.right * scale + halo);
        const isFirst = i === 0, isLast = i === code.length - 1;
        // Row by row: browsers put better code in a function's place only where it is called.
        for (let row = top; row < bottom; row++) {
          if (isFirst) before?.(row);
          kernel.call.stage(at, operations.length, grids, row, row + 1, left, right, scratch);
          if (isLast) after?.(row);
        }
      }
    });
    return placed[output.grid];
  }
}

/** @param {number} scale @returns {Stage} */
const newStage = (scale) => ({ scale, reads: [], operations: [], radius: 0 });

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

/** Refuse values whose padding stands between their channels. @param {Value} x */
function checkWhole(x) {
  check(x.parts.slice(0, -1).every((part) => part % k.PANEL === 0), "several parts that are no whole panels");
}

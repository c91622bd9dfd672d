import * as k from "./kernel.js";
import { padded } from "./kernel.js";
import { Program } from "./program.js";
import { check } from "./weights.js";

/* Operations of the kernel, put into stages: a stage ends where a layer looks beyond a cell or the resolution
   changes. What is still needed then goes to grids; inside of a stage values lie in slots. */

/**
 * @typedef {{channels: number, scale: number, parts: number[], grid: number, slot: number, madeBy: number}} Value
 *   a value on the stack; grid and slot -1: it is not there
 * @typedef {{kind: number, inputs: number, outputs: number, shift: number, leak: number, from: number, to: number,
 *   with: number, r: number, part: number, buffer: number, weights: number, bias: number, row: number}} Operation
 *   row: bytes of a quality point's row of factors
 * @typedef {{scale: number, reads: number[], operations: Operation[], radius: number}} Stage
 */

const OPERATION = { shift: 0, leak: 0, from: 0, to: 0, with: -1, r: 1, part: 0, buffer: 0, weights: 0, bias: 0, row: 0 };

/** Channels of a value with the padding of its parts. @param {Value} value */
export const width = (value) => value.parts.reduce((sum, part) => sum + padded(part), 0);

export class Assembler {
  /**
   * @param {k.Kernel} kernel
   * @param {number[]} inputs channels of each input
   */
  constructor(kernel, inputs) {
    this.kernel = kernel;
    this.inputs = inputs;
    /** @type {import("./program.js").Grid[]} */
    this.grids = inputs.map((channels) => ({ channels: padded(channels), scale: 1, border: 0, bytes: 2 }));
    /** @type {Stage[]} */
    this.stages = [newStage(1)];
    /** @type {Value[]} */
    this.stack = inputs.map((channels, grid) => ({ channels, scale: 1, parts: [channels], grid, slot: -1, madeBy: -1 }));
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

  /**
   * Nothing follows: write the operations where the kernel reads them.
   * @param {number} channels that the network has to give
   * @param {number} scale cells of its output for one of its input
   */
  finish(channels, scale) {
    const { kernel } = this, output = this.stack[this.stack.length - 1];
    this.toGrid(output);
    check(output.channels === channels && output.scale === scale, "a network's output has another shape");
    const stages = this.stages.filter((stage) => stage.operations.length);
    const code = stages.map(({ reads: grids, operations: others, scale, radius }) => {
      const reads = grids.map((grid, i) => ({ ...OPERATION, kind: k.READ, inputs: 0, outputs: 0, with: grid, to: k.BUFFERS + i }));
      const operations = [...reads, ...others], at = kernel.take(k.OP_SIZE * operations.length);
      const numbers = kernel.i32(at, (k.OP_SIZE / 4) * operations.length);
      for (const [i, o] of operations.entries()) {
        const { kind, inputs, outputs, shift, leak, from, to, with: beside, r, part, buffer, weights, bias } = o;
        numbers.set([kind, inputs, outputs, shift, leak, from, to, beside, r, part, buffer, 0, weights, bias], 14 * i);
      }
      return { at, scale, radius, operations };
    });
    const widest = Math.max(...code.flatMap(({ operations }) => operations.flatMap((o) => [o.inputs, o.outputs])));
    const scratch = kernel.take(2 * kernel.call.scratch_size(widest));
    return new Program(kernel, { inputs: this.inputs.length, grids: this.grids, output: output.grid, code, scratch });
  }
}

/** @param {number} scale @returns {Stage} */
const newStage = (scale) => ({ scale, reads: [], operations: [], radius: 0 });

/** Refuse values whose padding stands between their channels. @param {Value} x */
export function checkWhole(x) {
  check(x.parts.slice(0, -1).every((part) => part % k.PANEL === 0), "several parts that are no whole panels");
}

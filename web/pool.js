import { RdaeError } from "./errors.js";

/* Workers that share the tiles and windows of pictures; each has a kernel and a model of its own. */

const MOST = 8; // more take memory and no time

/**
 * @typedef {{kind: string, job: any, transfer: Transferable[], resolve: (result: any) => void, reject: (error: Error) => void}} Task
 */

export class Pool {
  /**
   * @param {WebAssembly.Module} module
   * @param {Uint8Array} weights
   * @param {number} [count]
   */
  constructor(module, weights, count = Math.min(MOST, navigator.hardwareConcurrency || 2)) {
    this.count = Math.max(1, count);
    /** @type {Task[]} */
    this.waiting = [];
    /** @type {Worker[]} */
    this.idle = [];
    /** @type {Set<Worker>} */
    this.all = new Set();
    this.made = { module, weights };
  }

  /** @param {import("./model.js").TileJob} job @returns {Promise<Int16Array>} */
  tile(job) {
    // Copies of the streams: the file's own bytes stay where they are.
    return this.give("tile", { ...job, z: job.z.slice(), y: job.y.slice() }, []);
  }

  /** @param {import("./model.js").WindowJob} job @returns {Promise<Uint8ClampedArray>} */
  window(job) {
    return this.give("window", job, [job.y_hat.buffer]);
  }

  /** @param {import("./lossless/model.js").PixelsJob} job @returns {Promise<Uint8ClampedArray>} */
  pixels(job) {
    return this.give("pixels", { ...job, body: job.body.slice() }, job.base ? [job.base.buffer] : []);
  }

  /**
   * @param {string} kind
   * @param {any} job
   * @param {Transferable[]} transfer
   * @returns {Promise<any>}
   */
  give(kind, job, transfer) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ kind, job, transfer, resolve, reject });
      if (!this.idle.length && this.all.size < this.count) this.start();
      this.next();
    });
  }

  /** Start workers for what is to come, so that they have their models in time. @param {number} jobs */
  expect(jobs) {
    while (this.all.size < Math.min(jobs, this.count)) this.start();
  }

  start() {
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.all.add(worker);
    const task = { kind: "model", job: this.made, transfer: [], resolve: () => {}, reject: () => {} };
    this.run(worker, task);
  }

  next() {
    while (this.idle.length && this.waiting.length)
      this.run(/** @type {Worker} */ (this.idle.pop()), /** @type {Task} */ (this.waiting.shift()));
  }

  /**
   * @param {Worker} worker
   * @param {Task} task
   */
  run(worker, { kind, job, transfer, resolve, reject }) {
    /** @param {string} code @param {string} message */
    const fail = (code, message) => {
      this.all.delete(worker);
      worker.terminate(); // it may have lost its place; the next task starts another one
      const error = new RdaeError(code, message);
      reject(error);
      if (kind === "model") for (const task of this.waiting.splice(0)) task.reject(error);
      else if (this.waiting.length && !this.idle.length) this.start();
    };
    worker.onerror = (event) => {
      event.preventDefault();
      fail("failed", event.message || "a worker did not start");
    };
    worker.onmessage = ({ data: { result, error } }) => {
      if (error && (error.code === "failed" || kind === "model")) return fail(error.code, error.message);
      if (error) reject(new RdaeError(error.code, error.message));
      else resolve(result);
      this.idle.push(worker);
      this.next();
    };
    worker.postMessage({ kind, job }, transfer);
  }
}

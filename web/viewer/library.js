import { RdaeError } from "../rdae.js";
import { drawable, small } from "./colours.js";

/* The files that are open, and their pictures: one is decoded at a time, the one on show before the others. */

const KEPT_PIXELS = 60_000_000; // of pictures that are not on show
export const THUMBNAIL = { width: 112, height: 84 };

/**
 * @typedef {object} Source a file that can be read again
 * @property {string} name
 * @property {() => Promise<Uint8Array>} read
 *
 * @typedef {object} Item
 * @property {string} name
 * @property {() => Promise<Uint8Array>} read
 * @property {"waiting" | "busy" | "done" | "failed"} state
 * @property {number} size in bytes; 0 until it has been read
 * @property {import("../picture.js").Picture | null} picture
 * @property {ImageBitmap | null} bitmap of it
 * @property {ImageBitmap | null} thumbnail
 * @property {import("../picture.js").Damage[]} damage
 * @property {Error | null} error
 * @property {number} seconds that decoding took
 */

/** Sends "added", and "changed" with the item as `detail`. */
export class Library extends EventTarget {
  /** @param {import("../rdae.js").Decoder} decoder */
  constructor(decoder) {
    super();
    this.decoder = decoder;
    /** @type {Item[]} */
    this.items = [];
    /** @type {Item | null} */
    this.current = null;
    /** Items whose thumbnails are in sight. @type {Set<Item>} */
    this.seen = new Set();
    /** Those with pictures, the one that was used last at the end. @type {Item[]} */
    this.recent = [];
    /** Those whose pictures were dropped since another file came on show: not decoded ahead again. @type {Set<Item>} */
    this.dropped = new Set();
    this.isBusy = false;
  }

  /** @param {Source[]} sources */
  add(sources) {
    const rest = /** @type {const} */ ({ state: "waiting", size: 0, picture: null, bitmap: null, thumbnail: null, error: null, seconds: 0 });
    const items = sources.map((source) => /** @type {Item} */ ({ ...source, ...rest, damage: [] }));
    this.items.push(...items);
    this.dispatchEvent(new Event("added"));
    if (items.length) this.show(items[0]);
  }

  /** @param {Item} item */
  show(item) {
    this.current = item;
    this.dropped.clear();
    if (item.picture) this.use(item);
    this.changed(item);
    this.work();
  }

  /** The item so many places further on, the same at the end. @param {number} places */
  step(places) {
    const at = this.current ? this.items.indexOf(this.current) + places : 0;
    const item = this.items[Math.max(0, Math.min(this.items.length - 1, at))];
    if (item && item !== this.current) this.show(item);
  }

  /** @param {Item} item */
  changed(item) {
    this.dispatchEvent(new CustomEvent("changed", { detail: item }));
  }

  /** The next file and the one before, as far as there are such. */
  beside() {
    const at = this.current ? this.items.indexOf(this.current) : -1;
    return [this.items[at + 1], this.items[at - 1]].filter(Boolean);
  }

  /** What to decode next. @returns {Item | undefined} */
  next() {
    const lacks = (/** @type {Item | undefined} */ item) => item && !item.picture && item.state !== "failed";
    if (this.current && lacks(this.current)) return this.current;
    const wanted = this.beside().find((item) => lacks(item) && !this.dropped.has(item));
    return wanted ?? [...this.seen].find((item) => !item.thumbnail && item.state === "waiting");
  }

  async work() {
    if (this.isBusy) return;
    this.isBusy = true;
    for (let item; (item = this.next()); ) await this.decode(item);
    this.isBusy = false;
  }

  /** @param {Item} item */
  async decode(item) {
    item.state = "busy";
    this.changed(item);
    try {
      const bytes = await item.read(), began = performance.now();
      item.size = bytes.length;
      item.damage = [];
      const picture = await this.decoder.decode(bytes, { damage: item.damage });
      item.seconds = (performance.now() - began) / 1000;
      const bitmap = await drawable(picture);
      item.thumbnail ??= await small(bitmap, 2 * THUMBNAIL.width, 2 * THUMBNAIL.height);
      Object.assign(item, { picture, bitmap, state: "done" });
      this.use(item);
    } catch (error) {
      item.state = "failed";
      item.error = error instanceof Error ? error : new RdaeError("failed", String(error));
    }
    this.changed(item);
  }

  /**
   * Remember that an item was used, and drop pictures that are too many: those that were used long ago, before those
   * beside the one on show. The first beside it stays, however large.
   * @param {Item} item
   */
  use(item) {
    this.recent = [...this.recent.filter((one) => one !== item), item];
    let pixels = 0;
    for (const one of new Set([...this.beside(), ...[...this.recent].reverse()])) {
      if (!one.picture || one === this.current) continue;
      const size = one.picture.width * one.picture.height;
      if (!pixels || pixels + size <= KEPT_PIXELS) pixels += size;
      else {
        one.bitmap?.close();
        one.picture = one.bitmap = null;
        this.dropped.add(one);
        this.recent.splice(this.recent.indexOf(one), 1);
      }
    }
  }
}

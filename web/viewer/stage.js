/* The picture on show: where it lies, how large, and how it is drawn. Positions are in CSS pixels of the stage. */

const MOST = 64; // device pixels for one of the picture
const MARGIN = 16; // around a picture that fits
const SHARP = 2; // from this scale on, pixels are squares

export class Stage extends EventTarget {
  /**
   * Sends "moved" when scale or place have changed.
   * @param {HTMLElement} box
   * @param {HTMLCanvasElement} canvas that fills it
   */
  constructor(box, canvas) {
    super();
    this.box = box;
    this.canvas = canvas;
    /** @type {ImageBitmap | null} */
    this.bitmap = null;
    /** @type {{x: number, y: number, width: number, height: number}[]} */
    this.marks = [];
    this.showsMarks = true;
    this.hasAlpha = false;
    this.scale = 1;
    this.x = this.y = 0;
    /** Whether the picture is to fit whatever the size of the stage. */
    this.fits = true;
    this.frame = 0;
    new ResizeObserver(() => this.move()).observe(box);
    this.followScreen();
  }

  /** Draw anew on a screen, or at a zoom of the page, that has other pixels. */
  followScreen() {
    const change = () => (this.move(), this.followScreen());
    matchMedia(`(resolution: ${this.ratio}dppx)`).addEventListener("change", change, { once: true });
  }

  /**
   * @param {ImageBitmap | null} bitmap
   * @param {{marks?: {x: number, y: number, width: number, height: number}[], hasAlpha?: boolean}} [what] marks: rectangles
   *   that are damaged
   */
  show(bitmap, { marks = [], hasAlpha = false } = {}) {
    const isNew = bitmap !== this.bitmap;
    this.bitmap = bitmap;
    this.marks = marks;
    this.hasAlpha = hasAlpha;
    if (isNew) this.fit();
  }

  get ratio() {
    return window.devicePixelRatio || 1;
  }

  /** The scale at which all of the picture is to be seen; small ones are not enlarged. */
  fitting() {
    if (!this.bitmap) return 1;
    const { clientWidth, clientHeight } = this.box, margin = clientWidth < 600 ? 0 : MARGIN;
    const across = (clientWidth - 2 * margin) / this.bitmap.width, down = (clientHeight - 2 * margin) / this.bitmap.height;
    return Math.max(1e-4, Math.min(across, down, 1));
  }

  fit() {
    this.fits = true;
    this.move();
  }

  /** One pixel of the picture for one of the screen, or so many. @param {number} [times] */
  actual(times = 1) {
    const { clientWidth, clientHeight } = this.box;
    this.zoom(times / this.ratio / this.scale, clientWidth / 2, clientHeight / 2);
  }

  /**
   * @param {number} factor
   * @param {number} [x] that stays where it is; the middle without it
   * @param {number} [y]
   */
  zoom(factor, x = this.box.clientWidth / 2, y = this.box.clientHeight / 2) {
    if (!this.bitmap) return;
    const least = Math.min(this.fitting(), 1 / this.ratio), most = MOST / this.ratio;
    const scale = Math.max(least, Math.min(most, this.scale * factor)), change = scale / this.scale;
    // Exactly there, since actual size is smaller than that where small pictures meet small pixels.
    this.fits = factor < 1 && Math.abs(scale / this.fitting() - 1) < 1e-4;
    this.x = x - (x - this.x) * change;
    this.y = y - (y - this.y) * change;
    this.scale = scale;
    this.move();
  }

  /** @param {number} [dx] @param {number} [dy] */
  move(dx = 0, dy = 0) {
    if (this.bitmap) {
      if (this.fits) this.scale = this.fitting();
      this.x = inside(this.x + dx, this.bitmap.width * this.scale, this.box.clientWidth);
      this.y = inside(this.y + dy, this.bitmap.height * this.scale, this.box.clientHeight);
    }
    this.frame ||= requestAnimationFrame(() => this.draw());
    this.dispatchEvent(new Event("moved"));
  }

  /** Whether some of the picture lies outside. */
  get overflows() {
    const { bitmap, box, scale } = this;
    return !!bitmap && (bitmap.width * scale > box.clientWidth + 1 || bitmap.height * scale > box.clientHeight + 1);
  }

  /** The pixel at a place, null beside the picture. @param {number} x @param {number} y */
  pixelAt(x, y) {
    if (!this.bitmap) return null;
    const column = Math.floor((x - this.x) / this.scale), row = Math.floor((y - this.y) / this.scale);
    const isThere = column >= 0 && row >= 0 && column < this.bitmap.width && row < this.bitmap.height;
    return isThere ? { x: column, y: row } : null;
  }

  draw() {
    this.frame = 0;
    const { canvas, bitmap, ratio } = this, { clientWidth, clientHeight } = this.box;
    const width = Math.round(clientWidth * ratio), height = Math.round(clientHeight * ratio);
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const wide = matchMedia("(color-gamut: p3)").matches;
    const context = canvas.getContext("2d", { colorSpace: wide ? "display-p3" : "srgb" });
    if (!context) return;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!bitmap) return;
    const scale = this.scale * ratio, across = bitmap.width * scale, down = bitmap.height * scale;
    // On whole device pixels, so that nothing is blurred at 100 %.
    const x = Math.round(this.x * ratio), y = Math.round(this.y * ratio);
    context.imageSmoothingEnabled = scale < SHARP;
    context.imageSmoothingQuality = "high";
    if (this.hasAlpha) this.check(context, x, y, across, down);
    context.drawImage(bitmap, x, y, across, down);
    if (this.showsMarks) this.mark(context, x, y, scale);
  }

  /**
   * The ground on which transparency is seen.
   * @param {CanvasRenderingContext2D} context
   * @param {...number} area
   */
  check(context, ...area) {
    const size = Math.round(8 * this.ratio), tile = new OffscreenCanvas(2 * size, 2 * size), paint = tile.getContext("2d");
    if (!paint) return;
    paint.fillStyle = getComputedStyle(this.box).getPropertyValue("--check");
    paint.fillRect(0, 0, size, size);
    paint.fillRect(size, size, size, size);
    context.fillStyle = context.createPattern(tile, "repeat") ?? "transparent";
    context.fillRect(.../** @type {[number, number, number, number]} */ (area));
  }

  /**
   * Hatch what is damaged.
   * @param {CanvasRenderingContext2D} context
   * @param {number} left
   * @param {number} top
   * @param {number} scale
   */
  mark(context, left, top, scale) {
    const gap = 14 * this.ratio;
    context.lineWidth = 1.5 * this.ratio;
    for (const mark of this.marks) {
      const x = left + mark.x * scale, y = top + mark.y * scale, width = mark.width * scale, height = mark.height * scale;
      context.save();
      context.beginPath();
      context.rect(x, y, width, height);
      context.clip();
      context.beginPath();
      // Only what is in sight: a tile may be many times as large.
      const from = Math.max(0, -x - height), to = Math.min(width + height, this.canvas.width - x + height);
      for (let at = from - (from % gap); at < to; at += gap) {
        context.moveTo(x + at, y);
        context.lineTo(x + at - height, y + height);
      }
      context.strokeStyle = "rgb(255 255 255 / 0.55)";
      context.stroke();
      context.translate(1.5 * this.ratio, 0);
      context.strokeStyle = "rgb(0 0 0 / 0.55)";
      context.stroke();
      context.restore();
      context.strokeStyle = "rgb(224 122 32)";
      context.strokeRect(x, y, width, height);
    }
  }
}

/**
 * Where a picture's side begins: in the middle if it is short, otherwise without a gap at either end.
 * @param {number} at
 * @param {number} size
 * @param {number} room
 */
function inside(at, size, room) {
  return size <= room ? (room - size) / 2 : Math.max(room - size, Math.min(0, at));
}

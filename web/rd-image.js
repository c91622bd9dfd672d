import { decode, RdaeError, readInfo } from "./rdae.js";

/* <rd-image src="photo.rd" alt="A pond"><img src="photo.jpg" alt="A pond" loading="lazy"></rd-image>

   What is inside is for browsers that know no modules, and for files that cannot be shown. It is fetched in
   these cases only, if it says loading="lazy". Safari has no <img is="...">, so this is an element of its own.
   Attributes: src, alt, loading ("lazy", the default, or "eager"). Events: load; error, whose `error` says what
   is wrong. */

const STYLE = `
  :host { display: inline-block; max-width: 100%; line-height: 0 }
  :host([hidden]) { display: none }
  canvas { max-width: 100%; height: auto }
  p { font: 0.9rem/1.4 system-ui, sans-serif; margin: 0; padding: 0.75rem; border: 1px solid }
  [hidden] { display: none }
`;
/** One for all elements. Pages whose Content-Security-Policy forbids inline styles allow it, too. */
const sheet = makeSheet();
const HEADER = 32; // bytes that are enough for width and height

class RdImage extends HTMLElement {
  static observedAttributes = ["src", "alt", "loading"];

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    this.canvas = document.createElement("canvas");
    this.message = document.createElement("p");
    this.inside = document.createElement("slot");
    this.canvas.setAttribute("role", "img");
    this.canvas.width = this.canvas.height = 0;
    this.message.hidden = this.inside.hidden = true;
    root.append(this.canvas, this.message, this.inside);
    if (sheet) root.adoptedStyleSheets = [sheet];
    else root.appendChild(document.createElement("style")).textContent = STYLE;
    this.observer = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.load(), { rootMargin: "600px" });
    /** What was begun last: an older file that comes late is not shown. */
    this.begun = 0;
    this.isDrawn = false;
  }

  connectedCallback() {
    if (!this.isDrawn) this.begin(); // one that is moved within its page keeps its picture
  }

  disconnectedCallback() {
    this.begun++;
    this.observer.disconnect();
  }

  /** @param {string} name */
  attributeChangedCallback(name) {
    if (name === "alt") this.canvas.setAttribute("aria-label", this.getAttribute("alt") ?? "");
    else {
      if (name === "src") this.isDrawn = false;
      if (this.isConnected && !this.isDrawn) this.begin();
    }
  }

  begin() {
    this.begun++;
    this.observer.disconnect();
    if (!this.getAttribute("src")) {
      this.shape(0, 0);
      return this.show(this.canvas);
    }
    if (this.getAttribute("loading") === "eager") this.load();
    else this.observer.observe(this);
  }

  async load() {
    this.observer.disconnect();
    const mine = ++this.begun, src = this.getAttribute("src") ?? "";
    try {
      const bytes = await this.fetched(src, mine);
      if (!bytes) return;
      const picture = await decode(bytes);
      if (mine !== this.begun) return;
      // The numbers are those of sRGB, or of a profile that the browser knows what to do with.
      const coloured = picture.metadata.icc ? await (await import("./viewer/colours.js")).drawable(picture) : null;
      if (mine === this.begun) this.draw(picture, coloured);
      coloured?.close();
      if (mine !== this.begun) return;
      this.isDrawn = true;
      this.show(this.canvas);
      this.dispatchEvent(new Event("load"));
    } catch (error) {
      if (mine !== this.begun) return;
      this.message.textContent = `${this.getAttribute("alt") ?? ""} (${src}: ${error instanceof Error ? error.message : error})`;
      this.show(this.children.length ? this.inside : this.message);
      this.dispatchEvent(new ErrorEvent("error", { error, message: this.message.textContent }));
    }
  }

  /**
   * @param {import("./picture.js").Picture} picture
   * @param {ImageBitmap | null} coloured the same in the colours of its profile, if it has one
   */
  draw({ data, width, height }, coloured) {
    this.shape(width, height);
    const colorSpace = coloured && matchMedia("(color-gamut: p3)").matches ? "display-p3" : "srgb";
    const context = this.canvas.getContext("2d", { colorSpace });
    if (coloured) {
      context?.clearRect(0, 0, width, height); // an older one of the same size would be seen through alpha
      context?.drawImage(coloured, 0, 0);
    } else context?.putImageData(new ImageData(data, width, height), 0, 0);
    const works = context && !context.isContextLost?.(); // as a canvas is that is wider than the browser knows
    if (!works) throw new RdaeError("too-large", `${width} x ${height} pixels are more than this browser can draw`);
  }

  /**
   * The file, null if another one has been begun; the element has its shape as soon as the header is there.
   * @param {string} src
   * @param {number} mine
   */
  async fetched(src, mine) {
    const response = await fetch(src).catch((error) => {
      throw new RdaeError("unavailable", error.message);
    });
    if (!response.ok || !response.body) throw new RdaeError("unavailable", `${response.status} ${response.statusText}`.trim());
    /** @type {Uint8Array[]} */
    const pieces = [];
    let size = 0, isShaped = false;
    const reader = response.body.getReader();
    const next = () => reader.read().catch((error) => {
      throw new RdaeError("unavailable", error.message); // the connection may break in the middle
    });
    try {
      for (let piece; !(piece = await next()).done; ) {
        if (mine !== this.begun) return null;
        pieces.push(piece.value);
        size += piece.value.length;
        if (isShaped || size < HEADER) continue;
        const { width, height } = readInfo(joined(pieces, size));
        this.shape(width, height);
        isShaped = true;
      }
    } finally {
      reader.cancel().catch(() => undefined); // what is not wanted is not fetched
    }
    return mine === this.begun ? joined(pieces, size) : null;
  }

  /** @param {number} width @param {number} height */
  shape(width, height) {
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
  }

  /** @param {HTMLElement} part */
  show(part) {
    for (const one of [this.canvas, this.message, this.inside]) one.hidden = one !== part;
  }
}

/** None in browsers that cannot make one, as Safari before 16.4. */
function makeSheet() {
  try {
    const made = new CSSStyleSheet();
    made.replaceSync(STYLE);
    return "adoptedStyleSheets" in document ? made : null;
  } catch {
    return null;
  }
}

/** @param {Uint8Array[]} pieces @param {number} size */
function joined(pieces, size) {
  const all = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

customElements.define("rd-image", RdImage);

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
/** One for all elements of a document. Pages whose Content-Security-Policy forbids inline styles allow it, too. */
const sheets = /** @type {WeakMap<Document, CSSStyleSheet | null>} */ (new WeakMap());
const HEADER = 32; // bytes that are enough for width and height

class RdImage extends HTMLElement {
  static observedAttributes = ["src", "alt", "loading"];

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    this.canvas = this.makeCanvas();
    this.message = document.createElement("p");
    this.inside = document.createElement("slot");
    this.message.hidden = this.inside.hidden = true;
    root.append(this.canvas, this.message, this.inside);
    this.dress(root);
    this.observer = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.load(), { rootMargin: "600px" });
    /** What was begun last: an older file that comes late is not shown. */
    this.begun = 0;
    /** Ends the request for it. */
    this.aborter = new AbortController();
    this.isDrawn = false;
    /** @type {"srgb" | "display-p3"} */
    this.colorSpace = "srgb";
    /** It is in a page and was told so: before, an element of the page's HTML hears of each attribute. */
    this.isPlaced = false;
  }

  connectedCallback() {
    this.isPlaced = true;
    if (!this.isDrawn) this.begin(); // one that is moved within its page keeps its picture
  }

  disconnectedCallback() {
    this.isPlaced = false;
    this.stop();
  }

  /** In another document, the style sheet of the one before does not count. */
  adoptedCallback() {
    if (this.shadowRoot) this.dress(this.shadowRoot);
  }

  /** @param {string} name */
  attributeChangedCallback(name) {
    if (name === "alt") describe(this.canvas, this.getAttribute("alt"));
    else {
      if (name === "src") this.isDrawn = false;
      if (this.isPlaced && !this.isDrawn) this.begin();
    }
  }

  /** Style what is inside. @param {ShadowRoot} root */
  dress(root) {
    const { ownerDocument } = this;
    if (!sheets.has(ownerDocument)) sheets.set(ownerDocument, makeSheet(ownerDocument));
    const sheet = sheets.get(ownerDocument), style = root.querySelector("style");
    if (sheet) root.adoptedStyleSheets = [sheet];
    else if (!style) root.appendChild(document.createElement("style")).textContent = STYLE;
  }

  makeCanvas() {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 0;
    describe(canvas, this.getAttribute("alt"));
    return canvas;
  }

  /** Leave what was begun. */
  stop() {
    this.begun++;
    this.aborter.abort();
    this.aborter = new AbortController();
    this.observer.disconnect();
  }

  begin() {
    this.stop();
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
      this.show(this.children.length || this.textContent?.trim() ? this.inside : this.message);
      this.dispatchEvent(new ErrorEvent("error", { error, message: this.message.textContent }));
    }
  }

  /**
   * @param {import("./picture.js").Picture} picture
   * @param {ImageBitmap | null} coloured the same in the colours of its profile, if it has one
   */
  draw({ data, width, height }, coloured) {
    const colorSpace = coloured && matchMedia("(color-gamut: p3)").matches ? "display-p3" : "srgb";
    if (colorSpace !== this.colorSpace) {
      const fresh = this.makeCanvas(); // one that has been drawn on keeps its colour space
      this.canvas.replaceWith(fresh);
      this.canvas = fresh;
      this.colorSpace = colorSpace;
    }
    this.shape(width, height);
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
    const response = await fetch(src, { signal: this.aborter.signal }).catch((error) => {
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

/**
 * What a picture is called for those who do not see it; `alt=""` says that it is an ornament.
 * @param {HTMLCanvasElement} canvas
 * @param {string | null} alt
 */
function describe(canvas, alt) {
  canvas.setAttribute("role", alt === "" ? "presentation" : "img");
  if (alt) canvas.setAttribute("aria-label", alt);
  else canvas.removeAttribute("aria-label");
}

/**
 * None in browsers that cannot make one, as Safari before 16.4, and in documents without a window.
 * @param {Document} document
 */
function makeSheet(document) {
  try {
    const { CSSStyleSheet } = /** @type {Window & typeof globalThis} */ (document.defaultView);
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

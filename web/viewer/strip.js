import { THUMBNAIL } from "./library.js";

/* Thumbnails of all files, in a row. */

/**
 * @param {import("./library.js").Library} library
 * @param {HTMLElement} strip
 */
export function showStrip(library, strip) {
  /** @type {Map<import("./library.js").Item, HTMLButtonElement>} */
  const buttons = new Map();
  /** @type {WeakMap<Element, import("./library.js").Item>} */
  const items = new WeakMap();
  // Files whose thumbnails nobody looks at are not decoded.
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const item = items.get(target);
        if (item) library.seen[isIntersecting ? "add" : "delete"](item);
      }
      library.work();
    },
    { root: strip, rootMargin: "0px 200px" },
  );

  /** @param {import("./library.js").Item} item */
  function add(item) {
    const button = document.createElement("button"), canvas = document.createElement("canvas");
    button.type = "button";
    button.className = "thumbnail";
    button.title = item.name;
    button.setAttribute("aria-label", item.name);
    [canvas.width, canvas.height] = [2 * THUMBNAIL.width, 2 * THUMBNAIL.height];
    button.append(canvas);
    button.addEventListener("click", () => library.show(item));
    buttons.set(item, button);
    items.set(button, item);
    strip.append(button);
    observer.observe(button);
  }

  /** @param {import("./library.js").Item} item */
  function update(item) {
    const button = buttons.get(item);
    if (!button) return;
    button.dataset.state = item.state === "done" && item.damage.length ? "damaged" : item.state;
    const note = item.state === "failed" ? ", cannot be shown" : item.damage.length ? ", damaged" : "";
    button.setAttribute("aria-label", item.name + note);
    const canvas = button.querySelector("canvas"), { thumbnail } = item;
    if (!canvas || !thumbnail) return;
    // Filled, as with object-fit: cover; small pictures as they are.
    const scale = Math.min(2, Math.max(canvas.width / thumbnail.width, canvas.height / thumbnail.height));
    const width = thumbnail.width * scale, height = thumbnail.height * scale;
    const context = canvas.getContext("2d");
    context?.clearRect(0, 0, canvas.width, canvas.height);
    context?.drawImage(thumbnail, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  }

  library.addEventListener("added", () => {
    for (const item of library.items) if (!buttons.has(item)) add(item);
    strip.hidden = library.items.length < 2;
  });
  library.addEventListener("changed", (event) => {
    const item = /** @type {CustomEvent} */ (event).detail;
    update(item);
    if (item !== library.current) return;
    for (const [one, button] of buttons) {
      if (one === item) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    buttons.get(item)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
}

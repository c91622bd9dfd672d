/* Mouse, pen and fingers on the stage: drag, wheel, pinch, double click, swipe. */

const SWIPE = 60; // CSS pixels
const WHEEL = 0.0018, PINCH = 0.012; // change of the scale's logarithm per CSS pixel

/**
 * @param {import("./stage.js").Stage} stage
 * @param {{step: (places: number) => void, hover: (pixel: {x: number, y: number} | null) => void}} actions
 */
export function listen(stage, { step, hover }) {
  const { box } = stage;
  /** @type {Map<number, {x: number, y: number}>} */
  const pointers = new Map();
  let start = { x: 0, y: 0 }, isSwipe = false;

  /** @param {{clientX: number, clientY: number}} event */
  const place = ({ clientX, clientY }) => {
    const { left, top } = box.getBoundingClientRect();
    return { x: clientX - left, y: clientY - top };
  };
  const spread = () => {
    const [a, b] = pointers.values();
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, distance: Math.max(1, Math.hypot(a.x - b.x, a.y - b.y)) };
  };

  box.addEventListener("pointerdown", (event) => {
    if (event.button || /** @type {Element} */ (event.target).closest("button, a")) return;
    const at = place(event);
    pointers.set(event.pointerId, at);
    box.setPointerCapture(event.pointerId);
    [start, isSwipe] = [at, pointers.size === 1 && event.pointerType === "touch" && !stage.overflows];
    box.classList.toggle("dragging", stage.overflows);
    hover(stage.pixelAt(at.x, at.y));
  });
  box.addEventListener("pointermove", (event) => {
    const at = place(event), before = pointers.get(event.pointerId);
    if (before && pointers.size === 2) {
      const old = spread();
      pointers.set(event.pointerId, at);
      const now = spread();
      stage.zoom(now.distance / old.distance, old.x, old.y);
      stage.move(now.x - old.x, now.y - old.y); // only now may there be room for it
      isSwipe = false;
    } else if (before) {
      pointers.set(event.pointerId, at);
      stage.move(at.x - before.x, at.y - before.y);
    }
    hover(stage.pixelAt(at.x, at.y));
  });
  /** @param {PointerEvent} event */
  const end = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    box.classList.remove("dragging");
    const at = place(event), across = at.x - start.x;
    if (isSwipe && event.type === "pointerup" && Math.abs(across) > SWIPE && Math.abs(at.y - start.y) < Math.abs(across) / 2)
      step(across < 0 ? 1 : -1);
  };
  box.addEventListener("pointerup", end);
  box.addEventListener("pointercancel", end);
  box.addEventListener("pointerleave", () => hover(null));

  box.addEventListener(
    "wheel",
    (event) => {
      if (!stage.bitmap) return;
      event.preventDefault();
      const { x, y } = place(event), lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1;
      stage.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? PINCH : WHEEL)), x, y);
    },
    { passive: false },
  );
  box.addEventListener("dblclick", (event) => {
    if (!stage.bitmap || /** @type {Element} */ (event.target).closest("button, a")) return;
    const { x, y } = place(event);
    if (stage.fits) stage.zoom(Math.max(2, 1 / stage.ratio / stage.scale), x, y);
    else stage.fit();
  });
}

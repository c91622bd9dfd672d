/* What keys do. Buttons keep theirs: Space and Enter press them. */

const PAN = 80, FACTOR = 1.25;
const SCROLLING = ["ArrowDown", "ArrowUp", "PageDown", "PageUp", "Home", "End", " "];

/**
 * @param {import("./stage.js").Stage} stage
 * @param {Record<"open" | "save" | "info" | "help" | "marks" | "leave", () => void> & {step: (places: number) => void}} actions
 */
export function listenToKeys(stage, actions) {
  /** @type {Record<string, () => void>} */
  const keys = {
    ArrowRight: () => actions.step(1),
    ArrowLeft: () => actions.step(-1),
    ArrowDown: () => actions.step(1),
    ArrowUp: () => actions.step(-1),
    PageDown: () => actions.step(1),
    PageUp: () => actions.step(-1),
    Home: () => actions.step(-Infinity),
    End: () => actions.step(Infinity),
    "+": () => stage.zoom(FACTOR),
    "=": () => stage.zoom(FACTOR),
    "-": () => stage.zoom(1 / FACTOR),
    0: () => stage.fit(),
    1: () => stage.actual(),
    s: actions.save,
    i: actions.info,
    o: actions.open,
    d: actions.marks,
    "?": actions.help,
    Escape: actions.leave,
  };
  /** @type {Record<string, [number, number]>} */
  const pans = { ArrowRight: [-PAN, 0], ArrowLeft: [PAN, 0], ArrowDown: [0, -PAN], ArrowUp: [0, PAN] };
  addEventListener("keydown", (event) => {
    const { key, shiftKey } = event, isInDialog = !!document.querySelector("dialog[open]");
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isInDialog) return;
    const isInPanel = event.target instanceof Element && !!event.target.closest("#info");
    if (isInPanel && SCROLLING.includes(key)) return; // it is long
    const action = shiftKey && pans[key] ? () => stage.move(...pans[key]) : keys[key.length === 1 ? key.toLowerCase() : key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

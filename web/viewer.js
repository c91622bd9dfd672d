import { Decoder } from "./rdae.js";
import { damageLine } from "./viewer/facts.js";
import { listen } from "./viewer/gestures.js";
import { listenToKeys } from "./viewer/keys.js";
import { Library } from "./viewer/library.js";
import { fill } from "./viewer/panel.js";
import { png } from "./viewer/png.js";
import { acceptDrops, acceptLaunches, isSession, ofAddress, ofFiles, ofSession } from "./viewer/sources.js";
import { Stage } from "./viewer/stage.js";
import { showStrip } from "./viewer/strip.js";

/* The viewer: files to a library, its current picture to the stage, and what is said of both. */

const HINTS = /** @type {Record<string, string>} */ ({
  truncated: "The file is incomplete; copy or download it again. The command rdae decompress can save what is there.",
  corrupt: "The file is damaged; copy or download it again.",
  "unknown-model": "It needs the model that it was made with, and a newer rdae may have it.",
  "unsupported-version": "A newer rdae can read it.",
  "not-rdae": "Only .rd files can be shown here.",
});

/** @template {HTMLElement} T @param {string} id @returns {T} */
const at = (id) => /** @type {T} */ (document.getElementById(id));
const [box, panel, message] = [at("stage"), at("info"), at("message")];
const picker = /** @type {HTMLInputElement} */ (at("picker")), help = /** @type {HTMLDialogElement} */ (at("help"));
const session = isSession();

// The port of `rdae view` is another one every time: what is kept for it would never be found again.
const decoder = new Decoder(undefined, { cache: !session });
const library = new Library(decoder);
const stage = new Stage(box, /** @type {HTMLCanvasElement} */ (at("canvas")));
/** @type {{id: number, name: string, fingerprint: string}[]} */
let models = [];
/** @type {ReturnType<typeof setTimeout> | undefined} */
let silence;

/** A name without its folder. @param {string} name */
const short = (name) => name.split(/[/\\]/).pop() || name;

/** The beginning and the end of a long one. @param {string} name */
const clipped = (name) => (name.length > 64 ? `${name.slice(0, 40)}…${name.slice(-20)}` : name);

/** Say something that goes away again. @param {string} text @param {number} [seconds] */
function say(text, seconds = 4) {
  clearTimeout(silence);
  message.textContent = text;
  message.classList.add("shown");
  silence = setTimeout(() => message.classList.remove("shown"), 1000 * seconds);
}

function update() {
  const item = library.current, place = item ? library.items.indexOf(item) : -1, count = library.items.length;
  document.body.dataset.state = item?.state ?? "empty";
  at("name").textContent = item ? short(item.name) : "";
  at("name").title = item?.name ?? "";
  at("place").textContent = count > 1 ? `${place + 1} of ${count}` : "";
  document.title = item ? `${short(item.name)} – rdae` : "rdae viewer";
  const marks = item?.damage.flatMap(({ tile, filling }) => (tile && filling !== "exact" ? tile : []));
  stage.show(item?.bitmap ?? null, { marks, hasAlpha: item?.picture?.header.alpha });
  stage.canvas.setAttribute("aria-label", item?.picture ? `${item.name}, ${item.picture.width} by ${item.picture.height} pixels` : "no picture");
  at("damage").textContent = item?.damage.length && item.picture ? damageLine(item.damage) : "";
  if (item?.error) {
    at("problem-name").textContent = `${clipped(short(item.name))} cannot be shown`;
    at("problem-text").textContent = item.error.message;
    at("problem-hint").textContent = HINTS[/** @type {any} */ (item.error).code] ?? "";
  }
  for (const id of ["save", "zoom-in", "zoom-out", "zoom"]) /** @type {HTMLButtonElement} */ (at(id)).disabled = !item?.picture;
  /** @type {HTMLButtonElement} */ (at("previous")).disabled = place <= 0;
  /** @type {HTMLButtonElement} */ (at("next")).disabled = place < 0 || place === count - 1;
  if (!panel.hidden) fill(at("facts"), item, models);
  hover(null);
}

function updateZoom() {
  const percent = 100 * stage.scale * stage.ratio;
  at("zoom").textContent = stage.bitmap ? `${percent < 10 ? percent.toFixed(1) : Math.round(percent)} %` : "";
  box.classList.toggle("movable", stage.overflows);
}

/** Show the numbers of a pixel. @param {{x: number, y: number} | null} pixel */
function hover(pixel) {
  const picture = library.current?.picture, readout = at("readout");
  readout.hidden = !pixel || !picture;
  if (!pixel || !picture) return;
  const from = 4 * (pixel.y * picture.width + pixel.x), [r, g, b, a] = picture.data.subarray(from, from + 4);
  const numbers = picture.header.grey ? `${r}` : `${r} ${g} ${b}`;
  at("pixel").textContent = `${pixel.x}, ${pixel.y}   ${numbers}${picture.header.alpha ? `   α ${a}` : ""}`;
  at("swatch").style.backgroundColor = `rgb(${r} ${g} ${b})`;
}

async function save() {
  const item = library.current;
  if (!item?.picture) return;
  say("Writing a PNG…", 60);
  const blob = await png(item.picture).catch((error) => say(`It could not be saved: ${error.message}`));
  if (!blob) return;
  const link = document.createElement("a"), name = short(item.name);
  link.href = URL.createObjectURL(blob);
  link.download = `${name.replace(/\.rd$/i, "")}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say(`Saved as ${clipped(link.download)}${item.damage.length ? ", as far as it is not damaged" : ""}`);
}

function toggleInfo() {
  panel.hidden = !panel.hidden;
  at("info-button").setAttribute("aria-expanded", String(!panel.hidden));
  update();
}

function toggleMarks() {
  stage.showsMarks = !stage.showsMarks;
  stage.move();
}

function leave() {
  if (!panel.hidden) toggleInfo();
  else stage.fit();
}

const open = () => picker.click();
const showHelp = () => {
  help.showModal();
  help.scrollTop = 0; // it goes to its end, where the button is
};
const step = (/** @type {number} */ places) => library.step(places);
const take = (/** @type {import("./viewer/library.js").Source[]} */ sources) => library.add(sources);

library.addEventListener("added", update);
library.addEventListener("changed", (event) => {
  const item = /** @type {CustomEvent} */ (event).detail;
  if (item !== library.current) return;
  update();
  const place = library.items.length > 1 ? `, ${at("place").textContent}` : "";
  if (item.state === "failed") at("spoken").textContent = `${item.name} cannot be shown: ${item.error.message}`;
  else if (item.state === "done") at("spoken").textContent = `${item.name}${place}. ${damageLine(item.damage)}`;
});
stage.addEventListener("moved", updateZoom);
showStrip(library, at("strip"));
listen(stage, { step, hover });
listenToKeys(stage, { open, save, info: toggleInfo, help: showHelp, marks: toggleMarks, leave, step });
/** @type {Record<string, () => void>} */
const clicks = {
  ...{ open, "open-first": open, save, "info-button": toggleInfo, "info-close": toggleInfo, "help-button": showHelp },
  ...{ next: () => step(1), previous: () => step(-1), "zoom-in": () => stage.zoom(1.5), "zoom-out": () => stage.zoom(1 / 1.5) },
  ...{ zoom: () => (stage.fits ? stage.actual() : stage.fit()), "help-close": () => help.close(), damage: toggleMarks },
};
for (const [id, action] of Object.entries(clicks)) at(id).addEventListener("click", action);
picker.addEventListener("change", () => {
  take(ofFiles(picker.files ?? []));
  picker.value = "";
});
acceptDrops(take);
acceptLaunches(take);
update();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => stage.move());
decoder.list().then((manifest) => {
  models = manifest.models;
  update();
}, () => undefined); // without it, files fail and say so

if (session)
  ofSession(() => say("rdae view has ended; what is here stays until this page is closed.", 3600)).then(take, (error) => say(error.message, 3600));
else {
  take(ofAddress());
  if ("serviceWorker" in navigator) {
    navigator.serviceWorker.register(new URL("service-worker.js", import.meta.url)).catch(() => undefined);
    // Later without a connection, the first picture must not lack its model.
    if (!(/** @type {any} */ (navigator).connection?.saveData)) decoder.keep().catch(() => undefined);
  }
}

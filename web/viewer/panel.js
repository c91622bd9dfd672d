import { cut } from "../container.js";
import { damageLine, exactness, grouped, humanBytes, modeName, partsOf, ratio } from "./facts.js";

/* The panel with what `rdae info` says of the file on show. */

/**
 * @param {HTMLElement} panel
 * @param {import("./library.js").Item | null} item
 * @param {{id: number, name: string, fingerprint: string}[]} models that are known
 */
export function fill(panel, item, models) {
  panel.replaceChildren();
  if (!item) return;
  const list = document.createElement("dl");
  /** @param {string} name @param {string} value @param {string} [kind] */
  const say = (name, value, kind) => {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, text.textContent] = [name, value];
    if (kind) text.className = kind;
    const pair = list.appendChild(document.createElement("div"));
    pair.append(term, text);
  };
  panel.append(list);
  say("File", item.name);
  if (item.size) say("Size", item.size < 1000 ? humanBytes(item.size) : `${humanBytes(item.size)} (${grouped(item.size)} bytes)`);
  const { picture } = item;
  if (item.error) say("Problem", item.error.message, "problem");
  if (!picture) return;
  const { header, width, height, metadata, chunks } = picture;
  const pixels = width * height, channels = (header.grey ? 1 : 3) + (header.alpha ? 1 : 0);
  const model = models.find(({ id, fingerprint }) => id === header.modelId && fingerprint === header.fingerprint);
  if (item.damage.length) say("Damage", damageLine(item.damage), "problem");
  say("Image", `${width} × ${height} ${modeName(header)}`);
  say("Model", `${model ? `${model.name}, ` : ""}id ${header.modelId} (${header.fingerprint})`);
  say("Quality", exactness(picture));
  say("Bits per pixel", ((8 * item.size) / pixels).toFixed(3));
  const parts = partsOf(item.size, chunks), coded = parts.find(({ name }) => name === "pixels")?.bytes;
  if (coded) say("Per subpixel", `${((8 * coded) / pixels / (header.grey ? 1 : 3)).toFixed(4)} bits`);
  say("Ratio", `${ratio(pixels * channels, item.size)} to the bare pixels`);
  const tiles = cut(header), columns = tiles.filter(({ row }) => row === 0).length;
  say("Tiles", `${columns} × ${tiles.length / columns}`);
  const methods = Object.entries(picture.methods).flatMap(([name, count]) => (count ? `${count} by ${name}` : []));
  if (methods.length) say("Coded", methods.join(", "));
  const kinds = Object.entries(metadata).map(([kind, block]) => `${kind === "icc" ? iccName(block) : kind.toUpperCase()} (${humanBytes(block.length)})`);
  say("Metadata", kinds.join(", ") || "none");
  say("Decoded in", item.seconds < 1 ? `${Math.round(1000 * item.seconds)} ms` : `${item.seconds.toFixed(1)} s`);
  if (!item.damage.length) panel.append(table(parts, item.size));
}

/**
 * Where the bits went, with bars.
 * @param {import("./facts.js").Part[]} parts
 * @param {number} size
 */
function table(parts, size) {
  const element = document.createElement("table"), caption = element.createCaption();
  caption.textContent = `Where the ${grouped(8 * size)} bits went`;
  for (const { name, bytes } of parts) {
    if (!bytes) continue;
    const row = element.insertRow(), heading = document.createElement("th"), meter = document.createElement("meter");
    heading.scope = "row";
    heading.textContent = name;
    [meter.max, meter.value] = [size, bytes];
    meter.setAttribute("aria-label", `${((100 * bytes) / size).toFixed(1)} %`);
    row.append(heading);
    row.insertCell().append(meter);
    row.insertCell().textContent = grouped(8 * bytes);
  }
  return element;
}

/** The description in a profile, as far as it is plain text. @param {Uint8Array} profile */
function iccName(profile) {
  const view = new DataView(profile.buffer, profile.byteOffset, profile.length);
  try {
    for (let k = 0, count = view.getUint32(128); k < count; k++) {
      const at = 132 + 12 * k;
      if (view.getUint32(at) !== 0x64657363) continue; // desc
      const place = view.getUint32(at + 4), isText = view.getUint32(place) === 0x64657363;
      const [start, size] = isText
        ? [place + 12, view.getUint32(place + 8) - 1]
        : [place + view.getUint32(place + 24), view.getUint32(place + 20)]; // mluc: the first language
      const text = new TextDecoder(isText ? "latin1" : "utf-16be").decode(profile.subarray(start, start + size));
      if (text) return `ICC “${text.slice(0, 60)}”`;
    }
  } catch {
    // shorter than it says: its name is not known
  }
  return "ICC";
}

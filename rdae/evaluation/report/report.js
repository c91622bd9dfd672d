"use strict";
const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Light and dark: as the system has it, until the button is used.
const remembered = { get: () => null, set: () => {} };
try {
  const storage = window.localStorage;
  remembered.get = () => storage.getItem("rdae-theme");
  remembered.set = (value) => storage.setItem("rdae-theme", value);
} catch { /* a file without storage: nothing is remembered */ }
const root = document.documentElement;
if (remembered.get()) root.dataset.theme = remembered.get();
one("#theme").addEventListener("click", () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  remembered.set(root.dataset.theme);
});

// Tables: sort by a column, copy as CSV.
const value = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
all("table.sortable th").forEach((head) => {
  one("button", head)?.addEventListener("click", () => {
    const body = head.closest("table").tBodies[0];
    const column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    all("th", head.parentNode).forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const order = (a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      if (x === "" || y === "") return (x === "") - (y === ""); // unknown comes last, either way
      const sign = isNaN(x) || isNaN(y) ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
      return down ? -sign : sign;
    };
    body.append(...[...body.rows].sort(order));
  });
});
all("button.copy").forEach((button) => {
  button.addEventListener("click", async () => {
    const table = document.getElementById(button.dataset.table);
    const cell = (c) => {
      const text = c.dataset.v ?? c.textContent.trim().replace(/\s+/g, " ");
      return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const csv = all("tr", table).map((row) => [...row.cells].map(cell).join(",")).join("\n") + "\n";
    const done = await copied(csv);
    button.textContent = done ? "Copied" : "Could not copy";
    setTimeout(() => (button.textContent = "Copy as CSV"), 1500);
  });
});
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = Object.assign(document.createElement("textarea"), { value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

// Figures: one metric at a time, and only the codecs that are wanted.
const metrics = all(".figure-bar [data-choose]");
function choose(metric) {
  metrics.forEach((b) => b.setAttribute("aria-pressed", b.dataset.choose === metric));
  all("[data-metric]").forEach((part) => (part.hidden = part.dataset.metric !== metric));
}
metrics.forEach((b) => b.addEventListener("click", () => choose(b.dataset.choose)));
if (metrics.length) choose(metrics[0].dataset.choose);
all(".chip input").forEach((box) => {
  box.addEventListener("change", () => {
    const parts = all(`.figure svg [id$="-codec-${box.dataset.codec}"]`);
    parts.forEach((part) => (part.style.display = box.checked ? "" : "none"));
  });
});

// The viewer.
const scenes = JSON.parse(one("#scenes").textContent);
if (scenes.length) {
  const FLICKER_MS = 400; // 1.25 full changes a second, well below what is harmful
  const viewer = one("#viewer");
  const part = (name) => one(`[data-part="${name}"]`, viewer);
  const stage = one(".stage", viewer);
  const cmp = one(".cmp", viewer);
  const images = { a: part("image-a"), b: part("image-b") };
  const range = part("range");
  const state = {
    scene: 0, a: "", b: "", goal: "rate", zoom: 1, at: 50, flicker: null, held: false, difference: false,
  };

  const scene = () => scenes[state.scene];
  const versions = () => scene().versions.filter((v) => v.goals.includes(state.goal));
  const version = (side) => versions().find((v) => v.key === state[side]) ?? versions()[0];
  const text = (node, content) => { node.textContent = content; };

  scenes.forEach((s, i) => part("scenes").append(new Option(s.title, i)));

  // Everybody who has a picture somewhere can be picked; the first ones answer to number keys.
  const labels = new Map(scenes.flatMap((s) => s.versions.map((v) => [v.key, v.label])));
  const keys = [...labels.keys()];
  for (const side of ["a", "b"]) {
    keys.forEach((key, i) => {
      const name = i < 9 ? `${i + 1}  ${labels.get(key)}` : labels.get(key);
      part(`pick-${side}`).append(new Option(name, key));
    });
    part(`pick-${side}`).addEventListener("change", (event) => pick(side, event.target.value));
  }

  function pick(side, key) {
    if (!versions().some((v) => v.key === key)) key = state[side];
    state[side] = key;
    show();
  }

  function show() {
    part("scenes").value = state.scene;
    for (const side of ["a", "b"]) {
      const v = version(side);
      state[side] = v.key;
      const picker = part(`pick-${side}`);
      [...picker.options].forEach((o) => (o.disabled = !versions().some((w) => w.key === o.value)));
      picker.value = v.key;
      const image = images[side];
      if (image.getAttribute("src") !== v.src) image.src = v.src;
      image.alt = `${scene().image}, ${v.label}`;
      text(part(`tag-${side}`), `${side.toUpperCase()} · ${v.label}`);
      fill(part(`card-${side}`), side, v);
    }
    const { overview, box, width, height } = scene();
    const small = part("overview");
    part("map").hidden = !overview; // of a picture that is shown whole
    if (overview) small.src = overview;
    small.alt = `${scene().image}, whole`;
    Object.assign(part("box").style, {
      left: `${(100 * box[0]) / width}%`, top: `${(100 * box[1]) / height}%`,
      width: `${(100 * (box[2] - box[0])) / width}%`, height: `${(100 * (box[3] - box[1])) / height}%`,
    });
    all("[data-goal]", viewer).forEach((b) => b.setAttribute("aria-pressed", b.dataset.goal === state.goal));
    size();
  }

  function fill(card, side, v) {
    text(one("h3", card), `${side.toUpperCase()} · ${v.label}`);
    one("dl", card).replaceChildren(...v.numbers.flatMap(([name, content, mark]) => {
      const dt = document.createElement("dt");
      const dd = document.createElement("dd");
      text(dt, name);
      text(dd, content);
      if (mark === state.goal) dd.className = "bad";
      return [dt, dd];
    }));
  }

  function size() {
    const [left, top, right, bottom] = scene().box;
    for (const picture of [images.a, images.b]) {
      picture.style.width = `${(right - left) * state.zoom}px`;
      picture.style.height = `${(bottom - top) * state.zoom}px`;
    }
    all("[data-zoom]", viewer).forEach((b) => b.setAttribute("aria-pressed", +b.dataset.zoom === state.zoom));
    place();
  }

  function place() {
    // A percentage of what is seen, so that the line stays in sight of a zoomed picture.
    cmp.style.setProperty("--x", `${stage.scrollLeft + (stage.clientWidth * state.at) / 100}px`);
    range.value = state.at;
    part("tags").style.width = range.style.width = `${stage.clientWidth}px`;
  }
  function slide(to) {
    state.at = Math.min(100, Math.max(0, to));
    place();
  }

  function flicker(on) {
    clearInterval(state.flicker);
    state.flicker = null;
    delete cmp.dataset.show;
    if (on) {
      const turn = () => { cmp.dataset.show = cmp.dataset.show === "b" ? "a" : "b"; tags(); };
      turn();
      state.flicker = setInterval(turn, FLICKER_MS);
    }
    part("flicker").setAttribute("aria-pressed", on);
    tags();
  }
  function tags() {
    part("tag-a").classList.toggle("off", cmp.dataset.show === "b");
    part("tag-b").classList.toggle("off", cmp.dataset.show === "a");
  }

  // By the style sheet: a page from disk may show pictures beside it, but not read their pixels.
  function difference(on) {
    state.difference = on;
    cmp.classList.toggle("difference", on);
    part("difference").setAttribute("aria-pressed", on);
  }

  function match(goal) {
    state.goal = goal;
    show();
  }
  function move(step) {
    state.scene = (state.scene + step + scenes.length) % scenes.length;
    show();
  }
  function zoom(factor) {
    const centre = stage.scrollLeft + stage.clientWidth / 2;
    const middle = stage.scrollTop + stage.clientHeight / 2;
    const ratio = factor / state.zoom;
    state.zoom = factor;
    size();
    stage.scrollTo(centre * ratio - stage.clientWidth / 2, middle * ratio - stage.clientHeight / 2);
    place();
  }

  part("scenes").addEventListener("change", (event) => { state.scene = +event.target.value; show(); });
  part("previous").addEventListener("click", () => move(-1));
  part("next").addEventListener("click", () => move(1));
  part("swap").addEventListener("click", () => { [state.a, state.b] = [state.b, state.a]; show(); });
  part("flicker").addEventListener("click", () => flicker(!state.flicker));
  part("difference").addEventListener("click", () => difference(!state.difference));
  all("[data-goal]", viewer).forEach((b) => b.addEventListener("click", () => match(b.dataset.goal)));
  all("[data-zoom]", viewer).forEach((b) => b.addEventListener("click", () => zoom(+b.dataset.zoom)));
  range.addEventListener("input", () => slide(+range.value));
  stage.addEventListener("scroll", place);
  new ResizeObserver(place).observe(stage);
  const follow = (event) => {
    const frame = stage.getBoundingClientRect();
    slide((100 * (event.clientX - frame.left)) / stage.clientWidth);
  };
  stage.addEventListener("click", follow);
  stage.addEventListener("pointermove", (event) => {
    if (event.buttons === 1 && event.pointerType !== "touch") follow(event);
  });

  // Keys work wherever the focus is, while the viewer is in sight and nothing else wants them.
  let inSight = false;
  new IntersectionObserver((seen) => { inSight = seen.at(-1).isIntersecting; }, { threshold: 0.2 })
    .observe(one(".bench", viewer));
  const busy = (event) =>
    event.ctrlKey || event.metaKey || event.altKey ||
    (event.target !== range && event.target.matches?.("input, select, textarea, summary, a")) ||
    (event.code === "Space" && event.target.matches?.("button:focus-visible"));
  const actions = {
    ArrowLeft: () => slide(state.at - 2),
    ArrowRight: () => slide(state.at + 2),
    KeyM: () => match({ rate: "quality", quality: "rate" }[state.goal]),
    KeyN: () => move(1),
    KeyP: () => move(-1),
    KeyH: () => difference(!state.difference),
    KeyX: () => part("swap").click(),
    KeyZ: () => zoom({ 1: 2, 2: 4, 4: 1 }[state.zoom]),
    Space: () => { state.held = true; flicker(true); },
  };
  document.addEventListener("keydown", (event) => {
    if (!inSight || busy(event)) return;
    const digit = /^Digit([1-9])$/.exec(event.code);
    if (digit && keys[digit[1] - 1]) pick(event.shiftKey ? "a" : "b", keys[digit[1] - 1]);
    else if (actions[event.code] && !event.shiftKey) {
      const steps = event.code.startsWith("Arrow");
      if (!event.repeat || steps) actions[event.code]();
    } else return;
    event.preventDefault();
  });
  const release = () => { if (state.held) { state.held = false; flicker(false); } };
  document.addEventListener("keyup", (event) => {
    if (event.code !== "Space" || !state.held) return;
    event.preventDefault(); // a focused button would take it for a click
    release();
  });
  window.addEventListener("blur", release);

  const start = viewer.dataset;
  [state.a, state.b] = [start.a, start.b];
  show();
}

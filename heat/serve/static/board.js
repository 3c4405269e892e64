// The runs that are looked at: one, or two beside each other; and what pointer and keyboard do in them.

import { makeComparison, sameWords } from "./comparison.js";
import { element, make } from "./dom.js";
import { banner, duration, plural } from "./messages.js";
import { makePanel } from "./panel.js";
import { call } from "./server.js";
import { state } from "./state.js";
import { step } from "./words.js";

/** What is shown of a run: its frame, and its panel once a method is done. */
const shown = new Map();
const CHECKS = [
  ["skipFirst", "leave out special tokens and the first one", "Many models collect scores on whatever comes first, so that all else looks white"],
  ["root", "show weak words: colours by the root of the score", "One strong word leaves all others white; this changes colours only"],
];
const CHOICES = [
  ["unit", "in", ["token", "word", "sentence", "line", "message", "example"], "What the prompt is divided into"],
  ["aggregation", "by their tokens'", ["mean", "sum", "max"], "How a unit's number is made of its tokens'"],
];
const looks = { skipFirst: false, root: false, unit: "word", aggregation: "mean" };

const panels = () => state.shown.flatMap((id) => shown.get(id)?.panel ?? []);

/** Called with what to do on the buttons of a run. */
export const actions = { cancel: () => {}, again: () => {}, contrast: () => {}, close: () => {} };

function frame(id) {
  const status = make("div", { className: "status" });
  const prompt = make("h2", { className: "prompt", dir: "auto" });
  const text = make("p", { className: "asked soft" });
  const contrast = make("button", { type: "button", textContent: "Contrast", onclick: () => actions.contrast(id, shown.get(id).panel.token) });
  const box = make("div", { className: "panels" });
  const body = make("div", { className: "run" }, prompt, text, status, box);
  return { id, body, status, prompt, text, contrast, box, panel: null, asked: null, loading: new Set() };
}

/** Whether a token is kept that can be contrasted with a foil. */
function showContrast({ contrast, panel }) {
  contrast.disabled = !panel || panel.token === null;
  contrast.title = contrast.disabled ? "Click a token of the answer first" : "Ask again: this token rather than another";
}

function showStatus(made, run) {
  const about = new Date(run.time * 1000).toLocaleString();
  made.prompt.textContent = run.excerpt;
  made.text.replaceChildren(make("span", {}, make("bdi", { textContent: run.model }), ` · ${about}${made.panel ? ` · ${made.panel.summary()}` : ""}`),
    make("button", { type: "button", textContent: "Ask again", title: "Put this into the form", onclick: () => actions.again(run.id) }), made.contrast,
    state.shown.length > 1 ? make("button", { type: "button", textContent: "Close", onclick: () => actions.close(run.id) }) : "");
  showContrast(made);
  const cancel = make("button", { type: "button", textContent: "Cancel", onclick: () => actions.cancel(run.id) });
  const content = {
    queued: () => [make("p", { textContent: run.ahead ? `Waiting: ${plural(run.ahead, "request")} before it in the queue.` : "Waiting: it is the next." }), cancel],
    running: () => {
      const left = run.fraction > 0.05 && run.seconds > 1 ? `, about ${duration((run.seconds / run.fraction) * (1 - run.fraction))} left` : "";
      const bar = make("progress", { max: 1, attributes: { "aria-label": "Passes done" } });
      if (run.fraction > 0) bar.value = run.fraction;
      return [make("p", { textContent: `${run.phase}: ${duration(run.seconds)}${left}` }), bar, cancel];
    },
    cancelled: () => [make("p", { textContent: "Cancelled." })],
    failed: () => [make("p", { className: "wrong", textContent: `Failed: ${run.error}` })],
    interrupted: () => [make("p", { textContent: "The server stopped before this was done; what is missing can be asked again." })],
    done: () => (run.error ? [make("p", { className: "wrong", textContent: run.error })] : []),
  }[run.status]();
  made.status.dataset.status = run.status;
  const focus = made.status.contains(document.activeElement);
  made.status.replaceChildren(...content);
  if (focus) made.status.querySelector("button")?.focus();
}

/** Get what is done of a run and not there yet; what its methods share is asked for once. */
async function load(made, run) {
  const indices = run.results.filter((index) => !made.loading.has(index));
  if (!indices.length) return;
  for (const index of indices) made.loading.add(index);
  made.asked ??= Promise.all([call(`api/runs/${run.id}/text`), call(`api/runs/${run.id}`)]);
  const found = await Promise.allSettled(indices.map(async (index) => [...(await made.asked), await call(`api/runs/${run.id}/${index}`)]));
  found.forEach(({ value, reason }, at) => {
    const index = indices[at];
    if (reason) return banner(`panel-${run.id}-${index}`, `${run.methods[index]} of this run cannot be shown: ${reason.message}`);
    const [text, { request }, view] = value;
    made.panel ??= makePanel(text, run, { changed: compareSoon, pinned: () => showContrast(made) });
    return made.panel.add(view, index, request.methods[index]);
  });
  if (!made.panel) return;
  made.box.replaceChildren(made.panel.body);
  showUnits();
  made.panel.look(looks);
  showStatus(made, state.runs.get(run.id));
  compareSoon();
}

/** Offer the units that all prompts have which are looked at. */
function showUnits() {
  const texts = panels().map(({ text }) => text);
  if (!texts.length) return;
  const select = element("look-unit");
  for (const option of select.options) {
    const lacking = texts.find(({ units }) => !units[option.value]);
    option.disabled = Boolean(lacking);
    option.title = lacking?.why_not[option.value] ?? "";
  }
  if (select.selectedOptions[0].disabled) {
    select.value = "word";
    setLook("unit", "word");
  }
}

function setLook(name, value) {
  looks[name] = value;
  for (const panel of panels()) panel.look(looks);
  for (const made of shown.values()) if (made.panel && state.runs.has(made.id)) showStatus(made, state.runs.get(made.id));
}

let comparing = 0;

function compareSoon() {
  cancelAnimationFrame(comparing);
  comparing = requestAnimationFrame(() => {
    const old = element("board").querySelector(".comparison");
    const made = makeComparison(panels().filter(({ layers }) => layers.length), looks);
    old?.remove();
    // Of two runs before them, of the methods of one behind their words.
    if (made && state.shown.length > 1) element("runs-shown").before(made);
    else if (made) element("runs-shown").after(made);
  });
}

/** Bring the board to what `state.shown` says and the runs are. */
export function showBoard() {
  const wanted = state.shown.filter((id) => state.runs.has(id));
  for (const id of [...shown.keys()]) {
    if (wanted.includes(id)) continue;
    shown.get(id).body.remove();
    shown.delete(id);
    compareSoon();
  }
  element("empty").hidden = wanted.length > 0;
  element("board").classList.toggle("two", wanted.length > 1);
  element("board-tools").hidden = wanted.length === 0;
  for (const id of wanted) {
    const run = state.runs.get(id);
    if (!shown.has(id)) {
      shown.set(id, frame(id));
      element("runs-shown").append(shown.get(id).body);
    }
    const made = shown.get(id);
    if (made.version !== run.version || made.beside !== wanted.length) showStatus(made, run);
    Object.assign(made, { version: run.version, beside: wanted.length });
    load(made, run);
  }
  showUnits();
}

/** The panel and the place that an element belongs to. */
function placeOf(target) {
  const span = target?.closest?.(".w");
  const body = span?.closest(".panel");
  const panel = body && panels().find((each) => each.body === body);
  return panel ? { panel, at: Number(span.dataset.at) } : null;
}

let marked = [];

/** Look at one place of a panel, and mark the same word in the others. */
function look(place) {
  for (const span of marked) delete span.dataset.same;
  marked = [];
  for (const panel of panels()) panel.hover(panel === place?.panel ? place.at : null);
  if (!place) return;
  for (const panel of panels()) {
    if (panel === place.panel || !sameWords(panel, place.panel) || !panel.spans[place.at] || (place.at >= panel.nUnits) !== (place.at >= place.panel.nUnits)) continue;
    panel.spans[place.at].dataset.same = "";
    marked.push(panel.spans[place.at]);
  }
}

let next;
let asked = 0;

function lookSoon(place) {
  next = place;
  asked ||= requestAnimationFrame(() => {
    asked = 0;
    look(next);
  });
}

function onKey(event) {
  const place = placeOf(event.target);
  if (!place || event.ctrlKey || event.metaKey || event.altKey) return;
  const { panel, at } = place;
  if (event.key === "Enter" || event.key === " ") panel.pin(at);
  else if (event.key === "Escape") panel.unpin();
  else {
    const group = panel.group(at);
    const offset = at < panel.nUnits ? 0 : panel.nUnits;
    const to = step(event.key, group, at - offset);
    if (to === undefined) return;
    group[at - offset].tabIndex = -1;
    group[to].tabIndex = 0;
    group[to].focus();
  }
  event.preventDefault();
}

/** Listen once for all panels there will be. */
export function listenToBoard() {
  const board = element("board");
  board.append(make("div", { id: "board-tools", hidden: true }), make("div", { id: "runs-shown" }));
  for (const [name, label, values, title] of CHOICES) {
    const select = make("select", { id: `look-${name}`, onchange: () => setLook(name, select.value) }, ...values.map((value) => make("option", { value, textContent: name === "unit" ? `${value}s` : value })));
    select.value = looks[name];
    element("board-tools").append(make("label", { title }, `${label} `, select));
  }
  for (const [name, label, title] of CHECKS) {
    const box = make("input", { type: "checkbox", onchange: () => setLook(name, box.checked) });
    element("board-tools").append(make("label", { title }, box, ` ${label}`));
  }
  addEventListener("scroll", () => panels().forEach((panel) => panel.scrolled()), { passive: true });
  addEventListener("resize", () => panels().forEach((panel) => panel.scrolled()));
  board.addEventListener("pointerover", (event) => {
    if (event.pointerType === "mouse") lookSoon(placeOf(event.target) ?? focused());
  });
  board.addEventListener("pointerleave", () => lookSoon(focused()));
  board.addEventListener("focusin", (event) => {
    const place = placeOf(event.target);
    if (!place) return;
    next = place; // what was to follow the focus that left
    look(place);
    place.panel.say();
  });
  board.addEventListener("focusout", () => lookSoon(null));
  board.addEventListener("click", (event) => {
    const place = placeOf(event.target);
    if (!place) return;
    place.panel.pin(place.at);
    look(matchMedia("(hover: none)").matches ? null : place);
  });
  board.addEventListener("keydown", onKey);
}

const focused = () => (document.activeElement?.matches(":focus-visible") ? placeOf(document.activeElement) : null);

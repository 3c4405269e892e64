// The runs that are looked at: one, or two beside each other; and what pointer and keyboard do in them.

import { makeComparison, sameWords } from "./comparison.js";
import { element, make } from "./dom.js";
import { banner, duration, plural } from "./messages.js";
import { makePanel, summary } from "./panel.js";
import { call } from "./server.js";
import { state } from "./state.js";
import { step } from "./words.js";

/** What is shown of a run: its frame, and the panels made so far. */
const shown = new Map();
const LOOKS = [
  ["skipFirst", "leave out special tokens and the first one", "Many models collect scores on whatever comes first, so that all else looks white"],
  ["root", "show weak words: colours by the root of the score", "One strong word leaves all others white; this changes colours only"],
];
const looks = { skipFirst: false, root: false };

const panels = () => state.shown.flatMap((id) => [...(shown.get(id)?.panels.values() ?? [])].sort((a, b) => a.index - b.index));

/** Called with what to do on the buttons of a run. */
export const actions = { cancel: () => {}, again: () => {}, close: () => {} };

function frame(id) {
  const status = make("div", { className: "status" });
  const prompt = make("h2", { className: "prompt", dir: "auto" });
  const text = make("p", { className: "asked soft" });
  const box = make("div", { className: "panels" });
  const body = make("div", { className: "run" }, prompt, text, status, box);
  return { id, body, status, prompt, text, box, panels: new Map(), loading: new Set() };
}

function showStatus(made, run) {
  const about = new Date(run.time * 1000).toLocaleString();
  const first = made.panels.values().next().value;
  made.prompt.textContent = run.excerpt;
  made.text.replaceChildren(make("bdi", { textContent: run.model }), ` · ${about}${first ? ` · ${summary(first.view)}` : ""} `,
    make("button", { type: "button", textContent: "Ask again", title: "Put this into the form", onclick: () => actions.again(run.id) }),
    state.shown.length > 1 ? make("button", { type: "button", textContent: "Close", onclick: () => actions.close(run.id) }) : "");
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

async function loadPanel(made, run, index) {
  if (made.loading.has(index)) return;
  made.loading.add(index);
  try {
    const [view, asked] = await Promise.all([call(`api/runs/${run.id}/${index}`), call(`api/runs/${run.id}`)]);
    const panel = makePanel(view, { run: run.id, index, choice: asked.request.methods[index] }, compareSoon);
    panel.look(looks);
    made.panels.set(index, panel);
    const after = [...made.panels.values()].sort((a, b) => a.index - b.index);
    made.box.replaceChildren(...after.map((each) => each.body));
    showStatus(made, state.runs.get(run.id));
    compareSoon();
  } catch (error) {
    banner(`panel-${run.id}-${index}`, `${run.methods[index]} of this run cannot be shown: ${error.message}`);
  }
}

let comparing = 0;

function compareSoon() {
  cancelAnimationFrame(comparing);
  comparing = requestAnimationFrame(() => {
    const old = element("board").querySelector(".comparison");
    const made = makeComparison(panels());
    old?.remove();
    if (made) element("runs-shown").before(made);
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
    for (const index of run.results) loadPanel(made, run, index);
  }
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
    if (panel === place.panel || !sameWords(panel, place.panel) || !panel.spans[place.at]) continue;
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
    const offset = at < panel.nWords ? 0 : panel.nWords;
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
  for (const [name, label, title] of LOOKS) {
    const box = make("input", { type: "checkbox", onchange: () => {
      looks[name] = box.checked;
      for (const panel of panels()) panel.look(looks);
    } });
    element("board-tools").append(make("label", { title }, box, ` ${label}`));
  }
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

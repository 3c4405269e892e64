// The review page: one paragraph at a time. Builds the page, listens, and starts.

import { COMMANDS } from "./commands.js";
import { keepNote, keepNoteSoon, setRange } from "./decisions.js";
import { element, make } from "./dom.js";
import { onKey, openHelp } from "./keys.js";
import { banner, showSaved, warnElsewhere } from "./messages.js";
import { choose, choosePair, leave, open, refresh, reloadQueue } from "./navigation.js";
import { outbox } from "./outbox.js";
import { showCurrentRow, showRow, takeQueue } from "./queue.js";
import { call } from "./server.js";
import { state } from "./state.js";
import { ACTIONS, FILTERS, HELP } from "./vocabulary.js";
import { watchServerSoon, watchTabs } from "./watch.js";
import { dragCancel, dragEnd, dragOver, dragStart, wordOf } from "./words.js";

function toggleQueue(open = !document.body.classList.contains("queue-open")) {
  document.body.classList.toggle("queue-open", open);
  element("open-queue").setAttribute("aria-expanded", open);
  if (open) showCurrentRow();
}

function build() {
  for (const filter of Object.keys(FILTERS)) {
    if (filter === "unresolved" && state.about.mode === "audit") continue;
    element("filters").append(make("button", { type: "button", onclick: () => choose(filter), attributes: { "data-filter": filter } }));
  }
  for (const [name, { key, label }] of Object.entries(ACTIONS)) {
    const attributes = { "data-action": name, "data-key": key === "Enter" ? "⏎" : key, "aria-keyshortcuts": key };
    element("tools").append(make("button", { type: "button", onclick: COMMANDS[name], textContent: label, attributes }));
  }
  const inAudit = state.about.mode === "audit";
  for (const [keys, meaning] of HELP) {
    if (inAudit && /\b[AB]\b|either/.test(meaning)) continue;
    element("keys").append(make("tr", {}, make("th", { scope: "row", textContent: keys }), make("td", { textContent: meaning })));
  }
  const seen = { review: "sees the annotators' marks", blind: "sees the marks without names", audit: "marks without suggestions" }[state.about.mode];
  element("who").textContent = `${state.about.reviewer} ${seen}`;
  element("order").textContent = inAudit ? "in random order" : "most disputed first (1 − F1)";
}

function listen() {
  const words = element("words");
  words.addEventListener("pointerdown", dragStart);
  document.addEventListener("pointermove", dragOver);
  document.addEventListener("pointerup", dragEnd);
  document.addEventListener("pointercancel", dragCancel);
  words.addEventListener("click", (event) => {
    const word = wordOf(event.target);
    if (event.detail === 0 && word !== null) setRange(word, word); // a click without a pointer: assistive technology
  });
  document.addEventListener("keydown", onKey);
  element("list").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    toggleQueue(false);
    open(Number(button.dataset.paragraph));
  });
  element("legend").addEventListener("change", ({ target }) => choosePair(Number(target.dataset.side), Number(target.value)));
  element("open-queue").onclick = () => toggleQueue();
  element("open-help").onclick = openHelp;
  element("close-help").onclick = () => element("help").close();
  element("note").addEventListener("input", keepNoteSoon);
  element("note").addEventListener("change", keepNote);
  addEventListener("pagehide", keepNote);
}

async function start() {
  const [about, rows] = await Promise.all([call("api/session"), call("api/queue")]);
  state.about = about;
  state.pair = about.pair;
  state.filter = about.filter;
  state.seq = about.seq;
  build();
  listen();
  takeQueue(rows);
  const left = outbox.open({ confirmed: showRow, elsewhere: () => warnElsewhere(reloadQueue), reload: refresh });
  if (left.length) await Promise.race([Promise.all(left), new Promise((resolve) => setTimeout(resolve, 300))]);
  showSaved(outbox.entries.length);
  const remembered = /^#\d+$/.test(location.hash) ? Number(location.hash.slice(1)) : undefined;
  const first = state.byParagraph.has(remembered) ? remembered : state.listed[0];
  if (first === undefined) leave();
  else await open(first);
  watchTabs();
  watchServerSoon();
}

start().catch((error) => banner("offline", `The page cannot be loaded: ${error.message}. Is the server running? Reload when it is.`));

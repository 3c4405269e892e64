// The list of paragraphs beside the sheet, and its filters.

import { element, make } from "./dom.js";
import { call } from "./server.js";
import { paired, state } from "./state.js";
import { FILTERS } from "./vocabulary.js";

const ROWS_AT_ONCE = 60;

export async function loadQueue() {
  takeQueue(await call(paired("api/queue")));
}

export function takeQueue(rows) {
  state.rows = rows;
  state.byParagraph = new Map(state.rows.map((row) => [row.paragraph, row]));
  showQueue();
}

export function showQueue() {
  state.listed = state.rows.filter((row) => row.filters.includes(state.filter)).map((row) => row.paragraph);
  element("list").replaceChildren();
  showCounts();
  addRows(state.listed, 0);
}

/** Add rows from one on, a screenful now and the rest while nothing else is to do. */
function addRows(listed, from) {
  if (listed !== state.listed) return; // another filter was chosen meanwhile
  const rows = listed.slice(from, from + ROWS_AT_ONCE).map((paragraph) => {
    const button = make("button", { type: "button", tabIndex: -1, attributes: { "data-paragraph": paragraph } });
    fillRow(button, state.byParagraph.get(paragraph));
    return make("li", {}, button);
  });
  element("list").append(...rows);
  if (rows.some((made) => Number(made.firstChild.dataset.paragraph) === state.current?.paragraph) || !from) showCurrentRow();
  if (from + ROWS_AT_ONCE < listed.length) requestIdleCallback(() => addRows(listed, from + ROWS_AT_ONCE), { timeout: 200 });
}

function fillRow(button, row) {
  const done = row.filters.includes("done");
  const flagged = row.filters.includes("flagged");
  const unresolved = row.filters.includes("unresolved");
  const disagreement = state.about.mode === "audit" ? "" : row.disagreement.toFixed(2);
  const signs = [done && "✓", flagged && "⚑", unresolved && "?"].filter(Boolean).join(" ");
  const spoken = [disagreement && "disagreement", done ? "done" : "pending", flagged && "flagged", unresolved && "unresolved quotes"].filter(Boolean).join(", ");
  button.replaceChildren(
    make("span", { className: "row-id", textContent: row.id }),
    make("span", { className: "row-signs", textContent: signs, attributes: { "aria-hidden": "true" } }),
    make("span", { className: "row-number", textContent: disagreement }),
    make("span", { className: "unseen", textContent: ` ${spoken}` }),
  );
}

export function showRow(paragraph, filters) {
  const row = state.byParagraph.get(paragraph);
  if (!row) return;
  row.filters = filters;
  const button = rowButton(paragraph);
  if (button) fillRow(button, row);
  showCounts();
}

function rowButton(paragraph) {
  return element("list").querySelector(`[data-paragraph="${paragraph}"]`);
}

function showCounts() {
  const done = state.rows.filter((row) => row.filters.includes("done")).length;
  element("bar").max = state.rows.length || 1;
  element("bar").value = done;
  element("count").textContent = `${done.toLocaleString("en")}/${state.rows.length.toLocaleString("en")}`;
  for (const button of element("filters").children) {
    const name = button.dataset.filter;
    const count = state.rows.filter((row) => row.filters.includes(name)).length;
    button.textContent = `${FILTERS[name]} ${count.toLocaleString("en")}`;
    button.setAttribute("aria-pressed", name === state.filter);
  }
}

export function showCurrentRow() {
  const list = element("list");
  for (const old of list.querySelectorAll("[aria-current], [tabindex='0']")) {
    old.removeAttribute("aria-current");
    old.tabIndex = -1;
  }
  const current = state.current && rowButton(state.current.paragraph);
  const stop = current ?? list.querySelector("button");
  if (stop) stop.tabIndex = 0;
  if (!current) return;
  current.setAttribute("aria-current", "true");
  current.scrollIntoView({ block: "nearest" });
}

// The list of what was asked: choose one to look at it, or a second to compare.

import { element, make } from "./dom.js";
import { state } from "./state.js";

const STATUS = { queued: "waiting", running: "running", done: "", cancelled: "cancelled", failed: "failed", interrupted: "interrupted" };

/** Called with what to do on the buttons of a row. */
export const choices = { open: () => {}, beside: () => {} };

function makeRow(id) {
  const open = make("button", { type: "button", className: "open", onclick: () => choices.open(id) },
    make("bdi", { className: "excerpt" }), make("span", { className: "soft about" }));
  const beside = make("button", { type: "button", className: "beside", textContent: "Compare", onclick: () => choices.beside(id) });
  return make("li", { attributes: { "data-run": id } }, open, beside);
}

function fillRow(row, run) {
  row.querySelector(".excerpt").textContent = run.excerpt || "(no text)";
  const time = new Date(run.time * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const progress = run.status === "running" ? ` ${Math.round(100 * run.fraction)} %` : "";
  const other = run.model === state.about.model ? "" : run.model;
  row.querySelector(".about").textContent = [time, run.methods.join(", "), STATUS[run.status] + progress, other].filter(Boolean).join(" · ");
  row.dataset.status = run.status;
}

/** Bring rows to the runs given, and mark those that are looked at. */
export function showHistory(changed) {
  const list = element("runs");
  for (const run of changed) {
    let row = list.querySelector(`[data-run="${run.id}"]`);
    if (!row) {
      row = makeRow(run.id);
      list.prepend(row); // the newest first
    }
    fillRow(row, run);
  }
  element("no-history").hidden = state.runs.size > 0;
  for (const row of list.children) {
    const at = state.shown.indexOf(row.dataset.run);
    const open = row.querySelector(".open");
    if (at >= 0) open.setAttribute("aria-current", "true");
    else open.removeAttribute("aria-current");
    const beside = row.querySelector(".beside");
    beside.hidden = at === 0 || state.shown.length === 0;
    beside.textContent = at > 0 ? "Leave" : "Compare";
    beside.setAttribute("aria-label", `${at > 0 ? "Leave out of the comparison" : "Compare with"}: ${row.querySelector(".excerpt").textContent}`);
  }
}

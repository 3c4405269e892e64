// Attributions of the same words beside each other: how far they agree, and on which words they do not.

import { make } from "./dom.js";
import { disagreements, rankCorrelation } from "./numbers.js";

const WORDS = 6;

export const sameWords = (a, b) => a.nWords === b.nWords && a.view.prompt.every(([, text], at) => text === b.view.prompt[at][1]);

function pair(a, b) {
  const correlation = rankCorrelation(a.sum, b.sum);
  const apart = disagreements(a.sum, b.sum, WORDS);
  const words = apart.flatMap(({ word, places: [one, other] }, at) => [at ? ", " : "", make("bdi", { textContent: a.spans[word].textContent }), ` (${Math.round(one)} and ${Math.round(other)})`]);
  return make("tr", {}, make("th", { scope: "row" }, make("bdi", { textContent: a.name }), " and ", make("bdi", { textContent: b.name })), make("td", { className: "number", textContent: Number.isNaN(correlation) ? "–" : correlation.toFixed(2).replace("-", "−") }), make("td", {}, ...(words.length ? words : ["none"])));
}

/** A table of all pairs with the same words; null where there is none. */
export function makeComparison(panels) {
  const rows = [];
  panels.forEach((a, at) => {
    for (const b of panels.slice(at + 1)) if (sameWords(a, b)) rows.push(pair(a, b));
  });
  if (!rows.length) return null;
  const head = ["methods", "rank correlation", "words they rank most differently (place in each)"];
  return make("section", { className: "comparison", attributes: { "aria-labelledby": "comparison-title" } },
    make("h3", { id: "comparison-title", textContent: "Compared" }),
    make("div", { className: "wide" }, make("table", {}, make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col", textContent: text })))), make("tbody", {}, ...rows))));
}

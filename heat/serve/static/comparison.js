// Methods on the same words: how alike they rank, and the words on which they do not; see heat/comparison.py.

import { make } from "./dom.js";
import { links } from "./downloads.js";
import { disagreements, rankCorrelation, ranks } from "./numbers.js";
import { nameOf, short } from "./words.js";

const WORDS = 10;

export const sameWords = (a, b) => a.pieces.length === b.pieces.length && a.pieces.every(([, text], at) => text === b.pieces[at][1]);

/** Names of layers; where one occurs twice, numbered. */
function namesOf(layers) {
  const names = layers.map(({ name }) => name);
  return names.map((name, at) => (names.indexOf(name) === names.lastIndexOf(name) ? name : `${name} (${names.slice(0, at + 1).filter((each) => each === name).length})`));
}

const figure = (value) => (Number.isNaN(value) ? "–" : value.toFixed(2).replace("-", "−"));
const bdi = (text) => make("bdi", { textContent: text });
const column = (name) => make("th", { scope: "col", className: "number" }, name);
const table = (head, lines) => make("div", { className: "wide" }, make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...lines)));

function correlations(names, headings, rows) {
  if (names.length === 2) return make("p", { className: "correlation" }, "Rank correlation (Spearman) of ", bdi(names[0]), " and ", bdi(names[1]), ": ", make("strong", { textContent: figure(rankCorrelation(...rows)) }));
  const lines = names.map((_, at) => make("tr", {}, make("th", { scope: "row" }, headings()[at]), ...rows.map((other) => make("td", { className: "number", textContent: figure(rankCorrelation(rows[at], other)) }))));
  return table([make("td", { className: "soft", textContent: "rank correlation (Spearman)" }), ...headings().map(column)], lines);
}

function agreement(layers, pieces, unit) {
  const names = namesOf(layers);
  const isOfOne = layers.every(({ run, letter }) => letter && run === layers[0].run);
  const headings = () => names.map((name, at) => (isOfOne ? nameOf([layers[at].letter, name]) : bdi(name)));
  const rows = layers.map((layer) => ranks(layer.sum.slice(0, pieces.length)));
  const apart = disagreements(rows, WORDS);
  const lines = apart.map(({ index, ranks: places }) => make("tr", {}, make("th", { scope: "row" }, bdi(short(pieces[index][1]))), ...places.map((rank) => make("td", { className: "number", textContent: String(rank) }))));
  return [
    correlations(names, headings, rows),
    ...(apart.length
      ? [make("p", { className: "soft", textContent: `Ranks of the ${unit}s on which they disagree most, of ${pieces.length.toLocaleString("en")}; 1 speaks most for the answer.` }), table([make("th", { scope: "col", textContent: unit }), ...headings().map(column)], lines)]
      : [make("p", { className: "soft", textContent: `They rank every ${unit} alike.` })]),
  ];
}

/** What the layers of some panels have in common; null where there is nothing to compare. */
export function makeComparison(panels, looks) {
  const layers = panels.flatMap((panel) => panel.layers);
  if (layers.length < 2) return null;
  const groups = [];
  for (const panel of panels) {
    const group = groups.find((each) => sameWords(each[0], panel));
    if (group) group.push(panel);
    else groups.push([panel]);
  }
  const compared = groups.filter((group) => group.flatMap((panel) => panel.layers).length > 1);
  const content = compared.flatMap((group) => [
    ...(groups.length > 1 ? [make("p", { className: "of", dir: "auto", textContent: group[0].excerpt })] : []),
    ...agreement(group.flatMap((panel) => panel.layers), group[0].pieces, looks.unit),
  ]);
  if (groups.length > 1) content.push(make("p", { className: "soft", textContent: `The two prompts have other ${looks.unit}s, so ranks are not compared between them.` }));
  if (panels.length > 1) content.push(make("p", { className: "files" }, "Download both: ", ...links(layers, looks)));
  return make("section", { className: "comparison", attributes: { "aria-labelledby": "comparison-title" } }, make("h3", { id: "comparison-title", textContent: "Compared" }), ...content);
}

// The units of a prompt and the tokens of its answer as elements, once or in a row for each method, and the colour behind each.

import { make } from "./dom.js";

// Steps of a colour, each a class of the style sheet: a word whose step stays the same is left alone while one hovers, and
// words of the same step share their computed style, which inline styles would not.
const STEPS = 20;
// Of a unit in a row of a list.
const SHORT = 60;
const FROM_RIGHT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

/** Text of a unit for a row of a list. */
export function short(text) {
  const flat = text.split(/\s+/).join(" ").trim();
  return flat.length > SHORT ? `${flat.slice(0, SHORT - 1).trimEnd()}…` : flat;
}

function unit([, text, tokens], at, kind, nRows) {
  const made = make("span", { className: `w ${kind}`, tabIndex: -1, attributes: { role: "button", "aria-pressed": "false", "data-at": at } });
  made.tokens = tokens;
  made.named = text;
  if (nRows === 1) {
    made.textContent = text;
    return { made, cells: [made] };
  }
  made.classList.add("u");
  const cells = Array.from({ length: nRows }, (_, row) => make("span", { className: "r", textContent: text, attributes: row ? { "aria-hidden": "true" } : {} }));
  made.append(...cells);
  return { made, cells };
}

/**
 * Fill a box with pieces.
 *
 * @param kind class of each
 * @param from the place of the first
 * @param names one for each row of the same words; a single one is not written
 * @returns the elements, and for each row what gets its colour
 */
export function fillWords(box, pieces, kind, from, names) {
  const spans = [];
  const rows = names.map(() => []);
  let line = [];
  const lines = [line];
  pieces.forEach((piece, place) => {
    const { made, cells } = unit(piece, from + place, kind, names.length);
    const [before, , , role] = piece;
    const heading = kind === "of-answer" ? "" : role; // who answers is said already
    spans.push(made);
    cells.forEach((cell, row) => rows[row].push(cell));
    const space = kind === "of-answer" ? before.replace(/\s+/g, " ") : before; // an answer in lines would fill the head
    if (names.length === 1) line.push(place || kind !== "of-answer" ? space : "", heading ? make("span", { className: "heading", textContent: heading }) : "", made);
    else {
      const parts = space.split("\n");
      for (const [at, part] of parts.entries()) {
        if (at) lines.push((line = []));
        if (part && (line.length || at)) line.push(part);
      }
      if (heading) {
        if (line.length) lines.push((line = []));
        line.push(make("span", { className: "heading", textContent: heading }));
      }
      line.push(made);
    }
  });
  if (names.length === 1) box.replaceChildren(...line.filter((each) => each !== ""));
  else {
    // Each line is a paragraph of its own direction: words in boxes do not tell theirs.
    const text = make("div", { className: "text" }, ...lines.map((each) => make("div", { className: "paragraph", dir: "auto" }, ...each)));
    const gutter = make("div", { className: "names", attributes: { "aria-hidden": "true" } }, ...names.map((name) => nameOf(name, "sizer")));
    box.replaceChildren(make("div", { className: "stack" }, gutter, text));
  }
  // The names stand where lines begin: paragraphs tell the box nothing of their direction.
  const letter = pieces.map(([, text]) => text).join(" ").match(/\p{L}/u)?.[0] ?? "";
  box.dir = names.length === 1 ? "auto" : FROM_RIGHT.test(letter) ? "rtl" : "ltr";
  box.classList.toggle("stacked", names.length > 1);
  if (spans[0]) spans[0].tabIndex = 0;
  return { spans, rows };
}

/** A method's letter and name; of the two the letter alone where the page is narrow. */
export const nameOf = ([letter, name], className = "") => make("span", { className }, make("b", { textContent: letter }), make("span", { className: "long", textContent: ` ${name}` }));

/** Write the rows' names before every line of a box, where its lines break now. */
export function nameLines(box, rows, names) {
  const gutter = box.querySelector(".names");
  if (!gutter) return;
  const top = gutter.getBoundingClientRect().top;
  const labels = [];
  let last = NaN;
  rows[0].forEach((cell, at) => {
    const here = cell.getBoundingClientRect().top;
    if (Math.abs(here - last) < 1) return;
    last = here;
    rows.forEach((row, method) => labels.push([names[method], row[at].getBoundingClientRect().top - top]));
  });
  const made = labels.map(([name, place]) => {
    const label = nameOf(name, "label");
    label.style.top = `${place}px`;
    return label;
  });
  for (const old of gutter.querySelectorAll(".label")) old.remove();
  gutter.append(...made);
}

/** The first of some spans in reading order that is in sight, and one past the last; `count` of them are looked at. */
export function inSight(spans, count) {
  const firstWhere = (isThere) => {
    let [low, high] = [0, count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isThere(spans[middle].getBoundingClientRect())) high = middle;
      else low = middle + 1;
    }
    return low;
  };
  return [firstWhere(({ bottom }) => bottom > 0), firstWhere(({ top }) => top >= innerHeight)];
}

/** Something that gives elements the colour of a share in [-1, 1] each, touching only those that change. */
export function painter(elements) {
  const steps = new Int8Array(elements.length);
  const plain = elements.map((made) => made.className);
  return (shares, first, last) => {
    for (let at = first; at < last; at++) {
      const step = Math.round(Math.max(-1, Math.min(1, shares[at])) * STEPS);
      if (step === steps[at]) continue;
      elements[at].className = step ? `${plain[at]} ${step > 0 ? "for" : "against"}-${Math.abs(step)}` : plain[at];
      steps[at] = step;
    }
  };
}

/** The span on the line above or below that is nearest to one, among some. */
function vertical(spans, from, down) {
  const here = spans[from].getClientRects()[0];
  let best = null;
  spans.forEach((made, at) => {
    const there = made.getClientRects()[0];
    if (!there) return;
    const lines = down ? there.top - here.bottom : here.top - there.bottom;
    if (lines < -here.height / 2 || Math.abs(there.top - here.top) < here.height / 2) return;
    const across = Math.abs((there.left + there.right) / 2 - (here.left + here.right) / 2);
    if (!best || lines < best.lines - here.height / 2 || (lines < best.lines + here.height / 2 && across < best.across)) best = { lines, across, at };
  });
  return best?.at;
}

/** Where a key leads from one span of a group, or undefined. */
export function step(key, group, from) {
  const reading = getComputedStyle(group[from].parentElement).direction === "rtl" ? -1 : 1;
  const to = {
    ArrowLeft: () => from - reading,
    ArrowRight: () => from + reading,
    ArrowUp: () => vertical(group, from, false),
    ArrowDown: () => vertical(group, from, true),
    Home: () => 0,
    End: () => group.length - 1,
  }[key]?.();
  return group[to] ? to : undefined;
}

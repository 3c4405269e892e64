// One paragraph as it is shown: its words, marks, legend and tools.

import { element, make } from "./dom.js";
import { allDone, decision, state } from "./state.js";
import { ACTIONS, FILTERS, ROLES } from "./vocabulary.js";

export function place() {
  const at = state.listed.indexOf(state.current.paragraph);
  return at < 0 ? "not in this list" : `${(at + 1).toLocaleString("en")} of ${state.listed.length.toLocaleString("en")}`;
}

export function showEmpty() {
  element("sheet").hidden = true;
  element("empty").hidden = false;
  element("empty").textContent = allDone()
    ? "All paragraphs are done. annotate adjudicate --rule reviewed turns them into gold."
    : `No paragraph is here under “${FILTERS[state.filter]}”. Choose another filter.`;
  state.current = null;
}

export function showSheet() {
  const sheet = state.current;
  element("sheet").hidden = false;
  element("empty").hidden = true;
  element("question").textContent = sheet.question;
  element("answer").textContent = sheet.answer;
  showLegend();
  state.words = [];
  const blocks = sheet.blocks.map((block, number) => {
    const text = make("p", { className: "text", dir: "auto" });
    block.words.forEach((word, at) => {
      const made = make("span", {
        className: "w",
        textContent: word,
        tabIndex: -1,
        attributes: { role: "button", "data-word": block.first + at },
      });
      state.words.push(made);
      const last = at === block.words.length - 1;
      text.append(made, last ? block.after[at].trimEnd() : block.after[at]);
    });
    const title = make("h2", { id: `block-${number}`, textContent: ROLES[block.role] });
    return make("section", { className: `block ${block.role}`, attributes: { "aria-labelledby": title.id } }, title, text);
  });
  element("words").replaceChildren(...blocks);
  if (state.words.length) state.words[state.focus].tabIndex = 0;
  showDecision();
}

function marks(word) {
  const [a, b] = state.current.sides.map((marked) => marked.words.includes(word));
  if (a && b) return ["agreed", "A and B"];
  if (a) return ["only-a", state.current.sides.length > 1 ? "A only" : "A"];
  if (b) return ["only-b", "B only"];
  return ["", ""];
}

function inRange(word) {
  if (state.anchor === null) return false;
  const [from, to] = [state.anchor, state.focus].sort((a, b) => a - b);
  return word >= from && word <= to && (from !== to || state.dragging);
}

export function showDecision() {
  const { words, flag: flagged, done, note } = decision();
  const mine = new Set(words);
  state.words.forEach((made, word) => {
    const [kind, meaning] = marks(word);
    const mark = mine.has(word) ? "mine" : "";
    made.className = ["w", kind, mark, inRange(word) ? "range" : ""].filter(Boolean).join(" ");
    made.setAttribute("aria-pressed", mine.has(word));
    made.setAttribute("aria-label", meaning ? `${made.textContent}, ${meaning}` : made.textContent);
    made.title = meaning;
  });
  element("place").textContent = [state.current.id, place(), done ? "done" : "pending", flagged && "flagged", `${words.length} words marked`].filter(Boolean).join(" · ");
  if (document.activeElement !== element("note")) element("note").value = note;
  showTools(flagged);
}

function showTools(flagged) {
  const sheet = state.current;
  for (const button of element("tools").children) {
    const name = button.dataset.action;
    button.hidden = ACTIONS[name].sides > sheet.sides.length;
    const failed = (which) => sheet.sides[which] && sheet.sides[which].status !== "ok";
    if (name === "accept-a") button.disabled = failed(0);
    if (name === "accept-b") button.disabled = failed(1);
    if (name === "union" || name === "intersection") button.disabled = failed(0) || failed(1);
    if (name === "undo") button.disabled = sheet.position === 0;
    if (name === "redo") button.disabled = sheet.position === sheet.history.length - 1;
    if (name === "flag") button.setAttribute("aria-pressed", flagged);
  }
}

function showLegend() {
  const sheet = state.current;
  const swatch = (kind) => make("span", { className: `w ${kind}`, textContent: "word", attributes: { "aria-hidden": "true" } });
  const parts = sheet.sides.map((annotator, which) => {
    const letter = "AB"[which];
    const status = annotator.status === "ok" ? "" : ` (no label: ${annotator.status})`;
    const doubt = annotator.unresolved ? " (quotes not placed for sure)" : "";
    const choice = state.about.annotators.length > 2 && chooser(which);
    const name = choice || annotator.name || "name hidden";
    const alone = sheet.sides.length > 1 ? " only" : "";
    return make("span", { className: "key" }, swatch(`only-${letter.toLowerCase()}`), ` ${letter}${alone}: `, name, status + doubt);
  });
  if (sheet.sides.length > 1) parts.push(make("span", { className: "key" }, swatch("agreed"), " A and B"));
  parts.push(make("span", { className: "key" }, swatch("mine"), " your decision"));
  element("legend").replaceChildren(...parts);
}

function chooser(which) {
  const select = make("select", { attributes: { "aria-label": `Annotator ${"AB"[which]}`, "data-side": which } });
  state.about.annotators.forEach((name, at) => {
    const taken = at === state.pair[1 - which];
    select.append(make("option", { value: at, textContent: name, disabled: taken, selected: at === state.pair[which] }));
  });
  return select;
}

// One attribution: answer, words, what is hovered, the strongest words, downloads.

import { asMethod, initial, makeControls } from "./controls.js";
import { make } from "./dom.js";
import { duration, plural, say } from "./messages.js";
import { largest, shown, strongest, total, wordRows } from "./numbers.js";
import { decode, recombine } from "./recombine.js";
import { makeWords, painter } from "./words.js";

const ROWS = 10;
const PARTS = [["M", "transition"], ["S", "curvature"], ["I", "information"]];

/** A method with the options that were changed. */
function title(view, choice) {
  const options = Object.entries(choice?.options ?? {}).map(([name, value]) => `${name}=${value}`);
  return [view.method, ...options].join(" ");
}

/**
 * A panel.
 *
 * @param place where its files are: run and index
 * @param changed called when other numbers are shown
 */
export function makePanel(view, { run, index, choice }, changed) {
  const name = `p-${run}-${index}`;
  const nWords = view.prompt.length;
  const scores = decode(view.scores);
  const parts = Object.fromEntries(Object.entries(view.parts).map(([part, text]) => [part, decode(text)]));
  let chosen = view.combinations.MSI ? initial(view) : null;
  let looks = { skipFirst: false, root: false };
  let rows = [];
  let sum = [];
  let peaks = [];
  let columns = [];
  let hovered = null;
  let pinned = null;

  const answer = make("div", { className: "answer", dir: "auto", attributes: { role: "group", "aria-label": "Tokens of the answer" } });
  const map = make("div", { className: "map", dir: "auto", attributes: { role: "group", "aria-label": "Words of the prompt" } });
  const readout = make("p", { className: "readout" });
  const legend = make("p", { className: "key" });
  const table = make("table", { className: "strongest" });
  const files = make("p", { className: "files" }, "Download: ");
  const spans = makeWords(view, map, answer);
  const explained = new Set(view.explained);
  view.answer.forEach((_, token) => spans[nWords + token].classList.toggle("free", !explained.has(token)));
  const paint = painter(spans);
  const controls = makeControls(view, name, (now) => {
    chosen = now;
    recompute();
  });
  const facts = [
    view.seconds === null ? "" : duration(view.seconds),
    `${Math.round(view.passes).toLocaleString("en")} passes`,
    `p(answer) ${shown(view.probabilities.reduce((a, b) => a * b, 1))}`,
  ].filter(Boolean);
  const heading = make("h3", { id: name }, make("bdi", { textContent: title(view, choice) }), make("span", { className: "soft", textContent: ` ${facts.join(" · ")}` }));
  const head = make("div", { className: "head" }, make("div", { className: "line" }, make("span", { className: "soft tag", textContent: "Answer" }), answer), readout);
  const free = view.answer.length - explained.size;
  if (free) view.notes.unshift(`${plural(explained.size, "token")} of ${view.answer.length} depend${explained.size === 1 ? "s" : ""} on the text: without it their distribution moves by ${view.threshold} nats or more (KL). The others, dotted, are not explained.`);
  const notes = view.notes.map((note) => make("p", { className: "soft note", textContent: note }));
  const body = make("div", { className: "panel", attributes: { role: "group", "aria-labelledby": name } }, heading, controls ?? "", head, map, legend, ...notes, table, files);

  function values() {
    const original = !chosen || (chosen.letters === "MSI" && chosen.beta === view.config.beta && chosen.gamma === view.config.gamma);
    return original ? scores : recombine(parts, chosen.letters, { ...view.config, ...chosen }, view.n_tokens);
  }

  function recompute() {
    rows = wordRows(values(), view, looks.skipFirst);
    sum = total(rows);
    peaks = rows.map((row) => largest(row, nWords) || 1);
    columns = Object.fromEntries(Object.entries(parts).map(([part, numbers]) => [part, wordRows(numbers, view, looks.skipFirst)]));
    showKey();
    showTable();
    showFiles();
    show();
    changed();
  }

  /** The target that is looked at, or null for all of them. */
  const target = () => {
    const at = hovered ?? pinned;
    return at !== null && at >= nWords ? at - nWords : null;
  };

  function show() {
    const at = hovered ?? pinned;
    const of = target();
    const row = of === null ? sum : rows[of];
    const peak = largest(row, nWords) || 1;
    const shares = Array.from(row, (number) => number / peak);
    // A word: where in the answer it matters. A token of the answer: its words.
    for (let token = 0; token < rows.length; token++) {
      if (of === null) shares[nWords + token] = at === null ? 0 : rows[token][at] / peaks[token];
      else if (token >= of) shares[nWords + token] = 0;
    }
    paint(looks.root ? shares.map((share) => Math.sign(share) * Math.sqrt(Math.abs(share))) : shares);
    readout.replaceChildren(...describe(at, of, row));
  }

  function describe(at, of, row) {
    if (at === null) return [`The answer as a whole. ${answerHint()}`];
    const word = make("bdi", { className: "named", textContent: spans[at].textContent });
    const tokens = make("span", { className: "soft", textContent: ` tokens: ${spans[at].tokens}` });
    const divergence = of === null || !view.divergences.length ? [] : [` (divergence ${shown(view.divergences[of])} nats)`];
    if (of !== null && !explained.has(of)) return [word, ` with probability ${shown(view.probabilities[of])}: does not depend on the text, so there is nothing to explain`, ...divergence, tokens];
    if (of !== null) {
      const top = strongest(row, nWords).slice(0, 3).filter((each) => row[each]);
      const words = top.flatMap((each, place) => [place ? ", " : " ", make("bdi", { textContent: spans[each].textContent })]);
      return [word, ` with probability ${shown(view.probabilities[of])}: most by`, ...(words.length ? words : [" no word"]), ...divergence, tokens];
    }
    const order = strongest(row, nWords);
    const figures = PARTS.filter(([, part]) => columns[part]).map(([letter, part]) => `${letter} ${shown(total(columns[part])[at])}`);
    const most = rows.reduce((best, each, token) => (Math.abs(each[at]) / peaks[token] > Math.abs(rows[best][at]) / peaks[best] ? token : best), 0);
    const where = rows.length > 1 && rows[most][at] ? [", most for ", make("bdi", { textContent: spans[nWords + most].textContent })] : [];
    return [word, ` ${shown(row[at])}, ${(order.indexOf(at) + 1).toLocaleString("en")} of ${nWords.toLocaleString("en")}${figures.length ? ` (${figures.join(", ")})` : ""}`, ...where, tokens];
  }

  const answerHint = () => (matchMedia("(hover: none)").matches ? "Tap a token or a word." : "Hover or focus a token of it to see its words, a word to see where it matters.");

  function showKey() {
    const peak = largest(sum, nWords);
    const signed = rows.some((row) => row.some((number) => number < 0));
    legend.replaceChildren(
      ...(peak === 0
        ? ["Every word has score 0."]
        : [signed ? `−${shown(peak)}` : "0", make("span", { className: signed ? "bar both" : "bar" }), shown(peak), signed ? " orange speaks for the answer, blue against" : " the more orange, the higher the score", looks.root ? " (its root)" : ""]),
    );
  }

  function showTable() {
    const views = Object.keys(columns).length > 1 ? PARTS.filter(([, part]) => columns[part]) : [];
    const sums = views.map(([, part]) => total(columns[part]));
    const top = strongest(sum, nWords).slice(0, ROWS);
    const head = make("tr", {}, make("th", { scope: "col", textContent: "strongest words" }), ...["score", ...views.map(([letter]) => letter)].map((text) => make("th", { scope: "col", className: "number", textContent: text })));
    const lines = top.map((at) =>
      make("tr", {}, make("th", { scope: "row" }, make("bdi", { textContent: spans[at].textContent })), ...[sum, ...sums].map((numbers) => make("td", { className: "number", textContent: shown(numbers[at]) }))),
    );
    table.replaceChildren(make("thead", {}, head), make("tbody", {}, ...lines));
  }

  function showFiles() {
    const query = new URLSearchParams();
    if (values() !== scores) query.set("as", JSON.stringify(asMethod(view, chosen)));
    if (looks.skipFirst) query.set("skip_first", "1");
    const asked = query.size ? `?${query}` : "";
    files.replaceChildren(
      "Download: ",
      ...["html", "json", "png"].map((kind) => make("a", { href: `api/runs/${run}/${index}/${kind}${asked}`, textContent: kind.toUpperCase(), attributes: { download: "" } })),
    );
  }

  recompute();
  return {
    body,
    view,
    spans,
    nWords,
    run,
    index,
    name: title(view, choice),
    get sum() {
      return sum.slice(0, nWords);
    },
    get hovered() {
      return hovered;
    },
    group: (at) => (at < nWords ? spans.slice(0, nWords) : spans.slice(nWords)),
    hover(at) {
      if (at === hovered) return;
      hovered = at;
      show();
    },
    pin(at) {
      if (pinned !== null) spans[pinned].setAttribute("aria-pressed", "false");
      pinned = at === pinned ? null : at;
      if (pinned !== null) spans[pinned].setAttribute("aria-pressed", "true");
      show();
    },
    unpin() {
      if (pinned !== null) this.pin(pinned);
    },
    say: () => say(readout.textContent),
    /** Show with or without the first tokens, and in colours by the number or its root. */
    look(wanted) {
      const before = looks;
      looks = { ...wanted };
      if (before.skipFirst !== looks.skipFirst) recompute();
      else if (before.root !== looks.root) {
        showKey();
        show();
      }
    },
  };
}

export const summary = (view) => `${plural(view.prompt.length, "word")}, ${plural(view.answer.length, "token")} of answer`;

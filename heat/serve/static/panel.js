// A text with what methods say of it: answer, words, what is hovered, the strongest words, downloads.

import { make } from "./dom.js";
import { links } from "./downloads.js";
import { PARTS, makeLayer } from "./layer.js";
import { plural, say } from "./messages.js";
import { largest, placeOf, shown, strongest } from "./numbers.js";
import { fillWords, inSight, nameLines, nameOf, painter, short } from "./words.js";

const ROWS = 10;
// Until what is out of sight is coloured too, and how many words at a time.
const REST_MS = 400;
const AT_ONCE = 200;

/**
 * A panel without methods yet.
 *
 * @param text what the server says of the text and its answer
 * @param run its run: id, excerpt and how many methods it asked for
 * @param tell called when other numbers are shown, and when another place is kept
 */
export function makePanel(text, { id: run, excerpt, methods }, tell) {
  const several = methods.length > 1;
  const nTargets = text.answer.length;
  const explained = new Set(text.explained);
  const depends = (token) => !text.divergences.length || text.divergences[token] >= text.threshold;
  let looks = null;
  let spans = [];
  let paints = [];
  let shares = [];
  let resting = 0;
  let rows = { map: [], answer: [] };
  let pieces = [];
  let nUnits = 0;
  let hovered = null;
  let pinned = null;

  const answer = make("div", { className: "answer", dir: "auto", attributes: { role: "group", "aria-label": "Tokens of the answer" } });
  const map = make("div", { className: "map", dir: "auto", attributes: { role: "group" } });
  const readout = make("p", { className: several ? "readout several" : "readout" });
  const heads = make("div", { className: "layers" });
  const legends = make("div", {});
  const notes = make("div", {});
  const table = make("table", { className: "strongest" });
  const files = make("div", { className: "files" });
  const head = make("div", { className: "head" }, make("div", { className: several ? "line rows" : "line" }, make("span", { className: "soft tag", textContent: "Answer" }), answer), readout);
  const body = make("div", { className: "panel", attributes: { role: "group", "aria-label": `What ${methods.join(", ")} ${several ? "say" : "says"}` } }, heads, head, map, legends, notes, make("div", { className: "wide" }, table), files);

  const layers = [];
  const names = () => layers.map((layer) => [layer.letter, layer.view.method]);

  /** Make the words anew: of another unit, or with rows for other methods. */
  function build() {
    const kept = pinned === null || pinned < nUnits ? null : pinned - nUnits;
    pieces = text.units[looks.unit].pieces;
    nUnits = pieces.length;
    hovered = null;
    const labels = several ? names() : [["", ""]];
    const ofMap = fillWords(map, pieces, "of-prompt", 0, labels);
    const ofAnswer = fillWords(answer, text.answer, "of-answer", nUnits, labels);
    ofAnswer.spans.forEach((span, token) => span.classList.toggle("free", !depends(token) || !explained.has(token)));
    map.setAttribute("aria-label", `${looks.unit[0].toUpperCase()}${looks.unit.slice(1)}s of the prompt`);
    rows = { map: ofMap.rows, answer: ofAnswer.rows };
    spans = [...ofMap.spans, ...ofAnswer.spans];
    shares = [];
    paints = ofMap.rows.map((row, method) => painter([...row, ...ofAnswer.rows[method]]));
    pinned = kept === null ? null : nUnits + kept;
    if (pinned !== null) spans[pinned].setAttribute("aria-pressed", "true");
    nameAll();
  }

  function nameAll() {
    if (!several || !body.isConnected) return;
    nameLines(map, rows.map, names());
    nameLines(answer, rows.answer, names());
  }

  function recompute() {
    for (const layer of layers) layer.look(looks);
    showLegends();
    showNotes();
    showTable();
    showFiles();
    show();
    tell.changed();
  }

  /** The target that is looked at, or null for all of them. */
  const targetOf = (at) => (at !== null && at >= nUnits ? at - nUnits : null);
  const rowOf = (layer, of) => (of === null ? layer.sum : layer.rows[of]);

  function show() {
    const at = hovered ?? pinned;
    const of = targetOf(at);
    layers.forEach((layer, method) => {
      const numbers = rowOf(layer, of);
      const peak = largest(numbers, nUnits) || 1;
      const row = numbers.map((number) => number / peak);
      // A word: where in the answer it matters. A token of the answer: its words.
      for (let token = 0; token < nTargets; token++) {
        if (of === null) row[nUnits + token] = at === null ? 0 : layer.rows[token][at] / layer.peaks[token];
        else if (token >= of) row[nUnits + token] = 0;
      }
      shares[method] = looks.root ? row.map((share) => Math.sign(share) * Math.sqrt(Math.abs(share))) : row;
    });
    paintSeen();
    readout.replaceChildren(...describe(at, of));
  }

  /** Colour what is in sight, which is all that a long text has time for while one hovers; the rest once one rests. */
  function paintSeen() {
    const [first, last] = inSight(spans, nUnits);
    paints.forEach((paint, method) => {
      paint(shares[method], first, last);
      paint(shares[method], nUnits, spans.length);
    });
    clearTimeout(resting);
    if (last - first < nUnits) resting = setTimeout(() => paintRest(0), REST_MS);
  }

  function paintRest(first) {
    const last = Math.min(nUnits, first + AT_ONCE);
    paints.forEach((paint, method) => paint(shares[method], first, last));
    if (last < nUnits) resting = setTimeout(() => paintRest(last), 0);
  }

  const bdi = (content, className = "") => make("bdi", { className, textContent: content });

  function describe(at, of) {
    if (at === null) return [`The answer as a whole. ${hint()}`];
    const tokens = make("span", { className: "soft", textContent: ` tokens: ${spans[at].tokens}` });
    const named = bdi(short(spans[at].named), "named");
    return of === null ? [named, ...describeUnit(at), tokens] : [named, ...describeToken(of), tokens];
  }

  function describeToken(of) {
    const facts = [` with probability ${shown(text.probabilities[of])}`];
    if (text.foils[of]) facts.push(" rather than ", bdi(text.foils[of]));
    if (text.divergences.length) facts.push(depends(of) ? ` (divergence ${shown(text.divergences[of])} nats)` : `: does not depend on the text (divergence ${shown(text.divergences[of])} nats)`);
    if (!explained.has(of)) return [...facts, ", so there is nothing to explain"];
    const words = layers.map((layer) => {
      const top = strongest(layer.rows[of], nUnits, 3).filter((each) => layer.rows[of][each]);
      return [...(several ? [" ", make("b", { textContent: layer.letter }), " "] : [" "]), ...top.flatMap((each, place) => [place ? ", " : "", bdi(short(spans[each].named))]), ...(top.length ? [] : [`no ${looks.unit}`])];
    });
    return [...facts, ": most by", ...words.flatMap((each, at) => [at ? ";" : "", ...each])];
  }

  function describeUnit(at) {
    if (several) return layers.flatMap((layer, place) => [place ? ", " : " ", make("b", { textContent: layer.letter }), ` ${shown(layer.sum[at])} (${rank(layer, at)})`]).concat(` of ${nUnits.toLocaleString("en")}`);
    const [layer] = layers;
    const figures = PARTS.filter(([, part]) => layer.columns[part]).map(([letter, part]) => `${letter} ${shown(layer.columns[part][at])}`);
    const most = layer.rows.reduce((best, each, token) => (Math.abs(each[at]) / layer.peaks[token] > Math.abs(layer.rows[best][at]) / layer.peaks[best] ? token : best), 0);
    const where = nTargets > 1 && layer.rows[most][at] ? [", most for ", bdi(spans[nUnits + most].named)] : [];
    return [` ${shown(layer.sum[at])}, ${rank(layer, at)} of ${nUnits.toLocaleString("en")}${figures.length ? ` (${figures.join(", ")})` : ""}`, ...where];
  }

  const rank = (layer, at) => placeOf(layer.sum, nUnits, at).toLocaleString("en");
  const hint = () => (matchMedia("(hover: none)").matches ? "Tap a token or a word." : `Hover or focus a token of it to see its ${looks.unit}s, a ${looks.unit} to see where it matters.`);

  function showLegends() {
    legends.replaceChildren(...layers.map((layer) => {
      const peak = largest(layer.sum, nUnits);
      const signed = layer.rows.some((row) => row.some((number) => number < 0));
      const name = several ? [make("b", { textContent: layer.letter })] : [];
      if (peak === 0) return make("p", { className: "key" }, ...name, `Every ${looks.unit} has score 0.`);
      return make("p", { className: "key" }, ...name, signed ? `−${shown(peak)}` : "0", make("span", { className: signed ? "bar both" : "bar" }), shown(peak), signed ? " orange speaks for the answer, blue against" : " the more orange, the higher the score", looks.root ? " (its root)" : "");
    }));
  }

  function showNotes() {
    const free = nTargets - text.answer.filter((_, token) => depends(token)).length;
    const lines = [];
    if (text.divergences.length) lines.push(`${nTargets - free} of ${plural(nTargets, "token")} depend${nTargets - free === 1 ? "s" : ""} on the text: without it their distribution moves by ${text.threshold} nats or more (KL).${free ? ` The others are dotted${explained.size < nTargets ? " and not explained" : ""}.` : ""}`);
    if (text.foils.some(Boolean)) lines.push("Tokens with a foil are explained against it, whether they depend on the text or not.");
    const said = layers.map((layer) => [...layer.view.notes, ...layer.view.doubts[looks.unit]]);
    for (const note of new Set(said.flat())) {
      const by = layers.filter((_, at) => said[at].includes(note)).map(({ letter }) => letter);
      lines.push(by.length < layers.length ? `${by.join(", ")}: ${note}` : note);
    }
    notes.replaceChildren(...lines.map((note) => make("p", { className: "soft note", textContent: note })));
  }

  function showTable() {
    const [first] = layers;
    const parts = PARTS.filter(([, part]) => first.columns[part]);
    const columns = several ? layers.map((layer) => [nameOf([layer.letter, layer.name]), layer.sum]) : [["score", first.sum], ...(parts.length > 1 ? parts.map(([letter, part]) => [letter, first.columns[part]]) : [])];
    const sizes = several ? pieces.map((_, at) => Math.max(...layers.map((layer) => Math.abs(layer.sum[at]) / (largest(layer.sum, nUnits) || 1)))) : first.sum;
    const top = strongest(sizes, nUnits, ROWS);
    const line = make("tr", {}, make("th", { scope: "col", textContent: `strongest ${looks.unit}s` }), ...columns.map(([name]) => make("th", { scope: "col", className: "number" }, name)));
    const lines = top.map((at) => make("tr", {}, make("th", { scope: "row" }, bdi(short(pieces[at][1]))), ...columns.map(([, numbers]) => make("td", { className: "number", textContent: shown(numbers[at]) }))));
    table.replaceChildren(make("thead", {}, line), make("tbody", {}, ...lines));
  }

  function showFiles() {
    const one = (layer) => make("p", {}, bdi(layer.name), ": ", ...links([layer], looks));
    files.replaceChildren(
      make("p", {}, layers.length > 1 ? "Download all: " : "Download: ", ...links(layers, looks)),
      ...(layers.length > 1 ? [make("details", {}, make("summary", { textContent: "One method alone" }), ...layers.map(one))] : []),
    );
  }

  const resized = new ResizeObserver(() => nameAll());
  resized.observe(map);
  return {
    body,
    text,
    layers,
    run,
    excerpt,
    get pieces() {
      return pieces;
    },
    get spans() {
      return spans;
    },
    get nUnits() {
      return nUnits;
    },
    /** The token of the answer that is kept, or null. */
    get token() {
      return targetOf(pinned);
    },
    /** Take what one more method says. */
    add(view, index, choice) {
      const letter = several ? "ABCDEF"[index] : "";
      layers.push(makeLayer(view, text, { run, index, choice, letter }, recompute));
      layers.sort((a, b) => a.index - b.index);
      heads.replaceChildren(...layers.map((layer) => layer.head));
    },
    group: (at) => (at < nUnits ? spans.slice(0, nUnits) : spans.slice(nUnits)),
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
      tell.pinned();
    },
    unpin() {
      if (pinned !== null) this.pin(pinned);
    },
    say: () => say(readout.textContent),
    /** Colour what has come into sight. */
    scrolled: () => shares.length && paintSeen(),
    /** Show in some units, with or without the first tokens, and in colours by the number or its root. */
    look(wanted) {
      const focus = body.contains(document.activeElement) ? document.activeElement.dataset.at : undefined;
      const ofAnswer = focus !== undefined && focus >= nUnits ? focus - nUnits : null;
      const rebuild = !looks || looks.unit !== wanted.unit || paints.length !== layers.length;
      looks = { ...wanted };
      if (rebuild) build();
      recompute();
      if (rebuild && focus !== undefined) spans[ofAnswer === null ? focus : nUnits + ofAnswer]?.focus();
    },
    summary: () => `${plural(nUnits, looks.unit)}, ${plural(nTargets, "token")} of answer with probability ${shown(text.probabilities.reduce((a, b) => a * b, 1))}`,
  };
}

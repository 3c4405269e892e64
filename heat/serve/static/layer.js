// What one method says of a text: its numbers in the units looked at, and the switches for its parts.

import { asMethod, initial, makeControls } from "./controls.js";
import { make } from "./dom.js";
import { duration } from "./messages.js";
import { largest, total, unitRows } from "./numbers.js";
import { decode, recombine } from "./recombine.js";

/** The letters of the parts of a score, and their names. */
export const PARTS = [["M", "transition"], ["S", "curvature"], ["I", "information"]];

/** A method with the options that were changed. */
function title(view, choice) {
  const options = Object.entries(choice?.options ?? {}).map(([name, value]) => `${name}=${value}`);
  return [view.method, ...options].join(" ");
}

/**
 * A method of a run.
 *
 * @param view what the server says of it
 * @param text of the text
 * @param place its run and index, what was asked of it, and the letter that stands for it beside others
 * @param changed called when its numbers are others
 */
export function makeLayer(view, text, { run, index, choice, letter }, changed) {
  const id = `p-${run}-${index}`;
  const scores = decode(view.scores);
  const parts = Object.fromEntries(Object.entries(view.parts).map(([part, numbers]) => [part, decode(numbers)]));
  let chosen = view.combinations.MSI ? initial(view) : null;
  const isOriginal = () => !chosen || (chosen.letters === "MSI" && chosen.beta === view.config.beta && chosen.gamma === view.config.gamma);
  const facts = [view.seconds === null ? "" : duration(view.seconds), `${Math.round(view.passes).toLocaleString("en")} passes`].filter(Boolean);
  const heading = make("h3", { id }, letter ? make("span", { className: "letter", textContent: letter }) : "", make("bdi", { textContent: title(view, choice) }), make("span", { className: "soft", textContent: ` ${facts.join(" · ")}` }));
  const layer = {
    id,
    run,
    index,
    letter,
    view,
    name: title(view, choice),
    head: make("div", { className: "layer" }, heading),
    rows: [],
    sum: [],
    peaks: [],
    columns: {},
    /** The method and options that Python puts the parts together with; null as they were computed. */
    asMethod: () => (isOriginal() ? null : asMethod(view, chosen)),
    /** Make the numbers anew for the units that are looked at. */
    look(looks) {
      const values = isOriginal() ? scores : recombine(parts, chosen.letters, { ...view.config, ...chosen }, text.n_tokens);
      layer.rows = unitRows(values, text, looks);
      layer.nUnits = text.units[looks.unit].pieces.length;
      layer.sum = total(layer.rows);
      layer.peaks = layer.rows.map((row) => largest(row, layer.nUnits) || 1);
      layer.columns = Object.fromEntries(Object.entries(parts).map(([part, numbers]) => [part, total(unitRows(numbers, text, looks))]));
    },
  };
  const controls = makeControls(view, id, (now) => {
    chosen = now;
    changed();
  });
  if (controls) layer.head.append(controls);
  return layer;
}

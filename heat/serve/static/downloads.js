// Links to files of what is shown.

import { make } from "./dom.js";

const KINDS = ["html", "json", "png"];

/** Links to one file of each kind that holds all of some layers, as they are looked at. */
export function links(layers, { unit, aggregation, skipFirst }) {
  const items = layers.map((layer) => ({ run: layer.run, index: layer.index, parts: layer.asMethod() }));
  const query = new URLSearchParams({ of: JSON.stringify({ items, unit, aggregation, skip_first: skipFirst }) });
  return KINDS.map((kind) => make("a", { href: `api/download/${kind}?${query}`, textContent: kind.toUpperCase(), attributes: { download: "" } }));
}

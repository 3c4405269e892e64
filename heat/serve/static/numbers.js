// From tokens' numbers to those of units, and what is said of them: the rules of heat/units.py and heat/comparison.py.

/** A token's share of a unit's number, added up: the mean and the sum of heat.projection.word_scores. */
function reduced(values, from, { starts, tokens, shares }, unit, aggregation, out) {
  const [first, last] = [starts[unit], starts[unit + 1]];
  if (first === last) return 0; // what the tokenizer drops
  let [sum, weight, most] = [0, 0, -Infinity];
  for (let at = first; at < last; at++) {
    const value = out[tokens[at]] ? 0 : values[from + tokens[at]];
    sum += value * shares[at];
    weight += shares[at];
    most = Math.max(most, value);
  }
  return { mean: sum / weight, sum, max: most }[aggregation];
}

/**
 * A row of numbers for each target: those of the prompt's units, then those of the answer's tokens.
 *
 * @param values float32, a row of n_tokens for each target
 * @param text what the server says of a text
 * @param looks unit, aggregation, and skipFirst: whether special tokens and the first one count nothing
 */
export function unitRows(values, text, { unit, aggregation, skipFirst }) {
  const division = text.units[unit];
  const [nUnits, nTargets, width] = [division.pieces.length, text.answer.length, text.n_tokens];
  const out = new Uint8Array(width);
  if (skipFirst) for (const token of text.left_out) out[token] = 1;
  const rows = [];
  for (let target = 0; target < nTargets; target++) {
    const row = new Float64Array(nUnits + nTargets);
    const from = target * width;
    for (let at = 0; at < nUnits; at++) row[at] = reduced(values, from, division, at, aggregation, out);
    for (let token = 0; token < nTargets; token++) row[nUnits + token] = values[from + text.n_prompt + token];
    rows.push(row);
  }
  return rows;
}

/** The rows added up. */
export function total(rows) {
  const sum = new Float64Array(rows[0].length);
  for (const row of rows) for (let at = 0; at < sum.length; at++) sum[at] += row[at];
  return sum;
}

/** The largest absolute number among the first `count`. */
export function largest(row, count) {
  let most = 0;
  for (let at = 0; at < count; at++) most = Math.max(most, Math.abs(row[at]));
  return most;
}

/** Indices of the `most` largest absolute ones of the first `count` numbers, the largest first. */
export function strongest(row, count, most) {
  const found = [];
  for (let at = 0; at < count; at++) {
    const size = Math.abs(row[at]);
    if (found.length === most && size <= Math.abs(row[found[most - 1]])) continue;
    let place = found.length;
    while (place && Math.abs(row[found[place - 1]]) < size) place--;
    found.splice(place, 0, at);
    if (found.length > most) found.pop();
  }
  return found;
}

/** The place of one of the first `count` numbers by its absolute size, from 1. */
export function placeOf(row, count, which) {
  const size = Math.abs(row[which]);
  let place = 1;
  for (let at = 0; at < count; at++) if (Math.abs(row[at]) > size || (Math.abs(row[at]) === size && at < which)) place++;
  return place;
}

/** Ranks: 1 for the largest number, equal numbers sharing the mean of theirs. */
export function ranks(numbers) {
  const order = Array.from(numbers.keys()).sort((a, b) => numbers[b] - numbers[a]);
  const result = new Float64Array(numbers.length);
  for (let at = 0; at < order.length; ) {
    let end = at;
    while (end < order.length && numbers[order[end]] === numbers[order[at]]) end++;
    for (let same = at; same < end; same++) result[order[same]] = (at + end + 1) / 2;
    at = end;
  }
  return result;
}

/** Pearson's correlation of two rows of ranks, which is Spearman's; NaN where one of the two is constant. */
export function rankCorrelation(a, b) {
  const mean = (a.length + 1) / 2;
  let [ab, aa, bb] = [0, 0, 0];
  for (let at = 0; at < a.length; at++) {
    ab += (a[at] - mean) * (b[at] - mean);
    aa += (a[at] - mean) ** 2;
    bb += (b[at] - mean) ** 2;
  }
  return Math.max(-1, Math.min(1, ab / Math.sqrt(aa * bb)));
}

/** Units that rows of ranks place differently, those with the largest gap first: index and the rank in each. */
export function disagreements(rows, count) {
  const found = [];
  for (let at = 0; at < rows[0].length; at++) {
    const places = rows.map((row) => row[at]);
    const gap = Math.max(...places) - Math.min(...places);
    if (gap > 0) found.push({ index: at, ranks: places, gap });
  }
  return found.sort((a, b) => b.gap - a.gap || a.index - b.index).slice(0, count);
}

/** Four significant digits. */
export const shown = (number) => (number === 0 ? "0" : Math.abs(number) >= 1e-3 && Math.abs(number) < 1e5 ? String(Number(number.toPrecision(4))) : number.toExponential(2)).replace("-", "−");

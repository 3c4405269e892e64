// From tokens' numbers to those of words, and what is said of them.

/**
 * A row of numbers for each target: those of the prompt's words, then those of the answer's tokens.
 *
 * @param values float32, a row of n_tokens for each target
 * @param view what the server says of an attribution
 * @param skipFirst whether special tokens and the first one count nothing
 */
export function wordRows(values, view, skipFirst) {
  const { starts, tokens, weights } = view.words;
  const [nWords, nTargets, width] = [view.prompt.length, view.answer.length, view.n_tokens];
  const out = new Uint8Array(width);
  if (skipFirst) for (const token of view.left_out) out[token] = 1;
  const rows = [];
  for (let target = 0; target < nTargets; target++) {
    const row = new Float64Array(nWords + nTargets);
    const from = target * width;
    for (let word = 0; word < nWords; word++) {
      let sum = 0;
      for (let at = starts[word]; at < starts[word + 1]; at++) if (!out[tokens[at]]) sum += weights[at] * values[from + tokens[at]];
      row[word] = sum;
    }
    for (let token = 0; token < nTargets; token++) row[nWords + token] = values[from + view.n_prompt + token];
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

/** Indices of the first `count` numbers, the largest absolute ones first. */
export function strongest(row, count) {
  const order = Array.from({ length: count }, (_, at) => at);
  return order.sort((a, b) => Math.abs(row[b]) - Math.abs(row[a]) || a - b);
}

/** Ranks from 1, equal numbers sharing the mean of theirs. */
export function ranks(numbers) {
  const order = Array.from(numbers.keys()).sort((a, b) => numbers[a] - numbers[b]);
  const result = new Float64Array(numbers.length);
  for (let at = 0; at < order.length; ) {
    let end = at;
    while (end < order.length && numbers[order[end]] === numbers[order[at]]) end++;
    for (let same = at; same < end; same++) result[order[same]] = (at + end + 1) / 2;
    at = end;
  }
  return result;
}

/** Spearman's rank correlation; NaN where one of the two is constant. */
export function rankCorrelation(one, other) {
  const [a, b] = [ranks(one), ranks(other)];
  const mean = (one.length + 1) / 2;
  let [ab, aa, bb] = [0, 0, 0];
  for (let at = 0; at < a.length; at++) {
    ab += (a[at] - mean) * (b[at] - mean);
    aa += (a[at] - mean) ** 2;
    bb += (b[at] - mean) ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

/** Words whose ranks differ most: index and the place (1 is the strongest) in each. */
export function disagreements(one, other, count) {
  const places = [one, other].map((numbers) => ranks(Array.from(numbers, (x) => -Math.abs(x))));
  return Array.from(one.keys())
    .map((word) => ({ word, places: places.map((of) => of[word]) }))
    .sort((a, b) => Math.abs(b.places[0] - b.places[1]) - Math.abs(a.places[0] - a.places[1]) || a.word - b.word)
    .slice(0, count)
    .filter(({ places: [a, b] }) => a !== b);
}

/** Four significant digits. */
export const shown = (number) => (number === 0 ? "0" : Math.abs(number) >= 1e-3 && Math.abs(number) < 1e5 ? String(Number(number.toPrecision(4))) : number.toExponential(2)).replace("-", "−");

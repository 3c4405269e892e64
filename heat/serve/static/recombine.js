// M, S and I put together anew from the stored parts: what heat.recombine does in Python, in float32 as there.

const { fround } = Math;

/** Float32 numbers of base64, as Python wrote them. */
export function decode(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** Each row divided by its sum; a row of zeros stays. */
function shares(part, width) {
  const result = new Float32Array(part.length);
  for (let start = 0; start < part.length; start += width) {
    let total = 0;
    for (let at = start; at < start + width; at++) total += part[at];
    total = fround(total);
    const by = total > 0 ? total : 1;
    for (let at = start; at < start + width; at++) result[at] = part[at] / by;
  }
  return result;
}

/** β S + γ I, or their weighted geometric mean. */
function mixed(curvature, information, { beta, gamma, normalize, mix }, width) {
  const [s, i] = [curvature, information].map((part) => (normalize === "sum" ? shares(part, width) : part));
  const result = new Float32Array(s.length);
  if (mix === "geometric") {
    const weight = beta / (beta + gamma);
    for (let at = 0; at < s.length; at++) result[at] = fround(s[at] ** weight) * fround(i[at] ** (1 - weight));
  } else {
    const [b, c] = [fround(beta), fround(gamma)];
    for (let at = 0; at < s.length; at++) result[at] = fround(b * s[at]) + fround(c * i[at]);
  }
  return result;
}

/**
 * Scores of tokens by a combination of parts.
 *
 * @param parts transition, curvature and information, each of rows of `width` numbers
 * @param letters of the parts to take: M, S, I
 * @param options beta, gamma, normalize, mix and temper of the method; without M or without both others as the ablations
 */
export function recombine(parts, letters, options, width) {
  const { transition, curvature, information } = parts;
  if (letters === "S") return curvature.slice();
  if (letters === "I") return information.slice();
  const temper = options.temper ?? 1;
  const gate = temper === 1 ? transition : transition.map((value) => value ** temper);
  if (letters === "M") return gate.slice();
  const weights = { ...options };
  if (!letters.includes("S")) weights.beta = 0;
  if (!letters.includes("I")) weights.gamma = 0;
  const mix = mixed(curvature, information, weights, width);
  if (!letters.includes("M")) return mix;
  return mix.map((value, at) => gate[at] * value);
}

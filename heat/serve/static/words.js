// The words of a prompt and the tokens of its answer as elements, and the colour behind each.

import { make } from "./dom.js";

// Steps of a colour, each a class of the style sheet: a word whose step stays the same is left alone while one hovers, and
// words of the same step share their computed style, which inline styles would not.
const STEPS = 20;

function piece([before, text, tokens, heading], at, kind) {
  const made = make("span", { className: `w ${kind}`, textContent: text, tabIndex: -1, attributes: { role: "button", "aria-pressed": "false", "data-at": at } });
  made.tokens = tokens;
  return heading ? [before, make("span", { className: "heading", textContent: heading }), made] : [before, made];
}

/** Elements of all pieces: the prompt's words in `map`, the answer's tokens in `answer`. */
export function makeWords(view, map, answer) {
  const spans = [];
  const fill = (box, pieces, kind) => {
    const content = [];
    for (const each of pieces) {
      const [before, ...made] = piece(each, spans.length, kind);
      spans.push(made.at(-1));
      content.push(kind === "of-answer" ? before.replace(/\s+/g, " ") : before, ...made); // an answer in lines would fill the head
    }
    box.replaceChildren(...content);
  };
  fill(map, view.prompt, "of-prompt");
  fill(answer, view.answer, "of-answer");
  if (answer.firstChild?.nodeType === Node.TEXT_NODE) answer.firstChild.remove(); // the space before the first token
  if (spans[0]) spans[0].tabIndex = 0;
  if (spans[view.prompt.length]) spans[view.prompt.length].tabIndex = 0;
  return spans;
}

/** Something that gives spans the colour of a share in [-1, 1] each, touching only those that change. */
export function painter(spans) {
  const steps = new Int8Array(spans.length);
  const plain = spans.map((made) => made.className);
  return (shares) => {
    for (let at = 0; at < spans.length; at++) {
      const step = Math.round(Math.max(-1, Math.min(1, shares[at])) * STEPS);
      if (step === steps[at]) continue;
      spans[at].className = step ? `${plain[at]} ${step > 0 ? "for" : "against"}-${Math.abs(step)}` : plain[at];
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

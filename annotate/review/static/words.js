// The words under pointer and keyboard.

import { setRange } from "./decisions.js";
import { say } from "./messages.js";
import { showDecision } from "./sheet.js";
import { state } from "./state.js";

export function focusWord(word, options) {
  if (!state.words[word]) return;
  state.words[state.focus].tabIndex = -1;
  state.focus = word;
  state.words[word].tabIndex = 0;
  state.words[word].focus(options);
}

export const wordOf = (target) => {
  const made = target?.closest?.("#words .w");
  return made ? Number(made.dataset.word) : null;
};

export function dragStart(event) {
  const word = wordOf(event.target);
  if (word === null || event.button !== 0) return;
  event.preventDefault();
  state.dragging = true;
  state.anchor = word;
  focusWord(word);
  showDecision();
}

export function dragOver(event) {
  if (!state.dragging) return;
  const word = wordOf(document.elementFromPoint(event.clientX, event.clientY));
  if (word === null || word === state.focus) return;
  focusWord(word, { preventScroll: true });
  showDecision();
}

export function dragEnd() {
  if (!state.dragging) return;
  state.dragging = false;
  setRange(state.anchor, state.focus);
}

export function dragCancel() {
  state.dragging = false;
  state.anchor = null;
  if (state.current) showDecision();
}

/** The word on the line above or below that is nearest to the one in focus. */
function vertical(down) {
  const here = state.words[state.focus].getClientRects()[0];
  let best = null;
  state.words.forEach((made, word) => {
    const there = made.getClientRects()[0];
    const lines = down ? there.top - here.bottom : here.top - there.bottom;
    if (lines < -here.height / 2 || Math.abs(there.top - here.top) < here.height / 2) return;
    const across = Math.abs((there.left + there.right) / 2 - (here.left + here.right) / 2);
    if (!best || lines < best.lines - here.height / 2 || (lines < best.lines + here.height / 2 && across < best.across)) best = { lines, across, word };
  });
  return best?.word;
}

export function wordKey(event) {
  const reading = getComputedStyle(state.words[state.focus].parentElement).direction === "rtl" ? -1 : 1;
  const target = {
    ArrowLeft: () => state.focus - reading,
    ArrowRight: () => state.focus + reading,
    ArrowUp: () => vertical(false),
    ArrowDown: () => vertical(true),
    Home: () => 0,
    End: () => state.words.length - 1,
  }[event.key];
  if (target) {
    const word = target();
    const before = state.focus;
    if (state.words[word]) focusWord(word);
    state.anchor = event.shiftKey ? (state.anchor ?? before) : null;
    showDecision();
    if (event.shiftKey) say(`${Math.abs(state.focus - state.anchor) + 1} words; Space marks them`);
  } else if (event.key === " ") {
    setRange(state.anchor ?? state.focus, state.focus);
  } else if (event.key === "Escape") {
    state.anchor = null;
    showDecision();
  } else return false;
  return true;
}

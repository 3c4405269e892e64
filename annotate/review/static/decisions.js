// What a person decides on the current paragraph: shown at once, then written.

import { element } from "./dom.js";
import { say } from "./messages.js";
import { outbox } from "./outbox.js";
import { showDecision } from "./sheet.js";
import { decision, state } from "./state.js";
import { ACTIONS } from "./vocabulary.js";

const NOTE_PAUSE_MS = 800;

/** Make a decision on the current paragraph: show it at once, then have it written. */
export function decide(action, changed, spoken) {
  const sheet = state.current;
  const decided = { ...decision(), ...changed };
  sheet.history = [...sheet.history.slice(0, sheet.position + 1), decided];
  sheet.position += 1;
  outbox.add(sheet, action, decided);
  state.anchor = null;
  showDecision();
  say(spoken);
}

const ordered = (words) => [...new Set(words)].sort((a, b) => a - b);

export function accept(action, words) {
  const taken = ordered(words);
  decide(action, { words: taken, done: false }, `${ACTIONS[action].label}: ${taken.length} words`);
}

export function setRange(first, last) {
  const [from, to] = [Math.min(first, last), Math.max(first, last)];
  const words = decision().words;
  const marking = !words.includes(first);
  const outside = words.filter((word) => word < from || word > to);
  const inside = Array.from({ length: to - from + 1 }, (_, at) => from + at);
  const text = from === to ? state.words[first].textContent : `${inside.length} words`;
  decide(from === to ? "toggle" : "range", { words: ordered(marking ? [...outside, ...inside] : outside), done: false }, `${text} ${marking ? "marked" : "not marked"}`);
}

export function walk(action, by) {
  const sheet = state.current;
  const beside = sheet.history[sheet.position + by];
  if (!beside) return say(`Nothing to ${action}`);
  sheet.position += by;
  outbox.add(sheet, action, beside);
  state.anchor = null;
  element("note").value = beside.note;
  showDecision();
  return say(`${ACTIONS[action].label}: ${beside.words.length} words marked`);
}

export function flag() {
  const flagged = !decision().flag;
  decide("flag", { flag: flagged }, flagged ? "Flagged" : "Not flagged");
}

let noteTimer = 0;

export function keepNote() {
  clearTimeout(noteTimer);
  const note = element("note").value;
  if (state.current && note !== decision().note) decide("note", { note }, "Note kept");
}

/** Keep the note when nothing was typed for a moment. */
export function keepNoteSoon() {
  clearTimeout(noteTimer);
  noteTimer = setTimeout(keepNote, NOTE_PAUSE_MS);
}

// Going from paragraph to paragraph, filter to filter, annotator to annotator.

import { keepNote } from "./decisions.js";
import { element } from "./dom.js";
import { banner, lostToken, offline, say } from "./messages.js";
import { outbox } from "./outbox.js";
import { loadQueue, showCurrentRow, showQueue } from "./queue.js";
import { Refused, call } from "./server.js";
import { place, showEmpty, showSheet } from "./sheet.js";
import { allDone, paired, state } from "./state.js";
import { FILTERS } from "./vocabulary.js";
import { focusWord } from "./words.js";

/** A paragraph with what was decided on it here; from the server only when it has got all of that. */
async function load(paragraph) {
  while (!state.sheets.has(paragraph)) {
    await outbox.send();
    const pair = state.pair;
    const sheet = await call(paired(`api/paragraphs/${paragraph}`));
    const complete = outbox.held || !outbox.waitsFor(paragraph);
    if (complete && pair === state.pair && !state.sheets.has(paragraph)) state.sheets.set(paragraph, sheet);
  }
  return state.sheets.get(paragraph);
}

let wanted = 0;

export async function open(paragraph) {
  const again = paragraph === state.current?.paragraph;
  keepNote();
  const mine = ++wanted;
  let sheet;
  try {
    sheet = await load(paragraph);
  } catch (error) {
    if (state.current) state.sheets.set(state.current.paragraph, state.current);
    if (!(error instanceof Refused)) offline();
    else if (error.status === 403) lostToken(error.message);
    else banner("refused", error.message);
    say("The paragraph cannot be loaded");
    return;
  }
  if (mine !== wanted || !sheet) return;
  const fromQueue = element("queue").contains(document.activeElement);
  state.current = sheet;
  state.focus = again ? state.focus : 0;
  state.anchor = null;
  history.replaceState(null, "", `#${paragraph}`);
  showSheet();
  showCurrentRow();
  if (!fromQueue) focusWord(state.focus, { preventScroll: true });
  if (!again) window.scrollTo(0, 0);
  say(`${sheet.id}, ${place()}. ${sheet.question}`);
  const next = state.listed[state.listed.indexOf(paragraph) + 1];
  if (next !== undefined) load(next).catch(() => {});
}

/** Show the current paragraph as the server has it. */
export async function refresh() {
  state.sheets.clear();
  if (state.current) await open(state.current.paragraph);
}

/** Show that no paragraph is here. */
export function leave() {
  showEmpty();
  showCurrentRow();
}

export function move(by) {
  keepNote();
  const at = state.listed.indexOf(state.current?.paragraph);
  const to = at < 0 ? state.listed[0] : state.listed[at + by];
  if (to !== undefined) open(to);
  else if (allDone()) say("This was the last one. All paragraphs are done.");
  else say(by > 0 ? "This is the last paragraph of the list" : "This is the first paragraph of the list");
}

export function choose(filter) {
  state.filter = filter;
  showQueue();
  say(`${FILTERS[filter]}: ${state.listed.length} paragraphs`);
  if (state.listed.length && !state.listed.includes(state.current?.paragraph)) open(state.listed[0]);
  else if (!state.listed.length) leave();
}

export async function choosePair(which, annotator) {
  await outbox.send();
  state.pair = state.pair.map((old, at) => (at === which ? annotator : old));
  try {
    await loadQueue();
    await refresh();
  } catch {
    offline();
  }
}

export async function reloadQueue() {
  await outbox.send();
  banner("elsewhere");
  state.seq = (await call("api/alive")).seq;
  await loadQueue();
  await refresh();
}

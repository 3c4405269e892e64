"use strict";

// One page, one paragraph at a time. The server holds the truth; what it has not confirmed yet waits in the outbox.

const RETRY_MS = 1000;
const ALIVE_MS = 2500;
const PATIENCE_MS = 8000;
const NOTE_PAUSE_MS = 800;
const ROWS_AT_ONCE = 60;

const FILTERS = { pending: "Pending", done: "Done", flagged: "Flagged", unresolved: "Unresolved quotes", all: "All" };
const ROLES = { narrative: "Narrative", support: "Support", question: "Question", text: "Text" };

// key, label, sides it needs, what it does
const ACTIONS = {
  "accept-a": { key: "a", label: "Accept A", sides: 1, run: () => accept("accept-a", side(0)) },
  "accept-b": { key: "b", label: "Accept B", sides: 2, run: () => accept("accept-b", side(1)) },
  union: { key: "u", label: "Union", sides: 2, run: () => accept("union", [...side(0), ...side(1)]) },
  intersection: { key: "i", label: "Intersection", sides: 2, run: () => accept("intersection", side(0).filter((word) => side(1).includes(word))) },
  clear: { key: "c", label: "Clear", sides: 0, run: () => accept("clear", []) },
  undo: { key: "z", label: "Undo", sides: 0, run: () => walk("undo", -1) },
  redo: { key: "y", label: "Redo", sides: 0, run: () => walk("redo", 1) },
  flag: { key: "x", label: "Flag", sides: 0, run: flag },
  previous: { key: "k", label: "Previous", sides: 0, run: () => move(-1) },
  next: { key: "j", label: "Next", sides: 0, run: () => move(1) },
  save: { key: "Enter", label: "Save and next", sides: 0, run: save },
};

const HELP = [
  ["click, Space", "mark a word, or take the mark back"],
  ["drag, Shift + arrows then Space", "mark a range; it becomes what its first word was not"],
  ["arrows, Home, End", "go from word to word"],
  ["Esc", "leave the range"],
  ["a, b", "take the marks of A, of B"],
  ["u, i", "take the words either marked, both marked"],
  ["c", "take all marks back"],
  ["z, y", "undo, redo, in this paragraph"],
  ["Enter", "save: the decision is final; go to the next paragraph"],
  ["k, j", "previous, next paragraph, without saving as final"],
  ["x", "flag, to look at it again"],
  ["?", "this help"],
];

const element = (id) => document.getElementById(id);

/** A new element with properties, attributes and children; text is always text. */
function make(tag, { attributes = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// ---- the server ----

/** What the server answered instead of doing it. */
class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** Ask the server; throws Refused where it said no, another error where it could not be reached. */
async function call(path, body) {
  const options = { signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store" };
  if (body !== undefined) {
    Object.assign(options, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  }
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw new Refused(response.status, answer.error);
  return answer;
}

const paired = (path) => (state.pair.length ? `${path}?pair=${state.pair.join(",")}` : path);

// ---- state ----

const state = {
  about: null, // what the server said of this run
  pair: [], // positions of the annotators shown
  rows: [], // the queue, in order
  byParagraph: new Map(),
  filter: "pending",
  listed: [], // paragraphs the list shows; stays as it is until a filter is chosen
  sheets: new Map(), // paragraphs seen, with what was decided here
  current: null,
  words: [], // elements of the current words
  focus: 0,
  anchor: null, // where a range began
  seq: 0, // last sequence number seen
};

const decision = () => state.current.history[state.current.position];
const side = (which) => state.current.sides[which].words;

// ---- the outbox: actions the server has not confirmed ----

const outbox = {
  entries: [],
  key: "",
  running: null, // the promise of the sending that goes on
  held: false, // the server refused the first entry; a person decides
  timer: 0,

  /** Take over what tabs of this run left behind, now or when they close. */
  open() {
    const prefix = `review:${state.about.session}:`;
    const left = Object.keys(localStorage).filter((key) => key.startsWith(prefix));
    this.key = prefix + crypto.randomUUID();
    navigator.locks.request(this.key, () => new Promise(() => {}));
    return left.map((key) =>
      navigator.locks.request(key, () => {
        const kept = JSON.parse(localStorage.getItem(key) ?? "[]");
        localStorage.removeItem(key);
        this.entries.push(...kept);
        this.keep();
        return kept.length ? this.send().then(() => refresh()) : undefined;
      }),
    );
  },

  keep() {
    try {
      if (this.entries.length) localStorage.setItem(this.key, JSON.stringify(this.entries));
      else localStorage.removeItem(this.key);
    } catch {
      // no room: they are still in memory
    }
    showSaved();
  },

  add(sheet, action, decided) {
    const follows = this.waitsFor(sheet.paragraph);
    this.entries.push({
      session: state.about.session,
      key: crypto.randomUUID(),
      paragraph: sheet.paragraph,
      pair: state.pair,
      base: follows ? null : sheet.seq, // null: follows the entry before it
      action,
      ...decided,
    });
    this.keep();
    this.send();
  },

  confirm(answer) {
    const { paragraph } = this.entries.shift();
    const follower = this.entries.find((entry) => entry.paragraph === paragraph);
    if (follower) follower.base = answer.seq;
    const sheet = state.sheets.get(paragraph);
    if (sheet) sheet.seq = answer.seq;
    if (answer.seq > state.seq + 1) warnElsewhere();
    state.seq = Math.max(state.seq, answer.seq);
    this.keep();
    showRow(paragraph, answer.filters);
  },

  /** Send what waits, one after the other; resolves when nothing waits or it cannot be sent now. */
  send() {
    this.running ??= this.sendAll().finally(() => {
      this.running = null;
      showSaved();
    });
    return this.running;
  },

  async sendAll() {
    clearTimeout(this.timer);
    try {
      while (this.entries.length && !this.held) {
        this.confirm(await call("api/reviews", this.entries[0]));
        banner("offline");
        banner("token");
        banner("disk");
      }
    } catch (error) {
      this.failed(error);
    }
  },

  failed(error) {
    if (!(error instanceof Refused)) offline();
    else if (error.status === 403) lostToken(error.message);
    else if (error.status === 412) otherSettings();
    else if (error.status < 500) {
      this.held = true;
      const { paragraph } = this.entries[0];
      const id = state.byParagraph.get(paragraph)?.id ?? paragraph;
      banner("refused", `${error.message}. Your ${this.count(paragraph)} unsaved on ${id} ${this.entries.length > 1 ? "are" : "is"} held back.`, [
        ["Drop mine and reload the paragraph", () => this.drop(paragraph)],
      ]);
      return;
    } else banner("disk", `${error.message}. Your actions are kept here and sent again.`);
    this.timer = setTimeout(() => this.send(), RETRY_MS);
  },

  count(paragraph) {
    const waiting = this.entries.filter((entry) => entry.paragraph === paragraph).length;
    return waiting === 1 ? "1 action" : `${waiting} actions`;
  },

  async drop(paragraph) {
    this.entries = this.entries.filter((entry) => entry.paragraph !== paragraph);
    this.held = false;
    this.keep();
    banner("refused");
    await this.send();
    await refresh();
  },

  waitsFor(paragraph) {
    return this.entries.some((entry) => entry.paragraph === paragraph);
  },
};

// ---- banners and messages ----

/** Show one banner of a kind, or none without text; `command` is something to type. */
function banner(kind, text, buttons = [], command = "") {
  const box = element("banners");
  const old = box.querySelector(`[data-kind="${kind}"]`);
  if (old?.dataset.text === text) return;
  old?.remove();
  if (!text) return;
  const sentence = make("p", {}, text, command && make("code", { textContent: command }));
  const made = make("div", { className: "banner", attributes: { "data-kind": kind, "data-text": text } }, sentence);
  for (const [label, run] of buttons) made.append(make("button", { type: "button", textContent: label, onclick: run }));
  box.append(made);
}

function offline() {
  banner("offline", "The server does not answer. Nothing is lost: what you do is kept in this browser and sent when it is back. Start it again with: ", [], state.about.restart);
}

function lostToken(sentence) {
  banner("offline");
  banner("token", `${sentence}. What you did is kept in this browser. Open the server's new address on the same port and close this page, or stop the server and start it with: `, [], state.about.restart);
}

function otherSettings() {
  banner("session", "The server was started again with other settings. What it did not get from this page is kept in this browser, for the settings it was made with.", [["Reload the page", () => location.reload()]]);
}

function warnElsewhere() {
  banner("elsewhere", "Reviews were written elsewhere since this page was loaded, in another tab perhaps.", [["Reload the queue", reloadQueue]]);
}

function say(text) {
  element("live").textContent = text;
}

function showSaved() {
  const waiting = outbox.entries.length;
  const shown = element("saved");
  shown.textContent = waiting ? `${waiting} not saved yet` : "saved";
  shown.classList.toggle("waiting", waiting > 0);
}

// ---- the queue ----

async function loadQueue() {
  takeQueue(await call(paired("api/queue")));
}

function takeQueue(rows) {
  state.rows = rows;
  state.byParagraph = new Map(state.rows.map((row) => [row.paragraph, row]));
  showQueue();
}

function showQueue() {
  state.listed = state.rows.filter((row) => row.filters.includes(state.filter)).map((row) => row.paragraph);
  element("list").replaceChildren();
  showCounts();
  addRows(state.listed, 0);
}

/** Add rows from one on, a screenful now and the rest while nothing else is to do. */
function addRows(listed, from) {
  if (listed !== state.listed) return; // another filter was chosen meanwhile
  const rows = listed.slice(from, from + ROWS_AT_ONCE).map((paragraph) => {
    const button = make("button", { type: "button", tabIndex: -1, attributes: { "data-paragraph": paragraph } });
    fillRow(button, state.byParagraph.get(paragraph));
    return make("li", {}, button);
  });
  element("list").append(...rows);
  if (rows.some((made) => Number(made.firstChild.dataset.paragraph) === state.current?.paragraph) || !from) showCurrentRow();
  if (from + ROWS_AT_ONCE < listed.length) requestIdleCallback(() => addRows(listed, from + ROWS_AT_ONCE), { timeout: 200 });
}

function fillRow(button, row) {
  const done = row.filters.includes("done");
  const flagged = row.filters.includes("flagged");
  const unresolved = row.filters.includes("unresolved");
  const disagreement = state.about.mode === "audit" ? "" : row.disagreement.toFixed(2);
  const signs = [done && "✓", flagged && "⚑", unresolved && "?"].filter(Boolean).join(" ");
  const spoken = [disagreement && "disagreement", done ? "done" : "pending", flagged && "flagged", unresolved && "unresolved quotes"].filter(Boolean).join(", ");
  button.replaceChildren(
    make("span", { className: "row-id", textContent: row.id }),
    make("span", { className: "row-signs", textContent: signs, attributes: { "aria-hidden": "true" } }),
    make("span", { className: "row-number", textContent: disagreement }),
    make("span", { className: "unseen", textContent: ` ${spoken}` }),
  );
}

function showRow(paragraph, filters) {
  const row = state.byParagraph.get(paragraph);
  if (!row) return;
  row.filters = filters;
  const button = rowButton(paragraph);
  if (button) fillRow(button, row);
  showCounts();
}

function rowButton(paragraph) {
  return element("list").querySelector(`[data-paragraph="${paragraph}"]`);
}

function showCounts() {
  const done = state.rows.filter((row) => row.filters.includes("done")).length;
  element("bar").max = state.rows.length || 1;
  element("bar").value = done;
  element("count").textContent = `${done.toLocaleString("en")}/${state.rows.length.toLocaleString("en")}`;
  for (const button of element("filters").children) {
    const name = button.dataset.filter;
    const count = state.rows.filter((row) => row.filters.includes(name)).length;
    button.textContent = `${FILTERS[name]} ${count.toLocaleString("en")}`;
    button.setAttribute("aria-pressed", name === state.filter);
  }
}

function showCurrentRow() {
  const list = element("list");
  for (const old of list.querySelectorAll("[aria-current], [tabindex='0']")) {
    old.removeAttribute("aria-current");
    old.tabIndex = -1;
  }
  const current = state.current && rowButton(state.current.paragraph);
  const stop = current ?? list.querySelector("button");
  if (stop) stop.tabIndex = 0;
  if (!current) return;
  current.setAttribute("aria-current", "true");
  current.scrollIntoView({ block: "nearest" });
}

function choose(filter) {
  state.filter = filter;
  showQueue();
  say(`${FILTERS[filter]}: ${state.listed.length} paragraphs`);
  if (state.listed.length && !state.listed.includes(state.current?.paragraph)) open(state.listed[0]);
  else if (!state.listed.length) showEmpty();
}

async function reloadQueue() {
  await outbox.send();
  banner("elsewhere");
  state.seq = (await call("api/alive")).seq;
  await loadQueue();
  await refresh();
}

/** Show the current paragraph as the server has it. */
async function refresh() {
  state.sheets.clear();
  if (state.current) await open(state.current.paragraph);
}

// ---- one paragraph ----

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

async function open(paragraph) {
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

function place() {
  const at = state.listed.indexOf(state.current.paragraph);
  return at < 0 ? "not in this list" : `${(at + 1).toLocaleString("en")} of ${state.listed.length.toLocaleString("en")}`;
}

function showEmpty() {
  const done = state.rows.every((row) => row.filters.includes("done"));
  element("sheet").hidden = true;
  element("empty").hidden = false;
  element("empty").textContent = done
    ? "All paragraphs are done. annotate adjudicate --rule reviewed turns them into gold."
    : `No paragraph is here under “${FILTERS[state.filter]}”. Choose another filter.`;
  state.current = null;
  showCurrentRow();
}

function showSheet() {
  const sheet = state.current;
  element("sheet").hidden = false;
  element("empty").hidden = true;
  element("question").textContent = sheet.question;
  element("answer").textContent = sheet.answer;
  showLegend();
  state.words = [];
  const blocks = sheet.blocks.map((block, number) => {
    const text = make("p", { className: "text", dir: "auto" });
    block.words.forEach((word, at) => {
      const made = make("span", {
        className: "w",
        textContent: word,
        tabIndex: -1,
        attributes: { role: "button", "data-word": block.first + at },
      });
      state.words.push(made);
      const last = at === block.words.length - 1;
      text.append(made, last ? block.after[at].trimEnd() : block.after[at]);
    });
    const title = make("h2", { id: `block-${number}`, textContent: ROLES[block.role] });
    return make("section", { className: `block ${block.role}`, attributes: { "aria-labelledby": title.id } }, title, text);
  });
  element("words").replaceChildren(...blocks);
  if (state.words.length) state.words[state.focus].tabIndex = 0;
  showDecision();
}

function marks(word) {
  const [a, b] = state.current.sides.map((each) => each.words.includes(word));
  if (a && b) return ["agreed", "A and B"];
  if (a) return ["only-a", state.current.sides.length > 1 ? "A only" : "A"];
  if (b) return ["only-b", "B only"];
  return ["", ""];
}

function showDecision() {
  const { words, flag: flagged, done, note } = decision();
  const mine = new Set(words);
  state.words.forEach((made, word) => {
    const [kind, meaning] = marks(word);
    const mark = mine.has(word) ? "mine" : "";
    made.className = ["w", kind, mark, inRange(word) ? "range" : ""].filter(Boolean).join(" ");
    made.setAttribute("aria-pressed", mine.has(word));
    made.setAttribute("aria-label", meaning ? `${made.textContent}, ${meaning}` : made.textContent);
    made.title = meaning;
  });
  element("place").textContent = [state.current.id, place(), done ? "done" : "pending", flagged && "flagged", `${words.length} words marked`].filter(Boolean).join(" · ");
  if (document.activeElement !== element("note")) element("note").value = note;
  showTools(flagged);
}

function showTools(flagged) {
  const sheet = state.current;
  for (const button of element("tools").children) {
    const name = button.dataset.action;
    button.hidden = ACTIONS[name].sides > sheet.sides.length;
    const failed = (which) => sheet.sides[which] && sheet.sides[which].status !== "ok";
    if (name === "accept-a") button.disabled = failed(0);
    if (name === "accept-b") button.disabled = failed(1);
    if (name === "union" || name === "intersection") button.disabled = failed(0) || failed(1);
    if (name === "undo") button.disabled = sheet.position === 0;
    if (name === "redo") button.disabled = sheet.position === sheet.history.length - 1;
    if (name === "flag") button.setAttribute("aria-pressed", flagged);
  }
}

function showLegend() {
  const sheet = state.current;
  const swatch = (kind) => make("span", { className: `w ${kind}`, textContent: "word", attributes: { "aria-hidden": "true" } });
  const parts = sheet.sides.map((each, which) => {
    const letter = "AB"[which];
    const status = each.status === "ok" ? "" : ` (no label: ${each.status})`;
    const doubt = each.unresolved ? " (quotes not placed for sure)" : "";
    const choice = state.about.annotators.length > 2 && chooser(which);
    const name = choice || each.name || "name hidden";
    const alone = sheet.sides.length > 1 ? " only" : "";
    return make("span", { className: "key" }, swatch(`only-${letter.toLowerCase()}`), ` ${letter}${alone}: `, name, status + doubt);
  });
  if (sheet.sides.length > 1) parts.push(make("span", { className: "key" }, swatch("agreed"), " A and B"));
  parts.push(make("span", { className: "key" }, swatch("mine"), " your decision"));
  element("legend").replaceChildren(...parts);
}

function chooser(which) {
  const select = make("select", { attributes: { "aria-label": `Annotator ${"AB"[which]}` } });
  state.about.annotators.forEach((name, at) => {
    const taken = at === state.pair[1 - which];
    select.append(make("option", { value: at, textContent: name, disabled: taken, selected: at === state.pair[which] }));
  });
  select.onchange = () => choosePair(which, Number(select.value));
  return select;
}

async function choosePair(which, annotator) {
  await outbox.send();
  state.pair = state.pair.map((old, at) => (at === which ? annotator : old));
  try {
    await loadQueue();
    await refresh();
  } catch {
    offline();
  }
}

// ---- actions ----

/** Make a decision on the current paragraph: show it at once, then have it written. */
function decide(action, changed, spoken) {
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

function accept(action, words) {
  const taken = ordered(words);
  decide(action, { words: taken, done: false }, `${ACTIONS[action].label}: ${taken.length} words`);
}

function setRange(first, last) {
  const [from, to] = [Math.min(first, last), Math.max(first, last)];
  const words = decision().words;
  const marking = !words.includes(first);
  const outside = words.filter((word) => word < from || word > to);
  const inside = Array.from({ length: to - from + 1 }, (_, at) => from + at);
  const text = from === to ? state.words[first].textContent : `${inside.length} words`;
  decide(from === to ? "toggle" : "range", { words: ordered(marking ? [...outside, ...inside] : outside), done: false }, `${text} ${marking ? "marked" : "not marked"}`);
}

function walk(action, by) {
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

function flag() {
  const flagged = !decision().flag;
  decide("flag", { flag: flagged }, flagged ? "Flagged" : "Not flagged");
}

let noteTimer = 0;

function keepNote() {
  clearTimeout(noteTimer);
  const note = element("note").value;
  if (state.current && note !== decision().note) decide("note", { note }, "Note kept");
}

function save() {
  keepNote();
  decide("save", { done: true }, "Saved");
  move(1);
}

function move(by) {
  keepNote();
  const at = state.listed.indexOf(state.current?.paragraph);
  const to = at < 0 ? state.listed[0] : state.listed[at + by];
  if (to !== undefined) open(to);
  else if (state.rows.every((row) => row.filters.includes("done"))) say("This was the last one. All paragraphs are done.");
  else say(by > 0 ? "This is the last paragraph of the list" : "This is the first paragraph of the list");
}

// ---- words: pointer and keyboard ----

function focusWord(word, options) {
  if (!state.words[word]) return;
  state.words[state.focus].tabIndex = -1;
  state.focus = word;
  state.words[word].tabIndex = 0;
  state.words[word].focus(options);
}

function inRange(word) {
  if (state.anchor === null) return false;
  const [from, to] = [state.anchor, state.focus].sort((a, b) => a - b);
  return word >= from && word <= to && (from !== to || drag.active);
}

const wordOf = (target) => {
  const made = target?.closest?.("#words .w");
  return made ? Number(made.dataset.word) : null;
};

const drag = { active: false };

function dragStart(event) {
  const word = wordOf(event.target);
  if (word === null || event.button !== 0) return;
  event.preventDefault();
  drag.active = true;
  state.anchor = word;
  focusWord(word);
  showDecision();
}

function dragOver(event) {
  if (!drag.active) return;
  const word = wordOf(document.elementFromPoint(event.clientX, event.clientY));
  if (word === null || word === state.focus) return;
  focusWord(word, { preventScroll: true });
  showDecision();
}

function dragEnd() {
  if (!drag.active) return;
  drag.active = false;
  setRange(state.anchor, state.focus);
}

function dragCancel() {
  drag.active = false;
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

function wordKey(event) {
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

function queueKey(event) {
  const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const item = document.activeElement.closest("#list li");
  if (!by || !item) return false;
  const beside = by > 0 ? item.nextElementSibling : item.previousElementSibling;
  beside?.firstElementChild.focus();
  return true;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || element("help").open) return;
  const target = event.target;
  if (target.closest("textarea, select, input")) return;
  if (wordOf(target) !== null && wordKey(event)) return event.preventDefault();
  if (target.closest("#list") && queueKey(event)) return event.preventDefault();
  // the letter on the key where the layout has another alphabet
  const latin = /^[a-z]$/i.test(event.key) || !/^\p{L}$/u.test(event.key);
  const key = latin ? event.key : event.code.replace("Key", "");
  if (key === "?") return openHelp();
  if (key === "Enter" && target.closest("button, a")) return undefined;
  const [name, action] = Object.entries(ACTIONS).find(([, each]) => each.key.toLowerCase() === key.toLowerCase()) ?? [];
  if (!action || !state.current) return undefined;
  event.preventDefault();
  if (event.repeat && name === "save") return undefined;
  const button = element("tools").querySelector(`[data-action="${name}"]`);
  if (!button.hidden && !button.disabled) action.run();
  return undefined;
}

function openHelp() {
  element("help").showModal();
}

function toggleQueue(open = !document.body.classList.contains("queue-open")) {
  document.body.classList.toggle("queue-open", open);
  element("open-queue").setAttribute("aria-expanded", open);
  if (open) showCurrentRow();
}

// ---- start ----

function build() {
  for (const filter of Object.keys(FILTERS)) {
    if (filter === "unresolved" && state.about.mode === "audit") continue;
    element("filters").append(make("button", { type: "button", onclick: () => choose(filter), attributes: { "data-filter": filter } }));
  }
  for (const [name, { key, label, run }] of Object.entries(ACTIONS)) {
    const attributes = { "data-action": name, "data-key": key === "Enter" ? "⏎" : key, "aria-keyshortcuts": key };
    element("tools").append(make("button", { type: "button", onclick: run, textContent: label, attributes }));
  }
  const inAudit = state.about.mode === "audit";
  for (const [keys, meaning] of HELP) {
    if (inAudit && /\b[AB]\b|either/.test(meaning)) continue;
    element("keys").append(make("tr", {}, make("th", { scope: "row", textContent: keys }), make("td", { textContent: meaning })));
  }
  const seen = { review: "sees the annotators' marks", blind: "sees the marks without names", audit: "marks without suggestions" }[state.about.mode];
  element("who").textContent = `${state.about.reviewer} ${seen}`;
  element("order").textContent = inAudit ? "in random order" : "most disputed first (1 − F1)";
}

function listen() {
  const words = element("words");
  words.addEventListener("pointerdown", dragStart);
  document.addEventListener("pointermove", dragOver);
  document.addEventListener("pointerup", dragEnd);
  document.addEventListener("pointercancel", dragCancel);
  words.addEventListener("click", (event) => {
    const word = wordOf(event.target);
    if (event.detail === 0 && word !== null) setRange(word, word); // a click without a pointer: assistive technology
  });
  document.addEventListener("keydown", onKey);
  element("list").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    toggleQueue(false);
    open(Number(button.dataset.paragraph));
  });
  element("open-queue").onclick = () => toggleQueue();
  element("open-help").onclick = openHelp;
  element("close-help").onclick = () => element("help").close();
  element("note").addEventListener("input", () => {
    clearTimeout(noteTimer);
    noteTimer = setTimeout(keepNote, NOTE_PAUSE_MS);
  });
  element("note").addEventListener("change", keepNote);
  addEventListener("pagehide", keepNote);
}

/** Tell other tabs of this run that there are two. */
function watchTabs() {
  const channel = new BroadcastChannel(`review:${state.about.session}`);
  const warn = () =>
    banner("tabs", "This review is open in another tab too. What one tab writes, the other does not see until it is reloaded; it cannot overwrite it.", [
      ["I know", () => banner("tabs")],
    ]);
  channel.onmessage = ({ data }) => {
    warn();
    if (data === "opened") channel.postMessage("here too");
  };
  channel.postMessage("opened");
}

async function watchServer() {
  try {
    const { session, seq } = await call("api/alive");
    banner("offline");
    banner("token");
    if (session !== state.about.session) {
      otherSettings();
    } else if (seq > state.seq && !outbox.entries.length) warnElsewhere();
  } catch (error) {
    if (error instanceof Refused) lostToken(error.message);
    else offline();
  }
  setTimeout(watchServer, ALIVE_MS);
}

async function start() {
  const [about, rows] = await Promise.all([call("api/session"), call("api/queue")]);
  state.about = about;
  state.pair = about.pair;
  state.filter = about.filter;
  state.seq = about.seq;
  build();
  listen();
  takeQueue(rows);
  const left = outbox.open();
  if (left.length) await Promise.race([Promise.all(left), new Promise((resolve) => setTimeout(resolve, 300))]);
  showSaved();
  const remembered = /^#\d+$/.test(location.hash) ? Number(location.hash.slice(1)) : undefined;
  const first = state.byParagraph.has(remembered) ? remembered : state.listed[0];
  if (first === undefined) showEmpty();
  else await open(first);
  watchTabs();
  setTimeout(watchServer, ALIVE_MS);
}

start().catch((error) => banner("offline", `The page cannot be loaded: ${error.message}. Is the server running? Reload when it is.`));

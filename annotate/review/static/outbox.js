// Actions that the server has not confirmed: kept in the browser, sent one after the other.

import { banner, lostToken, offline, otherSettings, showSaved } from "./messages.js";
import { Refused, call } from "./server.js";
import { state } from "./state.js";

const RETRY_MS = 1000;

export const outbox = {
  entries: [],
  key: "",
  running: null, // the promise of the sending that goes on
  held: false, // the server refused the first entry; a person decides
  timer: 0,
  on: {}, // confirmed(paragraph, filters), elsewhere(), reload(): what the page does then

  /** Take over what tabs of this run left behind, now or when they close. */
  open(on) {
    this.on = on;
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
        return kept.length ? this.send().then(() => this.on.reload()) : undefined;
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
    showSaved(this.entries.length);
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
    if (answer.seq > state.seq + 1) this.on.elsewhere();
    state.seq = Math.max(state.seq, answer.seq);
    this.keep();
    this.on.confirmed(paragraph, answer.filters);
  },

  /** Send what waits, one after the other; resolves when nothing waits or it cannot be sent now. */
  send() {
    this.running ??= this.sendAll().finally(() => {
      this.running = null;
      showSaved(this.entries.length);
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
    await this.on.reload();
  },

  waitsFor(paragraph) {
    return this.entries.some((entry) => entry.paragraph === paragraph);
  },
};

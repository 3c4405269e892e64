// What the page tells a person: banners, the live region, and how much is not saved yet.

import { element, make } from "./dom.js";
import { state } from "./state.js";

/** Show one banner of a kind, or none without text; `command` is something to type. */
export function banner(kind, text, buttons = [], command = "") {
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

export function offline() {
  banner("offline", "The server does not answer. Nothing is lost: what you do is kept in this browser and sent when it is back. Start it again with: ", [], state.about.restart);
}

export function lostToken(sentence) {
  banner("offline");
  banner("token", `${sentence}. What you did is kept in this browser. Open the server's new address on the same port and close this page, or stop the server and start it with: `, [], state.about.restart);
}

export function otherSettings() {
  banner("session", "The server was started again with other settings. What it did not get from this page is kept in this browser, for the settings it was made with.", [["Reload the page", () => location.reload()]]);
}

export function warnElsewhere(reload) {
  banner("elsewhere", "Reviews were written elsewhere since this page was loaded, in another tab perhaps.", [["Reload the queue", reload]]);
}

export function say(text) {
  element("live").textContent = text;
}

export function showSaved(waiting) {
  const shown = element("saved");
  shown.textContent = waiting ? `${waiting} not saved yet` : "saved";
  shown.classList.toggle("waiting", waiting > 0);
}

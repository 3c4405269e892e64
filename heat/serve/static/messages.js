// What the page tells a person: banners and the live region.

import { element, make } from "./dom.js";

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

export function say(text) {
  element("live").textContent = text;
}

export const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** Seconds for people. */
export function duration(seconds) {
  if (seconds < 0.95) return `${Math.max(0.1, seconds).toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

// The keyboard.

import { COMMANDS } from "./commands.js";
import { element } from "./dom.js";
import { state } from "./state.js";
import { ACTIONS } from "./vocabulary.js";
import { wordKey, wordOf } from "./words.js";

function queueKey(event) {
  const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const item = document.activeElement.closest("#list li");
  if (!by || !item) return false;
  const beside = by > 0 ? item.nextElementSibling : item.previousElementSibling;
  beside?.firstElementChild.focus();
  return true;
}

export function onKey(event) {
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
  const name = Object.keys(ACTIONS).find((action) => ACTIONS[action].key.toLowerCase() === key.toLowerCase());
  if (!name || !state.current) return undefined;
  event.preventDefault();
  if (event.repeat && name === "save") return undefined;
  const button = element("tools").querySelector(`[data-action="${name}"]`);
  if (!button.hidden && !button.disabled) COMMANDS[name]();
  return undefined;
}

export function openHelp() {
  element("help").showModal();
}

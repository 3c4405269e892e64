// What each action does.

import { accept, decide, flag, keepNote, walk } from "./decisions.js";
import { move } from "./navigation.js";
import { side } from "./state.js";

function save() {
  keepNote();
  decide("save", { done: true }, "Saved");
  move(1);
}

export const COMMANDS = {
  "accept-a": () => accept("accept-a", side(0)),
  "accept-b": () => accept("accept-b", side(1)),
  union: () => accept("union", [...side(0), ...side(1)]),
  intersection: () => accept("intersection", side(0).filter((word) => side(1).includes(word))),
  clear: () => accept("clear", []),
  undo: () => walk("undo", -1),
  redo: () => walk("redo", 1),
  flag,
  previous: () => move(-1),
  next: () => move(1),
  save,
};

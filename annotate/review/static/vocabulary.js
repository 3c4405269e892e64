// The names of things: filters, parts of a paragraph, actions with their keys, and the help.

export const FILTERS = { pending: "Pending", done: "Done", flagged: "Flagged", unresolved: "Unresolved quotes", all: "All" };
export const ROLES = { narrative: "Narrative", support: "Support", question: "Question", text: "Text" };

// key, label, sides it needs; what each does is in commands.js
export const ACTIONS = {
  "accept-a": { key: "a", label: "Accept A", sides: 1 },
  "accept-b": { key: "b", label: "Accept B", sides: 2 },
  union: { key: "u", label: "Union", sides: 2 },
  intersection: { key: "i", label: "Intersection", sides: 2 },
  clear: { key: "c", label: "Clear", sides: 0 },
  undo: { key: "z", label: "Undo", sides: 0 },
  redo: { key: "y", label: "Redo", sides: 0 },
  flag: { key: "x", label: "Flag", sides: 0 },
  previous: { key: "k", label: "Previous", sides: 0 },
  next: { key: "j", label: "Next", sides: 0 },
  save: { key: "Enter", label: "Save and next", sides: 0 },
};

export const HELP = [
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

// What the page knows. The server holds the truth; what it has not confirmed yet waits in the outbox.

export const state = {
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
  dragging: false, // whether the pointer marks a range
  seq: 0, // last sequence number seen
};

export const decision = () => state.current.history[state.current.position];
export const side = (which) => state.current.sides[which].words;

/** Whether every paragraph of the queue is done. */
export const allDone = () => state.rows.every((row) => row.filters.includes("done"));
export const paired = (path) => (state.pair.length ? `${path}?pair=${state.pair.join(",")}` : path);

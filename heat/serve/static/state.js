// What the page knows: the server, the runs, and which of them are looked at.

export const state = {
  about: null,
  boot: "",
  version: -1,
  runs: new Map(),
  shown: [],
};

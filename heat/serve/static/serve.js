// The live page: listens, starts, and asks the server again and again what became of the runs.

import { fill, listenToForm } from "./ask.js";
import { actions, listenToBoard, showBoard } from "./board.js";
import { element, make } from "./dom.js";
import { choices, showHistory } from "./history.js";
import { banner, plural, say } from "./messages.js";
import { Refused, call } from "./server.js";
import { state } from "./state.js";

const BUSY_MS = 400;
const IDLE_MS = 2500;
const PATIENCE_MS = 8000;
const HELP = [
  ["Ctrl Enter", "in the form: explain"],
  ["arrows, Home, End", "go from word to word, or from token to token of the answer"],
  ["Enter, Space, click", "keep looking at a word or token; once more lets go"],
  ["Escape", "let go"],
  ["/", "go to the prompt"],
  ["?", "this help"],
];

function show(ids) {
  state.shown = ids;
  const place = ids.length ? `#run=${ids.join("&with=")}` : "#";
  if (location.hash !== place) history.replaceState(null, "", place);
  showBoard();
  showHistory([]);
}

function fromAddress() {
  const query = new URLSearchParams(location.hash.slice(1));
  return [...query.getAll("run"), ...query.getAll("with")].filter((id) => state.runs.has(id)).slice(0, 2);
}

function take(answer) {
  if (answer.boot !== state.boot) state.runs.clear();
  Object.assign(state, { boot: answer.boot, version: answer.version });
  for (const run of answer.runs) {
    const before = state.runs.get(run.id);
    if (before && before.status !== run.status && state.shown.includes(run.id)) say(`${run.status}${run.error ? `: ${run.error}` : ""}`);
    state.runs.set(run.id, { ...run, version: answer.version });
  }
  const busy = [...state.runs.values()].filter(({ status }) => status === "running" || status === "queued");
  element("activity").textContent = busy.length ? `${plural(busy.length, "request")} in work` : "idle";
  showHistory(answer.runs);
  showBoard();
  return busy.length > 0;
}

let again = 0;
let asking = null;

/** Ask the server what changed; a call while one is under way waits for that one. */
function refresh() {
  asking ??= ask().finally(() => {
    asking = null;
  });
  return asking;
}

async function ask() {
  clearTimeout(again);
  let busy = false;
  try {
    const answer = await call(`api/state?boot=${state.boot}&since=${state.version}`, undefined, PATIENCE_MS);
    banner("offline");
    banner("token");
    if (answer.session === state.about.session) busy = take(answer);
    else banner("session", "The server was started again with another model or history.", [["Reload the page", () => location.reload()]]);
  } catch (error) {
    if (error instanceof Refused) banner("token", `${error.message}. Start the server with: `, [], state.about.restart);
    else banner("offline", "The server does not answer. What was shown is on the disk, and what you typed is kept here. Start it again with: ", [], state.about.restart);
  }
  again = setTimeout(refresh, busy ? BUSY_MS : IDLE_MS);
}

async function took(id) {
  await refresh();
  if (!state.runs.has(id)) await refresh();
  show([id]);
  if (matchMedia("(max-width: 50rem)").matches) element("results").scrollIntoView();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || element("help").open) return;
  if (event.target.closest("textarea, select, input")) return;
  if (event.key === "?") element("help").showModal();
  else if (event.key === "/") element("prompt").focus();
  else return;
  event.preventDefault();
}

async function start() {
  state.about = await call("api/about");
  const { about } = state;
  element("model").textContent = `${about.model} · ${about.dtype} · ${about.device}${about.context ? ` · ${about.context.toLocaleString("en")} tokens` : ""}`;
  for (const [keys, meaning] of HELP) element("keys").append(make("tr", {}, make("th", { scope: "row", textContent: keys }), make("td", { textContent: meaning })));
  choices.open = (id) => {
    show([id]);
    if (matchMedia("(max-width: 50rem)").matches) element("results").scrollIntoView();
  };
  choices.beside = (id) => show(state.shown.includes(id) ? state.shown.filter((each) => each !== id) : [state.shown[0], id]);
  actions.close = (id) => show(state.shown.filter((each) => each !== id));
  actions.cancel = async (id) => {
    try {
      await call(`api/runs/${id}/cancel`, {});
    } catch (error) {
      banner("refused", `Not cancelled: ${error.message}`);
    }
    refresh();
  };
  actions.again = async (id) => {
    fill((await call(`api/runs/${id}`)).request);
    element("prompt").focus();
  };
  actions.contrast = async (id, token) => {
    fill({ ...(await call(`api/runs/${id}`)).request, foil: null, foil_at: token + 1 });
    element("foil").focus();
  };
  listenToBoard();
  listenToForm(took);
  document.addEventListener("keydown", onKey);
  element("open-help").onclick = () => element("help").showModal();
  element("close-help").onclick = () => element("help").close();
  await refresh();
  show(fromAddress().length ? fromAddress() : [...state.runs.keys()].slice(-1));
  addEventListener("hashchange", () => show(fromAddress()));
}

start().catch((error) => banner("offline", `The page cannot be loaded: ${error.message}. Is the server running? Reload when it is.`));

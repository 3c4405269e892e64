// The form: what is asked, what it would cost, and sending it.

import { element, make } from "./dom.js";
import { banner, duration, say } from "./messages.js";
import { addMethod, another, readMethods, setMethods } from "./methods.js";
import { Refused, call } from "./server.js";
import { state } from "./state.js";

const PLAN_AFTER_MS = 500;
const ROLES = ["system", "user", "assistant"];
const draftName = () => `heat-draft:${state.about.session}`;

const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

function addMessage(role = "user", content = "") {
  const at = element("messages").children.length + 1;
  const roles = ROLES.includes(role) ? ROLES : [...ROLES, role];
  const select = make("select", { attributes: { "aria-label": `Role of message ${at}` } }, ...roles.map((value) => make("option", { value, textContent: value })));
  select.value = role;
  const text = make("textarea", { rows: 3, dir: "auto", value: content, spellcheck: false, attributes: { "aria-label": `Text of message ${at}` } });
  const row = make("li", {}, select, make("button", { type: "button", textContent: "Remove", onclick: () => {
    row.remove();
    element("add-message").focus();
    changed();
  } }), text);
  element("messages").append(row);
  return text;
}

/** What is asked, as the server takes it. */
export function readRequest() {
  const isChat = chosen("kind") === "chat";
  const messages = [...element("messages").children].map((row) => ({ role: row.querySelector("select").value, content: row.querySelector("textarea").value }));
  return {
    prompt: isChat ? null : element("prompt").value,
    messages: isChat ? messages : null,
    target: chosen("answer") === "text" ? element("target").value : null,
    foil: element("foil").value || null,
    foil_at: (element("foil").value && Number(element("foil-at").value)) || null,
    threshold: element("depending").checked ? Number(element("threshold").value) || 0 : null,
    max_targets: Number(element("max-targets").value) || 1,
    methods: readMethods(),
    seed: Number(element("seed").value) || 0,
  };
}

/** Put a request into the form. */
export function fill(request) {
  const isChat = request.messages !== null;
  element(isChat ? "kind-chat" : "kind-text").checked = true;
  element("prompt").value = request.prompt ?? element("prompt").value;
  element("messages").replaceChildren();
  for (const { role, content } of request.messages ?? []) addMessage(role, content);
  element(request.target === null ? "answer-model" : "answer-text").checked = true;
  element("target").value = request.target ?? "";
  element("foil").value = request.foil ?? "";
  element("foil-at").value = request.foil_at ?? "";
  element("depending").checked = request.threshold !== null;
  element("threshold").value = request.threshold ?? element("threshold").value;
  element("max-targets").value = request.max_targets;
  element("seed").value = request.seed;
  setMethods(request.methods);
  showKind();
  changed();
}

function showKind() {
  const isChat = chosen("kind") === "chat";
  element("as-text").hidden = isChat;
  element("as-chat").hidden = !isChat;
  if (isChat && !element("messages").children.length) addMessage();
}

const isEmpty = (request) => (request.messages ? request.messages.every(({ content }) => !content.trim()) : !request.prompt.trim());

let planning = 0;
let waiting = 0;

function changed() {
  localStorage.setItem(draftName(), JSON.stringify(readRequest()));
  clearTimeout(waiting);
  waiting = setTimeout(plan, PLAN_AFTER_MS);
}

async function plan() {
  const request = readRequest();
  const number = ++planning;
  const box = element("plan");
  if (isEmpty(request)) return box.replaceChildren();
  try {
    const found = await call("api/plan", request);
    if (number === planning) showPlan(found);
  } catch (error) {
    if (number === planning && error instanceof Refused) box.replaceChildren(make("p", { className: "wrong", textContent: error.message }));
  }
  return undefined;
}

function showPlan({ tokens, targets, methods }) {
  const known = methods.every(({ seconds }) => seconds !== null);
  const all = methods.reduce((sum, { seconds }) => sum + (seconds ?? 0), 0);
  const memory = Math.max(...methods.map(({ peak_bytes: bytes }) => bytes)) / 2 ** 30;
  const passes = ({ passes: parts }) => Math.round(Object.values(parts).reduce((a, b) => a + b, 0)).toLocaleString("en");
  const own = chosen("answer") === "model";
  const lines = methods.map((method) =>
    make("tr", { title: Object.entries(method.passes).map(([part, cost]) => `${part} ${cost.toFixed(1)}`).join(", ") },
      make("th", { scope: "row", textContent: method.method }), make("td", { className: "number", textContent: `${passes(method)} passes` }), make("td", { className: "number", textContent: method.seconds === null ? "" : duration(method.seconds) })));
  element("plan").replaceChildren(
    make("p", {}, `Will cost ${known ? `about ${duration(all)}` : "a time not known while the model is busy"}, ${memory < 0.1 ? "under 0.1" : memory.toFixed(1)} GiB of memory: ${tokens.toLocaleString("en")} tokens for ${own ? "up to " : ""}${targets.toLocaleString("en")} of answer.`),
    make("table", {}, make("tbody", {}, ...lines)));
}

let sent = { body: "", key: "" };

/** Send what is asked; `took` gets the name of the run. */
async function submit(took) {
  const request = readRequest();
  if (isEmpty(request)) {
    element(request.messages ? "add-message" : "prompt").focus();
    return say("There is no prompt yet.");
  }
  const body = JSON.stringify(request);
  // The same request sent again after a lost answer keeps its key, and is run once.
  if (sent.body !== body) sent = { body, key: crypto.randomUUID() };
  element("explain").disabled = true;
  try {
    const { id } = await call("api/runs", { key: sent.key, request });
    sent = { body: "", key: "" };
    banner("refused");
    took(id);
  } catch (error) {
    banner("refused", error instanceof Refused ? `Not taken: ${error.message}` : "The server did not answer; what you typed is kept. Try again when it is back.");
  } finally {
    element("explain").disabled = false;
  }
  return undefined;
}

/** Build the form and listen; `took` gets the name of a run that was sent. */
export function listenToForm(took) {
  if (!state.about.chat) {
    element("kind-chat").disabled = true;
    element("chat-label").title = "this model's tokenizer has no chat template";
  }
  element("explain").disabled = false;
  addMethod("heat");
  const draft = localStorage.getItem(draftName());
  try {
    if (draft) fill(JSON.parse(draft));
  } catch {
    localStorage.removeItem(draftName()); // of another version of the page
  }
  const form = element("ask");
  form.addEventListener("input", changed);
  form.addEventListener("change", showKind);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(took);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      submit(took);
    }
  });
  element("add-message").onclick = () => addMessage(element("messages").children.length % 2 ? "assistant" : "user").focus();
  element("add-method").onclick = () => {
    addMethod(another()).querySelector("select").focus();
    changed();
  };
  element("target").addEventListener("input", () => {
    element("answer-text").checked = true;
  });
  changed();
}

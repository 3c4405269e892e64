// The methods of the form: each a choice with its options.

import { element, make } from "./dom.js";
import { state } from "./state.js";

const MOST = 6;
const KINDS = { heat: "HEAT and its approximations", ablation: "parts of HEAT alone", baseline: "other methods", control: "controls" };
let made = 0;

const about = (name) => state.about.methods.find((method) => method.name === name);

function chooser(id, chosen) {
  const select = make("select", { id });
  for (const [kind, label] of Object.entries(KINDS)) {
    const of = state.about.methods.filter((method) => method.kind === kind);
    select.append(make("optgroup", { label }, ...of.map((method) => make("option", { value: method.name, textContent: method.name, disabled: Boolean(method.why_not), title: method.why_not || method.summary }))));
  }
  select.value = chosen;
  return select;
}

function optionRow(option, given, id) {
  const shown = option.default === "" ? "(none)" : option.default;
  const field = option.values.length
    ? make("select", { id }, make("option", { value: "", textContent: `${shown} (default)` }), ...option.values.filter((value) => value !== option.default).map((value) => make("option", { value, textContent: value })))
    : make("input", { id, type: "text", placeholder: shown, spellcheck: false });
  field.value = given ?? "";
  field.dataset.option = option.name;
  return make("div", { className: "option" }, make("label", { htmlFor: id, textContent: option.name }), field);
}

function showOptions(row, given = {}) {
  const method = about(row.querySelector("select").value);
  const id = row.dataset.id;
  row.querySelector(".summary").textContent = [method.summary, method.note && `Note: ${method.note}.`].filter(Boolean).join(". ");
  const details = row.querySelector("details");
  details.hidden = method.options.length === 0;
  details.open = Object.keys(given).length > 0;
  details.querySelector(".options").replaceChildren(...method.options.map((option) => optionRow(option, given[option.name], `${id}-${option.name}`)));
}

function number() {
  const rows = [...element("methods").children];
  for (const row of rows) row.querySelector(".remove").hidden = rows.length < 2;
  element("add-method").disabled = rows.length >= MOST;
}

/** Add a row for a method. */
export function addMethod(name, options = {}) {
  const id = `method-${made++}`;
  const select = chooser(id, about(name) ? name : "heat");
  const row = make("li", { className: "method", attributes: { "data-id": id } },
    make("label", { htmlFor: id, className: "unseen", textContent: "Method" }), select,
    make("button", { type: "button", className: "remove", textContent: "Remove", onclick: () => {
      row.remove();
      number();
      element("add-method").focus();
      element("ask").dispatchEvent(new Event("input"));
    } }),
    make("p", { className: "soft summary" }),
    make("details", {}, make("summary", { textContent: "Options" }), make("div", { className: "options" })));
  select.onchange = () => showOptions(row);
  element("methods").append(row);
  showOptions(row, options);
  number();
  return row;
}

export function setMethods(choices) {
  element("methods").replaceChildren();
  for (const { name, options } of choices) addMethod(name, options);
}

/** A method that is not chosen yet. */
export function another() {
  const taken = readMethods().map((method) => method.name);
  return ["heat", "kl-only", "no-gate", "integrated-gradients", "attention-rollout"].find((name) => about(name) && !taken.includes(name)) ?? "heat";
}

export function readMethods() {
  return [...element("methods").children].map((row) => {
    const fields = [...row.querySelectorAll("[data-option]")].filter((field) => field.value.trim() !== "");
    return { name: row.querySelector("select").value, options: Object.fromEntries(fields.map((field) => [field.dataset.option, field.value.trim()])) };
  });
}

// The switches of a panel: which of M, S and I count, and how much.

import { make } from "./dom.js";

const LETTERS = [
  ["M", "M transition", "how much of the target's information came from this place through attention"],
  ["S", "S curvature", "how strongly the loss bends along this place's embedding"],
  ["I", "I information", "how much the prediction changes when this place is masked"],
];
const WEIGHTS = [["beta", "β"], ["gamma", "γ"]];

/** The method and options that heat.recombine takes for what is switched on. */
export function asMethod(view, { letters, beta, gamma }) {
  const { method, options } = view.combinations[letters];
  const own = { ...options };
  if ("beta" in own && letters.includes("S")) own.beta = beta;
  if ("gamma" in own && letters.includes("I")) own.gamma = gamma;
  return { method, options: own };
}

export const initial = (view) => ({ letters: "MSI", beta: view.config.beta, gamma: view.config.gamma });

/**
 * Switches for an attribution whose parts are stored, or null for one without.
 *
 * @param changed called with the letters, beta and gamma chosen
 */
export function makeControls(view, name, changed) {
  if (!view.combinations.MSI) return null;
  const chosen = initial(view);
  const boxes = LETTERS.map(([letter, label, meaning]) => {
    const box = make("input", { type: "checkbox", checked: true, id: `${name}-${letter}` });
    return [letter, box, make("label", { title: meaning }, box, ` ${label}`)];
  });
  const sliders = WEIGHTS.map(([key, symbol]) => {
    const id = `${name}-${key}`;
    const slider = make("input", { type: "range", min: 0, max: Math.max(1, 2 * chosen[key]), step: 0.01, value: chosen[key], id });
    const output = make("output", { textContent: chosen[key], attributes: { for: id } });
    return [key, slider, output, make("label", {}, `${symbol} `, slider, " ", output)];
  });
  const reset = make("button", { type: "button", textContent: "Reset", disabled: true });
  const named = make("span", { className: "soft named" });

  function show() {
    const with_ = (letter) => chosen.letters.includes(letter);
    for (const [letter, box, label] of boxes) {
      box.checked = with_(letter);
      const without = LETTERS.map(([each]) => each).filter((each) => (each === letter ? !with_(each) : with_(each))).join("");
      box.disabled = !view.combinations[without];
      label.classList.toggle("off", box.disabled);
      label.title = box.disabled ? (without ? "this method's parts do not give what the ablation computes" : "one part must stay") : LETTERS.find(([each]) => each === letter)[2];
    }
    for (const [key, slider, output] of sliders) {
      slider.value = chosen[key];
      slider.disabled = !(with_("S") && with_("I"));
      output.textContent = slider.disabled ? "–" : Number(chosen[key]).toFixed(2);
    }
    const before = initial(view);
    reset.disabled = Object.keys(before).every((key) => before[key] === chosen[key]);
    named.textContent = reset.disabled ? "" : `shown: ${asMethod(view, chosen).method}, no run of the model`;
  }

  const tell = () => {
    show();
    changed({ ...chosen });
  };
  for (const [letter, box] of boxes) {
    box.onchange = () => {
      chosen.letters = LETTERS.map(([each]) => each).filter((each) => (each === letter ? box.checked : chosen.letters.includes(each))).join("");
      tell();
    };
  }
  for (const [key, slider] of sliders) {
    slider.oninput = () => {
      const other = key === "beta" ? "gamma" : "beta";
      // Both 0 would leave no score.
      chosen[key] = Number(slider.value) || (chosen[other] ? 0 : 0.01);
      tell();
    };
  }
  reset.onclick = () => {
    Object.assign(chosen, initial(view));
    tell();
  };
  show();
  return make("div", { className: "controls", attributes: { role: "group", "aria-label": "Parts of the score" } }, ...boxes.map((each) => each[2]), ...sliders.map((each) => each[3]), reset, named);
}

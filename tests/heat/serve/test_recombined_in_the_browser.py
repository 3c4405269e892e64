"""What the page's scripts make of stored parts is what Python makes of them."""

import base64
import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from fakes.tiny_models import tiny_lm

import heat
from heat.parts import recombine
from heat.serve.view import view
from heat.show.words import read

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="there is no node to run the page's scripts in")
STATIC = Path(str(files("heat.serve"))) / "static"
TEXT = "The vault 😀 is made of copper. قال The gate, by the way, is made of iron. Answer:"
SCRIPT = """
import { decode, recombine } from "./recombine.js";
import { wordRows, total } from "./numbers.js";
const { view, wanted } = JSON.parse(await new Promise((done) => {
  let text = "";
  process.stdin.on("data", (part) => (text += part)).on("end", () => done(text));
}));
const parts = Object.fromEntries(Object.entries(view.parts).map(([name, text]) => [name, decode(text)]));
const answers = wanted.map(({ letters, options, skip }) => {
  const values = letters === "" ? decode(view.scores) : recombine(parts, letters, options, view.n_tokens);
  const rows = wordRows(values, view, skip);
  const plain = rows.map((row) => Array.from(row));
  return { values: Array.from(values), rows: plain, sum: Array.from(total(rows)) };
});
console.log(JSON.stringify(answers));
"""
LM = tiny_lm("llama")


def in_node(shown: dict, wanted: list[dict]) -> list[dict]:
    ran = subprocess.run(
        [NODE, "--input-type=module", "--eval", SCRIPT],
        cwd=STATIC,
        input=json.dumps({"view": shown, "wanted": wanted}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(ran.stdout)


@pytest.fixture(scope="module", params=["sum", "none", "geometric", "temper"])
def attribution(request) -> heat.Attribution:
    options = {
        "sum": {},
        "none": {"normalize": "none"},
        "geometric": {"mix": "geometric"},
        "temper": {"temper": 0.5},
    }[request.param]
    return heat.attribute(LM, TEXT, " iron and", "heat", n_probes=3, **options)


def test_every_combination_and_weight(attribution) -> None:
    shown = view(attribution)
    assert set(shown["combinations"]) == {"MSI", "MS", "MI", "SI", "M", "S", "I"}
    wanted, expected = [], []
    for letters, as_method in shown["combinations"].items():
        for beta, gamma in ((0.5, 0.5), (0.13, 0.5), (1.0, 0.01)):
            options = dict(as_method["options"])
            options |= {"beta": beta} if "S" in letters and "beta" in options else {}
            options |= {"gamma": gamma} if "I" in letters and "gamma" in options else {}
            config = {**attribution.config, "beta": beta, "gamma": gamma}
            for skip in (False, True):
                wanted.append({"letters": letters, "options": config, "skip": skip})
                made = recombine(attribution, as_method["method"], **options)
                expected.append(made.without_first() if skip else made)
    for asked, got, made in zip(wanted, in_node(shown, wanted), expected, strict=True):
        reading = read(made)
        if not asked["skip"]:
            values = np.array(got["values"]).reshape(made.scores.shape)
            np.testing.assert_allclose(values, made.scores.numpy(), rtol=1e-6, atol=0, err_msg=str(asked))
        for target, row in enumerate(got["rows"]):
            # A share of the total is rounded once more where numpy adds in another order.
            np.testing.assert_allclose(row, reading.numbers(target=target), rtol=2e-6, atol=1e-12)
        np.testing.assert_allclose(got["sum"], reading.numbers(), rtol=2e-6, atol=1e-12)


def test_stored_scores_cross_the_wire_to_the_last_bit(attribution) -> None:
    (got,) = in_node(view(attribution), [{"letters": "", "options": {}, "skip": False}])
    assert np.array(got["values"], dtype="<f4").tobytes() == attribution.scores.numpy().tobytes()
    np.testing.assert_allclose(got["sum"], read(attribution).numbers(), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("heat-low-rank", {"MSI", "MS", "MI", "M", "I"}),
        ("heat-layer-sampling", {"MSI", "MS", "MI", "I"}),
        ("kl-only", set()),
        ("integrated-gradients", set()),
    ],
)
def test_only_what_python_can_recombine_is_offered(name, letters) -> None:
    shown = view(heat.attribute(tiny_lm("llama", num_hidden_layers=8), TEXT, " iron", name))
    assert set(shown["combinations"]) == letters


def test_ranks_and_disagreements() -> None:
    script = """
import { rankCorrelation, disagreements, ranks } from "./numbers.js";
console.log(JSON.stringify([Array.from(ranks([3, 1, 3, 2])), rankCorrelation([1, 2, 3, 4], [1, 3, 2, 4]),
  rankCorrelation([1, 1, 2], [2, 2, 1]), disagreements([9, -8, 1, 0], [9, 1, -8, 0], 3)]));
"""
    ran = subprocess.run(
        [NODE, "--input-type=module", "--eval", script],
        cwd=STATIC,
        capture_output=True,
        text=True,
        check=True,
    )
    ranks, correlation, opposite, apart = json.loads(ran.stdout)
    assert ranks == [3.5, 1, 3.5, 2]
    assert correlation == pytest.approx(0.8)  # 1 - 6·2/(4·15)
    assert opposite == pytest.approx(-1)
    assert apart == [{"word": 1, "places": [2, 3]}, {"word": 2, "places": [3, 2]}]


def test_what_the_page_gets_is_plain_text_and_numbers() -> None:
    hostile = "<img src=x onerror=alert(1)> \u202e iron\u0007 gate"
    shown = view(heat.attribute(LM, hostile, " iron", "kl-only"), ("a note",))
    words = [text for _, text, *_ in shown["prompt"]]
    assert "".join(words).startswith("<imgsrc=x")
    assert "\\u202e" in "".join(before + text for before, text, *_ in shown["prompt"])
    assert shown["notes"][0] == "a note"
    assert len(base64.b64decode(shown["scores"])) == 4 * shown["n_tokens"] * len(shown["answer"])
    json.dumps(shown, allow_nan=False)

"""What the page's scripts make of stored parts is what Python makes of them."""

import base64
import json
import shutil
import subprocess
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.attributions import made
from fakes.tiny_models import tiny_lm, tiny_model, tiny_tokenizer

import heat
from heat.comparison import compare
from heat.model import LanguageModel
from heat.parts import recombine
from heat.serve.view import layer, text
from heat.show.words import read
from heat.units import UNITS

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="there is no node to run the page's scripts in")
STATIC = Path(str(files("heat.serve"))) / "static"
TEXT = "The vault 😀 is made of copper. قال The gate, by the way, is made of iron. Answer:"
SCRIPT = """
import { decode, recombine } from "./recombine.js";
import { disagreements, rankCorrelation, ranks, unitRows, total } from "./numbers.js";
const { text, layer, wanted } = JSON.parse(await new Promise((done) => {
  let read = "";
  process.stdin.on("data", (part) => (read += part)).on("end", () => done(read));
}));
const parts = Object.fromEntries(Object.entries(layer.parts).map(([name, numbers]) => [name, decode(numbers)]));
const answers = wanted.map(({ letters, options, skip, unit, aggregation }) => {
  const values = letters === "" ? decode(layer.scores) : recombine(parts, letters, options, text.n_tokens);
  const rows = unitRows(values, text, { skipFirst: skip, unit: unit ?? "word", aggregation: aggregation ?? "mean" });
  const plain = rows.map((row) => Array.from(row));
  return { values: Array.from(values), rows: plain, sum: Array.from(total(rows)) };
});
console.log(JSON.stringify(answers));
"""
LM = tiny_lm("llama")
TEMPLATE = "{% for m in messages %}<|{{ m.role }}|> {{ m.content }}\n{% endfor %}<|assistant|> "


def chatting_lm() -> LanguageModel:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TEMPLATE
    tokenizer.model_max_length = 512
    model = tiny_model("llama", max_position_embeddings=512)
    return LanguageModel(model, tokenizer, name="tiny chat", revision="random")


def in_node(attribution: heat.Attribution, wanted: list[dict]) -> list[dict]:
    return node(SCRIPT, {"text": text(attribution), "layer": layer(attribution), "wanted": wanted})


def node(script: str, given: object = None) -> list:
    """What a script prints as JSON."""
    ran = subprocess.run(
        [NODE, "--input-type=module", "--eval", script],
        cwd=STATIC,
        input=json.dumps(given),
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
    combinations = layer(attribution)["combinations"]
    assert set(combinations) == {"MSI", "MS", "MI", "SI", "M", "S", "I"}
    wanted, expected = [], []
    for letters, as_method in combinations.items():
        for beta, gamma in ((0.5, 0.5), (0.13, 0.5), (1.0, 0.01)):
            options = dict(as_method["options"])
            options |= {"beta": beta} if "S" in letters and "beta" in options else {}
            options |= {"gamma": gamma} if "I" in letters and "gamma" in options else {}
            config = {**attribution.config, "beta": beta, "gamma": gamma}
            for skip in (False, True):
                wanted.append({"letters": letters, "options": config, "skip": skip})
                made = recombine(attribution, as_method["method"], **options)
                expected.append(made.without_first() if skip else made)
    for asked, got, made in zip(wanted, in_node(attribution, wanted), expected, strict=True):
        reading = read(made)
        if not asked["skip"]:
            values = np.array(got["values"]).reshape(made.scores.shape)
            np.testing.assert_allclose(values, made.scores.numpy(), rtol=1e-6, atol=0, err_msg=str(asked))
        for target, row in enumerate(got["rows"]):
            # A share of the total is rounded once more where numpy adds in another order.
            np.testing.assert_allclose(row, reading.numbers(target=target), rtol=2e-6, atol=1e-12)
        np.testing.assert_allclose(got["sum"], reading.numbers(), rtol=2e-6, atol=1e-12)


def test_stored_scores_cross_the_wire_to_the_last_bit(attribution) -> None:
    (got,) = in_node(attribution, [{"letters": "", "options": {}, "skip": False}])
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
    shown = layer(heat.attribute(tiny_lm("llama", num_hidden_layers=8), TEXT, " iron", name))
    assert set(shown["combinations"]) == letters


CHAT = [
    {"role": "user", "content": "iron?"},
    {"role": "assistant", "content": "The gate."},
    {"role": "user", "content": "The vault is made of copper.\nWhat is the gate made of?"},
]
FEW_SHOT = "iron gate?\nYes. No.\n\nThe vault 😀 is made of copper.\nIs it? قال"


@pytest.fixture(scope="module", params=["text", "few-shot", "chat"])
def divided(request) -> heat.Attribution:
    if request.param == "chat":
        return heat.attribute(chatting_lm(), CHAT, " iron gate", "heat", n_probes=2)
    prompt = TEXT if request.param == "text" else FEW_SHOT
    return heat.attribute(LM, prompt, " iron and", "heat", n_probes=2)


def test_every_unit_and_aggregation_is_that_of_python(divided) -> None:
    units = [unit for unit in UNITS if unit != "message" or divided.segments]
    shown = text(divided)
    assert set(shown["units"]) == set(units)
    assert set(shown["why_not"]) == set(UNITS) - set(units)
    wanted = [
        {"letters": letters, "options": dict(divided.config), "skip": skip, "unit": unit, "aggregation": how}
        for unit in units
        for how in ("mean", "sum", "max")
        for letters in ("", "SI")
        for skip in (False, True)
    ]
    for asked, got in zip(wanted, in_node(divided, wanted), strict=True):
        made = recombine(divided, "no-gate", n_probes=2) if asked["letters"] else divided
        made = made.without_first() if asked["skip"] else made
        expected = made.by(asked["unit"], asked["aggregation"])
        n_units = len(expected.texts)
        assert n_units == len(shown["units"][asked["unit"]]["pieces"])
        rows = [row[:n_units] for row in got["rows"]]
        exact = 1e-12 if not asked["letters"] else 2e-6
        np.testing.assert_allclose(rows, expected.scores, rtol=exact, atol=1e-15, err_msg=str(asked))


def test_what_the_tokenizer_drops_has_no_number() -> None:
    handmade = made("iron gate is", [(0, 4), (9, 12), (12, 15)], [[1.0, 0.5, 0.0]])
    dropped = replace(handmade, text="iron gate is of")
    (got,) = in_node(dropped, [{"letters": "", "options": {}, "skip": False}])
    assert got["rows"][0][:3] == dropped.by("word").scores[0].tolist() == [1.0, 0.0, 0.5]


def test_methods_are_compared_as_python_compares_them() -> None:
    script = """
import { decode } from "./recombine.js";
import { disagreements, rankCorrelation, ranks, total, unitRows } from "./numbers.js";
const { text, layers, looks } = JSON.parse(await new Promise((done) => {
  let read = "";
  process.stdin.on("data", (part) => (read += part)).on("end", () => done(read));
}));
const n = text.units[looks.unit].pieces.length;
const rows = layers.map(({ scores }) => ranks(total(unitRows(decode(scores), text, looks)).slice(0, n)));
console.log(JSON.stringify({ ranks: rows.map((row) => Array.from(row)), apart: disagreements(rows, 10),
  correlation: rows.map((a) => rows.map((b) => rankCorrelation(a, b))) }));
"""
    names = ("heat", "kl-only", "input-x-gradient", "random")
    found = [heat.attribute(LM, TEXT, " iron and", name) for name in names]
    constant = replace(found[0], scores=torch.zeros_like(found[0].scores))
    for unit, how in (("word", "mean"), ("token", "mean"), ("word", "max"), ("sentence", "sum")):
        for compared in (found, [*found[:2], constant]):
            looks = {"unit": unit, "aggregation": how, "skipFirst": False}
            layers = [layer(one) for one in compared]
            got = node(script, {"text": text(compared[0]), "layers": layers, "looks": looks})
            expected = compare(compared, unit, how)
            correlation = np.array(got["correlation"], dtype=float)  # JSON has null for nan
            np.testing.assert_allclose(correlation, expected.correlation, atol=1e-12)
            assert [(one["index"], tuple(one["ranks"])) for one in got["apart"]] == [
                (one.index, one.ranks) for one in expected.disagreements[:10]
            ]


def test_ranks_and_disagreements() -> None:
    script = """
import { rankCorrelation, disagreements, ranks } from "./numbers.js";
const correlation = (a, b) => rankCorrelation(ranks(a), ranks(b));
console.log(JSON.stringify([Array.from(ranks([3, 1, 3, 2])), correlation([1, 2, 3, 4], [1, 3, 2, 4]),
  correlation([1, 1, 2], [2, 2, 1]), disagreements([ranks([9, -8, 1, 0]), ranks([9, 1, -8, 0])], 3)]));
"""
    of_four, correlation, opposite, apart = node(script)
    assert of_four == [1.5, 4, 1.5, 3]
    assert correlation == pytest.approx(0.8)  # 1 - 6·2/(4·15)
    assert opposite == pytest.approx(-1)
    assert apart == [{"index": 1, "ranks": [4, 2], "gap": 2}, {"index": 2, "ranks": [2, 4], "gap": 2}]


def test_what_the_page_gets_is_plain_text_and_numbers() -> None:
    hostile = "<img src=x onerror=alert(1)> \u202e iron\u0007 gate"
    found = heat.attribute(LM, hostile, " iron", "kl-only")
    shown, numbers = text(found, foils=["\u202e"]), layer(found, ("a note",))
    pieces = shown["units"]["word"]["pieces"]
    assert "".join(piece for _, piece, *_ in pieces).startswith("<imgsrc=x")
    assert "\\u202e" in "".join(before + piece for before, piece, *_ in pieces)
    assert shown["foils"] == ["\\u202e"]
    assert numbers["notes"] == ["a note"]
    assert len(base64.b64decode(numbers["scores"])) == 4 * shown["n_tokens"] * len(shown["answer"])
    json.dumps([shown, numbers], allow_nan=False)

"""Files to take along hold what is compared, and the commands in them make them again."""

import html
import io
import json
import re
import shlex

import pytest
import torch
from fakes.serving import PROMPT, asked
from fakes.tiny_models import tiny_lm, tiny_model, tiny_tokenizer
from typer.testing import CliRunner

import heat
from heat.cli import app
from heat.model import LanguageModel
from heat.serve.downloads import Found, download
from heat.serve.explain import explain
from heat.serve.wire import DownloadRequest, ExplainRequest, Item, Recombination

Image = pytest.importorskip("PIL.Image")
TARGET = " iron and copper"
CHAT = [{"role": "user", "content": "It's made of iron."}, {"role": "user", "content": "The gate -> “what”?"}]
SHOWN = DownloadRequest(items=(Item(run="r", index=0),))


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}<|{{ m.role }}|> {{ m.content }}\n{% endfor %}<|a|> "
    tokenizer.model_max_length = 512
    model = tiny_model("llama", max_position_embeddings=512)
    return LanguageModel(model, tokenizer, name="tiny chat", revision="random")


@pytest.fixture
def again(lm, tmp_path, monkeypatch):
    """Run a command of the page on the same model; the file it wrote, or what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("heat.model.load", lambda *_, **__: lm)

    def ran(command: str, kind: str) -> bytes:
        words, piped = shlex.split(command), None
        if words[0] == "printf":
            piped, words = words[2], words[4:]
        result = CliRunner().invoke(app, words[1:], input=piped)
        assert result.exit_code == 0, result.output
        return result.stdout.encode() if kind == "json" else (tmp_path / f"heat.{kind}").read_bytes()

    return ran


def found(lm: LanguageModel, *methods: str, parts: Recombination | None = None, **fields) -> list[Found]:
    request = ExplainRequest.model_validate_json(json.dumps(asked(*methods, **fields)))
    return [
        Found(one.attribution, request, (), one.answer, parts)
        for one in explain(lm, request, lambda *_: None)
    ]


def wanted(**fields) -> DownloadRequest:
    return SHOWN.model_copy(update=fields)


def command_of(page: str) -> str:
    (row,) = re.findall(r'<tr><th scope="row">command</th><td><code>(.*?)</code>', page, re.DOTALL)
    return html.unescape(row)


def without_how(page: str) -> str:
    """A page without the command that made it, and without the work, which a run that shares parts is spared."""
    return re.sub(r'<tr><th scope="row">(command|(\S+ )?work)</th>.*?</tr>', "", page, flags=re.DOTALL)


HALF = Recombination(method="no-gate", options={"beta": 0.2, "gamma": 0.5, "normalize": "sum"})
ASKED = {
    "a target": (("heat",), {"target": TARGET, "threshold": None}, {}),
    "several methods": (("heat", "kl-only"), {"target": TARGET, "threshold": None}, {"skip_first": True}),
    "a foil": (("kl-only",), {"target": " iron", "foil": " zinc", "threshold": None}, {}),
    "the model's own words": (("kl-only",), {"max_targets": 3, "threshold": None}, {}),
    "the model's answer": (("heat", "kl-only"), {"max_targets": 5, "threshold": 0.001}, {}),
    "an answer": (
        ("kl-only",),
        {"target": TARGET, "max_targets": 64, "threshold": 0.001},
        {"unit": "sentence"},
    ),
    "a token of it": (("heat",), {"target": TARGET, "foil": " = zinc", "foil_at": 2, "max_targets": 64}, {}),
    "all of it": (("kl-only",), {"target": TARGET, "foil": " zinc", "foil_at": 2, "threshold": None}, {}),
    "what does not depend": (("kl-only",), {"target": TARGET, "threshold": 900.0}, {}),
    "a chat": (("kl-only",), {"prompt": None, "messages": CHAT}, {"unit": "message", "aggregation": "sum"}),
    "an odd prompt": (("kl-only",), {"prompt": "-iron 'gate'\n$(copper)", "target": " iron"}, {}),
    "a dash": (("kl-only",), {"prompt": "-", "target": " iron", "threshold": None}, {}),
    "other parts": (("heat",), {"target": TARGET, "threshold": None, "parts": HALF}, {"unit": "token"}),
}


@pytest.mark.parametrize("name", ASKED)
def test_the_command_makes_the_same_page(lm, again, name) -> None:
    methods, fields, shown = ASKED[name]
    ours = download("html", found(lm, *methods, **fields), wanted(**shown)).decode()
    theirs = again(command_of(ours), "html").decode()
    assert without_how(theirs) == without_how(ours)
    assert without_how(ours) != ours


@pytest.mark.parametrize("name", ["a target", "the model's answer"])
def test_the_command_makes_the_same_numbers_and_picture(lm, again, name) -> None:
    methods, fields, shown = ASKED[name]
    content = json.loads(download("json", found(lm, *methods, **fields), wanted(**shown)))
    theirs = json.loads(again(content.pop("command"), "json"))
    for document in (content, theirs):
        for one in document.get("attributions", [document]):
            del one["metadata"]["seconds"], one["metadata"]["forward_equivalents"]
    assert content == theirs
    ours = Image.open(io.BytesIO(download("png", found(lm, *methods, **fields), wanted(**shown))))
    made = Image.open(io.BytesIO(again(ours.text["Command"], "png")))
    assert made.convert("RGB").tobytes() == ours.convert("RGB").tobytes()


def test_one_method_alone_is_read_again(lm) -> None:
    (one,) = found(lm, "heat", target=TARGET, threshold=None)
    read = heat.Attribution.from_json(download("json", [one], SHOWN).decode())
    assert torch.equal(read.scores, one.attribution.scores)


def test_a_method_twice_is_two_commands(lm) -> None:
    request = {"target": TARGET, "threshold": None}
    chosen = [{"name": "heat", "options": {"n_probes": probes}} for probes in ("2", "3")]
    page = download("html", found(lm, methods=chosen, **request), SHOWN).decode()
    lines = command_of(page).splitlines()
    assert [("n_probes=2" in line, "n_probes=3" in line) for line in lines] == [(True, False), (False, True)]


def test_two_prompts_are_one_file(lm) -> None:
    first = found(lm, "heat", "kl-only", target=TARGET, threshold=None)
    second = found(lm, "kl-only", prompt=PROMPT + " <b>Zinc</b>?", target=TARGET, threshold=None)
    page = download("html", [*first, *second], SHOWN).decode()
    frames = [html.unescape(text) for text in re.findall(r'srcdoc="([^"]*)"', page)]
    assert [command_of(frame).count("--method") for frame in frames] == [2, 1]
    assert frames[0] == download("html", first, SHOWN).decode()
    assert "<b>" not in page
    assert "<script" not in page
    hashes = [re.search(r"'sha256-[^']+'", frame)[0] for frame in frames]
    assert all(each in page.partition("<iframe")[0] for each in hashes)
    document = json.loads(download("json", [*first, *second], SHOWN))
    assert [len(text.get("attributions", [text])) for text in document["texts"]] == [2, 1]
    whole = Image.open(io.BytesIO(download("png", [*first, *second], SHOWN)))
    parts = [Image.open(io.BytesIO(download("png", part, SHOWN))) for part in (first, second)]
    assert whole.height == sum(part.height for part in parts)
    assert len(whole.text["Command"].splitlines()) == 2


def test_two_requests_about_one_text_stand_under_each_other(lm) -> None:
    both = [*found(lm, "heat", target=TARGET), *found(lm, "kl-only", target=TARGET)]
    page = download("html", both, SHOWN).decode()
    assert "srcdoc" not in page
    assert "--method heat --method kl-only" in command_of(page)


def test_a_unit_that_a_prompt_lacks_is_refused(lm) -> None:
    with pytest.raises(heat.HeatError, match="no chat"):
        download("html", found(lm, "kl-only", target=TARGET), wanted(unit="message"))


def test_embedded_model_needs_no_name_and_another_has_one() -> None:
    model = ("--model", "models/my model", "--dtype", "bfloat16")
    (one,) = found(tiny_lm("llama"), "kl-only", target=TARGET)
    page = download("html", [Found(one.attribution, one.request, model, one.answer)], SHOWN).decode()
    assert "heat explain --model 'models/my model' --dtype bfloat16 --answer=" in command_of(page).replace(
        "'--answer", "--answer"
    )

"""`heat explain` with several methods, whole answers and units."""

import json
from pathlib import Path

import pytest
from fakes.commands import Run, runner
from fakes.html import ParsedPage
from fakes.tiny_models import tiny_model, tiny_tokenizer
from test_units import SHOTS, chat_lm

import heat
from heat import cli

PROMPT = "The vault is made of copper. The gate is made of iron. Answer:"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    tiny_model("llama").save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chat")
    lm = chat_lm()
    lm.model.save_pretrained(path)
    assert lm.tokenizer is not None
    lm.tokenizer.save_pretrained(path)
    (path / "chat.json").write_text(json.dumps(SHOTS))
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner("heat", cli.main, monkeypatch, capsys)


def test_methods_stand_under_each_other(run: Run, folder: Path, tmp_path: Path) -> None:
    html, png, out_file = tmp_path / "a.html", tmp_path / "a.png", tmp_path / "a.safetensors"
    arguments = ("explain", PROMPT, "--target", " iron", "--model", str(folder), "--method", "random")
    code, out, err = run(
        *arguments, "--method", "kl-only", "--top", "3",
        "--html", str(html), "--png", str(png), "--out", str(out_file),
    )  # fmt: skip
    assert (code, err) == (0, "")
    first, second = out.splitlines()[:2]
    assert (first.split()[0], second.split()[0]) == ("random", "kl-only")
    rows = [line.translate(str.maketrans("[]-", "   ")).split() for line in (first, second)]
    assert rows[0][1:6] == rows[1][2:7] == ["The", "vault", "is", "made", "of"]
    assert "rank correlation (Spearman) of random and kl-only: " in out
    assert "on which they disagree most" in out
    saved = [heat.Attribution.load(tmp_path / f"a.{name}.safetensors") for name in ("random", "kl-only")]
    assert [one.method for one in saved] == ["random", "kl-only"]
    found = ParsedPage(html.read_text(encoding="utf-8"))
    assert len(found.with_class("m0")) == len(found.with_class("m1")) > 10
    assert "How alike they rank" in found.text
    assert png.read_bytes().startswith(b"\x89PNG")


def test_several_methods_as_json(run: Run, folder: Path) -> None:
    arguments = ("explain", PROMPT, "--target", " iron", "--model", str(folder), "--method", "random")
    _, out, _ = run(*arguments, "--method", "kl-only", "--json", "--unit", "sentence", "--aggregation", "sum")
    content = json.loads(out)
    assert [unit["text"] for unit in content["comparison"]["units"]] == [
        "The vault is made of copper.", "The gate is made of iron.", "Answer:",
    ]  # fmt: skip
    for one in content["attributions"]:
        attribution = heat.Attribution.from_json(json.dumps(one))
        rows = attribution.by("sentence", "sum").scores.sum(0).tolist()
        assert content["comparison"]["scores"][attribution.method] == pytest.approx(rows)
    assert content["comparison"]["spearman"]["random"]["random"] == pytest.approx(1.0)


def test_options_are_those_of_a_method_or_of_all_that_have_them(run: Run, folder: Path) -> None:
    arguments = (
        "explain",
        PROMPT,
        "--model",
        str(folder),
        "--method",
        "kl-only",
        "--method",
        "occlusion",
        "--json",
    )
    settings = ("--set", "mask=attention", "--set", "occlusion.baseline=pad")
    configs = [one["metadata"]["config"] for one in json.loads(run(*arguments, *settings)[1])["attributions"]]
    assert (configs[0]["mask"], configs[1]["baseline"]) == ("attention", "pad")
    for setting, says in (
        ("n_probes=3", "n_probes"),
        ("heat.beta=1", "none of the methods: kl-only, occlusion"),
    ):
        code, out, err = run(*arguments, "--set", setting)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert says in err


def test_an_answer_is_listed_token_by_token(run: Run, folder: Path, tmp_path: Path) -> None:
    html = tmp_path / "a.html"
    arguments = ("explain", PROMPT, "--answer", " iron, said", "--model", str(folder), "--method", "kl-only")
    code, out, err = run(*arguments, "--threshold", "0.05", "--html", str(html), "--top", "3")
    assert (code, err) == (0, "")
    assert out.startswith("-> iron, said\n")
    assert "tokens depend on the text: without it, their next-token distribution is 0.05 nats" in out
    assert "strongest words" in out
    assert "strongest words" not in run(*arguments, "--group")[1]
    content = json.loads(run(*arguments, "--threshold", "0.05", "--json")[1])
    depends = [token["depends"] for token in content["answer"]["tokens"]]
    (attribution,) = content["attributions"]
    explained = heat.Attribution.from_json(json.dumps(attribution)).explained or ()
    assert [index for index, does in enumerate(depends) if does] == list(explained)
    found = ParsedPage(html.read_text(encoding="utf-8"))
    assert "The answer, token by token" in found.text
    assert len(found.with_class("faint")) == depends.count(False)


def test_an_answer_that_does_not_depend_is_told_of(run: Run, folder: Path, tmp_path: Path) -> None:
    arguments = ("explain", PROMPT, "--answer", "model", "--max-targets", "2", "--model", str(folder))
    code, out, err = run(*arguments, "--threshold", "1000")
    assert (code, err) == (0, "")
    assert "0 of 2 tokens depend" in out
    assert json.loads(run(*arguments, "--threshold", "1000", "--json")[1])["attributions"] == []
    code, out, err = run(*arguments, "--threshold", "1000", "--png", str(tmp_path / "a.png"))
    assert (code, err.count("\n"), "no file was written" in err) == (1, 1, True)
    assert list(tmp_path.iterdir()) == []


def test_a_foil_names_its_token(run: Run, folder: Path) -> None:
    arguments = (
        "explain",
        PROMPT,
        "--answer",
        " iron, said",
        "--model",
        str(folder),
        "--method",
        "gradient-norm",
    )
    content = json.loads(run(*arguments, "--threshold", "1000", "--foil", "1= copper", "--json")[1])
    metadata = content["attributions"][0]["metadata"]
    assert metadata["explained"] == [0]
    assert metadata["foil_ids"][0] >= 0
    assert set(metadata["foil_ids"][1:]) == {-1}
    assert "explained against it" in run(*arguments, "--foil", "1= copper")[1]
    for foil in (" copper", "0= copper", "x= copper", "99= copper"):
        code, out, err = run(*arguments, "--foil", foil)
        assert (code, out, err.count("\n")) == (1, "", 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--threshold", "1"), "--threshold is about a whole answer"),
        (("--group",), "--group is about a whole answer"),
        (("--context", "x"), "--context is about a whole answer"),
        (("--foil", "a", "--foil", "b"), "--foil is given several times"),
        (("--answer", "model", "--target", " iron"), "--target or --answer, not both"),
        (("--answer", " iron", "--temperature", "1"), "use it with --answer model"),
        (("--unit", "chapter"), "Invalid value for '--unit'"),
    ],
)
def test_options_that_ask_for_nothing_exit_2(run: Run, arguments: tuple[str, ...], says: str) -> None:
    code, out, err = run("explain", PROMPT, *arguments)
    assert (code, out) == (2, "")
    assert says in err.replace("\n", " ")


def test_a_chat_shows_who_says_what(run: Run, chat_folder: Path, tmp_path: Path) -> None:
    html, png = tmp_path / "a.html", tmp_path / "a.png"
    arguments = ("explain", "--chat", str(chat_folder / "chat.json"), "--model", str(chat_folder), "--target", " iron",
                 "--method", "random")  # fmt: skip
    out = run(*arguments, "--html", str(html), "--png", str(png))[1]
    lines = out.splitlines()
    assert lines[0] == "system (the template's own):"
    # The answer itself is not part of the coloured prompt.
    assert [line for line in lines if line in ("user:", "assistant:")] == ["user:", "assistant:", "user:"]
    assert "<|im|>" not in out
    assert "such as a chat's marks of a turn" in out
    found = ParsedPage(html.read_text(encoding="utf-8"))
    assert found.inside[".role"] == "system (the template's own)userassistantuserassistant"
    out = run(*arguments, "--unit", "example", "--aggregation", "sum", "--method", "kl-only")[1]
    assert "example 1:" in out
    assert "question:" in out
    out = run(*arguments, "--unit", "message")[1]
    assert any(line.endswith("  user: What is copper? Say it.") for line in out.splitlines())
    code, _, err = run("explain", PROMPT, "--model", str(chat_folder), "--unit", "message")
    assert (code, "no chat whose messages" in err) == (1, True)

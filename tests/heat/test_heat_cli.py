import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fakes.tiny_models import tiny_lm, tiny_model, tiny_tokenizer

import heat
from heat import cli
from heat.display import coloured, printable, prompt_words, target_text

PROMPT = "The \U0001f600 gate is made of iron. Answer:"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    tiny_model("llama").save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["heat", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


def test_explain_shows_words_and_the_strongest(run: Run, folder: Path) -> None:
    code, out, err = run("explain", PROMPT, "--target", " iron", "--model", str(folder), "--top", "3")
    assert (code, err) == (0, "")
    assert "The \U0001f600 gate is made of iron. Answer:" in " ".join(out.split())
    assert "-> iron" in out
    assert len(out.rstrip().splitlines()[-3:]) == 3


def test_explain_without_a_target_explains_what_the_model_says(run: Run, folder: Path) -> None:
    assert run("explain", PROMPT, "--model", str(folder))[0] == 0


def test_json_is_a_whole_attribution_and_nothing_else(run: Run, folder: Path, tmp_path: Path) -> None:
    out_file = tmp_path / "a.safetensors"
    code, out, _ = run(
        "explain", PROMPT, "--target", " iron", "--model", str(folder), "--json", "--seed", "4",
        "--set", "n-probes=3", "--out", str(out_file),
    )  # fmt: skip
    assert code == 0
    attribution = heat.Attribution.from_json(out)
    assert (attribution.seed, attribution.config["n_probes"]) == (4, 3)
    assert heat.Attribution.load(out_file).text == attribution.text


def test_quiet_prints_words_alone(run: Run, folder: Path) -> None:
    _, out, _ = run("explain", PROMPT, "--model", str(folder), "--quiet", "--top", "2", "--method", "random")
    assert len(out.splitlines()) == 2
    assert set(out.split()) <= set(PROMPT.split())


def test_methods_are_listed(run: Run) -> None:
    code, out, _ = run("methods", "--json")
    assert code == 0
    assert [row["name"] for row in json.loads(out)] == list(heat.methods())
    assert "second-derivatives" in run("methods")[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--method", "lime"], "there is no method 'lime'; there are:"),
        (["--set", "beta=-1"], "greater than or equal to 0"),
        (["--set", "beta"], "is not name=value"),
        (["--model", "./nothing"], "there is no model folder"),
        (["--target", "  "], "the target is blank"),
        (["--out", "/nothing/a.safetensors"], "no such folder to save into: '/nothing'"),
    ],
)
def test_errors_are_one_line(run: Run, folder: Path, arguments: list[str], says: str) -> None:
    model = [] if "--model" in arguments else ["--model", str(folder)]
    code, out, err = run("explain", PROMPT, *model, *arguments)
    assert code == 1
    assert says in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert out == ""


def test_debug_anywhere_shows_the_traceback(run: Run) -> None:
    for arguments in (["--debug", "explain", PROMPT], ["explain", PROMPT, "--debug"]):
        code, _, err = run(*arguments, "--method", "lime")
        assert code == 1
        assert "Traceback" in err


def test_a_wrong_command_line_exits_2(run: Run) -> None:
    assert run("explain")[0] == 2
    assert run("explain", PROMPT, "--nonsense")[0] == 2


def test_interrupted_exits_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("heat.model.load", interrupt)
    code, _, errors = run("explain", PROMPT)
    assert (code, errors) == (130, "interrupted\n")


def test_help_needs_no_torch() -> None:
    heavy = "('torch', 'transformers', 'pandas')"
    program = f"import sys, heat, heat.cli; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_words_are_sums_of_their_tokens() -> None:
    prompt = "The gate is made of iron. Answer:"
    attribution = heat.attribute(tiny_lm("llama"), prompt, " iron", "random")
    words = prompt_words(attribution)
    assert [word.text for word in words] == prompt.split()
    # Every token with a visible character lies on exactly one word here; <s> and lone spaces lie on none.
    visible = [attribution.text[start:end].strip() != "" for start, end in attribution.offsets or ()]
    expected = float(attribution.scores[0, torch.tensor(visible)].sum())
    assert sum(word.score for word in words) == pytest.approx(expected, rel=1e-5)
    assert target_text(attribution) == "iron"
    assert coloured(words).plain.split() == prompt.split()


def test_ids_stand_for_words() -> None:
    attribution = heat.attribute(tiny_lm("llama"), [50, 60, 70], [80], "random")
    assert len(prompt_words(attribution)) == 3
    assert target_text(attribution) == attribution.tokens[-1]


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[31mb") == "a\\x1b[31mb"

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from fakes.commands import Run, runner
from fakes.tiny_models import tiny_model, tiny_tokenizer
from typer.main import get_command

import heat
from heat import cli

PROMPT = "The \U0001f600 gate is made of iron. Answer:"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    tiny_model("llama").save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner("heat", cli.main, monkeypatch, capsys)


def test_explain_shows_words_and_the_strongest(run: Run, folder: Path) -> None:
    code, out, err = run("explain", PROMPT, "--target", " iron", "--model", str(folder), "--top", "3")
    assert (code, err) == (0, "")
    line = out.splitlines()[0]
    assert line.replace("[", "").replace("]", "") == PROMPT
    assert line.count("[") >= 1
    assert "-> iron\n" in out
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


def test_an_option_given_twice_is_refused_and_a_repeatable_one_is_not(run: Run, folder: Path) -> None:
    arguments = ("explain", PROMPT, "--model", str(folder), "--method", "random", "--seed", "1")
    code, out, err = run(*arguments, "--seed", "2")
    assert (code, out, err.splitlines()[-1]) == (2, "", "Error: --seed is given 2 times; give it once")
    code, out, err = run(*arguments, "--method", "random")
    assert (code, out, err) == (1, "", "error: --method random is given 2 times; give it once\n")
    code, _, err = run(*arguments[:4], "--method", "heat", "--set", "n-probes=3", "--set", "beta=0.2")
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("prompt", "target", "noted"),
    [("the gates", "are", True), ("Answer:", "iron", True), ("the gates ", "are", False), ("the gates", " are", False),
     ("the gates", ".", False), ("a (", "gate", False), ("\u8fd9\u662f", "\u95e8", False)],
)  # fmt: skip
def test_a_target_without_a_space_is_noted(
    run: Run, folder: Path, prompt: str, target: str, noted: bool
) -> None:
    code, _, err = run("explain", prompt, "--target", target, "--model", str(folder), "--method", "random")
    assert code == 0
    assert ("the target follows the prompt without a space" in err) == noted
    assert not noted or f"--target ' {target}'" in err


def test_the_part_of_a_longer_foil_that_is_used_is_named(run: Run, folder: Path) -> None:
    arguments = ("explain", PROMPT, "--target", " iron", "--model", str(folder), "--method", "random")
    code, _, err = run(*arguments, "--foil", " gate made of")
    assert (code, err.count("\n")) == (0, 1)
    assert "explained against the foil's beginning, ' gate" in err
    assert run(*arguments, "--foil", " gate")[::2] == (0, "")


def test_integrated_gradients_that_do_not_add_up_are_noted(run: Run, folder: Path) -> None:
    arguments = ("explain", PROMPT, "--target", " iron", "--model", str(folder))
    few = run(*arguments, "--method", "integrated-gradients", "--set", "n_steps=1")
    assert "so they do not add up; raise --set n_steps" in few[2]
    # Random orders of all tokens add up, however few.
    assert run(*arguments, "--method", "shapley-sampling", "--set", "n_samples=1")[::2] == (0, "")
    assert run(*arguments, "--method", "input-x-gradient")[::2] == (0, "")


def test_the_first_token_can_be_left_out(run: Run, folder: Path, tmp_path: Path) -> None:
    arguments = ("explain", PROMPT, "--model", str(folder), "--method", "random", "--quiet", "--top", "30")
    words, rest = run(*arguments)[1].split(), run(*arguments, "--skip-first")[1].split()
    assert set(words) == set(rest)
    assert words[-1] != "The"
    assert rest[-1] == "The"


@pytest.mark.parametrize(
    ("arguments", "meant"), [(("--method", "haet"), "'heat'"), (("--set", "n_probe=3"), "'n_probes'")]
)
def test_a_mistyped_name_is_answered_with_a_near_one(
    run: Run, arguments: tuple[str, ...], meant: str
) -> None:
    code, _, err = run("explain", PROMPT, *arguments)
    assert (code, f"; did you mean {meant}? " in err) == (1, True)


def test_quiet_prints_words_alone(run: Run, folder: Path) -> None:
    _, out, _ = run("explain", PROMPT, "--model", str(folder), "--quiet", "--top", "2", "--method", "random")
    assert len(out.splitlines()) == 2
    assert set(out.split()) <= {"The", "\U0001f600", "gate", "is", "made", "of", "iron", ".", "Answer", ":"}


def test_page_and_picture_are_written_beside_json(run: Run, folder: Path, tmp_path: Path) -> None:
    html, png = tmp_path / "a.html", tmp_path / "a.png"
    arguments = ("explain", PROMPT, "--model", str(folder), "--html", str(html), "--png", str(png))
    code, out, err = run(*arguments, "--json")
    assert (code, err) == (0, "")
    assert heat.Attribution.from_json(out).text.startswith(PROMPT)
    assert "--json" in html.read_text(encoding="utf-8")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert f"wrote {html}\nwrote {png}\n" in run(*arguments)[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.png"]


def test_several_tokens_of_what_the_model_says(run: Run, folder: Path) -> None:
    out = run(
        "explain", PROMPT, "--model", str(folder), "--max-targets", "3", "--json", "--method", "random"
    )[1]
    assert len(heat.Attribution.from_json(out).scores) == 3


def test_a_prompt_comes_from_a_file_or_standard_input(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "p.txt"
    file.write_text(f"{PROMPT}\n", encoding="utf-8")
    rest = ("--target", " iron", "--model", str(folder), "--method", "random", "--json")
    direct, from_file = run("explain", PROMPT, *rest)[1], run("explain", "--prompt-file", str(file), *rest)[1]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes()), encoding="ascii"))
    from_input = run("explain", "-", *rest)[1]
    texts = {heat.Attribution.from_json(out).text for out in (direct, from_file, from_input)}
    assert texts == {f"{PROMPT} iron"}


def test_a_chat_goes_through_the_template(run: Run, folder: Path, tmp_path: Path) -> None:
    chat = tmp_path / "chat.json"
    chat.write_text('[{"role": "user", "content": "What?"}]')
    code, _, err = run("explain", "--chat", str(chat), "--model", str(folder))
    assert (code, "has no chat template" in err) == (1, True)

    tokenizer = tiny_tokenizer()
    refusal = "{% if messages[0].content == 'No' %}{{ raise_exception('be polite') }}{% endif %}"
    tokenizer.chat_template = refusal + "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}"
    tokenizer.save_pretrained(tmp_path)
    tiny_model("llama").save_pretrained(tmp_path)
    out = run("explain", "--chat", str(chat), "--model", str(tmp_path), "--method", "random", "--json")[1]
    assert heat.Attribution.from_json(out).text.startswith("user: What? ")
    chat.write_text('[{"role": "user", "content": "No"}]')
    code, _, err = run("explain", "--chat", str(chat), "--model", str(tmp_path))
    assert code == 1
    assert "refuses the messages" in err
    assert "be polite" in err


def test_json_stays_json_where_the_terminal_knows_ascii_alone(folder: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "heat.cli", "explain", PROMPT, "--model", str(folder), "--json", "--method", "random"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=True,
    )  # fmt: skip
    assert heat.Attribution.from_json(found.stdout.decode("ascii")).text.startswith(PROMPT)
    shown = subprocess.run(
        [sys.executable, "-m", "heat.cli", "explain", PROMPT, "--model", str(folder), "--method", "random"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=True,
    )  # fmt: skip
    assert b"\\U0001f600" in shown.stdout


def test_methods_are_listed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    code, out, _ = run("methods", "--json")
    assert code == 0
    assert [row["name"] for row in json.loads(out)] == list(heat.methods())
    assert "second-derivatives" in run("methods")[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--method", "deeplift"], "there is no method 'deeplift'; there are:"),
        (["--set", "beta=-1"], "greater than or equal to 0"),
        (["--set", "beta"], "is not name=value"),
        (["--model", "./nothing"], "there is no model folder"),
        (["--target", "  "], "the target is blank"),
        (["--out", "/nothing/a.safetensors"], "no such folder to save into: '/nothing'"),
        (["--html", "/nothing/a.html"], "no such folder to save into: '/nothing'"),
        (["--html", "."], "this is a folder"),
        (["--png", os.devnull], "this is no ordinary file"),
        (["--png", "same", "--html", "same"], "name the same file"),
        (["--model", "README.md"], "README.md"),
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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([""], "the prompt is empty"),
        ([" \n "], "the prompt is blank"),
        (["--prompt-file", "/nothing/p.txt"], "No such file or directory: '/nothing/p.txt'"),
        (["--prompt-file", "."], "Is a directory"),
        (["--prompt-file", sys.executable], "is not UTF-8 text"),
        (["--chat", "README.md"], "is no JSON"),
    ],
)
def test_bad_prompts_are_one_line(run: Run, folder: Path, arguments: list[str], says: str) -> None:
    code, out, err = run("explain", *arguments, "--model", str(folder))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert says in err


def test_a_wrong_command_line_exits_2(run: Run) -> None:
    assert run("explain")[0] == 2
    assert run("explain", PROMPT, "--prompt-file", "p.txt")[0] == 2
    assert run("explain", PROMPT, "--max-targets", "0")[0] == 2
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


def test_the_examples_of_the_help_are_answered_by_the_default_model() -> None:
    prompts = re.findall(r'heat explain "([^"]+)"', " ".join(epilogs(cli.app)))
    assert len(prompts) == 2
    for prompt in prompts:
        encoded = heat.encode(heat.load(), prompt)
        answer = encoded.text[len(prompt) :]
        assert answer == " iron"


def epilogs(app: typer.Typer) -> list[str]:
    """What stands below the help of a command line and of each of its commands."""
    commands = [get_command(app)]
    for one in commands:
        commands += getattr(one, "commands", {}).values()
    return [one.epilog or "" for one in commands]

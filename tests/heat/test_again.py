"""The command line in a page makes the same page again."""

import io
import json
import re
import shlex
import sys
from html import unescape
from pathlib import Path

import pytest
from fakes.commands import Run, runner
from test_units import SHOTS, chat_lm

from heat import cli
from heat.again import command_line
from heat.options import MethodOptions, ModelOptions, OutputOptions, PromptOptions

PROMPT = "The vault is made of copper.\nThe gate is made of iron. Answer:"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a chat beside it."""
    path = tmp_path_factory.mktemp("model")
    lm = chat_lm()
    assert lm.tokenizer is not None
    lm.model.save_pretrained(path)
    lm.tokenizer.save_pretrained(path)
    (path / "chat.json").write_text(json.dumps(SHOTS))
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner("heat", cli.main, monkeypatch, capsys)


def made_by(page: Path) -> list[str]:
    """The words of the command that stands in a page."""
    found = re.search(r"<code>(heat explain.*?)</code>", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return shlex.split(unescape(found[1]))


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([PROMPT, "--target", " iron", "--foil", " tin", "--unit", "sentence"], id="text"),
        pytest.param(["-", "--method", "random", "--method", "constant", "--seed", "3"], id="standard input"),
        pytest.param(
            shlex.split("--answer model --max-targets 3 --threshold 0 --temperature 0.7 --foil '2= tin'")
            + shlex.split(f"--aggregation sum --skip-first {shlex.quote(PROMPT)}"),
            id="answer",
        ),
        pytest.param(
            shlex.split("--answer ' iron, said' --context 'The gate is made of iron.' --threshold 0 --group")
            + shlex.split(f"--method kl-only --mask-unit line --set kl-only.mask=mean {shlex.quote(PROMPT)}"),
            id="given answer",
        ),
        pytest.param(["--chat", "chat.json", "--target", " iron", "--unit", "message"], id="chat"),
    ],
)
def test_a_page_s_command_makes_the_same_page(
    run: Run, folder: Path, tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    page = tmp_path / "page.html"
    arguments += [] if "--method" in arguments else ["--method", "random"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PROMPT.encode())))
    code, _, err = run("explain", *arguments, "--model", str(folder), "--html", str(page))
    assert code == 0, err
    first = page.read_bytes()
    words = made_by(page)
    assert words[:2] == ["heat", "explain"]
    page.unlink()
    code, _, err = run(*words[1:])
    assert code == 0, err
    assert page.read_bytes() == first


def test_options_are_named_as_the_command_has_them() -> None:
    assert command_line(PromptOptions(prompt="a b")) == "heat explain 'a b'"
    assert (
        command_line(
            PromptOptions(prompt="-5 is", foil=["1= 2", "2= 3"], answer="model", group=True),
            ModelOptions(model="my model", device="auto"),
            MethodOptions(method=["heat", "random"], settings=["n_probes=2"], seed=7),
            OutputOptions(png=Path("a.png"), as_json=True, unit="line"),
        )
        == "heat explain --foil '1= 2' --foil '2= 3' --answer model --group --model 'my model' --device auto "
        "--method heat --method random --set n_probes=2 --seed 7 --png a.png --unit line --json -- '-5 is'"
    )
    read = command_line(PromptOptions(prompt_file="-"), read="what was read")
    assert read == "heat explain 'what was read'"
    chat = command_line(PromptOptions(chat="-"), read='[{"role": "user"}]')
    assert chat == """printf %s '[{"role": "user"}]' | heat explain --chat -"""
    assert command_line(PromptOptions(chat="a.json"), read="[]") == "heat explain --chat a.json"
    assert command_line(PromptOptions(prompt_file="a.txt"), read="x") == "heat explain --prompt-file a.txt"

"""Input that nobody means well: refused in a line, before anything is loaded for it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from fakes.commands import Run, runner
from fakes.tiny_models import tiny_lm, tiny_model, tiny_tokenizer

import heat
from heat import cli, console, files
from heat.errors import (
    AttributionFileError,
    ConfigError,
    HeatError,
    PromptFileError,
    TextError,
    UnsupportedModelError,
)
from heat.files import read_chat, read_prompt

LM = tiny_lm("llama")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner("heat", cli.main, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--dtype", "float16"), "underflow in float16"),
        (("--dtype", "float16", "--method", "gradient-norm"), "underflow in float16"),
        (("--max-targets", "100000"), "at most 1024 tokens are explained"),
        (("--set", "n_probes=99999999999999999999"), "at most 1,048,576 are in reach"),
        (("--set", "n_probes=" + "9" * 5000), "option 'n_probes' = '999"),
        (("--prompt-file", "/dev/zero"), "more than 1 MiB"),
        (("--chat", "/dev/zero"), "more than 1 MiB"),
    ],
)
def test_what_is_out_of_reach_is_refused_before_the_model_is_loaded(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    def load(*arguments: Any, **options: Any) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("heat.model.load", load)
    monkeypatch.setattr(files, "MOST_BYTES", 1 << 20)
    prompt = () if arguments[0] in ("--prompt-file", "--chat") else ("Tom cuts a",)
    code, _, err = run("explain", *prompt, *arguments)
    assert code == 1
    assert says in err
    assert len(err) < 400
    assert err.count("\n") == 1


def test_a_given_target_is_explained_however_many_are_allowed(run: Run, tmp_path: Path) -> None:
    tiny_model("llama").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    options = ("--max-targets", "100000", "--method", "random", "--model", str(tmp_path))
    assert run("explain", "The gate is", "--target", " iron", *options)[0] == 0


@pytest.mark.parametrize("seed", [-1, 1 << 63, 10**30])
def test_a_seed_that_no_generator_takes(seed: int) -> None:
    with pytest.raises(ConfigError, match="the seed is"):
        heat.attribute(LM, [5, 6, 7], [8], "heat", seed=seed)


def test_the_largest_seed() -> None:
    for method in ("heat", "heat-low-rank", "gradient-shap", "random"):
        assert heat.attribute(LM, [5, 6, 7], [8], method, seed=(1 << 63) - 1).scores.isfinite().all()


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 50_000])
def test_json_nested_without_end(tmp_path: Path, content: str) -> None:
    (tmp_path / "c").write_text(content)
    with pytest.raises(PromptFileError, match="nested too deep"):
        read_chat(str(tmp_path / "c"))
    with pytest.raises(AttributionFileError):
        heat.Attribution.from_json(content)


def test_whole_numbers_without_end(tmp_path: Path) -> None:
    (tmp_path / "c").write_text('[{"role": "user", "content": ' + "9" * 5000 + "}]")
    with pytest.raises(PromptFileError, match="is no JSON") as raised:
        read_chat(str(tmp_path / "c"))
    assert "sys.set" not in str(raised.value)


@pytest.mark.parametrize(
    "change",
    [
        {"scores": [[10**400]]},
        {"scores": [[1], [2, 3]]},
        {"scores": "x"},
        {"offsets": [3]},
        {"token_ids": 3},
        {"metadata": []},
    ],
)
def test_attributions_that_are_none(change: dict[str, Any]) -> None:
    document = json.loads(heat.attribute(LM, "The gate is", " iron", "random").to_json())
    for name, value in change.items():
        place = document if name == "metadata" else document["tensors" if name == "scores" else "metadata"]
        place[name] = value
    with pytest.raises(AttributionFileError):
        heat.Attribution.from_json(json.dumps(document))


def test_half_a_surrogate_pair_is_no_character(tmp_path: Path) -> None:
    for prompt, target in (("a \ud83d b", " iron"), ("a b", " i\ud83dron")):
        with pytest.raises(TextError, match="no character"):
            heat.encode(LM, prompt, target)
    (tmp_path / "p").write_bytes(b"a \xed\xa0\xbd b")
    with pytest.raises(PromptFileError, match="not UTF-8"):
        read_prompt(str(tmp_path / "p"))


@pytest.mark.parametrize("size", [10**400, 10**18, 2**62])
def test_sizes_that_no_model_can_have(tmp_path: Path, size: int) -> None:
    tiny_model("llama").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": size}))
    with pytest.raises((UnsupportedModelError, heat.errors.OutOfMemoryError)) as raised:
        heat.load(tmp_path)
    assert "\n" not in str(raised.value)


def failing(error: Exception) -> typer.Typer:
    """A command line whose only command breaks."""
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)

    @app.command()
    def broken() -> None:
        raise error

    return app


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("can't start new thread"),
    ],
)
def test_too_little_memory_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["heat"])
    with pytest.raises(SystemExit) as ended:
        console.run(failing(error), (HeatError,))
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: there is not enough memory; ")


def test_other_errors_are_not_about_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["heat"])
    with pytest.raises(RuntimeError, match="something else"):
        console.run(failing(RuntimeError("something else")), (HeatError,))


@pytest.mark.parametrize("arguments", [["methods"], ["methods", "--json"]])
def test_a_terminal_that_knows_ascii_alone(arguments: list[str]) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "heat.cli", *arguments],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    text = found.stdout.decode("ascii")
    assert "Traceback" not in found.stderr.decode()
    if "--json" in arguments:
        assert "heat" in [row["name"] for row in json.loads(text)]

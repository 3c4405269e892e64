"""The command that adds another evaluation to a results folder, of the same examples and model."""

from __future__ import annotations

import shlex
from pathlib import Path

from evaluate.pipeline.records import Evaluation

# Options that say which examples and which model; all evaluations take them.
_VALUES = (
    *("--benchmark", "--source", "--limit", "--seed", "--target", "--prompt"),
    *("--model", "--dtype", "--device-map", "--quantization", "--revision"),
)
_FLAGS = ("--foil", "--no-foil", "--offline", "--trust-remote-code")
_METHOD = "--method"


def command_for(kind: str, result: Evaluation, folder: Path) -> str:
    """The command line of another evaluation of what a run was about.

    Args:
        kind: The command's name.
        result: The run.
        folder: Its results folder.

    Returns:
        A line that can be copied whole: it repeats the run's benchmark, limit and model. Of a run from Python, what
        its result says of them.
    """
    options = _options(shlex.split(result.command)) if result.command else _of_result(result)
    if kind == "ablation":
        options = [option for option in options if option[0] != _METHOD]
    words = ["evaluate", kind, *(word for option in options for word in option), "--out", str(folder)]
    return shlex.join(words)


def _options(words: list[str]) -> list[tuple[str, ...]]:
    options: list[tuple[str, ...]] = []
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, joined, value = word.partition("=")
        if name in (*_VALUES, _METHOD):
            options.append((name, value) if joined else (name, after))
        elif word in _FLAGS:
            options.append((word,))
    return options


def _of_result(result: Evaluation) -> list[tuple[str, ...]]:
    options: list[tuple[str, ...]] = [
        ("--benchmark", result.folder or result.task),
        ("--limit", str(result.asked)),
        ("--seed", str(result.settings.seed)),
    ]
    model = result.settings.model
    return [*options, ("--model", model)] if model != "embedded reader" else options

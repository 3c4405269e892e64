"""The command lines of `heat explain` that make again what the page found."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

from heat.attribution import Attribution
from heat.registry import methods
from heat.serve.wire import DownloadRequest, ExplainRequest


def commands(
    request: ExplainRequest,
    attributions: Sequence[Attribution],
    model: Sequence[str],
    kind: str,
    wanted: DownloadRequest,
) -> list[str]:
    """Commands that make a file again.

    Args:
        request: What was asked.
        attributions: What the methods found, as they are shown.
        model: The options that name the model.
        kind: `html`, `json` or `png`.
        wanted: How they are shown.

    Returns:
        One command; one a method where they share a name, which one command gives to one method only.
    """
    names = [one.method for one in attributions]
    if len(set(names)) < len(names):
        return [command for one in attributions for command in commands(request, [one], model, kind, wanted)]
    words = ["heat", "explain", *model, *_answer(request, attributions[0])]
    for one in attributions:
        words += ["--method", one.method]
    for one in attributions:
        prefix = f"{one.method}." if len(attributions) > 1 else ""
        for name, value in _changed(one).items():
            words += ["--set", f"{prefix}{name}={value}"]
    words += ["--seed", str(request.seed)]
    words += [] if wanted.unit == "word" else ["--unit", wanted.unit]
    words += [] if wanted.aggregation == "mean" else ["--aggregation", wanted.aggregation]
    words += ["--skip-first"] if wanted.skip_first and kind != "json" else []
    words += ["--json"] if kind == "json" else [f"--{kind}", f"heat.{kind}"]
    return [_with_prompt(request, words)]


def _answer(request: ExplainRequest, attribution: Attribution) -> list[str]:
    """What is explained: a target, or a whole answer with what depends on the text."""
    whole_foil = request.foil is not None and request.foil_at is None
    words = []
    if whole_foil or (request.threshold is None and request.foil is None):
        words += [] if request.target is None else [f"--target={request.target}"]
        words += [f"--foil={request.foil}"] if whole_foil else []
    else:
        words += ["--answer=" + ("model" if request.target is None else request.target)]
        # Where no token depends on the text, all were explained.
        every = request.threshold is None or attribution.explained is None
        words += ["--threshold", "0" if every else f"{request.threshold:g}"]
        words += [] if request.foil is None else [f"--foil={request.foil_at}={request.foil}"]
    return [*words, "--max-targets", str(request.max_targets)]


def _with_prompt(request: ExplainRequest, words: list[str]) -> str:
    """The command with its prompt: an argument, or on standard input where it would be read as something else."""
    if request.messages is not None:
        piped, words = json.dumps(request.asked, ensure_ascii=False), [*words, "--chat", "-"]
    elif request.prompt == "-":
        piped, words = "-", [*words, "-"]
    else:
        assert request.prompt is not None
        return shlex.join([*words, "--", request.prompt])
    return f"printf %s {shlex.quote(piped)} | {shlex.join(words)}"


def _changed(attribution: Attribution) -> dict[str, Any]:
    """The options that are not the method's own."""
    own = methods()[attribution.method]().config()
    return {name: value for name, value in attribution.config.items() if own.get(name) != value}

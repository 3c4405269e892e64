"""An attribution of the history as a file to take along."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from heat.attribution import Attribution
from heat.parts import recombine
from heat.registry import methods
from heat.serve.wire import ExplainRequest, Recombination


@dataclass(frozen=True)
class Download:
    """A file.

    Attributes:
        content: Its bytes.
        media_type: What it is.
    """

    content: bytes
    media_type: str


def download(
    kind: str,
    attribution: Attribution,
    request: ExplainRequest,
    *,
    model: str,
    recombination: Recombination | None = None,
    skip_first: bool = False,
) -> Download:
    """An attribution as a file.

    Args:
        kind: A key of `KINDS`.
        attribution: As it is stored.
        request: What was asked.
        model: How the model was named to `heat serve`; empty for the embedded reader.
        recombination: How to put its parts together; None to leave it as it is.
        skip_first: Leave special tokens and the first token out of the page and the picture.

    Raises:
        HeatError: The parts cannot be put together like this.
    """
    if recombination is not None:
        attribution = recombine(attribution, recombination.method, **recombination.options)
    shown = attribution.without_first() if skip_first else attribution
    command = _command(request, attribution, model, skip_first=skip_first)
    write, media_type = KINDS[kind]
    return Download(write(attribution if kind == "json" else shown, command), media_type)


def _html(attribution: Attribution, command: str) -> bytes:
    from heat.show.page import page

    return page(attribution, command).encode()


def _png(attribution: Attribution, command: str) -> bytes:
    from heat.show.picture import picture

    return picture(attribution)


def _json(attribution: Attribution, command: str) -> bytes:
    return attribution.to_json().encode()


KINDS: Mapping[str, tuple[Callable[[Attribution, str], bytes], str]] = {
    "html": (_html, "text/html; charset=utf-8"),
    "json": (_json, "application/json"),
    "png": (_png, "image/png"),
}


def _command(request: ExplainRequest, attribution: Attribution, model: str, *, skip_first: bool) -> str:
    """The command line that explains the same; a chat has to be put into a file first."""
    words = ["heat", "explain"]
    words += [request.prompt] if request.prompt is not None else ["--chat", "messages.json"]
    if model:
        words += ["--model", model]
    if request.target is not None:
        words += ["--target", request.target]
    if request.foil is not None:
        words += ["--foil", request.foil]
    words += ["--max-targets", str(request.max_targets), "--method", attribution.method]
    for name, value in _changed(attribution).items():
        words += ["--set", f"{name}={value}"]
    words += ["--seed", str(request.seed)]
    return shlex.join([*words, *(["--skip-first"] if skip_first else [])])


def _changed(attribution: Attribution) -> dict[str, Any]:
    """The options that are not the method's own."""
    own = methods()[attribution.method]().config()
    return {name: value for name, value in attribution.config.items() if own.get(name) != value}

"""Options of `heat explain`, in bundles: what is explained, by which model and method, and where it goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from heat.errors import ConfigError
from heat.projection import Aggregation
from heat.units import Unit

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@dataclass(frozen=True)
class PromptOptions:
    """What is explained."""

    prompt: Annotated[
        str | None, typer.Argument(help="The prompt; '-' reads it from standard input.", show_default=False)
    ] = None
    target: Annotated[str | None, typer.Option(help="What to explain. Default: the next token.")] = None
    prompt_file: Annotated[
        str | None, typer.Option(help="Read the prompt from this UTF-8 file, less one newline at its end.")
    ] = None
    chat: Annotated[
        str | None,
        typer.Option(help='Read chat messages from this JSON file: [{"role": "user", "content": "..."}].'),
    ] = None
    max_targets: Annotated[
        int | None,
        typer.Option(min=1, help="Explain the first N tokens of the target, or of what the model says."),
    ] = None
    foil: Annotated[
        list[str] | None,
        typer.Option(
            help="What might have been said instead: explain the target against it. With --answer as N=TEXT, N a "
            "token of the answer; may be repeated."
        ),
    ] = None
    answer: Annotated[
        str | None,
        typer.Option(
            help="Explain a whole answer, this text or, with 'model', what the model says: which of its tokens depend "
            "on the prompt, and on which words."
        ),
    ] = None
    context: Annotated[
        str | None,
        typer.Option(
            help="With --answer: the part of the prompt, as it stands there, that the answer may depend on. Default: "
            "all of it."
        ),
    ] = None
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="With --answer: a token depends on the prompt where its distribution moves by this many nats without "
            "it. Default: 0.5.",
        ),
    ] = None
    temperature: Annotated[
        float | None, typer.Option(help="With --answer model: draw the answer. Default: greedy.")
    ] = None
    group: Annotated[
        bool,
        typer.Option(
            "--group", help="With --answer: explain the tokens that depend together, as one target."
        ),
    ] = False


@dataclass(frozen=True)
class ModelOptions:
    """Which model is explained."""

    model: Annotated[
        str | None, typer.Option(help="Model folder, GGUF file or hub name. Default: the embedded reader.")
    ] = None
    dtype: Annotated[str | None, typer.Option(help="Dtype, for example float32.")] = None
    device: Annotated[str | None, typer.Option(help="For example cuda:0, or auto. Default: CPU.")] = None


@dataclass(frozen=True)
class MethodOptions:
    """How it is explained."""

    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Method; see `heat methods`. May be repeated, to compare several. Default: heat, or through an "
            "endpoint occlusion.",
            show_default=False,
        ),
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Option of the methods that have it, as name=value, or of one of them, as method.name=value; may be "
            "repeated.",
        ),
    ] = None
    mask_unit: Annotated[
        Unit | None,
        typer.Option(
            help="Mask a unit at once, in methods that mask: as many passes as there are units. context-cite deletes "
            "units. Same as --set mask_unit=..."
        ),
    ] = None
    seed: Annotated[
        int, typer.Option(min=0, max=(1 << 63) - 1, help="Seed of whatever the method draws.")
    ] = 0

    @property
    def chosen_settings(self) -> list[tuple[str, str]]:
        """Option and value of each, as `heat.registry.configured` takes them.

        Raises:
            ConfigError: One has no value.
        """
        settings = [_setting(text) for text in self.settings or []]
        return settings + ([] if self.mask_unit is None else [("mask_unit", self.mask_unit)])


@dataclass(frozen=True)
class OutputOptions:
    """Where the explanation goes."""

    html: Annotated[Path | None, typer.Option(help="Write a page to this file.")] = None
    png: Annotated[Path | None, typer.Option(help="Write a picture to this file.")] = None
    out: Annotated[Path | None, typer.Option(help="Save the attribution to this .safetensors file.")] = None
    unit: Annotated[
        Unit, typer.Option(help="What the prompt is divided into; messages and their examples are a chat's.")
    ] = "word"
    aggregation: Annotated[Aggregation, typer.Option(help="How a unit's number is made of its tokens'.")] = (
        "mean"
    )
    skip_first: Annotated[
        bool,
        typer.Option(
            "--skip-first",
            help="Leave special tokens, chat markers and the first token out of colours and lists.",
        ),
    ] = False
    top: Annotated[int, typer.Option(min=1, help="How many words to list.")] = 10
    as_json: JsonOption = False
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the top words only, one a line.")] = False

    @property
    def files(self) -> list[Path]:
        """The files to be written."""
        return [path for path in (self.out, self.html, self.png) if path is not None]


def _setting(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"--set {text} is not name=value, for example --set n_steps=20")
    method, dot, option = name.strip().rpartition(".")
    return method + dot + option.replace("-", "_"), value.strip()

"""How an annotator is asked for marks and how its answer is read: quotes, numbered words, or tags."""

from __future__ import annotations

from pathlib import Path

from annotate.errors import AnnotateError, UnknownNameError
from annotate.formats.format import FormatError, Message, Prompt, ResponseFormat
from annotate.formats.indexed import Indexed
from annotate.formats.prompts import Example, load_prompt, read_prompt
from annotate.formats.quotes import Quotes
from annotate.formats.tags import Tags

__all__ = [
    "DEFAULT_FORMAT",
    "FormatError",
    "Message",
    "Prompt",
    "ResponseFormat",
    "format_names",
    "make_format",
]

DEFAULT_FORMAT = "quotes"
OTHER_PROMPTS = ("passage",)
"""Prompts that ship beside those of the formats: for one text and a question beside it."""

_FORMATS: dict[str, type[Quotes | Indexed | Tags]] = {"quotes": Quotes, "indexed": Indexed, "tags": Tags}


def format_names() -> list[str]:
    """The names that :func:`make_format` knows, the default first."""
    return list(_FORMATS)


def make_format(name: str = "", prompt: str = "") -> ResponseFormat:
    """Make the format that ``name`` names, with the prompt that ships or another.

    Args:
        name: Its name; empty for that of the prompt, or the default.
        prompt: Another prompt file that ships, by name, or the path of one, which ends in ``.toml``. Its ``id`` says
            which format it asks for.

    Raises:
        UnknownNameError: No format, or no prompt, has that name; lists those that exist.
        AnnotateError: The prompt file is missing or damaged, asks for another format, or has a worked example that
            cannot be read.
    """
    if not prompt:
        return _make(name or DEFAULT_FORMAT, *load_prompt(_known(name or DEFAULT_FORMAT)))
    shipped_too = [*_FORMATS, *OTHER_PROMPTS]
    if not prompt.endswith(".toml") and prompt not in shipped_too:
        raise UnknownNameError("prompt", prompt, [*shipped_too, "the path of a .toml file"])
    text, example = read_prompt(Path(prompt)) if prompt.endswith(".toml") else load_prompt(prompt)
    if name and name != text.name:
        raise AnnotateError(
            f"the prompt {prompt} asks for {text.name!r}, not for {name!r}; leave format= away"
        )
    made = _make(_known(text.name), text, example)
    try:
        made.messages(example.paragraph)
        unplaced = made.read(example.paragraph, example.content)
        made.again(example.paragraph, example.content, unplaced)
    except (FormatError, KeyError, ValueError) as error:
        raise AnnotateError(f"the prompt {prompt} cannot be used: {error!r}") from error
    return made


def _known(name: str) -> str:
    if name not in _FORMATS:
        raise UnknownNameError("format", name, format_names())
    return name


def _make(name: str, prompt: Prompt, example: Example) -> ResponseFormat:
    return _FORMATS[name](prompt, example)

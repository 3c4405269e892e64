"""How an annotator is asked for marks and how its answer is read: quotes, numbered words, or tags."""

from __future__ import annotations

from annotate.errors import UnknownNameError
from annotate.formats.format import FormatError, Message, Prompt, ResponseFormat
from annotate.formats.indexed import Indexed
from annotate.formats.prompts import load_prompt
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

_FORMATS: dict[str, type[Quotes | Indexed | Tags]] = {"quotes": Quotes, "indexed": Indexed, "tags": Tags}


def format_names() -> list[str]:
    """The names that :func:`make_format` knows, the default first."""
    return list(_FORMATS)


def make_format(name: str = DEFAULT_FORMAT) -> ResponseFormat:
    """Make the format that ``name`` names, with the prompt that ships.

    Raises:
        UnknownNameError: No format has that name; lists those that exist.
        AnnotateError: Its prompt file is missing or damaged.
    """
    if name not in _FORMATS:
        raise UnknownNameError("format", name, format_names())
    prompt, example = load_prompt(name)
    return _FORMATS[name](prompt, example)

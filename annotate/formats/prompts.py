"""Prompt files: versioned text with a worked example."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from annotate.errors import AnnotateError
from annotate.files import file_hash, shipped
from annotate.formats.format import Prompt
from annotate.schema import Paragraph, Role, Segment, text_hash
from annotate.words import rule_for, split_words


@dataclass(frozen=True)
class Example:
    """The worked example of a prompt: a paragraph and the answer wanted."""

    paragraph: Paragraph
    content: str


def load_prompt(name: str) -> tuple[Prompt, Example]:
    """Read the prompt file that ships under a name, and its example.

    Raises:
        AnnotateError: The file is missing, or is not a prompt file.
    """
    return read_prompt(shipped(f"prompts/{name}.toml"))


def read_prompt(path: Path) -> tuple[Prompt, Example]:
    """Read a prompt file and its example.

    The example is a mixed paragraph (`narrative`, `support`, `question`), or a `text` with its question beside it.

    Raises:
        AnnotateError: The file is missing, or is not a prompt file.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        prompt = Prompt(
            data["id"], data["version"], data["system"], data["user"], data["again"], file_hash(path)
        )
        example = data["example"]
        parts: list[tuple[Role, str]] = (
            [("support", example["text"])]
            if "text" in example
            else [(role, example[role]) for role in ("narrative", "support", "question")]
        )
        paragraph = _paragraph(parts, example["question"], example["answer"])
        return prompt, Example(paragraph, example["content"].strip())
    except OSError as error:
        raise AnnotateError(f"the prompt file {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AnnotateError(f"{path} is no prompt file: {error!r}") from error


def fill(template: str, fields: Mapping[str, str]) -> str:
    """Fill a template's ``$names``; a ``$`` in a value stays as it is."""
    return Template(template).substitute(fields).strip()


def _paragraph(parts: Sequence[tuple[Role, str]], question: str, answer: str) -> Paragraph:
    text = "\n".join(part for _, part in parts)
    segments, start = [], 0
    for role, part in parts:
        end = start + len(part)
        segments.append(Segment(role=role, start=start, end=end, source="example", split="", row=0))
        start = end + 1
    return Paragraph(
        id="example",
        text=text,
        segments=tuple(segments),
        question=question,
        answer=answer,
        words=split_words(text),
        word_rule=rule_for(text),
        text_sha256=text_hash(text),
    )

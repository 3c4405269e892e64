"""Prompt files: versioned text with a worked example."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """Read the prompt file of format ``name`` and its example.

    Raises:
        AnnotateError: The file is missing, or is not a prompt file.
    """
    path = shipped(f"prompts/{name}.toml")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        prompt = Prompt(
            data["id"], data["version"], data["system"], data["user"], data["again"], file_hash(path)
        )
        example = data["example"]
        parts: list[tuple[Role, str]] = [
            ("narrative", example["narrative"]),
            ("support", example["support"]),
            ("question", example["question"]),
        ]
        return prompt, Example(_paragraph(parts, example["answer"]), example["content"].strip())
    except (ValueError, KeyError) as error:
        raise AnnotateError(f"{path} is no prompt file: {error!r}") from error


def fill(template: str, fields: Mapping[str, str]) -> str:
    """Fill a template's ``$names``; a ``$`` in a value stays as it is."""
    return Template(template).substitute(fields).strip()


def _paragraph(parts: Sequence[tuple[Role, str]], answer: str) -> Paragraph:
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
        question=parts[-1][1],
        answer=answer,
        words=split_words(text),
        word_rule=rule_for(text),
        text_sha256=text_hash(text),
    )

"""The format ``indexed``: words are shown with numbers, and the answer repeats number and word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from annotate.formats.folding import casefold, normalize
from annotate.formats.json_answer import Whole, parse_answer
from annotate.formats.places import trim
from annotate.formats.prompted import PromptedFormat
from annotate.formats.similarity import is_typo
from annotate.schema import LabelSpan, Paragraph, Rung

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "words": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"i": {"type": "integer"}, "word": {"type": "string"}},
                "required": ["i", "word"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["words"],
    "additionalProperties": False,
}


_NEAR = 2
"""So far off a number is where the word beside it, if it stands there, may be the one meant."""


class _Word(BaseModel):
    i: Whole
    word: str


class _Answer(BaseModel):
    words: list[_Word]


@dataclass(frozen=True)
class Indexed(PromptedFormat):
    """Shows numbered words. The word beside a number catches a number that is one off."""

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the answer."""
        return SCHEMA

    def fields(self, paragraph: Paragraph) -> dict[str, str]:
        """The numbered words, each part on a line of its own."""
        lines: list[list[str]] = [[] for _ in range(len(paragraph.segments) + 1)]
        for index, ((start, _), word) in enumerate(zip(paragraph.words, paragraph.word_texts(), strict=True)):
            part = sum(segment.end <= start for segment in paragraph.segments)
            lines[part].append(f"{index}:{word}")
        return super().fields(paragraph) | {"numbered": "\n".join(" ".join(line) for line in lines if line)}

    def read(self, paragraph: Paragraph, content: str) -> tuple[LabelSpan, ...]:
        """Read numbers and words; a word that is not at its number is looked for.

        Raises:
            FormatError: The answer is not a list of numbers and words.
        """
        answer = parse_answer(_Answer, content)
        words = [trim(word) for word in paragraph.word_texts()]
        folded = [casefold(word).text for word in words]
        return tuple(dict.fromkeys(_place(words, folded, entry) for entry in answer.words))


def _place(words: Sequence[str], folded: Sequence[str], entry: _Word) -> LabelSpan:
    """Place one numbered word: where the number and the word disagree, a word that stands once decides."""
    echo = trim(entry.word)
    key = casefold(echo).text
    there = words[entry.i] if 0 <= entry.i < len(words) else None
    if there == echo:
        return LabelSpan(words=(entry.i,), quote=echo, rung="exact")
    if there is not None and key and folded[entry.i] == key:
        if echo in words[max(0, entry.i - _NEAR) : entry.i + _NEAR + 1]:
            return LabelSpan(words=(entry.i,), quote=echo, rung="ambiguous")
        rung: Rung = "normalized" if normalize(there).text == normalize(echo).text else "casefold"
        return LabelSpan(words=(entry.i,), quote=echo, rung=rung)
    mistyped = there is not None and is_typo(folded[entry.i], key)
    elsewhere = [i for i, word in enumerate(folded) if key and word == key]
    if mistyped:
        return LabelSpan(words=(entry.i,), quote=echo, rung="ambiguous" if elsewhere else "fuzzy")
    if len(elsewhere) == 1:
        return LabelSpan(words=(elsewhere[0],), quote=echo, rung="context")
    if elsewhere:
        nearest = min(elsewhere, key=lambda i: abs(i - entry.i))
        return LabelSpan(words=(nearest,), quote=echo, rung="ambiguous")
    return LabelSpan(words=(), quote=echo, rung="unresolved")

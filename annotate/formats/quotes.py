"""The format ``quotes``: what matters, copied, with its number and the words before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from annotate.formats.json_answer import Whole, parse_answer
from annotate.formats.prompted import PromptedFormat
from annotate.formats.resolver import Quote, resolve
from annotate.schema import LabelSpan, Paragraph

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spans": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "quote": {"type": "string"},
                    "occurrence": {"type": "integer"},
                    "before": {"type": "string"},
                },
                "required": ["quote", "occurrence", "before"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["spans"],
    "additionalProperties": False,
}


class _Span(BaseModel):
    quote: str
    occurrence: Whole | None = None
    before: str | None = None


class _Answer(BaseModel):
    spans: list[_Span]


@dataclass(frozen=True)
class Quotes(PromptedFormat):
    """Asks for quotes; the resolver places them."""

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the answer."""
        return SCHEMA

    def read(self, paragraph: Paragraph, content: str) -> tuple[LabelSpan, ...]:
        """Place the quotes of an answer.

        Raises:
            FormatError: The answer is not a list of quotes.
        """
        answer = parse_answer(_Answer, content)
        return resolve(
            paragraph, [Quote(span.quote, span.occurrence, span.before or "") for span in answer.spans]
        )

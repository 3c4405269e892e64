"""What a label format is: a prompt, a schema for the answer, and a way to read words from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from annotate.schema import LabelSpan, Paragraph

Message = dict[str, str]
"""One message of a conversation: ``{"role": ..., "content": ...}``."""


class FormatError(ValueError):
    """An answer does not have the form that was asked for; the text says what is wrong with it."""


@dataclass(frozen=True)
class Prompt:
    """A versioned prompt file.

    Attributes:
        name: Name of the format it belongs to.
        version: Raised whenever the text changes.
        system: The system message.
        user: Template of the user message.
        again: Template of the message that asks again for what could not be placed.
        sha256: Checksum of the file, 64 hex digits.
    """

    name: str
    version: int
    system: str
    user: str
    again: str
    sha256: str


class ResponseFormat(Protocol):
    """Turns a paragraph into messages and an answer into spans. Pure: no clock, no network."""

    @property
    def name(self) -> str:
        """Registered name, for instance ``"quotes"``."""
        ...

    @property
    def prompt(self) -> Prompt:
        """The prompt file it uses."""
        ...

    @property
    def schema(self) -> dict[str, Any] | None:
        """JSON schema of the answer (strict subset), or ``None`` where the answer is plain text."""
        ...

    def messages(self, paragraph: Paragraph) -> list[Message]:
        """The messages that ask for the words of ``paragraph`` that matter."""
        ...

    def read(self, paragraph: Paragraph, content: str) -> tuple[LabelSpan, ...]:
        """Read an answer; what cannot be placed is a span with rung ``unresolved`` and no words.

        Raises:
            FormatError: The answer does not have the form that was asked for.
        """
        ...

    def again(self, paragraph: Paragraph, content: str, unplaced: Sequence[LabelSpan]) -> list[Message]:
        """The whole conversation that asks once more, about ``unplaced`` quotes only."""
        ...

    def merge(self, first: Sequence[LabelSpan], second: Sequence[LabelSpan]) -> tuple[LabelSpan, ...]:
        """The spans after the second answer: those placed at first, and what the second says of the rest."""
        ...

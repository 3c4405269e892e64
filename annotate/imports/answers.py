"""What reading a file of labels comes to, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from annotate.schema import Paragraph


@dataclass(frozen=True)
class Answer:
    """What the file says of one paragraph.

    Attributes:
        paragraph: The paragraph.
        raw: JSON that an imported annotator reads the words from; for the ledger.
        asked_at: When it was said, ISO 8601, or ``None`` when the file does not tell.
    """

    paragraph: Paragraph
    raw: str
    asked_at: str | None = None


@dataclass(frozen=True)
class ParseResult:
    """A file of labels that fits the benchmark.

    Attributes:
        answers: One a paragraph at most.
        left_out: What the file holds and no label is made of, counted by reason.
    """

    answers: Sequence[Answer]
    left_out: dict[str, int]

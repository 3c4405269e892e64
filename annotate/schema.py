"""The records of a benchmark: passages, paragraphs, labels, gold. Words are the unit of truth.

A paragraph's ``text`` is exact and never normalised. Its ``words`` are ``(start, end)`` pairs in Python code
points, made once when the benchmark is built; everything that follows speaks in indices into that list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

SCHEMA_VERSION = 1

Span = tuple[int, int]
Role = Literal["narrative", "support", "question"]
Status = Literal["ok", "refused", "filtered", "truncated", "invalid_output", "unresolved", "error", "missing"]
Rung = Literal[  # from the most certain to the least
    "constructed",
    "exact",
    "occurrence",
    "context",
    "normalized",
    "casefold",
    "fuzzy",
    "ambiguous",
    "unresolved",
]
WordOrigin = Literal["agreed", "majority", "adjudicated", "union", "single", "constructed"]


def check_words(owner: str, words: Iterable[Span], length: int) -> None:
    """Check that words lie in a text, in order and without overlap.

    Args:
        owner: Whose words they are, for the error.
        words: ``(start, end)`` code points.
        length: Length of the text in code points.

    Raises:
        ValueError: A word is empty, out of order or out of range.
    """
    last = 0
    for start, end in words:
        if not last <= start < end <= length:
            raise ValueError(f"{owner}: word ({start}, {end}) is out of order or out of range")
        last = end


def text_hash(text: str) -> str:
    """SHA-256 of the UTF-8 bytes of ``text``, as 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


class Record(BaseModel):
    """A frozen record that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Narrative(Record):
    """One narrative document of a source, used as distractor text."""

    kind: Literal["narrative"] = "narrative"
    source: str
    split: str
    row: int
    document_id: str
    title: str
    text: str
    url: str = ""


class Science(Record):
    """One science question of a source with its answer and the support text that holds it.

    ``support_evidence`` and ``question_evidence`` are code-point spans known by construction; ``None`` for real
    text. ``pattern`` names the surface form a generated row was made with.
    """

    kind: Literal["science"] = "science"
    source: str
    split: str
    row: int
    question: str
    answer: str
    support: str
    support_evidence: tuple[Span, ...] | None = None
    question_evidence: tuple[Span, ...] | None = None
    pattern: str = ""


Passage = Narrative | Science


class Segment(Record):
    """A part of a paragraph's text, ``text[start:end]``, and the row it came from."""

    role: Role
    start: int
    end: int
    source: str
    split: str
    row: int
    document_id: str = ""
    pattern: str = ""


class Paragraph(Record):
    """One mixed paragraph: narrative, support and question joined by newlines, and the answer asked for.

    Attributes:
        id: Unique within its benchmark.
        text: The exact text that is labelled and attributed. The answer is not part of it.
        segments: The parts of ``text`` in their order.
        question: The question, as it stands in the question segment.
        answer: The expected answer, as it stands in the support.
        words: ``(start, end)`` code-point pairs into ``text``, in order, without overlap.
        word_rule: Name and version of the rule that made ``words``.
        evidence: Word indices that matter by construction, or ``None`` for real text.
        text_sha256: Checksum of ``text``.
    """

    schema_version: Literal[1] = 1
    id: str
    text: str
    segments: tuple[Segment, ...]
    question: str
    answer: str
    words: tuple[Span, ...]
    word_rule: str
    evidence: tuple[int, ...] | None = None
    text_sha256: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        if text_hash(self.text) != self.text_sha256:
            raise ValueError(f"paragraph {self.id}: the text does not match its checksum")
        check_words(f"paragraph {self.id}", self.words, len(self.text))
        if self.evidence is not None and not all(0 <= i < len(self.words) for i in self.evidence):
            raise ValueError(f"paragraph {self.id}: evidence names a word that does not exist")
        return self

    def word_texts(self) -> list[str]:
        """The words as strings, in order."""
        return [self.text[start:end] for start, end in self.words]

    def words_in(self, role: Role) -> list[int]:
        """Indices of the words that lie in segments of ``role``, in order."""
        parts = [(s.start, s.end) for s in self.segments if s.role == role]
        return [i for i, (a, b) in enumerate(self.words) if any(s <= a and b <= e for s, e in parts)]


class LabelSpan(Record):
    """Words marked together, the quote they answer to, and the resolver rung that placed them."""

    words: tuple[int, ...]
    quote: str
    rung: Rung


class Label(Record):
    """What one annotator said of one paragraph. A failure is a status, never an empty label."""

    schema_version: Literal[1] = 1
    paragraph_id: str
    text_sha256: str
    annotator: str
    repeat: int = 0
    status: Status
    words: tuple[int, ...] = ()
    spans: tuple[LabelSpan, ...] = ()
    model: str = ""
    detail: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.status != "ok" and self.words:
            raise ValueError(f"label of {self.paragraph_id}: status {self.status} carries words")
        return self


class GoldWord(Record):
    """One important word and how it came to be gold."""

    index: int
    origin: WordOrigin


class Gold(Record):
    """The words of one paragraph that matter, with their provenance."""

    schema_version: Literal[1] = 1
    paragraph_id: str
    text_sha256: str
    rule: str
    annotators: tuple[str, ...]
    words: tuple[GoldWord, ...]

    def indices(self) -> list[int]:
        """The gold word indices, in order."""
        return [w.index for w in self.words]


class Manifest(Record):
    """How a benchmark was made: enough to make it again.

    ``config`` holds the options of ``build-dataset``; ``inputs`` the checksums of files read; ``files`` those of
    files written; ``report`` the drop table and reuse counts; ``versions`` the packages that shaped the output.
    """

    schema_version: Literal[1] = 1
    command: str
    seed: int
    config: dict[str, Any]
    inputs: dict[str, str]
    files: dict[str, str]
    report: dict[str, Any]
    versions: dict[str, str]

"""One thing a model is asked, which of its words matter, and a set of such things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from pydantic import model_validator

from annotate.files import canonical_hash
from annotate.schema import Record, Span


class Example(Record):
    """A prompt, the answer to explain, and the words that are scored.

    Attributes:
        id: Unique within its task.
        prompt: The exact text put to the model.
        target: The text that is explained, as it follows the prompt (with its leading space).
        words: ``(start, end)`` code-point pairs into ``prompt``, in order, without overlap: what is scored.
        gold: Indices of the words that matter, or ``None`` where nobody has said which.
        distractor: Indices of the words that are known not to matter (for DSA).
        gold_rule: How gold came about; empty without gold.
        segments: ``(role, start, end)`` of the parts of the prompt, in code points; empty where it has none.
    """

    id: str
    prompt: str
    target: str
    words: tuple[Span, ...]
    gold: tuple[int, ...] | None = None
    distractor: tuple[int, ...] = ()
    gold_rule: str = ""
    segments: tuple[tuple[str, int, int], ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        last = 0
        for start, end in self.words:
            if not last <= start < end <= len(self.prompt):
                raise ValueError(f"example {self.id}: word ({start}, {end}) is out of order or out of range")
            last = end
        if not all(0 <= i < len(self.words) for i in (*(self.gold or ()), *self.distractor)):
            raise ValueError(f"example {self.id}: gold or distractor names a word that does not exist")
        return self

    def roles(self) -> tuple[str, ...]:
        """Role of the segment that each word begins in; empty for a word outside of all."""
        return tuple(
            next((role for role, first, last in self.segments if first <= start < last), "")
            for start, _ in self.words
        )

    @property
    def text_key(self) -> str:
        """Checksum of the prompt: examples that share it are not independent evidence."""
        return canonical_hash(self.prompt)


class GoldSource(Record):
    """Where gold words come from.

    Attributes:
        rule: How labels became gold.
        annotators: Who labelled; empty where nobody was asked.
        offline: Whether no annotator was a language model or a person.
        note: The same in a sentence, to stand under every table.
    """

    rule: str
    annotators: tuple[str, ...]
    offline: bool
    note: str


@dataclass(frozen=True)
class Task:
    """The examples of a benchmark.

    Attributes:
        name: What was asked for: `curated`, `longra`, ... or a folder.
        source: Where the rows came from: a hub name with revision, a file with its checksum, or ``sample``.
        examples: In the order of the rows.
        gold: Where their gold comes from; ``None`` where there is none.
        left_out: Reason to the rows that could not become examples, each named.
        only_correct: Whether examples that the model gets wrong are left out unless the user says otherwise.
        single_token: Whether examples whose target is several tokens for the model are.
        folder: The benchmark's folder, where labels lie beside it; empty where there is none.
    """

    name: str
    source: str
    examples: tuple[Example, ...]
    gold: GoldSource | None = None
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    only_correct: bool = False
    single_token: bool = False
    folder: str = ""

"""One thing a model is asked, which of its words matter, and a set of such things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pydantic import model_validator

from annotate.files import canonical_hash
from annotate.schema import Record, Span, check_words
from heat.projection import Aggregation
from heat.units import Unit

Answer = Literal["gold", "model"]
Target = Literal["first", "all"]


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
        body: ``(start, end)`` of the text that is asked about, in code points of ``prompt``; it holds every scored
            word, and every prompt template repeats it unchanged. ``None`` where the target continues the prompt,
            so that nothing is asked.
        question: What is asked about the body, where it is not part of it.
        instruction: What kind of answer is wanted, in a sentence; empty for as few words as possible.
        foil: What might have been said instead of the target, with its leading space; empty where there is nothing.
        people: Indices of the words that each person marked, where several people marked the text.
        special_tokens: Whether the tokenizer puts its own beginning-of-text token before the prompt; False where the
            prompt holds it already, as a rendered chat template does.
    """

    id: str
    prompt: str
    target: str
    words: tuple[Span, ...]
    gold: tuple[int, ...] | None = None
    distractor: tuple[int, ...] = ()
    gold_rule: str = ""
    segments: tuple[tuple[str, int, int], ...] = ()
    body: Span | None = None
    question: str = ""
    instruction: str = ""
    foil: str = ""
    people: tuple[tuple[int, ...], ...] = ()
    special_tokens: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_words(f"example {self.id}", self.words, len(self.prompt))
        marked = (*(self.gold or ()), *self.distractor, *(i for marks in self.people for i in marks))
        if not all(0 <= i < len(self.words) for i in marked):
            raise ValueError(
                f"example {self.id}: gold, distractor or a mark names a word that does not exist"
            )
        if self.body is not None and self.words:
            start, end = self.body
            if not 0 <= start <= self.words[0][0] < self.words[-1][1] <= end <= len(self.prompt):
                raise ValueError(f"example {self.id}: a word lies outside the text that is asked about")
        return self

    def roles(self) -> tuple[str, ...]:
        """Role of the segment that each word begins in; empty for a word outside of all."""
        return tuple(
            next((role for role, first, last in self.segments if first <= start < last), "")
            for start, _ in self.words
        )

    @property
    def text_key(self) -> str:
        """Checksum of the text that is asked about, or of the prompt: examples that share it are not independent."""
        start, end = self.body or (0, len(self.prompt))
        return canonical_hash(self.prompt[start:end])


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
        whole_target: Whether every token of the target is explained unless the user says otherwise, and not the first
            alone: for answers that are sentences.
        contrast: Whether the target is explained against the foil unless the user says otherwise.
        folder: The benchmark's folder, where labels lie beside it; empty where there is none.
        prompt: Name of the template that its examples are put to the model in.
        answer: What is explained: the benchmark's answer, or the model's own.
        aggregation: How a word's score is made of its tokens'.
        unit: What alignment scores; a unit is gold if it holds a gold word.
    """

    name: str
    source: str
    examples: tuple[Example, ...]
    gold: GoldSource | None = None
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    only_correct: bool = False
    single_token: bool = False
    whole_target: bool = False
    contrast: bool = False
    folder: str = ""
    prompt: str = "plain"
    answer: Answer = "gold"
    aggregation: Aggregation = "mean"
    unit: Unit = "word"

    def target(self, asked: Target | None) -> Target:
        """Which target tokens are explained: those asked for, else as the benchmark has it."""
        return asked or ("all" if self.whole_target else "first")

    def settings(self) -> dict[str, Any]:
        """How it is put to a model and read, as fields of `evaluate.pipeline.store.Settings`."""
        return {
            "prompt": self.prompt,
            "answer": self.answer,
            "contrast": self.contrast,
            "aggregation": self.aggregation,
            "unit": self.unit,
        }

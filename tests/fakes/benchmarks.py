"""A small benchmark made by hand: paragraphs, gold, labels, and tasks of some examples."""

from collections.abc import Sequence
from typing import Any

from fakes import annotated
from fakes.annotated import make_benchmark as write_benchmark
from fakes.annotated import make_gold, make_label

from annotate.schema import Paragraph
from evaluate.faithfulness.options import Options
from evaluate.tasks.task import Example, GoldSource, Task

__all__ = ["FEW", "ROWS", "made_task", "make_gold", "make_label", "make_paragraph", "write_benchmark"]

# As little work as every metric of faithfulness allows.
FEW = Options(steps=2, draws=1, random_draws=2, subsets=4, retentions=(0.5,), bins=(0.5,))

# Narrative, support, question, answer, evidence words.
ROWS = [
    ("Tom met the queen.", "The tower is made of copper.", "What is the tower made of?", "copper"),
    ("The old 👍🏽 dog slept.", "Iron is what the gate is made of.", "What is the gate made of?", "iron"),
    ("A boat came home.", "The lamp is made of tin.", "What is the lamp made of?", "tin"),
    ("שלום said the king.", "People made the vault of zinc.", "What is the vault made of?", "zinc"),
    ("Rain fell; nobody sang.", "The bell is made of lead.", "What is the bell made of?", "lead"),
]


def make_paragraph(row: int, narrative: str, support: str, question: str, answer: str) -> Paragraph:
    """Narrative, support and question in one line each; evidence is the answer in the support."""
    paragraph = annotated.make_paragraph(f"p{row}", support, question, answer, narrative)
    evidence = tuple(i for i, word in enumerate(paragraph.word_texts()) if word.lower() == answer)
    return paragraph.model_copy(update={"evidence": evidence})


def made_task(examples: Sequence[Example], **changes: Any) -> Task:
    """A task of some examples, whose gold somebody made by hand."""
    gold = GoldSource(rule="hand", annotators=(), offline=True, note="by hand.")
    return Task(name="made", source="by hand", examples=tuple(examples), gold=gold, **changes)

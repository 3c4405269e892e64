"""Questions about paragraphs at three reading levels, with the span that answers and the span that distracts."""

from __future__ import annotations

from annotate.rationales.onestopqa import NAME, SCHEMA, at_level, marked_paragraph
from annotate.rationales.rows import Rows, convert
from evaluate.tasks.marked import example_of
from evaluate.tasks.task import GoldSource, Task

RULE = "critical-span"
PEOPLE = GoldSource(
    rule=RULE,
    annotators=("people",),
    offline=False,
    note="words of the critical span, which whoever wrote the question marked as its answer's; distractor are those of"
    " the span that a wrong answer rests on.",
)
AUTHORS = GoldSource(
    rule=RULE,
    annotators=("the authors of the sample",),
    offline=False,
    note="words of the critical span, as whoever wrote the sample marked it; nobody else was asked.",
)


def onestopqa(
    rows: Rows, gold: GoldSource = PEOPLE, limit: int | None = None, level: str = "", name: str = NAME
) -> Task:
    """Examples of questions about a paragraph: one a question, the target the right answer, explained whole.

    Gold are the words of the critical span, distractor those of the distractor span that are not gold. The three levels
    of a paragraph say the same in simpler words, so they are not independent and are never put together: one of them
    is read, the original where none is named.

    Left out and named are the rows that `marked_paragraph` refuses, and those whose gold is no word or every one. Rows
    of other levels are passed over.

    Args:
        rows: Questions, a row each and level.
        gold: Who marked.
        limit: Make the first N examples only.
        level: One of `LEVELS`; empty for the first.
        name: What the task is called.

    Raises:
        RowsError: No row can be used.
    """
    examples, left_out = convert(
        name, at_level(rows, level), lambda row: example_of(marked_paragraph(row), name, RULE), SCHEMA, limit
    )
    return Task(
        name=name, source=rows.source, examples=examples, gold=gold, left_out=left_out, whole_target=True
    )

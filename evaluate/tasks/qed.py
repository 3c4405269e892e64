"""Questions about a paragraph, with the noun phrases of the answering sentence that people found in the question."""

from __future__ import annotations

from annotate.rationales.qed import NAME, SCHEMA, marked_explanation
from annotate.rationales.rows import Rows, convert
from evaluate.tasks.marked import example_of
from evaluate.tasks.task import GoldSource, Task

RULE = "referents"
PEOPLE = GoldSource(
    rule=RULE,
    annotators=("people",),
    offline=False,
    note="words of the answer, and of the noun phrases of its sentence that people found to mean the same as one of the"
    " question.",
)
AUTHORS = GoldSource(
    rule=RULE,
    annotators=("the authors of the sample",),
    offline=False,
    note="words of the answer, and of the noun phrases that whoever wrote the sample marked; nobody else was asked.",
)


def qed(rows: Rows, gold: GoldSource = PEOPLE, limit: int | None = None) -> Task:
    """Examples of questions about a paragraph: one a question, the target its short answer.

    Gold are, in the sentence that answers, the answer and the noun phrases that mean the same as one of the question.
    Left out and named are the questions that `marked_explanation` refuses, and those whose gold is every word.

    Args:
        rows: Questions, a row each.
        gold: Who marked.
        limit: Make the first N examples only.

    Raises:
        RowsError: No row can be used.
    """
    examples, left_out = convert(
        NAME, rows, lambda row: example_of(marked_explanation(row), NAME, RULE), SCHEMA, limit
    )
    return Task(name=NAME, source=rows.source, examples=examples, gold=gold, left_out=left_out)

"""Questions about a passage with the evidence that two people marked, in SQuAD's form."""

from __future__ import annotations

from annotate.rationales.expmrc import NAME, SCHEMA, marked_question
from annotate.rationales.rows import Rows, convert
from evaluate.tasks.marked import example_of
from evaluate.tasks.task import GoldSource, Task

RULE = "evidence"
PEOPLE = GoldSource(
    rule=RULE,
    annotators=("people",),
    offline=False,
    note="words in the evidence of more than half of the people who marked it; of two, those of both.",
)
AUTHORS = GoldSource(
    rule=RULE,
    annotators=("people invented by the authors of the sample",),
    offline=False,
    note="words in the evidence of both people whom the authors of the sample invented; nobody was asked.",
)


def expmrc(rows: Rows, gold: GoldSource = PEOPLE, limit: int | None = None) -> Task:
    """Examples of questions about a passage: one a question, the target its first answer.

    The prompt is the passage, the question and the cue; the passage's words with a letter or digit are scored. Each
    string in `evidences` is what one person marked. Gold are the words that more than half of them marked: of two,
    those that both did.

    Left out and named are questions with an evidence that the passage does not hold, or holds more than once, so that
    nobody knows where it was marked, and those whose gold is no word or every one.

    Args:
        rows: Questions, a row each.
        gold: Who marked.
        limit: Make the first N examples only.

    Raises:
        RowsError: No row can be used.
    """
    examples, left_out = convert(
        NAME, rows, lambda row: example_of(marked_question(row), NAME, RULE), SCHEMA, limit
    )
    return Task(name=NAME, source=rows.source, examples=examples, gold=gold, left_out=left_out)

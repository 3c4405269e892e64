"""Texts whose words several people marked, each for the label that he or she chose."""

from __future__ import annotations

from annotate.rationales.fair_rationales import NAME, marked_texts
from annotate.rationales.rows import Rows
from evaluate.tasks.marked import example_of
from evaluate.tasks.task import GoldSource, Task

RULE = "majority"
PEOPLE = GoldSource(
    rule=RULE,
    annotators=("people",),
    offline=False,
    note="words that more than half of those people marked who chose the text's label; whoever marked every word or"
    " none does not count.",
)
AUTHORS = GoldSource(
    rule=RULE,
    annotators=("people invented by the authors of the sample",),
    offline=False,
    note="words that more than half of the people marked whom the authors of the sample invented; nobody was asked.",
)


def fair_rationales(
    rows: Rows, gold: GoldSource = PEOPLE, limit: int | None = None, name: str = NAME
) -> Task:
    """Examples of texts that several people marked: one a text.

    Two kinds of text occur in rows of one schema. For a sentiment the prompt is the text, a question of ours and the
    cue; the target is the text's label and the foil the other one. For a question with five choices the prompt is the
    question and the cue: the rows name the choices that somebody chose, not all five, so none is listed. The target
    is the right one in the words of those who chose it, the foil the wrong one that most people chose, the first
    letter of those where several are.

    Marks are of white-space tokens, which take punctuation with them; scored are the words with a letter or digit,
    and a word is marked where a marked token overlaps it. Gold are those that more than half of the people marked
    who chose the text's label. Somebody who chose another label marked what speaks for that one, and does not
    count; neither does a person who marked every word or none.

    Left out and named are people by row, with what was said, and texts without gold, or of which every word is gold.

    Args:
        rows: Rows of people; those of one text need not stand together.
        gold: Who marked.
        limit: Make the first N examples only.
        name: What the task is called.

    Raises:
        RowsError: No text can be used.
    """
    examples, left_out = marked_texts(rows, lambda text: example_of(text, name, RULE), name, limit)
    return Task(name=name, source=rows.source, examples=examples, gold=gold, left_out=left_out)

"""Questions about a passage with the evidence that two people marked, in SQuAD's form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from annotate.schema import Span
from evaluate.tasks.errors import UnusableRowError
from evaluate.tasks.marks import checked_gold, content_words, overlapping
from evaluate.tasks.prompt import CUE
from evaluate.tasks.rows import (
    Row,
    Rows,
    checked_text,
    convert,
    file_rows,
    json_of,
    list_of,
    parts_of,
    text_of,
)
from evaluate.tasks.task import Example, GoldSource, Task

NAME = "expmrc"
RULE = "evidence"
SCHEMA = (
    "context, question, answers (texts, or SQuAD's with text), evidences (strings that occur once in context)"
)
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
        TaskError: No row can be used.
    """
    examples, left_out = convert(NAME, rows, _example, SCHEMA, limit)
    return Task(name=NAME, source=rows.source, examples=examples, gold=gold, left_out=left_out)


def squad_rows(path: Path) -> Rows:
    """The questions of a file in SQuAD's form, each with the passage it is about; or of any file of rows.

    A JSON object is SQuAD's form (`data`, of `paragraphs` with `context` and `qas`); a JSON list and the other kinds
    of file hold a question a row.

    Raises:
        TaskError: A file cannot be read, or has no row of this shape.
    """
    rows = file_rows(path)
    if path.suffix != ".json":
        return rows
    return Rows(rows.source, partial(_questions, path, rows))


def _questions(path: Path, rows: Rows) -> Iterator[Row]:
    value = json_of(path)
    if not isinstance(value, Mapping):
        yield from rows.read()
        return
    number = 0
    for passage in parts_of(value, "data", "paragraphs"):
        for question in parts_of(passage, "qas"):
            number += 1
            yield Row(number, f"question {number}", {"context": passage.get("context"), **question})


def _example(row: Row) -> Example:
    context, question = text_of(row, "context"), text_of(row, "question").strip()
    answers, evidences = list_of(row, "answers"), list_of(row, "evidences")
    if not answers or not evidences:
        raise UnusableRowError(f"field {'evidences' if answers else 'answers'!r} is empty")
    first = answers[0]
    answer = checked_text(first.get("text") if isinstance(first, Mapping) else first, "answers").strip()
    words = content_words(context)
    people = tuple(overlapping(words, [_span(evidence, context)]) for evidence in evidences)
    votes = [sum(index in marked for marked in people) for index in range(len(words))]
    gold = checked_gold(tuple(i for i, count in enumerate(votes) if 2 * count > len(people)), words)
    return Example(
        id=f"{NAME}-{row.number}",
        prompt=f"{context}\n{question}{CUE}",
        target=f" {answer}",
        words=words,
        gold=gold,
        gold_rule=RULE,
        body=(0, len(context)),
        question=question,
        people=people,
    )


def _span(value: object, context: str) -> Span:
    """Where an evidence stands in the passage."""
    evidence = checked_text(value, "evidences").strip()
    start = context.find(evidence)
    if start < 0:
        raise UnusableRowError("the passage does not hold an evidence")
    # Not `count`, which does not see occurrences that overlap.
    if context.find(evidence, start + 1) >= 0:
        raise UnusableRowError("the passage holds an evidence more than once")
    return start, start + len(evidence)

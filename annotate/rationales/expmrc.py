"""ExpMRC: questions about a passage with the evidence that two people marked, in SQuAD's form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from annotate.errors import UnusableRowError
from annotate.rationales.marked import MarkedText, Marking
from annotate.rationales.rows import (
    Row,
    Rows,
    checked_text,
    file_rows,
    json_of,
    list_of,
    parts_of,
    text_of,
)
from annotate.schema import Span

NAME = "expmrc"
SCHEMA = (
    "context, question, answers (texts, or SQuAD's with text), evidences (strings that occur once in context)"
)


def squad_rows(path: Path) -> Rows:
    """The questions of a file in SQuAD's form, each with the passage it is about; or of any file of rows.

    A JSON object is SQuAD's form (`data`, of `paragraphs` with `context` and `qas`); a JSON list and the other kinds
    of file hold a question a row.

    Raises:
        RowsError: A file cannot be read, or has no row of this shape.
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


def marked_question(row: Row) -> MarkedText:
    """The passage of a question with the evidence of each person, and its first answer.

    Raises:
        UnusableRowError: A field is missing or of another kind, or an evidence stands nowhere in the passage, or at
            several places, so that nobody knows where it was marked.
    """
    context, question = text_of(row, "context"), text_of(row, "question").strip()
    answers, evidences = list_of(row, "answers"), list_of(row, "evidences")
    if not answers or not evidences:
        raise UnusableRowError(f"field {'evidences' if answers else 'answers'!r} is empty")
    first = answers[0]
    answer = checked_text(first.get("text") if isinstance(first, Mapping) else first, "answers").strip()
    people = {
        number: Marking(str(number), (_span(evidence, context),))
        for number, evidence in enumerate(evidences, start=1)
    }
    return MarkedText(str(row.number), row.number, context, question, answer, people)


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

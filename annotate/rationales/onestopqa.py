"""OneStopQA: questions about paragraphs at three reading levels, with the span that answers and one that distracts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from annotate.errors import UnusableRowError
from annotate.rationales.marked import MarkedText, Marking
from annotate.rationales.marks import token_spans
from annotate.rationales.rows import Row, Rows, checked_text, file_rows, json_of, list_of, parts_of, text_of
from annotate.schema import Span

NAME = "onestopqa"
SCHEMA = (
    "paragraph, level (Adv, Int or Ele), question, answers (the right one first), a_span and d_span ([first, last]"
    " white-space token, both inclusive; four numbers are two pieces)"
)
LEVELS = ("Adv", "Int", "Ele")
"""Reading levels: advanced, which is the original, intermediate, and elementary."""


def question_rows(path: Path) -> Rows:
    """The questions of the set's own file, at each level, or the rows of any other file.

    Raises:
        RowsError: A file cannot be read, or has no row of this shape.
    """
    rows = file_rows(path)
    if path.suffix != ".json":
        return rows
    return Rows(rows.source, partial(_questions, path, rows))


def at_level(rows: Rows, level: str = "") -> Rows:
    """The rows of one level, with those whose level cannot be told.

    The levels of a paragraph say the same in simpler words, so they are not independent and are never put together.

    Args:
        rows: Questions, a row each and level.
        level: One of `LEVELS`; empty for the first.
    """
    wanted = level or LEVELS[0]
    return Rows(
        rows.source, lambda: (row for row in rows.read() if row.problem or _level(row) in ("", wanted))
    )


def marked_paragraph(row: Row) -> MarkedText:
    """The paragraph of a question with its critical and its distractor span, and the right answer.

    Raises:
        UnusableRowError: A field is missing or of another kind, or a span is no pairs or lies outside the paragraph.
    """
    if not _level(row):
        raise UnusableRowError(f"field 'level' is none of {', '.join(LEVELS)}")
    text, question = text_of(row, "paragraph"), text_of(row, "question").strip()
    answers = list_of(row, "answers")
    if not answers:
        raise UnusableRowError("field 'answers' is empty")
    return MarkedText(
        id=str(row.number),
        row=row.number,
        text=text,
        question=question,
        answer=checked_text(answers[0], "answers").strip(),
        people={1: Marking("1", _spans(list_of(row, "a_span"), text))},
        distractor=_spans(list_of(row, "d_span"), text),
    )


def _questions(path: Path, rows: Rows) -> Iterator[Row]:
    value = json_of(path)
    if not isinstance(value, Mapping):
        yield from rows.read()
        return
    number = 0
    for paragraph in parts_of(value, "data", "paragraphs"):
        for index, question in enumerate(parts_of(paragraph, "qas")):
            number += 1
            for level in LEVELS:
                yield Row(number, f"question {number} {level}", _flat(paragraph, question, index, level))


def _flat(
    paragraph: Mapping[str, Any], question: Mapping[str, Any], index: int, level: str
) -> dict[str, Any]:
    """A question at a level, in the fields of the set on the hub."""
    text = paragraph.get(level)
    text = text if isinstance(text, Mapping) else {}
    spans = {}
    for field in ("a_span", "d_span"):
        values = text.get(f"{field}s")
        spans[field] = values[index] if isinstance(values, list) and index < len(values) else None
    return {
        "paragraph": text.get("context"),
        "level": level,
        "question": question.get("question"),
        "answers": question.get("answers"),
        **spans,
    }


def _level(row: Row) -> str:
    """The level of a row; the hub has its number. Empty where it is none."""
    level = row.values.get("level")
    if type(level) is int and 0 <= level < len(LEVELS):
        return LEVELS[level]
    return level if isinstance(level, str) and level in LEVELS else ""


def _spans(ends: Iterable[Any], text: str) -> tuple[Span, ...]:
    """Code points of the pieces that ``first, last, first, last, ...`` white-space token tell, all inclusive."""
    tokens = token_spans(text)
    numbers = list(ends)
    if not numbers or len(numbers) % 2 or any(type(number) is not int for number in numbers):
        raise UnusableRowError("a span is no pairs of whole numbers")
    pieces = list(zip(numbers[::2], numbers[1::2], strict=True))
    if any(first > last for first, last in pieces):
        raise UnusableRowError("a span ends before it begins")
    if any(first < 0 or last >= len(tokens) for first, last in pieces):
        raise UnusableRowError("a span lies outside the text")
    return tuple((tokens[first][0], tokens[last][1]) for first, last in pieces)

"""Questions about paragraphs at three reading levels, with the span that answers and the span that distracts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from annotate.errors import UnusableRowError
from annotate.rationales.marks import checked_gold, content_words, overlapping, token_spans
from annotate.rationales.rows import (
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
from annotate.schema import Span
from evaluate.tasks.prompt import CUE
from evaluate.tasks.task import Example, GoldSource, Task

NAME = "onestopqa"
RULE = "critical-span"
SCHEMA = (
    "paragraph, level (Adv, Int or Ele), question, answers (the right one first), a_span and d_span ([first, last]"
    " white-space token, both inclusive; four numbers are two pieces)"
)
LEVELS = ("Adv", "Int", "Ele")
"""Reading levels: advanced, which is the original, intermediate, and elementary."""

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

    The prompt is the paragraph, the question and the cue; the paragraph's words with a letter or digit are scored.
    Gold are those of the critical span, distractor those of the distractor span that are not gold. Both are given as
    the first and the last white-space token, inclusive, in one piece or two.

    The three levels of a paragraph say the same in simpler words, so they are not independent and are never put
    together: one of them is read, the original where none is named.

    Left out and named are rows whose spans are no pairs, or lie outside the paragraph, or whose gold is no word or
    every one. Rows of other levels are passed over.

    Args:
        rows: Questions, a row each and level.
        gold: Who marked.
        limit: Make the first N examples only.
        level: One of `LEVELS`; empty for the first.
        name: What the task is called.

    Raises:
        RowsError: No row can be used.
    """
    wanted = level or LEVELS[0]
    of_level = Rows(
        rows.source, lambda: (row for row in rows.read() if row.problem or _level(row) in ("", wanted))
    )

    def make(row: Row) -> Example:
        return _example(row, name)

    examples, left_out = convert(name, of_level, make, SCHEMA, limit)
    return Task(
        name=name, source=rows.source, examples=examples, gold=gold, left_out=left_out, whole_target=True
    )


def question_rows(path: Path) -> Rows:
    """The questions of the set's own file, at each level, or the rows of any other file.

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


def _example(row: Row, name: str) -> Example:
    if not _level(row):
        raise UnusableRowError(f"field 'level' is none of {', '.join(LEVELS)}")
    text, question = text_of(row, "paragraph"), text_of(row, "question").strip()
    answers = list_of(row, "answers")
    if not answers:
        raise UnusableRowError("field 'answers' is empty")
    answer = checked_text(answers[0], "answers").strip()
    words = content_words(text)
    gold = checked_gold(overlapping(words, _spans(list_of(row, "a_span"), text)), words)
    distractor = overlapping(words, _spans(list_of(row, "d_span"), text))
    return Example(
        id=f"{name.replace('/', '-')}-{row.number}",
        prompt=f"{text}\n{question}{CUE}",
        target=f" {answer}",
        words=words,
        gold=gold,
        distractor=tuple(index for index in distractor if index not in gold),
        gold_rule=RULE,
        body=(0, len(text)),
        question=question,
    )


def _spans(ends: Iterable[Any], text: str) -> list[Span]:
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
    return [(tokens[first][0], tokens[last][1]) for first, last in pieces]

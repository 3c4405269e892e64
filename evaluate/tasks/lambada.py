"""Passages whose last word is to be told, with the words that people said give it away."""

from __future__ import annotations

from annotate.errors import UnusableRowError
from annotate.rationales.marks import content_words, overlapping
from annotate.rationales.rows import Row, Rows, convert, list_of, text_of
from annotate.schema import Span
from evaluate.tasks.task import Example, GoldSource, Task

NAME = "lambada-rationales"
RULE = "rationale"
SCHEMA = "text (a passage), rationale (list of [start, end] in code points of text)"
PEOPLE = GoldSource(
    rule=RULE,
    annotators=("people",),
    offline=False,
    note="words that overlap a rationale span marked by people for the last word of the passage.",
)


def lambada(rows: Rows, gold: GoldSource = PEOPLE, limit: int | None = None) -> Task:
    """Examples of passages with rationales, such as LAMBADA's: the target is the last word.

    The target is the last word that has a letter or digit, with the one white space before it where there is
    one; the prompt is all before that, and what follows the word (a full stop, quotes) is left away. Scored are
    the prompt's words that have a letter or digit: a span that people drew as far as the next space takes
    punctuation with it that nobody judged. Gold are those that share a character with a span.

    Left out and named are passages of one word, spans that are no pair of whole numbers, are empty or lie
    outside the text, and rationales that mark no word of the prompt, or every one.

    Args:
        rows: Rows with `text` and `rationale`.
        gold: Who marked the spans.
        limit: Make the first N examples only.

    Raises:
        RowsError: No row can be used.
    """
    examples, left_out = convert(NAME, rows, _example, SCHEMA, limit)
    return Task(name=NAME, source=rows.source, examples=examples, gold=gold, left_out=left_out)


def _example(row: Row) -> Example:
    text = text_of(row, "text")
    spans = [_span(span, len(text)) for span in list_of(row, "rationale")]
    words = content_words(text)
    if len(words) < 2:
        raise UnusableRowError("no word stands before the last")
    *before, (start, end) = words
    cut = start - 1 if text[start - 1].isspace() else start
    gold = overlapping(before, spans)
    if not gold:
        raise UnusableRowError("the rationale marks no word of the prompt")
    if len(gold) == len(before):
        raise UnusableRowError("the rationale marks every word of the prompt")
    return Example(
        id=f"{NAME}-{row.number}",
        prompt=text[:cut],
        target=text[cut:end],
        words=tuple(before),
        gold=gold,
        gold_rule=RULE,
    )


def _span(value: object, length: int) -> Span:
    match value:
        case [int(start), int(end)] if type(start) is type(end) is int:
            if start >= end:
                raise UnusableRowError("a rationale span is empty")
            if start < 0 or end > length:
                raise UnusableRowError("a rationale span lies outside the text")
            return start, end
    raise UnusableRowError("a rationale span is no pair of whole numbers")

"""Biographies that break off before a name or a number of their last sentence."""

from __future__ import annotations

from annotate.errors import UnusableRowError
from annotate.rationales.rows import Row, Rows, convert, text_of
from annotate.sentences import split_sentences
from annotate.words import split_words
from evaluate.tasks.task import Example, Task

NAME = "wikibio"
SCHEMA = "wiki_bio_text (a biography of two sentences or more)"


def wikibio(rows: Rows, limit: int | None = None) -> Task:
    """Examples of biographies: the target is a fact of the last sentence.

    Read is the text that people wrote (`wiki_bio_text`); what a language model made up about the same person is
    not. A last sentence opens with words such as "He", which every biography shares, so the prompt runs on into it:
    it is the biography up to the last sentence's first name or number, that is its first word with a capital
    letter or a digit, its opening word aside. That word, with the space before it, is the target. Every word of
    the prompt is scored. There is no gold.

    Left out and named are biographies of one sentence and last sentences without a name or number, or with none
    that stands after a space.

    Args:
        rows: Rows with `wiki_bio_text`.
        limit: Make the first N examples only.

    Raises:
        RowsError: No row can be used.
    """
    examples, left_out = convert(NAME, rows, _example, SCHEMA, limit)
    return Task(name=NAME, source=rows.source, examples=examples, left_out=left_out)


def _example(row: Row) -> Example:
    text = text_of(row, "wiki_bio_text")
    *before, (start, _) = split_sentences(text)
    if not before:
        raise UnusableRowError("the biography has one sentence")
    words = split_words(text)
    last = [span for span in words if span[0] >= start]
    for first, end in last[1:]:
        if text[first - 1] == " " and any(letter.isupper() or letter.isdigit() for letter in text[first:end]):
            return Example(
                id=f"{NAME}-{row.number}",
                prompt=text[: first - 1],
                target=text[first - 1 : end],
                words=tuple(span for span in words if span[1] < first),
            )
    raise UnusableRowError("the last sentence has no name or number")

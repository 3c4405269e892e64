"""Questions about a paragraph, with the noun phrases of the answering sentence that people found in the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotate.errors import UnusableRowError
from annotate.rationales.marks import checked_gold, content_words, overlapping
from annotate.rationales.rows import Row, Rows, checked_text, convert, text_of
from annotate.schema import Span
from evaluate.tasks.prompt import CUE
from evaluate.tasks.task import Example, GoldSource, Task

NAME = "qed"
RULE = "referents"
SCHEMA = (
    "question_text, paragraph_text, annotation with explanation_type, selected_sentence, answer and"
    " referential_equalities (offsets in code points of paragraph_text, end exclusive)"
)
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

_SINGLE = "single_sentence"


def qed(rows: Rows, gold: GoldSource = PEOPLE, limit: int | None = None) -> Task:
    """Examples of questions about a paragraph: one a question, the target its short answer.

    The prompt is the paragraph, the question and the cue; the paragraph's words with a letter or digit are scored. Gold
    are, in the sentence that answers, the answer and the noun phrases that mean the same as one of the question: the
    answer is what is copied, and the phrases tie it to the question. The rest of the sentence, its predicate apart,
    is what the set's makers did not mark, so the sentence as a whole is not gold.

    Left out and named are questions that are not explained by a single sentence, whose answer has several pieces, or
    with no phrase that the sentence says (it may be implied), for then the answer alone would be gold; and spans that
    lie outside the paragraph or do not match the text stored beside them.

    Args:
        rows: Questions, a row each.
        gold: Who marked.
        limit: Make the first N examples only.

    Raises:
        RowsError: No row can be used.
    """
    examples, left_out = convert(NAME, rows, _example, SCHEMA, limit)
    return Task(name=NAME, source=rows.source, examples=examples, gold=gold, left_out=left_out)


def _example(row: Row) -> Example:
    text, question = text_of(row, "paragraph_text"), text_of(row, "question_text").strip()
    annotation = row.values.get("annotation")
    if not isinstance(annotation, Mapping):
        raise UnusableRowError("field 'annotation' is missing or no object")
    if annotation.get("explanation_type") != _SINGLE:
        raise UnusableRowError("no single sentence explains the answer")
    answers = _references(annotation, "answer", "sentence_reference")
    if len(answers) != 1:
        raise UnusableRowError("the answer has several pieces" if answers else "the answer is missing")
    spans = [_span(span, text) for span in answers]
    answer = checked_text(_references(annotation, "answer", "paragraph_reference")[0].get("string"), "answer")
    phrases = _references(annotation, "referential_equalities", "sentence_reference")
    # A phrase that the sentence implies, and does not say, has no place in it.
    said = [_span(span, text) for span in phrases if (span.get("start"), span.get("end")) != (-1, -1)]
    if not said:
        raise UnusableRowError("no phrase of the sentence means the same as one of the question")
    words = content_words(text)
    return Example(
        id=f"{NAME}-{row.number}",
        prompt=f"{text}\n{question}{CUE}",
        target=f" {answer.strip()}",
        words=words,
        gold=checked_gold(overlapping(words, spans + said), words),
        gold_rule=RULE,
        body=(0, len(text)),
        question=question,
    )


def _references(annotation: Mapping[str, Any], field: str, which: str) -> list[Mapping[str, Any]]:
    """The references of one kind in a list of pairs of them."""
    pairs = annotation.get(field)
    sides = (
        [pair.get(which) if isinstance(pair, Mapping) else None for pair in pairs]
        if isinstance(pairs, list)
        else [None]
    )
    references = [side for side in sides if isinstance(side, Mapping)]
    if len(references) != len(sides):
        raise UnusableRowError(f"field {field!r} is no list of references")
    return references


def _span(reference: Mapping[str, Any], text: str) -> Span:
    """The code points of a reference, whose end is exclusive, if the text it tells stands there."""
    start, end = reference.get("start"), reference.get("end")
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
        raise UnusableRowError("a span lies outside the text")
    if reference.get("string") != text[start:end]:
        raise UnusableRowError("a span does not match the text stored beside it")
    return start, end
